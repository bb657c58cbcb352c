//! What one scenario with one seed left behind: everything a report shows and a gate decides on.
//!
//! Times are virtual nanoseconds since the start of the simulation, unless a name says otherwise.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of [`RunRecord`]'s shape, raised when a field changes its meaning or goes away.
pub const RECORD_VERSION: u32 = 1;

/// One scenario, one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    pub scenario: ScenarioInfo,
    pub seed: u64,
    /// The planted bug that was switched on, if any.
    pub sabotage: Option<String>,
    /// The client that the command line asked for in place of the scenario's own, if any.
    #[serde(default)]
    pub client: Option<String>,
    /// Rolling hash over every event of the simulation, 16 hexadecimal digits. Equal hashes: the same run.
    pub trace_hash: String,
    /// Events that went into the hash.
    pub trace_events: u64,
    /// The one-line command that runs this again.
    pub replay: String,
    pub verdict: Verdict,
    /// Why the verdict is what it is, one sentence per reason; empty for a plain pass.
    pub reasons: Vec<String>,
    pub invariants: Vec<InvariantResult>,
    pub faults: Vec<FaultRecord>,
    /// Every chaos point of the broker; empty for a run without chaos.
    #[serde(default)]
    pub chaos: Vec<ChaosRecord>,
    pub sometimes: Vec<SometimesResult>,
    pub thresholds: Vec<ThresholdResult>,
    pub messages: MessageCounts,
    pub virtual_seconds: f64,
    pub wall_seconds: f64,
    pub timeline: Timeline,
    pub latency: Latency,
}

/// What stands among the invariants where a broker failed an assertion of its own.
pub const PANIC: &str = "panic";

impl RunRecord {
    /// What was violated, whether the scenario expects it or not; see [`violated`].
    pub fn violated(&self) -> impl Iterator<Item = &InvariantResult> {
        violated(&self.invariants)
    }

    /// Whether a broker failed an assertion of its own.
    pub fn panicked(&self) -> bool {
        self.violated().any(|result| result.name == PANIC)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioInfo {
    pub name: String,
    pub description: String,
    /// As given on the command line.
    pub path: String,
    /// The file's text.
    pub text: String,
    pub tags: Vec<String>,
}

/// How a run ended. The order is that of the exit codes' precedence, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every required invariant holds; for a scenario that expects violations, exactly those were found.
    Pass,
    /// A required "sometimes" was never reached, a fault had no effect, or a required invariant had nothing to check.
    Vacuous,
    /// Only for many runs together: a metric is worse than in the baseline.
    Regression,
    /// A threshold was crossed.
    Threshold,
    /// The run was cut short.
    Incomplete,
    /// A checker could not decide, or the final drain failed.
    Undecided,
    /// An invariant was violated, or an expected violation was not found.
    Violated,
    /// The same seed gave two different runs.
    NotDeterministic,
    /// A bug of the harness.
    Internal,
}

impl Verdict {
    /// The worst last.
    pub const ALL: [Self; 9] = [
        Self::Pass,
        Self::Vacuous,
        Self::Regression,
        Self::Threshold,
        Self::Incomplete,
        Self::Undecided,
        Self::Violated,
        Self::NotDeterministic,
        Self::Internal,
    ];

    /// Its name for programs, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Vacuous => "vacuous",
            Self::Regression => "regression",
            Self::Threshold => "threshold",
            Self::Incomplete => "incomplete",
            Self::Undecided => "undecided",
            Self::Violated => "violated",
            Self::NotDeterministic => "not-deterministic",
            Self::Internal => "internal",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }

    /// One word or two for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "Pass",
            Self::Vacuous => "Vacuous",
            Self::Regression => "Regression",
            Self::Threshold => "Threshold crossed",
            Self::Incomplete => "Incomplete",
            Self::Undecided => "Undecided",
            Self::Violated => "Violated",
            Self::NotDeterministic => "Not deterministic",
            Self::Internal => "Internal error",
        }
    }

    /// The process exit code for a run that ends so.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Vacuous => 104,
            Self::Regression => 10,
            Self::Threshold => 99,
            Self::Incomplete => 5,
            Self::Undecided => 102,
            Self::Violated => 100,
            Self::NotDeterministic => 103,
            Self::Internal => 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InvariantResult {
    /// The invariant's name, such as `no-confirmed-loss`.
    pub name: String,
    /// What it promises, in a sentence without its end; names are for scenarios and gates.
    #[serde(default)]
    pub promise: String,
    pub verdict: InvariantVerdict,
    /// Whether the scenario asks for it.
    pub required: bool,
    /// How many things were checked (messages, deliveries, terms, …); 0 only when vacuous.
    pub checked: u64,
    /// What was checked, in plural: "confirmed messages".
    pub unit: String,
    /// The witness of a violation, or the reason for being undecided, in one or two sentences.
    pub explanation: Option<String>,
    /// The events that make up the witness, in order.
    pub witness: Vec<WitnessEvent>,
}

/// What was violated: first what the scenario asks for, then the first to come about, since later ones are often what
/// came of it.
pub fn violated(invariants: &[InvariantResult]) -> impl Iterator<Item = &InvariantResult> {
    let mut violated: Vec<_> =
        invariants.iter().filter(|result| result.verdict == InvariantVerdict::Violated).collect();
    violated.sort_by_key(|result| (!result.required, result.broken_ns()));
    violated.into_iter()
}

/// Whether a reason of a verdict is that this invariant is violated.
pub fn is_reason(reason: &str, invariant: &str) -> bool {
    reason.strip_prefix(invariant).is_some_and(|rest| rest.starts_with(" is violated: "))
}

impl InvariantResult {
    /// When the promise was broken, in nanoseconds: at the last of its deeds. The end of time without one.
    fn broken_ns(&self) -> u64 {
        self.deeds().map(|event| event.at_ns).max().unwrap_or(u64::MAX)
    }

    /// The events of the witness that are of clients and nodes. Faults may go on for long after the promise was broken,
    /// and what the run itself tells, such as the end of the drain, comes at the end of every run.
    pub fn deeds(&self) -> impl Iterator<Item = &WitnessEvent> {
        self.witness.iter().filter(|event| event.who != "run" && event.who != "faults")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InvariantVerdict {
    Holds,
    Violated,
    Undecided,
    /// There was nothing to look at.
    Vacuous,
    /// Broken only after what no broker can make up for, such as the loss of a majority's synced data. It passes.
    NotRecoverable,
}

impl InvariantVerdict {
    pub const ALL: [Self; 5] = [Self::Holds, Self::Violated, Self::Undecided, Self::Vacuous, Self::NotRecoverable];

    /// Its name for programs, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotRecoverable => "not-recoverable",
            Self::Holds | Self::Violated | Self::Undecided | Self::Vacuous => self.word(),
        }
    }

    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "violated",
            Self::Undecided => "undecided",
            Self::Vacuous => "vacuous",
            Self::NotRecoverable => "not recoverable",
        }
    }
}

/// One line of a witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WitnessEvent {
    pub at_ns: u64,
    /// The lane it belongs to: a client's or a node's name.
    pub who: String,
    pub kind: WitnessKind,
    pub what: String,
}

/// Where an event of a witness belongs in its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WitnessKind {
    Client,
    Node,
    /// What a node believes of its disk, or finds there.
    Disk,
    /// The node's process is gone from here on.
    NodeDown,
    NodeUp,
    /// Index into [`RunRecord::faults`].
    FaultBegan(u32),
    FaultEnded(u32),
    /// A phase of the run.
    Run,
}

/// A step of the timeline and what it really did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultRecord {
    /// 1-based position among the timeline's steps.
    pub step: u32,
    /// 1-based line of the step in the scenario file.
    pub line: u32,
    /// The action's name, such as `partition`.
    pub kind: String,
    /// The step in words, with targets resolved: "isolate n2 (leader of orders) from n1, n3 for 6s".
    pub description: String,
    pub began_ns: Option<u64>,
    pub ended_ns: Option<u64>,
    /// Nodes it touched.
    pub nodes: Vec<String>,
    /// What it did, in words: "dropped 1,204 packets".
    pub effect: String,
    /// Whether it had any effect.
    pub bit: bool,
    /// The step says that it may have none.
    pub may_miss: bool,
}

/// A place where the broker may take a rare but legal turn, and how often it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChaosRecord {
    /// Such as `raft.message-lost`.
    pub point: String,
    /// What a turn is there.
    pub sentence: String,
    /// How often the broker came by.
    pub asked: u64,
    /// How often it took the turn.
    pub fired: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SometimesResult {
    pub name: String,
    pub required: bool,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    pub name: String,
    /// As the scenario says it: "< 400ms".
    pub limit: String,
    /// "312ms"; `None` when there was nothing to measure.
    pub measured: Option<String>,
    pub held: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageCounts {
    /// Attempts handed to a socket.
    pub published: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub returned: u64,
    pub unknown: u64,
    /// Deliveries and successful gets, the final drain included.
    pub delivered: u64,
    pub redelivered: u64,
    /// Acks, rejects and nacks sent.
    pub settled: u64,
    /// Found in the queues by the final drain.
    pub drained: u64,
}

/// What happened when, for the picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timeline {
    /// When the run ended.
    pub end_ns: u64,
    pub load_stopped_ns: Option<u64>,
    pub healed_ns: Option<u64>,
    pub drain_began_ns: Option<u64>,
    pub nodes: Vec<String>,
    pub clients: Vec<ClientLane>,
    /// Leadership of each queue (and of the metadata group, "meta"), in order of time.
    pub leaders: Vec<LeaderSpan>,
    /// Times in which a node's process did not run.
    pub down: Vec<DownSpan>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClientLane {
    pub name: String,
    /// "publisher", "consumer", "getter".
    pub role: String,
    /// Per connection: from, to, through which node.
    pub connections: Vec<ConnectionSpan>,
    /// Operations per bucket of [`Latency::bucket_ns`]: what the lane's intensity shows.
    pub operations: Vec<OperationBucket>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionSpan {
    pub from_ns: u64,
    pub to_ns: Option<u64>,
    pub node: String,
}

/// Counts of what a client saw within one bucket of time; buckets without any are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationBucket {
    pub bucket: u32,
    /// Confirms, or fresh deliveries.
    pub ok: u32,
    /// Unknown or nacked publishes, or redeliveries.
    pub other: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeaderSpan {
    /// A queue's name, or "meta".
    pub group: String,
    pub term: u64,
    pub node: String,
    pub from_ns: u64,
    pub to_ns: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DownSpan {
    pub node: String,
    pub from_ns: u64,
    pub to_ns: Option<u64>,
    /// "killed", "lost power", "exited by itself: …".
    pub how: String,
}

/// Confirm latency and throughput over virtual time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Length of the buckets below, and of [`OperationBucket`]s.
    pub bucket_ns: u64,
    pub buckets: Vec<LatencyBucket>,
    /// Over the whole run; `None` without confirms.
    pub confirm: Option<Quantiles>,
    /// From publish to first delivery, over the whole run; `None` without deliveries.
    pub end_to_end: Option<Quantiles>,
    /// Longest time without any confirm while publishers waited, for an outcome or for a connection.
    pub unavailable_max_ns: u64,
    /// Longest time from a fault's end during the load to the next confirm; without one, as long as publishers waited.
    pub recovery_max_ns: u64,
    /// Whether a fault ended during the load and publishers waited then, so that there was a recovery to measure.
    #[serde(default)]
    pub recovery_measured: bool,
}

/// One bucket of time. Latency counts in the bucket in which the confirm arrived.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyBucket {
    pub published: u32,
    pub confirmed: u32,
    pub delivered: u32,
    pub confirm: Option<Quantiles>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quantiles {
    pub count: u64,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_in_json() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::json!(verdict), verdict.name());
            assert_eq!(Verdict::from_name(verdict.name()), Some(verdict));
        }
        assert!(Verdict::ALL.is_sorted(), "the worst last");
        assert_eq!(Verdict::from_name("splendid"), None);
        for verdict in InvariantVerdict::ALL {
            assert_eq!(serde_json::json!(verdict), verdict.name());
        }
    }
}
