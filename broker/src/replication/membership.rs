//! A group's members change through its own log, one at a time.
//!
//! A change is an entry like any other; each replica counts by the new members from the moment it applies it. That is
//! safe as long as a majority before and a majority after have a node in common, which one voter more or less
//! guarantees, and as long as nobody begins a change before the one before is applied (Ongaro, "Consensus: Bridging
//! Theory and Practice", 4.1). A leader that is new must have committed an entry of its own term first: an unfinished
//! change of a leader before it may still be out there (Ongaro, "bug in single-server membership changes", 2015).
//!
//! A replica that restarts counts by the members of its snapshot, or by those the group was founded with, and applies
//! the changes behind it again. It does not stand for election while it knows of committed changes that it has not
//! applied; its commit index is written no later than the entries it came with, so it does know.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, Entry, EntryType};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::{platform::NodeId, storage::Members};

/// What a node is to a group from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberChange {
    Voter(NodeId),
    /// It has a replica and no vote.
    Learner(NodeId),
    /// It has no replica.
    Gone(NodeId),
}

/// Why a group does not do what an operator asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node has no such group.
    NoGroup,
    /// Another node leads, or nobody does.
    NotLeader,
    /// The leader is so new that it does not know yet what is committed.
    Unsettled,
    /// Another change, or a transfer, is under way.
    Busy,
    NotAMember(NodeId),
    /// The node has a replica and no vote.
    NotAVoter(NodeId),
    LeadsAlready(NodeId),
    VotesAlready(NodeId),
    FollowsAlready(NodeId),
    /// Without it nobody votes.
    LastVoter(NodeId),
    /// Without it, too few of the voters that are left answer the leader.
    NoMajorityWithout(NodeId),
    /// The replica lacks so many entries, or is silent: with its vote the group could do less than without.
    Behind {
        node: NodeId,
        entries: u64,
    },
    Silent(NodeId),
}

impl Refusal {
    /// Whether the same may be granted a moment later, here or elsewhere.
    pub fn passes(self) -> bool {
        matches!(
            self,
            Self::NotLeader
                | Self::Unsettled
                | Self::Busy
                | Self::Behind { .. }
                | Self::Silent(_)
                | Self::NoMajorityWithout(_)
        )
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGroup => write!(f, "this node has no such group"),
            Self::NotLeader => write!(f, "this node does not lead it"),
            Self::Unsettled => write!(f, "its leader is new and has committed nothing yet"),
            Self::Busy => write!(f, "another change is under way"),
            Self::NotAMember(node) => write!(f, "{node} has no replica of it"),
            Self::NotAVoter(node) => write!(f, "{node} has no vote in it: let it grow by {node} first"),
            Self::LeadsAlready(node) => write!(f, "{node} leads it already"),
            Self::VotesAlready(node) => write!(f, "{node} votes in it already"),
            Self::FollowsAlready(node) => write!(f, "{node} follows it without a vote already"),
            Self::LastVoter(node) => write!(f, "{node} is its last voter: let it grow by another node first"),
            Self::NoMajorityWithout(node) => {
                write!(f, "without {node}, too few of its voters answer the leader")
            }
            Self::Behind { node, entries } => write!(f, "{node} is {entries} entries behind its leader"),
            Self::Silent(node) => write!(f, "{node} does not answer its leader"),
        }
    }
}

impl MemberChange {
    pub fn node(self) -> NodeId {
        match self {
            Self::Voter(node) | Self::Learner(node) | Self::Gone(node) => node,
        }
    }

    /// Why an operator cannot change `members` so.
    pub(crate) fn refusal(self, members: &Members) -> Option<Refusal> {
        let node = self.node();
        let (votes, follows) = (members.voters.contains(&node), members.learners.contains(&node));
        match self {
            Self::Voter(_) if votes => Some(Refusal::VotesAlready(node)),
            Self::Voter(_) | Self::Learner(_) | Self::Gone(_) if !votes && !follows => Some(Refusal::NotAMember(node)),
            Self::Learner(_) if follows => Some(Refusal::FollowsAlready(node)),
            Self::Learner(_) | Self::Gone(_) if members.voters == [node] => Some(Refusal::LastVoter(node)),
            Self::Voter(_) | Self::Learner(_) | Self::Gone(_) => None,
        }
    }

    /// As Raft takes it.
    pub(crate) fn to_raft(self) -> ConfChangeV2 {
        let kind = match self {
            Self::Voter(_) => ConfChangeType::AddNode,
            Self::Learner(_) => ConfChangeType::AddLearnerNode,
            Self::Gone(_) => ConfChangeType::RemoveNode,
        };
        let single = ConfChangeSingle { change_type: kind, node_id: self.node().0, ..Default::default() };
        ConfChangeV2 { changes: vec![single].into(), ..Default::default() }
    }

    /// The change that an entry holds, as Raft has it in memory; `None` if it holds a command.
    pub(crate) fn of_entry(entry: &Entry) -> Option<Self> {
        (entry.entry_type != EntryType::EntryNormal).then(|| Self::decode(&entry.data)).flatten()
    }

    /// What [`Self::encode`] made, or Raft, when the change was proposed in this process: no byte of a peer or of the
    /// disk gets here.
    fn decode(data: &[u8]) -> Option<Self> {
        let change = ConfChangeV2::parse_from_bytes(data).ok()?;
        let [single] = change.get_changes() else { return None };
        let node = NodeId(single.node_id);
        match single.change_type {
            ConfChangeType::AddNode => Some(Self::Voter(node)),
            ConfChangeType::AddLearnerNode => Some(Self::Learner(node)),
            ConfChangeType::RemoveNode => Some(Self::Gone(node)),
        }
    }

    /// The data of an entry, as Raft has it in memory.
    pub(crate) fn encode(self) -> Vec<u8> {
        self.to_raft().write_to_bytes().expect("a change in memory always encodes")
    }
}

/// A hash of what a replica is at one point of its log: of the state machine, and of the members that count.
pub(crate) fn replica_hash(state: u64, members: &Members) -> u64 {
    let mut hasher = Xxh3::new();
    (state, &members.voters, &members.learners).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const N1: NodeId = NodeId(1);
    const N2: NodeId = NodeId(2);
    const N9: NodeId = NodeId(9);

    #[test]
    fn a_change_survives_the_way_through_raft() {
        for change in [MemberChange::Voter(N1), MemberChange::Learner(N9), MemberChange::Gone(N2)] {
            assert_eq!(MemberChange::decode(&change.encode()), Some(change));
        }
        assert_eq!(MemberChange::decode(b"no change"), None);
    }

    #[test]
    fn what_changes_nothing_or_too_much_is_refused() {
        let members = Members { voters: vec![N1], learners: vec![N2] };
        assert_eq!(MemberChange::Voter(N2).refusal(&members), None);
        assert_eq!(MemberChange::Voter(N1).refusal(&members), Some(Refusal::VotesAlready(N1)));
        assert_eq!(MemberChange::Voter(N9).refusal(&members), Some(Refusal::NotAMember(N9)));
        assert_eq!(MemberChange::Learner(N2).refusal(&members), Some(Refusal::FollowsAlready(N2)));
        assert_eq!(MemberChange::Learner(N1).refusal(&members), Some(Refusal::LastVoter(N1)));
    }

    #[test]
    fn replicas_with_other_members_are_others() {
        let hash = |voters: &[NodeId], learners: &[NodeId]| {
            replica_hash(7, &Members { voters: voters.to_vec(), learners: learners.to_vec() })
        };
        assert_eq!(hash(&[N1], &[N2]), hash(&[N1], &[N2]));
        assert_ne!(hash(&[N1, N2], &[]), hash(&[N1], &[N2]));
    }
}
