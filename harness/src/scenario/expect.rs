//! What a run must show to pass.

use std::{collections::BTreeSet, time::Duration};

use crate::check::Invariant;

/// What a run must show to pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// Must hold, and must have had something to check. `["all"]` in the file stands for every invariant that the
    /// scenario's clients and faults give something to check; the rest is judged too, but may be vacuous.
    pub invariants: BTreeSet<Invariant>,
    /// Must be violated: the run passes only if exactly these are. For scenarios with a planted bug.
    pub violated: BTreeSet<Invariant>,
    /// Must have happened at least once over all seeds, or they tested less than the scenario says.
    pub sometimes: BTreeSet<Sometimes>,
    pub thresholds: Vec<Threshold>,
    /// So many faults must have had an effect, or the run tested less than the scenario says.
    pub effective_faults: u64,
}

/// Something that a run must have reached, or the scenario tests less than it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sometimes {
    /// A queue's leader changed after the first election.
    LeaderChanged,
    /// A delivery was flagged as redelivered.
    Redelivered,
    /// A publish ended without an answer.
    UnknownOutcome,
    /// A publish was nacked.
    Nacked,
    /// A replica received a snapshot from its leader.
    SnapshotInstalled,
    /// A log was cut behind a snapshot.
    Compacted,
    /// A client lost its connection and made another.
    Reconnected,
    /// A get found the queue empty.
    GetEmpty,
    /// A publish was returned as unroutable.
    Returned,
    /// A client was given a lock while another, cut off, believed to have it.
    LockOverlap,
}

impl Sometimes {
    pub const ALL: [Self; 10] = [
        Self::LeaderChanged,
        Self::Redelivered,
        Self::UnknownOutcome,
        Self::Nacked,
        Self::SnapshotInstalled,
        Self::Compacted,
        Self::Reconnected,
        Self::GetEmpty,
        Self::Returned,
        Self::LockOverlap,
    ];

    /// The name in scenario files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderChanged => "leader-changed",
            Self::Redelivered => "redelivered",
            Self::UnknownOutcome => "unknown-outcome",
            Self::Nacked => "nacked",
            Self::SnapshotInstalled => "snapshot-installed",
            Self::Compacted => "compacted",
            Self::Reconnected => "reconnected",
            Self::GetEmpty => "get-empty",
            Self::Returned => "returned",
            Self::LockOverlap => "lock-overlap",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

/// A limit on something measured over the whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    pub metric: Metric,
    pub comparison: Comparison,
    pub limit: Limit,
    /// The limit as the scenario says it: `< 400ms`.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// From a publish to its confirm.
    Confirm(Quantile),
    /// From a publish to its first delivery.
    EndToEnd(Quantile),
    /// The longest time without any confirm while publishes were outstanding.
    UnavailableMax,
    /// The longest time from the end of a fault to the next confirm.
    RecoveryMax,
    /// Confirms per second in the slowest whole second of the load.
    ThroughputMin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantile {
    P50,
    P90,
    P99,
    Max,
}

impl Metric {
    pub const ALL: [Self; 11] = [
        Self::Confirm(Quantile::P50),
        Self::Confirm(Quantile::P90),
        Self::Confirm(Quantile::P99),
        Self::Confirm(Quantile::Max),
        Self::EndToEnd(Quantile::P50),
        Self::EndToEnd(Quantile::P90),
        Self::EndToEnd(Quantile::P99),
        Self::EndToEnd(Quantile::Max),
        Self::UnavailableMax,
        Self::RecoveryMax,
        Self::ThroughputMin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Confirm(Quantile::P50) => "confirm.p50",
            Self::Confirm(Quantile::P90) => "confirm.p90",
            Self::Confirm(Quantile::P99) => "confirm.p99",
            Self::Confirm(Quantile::Max) => "confirm.max",
            Self::EndToEnd(Quantile::P50) => "end-to-end.p50",
            Self::EndToEnd(Quantile::P90) => "end-to-end.p90",
            Self::EndToEnd(Quantile::P99) => "end-to-end.p99",
            Self::EndToEnd(Quantile::Max) => "end-to-end.max",
            Self::UnavailableMax => "unavailable.max",
            Self::RecoveryMax => "recovery.max",
            Self::ThroughputMin => "throughput.min",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

/// How the measured value must stand to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// For every metric of time.
    Time(Duration),
    /// For [`Metric::ThroughputMin`].
    PerSecond(f64),
}

impl Comparison {
    /// Whether `measured` keeps to `limit`; both in the same unit.
    pub fn holds<T: PartialOrd>(self, measured: T, limit: T) -> bool {
        match self {
            Self::Less => measured < limit,
            Self::LessOrEqual => measured <= limit,
            Self::Greater => measured > limit,
            Self::GreaterOrEqual => measured >= limit,
        }
    }
}
