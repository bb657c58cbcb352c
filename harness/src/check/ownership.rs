//! Who owns a message, and when it is over: `no-ack-resurrection`, `single-owner`, and the first half of
//! `delivery-count`.
//!
//! Judged from inside, in the order of each queue's log (see [`super::tape`]): messages are known by their numbers,
//! and each assignment by the number and the count of requeues before it. A node's delivery to its client is held
//! against the assignment that it acts on. It may come late, even after the message was taken back or settled
//! elsewhere: then the client holds what is not its own any more. That is overlap; it is counted, and no violation.
//! What has no assignment, or had its delivery before, is one.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    prefetch::take,
    tape::QueueTape,
    verdict::{Judgement, Witness},
};
use crate::history::{ChannelId, EventKind};

/// A message goes nowhere after its settle has committed.
pub(crate) fn no_ack_resurrection(ledger: &Ledger<'_>) -> Judgement {
    let found = Found::new(ledger);
    found.judge(ledger, found.settled, "settled messages", found.resurrected.as_ref(), None)
}

/// No message is given to a second owner before the first is done with it, and no client is sent what its channel was
/// not given.
pub(crate) fn single_owner(ledger: &Ledger<'_>) -> Judgement {
    let found = Found::new(ledger);
    let overlaps = overlaps(ledger);
    let remark =
        (overlaps > 0).then(|| format!("{overlaps} times a client had a message that another still held: allowed"));
    found.judge(ledger, found.assigned, "assignments", found.shared.as_ref(), remark)
}

/// The queue counts each requeue, and each count is delivered once.
pub(crate) fn counts(ledger: &Ledger<'_>) -> (u64, Option<Witness>, Option<String>) {
    let found = Found::new(ledger);
    let told = found.miscounted.as_ref().map(|told| told.witness());
    (found.assigned, told, ledger.tape().broken(ledger))
}

/// What a replay of all queues found first, for each invariant.
#[derive(Default)]
struct Found {
    assigned: u64,
    settled: u64,
    resurrected: Option<Told>,
    shared: Option<Told>,
    miscounted: Option<Told>,
}

struct Told {
    sentence: String,
    events: Vec<Position>,
}

impl Told {
    fn witness(&self) -> Witness {
        Witness { sentence: self.sentence.clone(), events: self.events.clone() }
    }
}

#[derive(Clone, Copy)]
struct Owner {
    node: NodeId,
    channel: u64,
    since: Position,
    /// Its node has sent the message to the client.
    sent: Option<Position>,
}

#[derive(Default)]
struct Life {
    /// Requeues so far; `None` while it is not known.
    count: Option<u32>,
    requeued: Option<Position>,
    /// Its counts name no assignments: they were wrong.
    miscounted: bool,
    held: Option<Owner>,
    settled: Option<Position>,
}

/// Each assignment by message and count.
type Assignments = BTreeMap<(u64, u32), Owner>;

impl Found {
    fn new(ledger: &Ledger<'_>) -> Self {
        let mut found = Self::default();
        let mut queues: BTreeMap<GroupId, (BTreeMap<u64, Life>, Assignments)> = BTreeMap::new();
        for (&group, tape) in &ledger.tape().queues {
            queues.insert(group, found.replay(ledger, group, tape));
        }
        found.deliveries(ledger, &mut queues);
        found
    }

    fn judge(
        &self,
        ledger: &Ledger<'_>,
        checked: u64,
        unit: &'static str,
        told: Option<&Told>,
        remark: Option<String>,
    ) -> Judgement {
        match (told, ledger.tape().broken(ledger)) {
            (Some(told), _) => Judgement::violated(checked, unit, told.witness()),
            (None, Some(reason)) => Judgement::undecided(checked, unit, reason),
            (None, None) => Judgement::holds_with(checked, unit, remark),
        }
    }

    fn replay(
        &mut self,
        ledger: &Ledger<'_>,
        group: GroupId,
        tape: &QueueTape<'_>,
    ) -> (BTreeMap<u64, Life>, Assignments) {
        let mut lives: BTreeMap<u64, Life> = BTreeMap::new();
        let mut assignments = Assignments::new();
        for fact in &tape.facts {
            let at = fact.at;
            let born = || Life { count: tape.whole.then_some(0), ..Life::default() };
            match *fact.what {
                Observation::Assigned { message, owner, channel, count, .. } => {
                    self.assigned += 1;
                    let life = lives.entry(message).or_insert_with(born);
                    let name = || format!("message {message} of {}", ledger.group(group));
                    if let Some(settled) = life.settled {
                        let sentence = format!(
                            "{} was settled at {}, and given to channel {channel} of {owner} at {}",
                            name(),
                            ledger.clock(settled),
                            ledger.clock(at)
                        );
                        self.resurrected.get_or_insert(Told { sentence, events: vec![settled, at] });
                    } else if let Some(first) = life.held {
                        let sentence = format!(
                            "{} belonged to channel {} of {} since {}, and was given to channel {channel} of {owner} \
                             at {} as well",
                            name(),
                            first.channel,
                            first.node,
                            ledger.clock(first.since),
                            ledger.clock(at)
                        );
                        self.shared.get_or_insert(Told { sentence, events: vec![first.since, at] });
                    }
                    if let Some(expected) = life.count.filter(|expected| *expected != count) {
                        let sentence = format!(
                            "{} had been put back {expected} times when it was given to channel {channel} of {owner} \
                             at {}, with a delivery count of {count}",
                            name(),
                            ledger.clock(at)
                        );
                        let events = life.requeued.into_iter().chain([at]).collect();
                        self.miscounted.get_or_insert(Told { sentence, events });
                        life.miscounted = true;
                    }
                    let holder = Owner { node: owner, channel, since: at, sent: None };
                    life.count = Some(count);
                    life.held = Some(holder);
                    assignments.entry((message, count)).or_insert(holder);
                }
                Observation::Requeued { message, .. } => {
                    let life = lives.entry(message).or_insert_with(born);
                    if let Some(settled) = life.settled {
                        let sentence = format!(
                            "message {message} of {} was settled at {}, and put back at {}",
                            ledger.group(group),
                            ledger.clock(settled),
                            ledger.clock(at)
                        );
                        self.resurrected.get_or_insert(Told { sentence, events: vec![settled, at] });
                    }
                    life.held = None;
                    life.requeued = Some(at);
                    // Of a queue that is known from a snapshot on, the first requeue of a message tells no count.
                    life.count = life.count.map(|count| count.saturating_add(1));
                }
                Observation::Settled { message, .. } => {
                    let life = lives.entry(message).or_insert_with(born);
                    life.held = None;
                    if life.settled.is_none() {
                        life.settled = Some(at);
                        self.settled += 1;
                    }
                }
                _ => {}
            }
        }
        (lives, assignments)
    }

    /// Holds what nodes sent to their clients against what the queues gave to them.
    fn deliveries(&mut self, ledger: &Ledger<'_>, queues: &mut BTreeMap<GroupId, (BTreeMap<u64, Life>, Assignments)>) {
        for fact in &ledger.tape().deliveries {
            let (at, node) = (fact.at, fact.node);
            let Observation::Delivered { group, message, channel, count, .. } = *fact.what else { continue };
            let judged = |tape: &QueueTape<'_>| tape.whole && tape.broken.is_none();
            let tape = ledger.tape().queues.get(&group);
            let Some((lives, assignments)) = queues.get_mut(&group).filter(|_| tape.is_some_and(judged)) else {
                continue;
            };
            if lives.get(&message).is_some_and(|life| life.miscounted) {
                continue;
            }
            let settled = lives.get(&message).and_then(|life| life.settled).filter(|settled| *settled < at);
            let name = format!("message {message} of {}", ledger.group(group));
            let assignment = assignments.get_mut(&(message, count));
            let given = assignment
                .filter(|owner| (owner.node, owner.channel) == (node, channel) && owner.since < at)
                .map(|owner| (owner.since, owner.sent.replace(at)));
            match (given, settled) {
                (Some((_, None)), _) => {}
                (Some((since, Some(sent))), Some(settled)) => {
                    let sentence = format!(
                        "{name} was settled at {}; {node}, which had sent it to the client of channel {channel} at \
                         {}, sent it again at {}",
                        ledger.clock(settled),
                        ledger.clock(sent),
                        ledger.clock(at)
                    );
                    let events = vec![since, sent, settled, at];
                    self.resurrected.get_or_insert(Told { sentence, events });
                }
                (Some((since, Some(sent))), None) => {
                    let sentence = format!(
                        "{node} sent {name} to the client of channel {channel} at {} and again at {}, both times with \
                         a delivery count of {count}",
                        ledger.clock(sent),
                        ledger.clock(at)
                    );
                    self.miscounted.get_or_insert(Told { sentence, events: vec![since, sent, at] });
                }
                (None, Some(settled)) => {
                    let sentence = format!(
                        "{name} was settled at {}; {node} sent it to the client of channel {channel} at {}, which had \
                         not been given it",
                        ledger.clock(settled),
                        ledger.clock(at)
                    );
                    self.resurrected.get_or_insert(Told { sentence, events: vec![settled, at] });
                }
                (None, None) => {
                    let sentence = format!(
                        "{node} sent {name} to the client of channel {channel} at {}, which had not been given it",
                        ledger.clock(at)
                    );
                    let owner = lives.get(&message).and_then(|life| life.held).map(|owner| owner.since);
                    let events = owner.filter(|since| *since < at).into_iter().chain([at]).collect();
                    self.shared.get_or_insert(Told { sentence, events });
                }
            }
        }
    }
}

/// How often a client received a message that another, whose channel it did not know to be lost, had not settled.
fn overlaps(ledger: &Ledger<'_>) -> u64 {
    let without_acks: BTreeSet<_> =
        ledger.subscriptions.iter().filter(|s| s.no_ack).map(|s| (s.channel, s.queue)).collect();
    let mut held: BTreeMap<ChannelId, BTreeMap<u64, u32>> = BTreeMap::new();
    // How many channels hold each attempt.
    let mut holders: BTreeMap<u32, u64> = BTreeMap::new();
    let mut overlaps = 0;
    let mut next = 0;
    for event in &ledger.history.events {
        let settled = match event.kind {
            EventKind::Deliver { channel, queue, delivery }
            | EventKind::GetReply { channel, queue, delivery: Some(delivery) } => {
                let attempt = ledger.sightings[next].attempt;
                next += 1;
                let Some(attempt) = attempt.filter(|_| !without_acks.contains(&(channel, queue))) else { continue };
                let holders = holders.entry(attempt).or_insert(0);
                overlaps += u64::from(*holders > 0);
                *holders += 1;
                held.entry(channel).or_default().insert(delivery.tag, attempt).into_iter().collect()
            }
            EventKind::Settle { channel, tag, settle } => {
                held.get_mut(&channel).map(|tags| take(tags, tag, settle)).unwrap_or_default()
            }
            EventKind::ChannelLost { channel, .. } => {
                held.remove(&channel).map(|tags| tags.into_values().collect()).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        for attempt in settled {
            if let Some(holders) = holders.get_mut(&attempt) {
                *holders -= 1;
            }
        }
    }
    overlaps
}
