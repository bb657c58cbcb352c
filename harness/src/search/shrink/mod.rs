//! From a run that violates an invariant to a small scenario that violates the same one.
//!
//! A greedy delta debugging over whole scenarios. Each pass (in [`passes`], [`crowd`] and [`weather`]) proposes smaller
//! scenarios, the boldest first; the first that still shows the [`Goal`] is the new best, and the pass goes again,
//! until a whole round of all passes finds nothing. A proposal is judged by running it, so what remains has been seen
//! to fail.
//!
//! Smaller first means fewer faults, then fewer messages, then fewer clients, queues and nodes, then an earlier end.
//! Chance gets new chances: a smaller scenario is another run, so the passes try it with a few seeds.
//!
//! What this knows nothing of: threads, clocks, files. [`Trials`] runs proposals, many at a time, and says when time is
//! up.

mod crowd;
mod goal;
mod passes;
mod size;
#[cfg(test)]
mod tests;
mod weather;

use std::time::Duration;

use ferret_reports::{InvariantResult, RunRecord};

pub use self::{goal::Goal, size::Size};
use crate::{
    history::{EventKind, History, Nanos},
    scenario::Scenario,
};

/// A scenario that shows the goal, with what its run left.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its seed is the only one of [`crate::scenario::Run::seeds`].
    pub scenario: Scenario,
    pub record: RunRecord,
    pub sights: Sights,
}

/// What later passes need to know of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sights {
    /// The last event of the load that the violation's witness speaks of, since the load began.
    pub told_until: Option<Duration>,
}

impl Sights {
    pub fn of(goal: Goal, record: &RunRecord, history: &History) -> Self {
        let first = |wanted: fn(&EventKind) -> bool| {
            history.events.iter().find(|event| wanted(&event.kind)).map(|event| event.at)
        };
        let began = first(|kind| matches!(kind, EventKind::Publish { .. })).unwrap_or_default();
        let stopped = first(|kind| matches!(kind, EventKind::LoadStopped)).unwrap_or(Nanos(u64::MAX));
        let result = record.invariants.iter().find(|result| result.name == goal.name());
        let deeds = result.into_iter().flat_map(InvariantResult::deeds);
        let last = deeds.map(|event| event.at_ns).filter(|at| *at < stopped.0).max();
        Self { told_until: last.map(|at| Duration::from_nanos(at.saturating_sub(began.0))) }
    }
}

impl Found {
    pub fn size(&self) -> Size {
        Size::of(&self.scenario, &self.record)
    }

    fn seed(&self) -> u64 {
        self.scenario.run.seeds.from
    }
}

/// Runs proposals.
pub trait Trials {
    /// The first of `proposals`, in their order, whose run shows the goal and is smaller than `than`. `None` if none
    /// is, or if time is up.
    fn first(&mut self, proposals: Vec<Scenario>, than: &Size) -> Option<Found>;

    /// Whether to stop and keep the best so far.
    fn over(&self) -> bool;

    /// Tells whoever watches of a new best.
    fn better(&mut self, best: &Found);
}

/// Shrinks `start` until nothing more can be left out, or time is up.
pub fn shrink(goal: Goal, start: Found, trials: &mut impl Trials) -> Found {
    let mut shrinking = Shrinking { goal, best: start, trials };
    shrinking.settle(passes::opening);
    shrinking.settle(passes::end);
    loop {
        let before = shrinking.best.size();
        for pass in [
            passes::timeline as Pass,
            passes::end,
            crowd::crowd,
            passes::messages,
            crowd::nodes,
            passes::lengths,
            passes::end,
            passes::messages,
            weather::plain,
            weather::tidy,
        ] {
            shrinking.settle(pass);
        }
        if shrinking.trials.over() || shrinking.best.size() >= before {
            return shrinking.best;
        }
    }
}

/// Proposals that are smaller than a scenario, the boldest first.
type Pass = fn(Goal, &Found) -> Vec<Proposal>;

/// A smaller scenario, and with how many seeds besides its own to try it.
struct Proposal {
    scenario: Scenario,
    seeds: u64,
}

struct Shrinking<'a, T> {
    goal: Goal,
    best: Found,
    trials: &'a mut T,
}

impl<T: Trials> Shrinking<'_, T> {
    /// Takes what the pass finds until it finds nothing.
    fn settle(&mut self, pass: Pass) {
        while !self.trials.over() {
            let best = &self.best;
            let mut proposals = Vec::new();
            for Proposal { scenario, seeds } in pass(self.goal, best) {
                let others = (1..).filter(|seed| *seed != best.seed()).take(usize::try_from(seeds).unwrap_or(0));
                for seed in std::iter::once(best.seed()).chain(others) {
                    let mut scenario = scenario.clone();
                    scenario.run.seeds.from = seed;
                    // What changes nothing is no proposal.
                    if scenario != best.scenario {
                        proposals.push(scenario);
                    }
                }
            }
            let Some(found) = self.trials.first(proposals, &self.best.size()) else { return };
            self.best = found;
            self.trials.better(&self.best);
        }
    }
}
