//! What happened, as seen at the client boundary and inside the brokers, in virtual time.
//!
//! The order of events in a history is the order in which they happened; the simulation is single-threaded, so it is
//! total. Checkers need nothing else.

pub mod recorder;

use ferret_reports::{DiskSample, LinkSample};
use serde::{Deserialize, Serialize};
use warren::platform::{NodeId, Observation};

/// Virtual nanoseconds since the start of the simulation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nanos(pub u64);

impl Nanos {
    /// In virtual seconds.
    #[expect(clippy::cast_precision_loss, reason = "for people; virtual time stays far below 2^53 ns")]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

/// A client process of the workload, `pub-1` or `con-2`: an index into [`History::clients`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub u32);

/// A queue of the scenario: an index into [`History::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId(pub u32);

/// One life of one AMQP channel, unique in the run. A reconnect opens a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelId(pub u32);

/// A message's identity. Retrying an unknown outcome is a new attempt of the same sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageId {
    pub publisher: ClientId,
    pub sequence: u64,
    pub attempt: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub at: Nanos,
    pub kind: EventKind,
}

/// The connection that a new channel is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Connection {
    #[default]
    New,
    /// That of the client's channel before.
    Kept,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// A client has a new channel, through `node`.
    ChannelOpened {
        client: ClientId,
        channel: ChannelId,
        node: NodeId,
        #[serde(default)]
        connection: Connection,
    },
    /// The broker asks the channel's publisher to hold back (`connection.blocked`), or lets it on.
    Blocked {
        channel: ChannelId,
    },
    Unblocked {
        channel: ChannelId,
    },
    /// The channel is gone, for whatever reason.
    ChannelLost {
        channel: ChannelId,
        reason: String,
    },
    /// A publish was handed to the socket.
    Publish {
        message: MessageId,
        queue: QueueId,
        channel: ChannelId,
    },
    /// What became of a publish, as far as its publisher will ever know.
    PublishOutcome {
        message: MessageId,
        outcome: PublishOutcome,
    },
    /// The channel's publisher heard of a publish that it had not open.
    Stray {
        channel: ChannelId,
        what: Stray,
    },
    /// `basic.consume` was sent. `prefetch` 0 is unlimited.
    Subscribe {
        channel: ChannelId,
        queue: QueueId,
        prefetch: u16,
        no_ack: bool,
    },
    Deliver {
        channel: ChannelId,
        queue: QueueId,
        delivery: Delivery,
    },
    /// `basic.get` was sent; the reply is the next [`EventKind::GetReply`] of the channel. A channel has at most one
    /// get under way; one that is lost before the reply has an unknown outcome.
    Get {
        channel: ChannelId,
        queue: QueueId,
        no_ack: bool,
    },
    GetReply {
        channel: ChannelId,
        queue: QueueId,
        delivery: Option<Delivery>,
    },
    /// A settle was handed to the socket. It has no reply.
    Settle {
        channel: ChannelId,
        tag: u64,
        settle: Settle,
    },
    /// A fault of the timeline began, index into [`History::faults`].
    FaultBegan {
        fault: u32,
    },
    FaultEnded {
        fault: u32,
    },
    /// A node's process started, ended by a kill, or lost power.
    NodeUp {
        node: NodeId,
    },
    NodeDown {
        node: NodeId,
        how: NodeDown,
    },
    /// A fault took from the node's disk what had been synced there (a new disk, bit rot, a misdirected write): no
    /// promise of the node from before counts any more.
    SyncedDataLost {
        node: NodeId,
    },
    /// From now on a fault keeps the node from counting time as it should: its process is held or polled slowly, or its
    /// clock runs slow or stands. What it does after a while, it does late.
    Slowed {
        node: NodeId,
    },
    /// The node counts time again.
    UpToSpeed {
        node: NodeId,
    },
    Observed {
        node: NodeId,
        observation: Observation,
    },
    /// The phases of a run.
    LoadStopped,
    Healed,
    /// The final emptying of all queues begins. Drain clients are ordinary clients that never publish.
    /// The final drain goes round the nodes, for the first time or again.
    DrainBegan,
    /// `complete`: every queue was found empty, through every node, with every node up.
    DrainEnded {
        complete: bool,
        reason: String,
    },
    /// The history ends here: since the event before, nothing happened.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PublishOutcome {
    Confirmed,
    Nacked,
    Returned,
    /// Connection or channel lost, or timed out, before an answer.
    Unknown,
}

/// What a publisher could make nothing of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stray {
    /// A confirm or refusal for a tag that was never used, or was answered before.
    Outcome { tag: u64, outcome: PublishOutcome },
    /// A `basic.return`; `None`: its body does not parse as one of ours.
    Return { message: Option<MessageId> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delivery {
    /// `None`: the body does not parse as one of ours.
    pub message: Option<MessageId>,
    pub redelivered: bool,
    pub delivery_count: Option<u32>,
    pub tag: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Settle {
    Ack { multiple: bool },
    Reject { requeue: bool },
    Nack { requeue: bool, multiple: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeDown {
    /// The process was killed; the machine and its page cache live on.
    Killed,
    /// The machine lost power; unsynced data is gone.
    PowerLost,
    /// The process ended by itself.
    Exited,
}

/// A whole run, ready to be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub clients: Vec<String>,
    pub queues: Vec<String>,
    pub nodes: Vec<NodeId>,
    /// Queues that hold one message, which clients use as a lock.
    pub locks: Vec<QueueId>,
    /// What each fault of the timeline was, in words.
    pub faults: Vec<String>,
    pub events: Vec<Event>,
    /// For pictures only: no checker looks at them, and no file of the history holds them.
    #[serde(skip)]
    pub samples: Samples,
}

/// What disks and links did, counted every so often.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    pub every_ns: u64,
    pub disks: Vec<DiskSample>,
    pub links: Vec<LinkSample>,
}

/// Bytes. A second of a busy cluster is some ten thousand events.
const _: () = assert!(size_of::<Event>() <= 72, "box what is rare");
