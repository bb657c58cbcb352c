//! Messages at the two edges of a group: promises on their way out, and what arrives before its group exists.

use std::collections::BTreeMap;

use raft::eraftpb::{Message, MessageType};

use super::{group::Group, wire::WireMessage};
use crate::platform::{GroupId, LogIndex, NodeId, Observation, Platform, Term};

/// Tells observers of a promise, right before the message that makes it leaves.
pub(crate) fn promise<P: Platform>(platform: &P, group: &mut Group, message: &Message) {
    let id = group.id;
    let term = Term(message.term);
    match message.msg_type {
        MessageType::MsgRequestVoteResponse if !message.reject => {
            platform.observe(Observation::VoteGranted { group: id, term, candidate: NodeId(message.to) });
        }
        MessageType::MsgRequestVote if group.own_vote_told != message.term => {
            group.own_vote_told = message.term;
            platform.observe(Observation::VoteGranted { group: id, term, candidate: NodeId(message.from) });
        }
        // Index 0 acknowledges nothing: it is how a node answers a leader of an earlier term.
        MessageType::MsgAppendResponse if !message.reject && message.index > 0 => {
            let index = LogIndex(message.index);
            platform.observe(Observation::AppendAcknowledged { group: id, term, index });
        }
        _ => {}
    }
}

/// How many groups may have messages waiting, and how many each.
const EARLY_GROUPS_MAX: usize = 256;
const EARLY_MESSAGES_MAX: usize = 16;

/// Messages for groups that this node has not opened yet. A queue's first leader campaigns as soon as it knows of the
/// queue, which its voters may learn a moment later; kept, its first requests need not wait for a timeout. Losing
/// them is harmless.
#[derive(Default)]
pub(crate) struct Early {
    groups: BTreeMap<GroupId, Vec<(NodeId, WireMessage)>>,
}

impl Early {
    pub(crate) fn keep(&mut self, from: NodeId, group: GroupId, message: WireMessage) {
        let messages = self.groups.entry(group).or_default();
        if messages.len() < EARLY_MESSAGES_MAX {
            messages.push((from, message));
        }
        // Ids rise: the lowest is the likeliest to belong to a queue that was deleted.
        if self.groups.len() > EARLY_GROUPS_MAX {
            self.groups.pop_first();
        }
    }

    pub(crate) fn take(&mut self, group: GroupId) -> Vec<(NodeId, WireMessage)> {
        self.groups.remove(&group).unwrap_or_default()
    }

    pub(crate) fn forget(&mut self, group: GroupId) {
        self.groups.remove(&group);
    }
}
