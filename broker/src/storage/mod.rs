//! Durable state of all Raft groups of a node: one segmented write-ahead log, shared, over the [`Disk`] seam.
//!
//! Why our own: no kept crate lets its caller own sync, errors and time. What it promises:
//! - every write carries a CRC32C; a torn tail (an unsynced write cut short by a power loss) is detected and cut at
//!   recovery; damage to what was synced is refused loudly, naming file and offset;
//! - a failed sync is fatal to the node and never retried (after it, the page cache is unknown);
//! - compaction makes progress although one old message stays unacked: a snapshot carries what is alive, so the log
//!   before it can go.

mod compaction;
mod error;
mod frame;
mod incarnation;
mod recovery;
mod segment;
mod wal;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::platform::{Disk, GroupId, LogIndex, NodeId, Term};
pub use error::StorageError;
pub use incarnation::{DiskId, Start, next_start};
pub use wal::{Wal, WalConfig};

/// Removes the whole log, for a planted bug: nothing that the node promised is left.
///
/// # Errors
/// [`StorageError::Io`].
pub(crate) async fn discard<D: Disk>(disk: &D) -> Result<(), StorageError> {
    for number in segment::list(disk).await? {
        segment::remove(disk, number).await?;
    }
    Ok(())
}

/// One entry of a group's Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    pub index: LogIndex,
    pub term: Term,
    pub kind: EntryKind,
    pub data: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    Command,
    /// A change of the group's members.
    Members,
}

/// What Raft must remember besides the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<NodeId>,
    pub commit: LogIndex,
    /// Whether this disk has all that its node may have promised to the group. A disk that is new has to get there
    /// first.
    pub whole: bool,
}

/// Voters and learners of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    pub voters: Vec<NodeId>,
    pub learners: Vec<NodeId>,
}

/// The state machine's state right after `index`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub index: LogIndex,
    pub term: Term,
    pub members: Members,
    pub data: Bytes,
}

/// One durable change of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// Entries in order of index, without gaps. They replace whatever the log had at and after the first of them.
    Append(GroupId, Vec<LogEntry>),
    HardState(GroupId, HardState),
    /// The log up to the snapshot's index is no longer needed. Entries after it stay if the log has the snapshot's
    /// index with the snapshot's term (it was taken here); otherwise the whole log goes (it came from the leader, and
    /// what followed in our log conflicts with it). A snapshot older than the group's present one changes nothing;
    /// the same one again only moves it to the end of the log on disk.
    Snapshot(GroupId, Snapshot),
    /// The group is gone.
    Forget(GroupId),
    /// The disk by which this node knows another founder of the cluster.
    Known(NodeId, DiskId),
}

impl Record {
    /// The group whose log it belongs to.
    pub(crate) fn group(&self) -> GroupId {
        match self {
            Self::Known(..) => GroupId::META,
            Self::Append(group, _) | Self::HardState(group, _) | Self::Snapshot(group, _) | Self::Forget(group) => {
                *group
            }
        }
    }
}

/// One group as recovery found it. The log's first entry is at `snapshot.index + 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredGroup {
    pub hard_state: HardState,
    pub snapshot: Option<Snapshot>,
    pub entries: Vec<LogEntry>,
}
