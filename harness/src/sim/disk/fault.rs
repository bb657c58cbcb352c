//! What a disk can be told to do wrong, and what that did.

use std::{ops::Range, rc::Rc, time::Duration};

use super::DiskState;

/// How a disk misbehaves, until it is told otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DiskFault {
    #[default]
    None,
    /// Each sync takes a draw from this range longer.
    Slow(Range<Duration>),
    /// Syncs wait until the fault is gone, then take their usual time.
    StallSync,
    /// Every operation waits until the fault is gone.
    StallAll,
    /// Syncs fail with `EIO`, and drop what they should have written.
    FailSync,
    /// Reads fail with `EIO`.
    ReadError,
    /// Writes and creations fail with `ENOSPC`.
    NoSpace,
}

/// What survives a power loss of what was not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PowerLoss {
    /// Nothing.
    LoseUnsynced,
    /// Each sector by the toss of a coin, and the first few changes of names.
    #[default]
    Torn,
}

/// What a disk has done and suffered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    pub reads: u64,
    pub writes: u64,
    pub bytes_written: u64,
    pub syncs: u64,
    /// Syncs that were slowed down, and by how much in all.
    pub syncs_slowed: u64,
    pub slowed_for: Duration,
    /// Operations that a stall held or holds, and for how long in all (counted when they are let go or dropped).
    pub operations_held: u64,
    pub syncs_held: u64,
    /// Of these, the ones that a stall holds at this moment.
    pub operations_held_now: u64,
    pub syncs_held_now: u64,
    pub held_for: Duration,
    pub syncs_failed: u64,
    pub reads_failed: u64,
    pub writes_failed: u64,
    pub power_losses: u64,
    /// At the last power loss: unsynced bytes gone, and unsynced bytes that survived.
    pub bytes_lost_last: u64,
    pub bytes_survived_last: u64,
    /// At the last power loss: creations, renames and removals undone.
    pub names_lost_last: u64,
    /// Over all power losses.
    pub bytes_lost: u64,
}

/// The handle with which the world breaks a disk and asks what came of it.
#[derive(Clone)]
pub struct SimDiskControl(Rc<DiskState>);

impl SimDiskControl {
    pub(in crate::sim) fn new(disk: Rc<DiskState>) -> Self {
        Self(disk)
    }

    /// Replaces the fault; whatever an earlier one held goes on.
    pub fn set_fault(&self, fault: DiskFault) {
        self.0.set_fault(fault);
    }

    pub fn fault(&self) -> DiskFault {
        self.0.fault.borrow().clone()
    }

    pub fn counters(&self) -> DiskCounters {
        self.0.counters.get()
    }

    /// Bytes that a power loss now could take.
    pub fn unsynced_bytes(&self) -> u64 {
        self.0.unsynced_bytes()
    }
}
