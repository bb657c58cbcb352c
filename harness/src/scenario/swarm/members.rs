//! Who belongs to the cluster over the course of a drawn timeline.
//!
//! A node that joins has a number of its own, and so has everyone who was ever removed: no number comes back. A cluster
//! never shrinks below three members, as far as the order of the steps tells. Whether a node really has joined by the
//! time another leaves, only the run tells; so at least two of those that began the cluster stay, whatever comes of it.

use warren::platform::NodeId;

use super::kind::MEMBERS_MIN;

/// So many of the nodes that begin the cluster stay in it.
const FOUNDERS_MIN: u64 = 2;

/// Changes of the cluster that have been drawn so far. All times in milliseconds.
pub(super) struct Members {
    founders: u64,
    /// Numbers that nobody has had, the next one last.
    free: Vec<NodeId>,
    /// When each new node is asked for.
    joins: Vec<(u64, NodeId)>,
    /// When somebody is removed, and who, if the step names a node and not a role.
    leaves: Vec<(u64, Option<NodeId>)>,
}

impl Members {
    /// `free`: the numbers of nodes that may join.
    pub(super) fn new(founders: u64, free: Vec<NodeId>) -> Self {
        Self { founders, free: free.into_iter().rev().collect(), joins: Vec::new(), leaves: Vec::new() }
    }

    /// Lets a node join; `None` if all have.
    pub(super) fn join(&mut self, at: u64) -> Option<NodeId> {
        let node = self.free.pop()?;
        self.joins.push((at, node));
        Some(node)
    }

    /// Whether somebody may leave then, with all those who leave before and after.
    pub(super) fn can_leave(&self, at: u64) -> bool {
        let mut leaves: Vec<u64> = self.leaves.iter().map(|(at, _)| *at).chain([at]).collect();
        leaves.sort_unstable();
        let enough = |(gone, at): (u64, &u64)| self.founders + self.joined(*at) >= MEMBERS_MIN + gone;
        leaves.len() as u64 + FOUNDERS_MIN <= self.founders && (1..).zip(&leaves).all(enough)
    }

    /// Whether somebody may leave at `at` if another joins at `before`.
    pub(super) fn can_be_replaced(&mut self, before: u64, at: u64) -> bool {
        let Some(node) = self.free.last() else { return false };
        self.joins.push((before, *node));
        let can = self.can_leave(at);
        self.joins.pop();
        can
    }

    pub(super) fn leave(&mut self, at: u64, node: Option<NodeId>) {
        self.leaves.push((at, node));
    }

    /// Who has been asked in by then, and those that began the cluster; those too that are gone again.
    pub(super) fn seen(&self, at: u64) -> Vec<NodeId> {
        let joined = self.joins.iter().filter(|(joins, _)| *joins < at).map(|(_, node)| *node);
        (1..=self.founders).map(NodeId).chain(joined).collect()
    }

    /// Those of them that no step removes by name.
    pub(super) fn stay(&self, at: u64) -> Vec<NodeId> {
        let mut nodes = self.seen(at);
        nodes.retain(|node| self.leaves.iter().all(|(_, left)| *left != Some(*node)));
        nodes
    }

    /// The highest number that is in use.
    pub(super) fn last(&self) -> u64 {
        self.joins.iter().map(|(_, node)| node.0).max().unwrap_or(self.founders)
    }

    fn joined(&self, at: u64) -> u64 {
        self.joins.iter().filter(|(joins, _)| *joins < at).count() as u64
    }
}
