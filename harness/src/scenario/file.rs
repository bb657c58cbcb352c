//! The shape of a scenario file, as serde reads it and as the JSON schema shows it.
//!
//! Every value keeps its place in the file, and every key may be missing here: what must be there is said by the
//! schema (`required`), which [`super::shape`] enforces before anything is read. Doc comments below are what editors
//! show to those who write scenarios.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{
    Metric,
    step_table::StepTable,
    values::{At, DurationRangeText, DurationText, Field, Name, SizeRangeText, SizeText, TargetText, names},
};

/// A scenario: a cluster, its load, what is done to it, and what must hold all the same.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["version", "name", "run", "cluster"]))]
pub(super) struct File {
    /// The version of this format: 1.
    #[schemars(extend("examples" = [1]))]
    pub(super) version: Field<u32>,
    /// Letters, digits, `-`, `_` and `.`; reports and folders carry it.
    pub(super) name: Field<String>,
    /// What the scenario shows, in a sentence.
    pub(super) description: Field<String>,
    pub(super) tags: Vec<At<String>>,
    /// A planted bug to switch on in every node. For scenarios that prove that a checker can fail.
    pub(super) sabotage: Field<Name<names::SabotageName>>,
    /// A planted bug of the kind that the scenario is about. `ferret run --sabotage matching` switches it on, and the
    /// run must then fail.
    pub(super) matching_sabotage: Field<Name<names::SabotageName>>,
    pub(super) run: RunTable,
    pub(super) cluster: ClusterTable,
    pub(super) queues: Vec<At<QueueTable>>,
    pub(super) publishers: Vec<At<PublishersTable>>,
    pub(super) consumers: Vec<At<ConsumersTable>>,
    pub(super) getters: Vec<At<GettersTable>>,
    pub(super) lockers: Vec<At<LockersTable>>,
    pub(super) timeline: TimelineTable,
    /// Faults that each seed draws for itself, besides the timeline's own.
    pub(super) swarm: Field<SwarmTable>,
    pub(super) expect: ExpectTable,
    /// What this file reproduces. Written by `ferret shrink`, read by `ferret replay`; it changes nothing in a run.
    pub(super) repro: Field<ReproTable>,
}

/// What a reproducer must show again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["violates", "trace"]))]
pub(super) struct ReproTable {
    /// An invariant, or `panic` for an assertion of the broker's own.
    pub(super) violates: Field<Name<names::InvariantOrPanic>>,
    /// The trace hash of the run that showed it.
    pub(super) trace: Field<String>,
    /// Which build of Ferret that was.
    pub(super) build: Field<String>,
    /// The command that found the failure first.
    pub(super) found_by: Field<String>,
    /// A hash of this file, but for its blank lines, its comments and this line. Tells whether it was edited.
    pub(super) text_hash: Field<String>,
}

/// How long, how often, and in which weather.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["duration"]))]
pub(super) struct RunTable {
    /// Clients publish for this long, in virtual time. Then faults heal, the queues are drained, the run is judged.
    pub(super) duration: Field<DurationText>,
    /// The most that the final drain may take. Default 20s.
    pub(super) drain: Field<DurationText>,
    /// The seeds to run with, unless the command line names others. Default: seed 1 only.
    pub(super) seeds: Field<SeedsTable>,
    /// The step of virtual time, 100us to 100ms. Smaller is finer and slower. Default 1ms.
    pub(super) tick: Field<DurationText>,
    /// The client library of the workload. Default native.
    pub(super) client: Field<Name<names::ClientName>>,
    pub(super) net: NetTable,
    pub(super) disk: DiskTable,
    /// How often Warren takes rare but legal turns (syncs held, messages lost, late or twice, logs compacted early,
    /// live nodes given up): a factor to the usual frequency, 0 to 20. Default 0, never.
    #[schemars(range(min = 0, max = 20))]
    pub(super) chaos: Field<f64>,
    /// After the last fault is healed, the time within which all must be well. Default 15s.
    pub(super) liveness: Field<DurationText>,
    /// A publish without an answer for this long has an unknown outcome. Default 10s.
    pub(super) publish_timeout: Field<DurationText>,
}

/// The seeds `from`, `from + 1`, …, `count` of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SeedsTable {
    /// The first seed. Default 1.
    #[schemars(range(min = 0))]
    pub(super) from: Field<u64>,
    /// How many. Default 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) count: Field<u64>,
}

/// The network between any two hosts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct NetTable {
    /// One way, per datagram. Default 1ms..5ms.
    pub(super) latency: Field<DurationRangeText>,
    /// Probability that a datagram is lost. Default 0.
    #[schemars(range(min = 0, max = 0.9))]
    pub(super) loss: Field<f64>,
    /// Probability that a datagram arrives twice. Default 0.
    #[schemars(range(min = 0, max = 0.9))]
    pub(super) duplicate: Field<f64>,
}

/// The nodes' disks while nothing is wrong with them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct DiskTable {
    /// How long a sync takes. Default 1ms..3ms.
    pub(super) sync: Field<DurationRangeText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["nodes"]))]
pub(super) struct ClusterTable {
    /// Broker nodes, called n1, n2, ….
    #[schemars(range(min = 1, max = 7))]
    pub(super) nodes: Field<u64>,
    /// Nodes beyond those, which wait for a step `add-member`. Default 0.
    #[schemars(range(min = 0, max = 4))]
    pub(super) spares: Field<u64>,
    /// Log entries after which a queue's log is cut behind a snapshot. Default 4096.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub(super) compact_after: Field<u64>,
    /// Bytes that may wait for a queue at a node; beyond that the node stops the queue's publishers and tells them so
    /// (`connection.blocked`), until half of it is left. Default 8MiB.
    pub(super) backlog: Field<SizeText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["name"]))]
pub(super) struct QueueTable {
    pub(super) name: Field<String>,
    /// Default quorum.
    #[serde(rename = "type")]
    pub(super) kind: Field<Name<names::QueueTypeName>>,
    /// Voting replicas. Default: 3, or all nodes if there are fewer.
    #[schemars(range(min = 1, max = 7))]
    pub(super) group_size: Field<u64>,
}

/// Clients that publish.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["name", "queue", "rate"]))]
pub(super) struct PublishersTable {
    /// The clients are called name-1, name-2, ….
    pub(super) name: Field<String>,
    /// How many clients. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) count: Field<u32>,
    pub(super) queue: Field<String>,
    /// Publisher confirms. Default true.
    pub(super) confirms: Field<bool>,
    /// Messages per virtual second, each client.
    pub(super) rate: Field<f64>,
    /// The most messages that each client publishes. Default: no limit but the load's end.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub(super) messages: Field<u64>,
    /// Bytes per message, such as `"1KiB"` or `"64B..4KiB"`, from 64B to 16MiB. Default 128B.
    pub(super) body: Field<SizeRangeText>,
    /// The most publishes without an outcome at a time. Default 100.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) in_flight: Field<u32>,
    /// Whether a publish of unknown outcome is tried again, as a new attempt. Default true.
    pub(super) retry: Field<bool>,
    /// Which node to connect to: a target, or `"spread"` over all. Default spread.
    pub(super) node: Field<TargetText>,
}

/// Clients that consume.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["name", "queue"]))]
pub(super) struct ConsumersTable {
    /// The clients are called name-1, name-2, ….
    pub(super) name: Field<String>,
    /// How many clients. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) count: Field<u32>,
    pub(super) queue: Field<String>,
    /// Default manual.
    pub(super) ack: Field<Name<names::AckName>>,
    /// Unacknowledged deliveries under way to one consumer; 0 is unlimited. Default 50.
    #[schemars(range(min = 0, max = 65_535))]
    pub(super) prefetch: Field<u32>,
    /// Time from a delivery to its ack: a duration or a range. Default 0s.
    pub(super) work: Field<DurationRangeText>,
    /// The fraction of first deliveries that is nacked with requeue. Default 0.
    #[schemars(range(min = 0, max = 1))]
    pub(super) requeue: Field<f64>,
    /// Which node to connect to: a target, or `"spread"` over all. Default spread.
    pub(super) node: Field<TargetText>,
}

/// Clients that poll with `basic.get`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["name", "queue", "rate"]))]
pub(super) struct GettersTable {
    /// The clients are called name-1, name-2, ….
    pub(super) name: Field<String>,
    /// How many clients. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) count: Field<u32>,
    pub(super) queue: Field<String>,
    /// Gets per virtual second, each client.
    pub(super) rate: Field<f64>,
    /// Default manual.
    pub(super) ack: Field<Name<names::AckName>>,
    /// Which node to connect to: a target, or `"spread"` over all. Default spread.
    pub(super) node: Field<TargetText>,
}

/// Clients that use a queue of one message as a lock: they take it, hold it for a while, and give it back.
///
/// The harness puts the message into the queue. Nobody but lockers may use that queue.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["name", "queue"]))]
pub(super) struct LockersTable {
    /// The clients are called name-1, name-2, ….
    pub(super) name: Field<String>,
    /// How many clients. Default 3.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) count: Field<u32>,
    pub(super) queue: Field<String>,
    /// With gets, or through a consumer with a prefetch of 1. Default get.
    pub(super) take: Field<Name<names::TakeName>>,
    /// Time from taking the lock to giving it back: a duration or a range. Default 100ms..500ms.
    pub(super) hold: Field<DurationRangeText>,
    /// Time from a get that found nothing, or from giving back, to the next get. Default 50ms..200ms.
    pub(super) retry: Field<DurationRangeText>,
    /// Which node to connect to: a target, or `"spread"` over all. Default spread.
    pub(super) node: Field<TargetText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct TimelineTable {
    pub(super) steps: Vec<At<StepTable>>,
}

/// Which faults are drawn from the seed. Each seed has a random half of them at its disposal. Drawn steps are written
/// into the record; they may miss, but not all of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SwarmTable {
    /// The kinds of fault to draw from. Default: all of them. `add-member` raises `spares` as far as it is needed;
    /// `remove-member` leaves three members at least.
    pub(super) faults: Field<Vec<At<Name<names::SwarmKindName>>>>,
    /// Kinds of fault that are not drawn.
    pub(super) without: Vec<At<Name<names::SwarmKindName>>>,
    /// The most faults per virtual minute; each seed has a number of its own, from a quarter of it up. Default 24.
    #[schemars(range(min = 0.1, max = 600))]
    pub(super) intensity: Field<f64>,
    /// How long faults last; short ones are as frequent as long ones. Default 100ms..8s.
    #[serde(rename = "for")]
    pub(super) lasts: Field<DurationRangeText>,
    /// Whether each seed draws how slow and lossy the network is and how slow the disks are. Default true.
    pub(super) weather: Field<bool>,
}

/// What a run must show to pass.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ExpectTable {
    /// What must hold, and must have been checked. `["all"]`, the default: all that this scenario can show.
    pub(super) invariants: Field<Vec<At<Name<names::InvariantOrAll>>>>,
    /// What must be found violated, exactly. For scenarios with a planted bug.
    pub(super) violated: Vec<At<Name<names::InvariantName>>>,
    /// What must have happened at least once.
    pub(super) sometimes: Vec<At<Name<names::SometimesName>>>,
    /// Limits by metric, such as `"confirm.p99" = "< 400ms"`.
    #[schemars(schema_with = "thresholds_schema")]
    pub(super) thresholds: BTreeMap<String, At<String>>,
    /// How many faults must have had an effect, at least, whatever may miss. Default 0.
    #[schemars(range(min = 0))]
    pub(super) effective_faults: Field<u64>,
}

fn thresholds_schema(_: &mut SchemaGenerator) -> Schema {
    let limit = |metric: Metric| {
        let example = if metric == Metric::ThroughputMin { "> 100" } else { "< 400ms" };
        (metric.name().to_owned(), serde_json::json!({ "type": "string", "examples": [example] }))
    };
    let properties: serde_json::Map<String, serde_json::Value> = Metric::ALL.into_iter().map(limit).collect();
    json_schema!({
        "type": "object",
        "description": "Limits by metric, such as `\"confirm.p99\" = \"< 400ms\"`.",
        "properties": properties,
        "additionalProperties": false
    })
}
