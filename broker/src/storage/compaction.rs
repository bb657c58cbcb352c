//! What each group still needs of the log, so that the rest can go.
//!
//! Segments are only ever removed from the old end. A segment is needed by a group that has its latest snapshot, its
//! latest hard state or one of its live entries in it. Hard states are small: each new segment begins with all of
//! them, so they never keep an old one. Entries and snapshots move when the group takes a new snapshot.

use std::collections::{BTreeMap, VecDeque};

use super::{HardState, LogEntry, segment::Segment};
use crate::platform::{GroupId, LogIndex, Term};

/// Where a group's live records are.
#[derive(Debug, Default)]
pub(super) struct Extent {
    pub(super) hard_state: Option<(HardState, u64)>,
    snapshot: Option<Placed>,
    /// The live entries, oldest first, without gaps.
    runs: VecDeque<Run>,
    /// The index of the last entry, or of the snapshot when there is no entry after it.
    last: LogIndex,
}

#[derive(Clone, Copy, Debug)]
struct Placed {
    index: LogIndex,
    term: Term,
    segment: u64,
    bytes: u64,
}

/// Consecutive entries of one term in one segment.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: LogIndex,
    term: Term,
    segment: u64,
    /// An upper estimate once the run has been cut at either end.
    bytes: u64,
}

/// What a snapshot does to the group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SnapshotRule {
    /// The group has a newer one.
    Ignore,
    KeepLater,
    ReplaceLog,
}

impl Extent {
    /// The index after the last; any up to this one can be appended without leaving a gap. `None` for a log without
    /// entries and snapshot (in recovery, where it begins is not known then).
    pub(super) fn next(&self) -> Option<LogIndex> {
        (self.snapshot.is_some() || !self.runs.is_empty()).then_some(LogIndex(self.last.0 + 1))
    }

    /// Notes entries that were written to `segment`. They are consecutive and not empty. What precedes a gap (only
    /// recovery sees one) is not live any more.
    pub(super) fn append(&mut self, entries: &[LogEntry], segment: u64) {
        let first = entries[0].index;
        if self.next().is_some_and(|next| first > next) {
            self.runs.clear();
        }
        while self.runs.back().is_some_and(|run| run.first >= first) {
            self.runs.pop_back();
        }
        for entry in entries {
            let bytes = entry.data.len() as u64;
            match self.runs.back_mut() {
                Some(run) if run.term == entry.term && run.segment == segment => run.bytes += bytes,
                _ => self.runs.push_back(Run { first: entry.index, term: entry.term, segment, bytes }),
            }
            self.last = entry.index;
        }
        self.drop_covered();
    }

    /// What a snapshot right after `index` in `term` does to the log as it is now.
    pub(super) fn rule(&self, index: LogIndex, term: Term) -> SnapshotRule {
        match &self.snapshot {
            Some(present) if index < present.index => SnapshotRule::Ignore,
            Some(present) if index == present.index && term == present.term => SnapshotRule::KeepLater,
            _ if self.term_at(index) == Some(term) => SnapshotRule::KeepLater,
            _ => SnapshotRule::ReplaceLog,
        }
    }

    /// Notes a snapshot that was written to `segment`.
    pub(super) fn snapshot(&mut self, index: LogIndex, term: Term, bytes: u64, rule: SnapshotRule, segment: u64) {
        match rule {
            SnapshotRule::Ignore => return,
            SnapshotRule::KeepLater => self.last = self.last.max(index),
            SnapshotRule::ReplaceLog => {
                self.runs.clear();
                self.last = index;
            }
        }
        self.snapshot = Some(Placed { index, term, segment, bytes });
        self.drop_covered();
    }

    /// The oldest segment that this group needs.
    fn oldest(&self) -> Option<u64> {
        let snapshot = self.snapshot.map(|snapshot| snapshot.segment);
        let hard_state = self.hard_state.map(|(_, segment)| segment);
        let entries = self.runs.front().map(|run| run.segment);
        [snapshot, hard_state, entries].into_iter().flatten().min()
    }

    fn live_bytes(&self) -> u64 {
        self.snapshot.map_or(0, |snapshot| snapshot.bytes) + self.runs.iter().map(|run| run.bytes).sum::<u64>()
    }

    fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index > self.last {
            return None;
        }
        self.runs.iter().rev().find(|run| run.first <= index).map(|run| run.term)
    }

    /// Drops the runs that lie wholly within the snapshot.
    fn drop_covered(&mut self) {
        let Some(covered) = self.snapshot.map(|snapshot| snapshot.index) else { return };
        self.last = self.last.max(covered);
        let live = LogIndex(covered.0 + 1);
        while !self.runs.is_empty() {
            let end = self.runs.get(1).map_or(LogIndex(self.last.0 + 1), |next| next.first);
            if end > live {
                self.runs[0].first = self.runs[0].first.max(live);
                break;
            }
            self.runs.pop_front();
        }
    }
}

/// The oldest segment that any group needs; `None` when nothing is needed.
pub(super) fn oldest_needed(groups: &BTreeMap<GroupId, Extent>) -> Option<u64> {
    groups.values().filter_map(Extent::oldest).min()
}

/// The groups that keep the oldest segment, if the log takes much more space than what lives in it.
pub(super) fn pinning(groups: &BTreeMap<GroupId, Extent>, segments: &[Segment], segment_bytes: u64) -> Vec<GroupId> {
    // A snapshot rewrites all that lives in its group. Waiting until half of the log is dead bounds the rewriting to
    // about one byte for each byte that was appended; the floor spares small logs.
    let live: u64 = groups.values().map(Extent::live_bytes).sum();
    let bytes: u64 = segments.iter().map(|segment| segment.bytes.max(segment_bytes / 4)).sum();
    let Some(oldest) = segments.first().filter(|_| bytes > (2 * live).max(SEGMENTS_FLOOR * segment_bytes)) else {
        return Vec::new();
    };
    groups
        .iter()
        .filter(|(_, extent)| extent.oldest().is_some_and(|needed| needed <= oldest.number))
        .map(|(&group, _)| group)
        .collect()
}

/// Below this many full segments nobody is asked to make room.
const SEGMENTS_FLOOR: u64 = 4;
