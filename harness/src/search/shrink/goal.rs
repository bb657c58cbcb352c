//! What a shrunk scenario must show again.

use ferret_reports::{InvariantResult, RunRecord};

use crate::{check::Invariant, scenario::PANIC};

/// The one failure that is kept while everything around it is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// This invariant is violated, whatever else is.
    Violates(Invariant),
    /// The broker fails an assertion of its own.
    Panics,
}

impl Goal {
    pub fn name(self) -> &'static str {
        match self {
            Self::Violates(invariant) => invariant.name(),
            Self::Panics => PANIC,
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        if name == PANIC { Some(Self::Panics) } else { Invariant::from_name(name).map(Self::Violates) }
    }

    /// Every failure that a run shows, the first to come about first: later ones are often what came of it.
    pub fn all_of(record: &RunRecord) -> Vec<Self> {
        // A witness ends with the event that broke the promise.
        let ends = |result: &InvariantResult| {
            let events = result.witness.iter().filter(|event| event.who != "run" && event.who != "faults");
            events.map(|event| event.at_ns).max().unwrap_or(u64::MAX)
        };
        let mut in_order: Vec<(u64, Self)> = record
            .violated()
            .filter_map(|result| Some((ends(result), Self::Violates(Invariant::from_name(&result.name)?))))
            .collect();
        in_order.sort_by_key(|(end, _)| *end);
        let mut goals: Vec<Self> = in_order.into_iter().map(|(_, goal)| goal).collect();
        if record.panicked() {
            goals.push(Self::Panics);
        }
        goals
    }

    pub fn is_shown_by(self, record: &RunRecord) -> bool {
        Self::all_of(record).contains(&self)
    }

    /// What is promised and was broken, in a sentence.
    pub fn explanation(self, record: &RunRecord) -> String {
        let of_invariant = |invariant: Invariant| {
            let result = record.invariants.iter().find(|result| result.name == invariant.name());
            result.and_then(|result| result.explanation.clone())
        };
        match self {
            Self::Violates(invariant) => of_invariant(invariant).unwrap_or_else(|| invariant.describe().to_owned()),
            Self::Panics => {
                let fallen = record.violated().find(|result| result.name == PANIC);
                fallen.and_then(|result| result.explanation.clone()).unwrap_or_default()
            }
        }
    }
}
