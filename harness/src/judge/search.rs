//! Is a concurrent history that of one sequential object? A search over the orders in which the operations can have
//! taken effect: Wing and Gong's (JPDC 1993) with Lowe's cache of configurations (Testing for linearizability, 2017).
//!
//! An operation took effect at one point within its interval, both ends included. An *open* operation (one of unknown
//! outcome) took effect at one point after its start, or never: the search may place it, and need not. Operations of
//! one source that stand one after the other are the *steps* of one: they took effect in this order, and others may
//! have come between them.
//!
//! What keeps the search small, none of which changes its answer:
//! - a configuration (which operations are placed, in which state the object is) is entered once. Configurations are
//!   kept as fingerprints of 128 bits: at ten million of them, the odds that two share one are below 1 in 10^24;
//! - operations that must be placed are tried before open ones;
//! - an open operation that would change nothing is not placed;
//! - of several open operations that do the same, the one that began first is placed first.
//!
//! The search is exponential in the worst case, so it has a budget in *steps*: attempts to place an operation. When
//! the budget is spent, the answer is that there is no answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use xxhash_rust::xxh3::xxh3_128;

/// Steps per operation that the budget does not count, so that long and easy histories always come to their end.
const FREE_STEPS_PER_OPERATION: u64 = 100;

/// How often to look whether the user wants to stop, in steps.
const STEPS_BETWEEN_LOOKS: u64 = 4096;

/// A sequential object: what a history is compared with.
pub(super) trait Object {
    type Action: Ord;
    type Undo;

    /// Does `action`, unless the object could not have answered so.
    fn apply(&mut self, action: &Self::Action) -> Option<Self::Undo>;

    /// Takes back the last action.
    fn undo(&mut self, action: &Self::Action, undo: Self::Undo);

    /// Of the state: equal states have equal fingerprints.
    fn fingerprint(&self) -> u128;

    /// The state, as the end of a sentence.
    fn describe(&self) -> String;
}

/// An operation to place. Times are in any unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed<A> {
    pub action: A,
    pub start: u64,
    /// `None`: open.
    pub end: Option<u64>,
    /// Whatever the caller calls it by; the same for all steps of an operation.
    pub source: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Indices of the placed operations, in an order that the object allows.
    Linearizable { order: Vec<usize> },
    /// `stuck` has no place: everything that had ended before it did can be placed (`order`), but it cannot.
    Violated { stuck: usize, order: Vec<usize> },
    /// The budget is spent. `stuck` is the operation that held up the search at its farthest.
    Spent { stuck: Option<usize> },
    /// The user wants to stop.
    Stopped,
}

/// How far to go.
pub(super) struct Limits<'a> {
    /// In steps, beyond a hundred per operation.
    pub budget: u64,
    pub stop: &'a AtomicBool,
}

/// Looks for an order of `operations`, in any order given, that `object` (in its initial state) allows.
pub(super) fn search<O: Object>(
    operations: &[Placed<O::Action>],
    initial: impl Fn() -> O,
    limits: &Limits<'_>,
) -> Outcome {
    let agenda = Agenda::new(operations);
    let mut whole = Search::new(operations, &agenda, initial(), limits);
    match whole.run(u32::MAX) {
        Found::Order => Outcome::Linearizable { order: whole.order() },
        Found::Stopped => Outcome::Stopped,
        Found::Spent => Outcome::Spent { stuck: whole.farthest.map(|(_, stuck)| stuck as usize) },
        Found::Nothing => {
            let (position, stuck) = whole.farthest.expect("only an end that cannot be passed stops a search");
            // The search passed every end before this one, so the same search that may stop here finds an order.
            let mut prefix = Search::new(operations, &agenda, initial(), limits);
            match prefix.run(position) {
                Found::Stopped => Outcome::Stopped,
                _ => Outcome::Violated { stuck: stuck as usize, order: prefix.order() },
            }
        }
    }
}

/// Tells the fingerprints of operations from those of states.
const SET: u64 = u64::MAX;

/// A fingerprint of two numbers.
pub(super) fn mix(a: u64, b: u64) -> u128 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&a.to_le_bytes());
    bytes[8..].copy_from_slice(&b.to_le_bytes());
    xxh3_128(&bytes)
}

/// Marks the end of a list.
const NONE: u32 = u32::MAX;

/// Starts and ends of operations in the order of time; at equal times, starts come before ends.
struct Agenda {
    /// Per event: the operation, and whether it starts there.
    events: Vec<(u32, bool)>,
    /// Per operation: the position of its start.
    starts: Vec<u32>,
    /// Per operation: the position of its end, or [`NONE`].
    ends: Vec<u32>,
    /// Per operation: the one that must be placed before it, or [`NONE`]: the step before, or the open one that does
    /// the same and began next before it.
    before: Vec<u32>,
}

impl Agenda {
    fn new<A: Ord>(operations: &[Placed<A>]) -> Self {
        let mut order: Vec<(u64, bool, u32)> = Vec::with_capacity(operations.len() * 2);
        for (index, operation) in operations.iter().enumerate() {
            order.push((operation.start, false, index as u32));
            if let Some(end) = operation.end {
                order.push((end.max(operation.start), true, index as u32));
            }
        }
        order.sort_unstable();
        let mut agenda = Self {
            events: Vec::with_capacity(order.len()),
            starts: vec![NONE; operations.len()],
            ends: vec![NONE; operations.len()],
            before: vec![NONE; operations.len()],
        };
        let mut latest: BTreeMap<&A, u32> = BTreeMap::new();
        for (position, (_, ends, index)) in order.into_iter().enumerate() {
            agenda.events.push((index, !ends));
            let place = if ends { &mut agenda.ends } else { &mut agenda.starts };
            place[index as usize] = position as u32;
            let operation = &operations[index as usize];
            if operation.end.is_none() {
                agenda.before[index as usize] = latest.insert(&operation.action, index).unwrap_or(NONE);
            }
        }
        for (pair, index) in operations.windows(2).zip(0_u32..) {
            if pair[0].source == pair[1].source {
                agenda.before[index as usize + 1] = index;
            }
        }
        agenda
    }
}

/// A doubly linked list of event positions, in order, from which operations are taken and put back in reverse.
struct Chain {
    /// One more than there are events: the last is the head.
    next: Vec<u32>,
    previous: Vec<u32>,
}

impl Chain {
    fn new(length: usize, members: impl Iterator<Item = u32>) -> Self {
        let mut chain = Self { next: vec![NONE; length + 1], previous: vec![NONE; length + 1] };
        let mut last = length as u32;
        for member in members {
            chain.next[last as usize] = member;
            chain.previous[member as usize] = last;
            last = member;
        }
        chain
    }

    fn first(&self) -> u32 {
        self.next[self.next.len() - 1]
    }

    fn take(&mut self, position: u32) {
        let (previous, next) = (self.previous[position as usize], self.next[position as usize]);
        self.next[previous as usize] = next;
        if next != NONE {
            self.previous[next as usize] = previous;
        }
    }

    fn put_back(&mut self, position: u32) {
        let (previous, next) = (self.previous[position as usize], self.next[position as usize]);
        self.next[previous as usize] = position;
        if next != NONE {
            self.previous[next as usize] = position;
        }
    }
}

/// The event to try next.
#[derive(Clone, Copy)]
enum Cursor {
    /// In the chain of what must be placed; at its end, all of it is.
    Required(u32),
    /// In the chain of open operations, which are tried when nothing else can be placed.
    Open(u32),
}

enum Found {
    Order,
    Nothing,
    Spent,
    Stopped,
}

struct Search<'a, O: Object> {
    operations: &'a [Placed<O::Action>],
    agenda: &'a Agenda,
    object: O,
    limits: &'a Limits<'a>,
    /// Starts and ends of what must be placed and is not.
    required: Chain,
    /// Starts of open operations that are not placed.
    open: Chain,
    placed: Vec<(u32, O::Undo)>,
    is_placed: Vec<bool>,
    /// Of the set of placed operations.
    fingerprint: u128,
    seen: BTreeSet<u128>,
    /// The last end that the search came to and could not pass: its position and its operation.
    farthest: Option<(u32, u32)>,
}

impl<'a, O: Object> Search<'a, O> {
    fn new(operations: &'a [Placed<O::Action>], agenda: &'a Agenda, object: O, limits: &'a Limits<'a>) -> Self {
        let members = |open: bool| {
            let events = agenda.events.iter().zip(0_u32..);
            events
                .filter(move |((operation, _), _)| operations[*operation as usize].end.is_none() == open)
                .map(|(_, position)| position)
        };
        Self {
            operations,
            agenda,
            object,
            limits,
            required: Chain::new(agenda.events.len(), members(false)),
            open: Chain::new(agenda.events.len(), members(true)),
            placed: Vec::new(),
            is_placed: vec![false; operations.len()],
            fingerprint: 0,
            seen: BTreeSet::new(),
            farthest: None,
        }
    }

    /// Searches until everything that ends before the event at `horizon` is placed.
    fn run(&mut self, horizon: u32) -> Found {
        let allowed = self.limits.budget.saturating_add(FREE_STEPS_PER_OPERATION * self.operations.len() as u64);
        let mut steps = 0_u64;
        let mut cursor = Cursor::Required(self.required.first());
        loop {
            let (Cursor::Required(at) | Cursor::Open(at)) = cursor;
            let turn_back = match cursor {
                Cursor::Required(NONE) => return Found::Order,
                Cursor::Required(_) => {
                    let (operation, starts) = self.agenda.events[at as usize];
                    if !starts {
                        if at >= horizon {
                            return Found::Order;
                        }
                        if self.farthest.is_none_or(|(farthest, _)| farthest < at) {
                            self.farthest = Some((at, operation));
                        }
                        cursor = Cursor::Open(self.open.first());
                        continue;
                    }
                    false
                }
                Cursor::Open(NONE) => true,
                // What begins after an end that is left cannot be placed before it.
                Cursor::Open(_) => at > self.barrier(),
            };
            if turn_back {
                let Some(last) = self.take_back() else { return Found::Nothing };
                cursor = self.after(last);
                continue;
            }
            steps += 1;
            if steps > allowed {
                return Found::Spent;
            }
            if steps.is_multiple_of(STEPS_BETWEEN_LOOKS) && self.limits.stop.load(Ordering::Relaxed) {
                return Found::Stopped;
            }
            let operation = self.agenda.events[at as usize].0;
            cursor =
                if self.place(operation) { Cursor::Required(self.required.first()) } else { self.after(operation) };
        }
    }

    /// What to try after `operation`, which is not placed.
    fn after(&self, operation: u32) -> Cursor {
        let start = self.agenda.starts[operation as usize] as usize;
        if self.operations[operation as usize].end.is_none() {
            Cursor::Open(self.open.next[start])
        } else {
            Cursor::Required(self.required.next[start])
        }
    }

    /// The position of the first end among what is not placed.
    fn barrier(&self) -> u32 {
        let mut at = self.required.first();
        while at != NONE && self.agenda.events[at as usize].1 {
            at = self.required.next[at as usize];
        }
        at
    }

    /// Places an operation, if the object allows it and the configuration is new.
    fn place(&mut self, operation: u32) -> bool {
        let index = operation as usize;
        let Placed { action, end, .. } = &self.operations[index];
        let first = self.agenda.before[index];
        if first != NONE && !self.is_placed[first as usize] {
            return false;
        }
        let before = if end.is_none() { Some(self.object.fingerprint()) } else { None };
        let Some(undo) = self.object.apply(action) else { return false };
        let state = self.object.fingerprint();
        let set = self.fingerprint ^ mix(u64::from(operation), SET);
        if before == Some(state) || !self.seen.insert(set ^ state) {
            self.object.undo(action, undo);
            return false;
        }
        self.fingerprint = set;
        self.is_placed[index] = true;
        self.placed.push((operation, undo));
        if end.is_none() {
            self.open.take(self.agenda.starts[index]);
        } else {
            self.required.take(self.agenda.starts[index]);
            self.required.take(self.agenda.ends[index]);
        }
        true
    }

    fn take_back(&mut self) -> Option<u32> {
        let (operation, undo) = self.placed.pop()?;
        let index = operation as usize;
        let Placed { action, end, .. } = &self.operations[index];
        self.object.undo(action, undo);
        self.fingerprint ^= mix(u64::from(operation), SET);
        self.is_placed[index] = false;
        if end.is_none() {
            self.open.put_back(self.agenda.starts[index]);
        } else {
            self.required.put_back(self.agenda.ends[index]);
            self.required.put_back(self.agenda.starts[index]);
        }
        Some(operation)
    }

    fn order(&self) -> Vec<usize> {
        self.placed.iter().map(|(operation, _)| *operation as usize).collect()
    }
}
