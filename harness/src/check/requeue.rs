//! `requeue-order`: requeued messages go back to their original position, ahead of all that came later.
//!
//! From inside, exactly: each node's stream of assignments is replayed, and no message may be assigned while one with
//! a lower number is ready. Numbers follow the log, so a lower number that is assigned later for the first time was
//! ready too. A replay starts anew wherever a node's state comes from elsewhere (a start, a snapshot).
//!
//! From the client's side, only where it can be known who takes what: while a queue has a single channel that takes
//! from it, what that channel gave back comes back to it in order. That ends when the channel receives what it still
//! holds: the queue has taken it back on its own, and what the channel then gives back may be nothing to the queue.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    prefetch::take,
    verdict::{Judgement, Witness},
};
use crate::history::{ChannelId, Delivery, EventKind, QueueId, Settle};

const UNIT: &str = "assignments";

pub(crate) fn requeue_order(ledger: &Ledger<'_>) -> Judgement {
    let (inside, witness) = replay(ledger);
    if let Some(witness) = witness {
        return Judgement::violated(inside, UNIT, witness);
    }
    let (outside, witness) = single_takers(ledger);
    Judgement::unless(inside + outside, UNIT, witness)
}

/// One queue as one node's stream tells it, since its state was last unknown.
#[derive(Default)]
struct Replay {
    /// Requeued and not assigned since, with the requeue's event.
    ready: BTreeMap<u64, Position>,
    /// First assignments that rose above all before: in rising order.
    risen: Vec<(u64, Position)>,
    /// Assigned after a requeue.
    others: BTreeSet<u64>,
}

fn replay(ledger: &Ledger<'_>) -> (u64, Option<Witness>) {
    let mut replays: BTreeMap<(NodeId, GroupId), Replay> = BTreeMap::new();
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::Observed { node, observation } => (*node, observation),
            EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                replays.retain(|(of, _), _| of != node);
                continue;
            }
            _ => continue,
        };
        match *observation {
            Observation::Assigned { group, message, .. } => {
                checked += 1;
                let replay = replays.entry((node, group)).or_default();
                if let Some((lower, since, overtaken_by)) = replay.assign(message, at) {
                    let mut events = vec![since, overtaken_by, at];
                    events.dedup();
                    let sentence = if overtaken_by == at {
                        format!(
                            "message {lower} of {} was put back at {} and still ready when message {message} was \
                             given away at {} (seen by {node})",
                            ledger.group(group),
                            ledger.clock(since),
                            ledger.clock(at)
                        )
                    } else {
                        format!(
                            "a message of {} with a higher number than {message} was given away at {}, but {message} \
                             only at {} (seen by {node})",
                            ledger.group(group),
                            ledger.clock(overtaken_by),
                            ledger.clock(at)
                        )
                    };
                    return (checked, Some(Witness { sentence, events }));
                }
            }
            Observation::Requeued { group, message } => {
                replays.entry((node, group)).or_default().ready.insert(message, at);
            }
            Observation::Settled { group, message } => {
                replays.entry((node, group)).or_default().ready.remove(&message);
            }
            Observation::SnapshotInstalled { group, .. }
            | Observation::GroupOpened { group, .. }
            | Observation::GroupClosed { group } => {
                replays.remove(&(node, group));
            }
            Observation::Recovered(ref state) => {
                replays.remove(&(node, state.group));
            }
            Observation::Started { .. } => replays.retain(|(of, _), _| *of != node),
            _ => {}
        }
    }
    (checked, None)
}

impl Replay {
    /// The message that should have been assigned instead, since when it was ready, and the assignment that overtook
    /// it.
    fn assign(&mut self, message: u64, at: Position) -> Option<(u64, Position, Position)> {
        let requeued = self.ready.remove(&message).is_some();
        if let Some((&lower, &since)) = self.ready.first_key_value().filter(|(lower, _)| **lower < message) {
            return Some((lower, since, at));
        }
        if requeued {
            self.others.insert(message);
            return None;
        }
        match self.risen.last() {
            Some(&(highest, _)) if message <= highest => {
                let known = self.risen.binary_search_by_key(&message, |(number, _)| *number);
                match known {
                    Err(above) if !self.others.contains(&message) => {
                        let (_, overtaken_by) = self.risen[above];
                        Some((message, overtaken_by, overtaken_by))
                    }
                    _ => None,
                }
            }
            _ => {
                self.risen.push((message, at));
                None
            }
        }
    }
}

/// The only channel that has ever taken from a queue.
struct Taker {
    channel: ChannelId,
    /// Unsettled: tag to attempt.
    held: BTreeMap<u64, u32>,
    /// The attempts among them.
    holding: BTreeSet<u32>,
    /// Given back and not seen since: attempt to the settle's event and its place among all given back.
    waiting: BTreeMap<u32, (Position, u64)>,
    given_back: u64,
    get: Option<Position>,
}

fn single_takers(ledger: &Ledger<'_>) -> (u64, Option<Witness>) {
    // `None`: more than one channel has taken from the queue.
    let mut takers: BTreeMap<QueueId, Option<Taker>> = BTreeMap::new();
    let mut next = 0;
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        match event.kind {
            EventKind::Subscribe { channel, queue, .. } => {
                enter(&mut takers, channel, queue);
            }
            EventKind::Get { channel, queue, .. } => {
                if let Some(taker) = enter(&mut takers, channel, queue) {
                    taker.get = Some(at);
                }
            }
            EventKind::Deliver { channel, queue, delivery }
            | EventKind::GetReply { channel, queue, delivery: Some(delivery) } => {
                let attempt = ledger.sightings[next].attempt;
                next += 1;
                let Some(taker) = enter(&mut takers, channel, queue) else { continue };
                let got = matches!(event.kind, EventKind::GetReply { .. }).then(|| taker.get.take()).flatten();
                let Some(attempt) = attempt else { continue };
                if taker.holding.contains(&attempt) {
                    takers.insert(queue, None);
                    continue;
                }
                checked += u64::from(!taker.waiting.is_empty());
                if let Some(witness) = taker.receive(ledger, attempt, delivery, got, at) {
                    return (checked, Some(witness));
                }
            }
            EventKind::Settle { channel, tag, settle } => {
                for taker in takers.values_mut().flatten().filter(|taker| taker.channel == channel) {
                    taker.settle(tag, settle, at);
                }
            }
            EventKind::ChannelLost { channel, .. } => {
                takers
                    .values_mut()
                    .filter(|t| t.as_ref().is_some_and(|t| t.channel == channel))
                    .for_each(|t| *t = None);
            }
            // A node that got a snapshot in place of the log learns of its clients' deliveries in another way.
            EventKind::Observed { observation: Observation::SnapshotInstalled { .. }, .. } => {
                takers.values_mut().flatten().for_each(|taker| taker.waiting.clear());
            }
            _ => {}
        }
    }
    (checked, None)
}

fn enter(takers: &mut BTreeMap<QueueId, Option<Taker>>, channel: ChannelId, queue: QueueId) -> Option<&mut Taker> {
    let slot = takers.entry(queue).or_insert_with(|| {
        let (held, waiting) = (BTreeMap::new(), BTreeMap::new());
        Some(Taker { channel, held, holding: BTreeSet::new(), waiting, given_back: 0, get: None })
    });
    if slot.as_ref().is_some_and(|taker| taker.channel != channel) {
        *slot = None;
    }
    slot.as_mut()
}

impl Taker {
    fn settle(&mut self, tag: u64, settle: Settle, at: Position) {
        let back = matches!(settle, Settle::Reject { requeue: true } | Settle::Nack { requeue: true, .. });
        for attempt in take(&mut self.held, tag, settle) {
            self.holding.remove(&attempt);
            if back {
                self.given_back += 1;
                self.waiting.insert(attempt, (at, self.given_back));
            }
        }
    }

    /// Attempts are numbered in order of publish, so of one publishing channel the lower number comes first.
    fn receive(
        &mut self,
        ledger: &Ledger<'_>,
        attempt: u32,
        delivery: Delivery,
        got: Option<Position>,
        at: Position,
    ) -> Option<Witness> {
        self.held.insert(delivery.tag, attempt);
        self.holding.insert(attempt);
        let here = &ledger.attempts[attempt as usize];
        let back = self.waiting.remove(&attempt);
        let overtaken = match back {
            // Both were given back, the earlier one no later than this one.
            Some((_, place)) => self.waiting.first_key_value().filter(|(other, (_, before))| {
                **other < attempt && *before < place && ledger.attempts[**other as usize].channel == here.channel
            }),
            // A get that was sent after the giving back, answered with something that was never given back.
            None if delivery.redelivered => None,
            None => self.waiting.iter().next().filter(|(_, (since, _))| got.is_some_and(|sent| *since < sent)),
        };
        let (&other, &(since, _)) = overtaken?;
        let other = &ledger.attempts[other as usize];
        let sentence = format!(
            "{} gave {} back at {}, and no one else takes from {}; yet it received {} first, at {}",
            ledger.client(self.channel),
            ledger.message(other.id),
            ledger.clock(since),
            ledger.queue(here.queue),
            ledger.message(here.id),
            ledger.clock(at)
        );
        Some(Witness { sentence, events: vec![other.published, here.published, since, at] })
    }
}
