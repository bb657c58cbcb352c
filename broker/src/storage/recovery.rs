//! Reading the log back after a stop of any kind.
//!
//! What may be found, and what it means:
//! - Every segment but the last was durable as a whole before the next one got its name. Any damage there is damage
//!   to synced data: refused.
//! - The last segment may end in a torn tail: after a power loss any subset of the sectors that were written since
//!   the last sync may have survived, so there may be zeros, halves of frames, and sound frames behind a hole. The
//!   tail begins at the first frame that is not sound. Every frame tells how far
//!   the segment had been synced when it was written; if a sound frame anywhere behind the damage says that the damaged
//!   place had been, then this is no torn tail but damage, refused. Otherwise the tail is cut: nothing in it was ever
//!   reported as durable, and what lies behind a hole must not be taken without what came before.
//! - So damage to synced data goes unnoticed in one case only: it hits the last frames of the last segment, and no
//!   later frame that vouches for them survived. From the outside this is the same as a power loss before the sync.
//!
//! A segment is never continued after a restart: the tail is cut, the segment is synced, and a new one begins. So
//! remains of a cut tail can never line up with new frames.

use std::collections::BTreeMap;

use super::{
    DiskId, HardState, LogEntry, RecoveredGroup, Snapshot, StorageError,
    compaction::{Extent, SnapshotRule},
    frame::{Frame, Stored, vouched_for},
    segment::{self, Segment},
};
use crate::platform::{Disk, File, GroupId, LogIndex, NodeId};

/// The log as it was found. All of it is durable.
pub(super) struct Recovered {
    pub(super) segments: Vec<Segment>,
    /// The number for the first segment if there is none.
    pub(super) number_first: u64,
    /// The checksum of the last frame.
    pub(super) previous: u32,
    pub(super) extents: BTreeMap<GroupId, Extent>,
    pub(super) groups: BTreeMap<GroupId, RecoveredGroup>,
    pub(super) known: BTreeMap<NodeId, DiskId>,
}

pub(super) async fn recover<D: Disk>(disk: &D) -> Result<Recovered, StorageError> {
    let numbers = segment::list(disk).await?;
    let mut replay = Replay::default();
    let mut segments = Vec::with_capacity(numbers.len());
    let mut previous = None;
    for &number in &numbers {
        let (file, bytes) = segment::read(disk, number).await?;
        let scanned = scan(&bytes, number, previous, &mut replay)?;
        let last = Some(&number) == numbers.last();
        let empty = (scanned.end == 0 && !last).then_some("the file is empty");
        if let Some(detail) = scanned.damage.or(empty) {
            if !last || vouched_for(&bytes, scanned.end, number) {
                let (file, offset) = (segment::name(number), scanned.end as u64);
                return Err(StorageError::Corrupt { file, offset, detail: detail.to_owned() });
            }
            let (from, to) = (scanned.end, bytes.len());
            tracing::warn!(file = segment::name(number), from, to, detail, "cut the unsynced tail of the log");
        }
        previous = scanned.previous;
        if scanned.end > 0 {
            if last {
                settle_tail::<D>(&file, number, &bytes, &scanned).await?;
            }
            segments.push(Segment { number, bytes: scanned.end as u64 });
        } else {
            // Nothing of it was ever durable; its number is free again.
            segment::remove(disk, number).await?;
        }
    }
    let number_first = numbers.first().copied().unwrap_or(1);
    replay.check(&segment::name(number_first))?;
    let (mut groups, mut extents) = (BTreeMap::new(), BTreeMap::new());
    for (group, Replayed { hard_state, snapshot, entries, extent }) in replay.groups {
        groups.insert(group, RecoveredGroup { hard_state, snapshot, entries });
        extents.insert(group, extent);
    }
    let (known, previous) = (replay.known, previous.unwrap_or(0));
    Ok(Recovered { segments, number_first, previous, extents, groups, known })
}

/// Makes the last segment durable and exactly as long as its sound frames.
async fn settle_tail<D: Disk>(file: &D::File, number: u64, bytes: &[u8], scanned: &Scan) -> Result<(), StorageError> {
    let name = segment::name(number);
    if scanned.end < bytes.len() {
        file.set_len(scanned.end as u64).await.map_err(StorageError::io("cut", &name))?;
    }
    // If a sync failed in the previous life, the kernel may hold these pages as clean though the disk lacks them.
    // Writing the same bytes again makes them dirty, so that this sync means what it says.
    let vouched = scanned.vouched.min(scanned.end);
    if vouched < scanned.end {
        let tail = &bytes[vouched..scanned.end];
        file.write_at(vouched as u64, tail).await.map_err(StorageError::io("rewrite", &name))?;
    }
    file.sync().await.map_err(StorageError::io("sync", &name))
}

/// What one segment holds.
struct Scan {
    /// The end of its last sound frame in sequence.
    end: usize,
    /// What is wrong at `end`, if the file goes on there.
    damage: Option<&'static str>,
    /// Some frame says that everything before this offset is durable.
    vouched: usize,
    /// The checksum of the last frame.
    previous: Option<u32>,
}

/// Replays a segment's sound frames. `previous` is `None` for the oldest segment: what it continues is gone.
fn scan(bytes: &[u8], number: u64, previous: Option<u32>, replay: &mut Replay) -> Result<Scan, StorageError> {
    let name = segment::name(number);
    let mut scan = Scan { end: 0, damage: None, vouched: 0, previous };
    while scan.end < bytes.len() {
        let frame = match Frame::read(bytes, scan.end, number) {
            Ok(frame) => frame,
            Err(detail) => {
                scan.damage = Some(detail);
                break;
            }
        };
        // Both are sound, so something between them is gone: no power loss does that to a file that is only appended.
        if scan.previous.is_some_and(|previous| frame.place.previous != previous) {
            let detail = "what comes right before it is missing".to_owned();
            return Err(StorageError::Corrupt { file: name, offset: frame.place.offset, detail });
        }
        for record in frame.records(&name)? {
            replay.apply(record, number);
        }
        scan.vouched = scan.vouched.max(frame.place.synced as usize);
        scan.previous = Some(frame.crc);
        scan.end = frame.end();
    }
    Ok(scan)
}

/// The groups while their records are read.
#[derive(Default)]
struct Replay {
    groups: BTreeMap<GroupId, Replayed>,
    known: BTreeMap<NodeId, DiskId>,
}

#[derive(Default)]
struct Replayed {
    hard_state: HardState,
    snapshot: Option<Snapshot>,
    entries: Vec<LogEntry>,
    extent: Extent,
}

impl Replay {
    fn apply(&mut self, record: Stored, segment: u64) {
        match record {
            Stored::Append(group, entries) => self.groups.entry(group).or_default().append(entries, segment),
            Stored::HardState(group, hard_state) => {
                let replayed = self.groups.entry(group).or_default();
                replayed.hard_state = hard_state;
                replayed.extent.hard_state = Some((hard_state, segment));
            }
            Stored::Snapshot { group, snapshot, replaces_log } => {
                self.groups.entry(group).or_default().install(snapshot, replaces_log, segment);
            }
            Stored::Forget(group) => {
                self.groups.remove(&group);
            }
            Stored::Known(node, disk) => {
                self.known.insert(node, disk);
            }
        }
    }

    /// Checks that every group's log is whole.
    fn check(&self, oldest: &str) -> Result<(), StorageError> {
        for (group, replayed) in &self.groups {
            let begins = replayed.snapshot.as_ref().map_or(0, |snapshot| snapshot.index.0) + 1;
            if let Some(first) = replayed.entries.first().filter(|first| first.index.0 != begins) {
                return Err(StorageError::Corrupt {
                    file: oldest.to_owned(),
                    offset: 0,
                    detail: format!("the log of group {group} begins at {} and not at {begins}", first.index.0),
                });
            }
        }
        Ok(())
    }
}

impl Replayed {
    fn append(&mut self, entries: Vec<LogEntry>, segment: u64) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        if self.extent.next().is_some_and(|next| first > next) {
            // What lies between was in segments that are gone: a snapshot further on covers it, and all before it.
            self.entries.clear();
        }
        self.extent.append(&entries, segment);
        self.entries.truncate(self.entries.partition_point(|entry| entry.index < first));
        let covered = self.snapshot.as_ref().map_or(LogIndex(0), |snapshot| snapshot.index);
        self.entries.extend(entries.into_iter().filter(|entry| entry.index > covered));
    }

    fn install(&mut self, snapshot: Snapshot, replaces_log: bool, segment: u64) {
        if self.snapshot.as_ref().is_some_and(|present| snapshot.index < present.index) {
            return;
        }
        let rule = if replaces_log { SnapshotRule::ReplaceLog } else { SnapshotRule::KeepLater };
        self.extent.snapshot(snapshot.index, snapshot.term, snapshot.data.len() as u64, rule, segment);
        if replaces_log {
            self.entries.clear();
        } else {
            self.entries.drain(..self.entries.partition_point(|entry| entry.index <= snapshot.index));
        }
        self.snapshot = Some(snapshot);
    }
}
