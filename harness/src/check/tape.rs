//! What happened to each queue, in the order of its log and each fact once: replicas tell the same of the same entry,
//! so the first that applied an entry is believed.
//!
//! A replica tells what an entry did right before it tells that it applied it. What a crash cuts off in between is
//! dropped; another replica, or the same one after its restart, tells it again.

use std::collections::BTreeMap;

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    logs::Entry,
};
use crate::history::EventKind;

/// One thing that an entry did.
pub(crate) struct Fact<'h> {
    /// When the first replica told it.
    pub(crate) at: Position,
    /// That replica.
    pub(crate) node: NodeId,
    pub(crate) what: &'h Observation,
}

/// What is known of one queue.
#[derive(Default)]
pub(crate) struct QueueTape<'h> {
    /// In log order; [`Observation::Applied`] ends each entry.
    pub(crate) facts: Vec<Fact<'h>>,
    /// It begins with the queue: nothing is known only from a snapshot.
    pub(crate) whole: bool,
    /// Why it ends early.
    pub(crate) broken: Option<String>,
    entries: Vec<Entry>,
    first: u64,
}

/// All queues, and what nodes sent to clients.
#[derive(Default)]
pub(crate) struct Tape<'h> {
    pub(crate) queues: BTreeMap<GroupId, QueueTape<'h>>,
    /// [`Observation::Delivered`], in the order of sending.
    pub(crate) deliveries: Vec<Fact<'h>>,
}

impl<'h> Tape<'h> {
    pub(crate) fn new(ledger: &Ledger<'h>) -> Self {
        let mut tape = Self::default();
        let mut open: BTreeMap<(NodeId, GroupId), Vec<Fact<'h>>> = BTreeMap::new();
        for (at, event) in ledger.history.events.iter().enumerate() {
            let (node, what) = match &event.kind {
                EventKind::Observed { node, observation } => (*node, observation),
                EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                    open.retain(|(of, _), _| of != node);
                    continue;
                }
                _ => continue,
            };
            match *what {
                Observation::Delivered { .. } => tape.deliveries.push(Fact { at, node, what }),
                Observation::Enqueued { group, .. }
                | Observation::ConsumerAttached { group, .. }
                | Observation::ConsumerDetached { group, .. }
                | Observation::Assigned { group, .. }
                | Observation::Requeued { group, .. }
                | Observation::Settled { group, .. } => {
                    open.entry((node, group)).or_default().push(Fact { at, node, what });
                }
                Observation::Applied { group, index, term, hash, .. } if group != GroupId::META => {
                    let mut facts = open.remove(&(node, group)).unwrap_or_default();
                    facts.push(Fact { at, node, what });
                    let entry = Entry { term: term.0, hash };
                    tape.queues.entry(group).or_default().apply(index.0, entry, facts);
                }
                Observation::SnapshotInstalled { group, .. } | Observation::GroupClosed { group } => {
                    open.remove(&(node, group));
                }
                _ => {}
            }
        }
        tape
    }

    /// Why some queue cannot be judged to its end, if so.
    pub(crate) fn broken(&self, ledger: &Ledger<'_>) -> Option<String> {
        self.queues.iter().find_map(|(group, queue)| {
            let reason = queue.broken.as_ref()?;
            Some(format!("{}: {reason}", ledger.group(*group)))
        })
    }
}

impl<'h> QueueTape<'h> {
    fn apply(&mut self, index: u64, entry: Entry, facts: Vec<Fact<'h>>) {
        if self.broken.is_some() {
            return;
        }
        if self.entries.is_empty() {
            self.first = index;
            self.whole = index == 1;
        }
        let next = self.first + self.entries.len() as u64;
        if index == next {
            self.entries.push(entry);
            self.facts.extend(facts);
        } else if index > next {
            self.broken = Some(format!("nobody told what entries {next} to {} did", index - 1));
        } else if index.checked_sub(self.first).is_some_and(|at| self.entries[at as usize] != entry) {
            self.broken = Some(format!("replicas applied different entries at {index}"));
        }
    }
}
