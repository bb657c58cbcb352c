//! What the client side of a node sees of the cluster: local reads of the metadata, operations on queues, effects.
//!
//! A client may connect to any node. Whatever it asks of a queue becomes an operation of this node's session with
//! that queue's group; the operation is resent until this node has seen it applied in its own replica of the log, so
//! a change of leader neither loses nor repeats it. Results and deliveries arrive as [`ChannelEvent`]s.
//!
//! Every node holds a replica of every queue: voters up to the queue's group size, learners beyond it.

use crate::{
    platform::GroupId,
    queue::{Delivery, Outcome},
};

/// What a client channel hears from the queues that it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The operation that `Cluster::submit` numbered `sequence` was applied.
    Outcome {
        group: GroupId,
        sequence: u64,
        outcome: Outcome,
    },
    Deliver {
        group: GroupId,
        consumer: u64,
        delivery: Delivery,
    },
    /// The cluster took away what this channel held in the queue, and its consumers, because this node was out of
    /// reach for too long. Unacked deliveries from `group` will go to someone else; consumers must be attached again.
    Revoked {
        group: GroupId,
    },
    /// The queue was deleted.
    QueueDeleted {
        group: GroupId,
    },
}
