//! One Raft group of this node: Raft's own state, what was told about it, and what its log weighs.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft::{ProgressState, RawNode, StateRole, eraftpb::Entry};
use xxhash_rust::xxh3::Xxh3;

use super::{
    Compaction, OpenGroup, ReplicationConfig,
    election::Election,
    log::GroupLog,
    probation::{Probation, Vouched},
    tamper,
    wire::{MessageKind, WireMessage, entry_from_raft},
};
use crate::{
    platform::{GroupId, LogIndex, NodeId, Observation, Platform, RecoveredState, Term},
    storage::{EntryKind, HardState, LogEntry, RecoveredGroup, Snapshot},
};

/// Raft's flow control towards one follower: messages in flight, and their size in bytes. Heartbeats wait behind the
/// message that is being written, so its way must be much shorter than an election timeout.
const INFLIGHT_MESSAGES_MAX: usize = 64;
const MESSAGE_BYTES_MAX: u64 = 256 << 10;

/// What one round applies at most, in bytes, so that the loop stays responsive.
const COMMITTED_BYTES_MAX: u64 = 16 << 20;

pub(crate) struct Group {
    pub(crate) id: GroupId,
    pub(crate) node: RawNode<GroupLog>,
    pub(crate) election: Election,
    /// Readies whose records are written or gathered and not yet synced.
    pub(crate) unsynced: usize,
    /// Snapshots of the leader among them. Raft must not look at its log before they are applied.
    pub(crate) installing: usize,
    /// The commit index rose since the last record: it goes with the next write, since losing it costs nothing.
    pub(crate) commit_unwritten: bool,
    /// The newest term that the disk knows of.
    pub(crate) term_written: u64,
    /// The term in which this node last voted for itself, as told to observers.
    pub(crate) own_vote_told: u64,
    commit_told: u64,
    /// This disk may lack what its node has promised to the group.
    pub(crate) probation: Option<Probation>,
    /// The new disks of followers that this node vouches for as the leader.
    pub(crate) vouched: BTreeMap<NodeId, Vouched>,
    /// Where the log ended when this process found it.
    pub(crate) recovered_last: u64,
    weight: Weight,
}

/// What was applied since the last snapshot.
#[derive(Default)]
struct Weight {
    entries: u64,
    bytes: u64,
    snapshot_bytes: u64,
}

impl Group {
    pub(crate) fn open<P: Platform>(
        platform: &P,
        config: &ReplicationConfig,
        open: OpenGroup,
        mut recovered: Option<RecoveredGroup>,
        on_probation: bool,
    ) -> raft::Result<Self> {
        tamper::opened(platform, &open, recovered.as_mut());
        let snapshot = recovered.as_ref().and_then(|group| group.snapshot.as_ref());
        let applied = snapshot.map_or(0, |snapshot| snapshot.index.0);
        let snapshot_bytes = snapshot.map_or(0, |snapshot| snapshot.data.len() as u64);
        let commit = recovered.as_ref().map_or(0, |group| group.hard_state.commit.0);
        let raft_config = raft::Config {
            id: tamper::identity(platform, config.node, open.group, recovered.is_some()),
            election_tick: config.election_ticks,
            heartbeat_tick: config.heartbeat_ticks,
            min_election_tick: config.election_ticks,
            max_election_tick: 2 * config.election_ticks,
            applied,
            max_size_per_msg: MESSAGE_BYTES_MAX,
            max_inflight_msgs: INFLIGHT_MESSAGES_MAX,
            max_committed_size_per_ready: COMMITTED_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            ..Default::default()
        };
        let log = GroupLog::new(open.members, recovered);
        let recovered_last = log.last().0;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let mut node = RawNode::new(&raft_config, log, &logger)?;
        Ok(Self {
            id: open.group,
            election: Election::new(platform, &mut node),
            term_written: node.raft.term,
            node,
            unsynced: 0,
            installing: 0,
            commit_unwritten: false,
            own_vote_told: 0,
            probation: on_probation.then(Probation::default),
            vouched: BTreeMap::new(),
            commit_told: commit,
            recovered_last,
            weight: Weight { snapshot_bytes, ..Weight::default() },
        })
    }

    /// Raft's durable state as it is now.
    pub(crate) fn hard_state(&self) -> HardState {
        let raft = self.node.raft.hard_state();
        HardState {
            term: Term(raft.term),
            vote: (raft.vote != 0).then_some(NodeId(raft.vote)),
            commit: LogIndex(raft.commit),
            whole: self.probation.is_none(),
        }
    }

    /// Whether nobody but `node` votes: it needs nobody's vote, and nobody could take over.
    pub(crate) fn is_only_voter(&self, node: NodeId) -> bool {
        self.members().voters == [node]
    }

    pub(crate) fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Whether it leads a term that its disk does not know of: alone it needs nobody's vote, and has not written its
    /// own yet. If it lost its power now, it could lead the same term a second time, with other entries.
    pub(crate) fn leads_unwritten(&self) -> bool {
        self.leads() && self.node.raft.term > self.term_written
    }

    /// Tells observers of a new commit index, which should only rise. The term is that of the entry at the index.
    pub(crate) fn tell_commit<P: Platform>(&mut self, platform: &P) {
        let commit = self.node.raft.raft_log.committed;
        // One that comes with a snapshot is told once the snapshot is in place of the log.
        if commit == self.commit_told || self.installing > 0 {
            return;
        }
        self.commit_told = commit;
        let term = self.node.raft.raft_log.term(commit).unwrap_or_default();
        platform.observe(Observation::Committed { group: self.id, index: LogIndex(commit), term: Term(term) });
    }

    pub(crate) fn count_applied(&mut self, bytes: usize) {
        self.weight.entries += 1;
        self.weight.bytes += bytes as u64;
    }

    /// Whether the log has grown enough since the last snapshot. A large state must have been followed by half as
    /// many bytes of log, so that snapshots never cost more than a constant factor of the log itself.
    pub(crate) fn is_heavy(&self, compaction: &Compaction) -> bool {
        let Weight { entries, bytes, snapshot_bytes } = self.weight;
        (entries >= compaction.entries || bytes >= compaction.bytes) && bytes >= snapshot_bytes / 2
    }

    /// Whether anything was applied since the last snapshot.
    pub(crate) fn has_grown(&self) -> bool {
        self.weight.entries > 0
    }

    /// Whether there is a state to snapshot: something was applied, and no other snapshot is being installed.
    pub(crate) fn can_compact(&self) -> bool {
        self.installing == 0 && self.node.raft.raft_log.applied > 0
    }

    /// Cuts the log off behind the applied index, of which `state` is the state.
    pub(crate) fn compact(&mut self, state: Bytes, tail: u64) -> Snapshot {
        let index = self.node.raft.raft_log.applied;
        let term = self.node.raft.raft_log.term(index).expect("the applied entry is in the log");
        let members = self.node.store().members().clone();
        let snapshot = Snapshot { index: LogIndex(index), term: Term(term), members, data: state };
        self.weight = Weight { snapshot_bytes: snapshot.data.len() as u64, ..Weight::default() };
        self.node.mut_store().compact(snapshot.clone(), tail);
        snapshot
    }

    /// Whether `message` shows that a follower has the snapshot that it was sent. Its own word of that may be lost with
    /// its stream to this node, and Raft would wait for it for ever: until then the follower gets nothing more.
    pub(crate) fn has_installed(&self, message: &WireMessage) -> bool {
        let progress = self.node.raft.prs().get(message.from.0);
        message.kind == MessageKind::HeartbeatResponse
            && message.term == self.node.raft.term
            && progress.is_some_and(|progress| {
                progress.state == ProgressState::Snapshot && message.commit >= progress.pending_snapshot
            })
    }

    /// The log is the leader's snapshot from now on.
    pub(crate) fn installed(&mut self, snapshot_bytes: usize) {
        self.weight = Weight { snapshot_bytes: snapshot_bytes as u64, ..Weight::default() };
    }
}

/// What a group looked like after recovery, for observers; also where planted bugs forget.
pub(crate) fn recover<P: Platform>(platform: &P, group: GroupId, recovered: &mut RecoveredGroup) {
    tamper::recovered(platform, group, recovered);
    let snapshot = recovered.snapshot.as_ref().map(|snapshot| (snapshot.index, snapshot.term)).unwrap_or_default();
    let last = recovered.entries.last().map_or(snapshot, |entry| (entry.index, entry.term));
    // A commit index that was written behind the snapshot's is no news; Raft refuses to start below the snapshot.
    recovered.hard_state.commit = recovered.hard_state.commit.max(snapshot.0);
    let HardState { term, vote, commit, .. } = recovered.hard_state;
    let state = RecoveredState { group, term, vote, commit, snapshot, last };
    platform.observe(Observation::Recovered(Box::new(state)));
}

/// The hash by which observers tell entries apart: of term, kind and data.
pub(crate) fn entry_hash(entry: &LogEntry) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&entry.term.0.to_le_bytes());
    hasher.update(&[match entry.kind {
        EntryKind::Command => 0,
        EntryKind::Members => 1,
    }]);
    hasher.update(&entry.data);
    hasher.digest()
}

/// Raft's entries as records of the log, told to observers.
pub(crate) fn appended<P: Platform>(platform: &P, group: GroupId, entries: &[Entry]) -> Vec<LogEntry> {
    entries
        .iter()
        .map(|entry| {
            let entry = entry_from_raft(entry);
            let (index, term) = (entry.index, entry.term);
            platform.observe(Observation::Appended { group, index, term, hash: entry_hash(&entry) });
            entry
        })
        .collect()
}
