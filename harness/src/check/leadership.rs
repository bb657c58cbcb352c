//! Half of `log-matching`, from the followers' side: in a term, a node takes entries from that term's leader only.
//!
//! What it takes of earlier terms was in the leader's log when the term began; anything else came from a leader that
//! is none any more. A node counts as being in a term once that is on its disk and it has not moved on since: what it
//! appends then, it was sent in that term. See Ongaro and Ousterhout, "In Search of an Understandable Consensus
//! Algorithm", 5.1: a server refuses requests with a stale term.

use std::collections::BTreeMap;

use warren::platform::{GroupId, NodeId, Observation, RecoveredState};

use super::{
    ledger::{Ledger, Position},
    logs::{Entry, Log, Logs},
    verdict::Witness,
};
use crate::history::EventKind;

/// The term a node is in, and the one that its disk has.
#[derive(Clone, Copy, Default)]
struct Stand {
    entered: u64,
    durable: u64,
}

/// A leader's log when its term began: its own first entry comes right after.
struct Reign {
    node: NodeId,
    log: Log,
    began: Position,
}

/// Entries of earlier terms that were held against their leader's log, and the first that is not in it.
pub(crate) fn stale_appends(ledger: &Ledger<'_>) -> (u64, Option<Witness>) {
    let mut logs = Logs::default();
    let mut stands: BTreeMap<(NodeId, GroupId), Stand> = BTreeMap::new();
    let mut reigns: BTreeMap<(GroupId, u64), Reign> = BTreeMap::new();
    let mut checked = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::Observed { node, observation } => (*node, observation),
            EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                stands.retain(|(of, _), _| of != node);
                continue;
            }
            _ => continue,
        };
        match *observation {
            Observation::Recovered(ref state) => {
                let RecoveredState { group, term, .. } = **state;
                stands.insert((node, group), Stand { entered: term.0, durable: term.0 });
            }
            Observation::EnteredTerm { group, term } => stands.entry((node, group)).or_default().entered = term.0,
            Observation::HardStatePersisted { group, term, .. } => {
                stands.entry((node, group)).or_default().durable = term.0;
            }
            Observation::Appended { group, index, term, hash } => {
                // Nobody has an entry of a term before its leader.
                reigns.entry((group, term.0)).or_insert_with(|| {
                    let mut log = logs.of(node, group).clone();
                    log.cut(index.0.saturating_sub(1));
                    Reign { node, log, began: at }
                });
                let stand = stands.get(&(node, group)).filter(|stand| stand.entered == stand.durable);
                if let Some(current) = stand.map(|stand| stand.entered).filter(|current| term.0 < *current) {
                    checked += 1;
                    let entry = Entry { term: term.0, hash };
                    let reign = reigns.get(&(group, current));
                    if let Some(fault) = fault(reign, index.0, entry) {
                        let sentence = format!(
                            "{node}, which was in term {current} of {}, appended entry {} of term {} at {}; {fault}",
                            ledger.group(group),
                            index.0,
                            term.0,
                            ledger.clock(at)
                        );
                        let events = reign.map(|reign| reign.began).into_iter().chain([at]).collect();
                        return (checked, Some(Witness { sentence, events }));
                    }
                }
            }
            _ => {}
        }
        logs.observe(node, observation);
    }
    (checked, None)
}

/// Why the leader cannot have sent the entry, if so.
fn fault(reign: Option<&Reign>, index: u64, entry: Entry) -> Option<String> {
    let Some(Reign { node, log, .. }) = reign else {
        return Some("that term had no leader".to_owned());
    };
    if log.ends_before(index) {
        return Some(format!("the log of {node}, its leader, ended at {} when the term began", log.last()));
    }
    let other = log.get(index).filter(|other| *other != entry)?;
    Some(format!("the log of {node}, its leader, had another there, of term {}", other.term))
}
