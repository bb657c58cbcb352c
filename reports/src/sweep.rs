//! What many runs together left behind: which were planned, which were made, and by what program.
//!
//! It is what `ferret merge` reads: a part of a sweep says of itself which part it is, and of which whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Verdict;

/// The version of [`SweepRecord`]'s shape, raised when a field changes its meaning or goes away.
pub const SWEEP_VERSION: u32 = 1;

/// One call of `ferret run`, `ferret gate` or `ferret merge`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SweepRecord {
    /// [`SWEEP_VERSION`].
    pub version: u32,
    /// The program: its version, and a hash of its executable file. Equal builds give equal runs.
    pub build: String,
    /// What was asked for beyond the files and the seeds, as options of the command line; empty for nothing.
    pub request: String,
    pub scenarios: Vec<SweptScenario>,
    /// Every run of the whole sweep, in order, whichever part of it this is. Empty if [`Self::open`].
    pub plan: Vec<PlannedRun>,
    /// The seeds had no end (`--seeds 1..`): there is no plan to be complete.
    pub open: bool,
    /// The part of the plan that this is; `None` for all of it.
    pub slice: Option<Slice>,
    /// Why not all of this part was run.
    pub stopped: Option<Stopped>,
    /// What was run, in the order of the plan.
    pub runs: Vec<SweptRun>,
    /// Over everything found in the runs but wall time and paths, in an order of its own: equal hashes, equal results.
    pub results_hash: String,
    /// The worst of all.
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweptScenario {
    pub name: String,
    /// As given on the command line.
    pub path: String,
    /// Of the file's text.
    pub text_hash: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRun {
    /// Index into [`SweepRecord::scenarios`].
    pub scenario: u32,
    pub seed: u64,
}

/// Every `of`th run of the plan, from the `part`th on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Slice {
    /// 1 to `of`.
    pub part: u32,
    pub of: u32,
}

impl Slice {
    /// Whether the run at this 0-based place of the plan is in the slice.
    pub fn holds(self, place: usize) -> bool {
        place % self.of as usize == self.part as usize - 1
    }
}

impl std::fmt::Display for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slice:{}/{}", self.part, self.of)
    }
}

/// Why a sweep ended before its plan did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stopped {
    /// The time that it was given was over.
    Budget,
    /// As many runs had failed as were wanted.
    Failures,
    /// The user wanted it.
    Interrupt,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SweptRun {
    /// Index into [`SweepRecord::scenarios`].
    pub scenario: u32,
    pub seed: u64,
    /// Where its files are, below the folder of the sweep.
    pub folder: String,
    pub verdict: Verdict,
    pub trace_hash: String,
}

/// What was planned and not run, because the sweep ended before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmade {
    /// Why not, in words: `the budget is spent`.
    pub why: String,
    /// In the order of the plan.
    pub runs: Vec<UnmadeRun>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmadeRun {
    /// The scenario's name.
    pub scenario: String,
    /// As given on the command line.
    pub path: String,
    pub seed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_share_out_every_place_once() {
        let slices = [1, 2, 3].map(|part| Slice { part, of: 3 });
        for place in 0..10 {
            assert_eq!(slices.iter().filter(|slice| slice.holds(place)).count(), 1, "{place}");
        }
        assert!(slices[0].holds(0) && slices[2].holds(5));
    }
}
