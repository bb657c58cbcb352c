//! One life of a machine's process: its tasks, and what the runtime polls in their place.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::BTreeMap,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use tokio::task::AbortHandle;

use super::{
    super::{LocalBoxFuture, SimError, isolate::panic_message, log, processor::Turn},
    Machine,
};

/// One life of a machine's process.
pub(in crate::sim) struct Process {
    pub(in crate::sim) machine: Rc<Machine>,
    alive: Cell<bool>,
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    tasks_spawned: Cell<u64>,
}

/// The future of a task, owned here and not by the runtime, so that a kill drops it at once.
struct Task {
    future: RefCell<Option<LocalBoxFuture<'static, ()>>>,
    abort: OnceCell<AbortHandle>,
    /// Of its shell, as of the last poll.
    waker: RefCell<Option<Waker>>,
    turn: Rc<Turn>,
}

impl Process {
    pub(super) fn new(machine: Rc<Machine>) -> Self {
        Self { machine, alive: Cell::new(true), tasks: RefCell::default(), tasks_spawned: Cell::new(0) }
    }

    pub(in crate::sim) fn is_alive(&self) -> bool {
        self.alive.get()
    }

    pub(in crate::sim) fn spawn(
        self: &Rc<Self>,
        name: &'static str,
        future: impl Future<Output = ()> + 'static,
    ) -> AbortHandle {
        if !self.alive.get() {
            return self.machine.spare.get().expect("the kernel runs before the process").clone();
        }
        let number = self.tasks_spawned.get();
        self.tasks_spawned.set(number + 1);
        let task = Rc::new(Task {
            future: RefCell::new(Some(Box::pin(future))),
            abort: OnceCell::new(),
            waker: RefCell::default(),
            turn: Rc::default(),
        });
        self.tasks.borrow_mut().insert(number, Rc::clone(&task));
        let shell = Shell { process: Rc::clone(self), number, name, task: Rc::clone(&task) };
        #[expect(clippy::disallowed_methods, reason = "this is the platform's spawn")]
        let handle = tokio::task::spawn_local(shell).abort_handle();
        task.abort.get_or_init(|| handle).clone()
    }

    pub(super) fn wake_all(&self) {
        for task in self.tasks.borrow().values() {
            if let Some(waker) = &*task.waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }

    /// Drops all tasks, but for the one that is being polled: that one is dropped when its poll returns.
    pub(super) fn end(&self) {
        self.alive.set(false);
        let tasks = mem::take(&mut *self.tasks.borrow_mut());
        for task in tasks.into_values() {
            let future = task.future.try_borrow_mut().ok().and_then(|mut slot| slot.take());
            drop(future);
            if let Some(abort) = task.abort.get() {
                abort.abort();
            }
        }
    }
}

/// What the runtime polls in place of the task: nothing when the process is dead or paused.
struct Shell {
    process: Rc<Process>,
    number: u64,
    name: &'static str,
    task: Rc<Task>,
}

impl Future for Shell {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let machine = &self.process.machine;
        if !self.process.alive.get() {
            return Poll::Ready(());
        }
        machine.world.read_clock();
        let mut counters = machine.counters.get();
        if machine.paused.get() {
            counters.polls_held += 1;
            machine.counters.set(counters);
            machine.held.borrow_mut().push(context.waker().clone());
            return Poll::Pending;
        }
        if machine.processor.is_slow() && !machine.processor.admit(machine.now(), &self.task.turn, context.waker()) {
            machine.kernel.with(|stack| stack.wake_kernel());
            return Poll::Pending;
        }
        let mut known = self.task.waker.borrow_mut();
        if !known.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *known = Some(context.waker().clone());
        }
        drop(known);
        counters.polls += 1;
        machine.counters.set(counters);
        let mut slot = self.task.future.borrow_mut();
        let Some(future) = slot.as_mut() else { return Poll::Ready(()) };
        log::speaks(machine.id, machine.now());
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Pending) if self.process.alive.get() => Poll::Pending,
            Ok(_) => Poll::Ready(()),
            Err(panic) => {
                machine.world.fail(SimError::Panic {
                    machine: Some(machine.name.clone()),
                    task: self.name,
                    message: panic_message(&*panic),
                });
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let entry = self.process.tasks.borrow_mut().remove(&self.number);
        let future = self.task.future.take();
        drop(future);
        drop(entry);
    }
}
