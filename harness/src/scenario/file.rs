//! The shape of a scenario file, as serde reads it and as the JSON schema shows it.
//!
//! Every value keeps its place in the file, and every key may be missing here: what must be there is said by the
//! schema (`required`), which [`super::shape`] enforces before anything is read. Doc comments below are what editors
//! show to those who write scenarios.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::{Invariant, Metric, Sometimes};

/// A value and its bytes in the file.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// A key that may be missing. (An `Option` would let the schema offer `null`, which TOML does not have.)
#[derive(Clone, Debug)]
pub(crate) struct Field<T>(pub(crate) Option<At<T>>);

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(Self { value: spanned.into_inner(), span })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        At::deserialize(deserializer).map(|at| Self(Some(at)))
    }
}

macro_rules! schema_of_inner {
    ($outer:ident) => {
        impl<T: JsonSchema> JsonSchema for $outer<T> {
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn schema_name() -> Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> Cow<'static, str> {
                T::schema_id()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    };
}
schema_of_inner!(At);
schema_of_inner!(Field);

/// A scenario: a cluster, its load, what is done to it, and what must hold all the same.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["version", "name", "run", "cluster"]))]
pub(super) struct File {
    /// The version of this format: 1.
    pub(super) version: Field<u32>,
    /// Letters, digits, `-`, `_` and `.`; reports and folders carry it.
    pub(super) name: Field<String>,
    /// What the scenario shows, in a sentence.
    pub(super) description: Field<String>,
    pub(super) tags: Vec<At<String>>,
    /// A planted bug to switch on in every node. For scenarios that prove that a checker can fail.
    pub(super) sabotage: Field<Name<names::SabotageName>>,
    /// A planted bug of the kind that the scenario is about. `ferret run --sabotage matching` switches it on, and the run
    /// must then fail.
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
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["violates", "trace"]))]
pub(super) struct ReproTable {
    /// An invariant, or `panic` for an assertion of the broker's own.
    pub(super) violates: Field<String>,
    /// The trace hash of the run that showed it.
    pub(super) trace: Field<String>,
    /// Which build of Ferret that was.
    pub(super) build: Field<String>,
    /// The command that found the failure first.
    pub(super) found_by: Field<String>,
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
    /// How often Warren takes rare but legal turns (syncs held, messages lost, late or twice, logs compacted early, live
    /// nodes given up): a factor to the usual frequency, 0 to 20. Default 0, never.
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
    /// Bytes per message, such as `"1KiB"` or `"64B..4KiB"`. Default 128B.
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

/// One thing that is done to the cluster: a beginning (`at`, `after`, `when` or `every`), exactly one action, perhaps
/// `for` some time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct StepTable {
    /// When, since the start of the load: a duration, or a range to draw from.
    pub(super) at: Field<DurationRangeText>,
    /// Once so many messages got so far.
    pub(super) after: Field<AfterTable>,
    /// Once something has happened since the start of the load: an event and whom it happens to.
    pub(super) when: Field<EventText>,
    /// How long after `after` or `when`: a duration, or a range to draw from. Default 0s.
    pub(super) delay: Field<DurationRangeText>,
    /// Again and again, so far apart: a duration, or a range to draw from for each. Each time is a fault of its own,
    /// with targets drawn anew and an effect of its own. Without `at`, the first comes after one `every`.
    pub(super) every: Field<DurationRangeText>,
    /// How often `every` comes. Default: as often as fits.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) count: Field<u64>,
    /// Until when `every` comes, since the start of the load. Default: the end of the load.
    pub(super) until: Field<DurationText>,
    /// How long: a duration, or a range to draw from. Without it, until `heal`, `restart` or the end of the load.
    #[serde(rename = "for")]
    pub(super) lasts: Field<DurationRangeText>,
    /// Accept that the step had no effect. Default false: a fault that did nothing fails the run.
    pub(super) may_miss: Field<bool>,
    /// Cut nodes from each other.
    pub(super) partition: Field<PartitionTable>,
    /// Drop everything from some nodes to others; the way back works.
    pub(super) one_way: Field<OneWayTable>,
    /// End a node's process at once; its machine lives on.
    pub(super) kill: Field<NodeTable>,
    /// Switch a node's machine off; what it had not synced is lost.
    pub(super) power_loss: Field<NodeTable>,
    /// Let disk operations hang.
    pub(super) disk_stall: Field<DiskStallTable>,
    /// Let syncs take longer.
    pub(super) disk_slow: Field<DiskSlowTable>,
    /// Reset established connections.
    pub(super) reset: Field<ResetTable>,
    /// Hold a node's process, as SIGSTOP does.
    pub(super) pause: Field<NodeTable>,
    /// End every fault under way and start the nodes that are down.
    pub(super) heal: Field<Name<names::HealName>>,
    /// Start a node that an earlier step took down.
    pub(super) restart: Field<NodeTable>,
    /// Add latency to some links, one way.
    pub(super) latency: Field<LatencyTable>,
    /// Lose a share of the datagrams of some links, one way.
    pub(super) loss: Field<ShareTable>,
    /// Double a share of the datagrams of some links, one way.
    pub(super) duplicate: Field<ShareTable>,
    /// Hold a share of the datagrams of some links back, so that others overtake them.
    pub(super) reorder: Field<ReorderTable>,
    /// Put a bottleneck into some links, one way.
    pub(super) bandwidth: Field<BandwidthTable>,
    /// Swallow everything to and from some nodes, also of clients.
    pub(super) black_hole: Field<NodeTable>,
    /// Cut nodes from all others and join them again, over and over.
    pub(super) flap: Field<FlapTable>,
    /// Kill and start nodes one after the other.
    pub(super) rolling_restart: Field<RollingTable>,
    /// Switch a node's machine off; it comes back with an empty disk.
    pub(super) wipe: Field<NodeTable>,
    /// Let every step of a node's tasks take time.
    pub(super) slow_cpu: Field<SlowCpuTable>,
    /// Let disk operations fail.
    pub(super) disk_error: Field<DiskErrorTable>,
    /// Flip bits in synced data.
    pub(super) bit_rot: Field<BitRotTable>,
    /// Let a sector of a sync land in the place of another one.
    pub(super) misdirect: Field<MisdirectTable>,
    /// Move a node's wall clock.
    pub(super) clock_jump: Field<ClockJumpTable>,
    /// Let a node's clocks and timers run at a wrong rate.
    pub(super) clock_drift: Field<ClockDriftTable>,
    /// Stop a node's clocks.
    pub(super) clock_freeze: Field<ClockFreezeTable>,
    /// Let every step of the clients of a group take time.
    pub(super) slow_consumer: Field<SlowConsumerTable>,
    /// End the processes of a group of clients, without a word.
    pub(super) client_crash: Field<ClientTable>,
    /// Break all connections of a group of clients, over and over.
    pub(super) churn: Field<ChurnTable>,
    /// Ask the cluster to let another voter lead a queue.
    pub(super) transfer_leader: Field<TransferTable>,
    /// Ask the cluster to give a node a vote in a queue.
    pub(super) grow: Field<VoterTable>,
    /// Ask the cluster to take a node's vote in a queue away.
    pub(super) shrink: Field<VoterTable>,
    /// Start a spare and ask the cluster to take it in.
    pub(super) add_member: Field<MemberTable>,
    /// Ask the cluster to take a node out, for good.
    pub(super) remove_member: Field<MemberTable>,
}

/// Exactly one of the keys. Counted over all clients and queues, since the start of the run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct AfterTable {
    /// Publishes that were handed to a socket.
    #[schemars(range(min = 1))]
    pub(super) published: Field<u64>,
    /// Publishes that were confirmed.
    #[schemars(range(min = 1))]
    pub(super) confirmed: Field<u64>,
    /// Messages that clients received, redeliveries too.
    #[schemars(range(min = 1))]
    pub(super) delivered: Field<u64>,
    /// Acks that clients sent.
    #[schemars(range(min = 1))]
    pub(super) acked: Field<u64>,
}

/// Exactly one of the keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct PartitionTable {
    /// Cut these nodes, each and together, from all others.
    pub(super) isolate: Field<OneOrMany>,
    /// Lists of nodes; nothing passes between nodes of different lists.
    pub(super) halves: Field<Vec<At<OneOrMany>>>,
    /// These nodes hear all others, which fall into two halves that do not hear each other.
    pub(super) bridge: Field<OneOrMany>,
    /// Every node hears a majority, and no two the same. Four nodes at least.
    pub(super) ring: Field<Name<names::RingName>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["from", "to"]))]
pub(super) struct OneWayTable {
    pub(super) from: Field<OneOrMany>,
    pub(super) to: Field<OneOrMany>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct NodeTable {
    pub(super) node: Field<OneOrMany>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct DiskStallTable {
    pub(super) node: Field<OneOrMany>,
    /// Only syncs, or all operations. Default sync.
    pub(super) what: Field<Name<names::StallName>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node", "sync"]))]
pub(super) struct DiskSlowTable {
    pub(super) node: Field<OneOrMany>,
    /// How much longer each sync takes meanwhile.
    pub(super) sync: Field<DurationRangeText>,
}

/// Exactly one of the keys.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ResetTable {
    /// Every connection of these nodes.
    pub(super) node: Field<OneOrMany>,
    /// Every connection of this group of clients.
    pub(super) client: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["from", "to", "add"]))]
pub(super) struct LatencyTable {
    pub(super) from: Field<OneOrMany>,
    pub(super) to: Field<OneOrMany>,
    /// On top of the usual latency, drawn for each datagram.
    pub(super) add: Field<DurationRangeText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["from", "to", "share"]))]
pub(super) struct ShareTable {
    pub(super) from: Field<OneOrMany>,
    pub(super) to: Field<OneOrMany>,
    /// Probability, for each datagram.
    #[schemars(range(min = 0, max = 1))]
    pub(super) share: Field<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["from", "to", "share", "delay"]))]
pub(super) struct ReorderTable {
    pub(super) from: Field<OneOrMany>,
    pub(super) to: Field<OneOrMany>,
    /// Probability, for each datagram.
    #[schemars(range(min = 0, max = 1))]
    pub(super) share: Field<f64>,
    /// How long they are held back.
    pub(super) delay: Field<DurationRangeText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["from", "to", "rate"]))]
pub(super) struct BandwidthTable {
    pub(super) from: Field<OneOrMany>,
    pub(super) to: Field<OneOrMany>,
    /// Bytes per second.
    pub(super) rate: Field<SizeRangeText>,
    /// Bytes that may wait; the rest is dropped. Default 64KiB.
    pub(super) queue: Field<SizeRangeText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["isolate", "period"]))]
pub(super) struct FlapTable {
    /// Cut these nodes, each and together, from all others.
    pub(super) isolate: Field<OneOrMany>,
    /// Cut for the first half of it, whole for the second.
    pub(super) period: Field<DurationText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct RollingTable {
    pub(super) node: Field<OneOrMany>,
    /// How long each one stays down. Default 1s.
    pub(super) down: Field<DurationText>,
    /// From one start to the next kill. Default 2s.
    pub(super) pause: Field<DurationText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node", "poll"]))]
pub(super) struct SlowCpuTable {
    pub(super) node: Field<OneOrMany>,
    /// How long each step of a task takes.
    pub(super) poll: Field<DurationText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node", "what"]))]
pub(super) struct DiskErrorTable {
    pub(super) node: Field<OneOrMany>,
    /// Syncs, reads, or writes for lack of space.
    pub(super) what: Field<Name<names::DiskErrorName>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct BitRotTable {
    pub(super) node: Field<OneOrMany>,
    /// How many. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) bits: Field<u64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct MisdirectTable {
    pub(super) node: Field<OneOrMany>,
    /// How many. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) writes: Field<u64>,
}

/// Exactly one of `forward` and `back`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct ClockJumpTable {
    pub(super) node: Field<OneOrMany>,
    /// By how much.
    pub(super) forward: Field<DurationText>,
    /// By how much.
    pub(super) back: Field<DurationText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node", "rate"]))]
pub(super) struct ClockDriftTable {
    pub(super) node: Field<OneOrMany>,
    /// 1 is right, 1.1 gains a tenth.
    #[schemars(range(min = 0.01, max = 100))]
    pub(super) rate: Field<f64>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct ClockFreezeTable {
    pub(super) node: Field<OneOrMany>,
    /// The wall clock alone, or both clocks and the timers. Default both.
    pub(super) what: Field<Name<names::FreezeName>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["client", "poll"]))]
pub(super) struct SlowConsumerTable {
    /// A name among publishers, consumers and getters.
    pub(super) client: Field<String>,
    /// How long each step of a client takes.
    pub(super) poll: Field<DurationText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["client"]))]
pub(super) struct ClientTable {
    /// A name among publishers, consumers and getters.
    pub(super) client: Field<String>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["client", "every"]))]
pub(super) struct ChurnTable {
    /// A name among publishers, consumers and getters.
    pub(super) client: Field<String>,
    /// How often.
    pub(super) every: Field<DurationText>,
}

/// Which faults are drawn from the seed. Each seed has a random half of them at its disposal. Drawn steps are written
/// into the record; they may miss, but not all of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SwarmTable {
    /// The kinds of fault to draw from. Default: all of them.
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["queue", "to"]))]
pub(super) struct TransferTable {
    pub(super) queue: Field<String>,
    /// Who leads from then on: a target that means one node.
    pub(super) to: Field<TargetText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["queue", "node"]))]
pub(super) struct VoterTable {
    pub(super) queue: Field<String>,
    /// Whose vote: a target that means one node.
    pub(super) node: Field<TargetText>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["node"]))]
pub(super) struct MemberTable {
    /// A target that means one node; `spare` is the first one.
    pub(super) node: Field<TargetText>,
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

/// A string that is checked later, with better messages than a pattern gives.
macro_rules! text {
    ($(#[$doc:meta])* $type:ident, $format:literal, [$($example:literal),+]) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $type(pub(crate) String);

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $format.replace(' ', "-").into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "title": $format, "examples": [$($example),+] })
            }
        }
    };
}
text!(
    /// A number and a unit, without a space: ns, us, ms, s, min or h.
    DurationText, "duration", ["5s", "250ms"]
);
text!(
    /// A duration, or two with `..` between them to draw from.
    DurationRangeText, "duration or range", ["5s", "1ms..15ms"]
);
text!(
    /// A number of bytes with a unit, or two with `..` between them to draw from: B, KiB or MiB.
    SizeRangeText, "size or range", ["1KiB", "64B..4KiB"]
);
text!(
    /// Whom is meant: `leader:Q`, `followers:Q`, `one-follower:Q`, `one-learner:Q`,
    /// `majority`, `minority`, `all`, `any`, `n1`.
    TargetText, "target", ["leader:orders", "any", "n2"]
);

text!(
    /// What happens and to whom: `leader-changed:Q`, `redelivered:Q`, `snapshot-installed:Q`, `compacted:Q`, `down:N`,
    /// `restarted:N`, `reconnected:C`; Q is a queue, N a node or `any`, C a group of clients.
    EventText, "event", ["leader-changed:orders", "restarted:any"]
);

/// One target, or a list of them.
#[derive(Clone, Debug)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<At<String>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a target or a list of targets")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut targets = Vec::new();
                while let Some(target) = items.next_element()? {
                    targets.push(target);
                }
                Ok(OneOrMany::Many(targets))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for OneOrMany {
    fn schema_name() -> Cow<'static, str> {
        "targets".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<TargetText>();
        json_schema!({
            "title": "target or list of targets",
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }]
        })
    }
}

/// One of the names that `K` lists.
pub(crate) struct Name<K> {
    pub(crate) text: String,
    kind: PhantomData<K>,
}

/// A fixed list of names.
pub(crate) trait Names {
    /// What one of them is: "invariant".
    const WHAT: &'static str;

    fn all() -> Vec<&'static str>;
}

impl<K> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl<'de, K> Deserialize<'de> for Name<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { text: String::deserialize(deserializer)?, kind: PhantomData })
    }
}

impl<K: Names> JsonSchema for Name<K> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        K::WHAT.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": K::WHAT, "enum": K::all() })
    }
}

pub(crate) mod names {
    //! The lists of names that the format knows.

    use warren::platform::Sabotage;

    use super::{
        super::{ClientKind, SwarmKind},
        Invariant, Names, Sometimes,
    };

    macro_rules! names {
        ($($type:ident, $what:literal, $all:expr;)+) => {
            $(
                pub(crate) struct $type;

                impl Names for $type {
                    const WHAT: &'static str = $what;

                    fn all() -> Vec<&'static str> {
                        $all
                    }
                }
            )+
        };
    }

    names! {
        SabotageName, "planted bug", Sabotage::ALL.into_iter().map(Sabotage::name).collect();
        ClientName, "client", ClientKind::ALL.into_iter().map(ClientKind::name).collect();
        QueueTypeName, "queue type", vec!["quorum"];
        AckName, "ack mode", vec!["manual", "auto"];
        TakeName, "way to take a lock", vec!["get", "consume"];
        StallName, "kind of stall", vec!["sync", "all"];
        HealName, "thing to heal", vec!["all"];
        RingName, "ring", vec!["all"];
        DiskErrorName, "kind of disk error", vec!["sync", "read", "no-space"];
        FreezeName, "kind of freeze", vec!["both", "wall"];
        SwarmKindName, "fault", SwarmKind::ALL.into_iter().map(SwarmKind::name).collect();
        InvariantName, "invariant", Invariant::ALL.into_iter().map(Invariant::name).collect();
        InvariantOrAll, "invariant",
            std::iter::once("all").chain(Invariant::ALL.into_iter().map(Invariant::name)).collect();
        SometimesName, "thing that may happen", Sometimes::ALL.into_iter().map(Sometimes::name).collect();
    }
}
