//! What Raft's bookkeeping promises: `log-matching` and `monotonic`.
//!
//! See Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", figure 3: log matching.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot};

use warren::platform::{GroupId, NodeId, Observation, RecoveredState};

use super::{
    leadership::stale_appends,
    ledger::{Ledger, Position},
    logs::Logs,
    verdict::{Judgement, Witness},
};
use crate::history::{EventKind, NodeDown};

/// Entries of the same index and term are the same, and follow the same.
///
/// It is enough to compare each entry and the term of the one before it: by induction everything before is the same
/// too. What a node had neither synced nor acknowledged when its power went, and did not find again, was in no log.
pub(crate) fn log_matching(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "comparisons of entries";
    let mut logs = Logs::default();
    let mut known = Entries::new();
    let mut unsynced = Unsynced::default();
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        unsynced.look(&event.kind, &mut known);
        let EventKind::Observed { node, observation } = &event.kind else { continue };
        let node = *node;
        if let Observation::Appended { group, index, term, hash } = *observation {
            let before = match index.0 {
                0 | 1 => Some(0),
                index => logs.of(node, group).get(index - 1).map(|entry| entry.term),
            };
            let before = before.map(|term| (term, node, at));
            match known.entry((group, index.0, term.0)) {
                Slot::Vacant(slot) => {
                    slot.insert(Known { hash, before, node, at, holders: vec![node] });
                }
                Slot::Occupied(mut slot) => {
                    let known = slot.get_mut();
                    if !known.holders.contains(&node) {
                        known.holders.push(node);
                    }
                    checked += 1;
                    let name = || format!("entry {} of {} in term {}", index.0, ledger.group(group), term.0);
                    if known.hash != hash {
                        let sentence = format!(
                            "{} has other contents in the log of {node} (at {}) than in that of {} (at {})",
                            name(),
                            ledger.clock(at),
                            known.node,
                            ledger.clock(known.at)
                        );
                        return Judgement::violated(checked, UNIT, Witness { sentence, events: vec![known.at, at] });
                    }
                    match (known.before, before) {
                        (Some((expected, other, since)), Some((found, ..))) if expected != found => {
                            let sentence = format!(
                                "{} follows an entry of term {expected} in the log of {other} (at {}), and one of term \
                                 {found} in that of {node} (at {})",
                                name(),
                                ledger.clock(since),
                                ledger.clock(at)
                            );
                            return Judgement::violated(checked, UNIT, Witness { sentence, events: vec![since, at] });
                        }
                        (None, _) => known.before = before,
                        _ => {}
                    }
                }
            }
        }
        logs.observe(node, observation);
    }
    let (held_against, witness) = stale_appends(ledger);
    Judgement::unless(checked + held_against, UNIT, witness)
}

/// An entry, by group, index and term, that some log has or had.
struct Known {
    hash: u64,
    /// The term of the entry before, once some log told it.
    before: Option<(u64, NodeId, Position)>,
    node: NodeId,
    at: Position,
    /// Whose logs told of it.
    holders: Vec<NodeId>,
}

type Entries = BTreeMap<(GroupId, u64, u64), Known>;

/// What power losses take from logs before anything rests on it.
#[derive(Default)]
struct Unsynced {
    /// Up to where each log is synced or acknowledged.
    kept: BTreeMap<(NodeId, GroupId), u64>,
    /// Nodes that lost power and have not told yet what they found.
    dark: BTreeSet<NodeId>,
    /// What they found so far: the last index of each group's log.
    found: BTreeMap<(NodeId, GroupId), u64>,
}

impl Unsynced {
    fn look(&mut self, event: &EventKind, known: &mut Entries) {
        match event {
            EventKind::NodeDown { node, how: NodeDown::PowerLost } => {
                self.dark.insert(*node);
            }
            EventKind::Observed { node, observation } => match *observation {
                Observation::Persisted { group, last: index }
                | Observation::AppendAcknowledged { group, index, .. } => {
                    let kept = self.kept.entry((*node, group)).or_default();
                    *kept = (*kept).max(index.0);
                }
                Observation::Recovered(ref state) if self.dark.contains(node) => {
                    self.found.insert((*node, state.group), state.last.max(state.snapshot).0.0);
                }
                // By now it has told of everything that it found.
                Observation::Started { .. } if self.dark.remove(node) => self.forget(*node, known),
                _ => {}
            },
            _ => {}
        }
    }

    fn forget(&mut self, node: NodeId, known: &mut Entries) {
        known.retain(|(group, index, _), entry| {
            let log = (node, *group);
            let [kept, found] = [&self.kept, &self.found].map(|last| last.get(&log).copied().unwrap_or(0));
            if *index > kept.max(found) {
                entry.holders.retain(|holder| *holder != node);
                entry.before = entry.before.filter(|(_, told, _)| *told != node);
            }
            !entry.holders.is_empty()
        });
        self.found.retain(|(of, _), _| *of != node);
    }
}

/// One node's view of one group.
#[derive(Default)]
struct Progress {
    term: Option<(u64, Position)>,
    commit: Option<(u64, Position)>,
    applied: Option<(u64, Position)>,
    /// On its disk, as far as it believes.
    durable_term: Option<(u64, Position)>,
    durable_commit: Option<(u64, Position)>,
}

/// A node's term, commit index and applied index only rise while it runs, and it applies entry after entry. After a
/// restart, term and commit index are not below what its disk had; what it applied it may apply again.
pub(crate) fn monotonic(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "steps";
    let mut all = Nodes::new();
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::Observed { node, observation } => (*node, observation),
            EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                for (_, progress) in all.range_mut((*node, GroupId(0))..=(*node, GroupId(u64::MAX))) {
                    progress.restart();
                }
                continue;
            }
            // It is known to have forgotten.
            EventKind::SyncedDataLost { node } => {
                all.retain(|(of, _), _| of != node);
                continue;
            }
            _ => continue,
        };
        let Some((group, fall)) = step(&mut all, node, observation, at) else { continue };
        checked += 1;
        if let Some(Fall { what, from, since, to }) = fall {
            let sentence = format!(
                "{node}'s {what} of {} was {from} at {}, and {to} at {}",
                ledger.group(group),
                ledger.clock(since),
                ledger.clock(at)
            );
            let crashes = ledger.crashes.iter().filter(|crash| crash.node == node && crash.at > since && crash.at < at);
            let events = [since, at].into_iter().chain(crashes.map(|crash| crash.at)).collect();
            return Judgement::violated(checked, UNIT, Witness { sentence, events });
        }
    }
    Judgement::holds(checked, UNIT)
}

type Nodes = BTreeMap<(NodeId, GroupId), Progress>;

struct Fall {
    what: &'static str,
    from: u64,
    since: Position,
    to: u64,
}

impl Progress {
    fn restart(&mut self) {
        (self.term, self.commit, self.applied) = (None, None, None);
    }
}

/// Moves `of` to `to`, which must be at least `least` more.
fn advance(of: &mut Option<(u64, Position)>, what: &'static str, to: u64, least: u64, at: Position) -> Option<Fall> {
    let fall = of.filter(|(from, _)| to < from + least).map(|(from, since)| Fall { what, from, since, to });
    *of = Some((to, at));
    fall
}

/// Takes in an observation, if it is of a group's progress.
fn step<'a>(
    all: &'a mut Nodes,
    node: NodeId,
    observation: &Observation,
    at: Position,
) -> Option<(GroupId, Option<Fall>)> {
    let of = |all: &'a mut Nodes, group| -> &'a mut Progress { all.entry((node, group)).or_default() };
    Some(match *observation {
        Observation::GroupOpened { group, .. } => {
            of(all, group).applied = Some((0, at));
            (group, None)
        }
        Observation::GroupClosed { group } => {
            all.remove(&(node, group));
            return None;
        }
        Observation::EnteredTerm { group, term } => (group, advance(&mut of(all, group).term, "term", term.0, 1, at)),
        Observation::BecameLeader { group, term } => (group, advance(&mut of(all, group).term, "term", term.0, 0, at)),
        Observation::Committed { group, index, .. } => {
            (group, advance(&mut of(all, group).commit, "commit index", index.0, 1, at))
        }
        Observation::HardStatePersisted { group, term, commit } => {
            let progress = of(all, group);
            let term = advance(&mut progress.durable_term, "durable term", term.0, 0, at);
            let commit = advance(&mut progress.durable_commit, "durable commit index", commit.0, 0, at);
            (group, term.or(commit))
        }
        Observation::Recovered(ref state) => {
            let RecoveredState { group, term, commit, .. } = **state;
            let progress = of(all, group);
            let found_term = advance(&mut progress.durable_term, "durable term", term.0, 0, at);
            let found_commit = advance(&mut progress.durable_commit, "durable commit index", commit.0, 0, at);
            progress.term = Some((term.0, at));
            progress.commit = Some((commit.0, at));
            progress.applied = None;
            (group, found_term.or(found_commit))
        }
        Observation::SnapshotInstalled { group, index, .. } => {
            (group, advance(&mut of(all, group).applied, "applied index", index.0, 0, at))
        }
        Observation::Applied { group, index, .. } => {
            let applied = &mut of(all, group).applied;
            let gap = applied.filter(|(from, _)| *from + 1 != index.0);
            *applied = Some((index.0, at));
            (group, gap.map(|(from, since)| Fall { what: "applied index", from, since, to: index.0 }))
        }
        _ => return None,
    })
}
