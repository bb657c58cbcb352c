//! The two clocks of a machine, and how they can be wrong.
//!
//! Models: a monotonic clock that runs too fast, too slow or not at all, with the timers that follow it, and a wall
//! clock that follows the monotonic one, jumps, or stands still alone. A monotonic clock never goes back: when a drift
//! ends, what it gained or lost stays. Both belong to the machine, so they outlast its process and its power.
//!
//! Does not model: leap seconds, time zones, a time service that slews the wall clock back, and the kernel's own timers
//! (retransmissions of streams, latencies of the disk), which follow true time. What a dependency asks of the C library
//! is true time as well.

use std::{cell::Cell, time::Duration};

use super::entropy;

/// Parts per million: the rate of a clock that is right.
const TRUE_RATE: u32 = 1_000_000;

/// A sleeper under a clock that stands still looks again after so much true time, should nobody wake it.
const FROZEN_LOOK: Duration = Duration::from_secs(1);

/// How fast a clock runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockRate {
    /// Standing still.
    Frozen,
    /// Gains so many microseconds per second of true time, or loses them; above -1,000,000.
    Drift(i32),
}

impl ClockRate {
    fn parts(self) -> u32 {
        match self {
            Self::Frozen => 0,
            Self::Drift(gain) => TRUE_RATE.saturating_add_signed(gain).max(1),
        }
    }
}

/// What wrong clocks have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockCounters {
    /// Readings of the monotonic clock while it did not run at its true rate.
    pub monotonic_skewed: u64,
    /// Readings of the wall clock while it did not show the true time.
    pub wall_skewed: u64,
    /// Waits that ended while the monotonic clock did not run at its true rate.
    pub timers_skewed: u64,
}

/// Reading it when nothing was ever wrong costs a branch.
pub(super) struct Clock {
    /// Nothing was ever wrong.
    is_true: Cell<bool>,
    rate: Cell<u32>,
    wall_frozen: Cell<bool>,
    /// True time of the last change, and what the two clocks showed then.
    since: Cell<u64>,
    monotonic: Cell<u64>,
    wall: Cell<u64>,
    /// Counts the changes of the rate: waits that began before the last one have to be set again.
    changes: Cell<u64>,
    counters: Cell<ClockCounters>,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self {
            is_true: Cell::new(true),
            rate: Cell::new(TRUE_RATE),
            wall_frozen: Cell::new(false),
            since: Cell::new(0),
            monotonic: Cell::new(0),
            wall: Cell::new(entropy::EPOCH.as_nanos() as u64),
            changes: Cell::new(0),
            counters: Cell::default(),
        }
    }

    pub(super) fn counters(&self) -> ClockCounters {
        self.counters.get()
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    fn count(&self, change: impl FnOnce(&mut ClockCounters)) {
        let mut counters = self.counters.get();
        change(&mut counters);
        self.counters.set(counters);
    }

    fn advanced(&self, now: u64) -> u64 {
        let rate = u128::from(self.rate.get());
        (u128::from(now - self.since.get()) * rate / u128::from(TRUE_RATE)) as u64
    }

    /// What the monotonic clock shows at the true time `now`, nanoseconds since the start of the world.
    pub(super) fn monotonic(&self, now: u64) -> u64 {
        if self.is_true.get() { now } else { self.monotonic.get() + self.advanced(now) }
    }

    /// The same, as a reading by the process.
    pub(super) fn read_monotonic(&self, now: u64) -> u64 {
        if self.rate.get() != TRUE_RATE {
            self.count(|counters| counters.monotonic_skewed += 1);
        }
        self.monotonic(now)
    }

    fn wall(&self, now: u64) -> u64 {
        self.wall.get() + if self.wall_frozen.get() { 0 } else { self.advanced(now) }
    }

    /// What the wall clock shows, nanoseconds since the Unix epoch, as a reading by the process.
    pub(super) fn read_wall(&self, now: u64) -> u64 {
        let (shown, right) = (self.wall(now), entropy::EPOCH.as_nanos() as u64 + now);
        if shown != right {
            self.count(|counters| counters.wall_skewed += 1);
        }
        shown
    }

    /// A wait has ended.
    pub(super) fn timer_fired(&self) {
        if self.rate.get() != TRUE_RATE {
            self.count(|counters| counters.timers_skewed += 1);
        }
    }

    /// True time until the monotonic clock has advanced by `nanos`, if its rate stays.
    pub(super) fn true_wait(&self, nanos: u64) -> Duration {
        match u128::from(self.rate.get()) {
            0 => FROZEN_LOOK,
            rate => {
                let wait = (u128::from(nanos) * u128::from(TRUE_RATE)).div_ceil(rate);
                Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
            }
        }
    }

    /// From now on the clocks go on from what they show.
    fn settle(&self, now: u64) {
        let (monotonic, wall) = (self.monotonic(now), self.wall(now));
        self.is_true.set(false);
        self.since.set(now);
        self.monotonic.set(monotonic);
        self.wall.set(wall);
    }

    /// Both clocks run so from now on.
    pub(super) fn set_rate(&self, now: u64, rate: ClockRate) {
        self.settle(now);
        self.rate.set(rate.parts());
        self.changes.set(self.changes.get() + 1);
    }

    pub(super) fn freeze_wall(&self, now: u64, frozen: bool) {
        self.settle(now);
        self.wall_frozen.set(frozen);
    }

    /// Moves the wall clock by so many nanoseconds.
    pub(super) fn jump_wall(&self, now: u64, by: i64) {
        self.settle(now);
        self.wall.set(self.wall.get().saturating_add_signed(by));
    }

    /// Sets the wall clock right.
    pub(super) fn set_wall_right(&self, now: u64) {
        self.settle(now);
        self.wall.set(entropy::EPOCH.as_nanos() as u64 + now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_drifts_freezes_and_jumps_never_takes_monotonic_time_back() {
        let clock = Clock::new();
        let epoch = entropy::EPOCH.as_nanos() as u64;
        assert_eq!((clock.monotonic(500), clock.read_wall(500)), (500, epoch + 500));
        clock.set_rate(1_000, ClockRate::Drift(100_000));
        assert_eq!((clock.monotonic(2_000), clock.read_wall(2_000)), (2_100, epoch + 2_100));
        clock.jump_wall(2_000, -1_000);
        assert_eq!((clock.monotonic(3_000), clock.read_wall(3_000)), (3_200, epoch + 2_200));
        clock.set_rate(3_000, ClockRate::Frozen);
        assert_eq!((clock.read_monotonic(9_000), clock.read_wall(9_000)), (3_200, epoch + 2_200));
        clock.set_rate(9_000, ClockRate::Drift(0));
        clock.set_wall_right(9_000);
        clock.freeze_wall(9_500, true);
        assert_eq!((clock.monotonic(9_600), clock.read_wall(9_600)), (3_800, epoch + 9_500));
        let counters = clock.counters();
        assert_eq!((counters.monotonic_skewed, counters.wall_skewed), (1, 4));
    }

    #[test]
    fn a_wait_is_as_long_as_the_clock_needs_to_advance_by_it() {
        let clock = Clock::new();
        for gain in [-900_000, -3, 0, 7, 500_000] {
            clock.set_rate(0, ClockRate::Drift(gain));
            let wait = clock.true_wait(1_000_003).as_nanos() as u64;
            let (before, after) = (clock.monotonic(0), clock.monotonic(wait));
            assert!((1_000_003..1_000_005).contains(&(after - before)), "{gain}: {}", after - before);
        }
    }
}
