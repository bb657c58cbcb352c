//! A leader whose disk does not answer: part of `liveness`, and the one part that is owed while faults last.
//!
//! Such a leader looks alive to its followers, and as long as it leads, nobody who could do better is elected. So it
//! must step down. What counts is what it tells itself: an entry that it appended and has not found durable after the
//! bound, while it went on telling things all the time and still leads. A process that is held, or whose clock is slow,
//! owes nothing meanwhile, and then has all its time before it. The only voter of a group has nobody to step down for.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    verdict::{Witness, seconds},
};
use crate::history::EventKind;

/// A node that tells nothing for this part of the bound may be held.
const SILENCE_PART: u64 = 10;

/// A group that a node leads.
struct Leading {
    since: Position,
    alone: bool,
    /// The oldest entry that is not durable, by its index and when it was appended.
    waiting: Option<(u64, Position)>,
    last: u64,
}

/// The first leader that led on for `bound` nanoseconds without its disk. Also how many entries' syncs were watched.
pub(crate) fn stalled_leader(ledger: &Ledger<'_>, bound: u64) -> (u64, Option<Witness>) {
    let mut led: BTreeMap<(NodeId, GroupId), Leading> = BTreeMap::new();
    let mut voters: BTreeMap<(NodeId, GroupId), usize> = BTreeMap::new();
    let mut heard: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut slowed: BTreeSet<NodeId> = BTreeSet::new();
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::Observed { node, observation } => (*node, observation),
            EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                led.retain(|(of, _), _| of != node);
                continue;
            }
            EventKind::Slowed { node } => {
                slowed.insert(*node);
                continue;
            }
            EventKind::UpToSpeed { node } => {
                slowed.remove(node);
                begin_anew(&mut led, *node);
                continue;
            }
            _ => continue,
        };
        let now = event.at.0;
        if now.saturating_sub(heard.insert(node, now).unwrap_or(now)) > bound / SILENCE_PART {
            // Whatever it waits for, it may have been held.
            begin_anew(&mut led, node);
        }
        match *observation {
            Observation::Members { group, voters: ref members, .. } => {
                voters.insert((node, group), members.len());
                if let Some(leading) = led.get_mut(&(node, group)) {
                    leading.alone = members.len() < 2;
                }
            }
            Observation::BecameLeader { group, .. } => {
                let alone = voters.get(&(node, group)).is_none_or(|voters| *voters < 2);
                led.insert((node, group), Leading { since: at, alone, waiting: None, last: 0 });
            }
            Observation::SteppedDown { group, .. } | Observation::GroupClosed { group } => {
                led.remove(&(node, group));
            }
            Observation::Appended { group, index, .. } => {
                if let Some(leading) = led.get_mut(&(node, group)) {
                    leading.last = index.0;
                    leading.waiting.get_or_insert((index.0, at));
                }
            }
            Observation::Persisted { group, last } => {
                if let Some(leading) = led.get_mut(&(node, group))
                    && leading.waiting.is_some_and(|(index, _)| index <= last.0)
                {
                    checked += 1;
                    // What came after it has waited since then at the longest.
                    leading.waiting = (leading.last > last.0).then_some((last.0 + 1, at));
                }
            }
            _ => {}
        }
        if slowed.contains(&node) {
            continue;
        }
        for (&(of, group), leading) in led.range((node, GroupId(0))..=(node, GroupId(u64::MAX))) {
            let Some((index, appended)) = leading.waiting.filter(|_| !leading.alone) else { continue };
            let waited = now.saturating_sub(ledger.time(appended).0);
            if waited > bound {
                let sentence = format!(
                    "{of} led {} on although its disk did not answer: entry {index}, appended at {}, was not durable \
                     {} later",
                    ledger.group(group),
                    ledger.clock(appended),
                    seconds(waited)
                );
                return (checked, Some(Witness { sentence, events: vec![leading.since, appended, at] }));
            }
        }
    }
    (checked, None)
}

/// A node's patience with its disk begins anew.
fn begin_anew(led: &mut BTreeMap<(NodeId, GroupId), Leading>, node: NodeId) {
    led.iter_mut().filter(|((of, _), _)| *of == node).for_each(|(_, leading)| leading.waiting = None);
}
