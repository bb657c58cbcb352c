//! Peers that have forgotten what they had acknowledged: their disk is new, or it lost its last entries unnoticed.
//!
//! Raft rules this out, and its implementation relies on that: a leader goes on where it believes the follower to be,
//! takes every rejection from before that for a stale one, and tells it to commit what it no longer has, which makes
//! the follower panic. Here a follower commits nothing that it does not have, and a leader that learns of it counts the
//! follower's log as empty and sends everything again.
//!
//! Here it is only about what follower and leader make of each other's logs. That a node with a new disk must not count
//! until it is whole is the matter of [`super::probation`]. A node that does not know what its disk lost counts, and
//! may help to elect a leader that lacks what it had acknowledged: there, one more failure can lose committed entries.

use raft::{RawNode, StateRole};

use super::{
    log::GroupLog,
    wire::{MessageKind, WireMessage},
};

/// Prepares Raft for a message that only a forgetful peer sends, or a forgetful node gets.
pub(super) fn received(node: &mut RawNode<GroupLog>, message: &mut WireMessage) {
    let raft = &mut node.raft;
    match message.kind {
        // The leader speaks of entries that this node once had. What there is now need not be the same log.
        MessageKind::Heartbeat if message.commit > raft.raft_log.last_index() => {
            message.commit = raft.raft_log.committed;
        }
        MessageKind::AppendResponse | MessageKind::HeartbeatResponse
            if raft.state == StateRole::Leader && message.term == raft.term =>
        {
            let Some(progress) = raft.mut_prs().get_mut(message.from.0) else { return };
            // A log that ends before what it has acknowledged is not the one that acknowledged it. Stale messages may
            // look like that; then the entries go out once more than they need to.
            let forgotten = match message.kind {
                MessageKind::AppendResponse => message.reject && message.reject_hint < progress.matched,
                _ => message.commit == 0 && progress.matched > 0 && progress.committed_index > 0,
            };
            if forgotten {
                progress.matched = 0;
                progress.committed_index = 0;
                progress.become_probe();
            }
        }
        _ => {}
    }
}
