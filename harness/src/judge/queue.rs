//! A FIFO queue.
//!
//! With distinct values it needs no search: the sweep of [`fifo`] decides it. An enqueue of unknown outcome is left out
//! if nobody dequeued its value, and else ends with that dequeue. A dequeue of unknown outcome may have taken any
//! value that nobody else has: the history is refuted if even "every such value was taken" does not help, and
//! confirmed if "none was taken", or "the first were taken in order", is enough. What is left is searched.
//!
//! A drain is in steps: it dequeues one value after the other, and finds the queue empty in the end. Others may come
//! between them, other drains too. The sweep knows nothing of steps: [`drain`](super::drain) says what follows for it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    drain::{self, Drain},
    history::{Operation, Outcome},
    search::{Object, Placed, mix},
};
use crate::check::fifo::{self, Interval, Pattern};

/// Values by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Enqueue(u32),
    /// `None`: it found the queue empty.
    Dequeue(Option<u32>),
    /// Takes what is there, if anything.
    Blind,
}

#[derive(Default)]
pub(super) struct Queue {
    /// Everything that was ever enqueued.
    entered: Vec<u32>,
    /// How much of it has left.
    left: usize,
    fingerprint: u128,
}

impl Queue {
    fn toggle(&mut self, position: usize) {
        self.fingerprint ^= mix(position as u64, u64::from(self.entered[position]));
    }
}

impl Object for Queue {
    type Action = Action;
    /// Whether something was there to take.
    type Undo = bool;

    fn apply(&mut self, action: &Action) -> Option<bool> {
        let head = self.entered.get(self.left).copied();
        match *action {
            Action::Enqueue(value) => {
                self.entered.push(value);
                self.toggle(self.entered.len() - 1);
                return Some(false);
            }
            Action::Dequeue(value) if value != head => return None,
            Action::Dequeue(_) | Action::Blind => {}
        }
        if head.is_some() {
            self.toggle(self.left);
            self.left += 1;
        }
        Some(head.is_some())
    }

    fn undo(&mut self, action: &Action, taken: bool) {
        match action {
            Action::Enqueue(_) => {
                self.toggle(self.entered.len() - 1);
                self.entered.pop();
            }
            Action::Dequeue(_) | Action::Blind if taken => {
                self.left -= 1;
                self.toggle(self.left);
            }
            Action::Dequeue(_) | Action::Blind => {}
        }
    }

    fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    fn describe(&self) -> String {
        match self.entered.len() - self.left {
            0 => "the queue is empty".to_owned(),
            1 => "the queue holds one value".to_owned(),
            count => format!("the queue holds {count} values"),
        }
    }
}

/// What a drain dequeued, in order. `Err`: why its value makes no sense.
pub(super) fn drained(operation: &Operation) -> Result<&[Value], &'static str> {
    if operation.outcome != Outcome::Ok {
        return Err("a drain of unknown outcome may have taken anything: write single dequeues instead");
    }
    match operation.value.as_array() {
        Some(values) if values.iter().any(Value::is_null) => {
            Err("null is what an empty queue answers: that the drain found it so in the end is understood")
        }
        Some(values) => Ok(values),
        None => Err("a drain needs the list of what it dequeued: write single dequeues instead"),
    }
}

/// What the sweep says.
pub(super) enum Swept {
    Linearizable,
    /// `sources`: per number in the pattern, the operation.
    Violated {
        pattern: Pattern,
        sources: Vec<u32>,
    },
    /// Only a search can tell.
    Undecided,
}

/// Decides a queue with distinct values, as far as sweeps can.
pub(super) fn sweep(operations: &[Placed<Action>]) -> Swept {
    // Per value: the end of its first dequeue, if any.
    let mut dequeued: BTreeMap<u32, u64> = BTreeMap::new();
    let mut enqueued: BTreeMap<u32, u32> = BTreeMap::new();
    let mut blind: Vec<u64> = Vec::new();
    for operation in operations {
        match operation.action {
            Action::Enqueue(value) => *enqueued.entry(value).or_default() += 1,
            Action::Dequeue(Some(value)) => {
                let end = operation.end.unwrap_or(u64::MAX);
                dequeued.entry(value).and_modify(|first| *first = end.min(*first)).or_insert(end);
            }
            Action::Dequeue(None) => {}
            Action::Blind => blind.push(operation.start),
        }
    }
    if enqueued.values().any(|&times| times > 1) {
        return Swept::Undecided;
    }
    let mut intervals = Vec::with_capacity(operations.len());
    let mut sources = Vec::with_capacity(operations.len());
    // What was enqueued for certain and not seen again: (end, start, value, operation).
    let mut remaining = Vec::new();
    let mut drains: Vec<Drain> = Vec::new();
    let mut step_of = None;
    for operation in operations {
        let (what, end) = match operation.action {
            Action::Enqueue(value) => {
                let Some(end) = operation.end.or_else(|| dequeued.get(&value).copied()) else { continue };
                if !dequeued.contains_key(&value) {
                    remaining.push((end, operation.start, value, operation.source));
                }
                (fifo::Operation::Add(u64::from(value)), end)
            }
            Action::Dequeue(Some(value)) => {
                (fifo::Operation::Remove(u64::from(value)), operation.end.unwrap_or(u64::MAX))
            }
            Action::Dequeue(None) => (fifo::Operation::Empty, operation.end.unwrap_or(u64::MAX)),
            Action::Blind => continue,
        };
        let index = intervals.len();
        match drains.last_mut().filter(|_| step_of == Some(operation.source)) {
            Some(steps) => steps.end = index + 1,
            None => drains.push(index..index + 1),
        }
        step_of = Some(operation.source);
        intervals.push(Interval { start: operation.start, end, operation: what });
        sources.push(operation.source);
    }
    drains.retain(|steps| steps.len() > 1);
    let pattern = match drain::check(&intervals, &drains) {
        Some(fifo::Verdict::Linearizable) => return Swept::Linearizable,
        Some(fifo::Verdict::Violated(pattern)) => Some(pattern),
        None => None,
    };
    blind.sort_unstable();
    remaining.sort_unstable();
    let (Some(&earliest), false) = (blind.first(), remaining.is_empty()) else {
        return pattern.map_or(Swept::Undecided, |pattern| Swept::Violated { pattern, sources });
    };
    let certain = intervals.len();
    let mut taken = |count: usize, begin: &dyn Fn(usize) -> u64| {
        intervals.truncate(certain);
        for (index, &(_, start, value, _)) in remaining.iter().take(count).enumerate() {
            let operation = fifo::Operation::Remove(u64::from(value));
            intervals.push(Interval { start: start.max(begin(index)), end: u64::MAX, operation });
        }
        drain::check(&intervals, &drains)
    };
    if let Some(fifo::Verdict::Violated(pattern)) = taken(remaining.len(), &|_| earliest) {
        sources.extend(remaining.iter().map(|&(.., source)| source));
        return Swept::Violated { pattern, sources };
    }
    let first = blind.len().min(remaining.len());
    match taken(first, &|index| blind[index]) {
        Some(fifo::Verdict::Linearizable) => Swept::Linearizable,
        Some(fifo::Verdict::Violated(_)) | None => Swept::Undecided,
    }
}

/// Leaves out open enqueues of values that nobody dequeued: if they took effect, nobody could tell.
pub(super) fn leave_out_unseen(operations: &mut Vec<Placed<Action>>) {
    let seen: BTreeSet<u32> = operations
        .iter()
        .filter_map(|operation| match operation.action {
            Action::Dequeue(value) => value,
            Action::Enqueue(_) | Action::Blind => None,
        })
        .collect();
    operations.retain(|operation| match operation.action {
        Action::Enqueue(value) => operation.end.is_some() || seen.contains(&value),
        Action::Dequeue(_) | Action::Blind => true,
    });
}
