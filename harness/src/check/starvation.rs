//! Half of `liveness`, from inside: what is ready goes to whoever has credit, and nothing stays with an owner that is
//! gone.
//!
//! A queue serves within the entry that makes it possible, so the first half is a matter of the log, not of time:
//! after each entry, no message is ready while a consumer may take one.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    tape::Fact,
    verdict::Witness,
};

/// A consumer, by its node, its channel and its number.
pub(crate) type Key = (NodeId, u64, u64);

/// A message's owner: node, channel, consumer if it was not a get.
#[derive(Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) node: NodeId,
    pub(crate) channel: u64,
    consumer: Option<u64>,
    pub(crate) since: Position,
}

struct Consumer {
    prefetch: Option<u32>,
    held: u32,
    attached: Position,
}

/// A queue's messages and consumers, as the facts tell.
#[derive(Default)]
struct Mirror {
    last: u64,
    ready: BTreeSet<u64>,
    held: BTreeMap<u64, Holder>,
    consumers: BTreeMap<Key, Consumer>,
    /// Those with credit.
    hungry: BTreeSet<Key>,
}

/// What the mirrors of all queues show.
pub(crate) struct Mirrored {
    /// Entries after which it was looked whether anyone starves.
    pub(crate) checked: u64,
    pub(crate) starved: Option<Witness>,
    /// What is held at the end.
    pub(crate) held: BTreeMap<(GroupId, u64), Holder>,
    /// Who consumes at the end, since when.
    pub(crate) attached: BTreeMap<(GroupId, Key), Position>,
}

pub(crate) fn mirror(ledger: &Ledger<'_>) -> Mirrored {
    let mut mirrored = Mirrored { checked: 0, starved: None, held: BTreeMap::new(), attached: BTreeMap::new() };
    for (&group, tape) in ledger.tape().queues.iter().filter(|(_, tape)| tape.whole) {
        let mut mirror = Mirror::default();
        for fact in &tape.facts {
            mirror.take(fact);
            if let Observation::Applied { .. } = fact.what {
                mirrored.checked += 1;
                if mirrored.starved.is_none() {
                    mirrored.starved = mirror.starved(ledger, group, fact.at);
                }
            }
        }
        let consumers = mirror.consumers.iter();
        mirrored.attached.extend(consumers.map(|(key, consumer)| ((group, *key), consumer.attached)));
        mirrored.held.extend(mirror.held.into_iter().map(|(message, holder)| ((group, message), holder)));
    }
    mirrored
}

impl Mirror {
    fn take(&mut self, fact: &Fact<'_>) {
        let since = fact.at;
        match *fact.what {
            Observation::Enqueued { last, .. } => {
                self.ready.extend(self.last + 1..=last);
                self.last = self.last.max(last);
            }
            Observation::ConsumerAttached { owner, channel, consumer, prefetch, .. } => {
                let through = |holder: &&Holder| {
                    (holder.node, holder.channel, holder.consumer) == (owner, channel, Some(consumer))
                };
                let held = self.held.values().filter(through).count();
                let held = u32::try_from(held).unwrap_or(u32::MAX);
                self.consumers.insert((owner, channel, consumer), Consumer { prefetch, held, attached: since });
                self.update((owner, channel, consumer), 0);
            }
            Observation::ConsumerDetached { owner, channel, consumer, .. } => {
                self.consumers.remove(&(owner, channel, consumer));
                self.hungry.remove(&(owner, channel, consumer));
            }
            Observation::Assigned { message, owner, channel, consumer, .. } => {
                self.ready.remove(&message);
                self.release(message);
                self.held.insert(message, Holder { node: owner, channel, consumer, since });
                if let Some(consumer) = consumer {
                    self.update((owner, channel, consumer), 1);
                }
            }
            Observation::Requeued { message, .. } => {
                self.release(message);
                self.ready.insert(message);
            }
            Observation::Settled { message, .. } => {
                self.release(message);
                self.ready.remove(&message);
            }
            _ => {}
        }
    }

    fn release(&mut self, message: u64) {
        if let Some(Holder { node, channel, consumer: Some(consumer), .. }) = self.held.remove(&message) {
            self.update((node, channel, consumer), -1);
        }
    }

    fn update(&mut self, key: Key, change: i32) {
        let Some(consumer) = self.consumers.get_mut(&key) else { return };
        consumer.held = consumer.held.saturating_add_signed(change);
        if consumer.prefetch.is_none_or(|prefetch| consumer.held < prefetch) {
            self.hungry.insert(key);
        } else {
            self.hungry.remove(&key);
        }
    }

    fn starved(&self, ledger: &Ledger<'_>, group: GroupId, at: Position) -> Option<Witness> {
        let (message, key) = (self.ready.first()?, self.hungry.first()?);
        let (node, channel, _) = key;
        let consumer = &self.consumers[key];
        let limit = consumer.prefetch.map_or("no limit".to_owned(), |prefetch| format!("a prefetch of {prefetch}"));
        let sentence = format!(
            "message {message} of {} was ready at {}, and a consumer on channel {channel} of {node} held {} with \
             {limit}, yet it was not given it",
            ledger.group(group),
            ledger.clock(at),
            consumer.held
        );
        Some(Witness { sentence, events: vec![consumer.attached, at] })
    }
}
