//! From log to state machine and back: committed entries are applied, snapshots restored, logs cut behind snapshots.

use raft::eraftpb::Entry;

use super::{
    Driver, Host, MemberChange,
    driver::DriverError,
    group::{Group, entry_hash},
    membership::replica_hash,
    wire::entry_from_raft,
};
use crate::{
    platform::{Chaos, GroupId, LogIndex, Observation, Platform, Sabotage, Term},
    storage::{Record, Snapshot},
};

impl<P: Platform, H: Host> Driver<P, H> {
    /// The leader's metadata skipped a part of its history here: a group that was opened and closed in that part will
    /// never be opened on this node, and what recovery found of it can go.
    pub(super) fn forget_gone(&mut self) {
        let existing = self.host.groups();
        let gone: Vec<GroupId> = self.dormant.keys().filter(|group| !existing.contains(group)).copied().collect();
        for group in gone {
            self.close(group);
        }
    }

    pub(super) fn restore(&mut self, id: GroupId, snapshot: &Snapshot) -> Result<(), DriverError> {
        self.host.restore(id, &snapshot.data).map_err(|reason| DriverError::Snapshot {
            group: id,
            index: snapshot.index,
            reason,
        })?;
        let state_hash = replica_hash(self.host.state_hash(id), &snapshot.members);
        let (index, term) = (snapshot.index, snapshot.term);
        self.platform.observe(Observation::SnapshotInstalled { group: id, index, term, state_hash });
        Ok(())
    }

    pub(super) fn apply(&mut self, id: GroupId, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        let leads = self.groups.get(&id).is_some_and(Group::leads);
        for entry in entries {
            // A new leader's first entry is empty.
            let skipped = !leads && Sabotage::SkipEntry.strikes(&self.platform, entry.index, 100);
            if let Some(change) = MemberChange::of_entry(entry) {
                self.apply_change(id, entry.index, change);
            } else if !entry.data.is_empty() && !skipped {
                self.host.apply(id, &entry.data);
            }
            let state_hash = replica_hash(self.host.state_hash(id), self.groups[&id].members());
            let (index, term, hash) = (LogIndex(entry.index), Term(entry.term), entry_hash(&entry_from_raft(entry)));
            self.platform.observe(Observation::Applied { group: id, index, term, hash, state_hash });
        }
        let group = self.groups.get_mut(&id).expect("a group is closed between rounds only");
        group.node.advance_apply_to(last.index);
        for entry in entries {
            group.count_applied(entry.data.len());
        }
    }

    pub(super) fn compact_if_heavy(&mut self, id: GroupId) {
        let outdated = self.outdated.remove(&id);
        let early = |group: &Group| group.has_grown() && self.platform.chance(Chaos::CompactEarly);
        let due = |group: &Group| group.is_heavy(&self.config.compaction) || early(group);
        if outdated || self.groups.get(&id).is_some_and(due) {
            self.compact(id);
        }
    }

    pub(super) fn compact(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id).filter(|group| group.can_compact()) else { return };
        let tail = if self.platform.chance(Chaos::TailForgotten) { 0 } else { self.config.compaction.tail };
        let snapshot = group.compact(self.host.snapshot(id), tail);
        let (index, term) = (snapshot.index, snapshot.term);
        self.platform.observe(Observation::Compacted { group: id, index, term });
        self.gathering.records.push(Record::Snapshot(id, snapshot));
    }
}
