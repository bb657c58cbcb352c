//! The Raft groups of a node: one driver steps them all, one write-ahead log makes them durable, one link per peer
//! carries their messages.
//!
//! The driver is a loop over inputs: messages of peers, commands to propose, ticks, finished syncs. After each round
//! it collects what every group has to write, hands all of it to the log as one write with one sync (group commit),
//! and only after that sync sends the messages that promise it, and counts it as persisted. While a sync is in
//! flight the loop goes on and gathers the next batch; it never starts a second one.
//!
//! What replication knows nothing of: what a command means. It hands committed commands to a [`Host`] in log order,
//! on every replica.

mod apply;
mod detour;
mod driver;
mod election;
mod forgetful;
mod group;
mod inputs;
mod link;
mod log;
mod membership;
mod operate;
mod probation;
mod reconcile;
mod tamper;
mod transfer;
mod wire;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;

pub use driver::{Driver, DriverError};
pub use inputs::{DriverHandle, DriverInputs};
pub use link::Links;
pub use membership::{MemberChange, Refusal};
pub use operate::GroupStatus;
pub use wire::{FRAME_BYTES_MAX, WIRE_VERSION};
pub(crate) use wire::{operator_frame, read_operator_frame};
pub use writer::LogError;

use crate::{
    platform::{GroupId, NodeId, Term},
    storage::{DiskId, Members, RecoveredGroup},
};

/// What replication asks of the layer that owns the state machines. Called from the driver's loop, never while an
/// await is pending in it; a host must not call back into the driver except through its [`DriverHandle`].
pub trait Host: 'static {
    /// Applies one committed command. Called once per entry and replica, in log order.
    fn apply(&self, group: GroupId, command: &Bytes);

    /// The hash of the group's state machine, equal on all replicas that applied the same log.
    fn state_hash(&self, group: GroupId) -> u64;

    /// The group's whole state, for [`Host::restore`].
    fn snapshot(&self, group: GroupId) -> Bytes;

    /// Replaces the group's state by a snapshot, made by this node earlier or by another replica.
    ///
    /// # Errors
    /// What is wrong with the snapshot; the node cannot go on.
    fn restore(&self, group: GroupId, snapshot: &Bytes) -> Result<(), String>;

    /// Every group that exists, as far as this node's metadata tells.
    fn groups(&self) -> BTreeSet<GroupId>;

    /// The nodes of the cluster, as far as this node's metadata tells. Every one of them has a replica of each group.
    fn members(&self) -> BTreeSet<NodeId>;

    /// The nodes that were taken out of the cluster, for good.
    fn removed(&self) -> BTreeSet<NodeId>;

    /// Who leads the group from now on, as far as this node knows.
    fn leader_changed(&self, group: GroupId, leader: Option<NodeId>, term: Term);

    /// The stream to `peer` is new: what was sent before may have been lost.
    fn connected(&self, peer: NodeId);

    /// Commands that wait to be proposed, in order within each group. Asked for after [`DriverHandle::flush`].
    fn take_commands(&self) -> Vec<(GroupId, Bytes)>;

    /// One tick has passed.
    fn tick(&self);
}

/// When a group's log is cut off behind a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Applied entries since the last snapshot.
    pub entries: u64,
    /// Bytes of applied entries since the last snapshot.
    pub bytes: u64,
    /// Entries kept in memory behind a snapshot, so that a follower that is only a little late needs no snapshot.
    pub tail: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { entries: 4096, bytes: 8 << 20, tail: 1024 }
    }
}

/// How the groups of a node keep time and space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationConfig {
    pub node: NodeId,
    /// The disk that the node runs on.
    pub disk: DiskId,
    /// Who began the cluster.
    pub founders: Vec<NodeId>,
    /// Raft's unit of time.
    pub tick: Duration,
    /// A follower that hears nothing for this many ticks, or up to twice as many, starts an election.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// A leader whose oldest sync takes longer than this steps down: its followers have the majority without it.
    pub stall_limit: Duration,
    pub compaction: Compaction,
}

/// What recovery found of all groups.
pub type Recovered = BTreeMap<GroupId, RecoveredGroup>;

/// A group to open on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenGroup {
    pub group: GroupId,
    /// For logs and observers.
    pub name: String,
    pub members: Members,
    /// Start an election at once: this node is the one whose client waits for the group.
    pub campaign: bool,
}
