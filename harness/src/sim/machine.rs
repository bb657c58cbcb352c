//! A machine: a kernel that lasts as long as the world, and a process that comes and goes.
//!
//! Models: start, exit, kill (the tasks are gone at once; the kernel closes the process's sockets; the page cache
//! stays), power loss (the kernel falls silent and forgets, then the tasks are gone, then the disk loses what was not
//! synced), pause (every poll of the process's tasks is held while the kernel goes on; timers fire late). Its slow
//! [processor](super::processor) and its [clocks](super::clock) have headers of their own. Does not model: a process
//! that is killed half-way through a poll, memory limits.

mod process;

use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    io,
    net::Ipv4Addr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    task::AbortHandle,
    time::{Instant, Sleep},
};
use turmoil::net::UdpSocket;
use warren::platform::NodeId;

use super::{
    ClockCounters, LocalBoxFuture, MachineId, ProcessorCounters, SimDisk, SimPlatform, TraceKind,
    clock::Clock,
    dice::Dice,
    disk::DiskState,
    net::{Arrival, Departure, Kernel, Segment},
    processor::Processor,
    world::Shared,
};

pub(super) use process::Process;

/// Where every kernel listens for the datagrams of all its streams.
const PORT: u16 = 1;

pub(super) type Boot = Box<dyn Fn(SimPlatform) -> LocalBoxFuture<'static, ()>>;

/// What has happened to a machine's process so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineCounters {
    pub starts: u64,
    /// Polls of the process's tasks that a pause held back.
    pub polls_held: u64,
    /// Polls of the process's tasks that took place.
    pub polls: u64,
    pub processor: ProcessorCounters,
    pub clock: ClockCounters,
}

pub(super) struct Machine {
    pub(super) id: MachineId,
    pub(super) name: String,
    pub(super) node: NodeId,
    pub(super) world: Rc<Shared>,
    pub(super) kernel: Kernel,
    pub(super) disk: Rc<DiskState>,
    pub(super) dice: RefCell<Dice>,
    pub(super) clock: Clock,
    processor: Processor,
    boot: Boot,
    process: RefCell<Option<Rc<Process>>>,
    powered: Cell<bool>,
    /// The kernel is to boot the process at its next turn.
    start_due: Cell<bool>,
    exited: Cell<bool>,
    paused: Cell<bool>,
    /// Tasks that wanted to run during a pause.
    held: RefCell<Vec<Waker>>,
    counters: Cell<MachineCounters>,
    /// Of a task that does nothing: the answer to a dead process that spawns a task in its last breath.
    spare: OnceCell<AbortHandle>,
}

impl Machine {
    pub(super) fn new(
        (id, name, node): (MachineId, String, NodeId),
        world: Rc<Shared>,
        kernel: Kernel,
        disk: DiskState,
        dice: Dice,
        boot: Boot,
    ) -> Self {
        Self {
            id,
            name,
            node,
            world,
            kernel,
            disk: Rc::new(disk),
            dice: RefCell::new(dice),
            clock: Clock::new(),
            processor: Processor::default(),
            boot,
            process: RefCell::default(),
            powered: Cell::new(true),
            start_due: Cell::new(true),
            exited: Cell::new(false),
            paused: Cell::new(false),
            held: RefCell::default(),
            counters: Cell::default(),
            spare: OnceCell::new(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.world.now()
    }

    fn trace(&self, kind: TraceKind, a: u64) {
        self.world.trace(Some(self.id), kind, a, 0);
    }

    pub(super) fn counters(&self) -> MachineCounters {
        MachineCounters { processor: self.processor.counters(), clock: self.clock.counters(), ..self.counters.get() }
    }

    /// What a poll costs from now on.
    pub(super) fn slow_down(&self, cost: Duration) {
        self.trace(TraceKind::ProcessorSlowed, cost.as_nanos() as u64);
        self.processor.set_cost(self.now(), cost);
        self.kernel.with(|stack| stack.wake_kernel());
    }

    /// Changes the clocks, and lets every task look whether its timers are still right.
    pub(super) fn change_clock(&self, what: u64, by: u64, change: impl FnOnce(&Clock, u64)) {
        self.world.trace(Some(self.id), TraceKind::ClockChanged, what, by);
        change(&self.clock, self.now());
        let process = self.process.borrow().clone();
        if let Some(process) = process {
            process.wake_all();
        }
    }

    /// Waits until this machine's monotonic clock has advanced by `duration`.
    pub(super) fn sleep(self: &Rc<Self>, duration: Duration) -> impl Future<Output = ()> + 'static {
        let length = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let deadline = self.clock.monotonic(self.now()).saturating_add(length);
        let mut changes = self.clock.changes();
        let first = if changes == 0 { duration } else { self.clock.true_wait(length) };
        let (machine, sleep) = (Rc::clone(self), self.world.sleep(first));
        async move {
            let mut sleep = pin!(sleep);
            poll_fn(move |context| {
                loop {
                    if changes == machine.clock.changes() {
                        ready!(sleep.as_mut().poll(context));
                    }
                    // A clock that was never changed was right.
                    if machine.clock.changes() == 0 {
                        return Poll::Ready(());
                    }
                    let left = deadline.saturating_sub(machine.clock.monotonic(machine.now()));
                    if left == 0 {
                        machine.clock.timer_fired();
                        return Poll::Ready(());
                    }
                    changes = machine.clock.changes();
                    sleep.set(machine.world.sleep(machine.clock.true_wait(left)));
                }
            })
            .await;
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.start_due.get() || self.process.borrow().as_ref().is_some_and(|process| process.is_alive())
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exited.get()
    }

    /// Powers the machine on and has its process booted; nothing if it runs.
    pub(super) fn start(&self) {
        if self.is_running() {
            return;
        }
        self.powered.set(true);
        self.exited.set(false);
        self.resume();
        self.start_due.set(true);
        self.kernel.with(|stack| stack.wake_kernel());
    }

    /// Ends the process, as signal 9 would; nothing if none runs.
    pub(super) fn kill(&self) {
        if !self.is_running() {
            return;
        }
        self.trace(TraceKind::ProcessKilled, 0);
        self.end_process();
        let now = self.now();
        self.kernel.with(|stack| stack.process_ended(now));
    }

    /// Takes the power away.
    pub(super) fn power_off(&self) {
        if !self.powered.replace(false) {
            return;
        }
        self.trace(TraceKind::PowerLost, 0);
        // Silence comes first: what the process's destructors say must reach nobody.
        self.kernel.with(|stack| stack.power_lost());
        self.end_process();
        self.kernel.with(|stack| stack.power_lost());
        self.disk.lose_power();
    }

    /// Drops everything of the process, now.
    pub(super) fn end_process(&self) {
        self.start_due.set(false);
        self.held.take();
        self.processor.clear();
        let process = self.process.take();
        if let Some(process) = process {
            process.end();
        }
    }

    pub(super) fn pause(&self) {
        if !self.paused.replace(true) {
            self.trace(TraceKind::Paused, 0);
        }
    }

    pub(super) fn resume(&self) {
        if self.paused.replace(false) {
            self.trace(TraceKind::Resumed, self.counters.get().polls_held);
            for waker in self.held.take() {
                waker.wake();
            }
        }
    }

    /// The kernel's two tasks, for as long as the world lasts.
    pub(super) async fn run(self: Rc<Self>) -> turmoil::Result {
        let socket = Rc::new(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?);
        #[expect(clippy::disallowed_methods, reason = "this is the kernel, below the platform")]
        let spare = tokio::task::spawn_local(Rc::clone(&self).receive(Rc::clone(&socket)));
        self.spare.get_or_init(|| spare.abort_handle());
        let mut timer = KernelTimer { sleep: Box::pin(self.world.sleep(Duration::ZERO)), armed: Some(0) };
        let mut out = Vec::new();
        poll_fn(|context| self.serve(context, &socket, &mut timer, &mut out)).await
    }

    /// Takes in what the wire brings.
    async fn receive(self: Rc<Self>, socket: Rc<UdpSocket>) {
        let mut token = [0; 8];
        while socket.recv_from(&mut token).await.is_ok() {
            self.world.read_clock();
            self.arrive(u64::from_le_bytes(token));
            while socket.try_recv_from(&mut token).is_ok() {
                self.arrive(u64::from_le_bytes(token));
            }
        }
    }

    fn arrive(&self, token: u64) {
        let powered = self.powered.get();
        let arrival = self.world.wire.borrow_mut().arrive(self.now(), token, powered);
        let (kind, segment) = match arrival {
            Arrival::Cut(segment) => (TraceKind::PacketCut, segment),
            Arrival::Delivered(segment) if powered => (TraceKind::PacketReceived, segment),
            Arrival::Delivered(segment) => (TraceKind::PacketUnheard, segment),
        };
        self.world.trace(Some(self.id), kind, segment.trace_a(), segment.trace_b());
        if kind == TraceKind::PacketReceived {
            self.take_in(segment);
        }
    }

    fn take_in(&self, segment: Segment) {
        let now = self.now();
        self.kernel.with(|stack| stack.receive(now, segment, || self.world.fresh_connection()));
    }

    /// One turn of the kernel: boots the process if asked to, sends what is to be sent, sets its timer.
    fn serve(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        socket: &UdpSocket,
        timer: &mut KernelTimer,
        out: &mut Vec<Segment>,
    ) -> Poll<turmoil::Result> {
        self.world.read_clock();
        self.kernel.with(|stack| stack.set_kernel(context.waker()));
        if self.start_due.take() {
            self.boot();
        }
        loop {
            let now = self.now();
            let flushed = self.kernel.with(|stack| stack.flush(now, out));
            let deadline = earlier(flushed, self.forward_held_up(now, socket)?);
            let deadline = earlier(deadline, self.processor.grant(now));
            if out.is_empty() && !timer.fires(now, deadline, context) {
                return Poll::Pending;
            }
            for segment in out.drain(..) {
                self.send(segment, socket)?;
            }
        }
    }

    /// Sends what the links held up until now, whether or not the machine still has power: it left long ago. When the
    /// next is due.
    fn forward_held_up(&self, now: u64, socket: &UdpSocket) -> io::Result<Option<u64>> {
        let mut wire = self.world.wire.borrow_mut();
        while let Some((token, to)) = wire.due(self.id, now) {
            socket.try_send_to(&token.to_le_bytes(), (self.world.address(to), PORT))?;
        }
        Ok(wire.due_next(self.id))
    }

    fn send(&self, segment: Segment, socket: &UdpSocket) -> turmoil::Result {
        if !self.powered.get() {
            return Ok(());
        }
        let (a, b, to) = (segment.trace_a(), segment.trace_b(), segment.to);
        let trace = |kind| self.world.trace(Some(self.id), kind, a, b);
        if to == self.id {
            // The loopback device neither loses nor waits.
            trace(TraceKind::PacketReceived);
            self.take_in(segment);
            return Ok(());
        }
        let address = (self.world.address(to), PORT);
        let departure = self.world.wire.borrow_mut().depart(self.now(), segment);
        match departure {
            Departure::Cut => trace(TraceKind::PacketCut),
            Departure::Lost => trace(TraceKind::PacketLost),
            Departure::Overflowed => trace(TraceKind::PacketOverflowed),
            Departure::HeldUp => trace(TraceKind::PacketHeldUp),
            Departure::Once(token) => {
                trace(TraceKind::PacketSent);
                socket.try_send_to(&token.to_le_bytes(), address)?;
            }
            Departure::Twice(first, second) => {
                trace(TraceKind::PacketDuplicated);
                socket.try_send_to(&first.to_le_bytes(), address)?;
                socket.try_send_to(&second.to_le_bytes(), address)?;
            }
        }
        Ok(())
    }

    fn boot(self: &Rc<Self>) {
        let mut counters = self.counters.get();
        counters.starts += 1;
        self.counters.set(counters);
        self.trace(TraceKind::ProcessStarted, counters.starts);
        let process = Rc::new(Process::new(Rc::clone(self)));
        *self.process.borrow_mut() = Some(Rc::clone(&process));
        let platform = SimPlatform::new(Rc::clone(&process), SimDisk(Rc::clone(&self.disk)));
        let machine = Rc::clone(self);
        process.spawn("main", async move {
            (machine.boot)(platform).await;
            machine.exit();
        });
    }

    /// The process has come to its end by itself.
    fn exit(&self) {
        self.trace(TraceKind::ProcessExited, 0);
        self.exited.set(true);
        self.end_process();
        let now = self.now();
        self.kernel.with(|stack| stack.process_ended(now));
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The kernel's one timer, at the earliest deadline of all streams or before.
struct KernelTimer {
    sleep: Pin<Box<Sleep>>,
    armed: Option<u64>,
}

impl KernelTimer {
    /// Sets the timer and tells whether it has fired already.
    fn fires(&mut self, now: u64, deadline: Option<u64>, context: &mut Context<'_>) -> bool {
        if let Some(deadline) = deadline
            && self.armed.is_none_or(|armed| deadline < armed)
        {
            #[expect(clippy::disallowed_methods, reason = "this is the kernel, below the platform")]
            let from = Instant::now();
            self.sleep.as_mut().reset(from + Duration::from_nanos(deadline.saturating_sub(now)));
            self.armed = Some(deadline);
        }
        let fired = self.armed.is_some() && self.sleep.as_mut().poll(context).is_ready();
        if fired {
            self.armed = None;
        }
        fired
    }
}
