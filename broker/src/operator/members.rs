//! Nodes that join the cluster and leave it. The metadata is changed at once; the groups follow one by one, each by its
//! own leader, and this node watches them in its own replicas.

use super::{Change, Reply, serve::Desk, serve::WATCH_LIMIT, serve::refused};
use crate::{
    platform::{GroupId, NodeId, Platform},
    replication::GroupStatus,
    routing::{MetaOperation, MetaOutcome},
};

impl<P: Platform> Desk<P> {
    pub(super) async fn add_member(&self, node: NodeId, address: String) -> Reply {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return refused(format!("'{address}' is not HOST:PORT"));
        }
        let before = self.cluster.nodes();
        if before.contains(&node) && self.is_everywhere(node).await {
            return already(format!("{node} is a member already"), before);
        }
        if let Err(reply) = self.decide(MetaOperation::AddMember { node, address }).await {
            return reply;
        }
        if self.watch_all(async || self.is_everywhere(node).await).await {
            Reply::Done(Change::Cluster { before: Some(before), after: self.cluster.nodes() })
        } else {
            Reply::Later(format!(
                "{node} is a member, and not yet part of every group: does it run, and is it reached?"
            ))
        }
    }

    pub(super) async fn remove_member(&self, node: NodeId) -> Reply {
        let before = self.cluster.nodes();
        if node == self.own() {
            // It is about to be cut off, and could not tell how that ended.
            return match before.iter().find(|other| **other != node) {
                Some(other) => self.elsewhere(*other),
                None => refused(format!("{node} is the last member of the cluster")),
            };
        }
        if self.cluster.meta().removed().contains(&node) && self.is_nowhere(node).await {
            return already(format!("{node} was removed before"), before);
        }
        if let Err(reply) = self.decide(MetaOperation::RemoveMember { node }).await {
            return reply;
        }
        if self.watch_all(async || self.is_nowhere(node).await).await {
            Reply::Done(Change::Cluster { before: Some(before), after: self.cluster.nodes() })
        } else {
            Reply::Later(format!("{node} is no member any more, and not yet taken out of every group"))
        }
    }

    /// Changes the metadata.
    async fn decide(&self, operation: MetaOperation) -> Result<(), Reply> {
        tokio::select! {
            biased;
            outcome = self.cluster.change_meta(operation) => match outcome {
                MetaOutcome::Refused(refusal) => Err(refused(refusal.text)),
                _ => Ok(()),
            },
            () = self.cluster.platform().sleep(WATCH_LIMIT) => {
                Err(Reply::Later(format!("{} cannot reach a leader of the metadata", self.own())))
            }
        }
    }

    /// Whether every group here has the node among its members, and the metadata among its voters.
    async fn is_everywhere(&self, node: NodeId) -> bool {
        self.every_group(|group, status| {
            let votes = status.members.voters.contains(&node);
            votes || group != GroupId::META && status.members.learners.contains(&node)
        })
        .await
    }

    /// Whether no group here has the node among its members.
    async fn is_nowhere(&self, node: NodeId) -> bool {
        let nowhere =
            |status: &GroupStatus| !status.members.voters.contains(&node) && !status.members.learners.contains(&node);
        self.every_group(|_, status| nowhere(status)).await
    }

    async fn every_group(&self, holds: impl Fn(GroupId, &GroupStatus) -> bool) -> bool {
        let queues: Vec<GroupId> = self.cluster.meta().queues().map(|(_, queue)| queue.group).collect();
        for group in std::iter::once(GroupId::META).chain(queues) {
            match self.driver.status(group).await {
                Some(status) if holds(group, &status) => {}
                _ => return false,
            }
        }
        true
    }
}

fn already(reason: String, members: Vec<NodeId>) -> Reply {
    Reply::Refused { reason, already: Some(Change::Cluster { before: None, after: members }) }
}
