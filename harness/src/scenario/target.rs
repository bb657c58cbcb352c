//! Whom a step or a client means: by role, by chance, or by name.

use warren::platform::NodeId;

/// A target as the scenario names it. Queues are indices into [`super::Scenario::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `leader:Q`: whoever leads the queue when the step begins.
    Leader(usize),
    /// `followers:Q`: the queue's other voters.
    Followers(usize),
    /// `one-follower:Q`: one of them, drawn.
    OneFollower(usize),
    /// Just more than half of the nodes, drawn.
    Majority,
    /// Just less than half of the nodes, drawn; none in a cluster of one or two.
    Minority,
    All,
    /// Any one node, drawn.
    Any,
    /// `n2`.
    Node(NodeId),
}
