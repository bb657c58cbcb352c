//! The processor of a machine, when it is slow: each poll of one of the process's tasks occupies it for a while.
//!
//! Models: one processor that serves the polls of all tasks in the order in which they were woken, each for a fixed
//! cost; those that come while it is busy wait. Over a while, at most 1/cost polls per second take place.
//!
//! Does not model: work that costs more than other work, several processors, preemption. What a poll does takes effect
//! when it begins, and the cost is charged after it. Time is handed out in slices of a millisecond, the resolution of
//! the engine's timers: polls that fit into one slice take place at one moment. Without the fault polls take no time.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    task::Waker,
    time::Duration,
};

/// The processor may run ahead of time by less than this.
const SLICE: u64 = 1_000_000;

/// Where a task stands with the processor.
#[derive(Default)]
pub(super) struct Turn {
    queued: Cell<bool>,
    granted: Cell<bool>,
}

struct Waiting {
    turn: Rc<Turn>,
    waker: Waker,
    since: u64,
}

/// What being slow has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessorCounters {
    /// Polls that had to wait for the processor, and for how long in all.
    pub polls_delayed: u64,
    pub delayed_for: Duration,
    /// Time that polls have occupied it.
    pub busy_for: Duration,
}

#[derive(Default)]
pub(super) struct Processor {
    /// Nanoseconds that a poll costs; 0: the processor is not slow.
    cost: Cell<u64>,
    busy_until: Cell<u64>,
    waiting: RefCell<VecDeque<Waiting>>,
    counters: Cell<ProcessorCounters>,
}

impl Processor {
    pub(super) fn counters(&self) -> ProcessorCounters {
        self.counters.get()
    }

    pub(super) fn is_slow(&self) -> bool {
        self.cost.get() > 0
    }

    /// Zero: not slow, and what waits goes on.
    pub(super) fn set_cost(&self, now: u64, cost: Duration) {
        self.cost.set(cost.as_nanos() as u64);
        self.busy_until.set(now);
        if cost.is_zero() {
            self.grant(now);
        }
    }

    /// Whether a task may be polled now. If not it is woken when it may, for which [`Self::grant`] has to be called.
    pub(super) fn admit(&self, now: u64, turn: &Rc<Turn>, waker: &Waker) -> bool {
        if turn.granted.take() {
            return true;
        }
        if turn.queued.get() {
            return false;
        }
        if self.waiting.borrow().is_empty() && self.has_room(now) {
            self.charge(now);
            return true;
        }
        turn.queued.set(true);
        let waiting = Waiting { turn: Rc::clone(turn), waker: waker.clone(), since: now };
        self.waiting.borrow_mut().push_back(waiting);
        false
    }

    fn has_room(&self, now: u64) -> bool {
        self.cost.get() == 0 || self.busy_until.get() < now + SLICE
    }

    fn charge(&self, now: u64) {
        self.busy_until.set(self.busy_until.get().max(now) + self.cost.get());
        let mut counters = self.counters.get();
        counters.busy_for += Duration::from_nanos(self.cost.get());
        self.counters.set(counters);
    }

    /// Gives their turn to as many tasks as there is room for. When there is room again, if more wait.
    pub(super) fn grant(&self, now: u64) -> Option<u64> {
        while self.has_room(now) {
            let Waiting { turn, waker, since } = self.waiting.borrow_mut().pop_front()?;
            self.charge(now);
            let mut counters = self.counters.get();
            counters.polls_delayed += 1;
            counters.delayed_for += Duration::from_nanos(now - since);
            self.counters.set(counters);
            turn.queued.set(false);
            turn.granted.set(true);
            waker.wake();
        }
        (!self.waiting.borrow().is_empty()).then(|| self.busy_until.get())
    }

    /// The process is gone, and all that waited with it.
    pub(super) fn clear(&self) {
        self.waiting.take();
    }
}
