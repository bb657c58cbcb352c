//! Where each message is: ready, or held by a channel. Never both, never twice.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ChannelKey, Delivery, Message, MessageNumber,
    hash::{self, Kind, StateHash},
};
use crate::session::Session;

/// Every message of the queue. The number is the position: whatever is ready is served lowest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    ready: BTreeMap<MessageNumber, Item>,
    held: BTreeMap<MessageNumber, Held>,
    /// The messages in `held` by their channel; no empty sets.
    by_channel: BTreeMap<ChannelKey, BTreeSet<MessageNumber>>,
    bytes: u64,
    hash: StateHash,
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) message: Message,
    /// How often it was requeued.
    pub(super) count: u32,
    content: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) item: Item,
    pub(super) channel: ChannelKey,
    pub(super) taker: Taker,
}

/// How a channel came to hold a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Taker {
    Consumer(u64),
    /// The operation of the channel's session that took it.
    Get {
        sequence: u64,
    },
}

impl Item {
    pub(super) fn new(message: Message, count: u32) -> Self {
        let content = hash::content(&message);
        Self { message, count, content }
    }

    pub(super) fn delivery(&self, number: MessageNumber) -> Delivery {
        Delivery { number, message: self.message.clone(), redelivered: self.count > 0, delivery_count: self.count }
    }

    /// The same, requeued once more.
    pub(super) fn requeued(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    fn bytes(&self) -> u64 {
        (self.message.properties.len() + self.message.body.len()) as u64
    }
}

impl Messages {
    pub(super) fn ready(&self) -> &BTreeMap<MessageNumber, Item> {
        &self.ready
    }

    pub(super) fn held(&self) -> &BTreeMap<MessageNumber, Held> {
        &self.held
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.value()
    }

    pub(super) fn contains(&self, number: MessageNumber) -> bool {
        self.ready.contains_key(&number) || self.held.contains_key(&number)
    }

    pub(super) fn add_ready(&mut self, number: MessageNumber, item: Item) {
        assert!(!self.held.contains_key(&number), "message {} is ready and held at once", number.0);
        self.bytes += item.bytes();
        self.hash.add(ready_hash(number, &item));
        let old = self.ready.insert(number, item);
        assert!(old.is_none(), "message {} is ready twice", number.0);
    }

    /// Takes out the ready message that is next in line.
    pub(super) fn take_ready(&mut self) -> Option<(MessageNumber, Item)> {
        let (number, item) = self.ready.pop_first()?;
        self.bytes -= item.bytes();
        self.hash.remove(ready_hash(number, &item));
        Some((number, item))
    }

    pub(super) fn add_held(&mut self, number: MessageNumber, held: Held) {
        assert!(!self.ready.contains_key(&number), "message {} is held and ready at once", number.0);
        self.bytes += held.item.bytes();
        self.hash.add(held_hash(number, &held));
        self.by_channel.entry(held.channel).or_default().insert(number);
        let old = self.held.insert(number, held);
        assert!(old.is_none(), "message {} is held twice", number.0);
    }

    /// Takes out a message that `channel` holds.
    pub(super) fn take_held(&mut self, number: MessageNumber, channel: ChannelKey) -> Option<Held> {
        let numbers = self.by_channel.get_mut(&channel)?;
        if !numbers.remove(&number) {
            return None;
        }
        if numbers.is_empty() {
            self.by_channel.remove(&channel);
        }
        let held = self.held.remove(&number).expect("a channel's messages are among the held ones");
        assert_eq!(held.channel, channel, "a held message is listed under its holder");
        self.bytes -= held.item.bytes();
        self.hash.remove(held_hash(number, &held));
        Some(held)
    }

    /// The messages that `channel` holds, in order.
    pub(super) fn held_by(&self, channel: ChannelKey) -> impl Iterator<Item = MessageNumber> {
        self.by_channel.get(&channel).into_iter().flatten().copied()
    }

    /// How many messages `channel` holds that it came to hold by `taker`.
    pub(super) fn held_through(&self, channel: ChannelKey, taker: Taker) -> u32 {
        let count = self.held_by(channel).filter(|number| self.held[number].taker == taker).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The channels of `session` that hold something.
    pub(super) fn channels_of(&self, session: Session) -> impl Iterator<Item = ChannelKey> {
        let range = ChannelKey { session, channel: 0 }..=ChannelKey { session, channel: u64::MAX };
        self.by_channel.range(range).map(|(&channel, _)| channel)
    }
}

fn ready_hash(number: MessageNumber, item: &Item) -> u64 {
    hash::item(Kind::Ready, [number.0, item.content, item.count.into()])
}

fn held_hash(number: MessageNumber, held: &Held) -> u64 {
    let [node, incarnation, channel] = hash::channel(held.channel);
    let (taker, id) = match held.taker {
        Taker::Consumer(consumer) => (0, consumer),
        Taker::Get { sequence } => (1, sequence),
    };
    let fields = [number.0, held.item.content, held.item.count.into(), node, incarnation, channel, taker, id];
    hash::item(Kind::Held, fields)
}
