//! Which nodes vote in a new queue's group, and which only follow.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::platform::NodeId;

/// Voters of a queue that does not say how many it wants, as in RabbitMQ.
pub const DEFAULT_GROUP_SIZE: u32 = 3;

/// The replicas of a queue, each list sorted. Every node of the cluster is in exactly one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    pub voters: Vec<NodeId>,
    pub learners: Vec<NodeId>,
}

impl Placement {
    /// The same without `removed` nodes, as long as anybody votes then.
    pub(super) fn without(&self, removed: &BTreeSet<NodeId>) -> Self {
        let left = |nodes: &[NodeId]| nodes.iter().copied().filter(|node| !removed.contains(node)).collect();
        let placement = Self { voters: left(&self.voters), learners: left(&self.learners) };
        if placement.voters.is_empty() { self.clone() } else { placement }
    }
}

/// Puts a new queue on `nodes`: `declaring`, the client's own node, votes, as do the nodes that follow it in the ring,
/// up to `group_size`; the others follow as learners, so that every node can serve clients of the queue.
pub fn place(nodes: &[NodeId], declaring: NodeId, group_size: u32) -> Placement {
    let mut nodes = nodes.to_vec();
    nodes.sort_unstable();
    nodes.dedup();
    let start = nodes.iter().position(|node| *node == declaring).unwrap_or(0);
    nodes.rotate_left(start);
    let voting = (group_size.max(1) as usize).min(nodes.len());
    let mut learners = nodes.split_off(voting);
    nodes.sort_unstable();
    learners.sort_unstable();
    Placement { voters: nodes, learners }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declaring_node_votes_and_every_node_has_a_replica() {
        let nodes: Vec<_> = (1..=5).map(NodeId).collect();
        let placement = place(&nodes, NodeId(4), 3);
        assert_eq!(placement.voters, [NodeId(1), NodeId(4), NodeId(5)]);
        assert_eq!(placement.learners, [NodeId(2), NodeId(3)]);
    }

    #[test]
    fn a_group_is_never_larger_than_the_cluster_nor_empty() {
        assert_eq!(place(&[NodeId(1)], NodeId(1), 3).voters, [NodeId(1)]);
        assert_eq!(place(&[NodeId(1), NodeId(2)], NodeId(2), 0).voters, [NodeId(2)]);
    }
}
