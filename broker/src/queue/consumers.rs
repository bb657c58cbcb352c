//! Who consumes, how much more each may take, and whose turn it is.
//!
//! Consumers with credit stand in a line; the first one is served and goes to the back. Who runs out of credit leaves
//! the line, who gets some again joins it at the back. The line is part of the replicated state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Acks, ChannelKey, ConsumerKey,
    hash::{self, Kind, StateHash},
};
use crate::session::Session;

#[derive(Clone, Debug, Default)]
pub(super) struct Consumers {
    all: BTreeMap<ConsumerKey, Consumer>,
    /// Those with credit, by their ticket: the lowest is next.
    line: BTreeMap<u64, ConsumerKey>,
    /// The highest ticket given out so far.
    ticket_last: u64,
    hash: StateHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consumer {
    pub(super) acks: Acks,
    /// How many messages it may hold at once; `None` is unlimited.
    pub(super) prefetch: Option<u32>,
    /// How many it holds.
    pub(super) held: u32,
    /// Its place in the line, if it has credit.
    pub(super) ticket: Option<u64>,
}

impl Consumer {
    pub(super) fn has_credit(&self) -> bool {
        self.prefetch.is_none_or(|prefetch| self.held < prefetch)
    }
}

impl Consumers {
    pub(super) fn all(&self) -> &BTreeMap<ConsumerKey, Consumer> {
        &self.all
    }

    pub(super) fn ticket_last(&self) -> u64 {
        self.ticket_last
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash.value().wrapping_add(hash::item(Kind::Counter, [1, self.ticket_last]))
    }

    /// Consumers as a snapshot has them.
    pub(super) fn restored(all: BTreeMap<ConsumerKey, Consumer>, ticket_last: u64) -> Self {
        let mut consumers = Self { ticket_last, ..Self::default() };
        for (&key, consumer) in &all {
            consumers.hash.add(consumer_hash(key, consumer));
            if let Some(ticket) = consumer.ticket {
                consumers.line.insert(ticket, key);
            }
        }
        consumers.all = all;
        consumers
    }

    /// Adds a consumer at the back of the line, unless it is there already, and gives its limit. `held` messages count
    /// as its own from the start.
    pub(super) fn attach(
        &mut self,
        key: ConsumerKey,
        prefetch: Option<u32>,
        acks: Acks,
        held: u32,
    ) -> Option<Option<u32>> {
        if self.all.contains_key(&key) {
            return None;
        }
        let prefetch = match acks {
            Acks::Manual => prefetch.filter(|&prefetch| prefetch > 0),
            Acks::Automatic => None,
        };
        let consumer = Consumer { acks, prefetch, held, ticket: None };
        self.hash.add(consumer_hash(key, &consumer));
        self.all.insert(key, consumer);
        self.update(key, |_| {});
        Some(prefetch)
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, key: ConsumerKey) -> bool {
        let Some(consumer) = self.all.remove(&key) else { return false };
        self.hash.remove(consumer_hash(key, &consumer));
        if let Some(ticket) = consumer.ticket {
            let listed = self.line.remove(&ticket);
            assert_eq!(listed, Some(key), "a ticket names its holder");
        }
        true
    }

    /// Removes all consumers of `channel`, and tells which.
    pub(super) fn remove_channel(&mut self, channel: ChannelKey) -> Vec<ConsumerKey> {
        let range = ConsumerKey { channel, consumer: 0 }..=ConsumerKey { channel, consumer: u64::MAX };
        let keys: Vec<ConsumerKey> = self.all.range(range).map(|(&key, _)| key).collect();
        for &key in &keys {
            self.remove(key);
        }
        keys
    }

    /// Whether anyone could take a message now.
    pub(super) fn any_credit(&self) -> bool {
        !self.line.is_empty()
    }

    /// Serves whoever is next: it leaves the front of the line, for the back if it still has credit. With manual acks
    /// the message counts as held by it.
    pub(super) fn serve_next(&mut self) -> Option<(ConsumerKey, Acks)> {
        let (&ticket, &key) = self.line.first_key_value()?;
        let acks = self.all[&key].acks;
        self.update(key, |consumer| {
            assert_eq!(consumer.ticket, Some(ticket), "a ticket names its holder");
            assert!(consumer.has_credit(), "only consumers with credit stand in the line");
            consumer.ticket = None;
            if acks == Acks::Manual {
                consumer.held += 1;
            }
        });
        Some((key, acks))
    }

    /// A message that the consumer held is settled or requeued. It may have been cancelled meanwhile.
    pub(super) fn released(&mut self, key: ConsumerKey) {
        if self.all.contains_key(&key) {
            self.update(key, |consumer| {
                consumer.held = consumer.held.checked_sub(1).expect("a consumer holds what it gives back");
            });
        }
    }

    /// The channels of `session` that have a consumer, in order, each once.
    pub(super) fn channels_of(&self, session: Session) -> impl Iterator<Item = ChannelKey> {
        let first = ConsumerKey { channel: ChannelKey { session, channel: 0 }, consumer: 0 };
        let last = ConsumerKey { channel: ChannelKey { session, channel: u64::MAX }, consumer: u64::MAX };
        self.all.range(first..=last).map(|(key, _)| key.channel)
    }

    /// Changes a consumer, and gives it a place in the line if it now has credit and no place.
    fn update(&mut self, key: ConsumerKey, change: impl FnOnce(&mut Consumer)) {
        let consumer = self.all.get_mut(&key).expect("only known consumers are changed");
        self.hash.remove(consumer_hash(key, consumer));
        let before = consumer.ticket;
        change(consumer);
        if let Some(ticket) = before.filter(|_| consumer.ticket.is_none()) {
            self.line.remove(&ticket);
        }
        if consumer.ticket.is_none() && consumer.has_credit() {
            self.ticket_last += 1;
            consumer.ticket = Some(self.ticket_last);
            self.line.insert(self.ticket_last, key);
        }
        self.hash.add(consumer_hash(key, consumer));
    }
}

fn consumer_hash(key: ConsumerKey, consumer: &Consumer) -> u64 {
    let [node, incarnation, channel] = hash::channel(key.channel);
    let acks = consumer.acks as u64;
    // 0 is free for "none" in both: a prefetch of 0 is unlimited, tickets begin at 1.
    let (prefetch, ticket) = (consumer.prefetch.unwrap_or(0).into(), consumer.ticket.unwrap_or(0));
    let fields = [node, incarnation, channel, key.consumer, acks, prefetch, consumer.held.into(), ticket];
    hash::item(Kind::Consumer, fields)
}
