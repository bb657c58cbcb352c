//! `quorum`: who decides, and whether enough of them did.
//!
//! Each node counts by the members that it told of last. When a commit index is heard of that no node had reached
//! before, a majority of the voters that this node counts by must have the entry in their logs (Ongaro and Ousterhout,
//! "In Search of an Understandable Consensus Algorithm", 5.3). Replicas that count by the members of one index count
//! by the same ones. A leader begins no change of members while its log holds one that it has not applied: then two
//! majorities need not meet (Ongaro, "Consensus: Bridging Theory and Practice", 4.1).

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    logs::Logs,
    verdict::{Judgement, Witness, nodes},
};
use crate::history::EventKind;

const UNIT: &str = "steps of commit indexes and members";

/// Voters and learners, as one node told of them.
type Members<'h> = [&'h [NodeId]; 2];

#[derive(Default)]
struct Quorum<'h> {
    logs: Logs,
    /// By whom each node counts, and since when.
    counted: BTreeMap<(NodeId, GroupId), (&'h [NodeId], Position)>,
    /// The members from an index on, who told of them first, and when.
    agreed: BTreeMap<(GroupId, u64), (Members<'h>, NodeId, Position)>,
    committed: BTreeMap<GroupId, u64>,
    applied: BTreeMap<(NodeId, GroupId), u64>,
    /// Changes of members by index and term, and when a leader began them.
    begun: BTreeMap<GroupId, BTreeMap<(u64, u64), Position>>,
    /// Nodes whose disk lost what it had synced, and that have not read it since.
    damaged: BTreeSet<NodeId>,
    /// Up to where a node once had a log that its disk may have forgotten: its leader may count by what it heard then.
    forgotten: BTreeMap<(NodeId, GroupId), u64>,
    checked: u64,
}

pub(crate) fn quorum(ledger: &Ledger<'_>) -> Judgement {
    let mut quorum = Quorum::default();
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, observation) = match &event.kind {
            EventKind::Observed { node, observation } => (*node, observation),
            EventKind::SyncedDataLost { node } => {
                quorum.damaged.insert(*node);
                continue;
            }
            // A process knows what it has read until it ends.
            EventKind::NodeUp { node } => {
                quorum.start(*node);
                continue;
            }
            _ => continue,
        };
        quorum.logs.observe(node, observation);
        if let Some(witness) = quorum.see(ledger, node, observation, at) {
            return Judgement::violated(quorum.checked, UNIT, witness);
        }
    }
    Judgement::holds(quorum.checked, UNIT)
}

impl<'h> Quorum<'h> {
    fn start(&mut self, node: NodeId) {
        if self.damaged.remove(&node) {
            for (group, log) in self.logs.of_node(node) {
                let had = self.forgotten.entry((node, group)).or_insert(0);
                *had = (*had).max(log.last());
            }
        }
    }

    fn see(
        &mut self,
        ledger: &Ledger<'h>,
        node: NodeId,
        observation: &'h Observation,
        at: Position,
    ) -> Option<Witness> {
        match *observation {
            Observation::Members { group, index, ref voters, ref learners } => {
                self.counted.insert((node, group), (voters, at));
                self.applied.insert((node, group), index.0);
                self.agree(ledger, (group, index.0), [voters, learners], node, at)
            }
            Observation::Committed { group, index, term } => self.commit(ledger, node, group, (index.0, term.0), at),
            Observation::Applied { group, index, .. } => {
                self.applied.insert((node, group), index.0);
                None
            }
            Observation::ChangeBegan { group, index, term } => self.begin(ledger, node, group, (index.0, term.0), at),
            Observation::GroupClosed { group } => {
                self.counted.remove(&(node, group));
                None
            }
            Observation::Whole { group, .. } => {
                self.forgotten.remove(&(node, group));
                None
            }
            _ => None,
        }
    }

    fn agree(
        &mut self,
        ledger: &Ledger<'h>,
        from: (GroupId, u64),
        members: Members<'h>,
        node: NodeId,
        at: Position,
    ) -> Option<Witness> {
        let known = match self.agreed.entry(from) {
            Slot::Vacant(slot) => {
                slot.insert((members, node, at));
                return None;
            }
            Slot::Occupied(slot) => *slot.get(),
        };
        self.checked += 1;
        let (expected, first, since) = known;
        if expected == members {
            return None;
        }
        let told =
            |[voters, learners]: [&[NodeId]; 2]| format!("voters {}, learners {}", nodes(voters), nodes(learners));
        let sentence = format!(
            "from entry {} of {} on {first} counted by {} at {}, but {node} by {} at {}",
            from.1,
            ledger.group(from.0),
            told(expected),
            ledger.clock(since),
            told(members),
            ledger.clock(at)
        );
        Some(Witness { sentence, events: vec![since, at] })
    }

    fn commit(
        &mut self,
        ledger: &Ledger<'h>,
        node: NodeId,
        group: GroupId,
        (index, term): (u64, u64),
        at: Position,
    ) -> Option<Witness> {
        let &(voters, since) = self.counted.get(&(node, group))?;
        let highest = self.committed.entry(group).or_insert(0);
        if index <= *highest {
            return None;
        }
        *highest = index;
        self.checked += 1;
        // A log that this history does not know for certain may have it; one that its disk forgot may have had it.
        let lacks = |voter: &&NodeId| {
            let had = self.forgotten.get(&(**voter, group)).is_some_and(|had| index <= *had);
            let log = self.logs.of(**voter, group);
            let other = log.get(index).is_some_and(|entry| entry.term != term);
            !had && (log.ends_before(index) || other)
        };
        let lacking: Vec<NodeId> = voters.iter().filter(lacks).copied().collect();
        if (voters.len() - lacking.len()) * 2 > voters.len() {
            return None;
        }
        let sentence = format!(
            "{node} counted entry {index} of {} as committed at {}, but of its voters {} no majority had it: {} lacked it",
            ledger.group(group),
            ledger.clock(at),
            nodes(voters),
            nodes(&lacking)
        );
        Some(Witness { sentence, events: vec![since, at] })
    }

    fn begin(
        &mut self,
        ledger: &Ledger<'h>,
        node: NodeId,
        group: GroupId,
        (index, term): (u64, u64),
        at: Position,
    ) -> Option<Witness> {
        let applied = self.applied.get(&(node, group)).copied().unwrap_or(0);
        let begun = self.begun.entry(group).or_default();
        let log = self.logs.of(node, group);
        // A leader tells of its change before it tells that the entry joined its log.
        let pending = begun
            .range((applied + 1, 0)..(index, 0))
            .find(|((earlier, of), _)| *of == term || log.get(*earlier).is_some_and(|entry| entry.term == *of));
        self.checked += 1;
        let witness = pending.map(|(&(earlier, _), &since)| Witness {
            sentence: format!(
                "{node} began a change of the members of {} (entry {index}) at {}, while another one (entry {earlier}, \
                 begun at {}) was in its log and not applied",
                ledger.group(group),
                ledger.clock(at),
                ledger.clock(since)
            ),
            events: vec![since, at],
        });
        begun.insert((index, term), at);
        witness
    }
}
