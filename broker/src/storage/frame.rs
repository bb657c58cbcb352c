//! One write to the log: the records of a batch under one checksum.
//!
//! ```text
//! magic 4 │ length 4 │ crc 4 │ previous 4 │ segment 8 │ offset 8 │ synced 8 │ payload: records, postcard
//! ```
//! All little endian. `crc` is the CRC32C of everything but the magic and itself. `previous` is the `crc` of the
//! frame before, also across segments, so that no frame can go missing between two that remain, and bytes that some
//! earlier life of the file left behind are never taken for new ones. `segment` and `offset` say where the frame is,
//! so that a misplaced write is noticed. `synced` is what tells a torn tail from damage: up to this offset of the
//! same segment everything was durable when the frame was written.

use serde::{Deserialize, Serialize};

use super::{DiskId, HardState, LogEntry, Record, Snapshot, StorageError};
use crate::platform::{GroupId, NodeId};

pub(super) const HEADER_LEN: usize = 40;
const MAGIC: [u8; 4] = *b"WRN1";

/// A [`Record`] as it is on disk, to be written.
#[derive(Serialize)]
pub(super) enum StoredRef<'a> {
    Append(GroupId, &'a [LogEntry]),
    HardState(GroupId, HardState),
    /// `replaces_log` is decided when it is written: later, the entry that decides may have been compacted away.
    Snapshot {
        group: GroupId,
        snapshot: &'a Snapshot,
        replaces_log: bool,
    },
    Forget(GroupId),
    Known(NodeId, DiskId),
}

/// A [`Record`] as it is on disk, read back. The same shape as [`StoredRef`].
#[derive(Deserialize)]
pub(super) enum Stored {
    Append(GroupId, Vec<LogEntry>),
    HardState(GroupId, HardState),
    Snapshot { group: GroupId, snapshot: Snapshot, replaces_log: bool },
    Forget(GroupId),
    Known(NodeId, DiskId),
}

impl<'a> StoredRef<'a> {
    pub(super) fn of(record: &'a Record, replaces_log: bool) -> Self {
        match record {
            Record::Append(group, entries) => Self::Append(*group, entries),
            Record::HardState(group, hard_state) => Self::HardState(*group, *hard_state),
            Record::Snapshot(group, snapshot) => Self::Snapshot { group: *group, snapshot, replaces_log },
            Record::Forget(group) => Self::Forget(*group),
            Record::Known(node, disk) => Self::Known(*node, *disk),
        }
    }
}

/// Where a frame stands, and what it vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) synced: u64,
    pub(super) previous: u32,
}

/// A frame under construction. Its memory is reused from one to the next.
#[derive(Default)]
pub(super) struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    /// Begins a new frame without records.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_LEN, 0);
    }

    pub(super) fn push(&mut self, record: &StoredRef<'_>) {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(record, bytes).expect("records always encode: they hold no unsized sequence");
    }

    /// The finished frame and its checksum.
    pub(super) fn seal(&mut self, place: Place) -> (&[u8], u32) {
        let length = u32::try_from(self.bytes.len() - HEADER_LEN).expect("a batch stays below 4 GiB");
        self.bytes[..4].copy_from_slice(&MAGIC);
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&place.previous.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&place.segment.to_le_bytes());
        self.bytes[24..32].copy_from_slice(&place.offset.to_le_bytes());
        self.bytes[32..40].copy_from_slice(&place.synced.to_le_bytes());
        let crc = checksum(&self.bytes);
        self.bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        (&self.bytes, crc)
    }

    /// Gives back memory that one unusually large batch (a snapshot) took.
    pub(super) fn trim(&mut self, capacity_max: usize) {
        if self.bytes.capacity() > capacity_max {
            self.bytes = Vec::new();
        }
    }
}

/// A frame that was read and found sound in itself.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) place: Place,
    pub(super) crc: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at `offset` of a segment's `bytes`, if there is a sound one which belongs there.
    pub(super) fn read(bytes: &'a [u8], offset: usize, segment: u64) -> Result<Self, &'static str> {
        let rest = &bytes[offset..];
        if rest.len() < HEADER_LEN {
            return Err("the file ends inside a header");
        }
        if rest[..4] != MAGIC {
            return Err("no record begins here");
        }
        let place = Place {
            segment: u64_at(rest, 16),
            offset: u64_at(rest, 24),
            synced: u64_at(rest, 32),
            previous: u32_at(rest, 12),
        };
        if place.segment != segment || place.offset != offset as u64 {
            return Err("a record that was written for another place");
        }
        let end = HEADER_LEN + u32_at(rest, 4) as usize;
        let frame = rest.get(..end).ok_or("the file ends inside a record")?;
        let crc = u32_at(rest, 8);
        if checksum(frame) != crc {
            return Err("a record does not match its checksum");
        }
        Ok(Self { place, crc, payload: &frame[HEADER_LEN..] })
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> usize {
        self.place.offset as usize + HEADER_LEN + self.payload.len()
    }

    /// The records, in the order in which they were written.
    pub(super) fn records(&self, file: &str) -> Result<Vec<Stored>, StorageError> {
        let mut records = Vec::new();
        let mut rest = self.payload;
        while !rest.is_empty() {
            let (record, after) = postcard::take_from_bytes(rest).map_err(|error| StorageError::Corrupt {
                file: file.to_owned(),
                offset: self.place.offset,
                detail: format!("a record with a sound checksum cannot be decoded ({error}): another version's?"),
            })?;
            records.push(record);
            rest = after;
        }
        Ok(records)
    }
}

/// Whether some sound frame after the damage at `damaged` says that the damaged place had been synced. Without one,
/// the damage is a torn tail: power was lost before the sync, and any part of what follows may have survived.
pub(super) fn vouched_for(bytes: &[u8], damaged: usize, segment: u64) -> bool {
    (damaged + 1..bytes.len().saturating_sub(HEADER_LEN - 1))
        .filter(|&offset| bytes[offset..].starts_with(&MAGIC))
        .filter_map(|offset| Frame::read(bytes, offset, segment).ok())
        .any(|frame| frame.place.synced > damaged as u64)
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[4..8]), &frame[12..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
