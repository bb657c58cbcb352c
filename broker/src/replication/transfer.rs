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

/// How many groups may have messages waiting, how many each, and how many bytes all of them together.
const EARLY_GROUPS_MAX: usize = 256;
const EARLY_MESSAGES_MAX: usize = 16;
const EARLY_BYTES_MAX: usize = 16 << 20;

/// Messages for groups that this node has not opened yet. A queue's first leader campaigns as soon as it knows of the
/// queue, which its voters may learn a moment later; kept, its first requests need not wait for a timeout. Losing
/// them is harmless, so a peer that goes on about groups that never open costs no more memory than that.
#[derive(Default)]
pub(crate) struct Early {
    groups: BTreeMap<GroupId, Vec<(NodeId, WireMessage)>>,
    bytes: usize,
}

impl Early {
    pub(crate) fn keep(&mut self, from: NodeId, group: GroupId, message: WireMessage) {
        let messages = self.groups.entry(group).or_default();
        if messages.len() < EARLY_MESSAGES_MAX {
            self.bytes += message.bytes();
            messages.push((from, message));
        }
        // Ids rise: the lowest is the likeliest to belong to a queue that was deleted.
        while self.groups.len() > EARLY_GROUPS_MAX || self.bytes > EARLY_BYTES_MAX {
            let Some((_, messages)) = self.groups.pop_first() else { break };
            self.let_go(&messages);
        }
    }

    pub(crate) fn take(&mut self, group: GroupId) -> Vec<(NodeId, WireMessage)> {
        let messages = self.groups.remove(&group).unwrap_or_default();
        self.let_go(&messages);
        messages
    }

    pub(crate) fn forget(&mut self, group: GroupId) {
        self.take(group);
    }

    fn let_go(&mut self, messages: &[(NodeId, WireMessage)]) {
        self.bytes -= messages.iter().map(|(_, message)| message.bytes()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft::eraftpb::{Entry, Message, MessageType};

    use super::*;

    const SMALL: Bytes = Bytes::from_static(b"0123456789");

    /// An append with one entry.
    fn append(data: &Bytes) -> WireMessage {
        let entry = Entry { index: 1, term: 1, data: data.clone(), ..Default::default() };
        let mut message = Message { msg_type: MessageType::MsgAppend, from: 2, to: 1, term: 1, ..Default::default() };
        message.set_entries(vec![entry].into());
        WireMessage::from_raft(message).expect("an append leaves the node")
    }

    #[test]
    fn what_comes_early_is_there_once_its_group_is() {
        let mut early = Early::default();
        for group in [7, 8] {
            for _ in 0..2 {
                early.keep(NodeId(2), GroupId(group), append(&SMALL));
            }
        }
        assert_eq!(early.take(GroupId(7)).len(), 2);
        assert_eq!(early.take(GroupId(7)).len(), 0);
        early.forget(GroupId(8));
        assert_eq!(early.bytes, 0);
    }

    #[test]
    fn groups_that_never_open_fill_no_memory() {
        let large = Bytes::from(vec![0; 3 << 20]);
        let mut early = Early::default();
        for group in 10..200 {
            for _ in 0..EARLY_MESSAGES_MAX {
                early.keep(NodeId(2), GroupId(group), append(&large));
                assert!(early.bytes <= EARLY_BYTES_MAX);
            }
        }
        let kept: Vec<usize> = early.groups.values().flatten().map(|(_, message)| message.bytes()).collect();
        assert_eq!(kept.iter().sum::<usize>(), early.bytes);
        // Nobody's first words are lost by that for long.
        early.keep(NodeId(2), GroupId(300), append(&SMALL));
        assert_eq!(early.take(GroupId(300)).len(), 1);
    }
}
