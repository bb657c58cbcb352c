//! What a shrunk scenario must show again.

use ferret_reports::RunRecord;

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

    /// Every failure that a run shows, in the order of [`RunRecord::violated`].
    pub fn all_of(record: &RunRecord) -> Vec<Self> {
        record.violated().filter_map(|result| Self::from_name(&result.name)).collect()
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
