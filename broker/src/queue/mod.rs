//! The quorum queue as a pure state machine: `apply(command) -> effects`.
//!
//! It knows nothing of Raft, sockets, disks or time. Every replica applies the same commands in the same order and
//! reaches the same state, effects included; each node acts on the effects that name its own session and ignores the
//! rest. So a delivery or a confirm needs no message from the leader: it happens where the client is, when the entry
//! is applied there, and a change of leader loses none.
//!
//! Order: messages are numbered in log order. Ready messages are served by number, so a requeued message goes back
//! to its original position, ahead of everything that was never delivered. (RabbitMQ's quorum queues put it at the
//! back; its classic queues do as we do.)

mod consumers;
mod hash;
mod messages;
mod snapshot;
mod state;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::session::Session;
pub use snapshot::RestoreError;
pub use state::QueueState;

/// A message's number in its queue: 1 and up in the order of the log, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageNumber(pub u64);

/// A client channel, cluster-wide. `channel` is unique within the session, across its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChannelKey {
    pub session: Session,
    pub channel: u64,
}

/// A consumer, cluster-wide. `consumer` is unique within the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConsumerKey {
    pub channel: ChannelKey,
    pub consumer: u64,
}

/// What a client published, as the queue keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub exchange: String,
    pub routing_key: String,
    /// The content header's properties in AMQP's own encoding, opaque here.
    pub properties: Bytes,
    pub body: Bytes,
}

/// One log entry: consecutive operations of one session, numbered from `first`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub session: Session,
    pub first: u64,
    pub operations: Vec<Operation>,
}

/// What a node asks of a queue on behalf of its clients. `channel` and `consumer` belong to the command's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// The session's first operation: whatever an earlier incarnation of the node held goes back to the queue.
    Start,
    Publish {
        channel: u64,
        message: Message,
    },
    /// Adds a consumer; one that is there already stays as it is. `prefetch` of `None` (and of 0, as in AMQP's
    /// `basic.qos`) is unlimited, and so is a consumer without acks.
    Attach {
        channel: u64,
        consumer: u64,
        prefetch: Option<u32>,
        acks: Acks,
    },
    /// Removes a consumer; what it holds stays with its channel until settled.
    Cancel {
        channel: u64,
        consumer: u64,
    },
    /// Takes one message, if any is ready (`basic.get`).
    Get {
        channel: u64,
        acks: Acks,
    },
    /// Settles messages held by `channel`. Numbers that the channel does not hold (any more) are ignored.
    Settle {
        channel: u64,
        messages: Vec<MessageNumber>,
        settle: Settle,
    },
    /// The channel is gone: its consumers are removed, what it held is requeued.
    CloseChannel {
        channel: u64,
    },
    /// Drops all ready messages.
    Purge {
        channel: u64,
    },
    /// Asks for the counts (`queue.declare` reports them).
    Count {
        channel: u64,
    },
    /// A node found that `lost` has been silent for too long: all its channels count as gone. Its session may go on
    /// publishing if it comes back.
    NodeLost {
        lost: Session,
    },
}

/// Whether the taker of a message acknowledges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// `no-ack = false`: held until settled.
    Manual,
    /// `no-ack = true`: settled when dispatched.
    Automatic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Settle {
    Ack,
    /// Reject without requeue: the message is dropped.
    Drop,
    /// Back to its original position; `redelivered` from now on, its delivery count one higher.
    Requeue,
}

/// A message on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub number: MessageNumber,
    pub message: Message,
    pub redelivered: bool,
    /// How often the message was requeued before this delivery.
    pub delivery_count: u32,
}

/// What applying a command asks of the world. The same on every replica; each node picks its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Operation `sequence` of `session` has been applied, with this result. `channel` is 0 where it has none.
    Outcome {
        session: Session,
        sequence: u64,
        channel: u64,
        outcome: Outcome,
    },
    Deliver {
        to: ConsumerKey,
        delivery: Delivery,
    },
    /// The channel lost its consumers and all that it held (its node was given up as lost).
    Revoked {
        channel: ChannelKey,
    },
    /// For observers: the consumer may be served from now on.
    Attached {
        consumer: ConsumerKey,
        prefetch: Option<u32>,
    },
    /// For observers: the consumer is gone.
    Detached {
        consumer: ConsumerKey,
    },
    /// For observers: the message now belongs to `by`, through this consumer of it or a get. Without acks it is
    /// settled right after.
    Assigned {
        message: MessageNumber,
        by: ChannelKey,
        consumer: Option<u64>,
        /// How often it was requeued before.
        count: u32,
    },
    /// For observers: the message is gone for good.
    Settled {
        message: MessageNumber,
    },
    /// For observers: the message is ready again.
    Requeued {
        message: MessageNumber,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// The answer to a get, with the number of messages still ready.
    Got {
        delivery: Option<Delivery>,
        ready: u64,
    },
    Counted {
        ready: u64,
        consumers: u64,
    },
    Purged {
        count: u64,
    },
    /// The operation was applied, but its result was in a part of the log this node never saw (it received a
    /// snapshot instead).
    Missed,
}
