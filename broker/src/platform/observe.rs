//! Typed facts that a node tells about itself: metrics and tracing in production, white-box checks in simulation.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::NodeId;

/// A Raft group of the cluster: 1 is the metadata group, each queue has one above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub u64);

impl GroupId {
    pub const META: Self = Self(1);
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::META { f.write_str("meta") } else { write!(f, "g{}", self.0) }
    }
}

/// A Raft term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term(pub u64);

/// A position in a group's Raft log, 1 and up; 0 is "before the first".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogIndex(pub u64);

/// What a node found of one group on its disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecoveredState {
    pub group: GroupId,
    pub term: Term,
    /// Whom the node had voted for in `term`.
    pub vote: Option<NodeId>,
    pub commit: LogIndex,
    /// Index and term of the snapshot the log starts after.
    pub snapshot: (LogIndex, Term),
    /// Index and term of the log's last entry, or the snapshot's.
    pub last: (LogIndex, Term),
}

/// What happened inside a node. The node and the time are added by the platform.
///
/// A history holds hundreds of thousands of these, so what is rare and large is boxed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Observation {
    /// The node runs, with everything it recovered; `incarnation` counts its starts.
    Started {
        incarnation: u64,
    },
    /// What one group looked like after recovery, before it took part in anything.
    Recovered(Box<RecoveredState>),
    /// The group of a queue exists on this node from now on.
    GroupOpened {
        group: GroupId,
        queue: String,
    },
    GroupClosed {
        group: GroupId,
    },
    /// The members that count for this node from the entry at `index` on, each list sorted: told when the group is
    /// opened (`index` is what is applied by then), when a snapshot takes the log's place, and at each change.
    Members {
        group: GroupId,
        index: LogIndex,
        voters: Box<[NodeId]>,
        learners: Box<[NodeId]>,
    },
    /// The leader has put a change of the members into its log.
    ChangeBegan {
        group: GroupId,
        index: LogIndex,
        term: Term,
    },
    BecameLeader {
        group: GroupId,
        term: Term,
    },
    SteppedDown {
        group: GroupId,
        term: Term,
    },
    /// One entry joined the node's log (in memory; any entry at or after `index` is replaced by it).
    Appended {
        group: GroupId,
        index: LogIndex,
        term: Term,
        hash: u64,
    },
    /// Everything up to `last` is durable on this node's disk, as far as the node believes.
    Persisted {
        group: GroupId,
        last: LogIndex,
    },
    /// A vote for `candidate` in `term` is about to be sent: a promise that must survive a power loss.
    VoteGranted {
        group: GroupId,
        term: Term,
        candidate: NodeId,
    },
    /// The leader is about to be told that this node holds everything up to `index`: a promise too.
    AppendAcknowledged {
        group: GroupId,
        term: Term,
        index: LogIndex,
    },
    /// The commit index rose to `index`.
    Committed {
        group: GroupId,
        index: LogIndex,
        term: Term,
    },
    /// The entry at `index` was applied; `state_hash` is that of the state machine and of the group's members
    /// right after.
    Applied {
        group: GroupId,
        index: LogIndex,
        term: Term,
        hash: u64,
        state_hash: u64,
    },
    /// The state was replaced by a snapshot that covers the log up to `index`.
    SnapshotInstalled {
        group: GroupId,
        index: LogIndex,
        term: Term,
        state_hash: u64,
    },
    /// The log was compacted: it now starts after `index`.
    Compacted {
        group: GroupId,
        index: LogIndex,
        term: Term,
    },
    /// The node entered `term`, higher than any before in this run of it.
    EnteredTerm {
        group: GroupId,
        term: Term,
    },
    /// Term and commit index as the disk has them now: what recovery finds is not below either.
    HardStatePersisted {
        group: GroupId,
        term: Term,
        commit: LogIndex,
    },
    /// The node's disk has again all that the node may have promised to the group: it counts from now on. A disk that
    /// was never new to the group says nothing.
    Whole {
        group: GroupId,
        index: LogIndex,
    },
    /// The queue has numbered all messages up to `last`: those that were not yet are ready from now on.
    Enqueued {
        group: GroupId,
        last: u64,
    },
    /// A consumer of `owner`'s channel `channel` may be served from now on. `prefetch`: how many messages it may hold
    /// at once; `None` is unlimited.
    ConsumerAttached {
        group: GroupId,
        owner: NodeId,
        channel: u64,
        consumer: u64,
        prefetch: Option<u32>,
    },
    ConsumerDetached {
        group: GroupId,
        owner: NodeId,
        channel: u64,
        consumer: u64,
    },
    /// A client opened a channel on this node: `channel` is the node's own number for it, and `client` where it
    /// connected from.
    ChannelOpened {
        channel: u64,
        client: String,
    },
    /// The message was settled (acked, rejected without requeue, or dispatched without acks): it must never be
    /// delivered again. `message` is its number in the queue.
    Settled {
        group: GroupId,
        message: u64,
    },
    /// The message now belongs to `owner`'s channel `channel`: to its consumer, or to a get if there is none. Without
    /// acks it is settled at once.
    Assigned {
        group: GroupId,
        message: u64,
        owner: NodeId,
        channel: u64,
        consumer: Option<u64>,
        /// How often the message was requeued before.
        count: u32,
    },
    /// The node sent the message to the client of its channel `channel`, under this delivery tag: what it does with
    /// an assignment, once.
    Delivered {
        group: GroupId,
        message: u64,
        channel: u64,
        count: u32,
        tag: u64,
    },
    /// The message went back to the queue.
    Requeued {
        group: GroupId,
        message: u64,
    },
    /// Something the node could not go on after (a failed sync, a corrupt log); the process ends.
    Fatal {
        reason: String,
    },
}
