//! Part of `liveness`, from inside: what belongs to a process that is gone is given back, whether it returns or not.
//!
//! Judged during the faults too, where it can be: a node is down, and for a whole bound another one leads the queue
//! and has something committed afterwards. By then nothing may be assigned to the node that is down, and no consumer
//! of its clients be served. How long a node must be silent before it is given up is the broker's choice; the bound is
//! never taken for less than [`GIVE_UP_MIN`]. The leader counts that time itself: what passes while its process is held
//! or its clock is slow does not count, and afterwards it begins anew.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    tape::QueueTape,
    verdict::{Witness, seconds},
};
use crate::history::EventKind;

/// Twice the silence after which Warren gives a node up, in nanoseconds.
const GIVE_UP_MIN: u64 = 10_000_000_000;

/// A moment by which a queue must have let go of a node.
struct Due {
    group: GroupId,
    /// The node that is down, since when.
    gone: NodeId,
    since: Position,
    /// The leader's commit that shows that it could.
    at: Position,
}

/// How many queues had to let go of a node that is down, and the first that did not.
pub(crate) fn held_by_the_gone(ledger: &Ledger<'_>, bound: u64) -> (u64, Option<Witness>) {
    let dues = dues(ledger, bound.max(GIVE_UP_MIN));
    let witness = dues.iter().find_map(|due| {
        let tape = ledger.tape().queues.get(&due.group).filter(|tape| tape.whole && tape.broken.is_none())?;
        let (what, assigned) = kept(tape, due)?;
        let sentence = format!(
            "{what} of {} still belonged to {} at {}, {} after its process had ended, although another node led all \
             that time",
            ledger.group(due.group),
            due.gone,
            ledger.clock(due.at),
            seconds(ledger.time(due.at).0 - ledger.time(due.since).0)
        );
        Some(Witness { sentence, events: vec![assigned, due.since, due.at] })
    });
    (dues.len() as u64, witness)
}

fn dues(ledger: &Ledger<'_>, bound: u64) -> Vec<Due> {
    let mut down: BTreeMap<NodeId, Position> = BTreeMap::new();
    let mut leaders: BTreeMap<GroupId, (NodeId, Position)> = BTreeMap::new();
    let mut slowed: BTreeSet<NodeId> = BTreeSet::new();
    let mut settled: BTreeMap<(GroupId, NodeId), Position> = BTreeMap::new();
    let mut dues = Vec::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        match &event.kind {
            EventKind::NodeUp { node } => drop(down.remove(node)),
            EventKind::NodeDown { node, .. } => {
                down.insert(*node, at);
                leaders.retain(|_, (leader, _)| leader != node);
            }
            EventKind::Slowed { node } => drop(slowed.insert(*node)),
            EventKind::UpToSpeed { node } => {
                slowed.remove(node);
                leaders.values_mut().filter(|(leader, _)| leader == node).for_each(|(_, led)| *led = at);
            }
            EventKind::Observed { node, observation: Observation::BecameLeader { group, .. } } => {
                leaders.insert(*group, (*node, at));
            }
            EventKind::Observed { node, observation: Observation::SteppedDown { group, .. } } => {
                leaders.retain(|of, (leader, _)| of != group || leader != node);
            }
            EventKind::Observed { node, observation: Observation::Committed { group, .. } }
                if !slowed.contains(node) =>
            {
                let Some((_, led)) = leaders.get(group).filter(|(leader, _)| leader == node) else { continue };
                for (&gone, &since) in &down {
                    let due = ledger.time(since.max(*led)).0.saturating_add(bound);
                    // Once for each time that a node is down.
                    if ledger.time(at).0 >= due && settled.insert((*group, gone), since) != Some(since) {
                        dues.push(Due { group: *group, gone, since, at });
                    }
                }
            }
            _ => {}
        }
    }
    dues
}

/// Something that the node still has when it is due.
fn kept(tape: &QueueTape<'_>, due: &Due) -> Option<(String, Position)> {
    let mut held: BTreeMap<u64, (NodeId, Position)> = BTreeMap::new();
    let mut consumers: BTreeMap<(NodeId, u64, u64), Position> = BTreeMap::new();
    for fact in tape.facts.iter().take_while(|fact| fact.at < due.at) {
        match *fact.what {
            Observation::Assigned { message, owner, .. } => drop(held.insert(message, (owner, fact.at))),
            Observation::Settled { message, .. } | Observation::Requeued { message, .. } => drop(held.remove(&message)),
            Observation::ConsumerAttached { owner, channel, consumer, .. } => {
                consumers.insert((owner, channel, consumer), fact.at);
            }
            Observation::ConsumerDetached { owner, channel, consumer, .. } => {
                consumers.remove(&(owner, channel, consumer));
            }
            _ => {}
        }
    }
    let message = held.into_iter().find(|(_, (owner, _))| *owner == due.gone);
    let message = message.map(|(number, (_, assigned))| (format!("message {number}"), assigned));
    let consumer = consumers.into_iter().find(|((owner, ..), _)| *owner == due.gone);
    message
        .or_else(|| consumer.map(|((_, channel, _), attached)| (format!("a consumer on channel {channel}"), attached)))
}
