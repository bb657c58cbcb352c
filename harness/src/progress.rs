//! How far a run has come, for whoever watches it from another thread.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    time::Duration,
};

/// Written by the simulation's thread, read by the terminal. It flows one way: a run never depends on it.
#[derive(Debug, Default)]
pub struct Progress {
    virtual_ns: AtomicU64,
    phase: AtomicU8,
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The cluster starts and elects its leaders.
    Starting,
    /// Clients publish and consume, faults happen.
    Load,
    /// The queues are emptied.
    Drain,
    /// The checkers read the history.
    Judging,
    Done,
}

impl Phase {
    const ALL: [Self; 5] = [Self::Starting, Self::Load, Self::Drain, Self::Judging, Self::Done];

    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Load => "load",
            Self::Drain => "drain",
            Self::Judging => "judging",
            Self::Done => "done",
        }
    }
}

impl Progress {
    pub fn set_virtual_time(&self, now: Duration) {
        self.virtual_ns.store(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub fn virtual_time(&self) -> Duration {
        Duration::from_nanos(self.virtual_ns.load(Ordering::Relaxed))
    }

    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed)).min(Phase::ALL.len() - 1)]
    }
}
