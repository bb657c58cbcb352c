//! What may be asked of the metadata, and what comes of it.

use serde::{Deserialize, Serialize};

use super::{ExchangeSpec, Placement, QueueSpec, Refusal};
use crate::{
    platform::{GroupId, NodeId},
    session::Session,
};

/// One log entry of the metadata group: consecutive operations of one session, numbered from `first`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaCommand {
    pub session: Session,
    pub first: u64,
    pub operations: Vec<MetaOperation>,
}

/// A change of the metadata. Each is idempotent, as AMQP's own declarations are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaOperation {
    /// The session's first operation. The metadata holds nothing on a session's behalf, so it changes nothing else.
    Start,
    /// Changes nothing. Once it is applied on the asking node, that node's metadata holds everything that was
    /// committed before it was asked: only then is "there is no such queue" true.
    Barrier,
    DeclareExchange {
        name: String,
        spec: ExchangeSpec,
    },
    /// `if_unused`: refuse while it has bindings.
    DeleteExchange {
        name: String,
        if_unused: bool,
    },
    /// `placement` is the proposer's choice and counts only if the queue does not exist yet.
    DeclareQueue {
        name: String,
        spec: QueueSpec,
        placement: Placement,
    },
    /// Deletes the queue only if its group is still `group`, so that a queue deleted and declared anew meanwhile is
    /// left alone. The caller has decided if-empty and if-unused.
    DeleteQueue {
        name: String,
        group: GroupId,
    },
    Bind {
        exchange: String,
        queue: String,
        routing_key: String,
    },
    Unbind {
        exchange: String,
        queue: String,
        routing_key: String,
    },
    /// The node, which awaits the others at `address`, belongs to the cluster from now on.
    AddMember {
        node: NodeId,
        address: String,
    },
    /// The node does not belong to the cluster any more, and never will again.
    RemoveMember {
        node: NodeId,
    },
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetaOutcome {
    Done,
    /// The queue exists, equivalent to what was asked.
    Queue {
        group: GroupId,
        created: bool,
    },
    /// Nothing was changed, for this reason.
    Refused(Refusal),
    /// The operation was applied, but its result was in a part of the log this node never saw (it received a
    /// snapshot instead). Operations are idempotent: ask again.
    Missed,
}

/// What applying a command asks of the world. The same on every replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetaEffect {
    /// Operation `sequence` of `session` has been applied, with this result.
    Outcome { session: Session, sequence: u64, outcome: MetaOutcome },
    /// Every node opens the queue's group: `voters` vote, `learners` follow.
    QueueCreated { group: GroupId, name: String, voters: Vec<NodeId>, learners: Vec<NodeId> },
    /// Every node closes the queue's group and forgets its data.
    QueueDeleted { group: GroupId },
    /// Every node connects to the new one.
    MemberAdded { node: NodeId, address: String },
}
