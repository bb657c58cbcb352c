//! Why storage refuses to go on.

use std::io;

use crate::platform::{GroupId, NodeId};

/// Every one of these is fatal to the node: its process must end, and recover from disk when it starts again.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("cannot {operation} {file}: {source}")]
    Io { operation: &'static str, file: String, source: io::Error },
    /// Synced data is missing or altered. Cutting it off could forget a vote or a confirmed message, so the node does
    /// not start.
    #[error(
        "{file} is damaged at byte {offset}: {detail}. The damaged part was promised as durable, so this node cannot \
         start from it. Restore the data folder's disk, or empty the folder and let the node join again as a new member"
    )]
    Corrupt { file: String, offset: u64, detail: String },
    /// A node that spoke with another's votes and log would break what that one has promised.
    #[error(
        "this is the data folder of {owner}, and this node is {node}. Start it with --node {owner}, or give it a folder \
         of its own with --data"
    )]
    Foreign { node: NodeId, owner: NodeId },
    /// An earlier write or sync failed, or was dropped before it ended, so what the disk holds is unknown.
    #[error("the log takes nothing more after an earlier failure: what the disk holds is unknown until a restart")]
    Failed,
    /// The caller's bug: the records do not continue the group's log.
    #[error("records of group {group} do not continue its log: {detail}")]
    Discontinuous { group: GroupId, detail: String },
}

impl StorageError {
    /// Turns an I/O error into one that says what was being done to which file.
    pub(super) fn io(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, file: file.to_owned(), source }
    }
}
