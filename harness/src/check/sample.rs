//! Histories to measure checkers with.

use super::fifo::{Interval, Operation};

/// About `operations` overlapping additions and removals of a correct queue, with an empty removal now and then.
pub fn correct_queue(operations: u64) -> Vec<Interval> {
    (0..operations / 2)
        .flat_map(|value| {
            let at = value * 10;
            let remove = if value % 100 == 99 { Operation::Empty } else { Operation::Remove(value) };
            [
                Interval { start: at, end: at + 35, operation: Operation::Add(value) },
                Interval { start: at + 5, end: at + 95, operation: remove },
            ]
        })
        .filter(|interval| !matches!(interval.operation, Operation::Add(value) if value % 100 == 99))
        .collect()
}
