//! What is due again and again, however busy the loop is that asks for it.

use std::time::{Duration, Instant};

/// Due once in every so much wall time.
pub(super) struct Beat {
    every: Duration,
    next: Instant,
}

impl Beat {
    /// For the first time after `every` from now on.
    pub(super) fn every(every: Duration) -> Self {
        Self { every, next: now() + every }
    }

    /// How long until it is due.
    pub(super) fn left(&self) -> Duration {
        self.next.saturating_duration_since(now())
    }

    /// Whether it is due; if so, the next time is counted from now on.
    pub(super) fn due(&mut self) -> bool {
        let (now, due) = (now(), self.left().is_zero());
        if due {
            self.next = now + self.every;
        }
        due
    }
}

#[expect(clippy::disallowed_methods, reason = "progress is in the user's time; no simulation sees it")]
pub(super) fn now() -> Instant {
    Instant::now()
}
