//! Planted bugs of recovery and of what arrives from peers. Each is asked for by name; without any, nothing is touched.

use raft::{RawNode, StateRole};

use super::{
    OpenGroup,
    log::GroupLog,
    wire::{MessageKind, WireMessage},
};
use crate::{
    platform::{GroupId, LogIndex, NodeId, Platform, Sabotage, Term},
    storage::{HardState, RecoveredGroup},
};

/// Spoils a group that recovery found, right before it is opened.
pub(super) fn opened<P: Platform>(platform: &P, open: &OpenGroup, recovered: Option<&mut RecoveredGroup>) {
    if platform.sabotaged(Sabotage::MembersFromDeclaration)
        && let Some(snapshot) = recovered.and_then(|group| group.snapshot.as_mut())
    {
        snapshot.members = open.members.clone();
    }
}

/// Who a node is to the others of a group.
pub(super) fn identity<P: Platform>(platform: &P, node: NodeId, group: GroupId, restarted: bool) -> u64 {
    let new = restarted && group != GroupId::META && platform.sabotaged(Sabotage::NewIdentity);
    if new { node.0 + STRANGERS } else { node.0 }
}

/// Nobody's node has a number as high.
const STRANGERS: u64 = 1_000_000;

/// Spoils what Raft makes of a peer's message.
pub(super) fn stepped<P: Platform>(platform: &P, node: &mut RawNode<GroupLog>) {
    if !platform.sabotaged(Sabotage::LearnersCount) || node.raft.state != StateRole::Leader {
        return;
    }
    let quorum = node.store().members().voters.len() / 2 + 1;
    let mut matched: Vec<u64> = node.raft.prs().iter().map(|(_, progress)| progress.matched).collect();
    matched.sort_unstable_by(|one, two| two.cmp(one));
    let (index, term) = (matched[quorum - 1], node.raft.term);
    node.raft.raft_log.maybe_commit(index, term);
}

/// Entries that a recovery with [`Sabotage::ForgetTail`] loses.
const FORGOTTEN_ENTRIES: usize = 3;

/// Spoils what recovery found of a group.
pub(super) fn recovered<P: Platform>(platform: &P, group: GroupId, recovered: &mut RecoveredGroup) {
    if platform.sabotaged(Sabotage::ForgetVote) {
        recovered.hard_state.vote = None;
    }
    if platform.sabotaged(Sabotage::RecoverNothing) && group != GroupId::META {
        let hard_state = HardState { whole: recovered.hard_state.whole, ..HardState::default() };
        *recovered = RecoveredGroup { hard_state, snapshot: None, entries: Vec::new() };
    }
    if platform.sabotaged(Sabotage::ForgetTail) {
        recovered.entries.truncate(recovered.entries.len().saturating_sub(FORGOTTEN_ENTRIES));
        recovered.hard_state.commit = recovered.hard_state.commit.min(last(recovered));
    }
    if platform.sabotaged(Sabotage::RecoverCommitAhead) {
        recovered.hard_state.commit = last(recovered);
    }
}

fn last(recovered: &RecoveredGroup) -> LogIndex {
    let snapshot = recovered.snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.index);
    recovered.entries.last().map_or(snapshot, |entry| entry.index)
}

/// Spoils a message of a peer before Raft sees it.
pub(super) fn received<P: Platform>(platform: &P, node: &mut RawNode<GroupLog>, message: &mut WireMessage) {
    let asks = matches!(message.kind, MessageKind::RequestVote | MessageKind::RequestPreVote);
    if asks && platform.sabotaged(Sabotage::ElectBehind) {
        (message.log_term, message.index) = (u64::MAX, u64::MAX);
    }
    if asks && platform.sabotaged(Sabotage::VoteTwice) {
        node.raft.vote = raft::INVALID_ID;
    }
    if message.kind == MessageKind::Append && platform.sabotaged(Sabotage::AcceptOldTerm) {
        message.term = message.term.max(node.raft.term);
    }
    if platform.sabotaged(Sabotage::RestampEntries) {
        message.entries.iter_mut().for_each(|entry| entry.term = Term(message.term));
    }
}
