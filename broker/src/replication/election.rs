//! Who leads, and when a follower loses patience.
//!
//! Raft draws election timeouts from a generator that no seed reaches. So after whatever may have made it draw, the
//! timeout is overwritten by one of ours, drawn from the platform when the role or the term changes.

use raft::{RawNode, StateRole};

use super::log::GroupLog;
use crate::platform::{Chaos, GroupId, NodeId, Observation, Platform, Sabotage, Term};

/// A group's role as last told to observers, and its own election timeout.
pub(crate) struct Election {
    role: StateRole,
    term: u64,
    leader: u64,
    /// In ticks.
    timeout: usize,
}

/// What changed since the last look.
pub(crate) struct Change {
    pub leader: Option<NodeId>,
    pub term: Term,
}

impl Election {
    pub(crate) fn new<P: Platform>(platform: &P, node: &mut RawNode<GroupLog>) -> Self {
        let raft = &mut node.raft;
        let timeout = draw(platform, raft.election_timeout());
        raft.set_randomized_election_timeout(timeout);
        Self { role: raft.state, term: raft.term, leader: raft.leader_id, timeout }
    }

    /// To be called after everything that may change role, term or leader. `Some` if the leader is another now.
    pub(crate) fn follow<P: Platform>(
        &mut self,
        platform: &P,
        group: GroupId,
        node: &mut RawNode<GroupLog>,
    ) -> Option<Change> {
        let raft = &mut node.raft;
        let (role, term, leader) = (raft.state, raft.term, raft.leader_id);
        if (role, term) != (self.role, self.term) {
            self.timeout = draw(platform, raft.election_timeout());
        }
        // What raft has drawn is from the system's entropy.
        if !platform.sabotaged(Sabotage::UnseededElection) {
            raft.set_randomized_election_timeout(self.timeout);
        }
        if term != self.term {
            platform.observe(Observation::EnteredTerm { group, term: Term(term) });
        }
        if self.role == StateRole::Leader && (role != StateRole::Leader || term != self.term) {
            tracing::info!(%group, term = self.term, "stepped down as leader of {group}");
            platform.observe(Observation::SteppedDown { group, term: Term(self.term) });
        }
        if role == StateRole::Leader && (self.role != StateRole::Leader || term != self.term) {
            tracing::info!(%group, term, "became leader of {group}");
            platform.observe(Observation::BecameLeader { group, term: Term(term) });
        }
        let changed = (leader, term) != (self.leader, self.term);
        (self.role, self.term, self.leader) = (role, term, leader);
        changed.then_some(Change { leader: (leader != 0).then_some(NodeId(leader)), term: Term(term) })
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        (self.leader != 0).then_some(NodeId(self.leader))
    }
}

/// An election timeout between `base` and twice that, in ticks.
fn draw<P: Platform>(platform: &P, base: usize) -> usize {
    if platform.chance(Chaos::ElectionHasty) {
        return base;
    }
    base + (platform.random() % base as u64) as usize
}
