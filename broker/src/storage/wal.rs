//! The write-ahead log itself: append, sync, roll, make room.
//!
//! One batch is one frame, one `write_at`. [`Wal::sync`] is a future of its own, so that the node's driver can go on
//! (step groups, and even write) while the disk works. When a segment is full, the next write syncs it, starts a new
//! one and removes those that no group needs any more; so every segment but the last is durable as a whole.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    rc::Rc,
};

use super::{
    DiskId, Record, RecoveredGroup, StorageError,
    compaction::{self, Extent, SnapshotRule},
    frame::{FrameWriter, Place, StoredRef},
    recovery,
    segment::{self, Segment},
};
use crate::platform::{Disk, File, GroupId, LogIndex, NodeId};

/// How the log uses the disk.
#[derive(Clone, Copy, Debug)]
pub struct WalConfig {
    /// A segment takes no further batch once it has this many bytes.
    pub segment_bytes: u64,
}

impl Default for WalConfig {
    fn default() -> Self {
        Self { segment_bytes: 16 * 1024 * 1024 }
    }
}

/// The log of all groups of a node. After any error it takes nothing more.
pub struct Wal<D: Disk> {
    disk: D,
    config: WalConfig,
    /// All segments, oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    // Shared with a sync under way.
    file: Rc<D::File>,
    state: Rc<State>,
    /// The checksum of the last frame, for the next one to name.
    previous: u32,
    groups: BTreeMap<GroupId, Extent>,
    known: BTreeMap<NodeId, DiskId>,
    frame: FrameWriter,
}

/// What a sync under way and the log tell each other.
#[derive(Default)]
struct State {
    failed: Cell<bool>,
    syncing: Cell<bool>,
    segment: Cell<u64>,
    /// Up to here the segment is durable.
    synced: Cell<u64>,
}

impl<D: Disk> Wal<D> {
    /// Recovers the log from `disk`, or begins a new one. Everything that was synced is in what it returns, and
    /// everything in what it returns is durable.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] when something that was synced is damaged or missing; [`StorageError::Io`].
    pub async fn open(disk: D, config: WalConfig) -> Result<(Self, BTreeMap<GroupId, RecoveredGroup>), StorageError> {
        let recovered = recovery::recover(&disk).await?;
        let number = recovered.segments.last().map_or(recovered.number_first, |last| last.number + 1);
        let file = segment::create(&disk, number).await?;
        let mut wal = Self {
            disk,
            config,
            segments: recovered.segments.into(),
            file: Rc::new(file),
            state: Rc::default(),
            previous: recovered.previous,
            groups: recovered.extents,
            known: recovered.known,
            frame: FrameWriter::default(),
        };
        wal.begin_segment(number).await?;
        Ok((wal, recovered.groups))
    }

    /// Appends all of `records` in one write: after a power loss, all of them are recovered or none. They are durable
    /// when a [`Wal::sync`] that was called later ends well.
    ///
    /// # Errors
    /// [`StorageError::Discontinuous`] for entries that leave a gap; [`StorageError::Io`]; [`StorageError::Failed`].
    pub async fn write(&mut self, records: &[Record]) -> Result<(), StorageError> {
        if self.state.failed.get() {
            return Err(StorageError::Failed);
        }
        if records.is_empty() {
            return Ok(());
        }
        let guard = FailGuard::arm(&self.state);
        if self.current().bytes >= self.config.segment_bytes {
            self.roll().await?;
        }
        self.frame.begin();
        for record in records {
            if matches!(record, Record::Append(_, entries) if entries.is_empty()) {
                continue;
            }
            let rule = self.note(record)?;
            // An outdated snapshot changes nothing, so it need not take space.
            if rule != Some(SnapshotRule::Ignore) {
                self.frame.push(&StoredRef::of(record, rule == Some(SnapshotRule::ReplaceLog)));
            }
        }
        self.write_frame().await?;
        guard.disarm();
        Ok(())
    }

    /// Makes everything durable that was written before this call. The future may be awaited at once, or held while
    /// other work (also [`Wal::write`]) goes on; it touches nothing that the log needs meanwhile. At most one may be
    /// under way. Dropping it half-way counts as a failure: its result would be lost, and the disk tells it only once.
    ///
    /// # Errors
    /// [`StorageError::Io`], after which nothing that was not synced before may be believed; [`StorageError::Failed`].
    pub fn sync(&self) -> impl Future<Output = Result<(), StorageError>> + use<D> {
        let (file, state) = (Rc::clone(&self.file), Rc::clone(&self.state));
        let Segment { number, bytes } = self.current();
        async move {
            if state.failed.get() {
                return Err(StorageError::Failed);
            }
            if state.segment.get() != number || state.synced.get() >= bytes {
                return Ok(());
            }
            assert!(!state.syncing.replace(true), "one sync at a time");
            let guard = FailGuard::arm(&state);
            let synced = file.sync().await;
            state.syncing.set(false);
            synced.map_err(StorageError::io("sync", &segment::name(number)))?;
            guard.disarm();
            if state.failed.get() {
                return Err(StorageError::Failed);
            }
            if state.segment.get() == number {
                state.synced.set(state.synced.get().max(bytes));
            }
            Ok(())
        }
    }

    /// Whether all that was written is durable.
    pub fn is_synced(&self) -> bool {
        self.state.synced.get() == self.current().bytes
    }

    /// The disks by which this node knows other founders of the cluster.
    pub fn known(&self) -> &BTreeMap<NodeId, DiskId> {
        &self.known
    }

    /// The groups that keep old segments on disk, once the log takes much more space than what lives in it. A new
    /// [`Record::Snapshot`] of each (also of the same index as its last) lets the log shrink at a later roll.
    pub fn pinning_groups(&self) -> Vec<GroupId> {
        let segments: Vec<Segment> = self.segments.iter().copied().collect();
        compaction::pinning(&self.groups, &segments, self.config.segment_bytes)
    }

    /// The bytes that the log takes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn current(&self) -> Segment {
        *self.segments.back().expect("there is always a segment to write to")
    }

    /// Takes `record` into account; if it is a snapshot, tells what it does to its group's log.
    fn note(&mut self, record: &Record) -> Result<Option<SnapshotRule>, StorageError> {
        let segment = self.current().number;
        match record {
            Record::Append(group, entries) => {
                let extent = self.groups.entry(*group).or_default();
                check_continues(*group, extent, entries)?;
                extent.append(entries, segment);
            }
            Record::HardState(group, hard_state) => {
                self.groups.entry(*group).or_default().hard_state = Some((*hard_state, segment));
            }
            Record::Snapshot(group, snapshot) => {
                let extent = self.groups.entry(*group).or_default();
                let rule = extent.rule(snapshot.index, snapshot.term);
                extent.snapshot(snapshot.index, snapshot.term, snapshot.data.len() as u64, rule, segment);
                return Ok(Some(rule));
            }
            Record::Forget(group) => {
                self.groups.remove(group);
            }
            Record::Known(node, disk) => {
                self.known.insert(*node, *disk);
            }
        }
        Ok(None)
    }

    /// Writes the frame that is ready in `self.frame`.
    async fn write_frame(&mut self) -> Result<(), StorageError> {
        let Segment { number, bytes } = self.current();
        let place = Place { segment: number, offset: bytes, synced: self.state.synced.get(), previous: self.previous };
        let (frame, crc) = self.frame.seal(place);
        let len = frame.len() as u64;
        self.file.write_at(bytes, frame).await.map_err(StorageError::io("write", &segment::name(number)))?;
        self.previous = crc;
        self.segments.back_mut().expect("there is always a segment to write to").bytes += len;
        self.frame.trim(FRAME_MEMORY_MAX);
        Ok(())
    }

    /// Goes on in a new segment.
    async fn roll(&mut self) -> Result<(), StorageError> {
        let number = self.current().number;
        // The name of a later segment says that this one is durable as a whole, so it has to be first.
        self.file.sync().await.map_err(StorageError::io("sync", &segment::name(number)))?;
        self.file = Rc::new(segment::create(&self.disk, number + 1).await?);
        self.begin_segment(number + 1).await
    }

    /// Begins the new, empty segment `number`, which is open as `self.file`: with the hard states of all groups and the
    /// known disks, so that they never keep an older one.
    async fn begin_segment(&mut self, number: u64) -> Result<(), StorageError> {
        self.segments.push_back(Segment { number, bytes: 0 });
        self.state.segment.set(number);
        self.state.synced.set(0);
        self.frame.begin();
        for (&group, extent) in &mut self.groups {
            if let Some((hard_state, segment)) = &mut extent.hard_state {
                *segment = number;
                self.frame.push(&StoredRef::HardState(group, *hard_state));
            }
        }
        for (&node, &disk) in &self.known {
            self.frame.push(&StoredRef::Known(node, disk));
        }
        self.write_frame().await?;
        self.file.sync().await.map_err(StorageError::io("sync", &segment::name(number)))?;
        self.state.synced.set(self.current().bytes);
        // Everything is durable at this moment, so what the live records supersede can go.
        let needed = compaction::oldest_needed(&self.groups).unwrap_or(number);
        while let Some(oldest) = self.segments.front().filter(|oldest| oldest.number < needed.min(number)) {
            segment::remove(&self.disk, oldest.number).await?;
            self.segments.pop_front();
        }
        Ok(())
    }
}

/// Memory kept for the next batch.
const FRAME_MEMORY_MAX: usize = 4 * 1024 * 1024;

fn check_continues(group: GroupId, extent: &Extent, entries: &[super::LogEntry]) -> Result<(), StorageError> {
    let next = extent.next().unwrap_or(LogIndex(1));
    let first = entries[0].index;
    if first == LogIndex(0) || first > next {
        let detail = format!("entry {} where {} is the next", first.0, next.0);
        return Err(StorageError::Discontinuous { group, detail });
    }
    match entries.windows(2).find(|pair| pair[0].index.0 + 1 != pair[1].index.0) {
        Some(pair) => {
            let detail = format!("entry {} after entry {}", pair[1].index.0, pair[0].index.0);
            Err(StorageError::Discontinuous { group, detail })
        }
        None => Ok(()),
    }
}

/// Marks the log as failed unless the operation that holds it came to a good end (an error, or a dropped future).
struct FailGuard {
    state: Option<Rc<State>>,
}

impl FailGuard {
    fn arm(state: &Rc<State>) -> Self {
        Self { state: Some(Rc::clone(state)) }
    }

    fn disarm(mut self) {
        self.state = None;
    }
}

impl Drop for FailGuard {
    fn drop(&mut self) {
        if let Some(state) = &self.state {
            state.failed.set(true);
        }
    }
}
