//! The contents of one file: what a read sees, and what a power loss leaves of it.
//!
//! The file is cut into sectors of 512 bytes, each of which reaches the platter whole or not at all. A sector that was
//! written and not yet synced remembers what the platter holds in its place; a sync forgets that, a power loss may go
//! back to it. Any subset of the unsynced sectors may survive, in no order.

use std::collections::{BTreeMap, BTreeSet};

/// What a disk writes at once.
pub const SECTOR_BYTES: usize = 512;

type Sector = Box<[u8; SECTOR_BYTES]>;

/// A sector that the platter does not hold in its newest form.
#[derive(Clone, Debug)]
struct Unsynced {
    /// What the platter holds; `None` for zeros, which is what lies behind the end of a growing log.
    durable: Option<Sector>,
    /// The state of the file that `durable` is from: a sync may bring a newer one, never an older one.
    durable_version: u64,
    /// The newest write to the sector.
    version: u64,
    /// A sync failed on it. The page counts as clean, so that no later sync writes it, unless it is written again.
    dropped: bool,
}

/// One file.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    bytes: Vec<u8>,
    unsynced: BTreeMap<u64, Unsynced>,
    /// The length on the platter.
    durable_len: u64,
    durable_len_version: u64,
    /// Counts the changes of the file.
    version: u64,
    /// Positions of bytes that are not what was written, until they are written again.
    corrupt: BTreeSet<u64>,
}

/// What a sync has undertaken to make durable: the file as it was when the sync began.
#[derive(Debug)]
pub struct SyncPlan {
    version: u64,
    len: u64,
    sectors: Vec<u64>,
    /// The contents of the sectors, in the same order.
    bytes: Vec<u8>,
}

/// A sector of a sync, with what the platter held in its place (`None` for zeros).
#[derive(Clone, Debug)]
pub struct WrittenSector {
    sector: u64,
    before: Option<Sector>,
}

impl SyncPlan {
    /// The sectors that the sync writes, in the file as it is before it ends.
    pub fn sectors(&self, contents: &Contents) -> Vec<WrittenSector> {
        let before = |sector| contents.unsynced.get(sector).and_then(|unsynced| unsynced.durable.clone());
        self.sectors.iter().map(|sector| WrittenSector { sector: *sector, before: before(sector) }).collect()
    }

    /// Bytes on their way to the platter.
    pub fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// What a power loss did to a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Bytes in unsynced sectors that went back to their durable form.
    pub lost: u64,
    /// Bytes in unsynced sectors that survived all the same.
    pub survived: u64,
}

impl Contents {
    /// The length as a read sees it.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Whether a read sees nothing.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes in sectors that a power loss now could take.
    pub fn unsynced_bytes(&self) -> u64 {
        (self.unsynced.len() * SECTOR_BYTES) as u64
    }

    /// Up to `len` bytes at `offset`; fewer only at the end of the file.
    pub fn read(&self, offset: u64, len: usize) -> Vec<u8> {
        let start = self.bytes.len().min(offset as usize);
        let end = self.bytes.len().min(start.saturating_add(len));
        self.bytes[start..end].to_vec()
    }

    /// Writes `data` at `offset`, with zeros in between if the file was shorter.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let (start, end) = (offset as usize, offset as usize + data.len());
        let old_len = self.bytes.len();
        self.version += 1;
        // The gap is new content as well.
        self.remember(start.min(old_len), end);
        if end > old_len {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(data);
        self.forget_corruption(offset, end as u64);
    }

    /// The bytes from `start` to `end` are what was written, or no longer there.
    fn forget_corruption(&mut self, start: u64, end: u64) {
        if !self.corrupt.is_empty() {
            self.corrupt.retain(|position| !(start..end).contains(position));
        }
    }

    /// Bytes of a range that are not what was written.
    pub fn corrupt_bytes(&self, offset: u64, len: usize) -> u64 {
        if self.corrupt.is_empty() { 0 } else { self.corrupt.range(offset..offset + len as u64).count() as u64 }
    }

    /// Sectors that the platter holds in their newest form.
    fn durable_sectors(&self) -> impl Iterator<Item = u64> {
        (0..self.len().div_ceil(SECTOR_BYTES as u64)).filter(|sector| !self.unsynced.contains_key(sector))
    }

    /// Bytes of the file in sectors that the platter holds in their newest form.
    pub fn durable_bytes(&self) -> u64 {
        self.durable_sectors().map(|sector| sector_of(&self.bytes, sector).map_or(0, <[u8]>::len) as u64).sum()
    }

    /// Flips a bit (0 to 7) of the byte at `position` among the [`Self::durable_bytes`]. Where that is in the file.
    pub fn flip(&mut self, mut position: u64, bit: u32) -> Option<u64> {
        let sector = self.durable_sectors().find(|sector| {
            let len = sector_of(&self.bytes, *sector).map_or(0, <[u8]>::len) as u64;
            let found = position < len;
            position -= if found { 0 } else { len };
            found
        })?;
        let offset = sector * SECTOR_BYTES as u64 + position;
        self.bytes[offset as usize] ^= 1 << bit;
        self.corrupt.insert(offset);
        Some(offset)
    }

    /// Lets one sector of a sync land in the place of another one: its own place keeps what the platter held, the other
    /// one's content is gone. The two numbers are drawn by the caller, of any size. Nothing if the sync has no sector,
    /// or the file no other durable one. Call it after [`Self::end_sync`] with what [`SyncPlan::sectors`] told before.
    pub fn misdirect(&mut self, written: &[WrittenSector], which: u64, whither: u64) -> Option<(u64, u64)> {
        // One that was written again since will be synced again, to its own place.
        let candidates: Vec<&WrittenSector> =
            written.iter().filter(|it| !self.unsynced.contains_key(&it.sector)).collect();
        let source = candidates.get((which % candidates.len().max(1) as u64) as usize)?;
        let others: Vec<u64> = self.durable_sectors().filter(|sector| *sector != source.sector).collect();
        let other = *others.get((whither % others.len().max(1) as u64) as usize)?;
        let content = copy_sector(sector_of(&self.bytes, source.sector)?);
        let before = source.before.clone().unwrap_or_else(|| Box::new([0; SECTOR_BYTES]));
        self.overwrite(source.sector, &before);
        self.overwrite(other, &content);
        Some((source.sector, other))
    }

    /// Replaces a sector's content below the file system's back.
    fn overwrite(&mut self, sector: u64, content: &Sector) {
        let start = sector as usize * SECTOR_BYTES;
        let end = self.bytes.len().min(start + SECTOR_BYTES);
        for (position, (byte, new)) in (start as u64..).zip(self.bytes[start..end].iter_mut().zip(content.iter())) {
            if byte != new {
                *byte = *new;
                self.corrupt.insert(position);
            }
        }
    }

    /// Cuts the file, or extends it with zeros.
    pub fn set_len(&mut self, len: u64) {
        let (old, new) = (self.bytes.len(), len as usize);
        if old == new {
            return;
        }
        self.version += 1;
        self.remember(old.min(new), old.max(new));
        self.forget_corruption(len, u64::MAX);
        self.bytes.resize(new, 0);
    }

    /// Before the bytes from `start` to `end` change: keeps what the platter holds of their sectors.
    fn remember(&mut self, start: usize, end: usize) {
        let sectors = (start / SECTOR_BYTES) as u64..(end.div_ceil(SECTOR_BYTES)) as u64;
        let (bytes, version) = (&self.bytes, self.version);
        for sector in sectors {
            let entry = self.unsynced.entry(sector).or_insert_with(|| Unsynced {
                durable: sector_of(bytes, sector).map(copy_sector),
                durable_version: version - 1,
                version,
                dropped: false,
            });
            entry.version = version;
            entry.dropped = false;
        }
    }

    /// Begins a sync: what it covers is decided now, not when it ends.
    pub fn begin_sync(&self) -> SyncPlan {
        let pending = self.unsynced.iter().filter(|(_, unsynced)| !unsynced.dropped);
        let sectors: Vec<u64> = pending.map(|(sector, _)| *sector).collect();
        let mut bytes = Vec::with_capacity(sectors.len() * SECTOR_BYTES);
        for (position, sector) in sectors.iter().enumerate() {
            bytes.extend_from_slice(sector_of(&self.bytes, *sector).unwrap_or_default());
            bytes.resize((position + 1) * SECTOR_BYTES, 0);
        }
        SyncPlan { version: self.version, len: self.len(), sectors, bytes }
    }

    /// The sync has reached the platter.
    pub fn end_sync(&mut self, plan: SyncPlan) {
        for (sector, content) in plan.sectors.into_iter().zip(plan.bytes.chunks_exact(SECTOR_BYTES)) {
            let Some(unsynced) = self.unsynced.get_mut(&sector) else { continue };
            if unsynced.version <= plan.version && !unsynced.dropped {
                self.unsynced.remove(&sector);
            } else if unsynced.durable_version < plan.version {
                // Written again since: the platter now holds what the sync had found.
                unsynced.durable = Some(copy_sector(content));
                unsynced.durable_version = plan.version;
            }
        }
        if self.durable_len_version <= plan.version {
            self.durable_len = plan.len;
            self.durable_len_version = plan.version;
        }
    }

    /// The sync has failed. As on Linux, its pages now count as clean although the platter does not hold them: a read
    /// still sees them, the next sync succeeds without them, and a power loss takes them.
    pub fn fail_sync(&mut self, plan: &SyncPlan) {
        for sector in &plan.sectors {
            if let Some(unsynced) = self.unsynced.get_mut(sector).filter(|it| it.version <= plan.version) {
                unsynced.dropped = true;
            }
        }
    }

    /// The power goes. `survives` decides for each unsynced sector whether the disk had already written it.
    pub fn lose_power(&mut self, mut survives: impl FnMut() -> bool) -> Loss {
        let mut loss = Loss::default();
        let mut restored = Vec::new();
        // The length follows the last thing that reached the platter.
        let mut len = self.durable_len;
        let seen_len = self.len();
        let shrunk = seen_len < len && survives();
        if shrunk {
            len = seen_len;
        }
        for (sector, unsynced) in std::mem::take(&mut self.unsynced) {
            let (start, end) = (sector * SECTOR_BYTES as u64, (sector + 1) * SECTOR_BYTES as u64);
            if start >= seen_len && shrunk {
                continue;
            }
            if !unsynced.dropped && start < seen_len && survives() {
                loss.survived += end.min(seen_len) - start;
                len = len.max(end.min(seen_len));
            } else {
                loss.lost += end.min(seen_len).saturating_sub(start);
                restored.push((start as usize, unsynced.durable));
            }
        }
        let longest = restored.iter().map(|(start, _)| start + SECTOR_BYTES).max().unwrap_or(0);
        self.bytes.resize(self.bytes.len().max(longest).max(len as usize), 0);
        for (start, durable) in restored {
            let place = &mut self.bytes[start..start + SECTOR_BYTES];
            match durable {
                Some(durable) => place.copy_from_slice(&*durable),
                None => place.fill(0),
            }
        }
        self.bytes.truncate(len as usize);
        self.forget_corruption(len, u64::MAX);
        self.version += 1;
        self.durable_len = len;
        self.durable_len_version = self.version;
        loss
    }
}

/// A sector's bytes as a read sees them, shorter at the end of the file; `None` behind it.
fn sector_of(bytes: &[u8], sector: u64) -> Option<&[u8]> {
    let start = sector as usize * SECTOR_BYTES;
    (start < bytes.len()).then(|| &bytes[start..bytes.len().min(start + SECTOR_BYTES)])
}

/// A copy, filled up with zeros.
fn copy_sector(bytes: &[u8]) -> Sector {
    let mut copy = Box::new([0; SECTOR_BYTES]);
    copy[..bytes.len()].copy_from_slice(bytes);
    copy
}
