//! The shape of a step of the timeline: what begins it, and a table for each action. See [`super::file`].

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{
    At, DurationRangeText, DurationText, EventText, Field, Name, OneOrMany, SizeText, TargetText, names,
};

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
    /// End the channels of a group of publishers behind publishes that have no answer yet, over and over.
    pub(super) channel_close: Field<ChannelCloseTable>,
    /// Let the publishers of a group go on sending when they should hold back.
    pub(super) ignore_flow: Field<PublisherTable>,
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
    pub(super) rate: Field<SizeText>,
    /// Bytes that may wait; the rest is dropped. Default 64KiB.
    pub(super) queue: Field<SizeText>,
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

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["client", "every"]))]
pub(super) struct ChannelCloseTable {
    /// A name among publishers.
    pub(super) client: Field<String>,
    /// How often, each of them.
    pub(super) every: Field<DurationText>,
    /// `clean`: the client closes the channel. `error`: it asks for a queue that does not exist, so that the broker
    /// does. `half`: it closes the channel in the middle of a message, for which the broker closes the connection.
    /// Default `clean`.
    pub(super) how: Field<Name<names::ChannelEndName>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("required" = ["client"]))]
pub(super) struct PublisherTable {
    /// A name among publishers.
    pub(super) client: Field<String>,
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
