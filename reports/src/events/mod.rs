//! Everything that happened in a run, as the page draws it: one row per publish, receipt and broker event.
//!
//! It lives only inside `report.html`: the record stays small, and the full history is in `history.jsonl.gz`. Times are
//! virtual nanoseconds. Names are indices: a client into the record's client lanes, a node into its nodes, a queue into
//! [`EventLog::queues`], a group into [`EventLog::groups`], a channel into [`EventLog::channels`].

mod column;
mod pack;

pub(crate) use pack::Packed;

/// The events of one run, each table in order of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventLog {
    pub queues: Vec<String>,
    /// Raft groups by name: "meta", and one per queue.
    pub groups: Vec<String>,
    pub channels: Vec<Channel>,
    pub publishes: Vec<Publish>,
    pub receipts: Vec<Receipt>,
    pub replicas: Vec<ReplicaEvent>,
    /// How long one row of [`EventLog::disks`] and [`EventLog::links`] covers.
    pub sample_ns: u64,
    pub disks: Vec<DiskSample>,
    pub links: Vec<LinkSample>,
    /// The final drain found every queue empty: what was not received by then is lost.
    pub drained: bool,
}

/// One life of a client's AMQP channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    pub client: u32,
    pub node: u32,
}

/// One attempt to publish a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish {
    pub at_ns: u64,
    pub client: u32,
    pub channel: u32,
    pub queue: u32,
    pub sequence: u64,
    pub attempt: u32,
    /// What its publisher was told, and when.
    pub outcome: Option<(Outcome, u64)>,
    /// The number that the queue gave it; 0 when nothing tells.
    pub number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Confirmed = 1,
    Nacked = 2,
    Returned = 3,
    Unknown = 4,
}

/// One message that a client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub at_ns: u64,
    pub channel: u32,
    pub queue: u32,
    /// Index into [`EventLog::publishes`]; `None` if nobody published it.
    pub publish: Option<u32>,
    pub redelivered: bool,
    /// The answer to a get, not a delivery.
    pub got: bool,
    pub tag: u64,
    pub settled: Option<(Settled, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Acked = 1,
    /// Rejected or nacked, to be delivered again.
    GivenBack = 2,
    /// Rejected or nacked for good.
    Refused = 3,
}

/// Something that a broker node told of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaEvent {
    pub at_ns: u64,
    pub node: u32,
    pub group: u32,
    pub kind: ReplicaKind,
    /// The log index or the message's number that it speaks of; 0 if of none.
    pub what: u64,
    /// The term, or for messages the owning node's index.
    pub more: u64,
}

/// The page knows these by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplicaKind {
    Appended = 0,
    /// The log is durable up to `what`, as the node believes.
    Persisted = 1,
    /// Promised to the leader up to `what`.
    Acknowledged = 2,
    Committed = 3,
    Applied = 4,
    /// Messages are numbered up to `what`.
    Enqueued = 5,
    /// Message `what` now belongs to a consumer at node `more`.
    Assigned = 6,
    Delivered = 7,
    Settled = 8,
    Requeued = 9,
    BecameLeader = 10,
    SteppedDown = 11,
    EnteredTerm = 12,
    VoteGranted = 13,
    /// After a start the log reaches to `what`.
    Recovered = 14,
    SnapshotInstalled = 15,
    Compacted = 16,
    /// What the disk had synced is gone.
    SyncedDataLost = 17,
    /// Term and commit index are durable.
    HardStatePersisted = 18,
}

/// What a node's disk did within one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSample {
    /// Counted from the start of the run, in samples.
    pub sample: u64,
    pub node: u32,
    pub syncs: u64,
    /// Operations that a stall holds at the sample's end.
    pub held: u64,
    /// Syncs that were slowed down or failed.
    pub slowed: u64,
    pub failed: u64,
}

/// What one direction of a link did within one sample; samples without any packet are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkSample {
    pub sample: u64,
    /// A node's index; [`LinkSample::CLIENTS`] for all clients together.
    pub from: u32,
    pub to: u32,
    pub sent: u64,
    /// Cut, lost or without room.
    pub dropped: u64,
    /// Delayed or held back by a fault.
    pub delayed: u64,
}

impl LinkSample {
    pub const CLIENTS: u32 = u32::MAX;
}

impl EventLog {
    /// Whether the publish was confirmed and nobody received it.
    pub(crate) fn is_lost(&self, publish: usize, received: &[bool]) -> bool {
        matches!(self.publishes[publish].outcome, Some((Outcome::Confirmed, _))) && !received[publish]
    }

    /// For each publish, whether any client received it.
    pub(crate) fn received(&self) -> Vec<bool> {
        let mut received = vec![false; self.publishes.len()];
        for publish in self.receipts.iter().filter_map(|receipt| receipt.publish) {
            if let Some(received) = received.get_mut(publish as usize) {
                *received = true;
            }
        }
        received
    }
}
