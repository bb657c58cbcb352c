//! Elections that were decided by a voter which had forgotten what it promised.
//!
//! A node whose disk lost synced data, and does not show it, comes back as a voter that denies its votes and the log
//! that it acknowledged. Two majorities have a node in common; if that one has forgotten, a leader can be elected
//! without what was committed, and no broker can prevent it. It takes such a voter's vote, or its own election, before
//! it has acknowledged again what it once had. With none of these, nothing is excused; nor is anything if the disk was
//! empty: its node sees that (its sessions begin anew), and must not count until it is whole.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation, RecoveredState, Term};

use super::ledger::{Ledger, Position};
use crate::history::EventKind;

/// The first election that a forgetful voter decided.
pub(super) struct Decided {
    pub(super) group: GroupId,
    pub(super) term: Term,
    pub(super) leader: NodeId,
    pub(super) forgetful: NodeId,
    pub(super) at: Position,
}

pub(super) fn decided(ledger: &Ledger<'_>) -> Option<Decided> {
    // Up to where every node has promised to hold its log, and the newest term that it has voted in.
    let mut promised: BTreeMap<(NodeId, GroupId), (u64, Term)> = BTreeMap::new();
    let mut damaged: BTreeSet<NodeId> = BTreeSet::new();
    let mut forgetful: BTreeSet<(NodeId, GroupId)> = BTreeSet::new();
    let mut sessions: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut votes: BTreeMap<(GroupId, Term, NodeId), NodeId> = BTreeMap::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::SyncedDataLost { node } => {
                damaged.insert(*node);
                continue;
            }
            // A process knows what it has read until it ends.
            EventKind::NodeUp { node } if damaged.remove(node) => {
                let of_node = promised.range((*node, GroupId(0))..=(*node, GroupId(u64::MAX)));
                forgetful.extend(of_node.map(|(of, _)| *of));
                continue;
            }
            EventKind::Observed { node, observation } => (*node, observation),
            _ => continue,
        };
        match *observation {
            Observation::AppendAcknowledged { group, index, .. } | Observation::Persisted { group, last: index } => {
                let before = promised.entry((node, group)).or_default();
                if index.0 >= before.0 {
                    before.0 = index.0;
                    forgetful.remove(&(node, group));
                }
            }
            Observation::VoteGranted { group, term, candidate } => {
                let before = promised.entry((node, group)).or_default();
                before.1 = before.1.max(term);
                if forgetful.contains(&(node, group)) {
                    votes.insert((group, term, candidate), node);
                }
            }
            Observation::Started { incarnation } => {
                let before = sessions.insert(node, incarnation);
                if before.is_some_and(|before| incarnation != before + 1) {
                    forgetful.retain(|(of, _)| *of != node);
                }
            }
            // What the disk lost was nothing that counts.
            Observation::Recovered(ref state) => {
                let RecoveredState { group, term, snapshot, last, .. } = **state;
                let before = promised.get(&(node, group)).copied().unwrap_or_default();
                if last.max(snapshot).0.0 >= before.0 && term >= before.1 {
                    forgetful.remove(&(node, group));
                }
            }
            Observation::BecameLeader { group, term } => {
                let voter = votes.get(&(group, term, node)).copied();
                let itself = forgetful.contains(&(node, group)).then_some(node);
                if let Some(forgetful) = itself.or(voter) {
                    return Some(Decided { group, term, leader: node, forgetful, at });
                }
            }
            _ => {}
        }
    }
    None
}
