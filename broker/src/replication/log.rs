//! A group's log in memory, as Raft reads it. What makes it durable is the write-ahead log, one step behind.
//!
//! Entries join here when Raft hands them over, before they are synced: Raft itself keeps count of what is persisted
//! and neither acknowledges nor applies beyond that. A crash loses this copy and recovery rebuilds it from disk.

use std::collections::VecDeque;

use raft::{
    GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{Entry, HardState, Snapshot as RaftSnapshot},
};

use super::wire::{entry_to_raft, members_to_raft, snapshot_to_raft};
use crate::storage::{Members, RecoveredGroup, Snapshot};

/// What an entry weighs beside its data when messages are cut to size, in bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 24;

/// The memory that entries behind a snapshot may take, in bytes.
const TAIL_BYTES_MAX: usize = 8 << 20;

pub(crate) struct GroupLog {
    hard_state: HardState,
    members: Members,
    /// The newest snapshot, for followers that are further behind than `entries` reach.
    snapshot: Option<Snapshot>,
    /// Index and term of what comes right before `entries`: at or before the snapshot's index.
    before: (u64, u64),
    entries: VecDeque<Entry>,
}

impl GroupLog {
    /// The log as recovery found it; `members` counts where no snapshot names the members.
    pub(crate) fn new(members: Members, recovered: Option<RecoveredGroup>) -> Self {
        let Some(recovered) = recovered else {
            let (hard_state, entries) = (HardState::default(), VecDeque::new());
            return Self { hard_state, members, snapshot: None, before: (0, 0), entries };
        };
        let hard_state = HardState {
            term: recovered.hard_state.term.0,
            vote: recovered.hard_state.vote.map_or(0, |node| node.0),
            commit: recovered.hard_state.commit.0,
            ..Default::default()
        };
        let before = recovered.snapshot.as_ref().map_or((0, 0), |snapshot| (snapshot.index.0, snapshot.term.0));
        let members = recovered.snapshot.as_ref().map_or(members, |snapshot| snapshot.members.clone());
        let entries = recovered.entries.iter().map(entry_to_raft).collect();
        Self { hard_state, members, snapshot: recovered.snapshot, before, entries }
    }

    /// Those that count at the applied index.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// A change of members was applied.
    pub(crate) fn count_by(&mut self, members: Members) {
        self.members = members;
    }

    pub(crate) fn hold(&mut self, hard_state: HardState) {
        self.hard_state = hard_state;
    }

    /// Adds `entries`, replacing whatever the log had at and after the first of them.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.before.0, "an entry at {} would replace compacted ones", first.index);
        let keep = (first.index - self.before.0 - 1) as usize;
        assert!(keep <= self.entries.len(), "an entry at {} would leave a gap in the log", first.index);
        self.entries.truncate(keep);
        self.entries.extend(entries.iter().cloned());
    }

    /// Replaces the whole log by `snapshot`, which came from the leader.
    pub(crate) fn install(&mut self, snapshot: Snapshot) {
        self.before = (snapshot.index.0, snapshot.term.0);
        self.entries.clear();
        self.members = snapshot.members.clone();
        self.hard_state.commit = self.hard_state.commit.max(snapshot.index.0);
        self.snapshot = Some(snapshot);
    }

    /// Keeps `snapshot` in place of the entries that it covers, except the last `tail` of those (fewer if they are
    /// large), which spare a slow follower the snapshot.
    pub(crate) fn compact(&mut self, snapshot: Snapshot, tail: u64) {
        let covered = self.entries.partition_point(|entry| entry.index <= snapshot.index.0);
        let mut bytes = 0;
        let kept = self
            .entries
            .range(..covered)
            .rev()
            .take(tail as usize)
            .take_while(|entry| {
                bytes += entry.data.len();
                bytes <= TAIL_BYTES_MAX
            })
            .count();
        for entry in self.entries.drain(..covered - kept) {
            self.before = (entry.index, entry.term);
        }
        self.snapshot = Some(snapshot);
    }

    /// Index and term of the last entry.
    pub(crate) fn last(&self) -> (u64, u64) {
        self.entries.back().map_or(self.before, |entry| (entry.index, entry.term))
    }

    fn term_at(&self, index: u64) -> Result<u64, StorageError> {
        if index < self.before.0 {
            return Err(StorageError::Compacted);
        }
        if index == self.before.0 {
            return Ok(self.before.1);
        }
        let position = (index - self.before.0 - 1) as usize;
        self.entries.get(position).map(|entry| entry.term).ok_or(StorageError::Unavailable)
    }
}

impl Storage for GroupLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), members_to_raft(&self.members)))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.before.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last().0 + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let range = (low - self.before.0 - 1) as usize..(high - self.before.0 - 1) as usize;
        let max_size = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0;
        let mut entries = Vec::new();
        for entry in self.entries.range(range) {
            size += entry.data.len() as u64 + ENTRY_OVERHEAD_BYTES;
            if size > max_size && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        Ok(entries)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        Ok(self.term_at(index)?)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().0)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<RaftSnapshot> {
        match &self.snapshot {
            Some(snapshot) if snapshot.index.0 >= request_index => Ok(snapshot_to_raft(snapshot)),
            _ => Err(StorageError::SnapshotTemporarilyUnavailable.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::platform::{LogIndex, NodeId, Term};

    fn entry(index: u64, term: u64) -> Entry {
        Entry { index, term, data: Bytes::from(vec![0; 100]), ..Default::default() }
    }

    fn log(last: u64) -> GroupLog {
        let mut log = GroupLog::new(Members { voters: vec![NodeId(1)], learners: Vec::new() }, None);
        log.append(&(1..=last).map(|index| entry(index, 1)).collect::<Vec<_>>());
        log
    }

    fn snapshot(index: u64) -> Snapshot {
        let members = Members { voters: vec![NodeId(1)], learners: Vec::new() };
        Snapshot { index: LogIndex(index), term: Term(1), members, data: Bytes::new() }
    }

    #[test]
    fn a_conflicting_entry_replaces_the_tail() {
        let mut log = log(9);
        log.append(&[entry(5, 2)]);
        assert_eq!(log.last(), (5, 2));
        assert_eq!(log.term(4), Ok(1));
    }

    #[test]
    fn compaction_keeps_a_tail_for_slow_followers() {
        let mut log = log(9);
        log.compact(snapshot(8), 3);
        assert_eq!((log.first_index(), log.last_index()), (Ok(6), Ok(9)));
        assert_eq!(log.term(5), Ok(1));
        assert_eq!(log.term(4), Err(StorageError::Compacted.into()));
        let entries = log.entries(6, 10, 250, GetEntriesContext::empty(false)).expect("within the log");
        assert_eq!(entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), [6, 7]);
    }

    #[test]
    fn an_installed_snapshot_replaces_the_whole_log() {
        let mut log = log(9);
        log.install(snapshot(20));
        assert_eq!((log.first_index(), log.last_index(), log.term(20)), (Ok(21), Ok(20), Ok(1)));
        log.append(&[entry(21, 1)]);
        assert_eq!(log.last(), (21, 1));
    }
}
