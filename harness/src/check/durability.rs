//! `durability`: a node that restarts, after a kill or a power loss, remembers what it had promised.
//!
//! Promises: a vote that was sent; a log that was acknowledged to the leader; a log that the node itself counted as
//! durable (a leader counts its own log towards the majority). What was never promised may be lost. A promise ends
//! when the leader replaces the entries that it speaks of, and with its queue: then other members close the group too.
//! A member that closes alone a group that goes on has forgotten it, without any restart.

use std::collections::{BTreeMap, VecDeque};

use warren::platform::{GroupId, LogIndex, NodeId, Observation, RecoveredState, Term};

use super::{
    ledger::{Ledger, Position},
    logs::Logs,
    verdict::{Judgement, Witness, down},
};
use crate::history::EventKind;

const UNIT: &str = "promises of restarted nodes";

/// What one node has promised for one group, with the event of each promise.
#[derive(Default)]
struct Promises {
    vote: Option<(Term, NodeId, Position)>,
    /// The log up to this index.
    log: Option<(u64, Position)>,
    /// The latest term in which something was acknowledged.
    term: Option<(Term, Position)>,
    /// Entries that were appended and are not known to be durable: index, and whether others were replaced by it. A
    /// node writes in order, so what it counts as durable is the oldest of them.
    unwritten: VecDeque<(u64, bool)>,
    /// How many of them replaced others.
    replacing: usize,
    /// The node's process has ended, and no new one has told yet what it recovered.
    restarted: bool,
}

/// What recovery found.
struct Found {
    term: Term,
    vote: Option<NodeId>,
    last: (LogIndex, Term),
}

pub(crate) fn durability(ledger: &Ledger<'_>) -> Judgement {
    let mut logs = Logs::default();
    let mut promises: BTreeMap<(NodeId, GroupId), Promises> = BTreeMap::new();
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::NodeDown { node, .. } => {
                for (_, promises) in promises.range_mut((*node, GroupId(0))..=(*node, GroupId(u64::MAX))) {
                    promises.restarted = true;
                    promises.unwritten.clear();
                    promises.replacing = 0;
                }
                continue;
            }
            // Promises are not expected to outlive their disk.
            EventKind::SyncedDataLost { node } => {
                promises.retain(|(of, _), _| of != node);
                continue;
            }
            EventKind::Observed { node, observation } => (*node, observation),
            _ => continue,
        };
        let witness = match *observation {
            Observation::Recovered(ref state) => {
                let RecoveredState { group, term, vote, snapshot, last, .. } = **state;
                let last = last.max(snapshot);
                let made = promises.entry((node, group)).or_default();
                checked += made.count();
                let known = logs.of(node, group).get(last.0.0).map(|entry| entry.term);
                let broken = made.broken(&Found { term, vote, last }, known);
                made.restarted = false;
                if let Some((index, _)) = &mut made.log {
                    *index = (*index).min(last.0.0);
                }
                broken.map(|(what, promised)| tell(ledger, node, group, &what, promised, at))
            }
            Observation::GroupClosed { group } => {
                let made = promises.remove(&(node, group)).unwrap_or_default();
                let kept = ledger.is_deleted(group) || !ledger.is_member(node, group) || !lives_on(ledger, group, at);
                if kept {
                    None
                } else {
                    checked += made.count();
                    made.first().map(|promised| forgot(ledger, node, group, promised, at))
                }
            }
            Observation::VoteGranted { group, .. }
            | Observation::AppendAcknowledged { group, .. }
            | Observation::BecameLeader { group, .. }
            | Observation::Appended { group, .. } => {
                let made = promises.entry((node, group)).or_default();
                let forgotten = made.restarted.then(|| made.first()).flatten();
                // It had promised nothing: whatever it promises from now on, it promises in this life.
                made.restarted = false;
                forgotten.map(|promised| tell(ledger, node, group, "everything about the group", promised, at))
            }
            _ => None,
        };
        if let Some(witness) = witness {
            return Judgement::violated(checked, UNIT, witness);
        }
        if let Some(group) = group_of_promise(observation) {
            let before = logs.of(node, group);
            let replaces = match *observation {
                Observation::Appended { index, .. } => index.0 <= before.last(),
                Observation::SnapshotInstalled { index, term, .. } => !before.contains(index.0, term.0),
                _ => false,
            };
            logs.observe(node, observation);
            let last = logs.of(node, group).last();
            promises.entry((node, group)).or_default().observe(observation, replaces, last, at);
        } else {
            logs.observe(node, observation);
        }
    }
    Judgement::holds(checked, UNIT)
}

/// Whether anybody goes on with the group after `at`.
fn lives_on(ledger: &Ledger<'_>, group: GroupId, at: Position) -> bool {
    let goes_on = |observation: &Observation| match *observation {
        Observation::Committed { group: of, .. } | Observation::BecameLeader { group: of, .. } => of == group,
        _ => false,
    };
    ledger.observations().any(|(later, _, observation)| later > at && goes_on(observation))
}

fn group_of_promise(observation: &Observation) -> Option<GroupId> {
    match *observation {
        Observation::VoteGranted { group, .. }
        | Observation::AppendAcknowledged { group, .. }
        | Observation::Persisted { group, .. }
        | Observation::Appended { group, .. }
        | Observation::SnapshotInstalled { group, .. } => Some(group),
        _ => None,
    }
}

impl Promises {
    /// `replaces`: the observation is of entries or a snapshot that replaced what the log had. `last`: where the log
    /// ends now.
    fn observe(&mut self, observation: &Observation, replaces: bool, last: u64, at: Position) {
        match *observation {
            Observation::VoteGranted { term, candidate, .. } => self.vote = Some((term, candidate, at)),
            Observation::AppendAcknowledged { term, index, .. } => {
                self.hold(index.0.min(last), at);
                if self.term.is_none_or(|(known, _)| known < term) {
                    self.term = Some((term, at));
                }
            }
            Observation::Persisted { last: durable, .. } => {
                if let Some(written) = self.unwritten.iter().position(|(index, _)| *index == durable.0) {
                    let replacing = self.unwritten.drain(..=written).filter(|(_, replaces)| *replaces).count();
                    self.replacing -= replacing;
                }
                self.hold(durable.0.min(last), at);
            }
            Observation::Appended { index, .. } => {
                self.unwritten.push_back((index.0, replaces));
                self.replacing += usize::from(replaces);
                self.release(index.0.saturating_sub(1));
            }
            // A snapshot of the node's own log replaces nothing: it is told of at each start.
            Observation::SnapshotInstalled { index, .. } if replaces && !self.restarted => self.release(index.0),
            _ => {}
        }
    }

    /// What was replaced while it was being written is no longer part of the log, and what replaced it is not durable
    /// yet.
    fn hold(&mut self, index: u64, at: Position) {
        let mut index = index;
        if self.replacing > 0 {
            let replaced = self.unwritten.iter().filter(|(_, replaces)| *replaces);
            index = replaced.map(|(replaced, _)| replaced.saturating_sub(1)).fold(index, u64::min);
        }
        if index > 0 && self.log.is_none_or(|(known, _)| known < index) {
            self.log = Some((index, at));
        }
    }

    fn release(&mut self, beyond: u64) {
        if let Some((index, _)) = &mut self.log {
            *index = (*index).min(beyond);
        }
    }

    fn count(&self) -> u64 {
        u64::from(self.vote.is_some()) + u64::from(self.log.is_some()) + u64::from(self.term.is_some())
    }

    /// Any promise, for a witness.
    fn first(&self) -> Option<Position> {
        let vote = self.vote.map(|(.., at)| at);
        vote.or(self.log.filter(|(index, _)| *index > 0).map(|(_, at)| at)).or(self.term.map(|(_, at)| at))
    }

    /// What was forgotten, and the event that had promised it. `known`: the term that the log had at the index where
    /// the recovered one ends.
    fn broken(&self, found: &Found, known: Option<u64>) -> Option<(String, Position)> {
        if let Some((term, candidate, at)) = self.vote {
            let kept = found.term > term || (found.term == term && found.vote == Some(candidate));
            if !kept {
                return Some((format!("its vote for {candidate} in term {}", term.0), at));
            }
        }
        if let Some((term, at)) = self.term.filter(|(term, _)| found.term < *term) {
            return Some((format!("that it had reached term {}", term.0), at));
        }
        let (index, at) = self.log?;
        if found.last.0.0 < index {
            return Some((format!("its log beyond {} (promised up to {index})", found.last.0.0), at));
        }
        let replaced = found.last.0.0 == index && known.is_some_and(|term| term != found.last.1.0);
        replaced.then(|| (format!("entry {index} of its log, which now has term {}", found.last.1.0), at))
    }
}

fn forgot(ledger: &Ledger<'_>, node: NodeId, group: GroupId, promised: Position, closed: Position) -> Witness {
    let sentence = format!(
        "{node} made a promise for {} at {}, and forgot the group at {}, which no other member has closed",
        ledger.group(group),
        ledger.clock(promised),
        ledger.clock(closed)
    );
    Witness { sentence, events: vec![promised, closed] }
}

fn tell(
    ledger: &Ledger<'_>,
    node: NodeId,
    group: GroupId,
    what: &str,
    promised: Position,
    recovered: Position,
) -> Witness {
    let mut events = vec![promised, recovered];
    let crash = ledger.crashes.iter().rfind(|crash| crash.node == node && crash.at > promised && crash.at < recovered);
    let how = crash.map_or("restarted".to_owned(), |crash| {
        events.push(crash.at);
        format!("{} at {}", down(crash.how), ledger.clock(crash.at))
    });
    let sentence = format!(
        "{node} made a promise for {} at {}, {how}, and came back at {} having forgotten {what}",
        ledger.group(group),
        ledger.clock(promised),
        ledger.clock(recovered)
    );
    Witness { sentence, events }
}
