//! What whoever runs a cluster may ask of it: who its members are, another leader, a voter more or less.
//!
//! A request comes on the port where nodes meet, as the first and only frame of a stream; one reply goes back. Any node
//! takes any request; one that does not lead what the request is about says who does, and [`ask()`] goes there. So
//! `warren ctl` and a simulated operator walk the same way, over the same network that nodes use.
//!
//! Like all traffic between nodes, requests are neither encrypted nor authenticated.

mod ask;
mod members;
mod serve;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    platform::{NodeId, Term},
    storage::Members,
};

pub use ask::{AskError, Asker, ask};
pub(crate) use serve::Desk;

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who leads, votes and follows in each group.
    Members,
    /// Let `to`, a voter, lead the queue.
    TransferLeader { queue: String, to: NodeId },
    /// Let `node`, which follows the queue as a learner, vote in it.
    GrowQueue { queue: String, node: NodeId },
    /// Let `node` follow the queue without a vote. If it leads the queue, another voter takes over first.
    ShrinkQueue { queue: String, node: NodeId },
    /// Let `node`, which awaits the others at `address`, join the cluster.
    AddMember { node: NodeId, address: String },
    /// Take `node` out of the cluster, for good.
    RemoveMember { node: NodeId },
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Members(Vec<GroupMembers>),
    Done(Change),
    /// Another node leads what the request is about, and awaits it at `address`.
    Elsewhere {
        node: NodeId,
        address: String,
    },
    /// Not now, for this reason: ask again. What was begun may still come about.
    Later(String),
    /// Not at all, for this reason. `already`: because all is as was asked, namely so.
    Refused {
        reason: String,
        already: Option<Change>,
    },
}

/// What a request has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// `from` is `None` if the answer to an earlier attempt was lost.
    Leader { from: Option<NodeId>, to: NodeId },
    /// Voters before and after; `before` is `None` if the answer to an earlier attempt was lost.
    Voters { before: Option<Vec<NodeId>>, after: Vec<NodeId> },
    /// The cluster's members before and after, likewise.
    Cluster { before: Option<Vec<NodeId>>, after: Vec<NodeId> },
}

/// A group as the answering node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMembers {
    /// The queue's name; `None` for the metadata.
    pub queue: Option<String>,
    pub leader: Option<NodeId>,
    pub term: Term,
    pub members: Members,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader { from: Some(from), to } => write!(f, "{from} led, {to} leads"),
            Self::Leader { from: None, to } => write!(f, "{to} leads"),
            Self::Voters { before: Some(before), after } => {
                write!(f, "{} voted, {} vote", listed(before), listed(after))
            }
            Self::Voters { before: None, after } => write!(f, "{} vote", listed(after)),
            Self::Cluster { before: Some(before), after } => {
                write!(f, "{} were the cluster, {} are", listed(before), listed(after))
            }
            Self::Cluster { before: None, after } => write!(f, "{} are the cluster", listed(after)),
        }
    }
}

/// "n1, n3".
pub fn listed(nodes: &[NodeId]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
