//! The queue's state and how commands change it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Acks, ChannelKey, Command, ConsumerKey, Effect, MessageNumber, Operation, Outcome, Settle,
    consumers::Consumers,
    hash::{self, Kind},
    messages::{Held, Item, Messages, Taker},
    snapshot::Saved,
};
use crate::session::{Admission, Session, Sessions};

/// A queue: its messages, its consumers, and how far it has got with each session.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Saved", into = "Saved")]
pub struct QueueState {
    pub(super) sessions: Sessions,
    /// The number of the last message published.
    pub(super) number_last: u64,
    pub(super) messages: Messages,
    pub(super) consumers: Consumers,
}

impl QueueState {
    /// Applies one log entry: those of its operations that are next in its session, each followed by whatever can be
    /// dispatched after it. Effects are in the order in which they happened.
    pub fn apply(&mut self, command: &Command) -> Vec<Effect> {
        let mut effects = Vec::with_capacity(2 * command.operations.len());
        let admission = self.sessions.admit(command.session, command.first, command.operations.len());
        let Admission::Apply { skip, superseded } = admission else { return effects };
        if let Some(old) = superseded {
            for channel in self.channels_of(old) {
                self.close(channel, &mut effects);
            }
            self.dispatch(&mut effects);
        }
        for (sequence, operation) in (command.first..).zip(&command.operations).skip(skip) {
            let (channel, outcome) = self.perform(command.session, sequence, operation, &mut effects);
            effects.push(Effect::Outcome { session: command.session, sequence, channel, outcome });
            self.dispatch(&mut effects);
        }
        effects
    }

    /// A hash over everything in the state: replicas that applied the same log entries have the same. Costs
    /// no more with many messages than with few.
    pub fn state_hash(&self) -> u64 {
        let sessions = self
            .sessions
            .iter()
            .map(|(session, applied)| hash::item(Kind::Session, [session.node.0, session.incarnation, applied]))
            .fold(0, u64::wrapping_add);
        sessions
            .wrapping_add(hash::item(Kind::Counter, [0, self.number_last]))
            .wrapping_add(self.messages.hash())
            .wrapping_add(self.consumers.hash())
    }

    /// What `session` missed when a snapshot replaced this replica's state, which had applied its operations up to
    /// `applied_before`: an outcome for each operation since, and a delivery for all that its consumers hold (also
    /// what it was given before; it knows which). A get that found a message, and still holds it, has its message as
    /// outcome; other results are [`Outcome::Missed`], and their `channel` is 0 because it is not known any more.
    ///
    /// Whether its channels were revoked meanwhile is not in here: consumers that [`QueueState::has_consumer`] denies
    /// although their attach was applied are gone.
    pub fn reconcile(&self, session: Session, applied_before: u64) -> Vec<Effect> {
        let Some(applied) = self.sessions.applied(session) else { return Vec::new() };
        let mut effects = Vec::new();
        let mut got: BTreeMap<u64, (MessageNumber, &Held)> = BTreeMap::new();
        let mut deliveries: Vec<(MessageNumber, ConsumerKey)> = Vec::new();
        for channel in self.messages.channels_of(session) {
            for number in self.messages.held_by(channel) {
                let held = &self.messages.held()[&number];
                match held.taker {
                    Taker::Consumer(consumer) => deliveries.push((number, ConsumerKey { channel, consumer })),
                    Taker::Get { sequence } => drop(got.insert(sequence, (number, held))),
                }
            }
        }
        for sequence in applied_before + 1..=applied {
            let (channel, outcome) = match got.get(&sequence) {
                Some((number, held)) => {
                    let delivery = Some(held.item.delivery(*number));
                    (held.channel.channel, Outcome::Got { delivery, ready: self.ready_count() })
                }
                None => (0, Outcome::Missed),
            };
            effects.push(Effect::Outcome { session, sequence, channel, outcome });
        }
        deliveries.sort_unstable();
        effects.extend(deliveries.into_iter().map(|(number, to)| {
            let delivery = self.messages.held()[&number].item.delivery(number);
            Effect::Deliver { to, delivery }
        }));
        effects
    }

    /// The number of the last message published; 0 before the first.
    pub fn number_last(&self) -> u64 {
        self.number_last
    }

    /// How many messages wait for a taker.
    pub fn ready_count(&self) -> u64 {
        self.messages.ready().len() as u64
    }

    /// How many messages are held, not yet settled.
    pub fn unacked_count(&self) -> u64 {
        self.messages.held().len() as u64
    }

    /// The bodies and properties of all messages, in bytes.
    pub fn bytes(&self) -> u64 {
        self.messages.bytes()
    }

    pub fn consumer_count(&self) -> u64 {
        self.consumers.all().len() as u64
    }

    /// All consumers, in order of their keys.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerKey> {
        self.consumers.all().keys().copied()
    }

    pub fn has_consumer(&self, key: ConsumerKey) -> bool {
        self.consumers.all().contains_key(&key)
    }

    /// The number of the last operation applied for `session`; `None` when it is not its node's current session here.
    pub fn applied(&self, session: Session) -> Option<u64> {
        self.sessions.applied(session)
    }

    /// The current session of each node.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The channel that holds the message; `None` when it is ready or gone.
    pub fn holder(&self, message: MessageNumber) -> Option<ChannelKey> {
        self.messages.held().get(&message).map(|held| held.channel)
    }

    /// Whether `session` has consumers here or holds messages.
    pub fn holds_for(&self, session: Session) -> bool {
        !self.channels_of(session).is_empty()
    }

    fn perform(
        &mut self,
        session: Session,
        sequence: u64,
        operation: &Operation,
        effects: &mut Vec<Effect>,
    ) -> (u64, Outcome) {
        let key = |channel| ChannelKey { session, channel };
        match operation {
            // The admission of its session's first operation has done the work.
            Operation::Start => (0, Outcome::Done),
            Operation::Publish { channel, message } => {
                self.number_last += 1;
                self.messages.add_ready(MessageNumber(self.number_last), Item::new(message.clone(), 0));
                (*channel, Outcome::Done)
            }
            &Operation::Attach { channel, consumer, prefetch, acks } => {
                // An identifier that is used again takes over what its cancelled bearer still holds.
                let held = self.messages.held_through(key(channel), Taker::Consumer(consumer));
                let consumer = ConsumerKey { channel: key(channel), consumer };
                if let Some(prefetch) = self.consumers.attach(consumer, prefetch, acks, held) {
                    effects.push(Effect::Attached { consumer, prefetch });
                }
                (channel, Outcome::Done)
            }
            &Operation::Cancel { channel, consumer } => {
                let consumer = ConsumerKey { channel: key(channel), consumer };
                if self.consumers.remove(consumer) {
                    effects.push(Effect::Detached { consumer });
                }
                (channel, Outcome::Done)
            }
            &Operation::Get { channel, acks } => (channel, self.get(key(channel), sequence, acks, effects)),
            Operation::Settle { channel, messages, settle } => {
                for &message in messages {
                    self.settle(key(*channel), message, *settle, effects);
                }
                (*channel, Outcome::Done)
            }
            &Operation::CloseChannel { channel } => {
                self.close(key(channel), effects);
                (channel, Outcome::Done)
            }
            &Operation::Purge { channel } => (channel, self.purge(effects)),
            &Operation::Count { channel } => {
                (channel, Outcome::Counted { ready: self.ready_count(), consumers: self.consumer_count() })
            }
            &Operation::NodeLost { lost } => {
                for channel in self.channels_of(lost) {
                    self.close(channel, effects);
                    effects.push(Effect::Revoked { channel });
                }
                (0, Outcome::Done)
            }
        }
    }

    fn get(&mut self, channel: ChannelKey, sequence: u64, acks: Acks, effects: &mut Vec<Effect>) -> Outcome {
        let delivery = self.messages.take_ready().map(|(number, item)| {
            let delivery = item.delivery(number);
            self.hand_over(number, item, channel, Taker::Get { sequence }, acks, effects);
            delivery
        });
        Outcome::Got { delivery, ready: self.ready_count() }
    }

    fn settle(&mut self, channel: ChannelKey, message: MessageNumber, settle: Settle, effects: &mut Vec<Effect>) {
        let Some(held) = self.messages.take_held(message, channel) else { return };
        match settle {
            Settle::Ack | Settle::Drop => effects.push(Effect::Settled { message }),
            Settle::Requeue => {
                self.messages.add_ready(message, held.item.requeued());
                effects.push(Effect::Requeued { message });
            }
        }
        if let Taker::Consumer(consumer) = held.taker {
            self.consumers.released(ConsumerKey { channel, consumer });
        }
    }

    fn purge(&mut self, effects: &mut Vec<Effect>) -> Outcome {
        let count = self.ready_count();
        while let Some((message, _)) = self.messages.take_ready() {
            effects.push(Effect::Settled { message });
        }
        Outcome::Purged { count }
    }

    /// Removes the channel's consumers and requeues what it holds. Nothing is dispatched before the caller has closed
    /// all that closes together.
    fn close(&mut self, channel: ChannelKey, effects: &mut Vec<Effect>) {
        effects
            .extend(self.consumers.remove_channel(channel).into_iter().map(|consumer| Effect::Detached { consumer }));
        let held: Vec<MessageNumber> = self.messages.held_by(channel).collect();
        for message in held {
            self.settle(channel, message, Settle::Requeue, effects);
        }
    }

    /// The channels of `session` that have consumers or hold messages.
    fn channels_of(&self, session: Session) -> BTreeSet<ChannelKey> {
        self.consumers.channels_of(session).chain(self.messages.channels_of(session)).collect()
    }

    /// Serves ready messages, lowest number first, to the consumers in line until either runs out.
    fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        while self.consumers.any_credit()
            && let Some((number, item)) = self.messages.take_ready()
        {
            let (to, acks) = self.consumers.serve_next().expect("someone in line has credit");
            let delivery = item.delivery(number);
            self.hand_over(number, item, to.channel, Taker::Consumer(to.consumer), acks, effects);
            effects.push(Effect::Deliver { to, delivery });
        }
    }

    fn hand_over(
        &mut self,
        number: MessageNumber,
        item: Item,
        channel: ChannelKey,
        taker: Taker,
        acks: Acks,
        effects: &mut Vec<Effect>,
    ) {
        let consumer = match taker {
            Taker::Consumer(consumer) => Some(consumer),
            Taker::Get { .. } => None,
        };
        effects.push(Effect::Assigned { message: number, by: channel, consumer, count: item.count });
        match acks {
            Acks::Manual => self.messages.add_held(number, Held { item, channel, taker }),
            Acks::Automatic => effects.push(Effect::Settled { message: number }),
        }
    }
}
