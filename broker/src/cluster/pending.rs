//! What this node's session has submitted to one group and not yet seen applied in its own replica.
//!
//! Operations are numbered as they come and proposed in order, several to a command. Whatever is not applied in time,
//! or was proposed to a leader that is no more, is proposed again from the first unapplied one; the state machine
//! drops what it has seen. So duplicates in the log are bounded by one window per change of leader, and by a wait that
//! doubles otherwise.

use std::{collections::VecDeque, time::Duration};

/// A command holds no more than this many operations and, unless a single one is larger, this many bytes.
const COMMAND_OPERATIONS_MAX: usize = 256;
const COMMAND_BYTES_MAX: usize = 256 << 10;

/// What may be proposed and not yet applied, in bytes, and in operations.
const WINDOW_BYTES: usize = 8 << 20;
const WINDOW_OPERATIONS: usize = 16 * COMMAND_OPERATIONS_MAX;

/// The longest wait between two proposals of the same operations.
const RESEND_MAX: Duration = Duration::from_secs(4);

pub(super) struct Pending<T> {
    /// Sequence of the first operation in `operations`: all before it are applied.
    first: u64,
    operations: VecDeque<(T, usize)>,
    bytes: usize,
    /// How many of `operations` are proposed, and their bytes.
    proposed: usize,
    proposed_bytes: usize,
    resend: Resend,
}

struct Resend {
    after: Duration,
    /// The current wait: doubles while nothing moves.
    wait: Duration,
    /// When something was last proposed or applied.
    moved: Duration,
}

/// Consecutive operations, to be one command.
pub(super) struct Gathered<T> {
    pub(super) first: u64,
    pub(super) operations: Vec<T>,
}

impl<T: Clone> Pending<T> {
    /// `resend_after` is the wait before unapplied operations are proposed again.
    pub(super) fn new(resend_after: Duration) -> Self {
        let resend = Resend { after: resend_after, wait: resend_after, moved: Duration::ZERO };
        Self { first: 1, operations: VecDeque::new(), bytes: 0, proposed: 0, proposed_bytes: 0, resend }
    }

    /// Adds an operation of about `bytes` bytes; returns its sequence.
    pub(super) fn push(&mut self, operation: T, bytes: usize) -> u64 {
        self.operations.push_back((operation, bytes));
        self.bytes += bytes;
        self.first + self.operations.len() as u64 - 1
    }

    /// Bytes submitted and not yet applied.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn contains(&self, found: impl Fn(&T) -> bool) -> bool {
        self.operations.iter().any(|(operation, _)| found(operation))
    }

    /// All operations up to `sequence` are applied: returns those that were pending, with their sequences.
    pub(super) fn applied(&mut self, sequence: u64, now: Duration) -> Vec<(u64, T)> {
        let mut done = Vec::new();
        while self.first <= sequence {
            let Some((operation, bytes)) = self.operations.pop_front() else { break };
            self.bytes -= bytes;
            if self.proposed > 0 {
                self.proposed -= 1;
                self.proposed_bytes -= bytes;
            }
            done.push((self.first, operation));
            self.first += 1;
        }
        if !done.is_empty() {
            self.resend.moved = now;
            self.resend.wait = self.resend.after;
        }
        done
    }

    /// What is to be proposed now, as far as the window allows.
    pub(super) fn gather(&mut self, now: Duration) -> Vec<Gathered<T>> {
        self.gather_by(COMMAND_OPERATIONS_MAX, now)
    }

    /// The same, in commands of no more than `operations_max` operations.
    pub(super) fn gather_by(&mut self, operations_max: usize, now: Duration) -> Vec<Gathered<T>> {
        let mut gathered = Vec::new();
        while self.may_propose() {
            let first = self.first + self.proposed as u64;
            let (mut operations, mut bytes) = (Vec::new(), 0);
            for (operation, size) in self.operations.range(self.proposed..) {
                let full = operations.len() >= operations_max || bytes + size > COMMAND_BYTES_MAX;
                if full && !operations.is_empty() {
                    break;
                }
                operations.push(operation.clone());
                bytes += size;
            }
            self.proposed += operations.len();
            self.proposed_bytes += bytes;
            self.resend.moved = now;
            gathered.push(Gathered { first, operations });
        }
        gathered
    }

    /// Whether there is something to propose and the window has room.
    pub(super) fn may_propose(&self) -> bool {
        self.proposed < self.operations.len() && self.proposed < WINDOW_OPERATIONS && self.proposed_bytes < WINDOW_BYTES
    }

    /// Takes back all proposals: whoever got them may have lost them.
    pub(super) fn rewind(&mut self) {
        self.proposed = 0;
        self.proposed_bytes = 0;
    }

    /// The sequences of those proposed operations that `wanted` picks, for planted bugs.
    pub(super) fn proposed(&self, wanted: impl Fn(&T) -> bool) -> Vec<u64> {
        let proposed = (self.first..).zip(self.operations.range(..self.proposed));
        proposed.filter(|(_, (operation, _))| wanted(operation)).map(|(sequence, _)| sequence).collect()
    }

    /// Whether something is proposed and nothing was ever applied, for planted bugs.
    pub(super) fn is_untried(&self) -> bool {
        self.first == 1 && self.proposed > 0
    }

    /// Submits what is proposed once more, under new numbers: a planted bug.
    pub(super) fn renumber(&mut self) {
        let proposed: Vec<(T, usize)> = self.operations.range(..self.proposed).cloned().collect();
        for (operation, bytes) in proposed {
            self.push(operation, bytes);
        }
    }

    /// Takes back all proposals if none was applied for too long; whether it did.
    pub(super) fn rewind_if_stuck(&mut self, now: Duration) -> bool {
        let stuck = self.proposed > 0 && now.saturating_sub(self.resend.moved) >= self.resend.wait;
        if stuck {
            self.resend.wait = (self.resend.wait * 2).min(RESEND_MAX);
            self.rewind();
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESEND: Duration = Duration::from_millis(500);

    fn sequences(gathered: Vec<Gathered<u32>>) -> Vec<(u64, Vec<u32>)> {
        gathered.into_iter().map(|gathered| (gathered.first, gathered.operations)).collect()
    }

    #[test]
    fn operations_of_one_turn_become_one_command() {
        let mut pending = Pending::new(RESEND);
        assert_eq!([pending.push(7, 10), pending.push(8, 10)], [1, 2]);
        assert_eq!(sequences(pending.gather(Duration::ZERO)), [(1, vec![7, 8])]);
        assert_eq!(sequences(pending.gather(Duration::ZERO)), []);
        assert_eq!(pending.applied(1, Duration::ZERO), [(1, 7)]);
        pending.rewind();
        assert_eq!(sequences(pending.gather(Duration::ZERO)), [(2, vec![8])]);
        assert_eq!(pending.bytes(), 10);
    }

    #[test]
    fn unapplied_operations_are_proposed_again_at_growing_intervals() {
        let mut pending = Pending::new(RESEND);
        pending.push(7, 10);
        pending.gather(Duration::ZERO);
        assert!(!pending.rewind_if_stuck(RESEND - Duration::from_millis(1)));
        assert!(pending.rewind_if_stuck(RESEND));
        assert_eq!(sequences(pending.gather(RESEND)), [(1, vec![7])]);
        assert!(!pending.rewind_if_stuck(RESEND * 2));
        assert!(pending.rewind_if_stuck(RESEND * 3));
    }

    #[test]
    fn the_window_bounds_what_is_proposed_and_large_operations_travel_alone() {
        let mut pending = Pending::new(RESEND);
        for operation in 0..40 {
            pending.push(operation, COMMAND_BYTES_MAX);
        }
        let gathered = sequences(pending.gather(Duration::ZERO));
        assert_eq!(gathered.len(), WINDOW_BYTES / COMMAND_BYTES_MAX);
        assert!(gathered.iter().all(|(_, operations)| operations.len() == 1));
        pending.applied(1, Duration::ZERO);
        assert!(pending.may_propose());
    }
}
