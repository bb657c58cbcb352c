//! What each node did with one log entry: in memory, on disk, promised, committed, applied, and whether it came back.

use std::{cmp::Ordering, collections::BTreeMap};

use warren::platform::{NodeId, Observation};

use super::{Narrator, life::Entry};
use crate::{
    check::verdict::down,
    history::{EventKind, Nanos},
};

/// One node and one entry of a queue's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub node: NodeId,
    /// It led the queue when the entry was appended.
    pub led: bool,
    pub appended: Option<Nanos>,
    /// As far as the node itself believes.
    pub durable: Option<Nanos>,
    /// It told the leader that it has the entry.
    pub promised: Option<Nanos>,
    pub committed: Option<Nanos>,
    pub applied: Option<Nanos>,
    /// What became of the node, and of the entry there, later.
    pub fates: Vec<(Nanos, String)>,
    /// Its snapshot holds what the entry did.
    covered: bool,
    /// The entry is in its log no more: what it syncs, promises and applies under the index from now on is another.
    lost: bool,
}

impl Narrator<'_> {
    /// What each node did with `entry` from `since` on.
    pub(super) fn replicas(&self, entry: Entry, since: Nanos) -> Vec<Replica> {
        let ledger = &self.ledger;
        let new = |node: &NodeId| (*node, Replica::new(*node));
        let mut replicas: BTreeMap<NodeId, Replica> = ledger.history.nodes.iter().map(new).collect();
        let mut leader = None;
        let applied = self.entries(entry.group).into_iter().find(|one| one.index == entry.index);
        let mut place = Place { entry, contents: None, anothers: applied.is_some_and(|one| one.term != entry.term) };
        for event in &ledger.history.events {
            let at = event.at;
            match &event.kind {
                EventKind::NodeDown { node, how } => {
                    let Some(replica) = replicas.get_mut(node).filter(|replica| replica.appended.is_some()) else {
                        continue;
                    };
                    replica.fates.push((at, down(*how).to_owned()));
                }
                EventKind::SyncedDataLost { node } => {
                    if let Some(replica) = replicas.get_mut(node) {
                        replica.fates.push((at, "lost what its disk had synced".to_owned()));
                    }
                }
                EventKind::Observed { node, observation } => {
                    // What stood in its place before is known to be another.
                    if at < since && !matches!(observation, Observation::Appended { .. }) {
                        continue;
                    }
                    let Some(replica) = replicas.get_mut(node) else { continue };
                    replica.observe(at, &mut place, observation);
                    // Who made it, appended it before anybody else could.
                    if replica.appended == Some(at) {
                        leader.get_or_insert(*node);
                    }
                }
                _ => {}
            }
        }
        for replica in replicas.values_mut() {
            replica.led = Some(replica.node) == leader;
            // A leader has nobody to promise anything to; what it promises later is another leader's matter.
            if replica.led {
                replica.promised = None;
            }
        }
        replicas.into_values().collect()
    }
}

/// An entry's place in its queue's log.
struct Place {
    entry: Entry,
    /// The entry's hash, once somebody appended it: to notice when another takes its place.
    contents: Option<u64>,
    /// What was applied there is of another term.
    anothers: bool,
}

impl Replica {
    fn new(node: NodeId) -> Self {
        Self {
            node,
            led: false,
            appended: None,
            durable: None,
            promised: None,
            committed: None,
            applied: None,
            fates: Vec::new(),
            covered: false,
            lost: false,
        }
    }

    fn observe(&mut self, at: Nanos, place: &mut Place, observation: &Observation) {
        let entry = place.entry;
        let covers = |group, index| group == entry.group && index >= entry.index;
        match *observation {
            Observation::Appended { group, index, term, hash } if group == entry.group && index == entry.index => {
                if term == entry.term {
                    place.contents.get_or_insert(hash);
                }
                self.lost = term != entry.term || place.contents != Some(hash);
                if place.contents.is_none() {
                    // Whatever was there before the entry is no part of its story.
                    return;
                }
                if self.appended.is_none() && !self.lost {
                    self.appended = Some(at);
                } else if self.lost {
                    self.fates.push((at, format!("put another entry in its place, of term {}", term.0)));
                } else {
                    self.fates.push((at, "appended it again".to_owned()));
                }
            }
            Observation::Appended { group, index, term, .. }
                if group == entry.group && index < entry.index && self.has() =>
            {
                self.lost = true;
                self.fates.push((at, format!("cut its log back to {} for the leader of term {}", index.0, term.0)));
            }
            Observation::Persisted { group, last } if covers(group, last) && self.has() => {
                self.durable.get_or_insert(at);
            }
            Observation::AppendAcknowledged { group, index, .. } if covers(group, index) && self.has() => {
                self.promised.get_or_insert(at);
            }
            Observation::Committed { group, index, .. } if covers(group, index) && !self.lost => {
                self.committed.get_or_insert(at);
            }
            Observation::Applied { group, index, term, .. }
                if (group, index, term) == (entry.group, entry.index, entry.term) && !self.lost =>
            {
                self.applied.get_or_insert(at);
            }
            Observation::SnapshotInstalled { group, index, .. } if covers(group, index) => {
                (self.lost, self.covered) = (place.anothers, !place.anothers);
                let what = if place.anothers { "has another in its place" } else { "covers it" };
                self.fates.push((at, format!("took a snapshot that {what} (up to {})", index.0)));
            }
            Observation::Recovered(ref state)
                if state.group == entry.group && (self.appended.is_some() || self.covered) =>
            {
                let last = state.last.0.max(state.snapshot.0);
                self.lost = match last.cmp(&entry.index) {
                    Ordering::Less => true,
                    Ordering::Equal if state.last.0 == last => state.last.1 != entry.term,
                    Ordering::Equal | Ordering::Greater => self.lost,
                };
                self.covered &= state.snapshot.0 >= entry.index;
                let fate = if self.lost { "came back without it" } else { "came back with it" };
                self.fates.push((at, format!("{fate}: its log ends at {}", last.0)));
            }
            Observation::BecameLeader { group, term } if group == entry.group && self.knows_nothing_else() => {
                let lacks = place.contents.is_some() && !self.has() && !self.covered;
                let fate = if lacks { "was elected leader without it" } else { "was elected leader" };
                self.fates.push((at, format!("{fate}, term {}", term.0)));
            }
            _ => {}
        }
    }

    fn has(&self) -> bool {
        self.appended.is_some() && !self.lost
    }

    /// A life after the first few fates is another story.
    fn knows_nothing_else(&self) -> bool {
        self.fates.len() < 6
    }
}
