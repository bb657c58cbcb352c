//! The hardest checker on long histories.

use std::time::{Duration, Instant};

use ferret_reports::grouped;
use serde_json::{Value, json};

use super::memory;
use crate::check::{fifo, sample};

pub(super) const OPERATIONS: [u64; 2] = [100_000, 1_000_000];

/// One correct history, checked.
pub(super) struct Swept {
    operations: u64,
    wall: Duration,
    /// The most memory that this process has held since the history was made.
    peak_bytes: Option<u64>,
}

/// Checks a correct history of about so many operations.
#[expect(clippy::disallowed_methods, reason = "measuring wall time is what this verb is for")]
pub(super) fn sweep(operations: u64) -> Swept {
    let intervals = sample::correct_queue(operations);
    let reset = memory::forget_peak();
    let began = Instant::now();
    let verdict = fifo::check(&intervals);
    let wall = began.elapsed();
    assert_eq!(verdict, fifo::Verdict::Linearizable, "the history is one of a correct queue");
    Swept { operations: intervals.len() as u64, wall, peak_bytes: memory::peak().filter(|_| reset) }
}

pub(super) fn head() -> String {
    format!("\n{:<20}{:>12}{:>9}{:>16}{:>14}", "checker", "operations", "wall", "operations/s", "peak memory")
}

impl Swept {
    fn per_second(&self) -> f64 {
        self.operations as f64 / self.wall.as_secs_f64()
    }

    pub(super) fn row(&self) -> String {
        format!(
            "{:<20}{:>12}{:>7.3} s{:>16}{:>14}",
            "queue-linearizable",
            grouped(self.operations),
            self.wall.as_secs_f64(),
            grouped(self.per_second().round() as u64),
            memory::told(self.peak_bytes),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "figure": "queue-linearizable",
            "operations": self.operations,
            "wall_seconds": self.wall.as_secs_f64(),
            "operations_per_second": self.per_second(),
            "peak_memory_bytes": self.peak_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_to_check_has_about_the_operations_asked_for_and_is_a_correct_queue() {
        assert!((9_900..=10_000).contains(&sweep(10_000).operations));
    }
}
