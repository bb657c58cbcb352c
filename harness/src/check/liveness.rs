//! `liveness`: after the last heal and a bound, everything works again.
//!
//! During the faults too, however the run ends:
//! - no message is ready while a consumer has credit, after any entry of the log (see [`super::starvation`]);
//! - no leader leads on for longer than the bound while its disk does not answer (see [`super::stalled`]);
//! - no message is still assigned to a process that is gone, where the queue had a leader all the time (see
//!   [`super::gone`]).
//!
//! Then a recoverability oracle: with a majority of nodes, or of some group's voters, gone at the end, or with one that
//! lost what it had synced, nothing more is owed. Else, each only where the history lasts long enough to tell:
//! - every member runs, unless faults are to blame that it does not;
//! - a publish whose channel lives, and whose publisher waits, has an outcome;
//! - every group has a leader;
//! - every running replica has applied what any replica had applied one bound before the end;
//! - no message is still assigned to a process that is gone, or to a node whose clients have all left;
//! - every consumer that lives is served (see [`super::forgotten`]);
//! - no publisher is still asked to hold back (see [`super::blocked`]);
//! - the final drain emptied every queue, through every node that can run (see [`super::drained`]): what was ready
//!   could be delivered. If it did not, and nothing above is broken, the question stays open.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    CheckConfig,
    blocked::never_let_on,
    drained::{Emptied, emptied},
    fallen::{Fall, fallen},
    forgotten::forgotten,
    gone::held_by_the_gone,
    ledger::{Ledger, Position},
    stalled::stalled_leader,
    starvation::{Holder, Key, Mirrored, mirror},
    verdict::{Judgement, Witness, seconds},
};
use crate::history::{EventKind, PublishOutcome};

const UNIT: &str = "obligations";

/// What a channel held must be back in its queue within this part of the bound after it was closed.
const CLOSE_PART: u64 = 4;

/// A consumer that has credit must be served within this part of the bound.
const ATTACH_PART: u64 = 2;

pub(crate) fn liveness(ledger: &Ledger<'_>, config: &CheckConfig) -> Judgement {
    let running = ledger.running();
    let Some(healed) = ledger.healed else {
        return match cannot_recover(ledger, &running, &BTreeMap::new()) {
            Some(reason) => Judgement::not_recoverable(0, UNIT, reason),
            None => Judgement::undecided(0, UNIT, "the history ends before the faults were healed".to_owned()),
        };
    };
    let bound = nanos(config.liveness_bound);
    let DuringFaults { checked, held, attached, broken } = DuringFaults::of(ledger, bound);
    if let Some(witness) = broken {
        return Judgement::violated(checked, UNIT, witness);
    }
    let fallen = fallen(ledger, &running, healed);
    if let Some(reason) = cannot_recover(ledger, &running, &fallen) {
        return Judgement::not_recoverable(checked, UNIT, reason);
    }
    let owed = ledger.time(healed).0.saturating_add(bound);
    let end = ledger.end().0;
    // A run may end before the bound, with everything done; what is not done yet by then is not late either.
    let early = end < owed;
    let (due, patience) = if early { (end, 0) } else { (owed, bound) };
    let mut watch = Watch { ledger, running, healed, due, patience, end, checked };
    let broken = watch
        .members(&fallen)
        .or_else(|| watch.outcomes())
        .or_else(|| watch.leaders())
        .or_else(|| watch.convergence())
        .or_else(|| watch.orphans())
        .or_else(|| watch.forgotten())
        .or_else(|| watch.abandoned(&held, &attached))
        .or_else(|| watch.blocked());
    let since_heal = seconds(end.saturating_sub(ledger.time(healed).0));
    match (broken, emptied(ledger)) {
        (Some(witness), _) if early => {
            let reason = format!(
                "{}; but the run ended {since_heal} after the heal, before the bound of {}",
                witness.sentence,
                seconds(bound)
            );
            Judgement::undecided(watch.checked, UNIT, reason)
        }
        (Some(witness), _) => Judgement::violated(watch.checked, UNIT, witness),
        (None, Err(reason)) => Judgement::undecided(watch.checked, UNIT, reason),
        (None, Ok(Emptied { without, .. })) => Judgement::holds_with(watch.checked, UNIT, without),
    }
}

/// The part of it that needs no heal, of a history that goes on afterwards.
pub(crate) fn owed_during_faults(ledger: &Ledger<'_>, config: &CheckConfig) -> Judgement {
    let DuringFaults { checked, broken, .. } = DuringFaults::of(ledger, nanos(config.liveness_bound));
    Judgement::unless(checked, UNIT, broken)
}

/// What is owed during the faults too, and so however the run ends.
struct DuringFaults {
    checked: u64,
    held: BTreeMap<(GroupId, u64), Holder>,
    attached: BTreeMap<(GroupId, Key), Position>,
    broken: Option<Witness>,
}

impl DuringFaults {
    fn of(ledger: &Ledger<'_>, bound: u64) -> Self {
        let Mirrored { checked, starved, held, attached } = mirror(ledger);
        let (synced, stalled) = stalled_leader(ledger, bound);
        let (gone, kept) = held_by_the_gone(ledger, bound);
        Self { checked: checked + synced + gone, held, attached, broken: starved.or(stalled).or(kept) }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Why no majority can do what is owed after the heal, if so.
fn cannot_recover(
    ledger: &Ledger<'_>,
    running: &BTreeMap<NodeId, Option<Position>>,
    fallen: &BTreeMap<NodeId, Fall<'_>>,
) -> Option<String> {
    let gone: BTreeSet<NodeId> = running
        .iter()
        .filter(|(node, since)| since.is_none() && !fallen.contains_key(node))
        .map(|(node, _)| *node)
        .collect();
    if !running.is_empty() && gone.len() * 2 >= running.len() {
        let (gone, all) = (gone.len(), running.len());
        return Some(format!("{gone} of {all} nodes are gone at the end, so no majority can form"));
    }
    let bereft = ledger.majority_of_voters_among(|node, group| gone.contains(&node) || ledger.lacks(node, group));
    if let Some(group) = bereft {
        let group = ledger.group(group);
        return Some(format!("half of the voters of {group} or more are gone at the end, or lack what they lost"));
    }
    ledger.majority_lost().map(|beyond| beyond.why.clone())
}

struct Watch<'a, 'h> {
    ledger: &'a Ledger<'h>,
    /// Since when each node runs; `None` if it does not at the end.
    running: BTreeMap<NodeId, Option<Position>>,
    healed: Position,
    /// When everything must work, in virtual nanoseconds.
    due: u64,
    /// How long anything may take, in virtual nanoseconds.
    patience: u64,
    end: u64,
    checked: u64,
}

impl Watch<'_, '_> {
    /// Every member runs, unless faults are to blame.
    fn members(&mut self, fallen: &BTreeMap<NodeId, Fall<'_>>) -> Option<Witness> {
        self.checked += self.running.len() as u64;
        let (node, fall) = fallen.first_key_value()?;
        let reason = fall.reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let sentence = format!(
            "{node} ended by itself at {}{reason} and did not run at the end, although no fault had taken what its \
             disk had synced",
            self.ledger.clock(fall.at)
        );
        Some(Witness { sentence, events: vec![fall.at, self.healed] })
    }

    /// Every publisher that was asked to hold back was let on.
    fn blocked(&mut self) -> Option<Witness> {
        let (checked, broken) = never_let_on(self.ledger, self.due, self.patience);
        self.checked += checked;
        broken
    }

    fn outcomes(&mut self) -> Option<Witness> {
        let ledger = self.ledger;
        for attempt in &ledger.attempts {
            let due = self.due.max(ledger.time(attempt.published).0.saturating_add(self.patience));
            let lost = ledger.channels.get(&attempt.channel).and_then(|channel| channel.lost);
            if due > self.end || lost.is_some_and(|at| ledger.time(at).0 <= due) {
                continue;
            }
            let answered = match attempt.outcome {
                None => false,
                // The publisher stopped listening; what it would have heard is unknown.
                Some((PublishOutcome::Unknown, at)) if ledger.time(at).0 < due => continue,
                Some((_, at)) => ledger.time(at).0 <= due,
            };
            self.checked += 1;
            if !answered {
                let sentence = format!(
                    "{} was published at {} on a channel that lived on; {} after the heal it had no outcome",
                    ledger.message(attempt.id),
                    ledger.clock(attempt.published),
                    seconds(due.saturating_sub(ledger.time(self.healed).0))
                );
                let mut events = vec![attempt.published, self.healed];
                events.extend(attempt.outcome.map(|(_, at)| at));
                return Some(Witness { sentence, events });
            }
        }
        None
    }

    /// Every group has a leader at some moment after the bound.
    fn leaders(&mut self) -> Option<Witness> {
        let ledger = self.ledger;
        let mut groups: BTreeMap<GroupId, Leadership> = BTreeMap::new();
        for (at, event) in ledger.history.events.iter().enumerate() {
            let late = event.at.0 > self.due;
            match &event.kind {
                EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                    groups.values_mut().for_each(|group| group.leave(*node, late, at));
                }
                EventKind::Observed { node, observation } => match *observation {
                    Observation::GroupOpened { group, .. } => {
                        groups.entry(group).or_default();
                    }
                    Observation::Recovered(ref state) => {
                        groups.entry(state.group).or_default();
                    }
                    Observation::BecameLeader { group, .. } => {
                        let group = groups.entry(group).or_default();
                        group.leaders.insert(*node);
                        group.served |= late;
                    }
                    Observation::SteppedDown { group, .. } | Observation::GroupClosed { group } => {
                        groups.entry(group).or_default().leave(*node, late, at);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        groups.retain(|group, _| !ledger.is_deleted(*group));
        self.checked += groups.len() as u64;
        let (group, state) = groups.into_iter().find(|(_, group)| !group.served && group.leaders.is_empty())?;
        let since = state.left.map_or("ever".to_owned(), |at| format!("since {}", ledger.clock(at)));
        let sentence = format!(
            "{} had no leader {since}, although the faults were healed at {} and a majority runs",
            ledger.group(group),
            ledger.clock(self.healed)
        );
        Some(Witness { sentence, events: state.left.into_iter().chain([self.healed]).collect() })
    }

    /// Every running replica has applied what any replica had applied one bound before the end.
    fn convergence(&mut self) -> Option<Witness> {
        let ledger = self.ledger;
        let settled = self.end - self.patience;
        let mut goal: BTreeMap<GroupId, (u64, Position)> = BTreeMap::new();
        let mut reached: BTreeMap<(NodeId, GroupId), u64> = BTreeMap::new();
        for (at, node, observation) in ledger.observations() {
            let (group, index) = match *observation {
                Observation::Applied { group, index, .. } | Observation::SnapshotInstalled { group, index, .. } => {
                    (group, index)
                }
                Observation::Recovered(ref state) => (state.group, state.snapshot.0),
                Observation::GroupClosed { group } => {
                    reached.remove(&(node, group));
                    continue;
                }
                _ => continue,
            };
            reached.insert((node, group), index.0);
            let goal = goal.entry(group).or_insert((0, at));
            if ledger.time(at).0 <= settled && goal.0 < index.0 {
                *goal = (index.0, at);
            }
        }
        goal.retain(|group, _| !ledger.is_deleted(*group));
        for (&group, &(goal, at)) in &goal {
            for (&node, since) in &self.running {
                if since.is_none_or(|since| since != 0 && ledger.time(since).0 > settled) {
                    continue;
                }
                self.checked += 1;
                let reached = reached.get(&(node, group)).copied().unwrap_or(0);
                if reached < goal {
                    let sentence = format!(
                        "entry {goal} of {} was applied at {}, but {node}, which runs, had applied only up to {reached} \
                         at the end, {} later",
                        ledger.group(group),
                        ledger.clock(at),
                        seconds(self.end.saturating_sub(ledger.time(at).0))
                    );
                    return Some(Witness { sentence, events: vec![self.healed, at] });
                }
            }
        }
        None
    }

    /// No message is still assigned to a process that ended long ago.
    fn orphans(&mut self) -> Option<Witness> {
        let ledger = self.ledger;
        // Held messages as each node's stream tells, since its state was last unknown.
        let mut held: BTreeMap<(NodeId, GroupId), BTreeMap<u64, (NodeId, Position)>> = BTreeMap::new();
        for (at, event) in ledger.history.events.iter().enumerate() {
            let (node, observation) = match &event.kind {
                EventKind::Observed { node, observation } => (*node, observation),
                EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                    held.retain(|(of, _), _| of != node);
                    continue;
                }
                _ => continue,
            };
            match *observation {
                Observation::Assigned { group, message, owner, .. } => {
                    held.entry((node, group)).or_default().insert(message, (owner, at));
                }
                Observation::Settled { group, message } | Observation::Requeued { group, message } => {
                    if let Some(held) = held.get_mut(&(node, group)) {
                        held.remove(&message);
                    }
                }
                Observation::SnapshotInstalled { group, .. } | Observation::GroupClosed { group } => {
                    held.remove(&(node, group));
                }
                Observation::Recovered(ref state) => {
                    held.remove(&(node, state.group));
                }
                _ => {}
            }
        }
        let mut ended: BTreeMap<NodeId, Position> = BTreeMap::new();
        for crash in &ledger.crashes {
            let requeue_by = self.due.max(ledger.time(crash.at).0.saturating_add(self.patience));
            if requeue_by <= self.end {
                ended.insert(crash.node, crash.at);
            }
        }
        for ((node, group), held) in held {
            self.checked += held.len() as u64;
            let orphan = held.into_iter().find_map(|(message, (owner, assigned))| {
                let ended = *ended.get(&owner)?;
                (assigned < ended).then_some((message, owner, assigned, ended))
            });
            if let Some((message, owner, assigned, ended)) = orphan {
                let sentence = format!(
                    "message {message} of {} is still assigned to a channel of {owner}, whose process ended at {} \
                     (as {node} knows)",
                    ledger.group(group),
                    ledger.clock(ended)
                );
                return Some(Witness { sentence, events: vec![assigned, ended, self.healed] });
            }
        }
        None
    }
}

impl Watch<'_, '_> {
    /// Every consumer that has lived long enough to be served is.
    fn forgotten(&mut self) -> Option<Witness> {
        let (checked, witness) = forgotten(self.ledger, self.due, self.patience / ATTACH_PART);
        self.checked += checked;
        witness
    }

    /// Where all clients of a node have left, nothing is assigned to it, and it consumes nothing. A channel that was
    /// lost before the heal must be found dead within the bound; one that ended later was closed, which takes no time
    /// to notice.
    fn abandoned(
        &mut self,
        held: &BTreeMap<(GroupId, u64), Holder>,
        attached: &BTreeMap<(GroupId, Key), Position>,
    ) -> Option<Witness> {
        let ledger = self.ledger;
        let mut left: BTreeMap<NodeId, Option<Position>> = BTreeMap::new();
        for channel in ledger.channels.values() {
            let last = left.entry(channel.node).or_insert(channel.lost);
            *last = last.zip(channel.lost).map(|(last, lost)| last.max(lost));
        }
        let messages = held.iter().map(|(&(group, message), holder)| {
            let what = format!("message {message} of {} still belongs to", ledger.group(group));
            (what, holder.node, holder.channel, holder.since)
        });
        let consumers = attached.iter().map(|(&(group, (node, channel, _)), &since)| {
            (format!("{} still serves a consumer of", ledger.group(group)), node, channel, since)
        });
        let grace = self.patience / CLOSE_PART;
        for (what, node, channel, since) in messages.chain(consumers) {
            let Some(&Some(last)) = left.get(&node) else { continue };
            if self.due.max(ledger.time(last).0.saturating_add(grace)) > self.end {
                continue;
            }
            self.checked += 1;
            if since < last {
                let sentence =
                    format!("{what} channel {channel} of {node}, whose last client left at {}", ledger.clock(last));
                return Some(Witness { sentence, events: vec![since, last, self.healed] });
            }
        }
        None
    }
}

#[derive(Default)]
struct Leadership {
    leaders: BTreeSet<NodeId>,
    /// There was a leader after the bound.
    served: bool,
    /// When the last leader was gone.
    left: Option<Position>,
}

impl Leadership {
    fn leave(&mut self, node: NodeId, late: bool, at: Position) {
        if self.leaders.remove(&node) {
            self.served |= late;
            self.left = Some(at);
        }
    }
}
