//! Planted bugs of recovery and of what arrives from peers. Each is asked for by name; without any, nothing is touched.

use raft::RawNode;

use super::{
    log::GroupLog,
    wire::{MessageKind, WireMessage},
};
use crate::{
    platform::{GroupId, LogIndex, Platform, Sabotage, Term},
    storage::{HardState, RecoveredGroup},
};

/// Entries that a recovery with [`Sabotage::ForgetTail`] loses.
const FORGOTTEN_ENTRIES: usize = 3;

/// Spoils what recovery found of a group.
pub(super) fn recovered<P: Platform>(platform: &P, group: GroupId, recovered: &mut RecoveredGroup) {
    if platform.sabotaged(Sabotage::ForgetVote) {
        recovered.hard_state.vote = None;
    }
    if platform.sabotaged(Sabotage::RecoverNothing) && group != GroupId::META {
        *recovered = RecoveredGroup { hard_state: HardState::default(), snapshot: None, entries: Vec::new() };
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
