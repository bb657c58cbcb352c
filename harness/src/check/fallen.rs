//! Part of `liveness`: which nodes are gone at the end through nobody's fault but their own.
//!
//! A node that cannot go on says why and ends, whatever the cause: a failed sync, a log that bits rotted in, or a
//! snapshot of its own that it cannot read. So that it said why excuses nothing. A fault may have taken what its disk
//! had synced: then it may refuse to start for ever. Any other fault is over by the heal, which starts every node.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{NodeId, Observation};

use super::ledger::{Ledger, Position};
use crate::history::{EventKind, NodeDown};

/// An error that a fault made just before the heal ends its node within this time, in nanoseconds.
const IN_HAND: u64 = 1_000_000_000;

/// How a node ended by itself.
pub(crate) struct Fall<'h> {
    pub(crate) at: Position,
    /// As it told.
    pub(crate) reason: Option<&'h str>,
}

/// Nodes that ended by themselves, do not run at the end, and have no fault to blame: none took what their disk had
/// synced, and none can have failed them just before the heal. Whoever ended before it is started by it.
pub(crate) fn fallen<'h>(
    ledger: &Ledger<'h>,
    running: &BTreeMap<NodeId, Option<Position>>,
    healed: Position,
) -> BTreeMap<NodeId, Fall<'h>> {
    let mut lost: BTreeSet<NodeId> = BTreeSet::new();
    let mut started: BTreeMap<NodeId, Position> = BTreeMap::new();
    let mut reasons: BTreeMap<NodeId, &str> = BTreeMap::new();
    let mut fallen = BTreeMap::new();
    let healed_at = ledger.time(healed).0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        match &event.kind {
            EventKind::SyncedDataLost { node } => drop(lost.insert(*node)),
            EventKind::NodeUp { node } => {
                started.insert(*node, at);
                reasons.remove(node);
                fallen.remove(node);
            }
            EventKind::Observed { node, observation: Observation::Fatal { reason } } => {
                reasons.insert(*node, reason);
            }
            EventKind::NodeDown { node, how: NodeDown::Exited } if !lost.contains(node) => {
                let before_heal = started.get(node).is_none_or(|since| ledger.time(*since).0 < healed_at);
                let just_after = at > healed && event.at.0 <= healed_at.saturating_add(IN_HAND);
                if !(before_heal && just_after) {
                    fallen.insert(*node, Fall { at, reason: reasons.get(node).copied() });
                }
            }
            EventKind::NodeDown { node, .. } => drop(fallen.remove(node)),
            _ => {}
        }
    }
    fallen.retain(|node, _| running.get(node).is_some_and(Option::is_none));
    fallen
}
