//! The queue as plainly as it can be written: vectors, searched from the front.

use std::collections::VecDeque;

use warren::{
    queue::{
        Acks, ChannelKey, Command, ConsumerKey, Delivery, Effect, Message, MessageNumber, Operation, Outcome, Settle,
    },
    session::{Admission, Session, Sessions},
};

#[derive(Clone, Default)]
pub(super) struct Naive {
    sessions: Sessions,
    pub(super) published: u64,
    /// In order of their numbers.
    pub(super) messages: Vec<Entry>,
    pub(super) consumers: Vec<Consumer>,
    line: VecDeque<ConsumerKey>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) number: MessageNumber,
    message: Message,
    count: u32,
    /// Who holds it, and through which consumer unless it was a get. `None` is ready.
    pub(super) held: Option<(ChannelKey, Option<u64>)>,
}

#[derive(Clone)]
pub(super) struct Consumer {
    pub(super) key: ConsumerKey,
    prefetch: Option<u32>,
    acks: Acks,
}

impl Entry {
    pub(super) fn delivery(&self) -> Delivery {
        Delivery {
            number: self.number,
            message: self.message.clone(),
            redelivered: self.count > 0,
            delivery_count: self.count,
        }
    }
}

impl Naive {
    pub(super) fn ready(&self) -> u64 {
        self.messages.iter().filter(|entry| entry.held.is_none()).count() as u64
    }

    pub(super) fn apply(&mut self, command: &Command) -> Vec<Effect> {
        let mut effects = Vec::new();
        let admission = self.sessions.admit(command.session, command.first, command.operations.len());
        let Admission::Apply { skip, superseded } = admission else { return effects };
        if let Some(old) = superseded {
            for channel in self.channels_of(old) {
                self.close(channel, &mut effects);
            }
            self.dispatch(&mut effects);
        }
        for (at, operation) in command.operations.iter().enumerate().skip(skip) {
            let (channel, outcome) = self.perform(command.session, operation, &mut effects);
            let sequence = command.first + at as u64;
            effects.push(Effect::Outcome { session: command.session, sequence, channel, outcome });
            self.dispatch(&mut effects);
        }
        effects
    }

    fn perform(&mut self, session: Session, operation: &Operation, effects: &mut Vec<Effect>) -> (u64, Outcome) {
        let key = |channel| ChannelKey { session, channel };
        match operation {
            Operation::Start => (0, Outcome::Done),
            Operation::Publish { channel, message } => {
                self.published += 1;
                let number = MessageNumber(self.published);
                self.messages.push(Entry { number, message: message.clone(), count: 0, held: None });
                (*channel, Outcome::Done)
            }
            Operation::Attach { channel, consumer, prefetch, acks } => {
                let key = ConsumerKey { channel: key(*channel), consumer: *consumer };
                if !self.consumers.iter().any(|consumer| consumer.key == key) {
                    let prefetch = prefetch.filter(|&limit| limit > 0 && *acks == Acks::Manual);
                    self.consumers.push(Consumer { key, prefetch, acks: *acks });
                    effects.push(Effect::Attached { consumer: key, prefetch });
                    self.queue_up(key);
                }
                (*channel, Outcome::Done)
            }
            Operation::Cancel { channel, consumer } => {
                let key = ConsumerKey { channel: key(*channel), consumer: *consumer };
                self.drop_consumers(|consumer| consumer.key == key, effects);
                (*channel, Outcome::Done)
            }
            Operation::Get { channel, acks } => {
                let first = self.messages.iter().position(|entry| entry.held.is_none());
                let delivery = first.map(|at| {
                    let delivery = self.messages[at].delivery();
                    self.hand_over(at, key(*channel), None, *acks, effects);
                    delivery
                });
                (*channel, Outcome::Got { delivery, ready: self.ready() })
            }
            Operation::Settle { channel, messages, settle } => {
                for &message in messages {
                    self.settle(key(*channel), message, *settle, effects);
                }
                (*channel, Outcome::Done)
            }
            Operation::CloseChannel { channel } => {
                self.close(key(*channel), effects);
                (*channel, Outcome::Done)
            }
            Operation::Purge { channel } => {
                let count = self.ready();
                let ready = self.messages.extract_if(.., |entry| entry.held.is_none());
                effects.extend(ready.map(|entry| Effect::Settled { message: entry.number }));
                (*channel, Outcome::Purged { count })
            }
            Operation::Count { channel } => {
                (*channel, Outcome::Counted { ready: self.ready(), consumers: self.consumers.len() as u64 })
            }
            Operation::NodeLost { lost } => {
                for channel in self.channels_of(*lost) {
                    self.close(channel, effects);
                    effects.push(Effect::Revoked { channel });
                }
                (0, Outcome::Done)
            }
        }
    }

    fn dispatch(&mut self, effects: &mut Vec<Effect>) {
        while let Some(at) = self.messages.iter().position(|entry| entry.held.is_none())
            && let Some(to) = self.line.pop_front()
        {
            let acks = self.consumers.iter().find(|consumer| consumer.key == to).unwrap().acks;
            let delivery = self.messages[at].delivery();
            self.hand_over(at, to.channel, Some(to.consumer), acks, effects);
            self.queue_up(to);
            effects.push(Effect::Deliver { to, delivery });
        }
    }

    fn hand_over(&mut self, at: usize, by: ChannelKey, consumer: Option<u64>, acks: Acks, effects: &mut Vec<Effect>) {
        let (message, count) = (self.messages[at].number, self.messages[at].count);
        effects.push(Effect::Assigned { message, by, consumer, count });
        match acks {
            Acks::Manual => self.messages[at].held = Some((by, consumer)),
            Acks::Automatic => {
                self.messages.remove(at);
                effects.push(Effect::Settled { message });
            }
        }
    }

    fn settle(&mut self, channel: ChannelKey, message: MessageNumber, settle: Settle, effects: &mut Vec<Effect>) {
        let holds = |entry: &Entry| entry.number == message && entry.held.is_some_and(|(by, _)| by == channel);
        let Some(at) = self.messages.iter().position(holds) else { return };
        let (_, consumer) = self.messages[at].held.take().unwrap();
        if settle == Settle::Requeue {
            self.messages[at].count += 1;
            effects.push(Effect::Requeued { message });
        } else {
            self.messages.remove(at);
            effects.push(Effect::Settled { message });
        }
        if let Some(consumer) = consumer {
            self.queue_up(ConsumerKey { channel, consumer });
        }
    }

    fn close(&mut self, channel: ChannelKey, effects: &mut Vec<Effect>) {
        self.drop_consumers(|consumer| consumer.key.channel == channel, effects);
        let held: Vec<MessageNumber> = self
            .messages
            .iter()
            .filter(|entry| entry.held.is_some_and(|(by, _)| by == channel))
            .map(|entry| entry.number)
            .collect();
        for message in held {
            self.settle(channel, message, Settle::Requeue, effects);
        }
    }

    /// Puts a consumer at the back of the line if it is known, has credit and is not in it.
    fn queue_up(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.iter().find(|consumer| consumer.key == key) else { return };
        let through = Some((key.channel, Some(key.consumer)));
        let held = self.messages.iter().filter(|entry| entry.held == through).count() as u32;
        if consumer.prefetch.is_none_or(|limit| held < limit) && !self.line.contains(&key) {
            self.line.push_back(key);
        }
    }

    fn drop_consumers(&mut self, gone: impl Fn(&Consumer) -> bool, effects: &mut Vec<Effect>) {
        let mut keys: Vec<ConsumerKey> =
            self.consumers.extract_if(.., |consumer| gone(consumer)).map(|consumer| consumer.key).collect();
        keys.sort_unstable();
        effects.extend(keys.iter().map(|&consumer| Effect::Detached { consumer }));
        self.line.retain(|key| !keys.contains(key));
    }

    fn channels_of(&self, session: Session) -> Vec<ChannelKey> {
        let holders = self.messages.iter().filter_map(|entry| entry.held.map(|(by, _)| by));
        let consumers = self.consumers.iter().map(|consumer| consumer.key.channel);
        let mut channels: Vec<ChannelKey> =
            holders.chain(consumers).filter(|channel| channel.session == session).collect();
        channels.sort_unstable();
        channels.dedup();
        channels
    }
}
