//! The contents of one file: what a read sees, and what a power loss leaves of it.
//!
//! The file is cut into sectors of 512 bytes, each of which reaches the platter whole or not at all. A sector that was
//! written and not yet synced remembers what the platter holds in its place; a sync forgets that, a power loss may go
//! back to it. Any subset of the unsynced sectors may survive, in no order.

use std::collections::BTreeMap;

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

impl SyncPlan {
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
    }

    /// Cuts the file, or extends it with zeros.
    pub fn set_len(&mut self, len: u64) {
        let (old, new) = (self.bytes.len(), len as usize);
        if old == new {
            return;
        }
        self.version += 1;
        self.remember(old.min(new), old.max(new));
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
