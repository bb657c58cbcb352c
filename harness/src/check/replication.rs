//! What Raft promises, seen from inside: `one-leader-per-term`, `committed-stays`, `replica-agreement`.
//!
//! See Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", figure 3: election safety, leader
//! completeness, state machine safety.

use std::collections::{BTreeMap, btree_map::Entry as Slot};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    logs::{Entry, Logs},
    verdict::{Judgement, Witness},
};

/// No two nodes lead one group in one term.
pub(crate) fn one_leader_per_term(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "terms with a leader";
    let mut leaders: BTreeMap<(GroupId, u64), (NodeId, Position)> = BTreeMap::new();
    for (at, node, observation) in ledger.observations() {
        let &Observation::BecameLeader { group, term } = observation else { continue };
        match leaders.entry((group, term.0)) {
            Slot::Vacant(slot) => {
                slot.insert((node, at));
            }
            Slot::Occupied(slot) if slot.get().0 != node => {
                let (first, since) = *slot.get();
                let sentence = format!(
                    "{first} became leader of {} in term {} at {}, and {node} became its leader in the same term at {}",
                    ledger.group(group),
                    term.0,
                    ledger.clock(since),
                    ledger.clock(at)
                );
                let mut events = votes(ledger, group, term.0, at);
                events.extend([since, at]);
                return Judgement::violated(leaders.len() as u64, UNIT, Witness { sentence, events });
            }
            Slot::Occupied(_) => {}
        }
    }
    Judgement::holds(leaders.len() as u64, UNIT)
}

/// The votes of a term, and the crashes of voters in between.
fn votes(ledger: &Ledger<'_>, group: GroupId, term: u64, until: Position) -> Vec<Position> {
    let mut events: Vec<Position> = Vec::new();
    let mut voters = Vec::new();
    for (at, node, observation) in ledger.observations().take_while(|(at, ..)| *at < until) {
        if matches!(observation, Observation::VoteGranted { group: g, term: t, .. } if *g == group && t.0 == term) {
            events.push(at);
            voters.push(node);
        }
    }
    let first = events.first().copied().unwrap_or(until);
    let crashes = ledger.crashes.iter().filter(|crash| crash.at > first && crash.at < until);
    events.extend(crashes.filter(|crash| voters.contains(&crash.node)).map(|crash| crash.at));
    events
}

/// A committed entry.
struct Fact {
    entry: Entry,
    at: Position,
    node: NodeId,
    /// The highest term that any leader of the group had reached by then: the entry was committed in that term or an
    /// earlier one.
    term_max: u64,
}

#[derive(Default)]
struct Facts {
    committed: BTreeMap<GroupId, BTreeMap<u64, Fact>>,
    term_max: BTreeMap<GroupId, u64>,
    checked: u64,
}

/// Once committed, an entry is never another, and every later leader has it.
///
/// "Later" is by term, not by time: a node may find out late that it was elected in an old term. So a new leader is
/// held only to what was committed before any leader had reached its term.
pub(crate) fn committed_stays(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "committed entries";
    let mut logs = Logs::default();
    let mut facts = Facts::default();
    let mut told: BTreeMap<(NodeId, GroupId), u64> = BTreeMap::new();
    for (at, node, observation) in ledger.observations() {
        logs.observe(node, observation);
        let witness = match *observation {
            Observation::Committed { group, index, term } => {
                let log = logs.of(node, group);
                // A leader's snapshot raises the commit index before it takes the place of the log: what the node
                // still has then is not what is committed.
                if log.get(index.0).is_none_or(|last| last.term != term.0) {
                    continue;
                }
                let known = told.entry((node, group)).or_insert(0);
                let from = (*known).max(log.base()) + 1;
                *known = (*known).max(index.0);
                (from..=index.0).find_map(|index| {
                    let entry = log.get(index)?;
                    facts.learn(ledger, group, index, entry, node, at)
                })
            }
            Observation::Applied { group, index, term, hash, .. } => {
                facts.learn(ledger, group, index.0, Entry { term: term.0, hash }, node, at)
            }
            Observation::BecameLeader { group, term } => {
                let witness = facts.elected(ledger, &mut logs, group, term.0, node, at);
                let highest = facts.term_max.entry(group).or_insert(0);
                *highest = (*highest).max(term.0);
                witness
            }
            _ => None,
        };
        if let Some(witness) = witness {
            return Judgement::violated(facts.checked, UNIT, witness);
        }
    }
    Judgement::holds(facts.checked, UNIT)
}

impl Facts {
    fn learn(
        &mut self,
        ledger: &Ledger<'_>,
        group: GroupId,
        index: u64,
        entry: Entry,
        node: NodeId,
        at: Position,
    ) -> Option<Witness> {
        let term_max = self.term_max.get(&group).copied().unwrap_or(0).max(entry.term);
        match self.committed.entry(group).or_default().entry(index) {
            Slot::Vacant(slot) => {
                slot.insert(Fact { entry, at, node, term_max });
                self.checked += 1;
                None
            }
            Slot::Occupied(slot) if slot.get().entry != entry => {
                let fact = slot.get();
                let sentence = format!(
                    "entry {index} of {} was committed on {} at {} (term {}) and on {node} at {} with other contents \
                     (term {})",
                    ledger.group(group),
                    fact.node,
                    ledger.clock(fact.at),
                    fact.entry.term,
                    ledger.clock(at),
                    entry.term
                );
                Some(Witness { sentence, events: vec![fact.at, at] })
            }
            Slot::Occupied(_) => None,
        }
    }

    fn elected(
        &self,
        ledger: &Ledger<'_>,
        logs: &mut Logs,
        group: GroupId,
        term: u64,
        node: NodeId,
        at: Position,
    ) -> Option<Witness> {
        let committed = self.committed.get(&group)?;
        let log = logs.of(node, group);
        let from = log.verified.max(log.base()) + 1;
        for (&index, fact) in committed.range(from..) {
            if fact.term_max >= term {
                break;
            }
            let missing = log.ends_before(index);
            if missing || log.get(index).is_some_and(|entry| entry != fact.entry) {
                let how = if missing { "without it" } else { "with another entry in its place" };
                let sentence = format!(
                    "entry {index} of {} was committed at {} as {} knew; {node} became leader in term {term} at {} {how}",
                    ledger.group(group),
                    ledger.clock(fact.at),
                    fact.node,
                    ledger.clock(at)
                );
                let mut events = vec![fact.at, at];
                let between = ledger.crashes.iter().filter(|crash| crash.at > fact.at && crash.at < at);
                events.extend(between.map(|crash| crash.at));
                return Some(Witness { sentence, events });
            }
            log.verified = index;
        }
        None
    }
}

/// Replicas that have applied the log up to the same index have the same state.
pub(crate) fn replica_agreement(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "comparisons of replicas";
    let mut states: BTreeMap<(GroupId, u64), (u64, NodeId, Position)> = BTreeMap::new();
    let mut checked = 0;
    for (at, node, observation) in ledger.observations() {
        let (&Observation::Applied { group, index, state_hash, .. }
        | &Observation::SnapshotInstalled { group, index, state_hash, .. }) = observation
        else {
            continue;
        };
        match states.entry((group, index.0)) {
            Slot::Vacant(slot) => {
                slot.insert((state_hash, node, at));
            }
            Slot::Occupied(slot) => {
                checked += 1;
                let (expected, first, since) = *slot.get();
                if expected != state_hash {
                    let sentence = format!(
                        "after entry {} of {} {first} had state {expected:016x} at {}, but {node} had {state_hash:016x} \
                         at {}",
                        index.0,
                        ledger.group(group),
                        ledger.clock(since),
                        ledger.clock(at)
                    );
                    return Judgement::violated(checked, UNIT, Witness { sentence, events: vec![since, at] });
                }
            }
        }
    }
    Judgement::holds(checked, UNIT)
}
