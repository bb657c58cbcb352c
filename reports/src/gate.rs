//! What a gate decided: one verdict, and each thing that its policy asks for with what came of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Verdict;

/// The version of [`GateRecord`]'s shape, raised when a field changes its meaning or goes away.
pub const GATE_VERSION: u32 = 1;

/// One call of `ferret gate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateRecord {
    /// [`GATE_VERSION`].
    pub version: u32,
    /// The policy's name.
    pub name: String,
    /// The policy file, as given on the command line.
    pub policy: String,
    /// The program: see [`crate::SweepRecord::build`].
    pub build: String,
    /// The worst of the checks.
    pub verdict: Verdict,
    pub checks: Vec<GateCheck>,
    /// What differs from the baseline, the worst first; empty without one.
    pub moves: Vec<MetricMove>,
    /// See [`crate::SweepRecord::results_hash`].
    pub results_hash: String,
}

/// One thing that the policy asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateCheck {
    /// What is asked, in a few words.
    pub name: String,
    pub verdict: Verdict,
    /// What was found, in a sentence.
    pub finding: String,
    /// 1-based line of the policy file that asks for it.
    pub line: u32,
    /// The command that shows what was found, where one run does.
    pub replay: Option<String>,
}

/// How a metric of one scenario differs from the baseline, over the seeds that both have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricMove {
    pub scenario: String,
    /// A metric's name, such as `confirm.p99`.
    pub metric: String,
    /// How many seeds were compared.
    pub seeds: u64,
    /// The mean over the seeds, in nanoseconds or in messages.
    pub was: f64,
    pub now: f64,
    /// `was` and `now` as people read them.
    pub was_text: String,
    pub now_text: String,
    /// In per cent of `was`; `None` if that is 0.
    pub change_percent: Option<f64>,
    /// Worse by more than is tolerated.
    pub regression: bool,
    /// The seed that grew worse the most, if one did.
    pub worst_seed: Option<u64>,
}
