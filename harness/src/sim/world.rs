//! The world as its orchestrator sees it: machines to add, time to let pass, things to break.

use std::{
    cell::{Cell, RefCell},
    hash::Hash,
    net::IpAddr,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    time::{Duration, UNIX_EPOCH},
};

use warren::platform::{Chaos, NodeId, Observation, Sabotage};

use super::{
    Bandwidth, ClockRate, LinkCounters, LocalBoxFuture, MachineCounters, MachineId, Packet, PowerLoss, Reorder,
    SimDiskControl, SimError, SimPlatform, StreamConfig, TraceEvent, TraceKind, TraceMode,
    chaos::{ChaosCount, ChaosPoints},
    clock::Clock,
    dice::Dice,
    disk::DiskState,
    entropy,
    isolate::panic_message,
    machine::Machine,
    net::{ConnectionId, Kernel, Stack, Wire},
    trace::Trace,
};
use crate::history::Nanos;

/// Receives what brokers observe, in the order in which it happens.
pub type ObservationSink = Rc<dyn Fn(Nanos, NodeId, Observation)>;

/// Room in a machine's queue of datagrams, beyond which turmoil drops: more than any scenario has under way.
const DATAGRAMS_MAX: usize = 1 << 20;

/// What a world is made of. All times are virtual.
#[derive(Clone, Debug)]
pub struct WorldConfig {
    pub seed: u64,
    /// How far one [`World::step`] goes. Smaller is finer and slower.
    pub tick: Duration,
    /// Of every datagram, drawn from a truncated exponential distribution over the range; at least 1 ms, whole
    /// milliseconds.
    pub latency: Range<Duration>,
    /// Probability that a segment is lost, on every link.
    pub loss: f64,
    /// Probability that a segment arrives twice.
    pub duplicate: f64,
    /// How long a sync of a disk takes.
    pub disk_sync: Range<Duration>,
    pub streams: StreamConfig,
    pub trace: TraceMode,
    /// Whether to keep every packet for [`World::take_packets`].
    pub capture: bool,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            tick: Duration::from_millis(1),
            latency: Duration::from_millis(1)..Duration::from_millis(5),
            loss: 0.0,
            duplicate: 0.0,
            disk_sync: Duration::from_millis(1)..Duration::from_millis(5),
            streams: StreamConfig::default(),
            trace: TraceMode::HashOnly,
            capture: false,
        }
    }
}

/// What the machines share.
pub(super) struct Shared {
    clock: Cell<u64>,
    trace: Trace,
    pub(super) wire: RefCell<Wire>,
    machines: RefCell<Vec<Rc<Machine>>>,
    addresses: RefCell<Vec<IpAddr>>,
    connections: Cell<u64>,
    pub(super) sabotage: Cell<Option<Sabotage>>,
    pub(super) chaos: ChaosPoints,
    sink: ObservationSink,
    failure: RefCell<Option<SimError>>,
}

impl Shared {
    pub(super) fn now(&self) -> u64 {
        self.clock.get()
    }

    fn set_clock(&self, nanos: u64) {
        self.clock.set(nanos);
        entropy::set_time(nanos);
    }

    /// Takes over the time of the machine that is about to run. Time stands still during a poll, so once per poll is
    /// enough.
    pub(super) fn read_clock(&self) {
        if let Some(elapsed) = turmoil::sim_elapsed() {
            self.set_clock(elapsed.as_nanos() as u64);
        }
    }

    pub(super) fn trace(&self, machine: Option<MachineId>, kind: TraceKind, a: u64, b: u64) {
        self.trace.add(TraceEvent { at: Nanos(self.now()), machine, kind, a, b });
    }

    pub(super) fn observe(&self, node: NodeId, observation: Observation) {
        (self.sink)(Nanos(self.now()), node, observation);
    }

    pub(super) fn fail(&self, error: SimError) {
        self.failure.borrow_mut().get_or_insert(error);
    }

    pub(super) fn fresh_connection(&self) -> ConnectionId {
        self.connections.set(self.connections.get() + 1);
        ConnectionId(self.connections.get())
    }

    pub(super) fn address(&self, machine: MachineId) -> IpAddr {
        self.addresses.borrow()[machine.0 as usize]
    }

    pub(super) fn name(&self, machine: MachineId) -> String {
        self.machines.borrow()[machine.0 as usize].name.clone()
    }

    pub(super) fn is_running(&self, machine: MachineId) -> bool {
        self.machines.borrow()[machine.0 as usize].is_running()
    }

    pub(super) fn resolve(&self, name: &str) -> Option<MachineId> {
        self.machines.borrow().iter().find(|machine| machine.name == name).map(|machine| machine.id)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the sleep that all platforms of the world are built on")]
    pub(super) fn sleep(&self, duration: Duration) -> tokio::time::Sleep {
        tokio::time::sleep(duration)
    }
}

/// One simulation. A cheap handle; all clones are the same world, and all stay on one thread.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    config: WorldConfig,
    shared: Rc<Shared>,
    sim: RefCell<turmoil::Sim<'static>>,
}

impl Drop for Inner {
    /// Processes hold their platform, which holds their machine, which holds them: cut that open.
    fn drop(&mut self) {
        for machine in self.shared.machines.take() {
            machine.end_process();
        }
    }
}

impl World {
    /// An empty world at time zero. `sink` gets every observation of every process.
    pub fn new(config: WorldConfig, sink: ObservationSink) -> Self {
        let latency_min = config.latency.start.max(Duration::from_millis(1));
        let sim = turmoil::Builder::new()
            .rng_seed(config.seed)
            .epoch(UNIX_EPOCH + entropy::EPOCH)
            .tick_duration(config.tick)
            // Without turmoil clients it never asks; the run's end is the orchestrator's business.
            .simulation_duration(Duration::MAX)
            .min_message_latency(latency_min)
            .max_message_latency(config.latency.end.max(latency_min))
            .udp_capacity(DATAGRAMS_MAX)
            .build();
        let shared = Rc::new(Shared {
            clock: Cell::new(0),
            trace: Trace::new(config.trace),
            wire: RefCell::new(Wire::new(Dice::new(config.seed, 0), config.loss, config.duplicate, config.capture)),
            machines: RefCell::default(),
            addresses: RefCell::default(),
            connections: Cell::new(0),
            sabotage: Cell::new(None),
            chaos: ChaosPoints::new(config.seed),
            sink,
            failure: RefCell::default(),
        });
        shared.set_clock(0);
        Self(Rc::new(Inner { config, shared, sim: RefCell::new(sim) }))
    }

    /// Adds a machine, reachable under `name`, with the process that `boot` makes at each start. It starts at the next
    /// step. `node` is `NodeId(0)` for a client.
    ///
    /// # Panics
    /// If the name is taken.
    pub fn add_machine(
        &self,
        name: &str,
        node: NodeId,
        boot: impl Fn(SimPlatform) -> LocalBoxFuture<'static, ()> + 'static,
    ) -> MachineId {
        let shared = &self.0.shared;
        assert!(shared.resolve(name).is_none(), "two machines cannot both be called {name}");
        let id = MachineId(shared.machines.borrow().len() as u32);
        let (seed, concern) = (self.0.config.seed, u64::from(id.0) * 2);
        let disk = DiskState::new(id, Rc::clone(shared), Dice::new(seed, concern + 1), self.0.config.disk_sync.clone());
        let machine = Rc::new(Machine::new(
            (id, name.to_owned(), node),
            Rc::clone(shared),
            Kernel::new(Stack::new(id, self.0.config.streams.clone())),
            disk,
            Dice::new(seed, concern + 2),
            Box::new(boot),
        ));
        shared.wire.borrow_mut().add_machine();
        shared.machines.borrow_mut().push(Rc::clone(&machine));
        let mut sim = self.0.sim.borrow_mut();
        sim.host(name, move || Rc::clone(&machine).run());
        shared.addresses.borrow_mut().push(sim.lookup(name));
        id
    }

    /// What the world was made of.
    pub fn config(&self) -> &WorldConfig {
        &self.0.config
    }

    /// Lets one tick of virtual time pass.
    ///
    /// # Errors
    /// The panic of a task, if one panicked in this tick or before.
    pub fn step(&self) -> Result<(), SimError> {
        let mut sim = self.0.sim.borrow_mut();
        let stepped = catch_unwind(AssertUnwindSafe(|| sim.step().map_err(|error| error.to_string())));
        self.0.shared.set_clock(sim.elapsed().as_nanos() as u64);
        if let Some(failure) = &*self.0.shared.failure.borrow() {
            return Err(failure.clone());
        }
        match stepped {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(message)) => Err(SimError::Engine(message)),
            Err(panic) => Err(SimError::Engine(panic_message(&*panic))),
        }
    }

    /// Lets `duration` pass, rounded up to whole ticks.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run_for(&self, duration: Duration) -> Result<(), SimError> {
        let end = self.now().0 + duration.as_nanos() as u64;
        while self.now().0 < end {
            self.step()?;
        }
        Ok(())
    }

    /// Lets time pass until `done`, at most for `limit`; whether it was done.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> Result<bool, SimError> {
        let end = self.now().0 + limit.as_nanos() as u64;
        while !done() {
            if self.now().0 >= end {
                return Ok(false);
            }
            self.step()?;
        }
        Ok(true)
    }

    /// Virtual time: within a process's turn that of its machine, between steps that of the world.
    pub fn now(&self) -> Nanos {
        Nanos(self.0.shared.now())
    }

    fn machine(&self, machine: MachineId) -> Rc<Machine> {
        Rc::clone(&self.0.shared.machines.borrow()[machine.0 as usize])
    }

    pub fn name(&self, machine: MachineId) -> String {
        self.0.shared.name(machine)
    }

    /// The names of all machines, by [`MachineId`].
    pub fn machine_names(&self) -> Vec<String> {
        self.0.shared.machines.borrow().iter().map(|machine| machine.name.clone()).collect()
    }

    /// The machine of that name.
    pub fn find(&self, name: &str) -> Option<MachineId> {
        self.0.shared.resolve(name)
    }

    /// Powers a machine on if it is off, and boots its process at the next step; nothing if it runs.
    pub fn start(&self, machine: MachineId) {
        self.machine(machine).start();
    }

    /// Ends a machine's process as signal 9 would. Its kernel closes its sockets; its disk loses nothing.
    pub fn kill(&self, machine: MachineId) {
        self.machine(machine).kill();
    }

    /// Takes a machine's power away: silence, and its disk loses what was not synced.
    pub fn power_off(&self, machine: MachineId) {
        self.machine(machine).power_off();
    }

    /// Whether the process runs, or is about to.
    pub fn is_running(&self, machine: MachineId) -> bool {
        self.machine(machine).is_running()
    }

    /// Whether the process ended by itself and was not started again.
    pub fn has_exited(&self, machine: MachineId) -> bool {
        self.machine(machine).has_exited()
    }

    /// Holds every poll of the process's tasks. Its kernel goes on.
    pub fn pause(&self, machine: MachineId) {
        self.machine(machine).pause();
    }

    pub fn resume(&self, machine: MachineId) {
        self.machine(machine).resume();
    }

    /// Lets every poll of the process's tasks occupy the machine's one processor for `cost`; zero ends it.
    pub fn set_poll_cost(&self, machine: MachineId, cost: Duration) {
        self.machine(machine).slow_down(cost);
    }

    /// How fast both clocks of a machine run from now on, with its timers. `ClockRate::Drift(0)` is right; what the
    /// clocks have gained or lost stays.
    pub fn set_clock_rate(&self, machine: MachineId, rate: ClockRate) {
        let by = match rate {
            ClockRate::Frozen => u64::MAX,
            ClockRate::Drift(gain) => u64::from(gain.cast_unsigned()),
        };
        self.machine(machine).change_clock(1, by, |clock, now| clock.set_rate(now, rate));
    }

    /// Stops a machine's wall clock, or lets it go on from where it stands.
    pub fn freeze_wall_clock(&self, machine: MachineId, frozen: bool) {
        self.machine(machine).change_clock(2, frozen.into(), |clock, now| clock.freeze_wall(now, frozen));
    }

    /// Moves a machine's wall clock by so many nanoseconds.
    pub fn jump_wall_clock(&self, machine: MachineId, by_nanos: i64) {
        let by = by_nanos.cast_unsigned();
        self.machine(machine).change_clock(3, by, |clock, now| clock.jump_wall(now, by_nanos));
    }

    /// Sets a machine's wall clock right.
    pub fn set_wall_clock_right(&self, machine: MachineId) {
        self.machine(machine).change_clock(4, 0, Clock::set_wall_right);
    }

    pub fn machine_counters(&self, machine: MachineId) -> MachineCounters {
        self.machine(machine).counters()
    }

    /// Drops all packets from one machine to another, also those under way.
    pub fn cut(&self, from: MachineId, to: MachineId) {
        self.0.shared.trace(Some(from), TraceKind::Cut, to.0.into(), 0);
        self.0.shared.wire.borrow_mut().cut(from, to);
    }

    pub fn uncut(&self, from: MachineId, to: MachineId) {
        self.0.shared.trace(Some(from), TraceKind::Uncut, to.0.into(), 0);
        self.0.shared.wire.borrow_mut().uncut(from, to);
    }

    /// Tells the trace that a property of a link has changed.
    fn trace_link(&self, from: MachineId, to: MachineId, change: &str) {
        let hash = xxhash_rust::xxh3::xxh3_64(change.as_bytes());
        self.0.shared.trace(Some(from), TraceKind::LinkChanged, to.0.into(), hash);
    }

    /// Probability of loss in one direction from now on.
    pub fn set_loss(&self, from: MachineId, to: MachineId, probability: f64) {
        self.trace_link(from, to, &format!("loss {probability}"));
        self.0.shared.wire.borrow_mut().set_loss(from, to, probability);
    }

    /// Probability of duplication in one direction from now on.
    pub fn set_duplicate(&self, from: MachineId, to: MachineId, probability: f64) {
        self.trace_link(from, to, &format!("duplicate {probability}"));
        self.0.shared.wire.borrow_mut().set_duplicate(from, to, probability);
    }

    /// Latency of one direction from now on, on top of the basic one: a draw from the range for each segment, so that a
    /// wide range also reorders. The empty range at zero takes it away.
    pub fn set_extra_latency(&self, from: MachineId, to: MachineId, extra: Range<Duration>) {
        self.trace_link(from, to, &format!("latency {extra:?}"));
        self.0.shared.wire.borrow_mut().set_latency(from, to, extra);
    }

    /// Holds a share of the segments of one direction back from now on, or none.
    pub fn set_reorder(&self, from: MachineId, to: MachineId, reorder: Option<Reorder>) {
        self.trace_link(from, to, &format!("reorder {reorder:?}"));
        self.0.shared.wire.borrow_mut().set_reorder(from, to, reorder);
    }

    /// Puts a bottleneck into one direction, or takes it away.
    pub fn set_bandwidth(&self, from: MachineId, to: MachineId, bandwidth: Option<Bandwidth>) {
        self.trace_link(from, to, &format!("bandwidth {bandwidth:?}"));
        self.0.shared.wire.borrow_mut().set_bandwidth(from, to, bandwidth);
    }

    pub fn link(&self, from: MachineId, to: MachineId) -> LinkCounters {
        self.0.shared.wire.borrow().counters(from, to)
    }

    /// Packets that cuts have dropped so far; those lost by chance are counted apart, in [`Self::link`].
    pub fn packets_dropped(&self, from: MachineId, to: MachineId) -> u64 {
        self.link(from, to).cut
    }

    /// Breaks every established stream between two machines: `ConnectionReset` at both ends, without a packet. The
    /// number of streams broken.
    pub fn reset_streams(&self, a: MachineId, b: MachineId) -> usize {
        let at_a = self.machine(a).kernel.with(|stack| stack.break_streams(b));
        let at_b = self.machine(b).kernel.with(|stack| stack.break_streams(a));
        let broken = at_a.max(at_b);
        self.0.shared.trace(Some(a), TraceKind::StreamsReset, b.0.into(), broken as u64);
        broken
    }

    /// The handle with which a machine's disk is broken.
    pub fn disk(&self, machine: MachineId) -> SimDiskControl {
        SimDiskControl::new(Rc::clone(&self.machine(machine).disk))
    }

    /// What survives a power loss of the machine.
    pub fn set_power_loss_policy(&self, machine: MachineId, policy: PowerLoss) {
        self.machine(machine).disk.set_policy(policy);
    }

    /// Plants a bug in all processes, or none.
    pub fn set_sabotage(&self, sabotage: Option<Sabotage>) {
        self.0.shared.sabotage.set(sabotage);
    }

    /// How often the broker's chaos points take their turns from now on: a factor to their likelihoods; 0 is never.
    pub fn set_chaos(&self, rate: f64) {
        self.0.shared.chaos.set_rate(rate);
    }

    /// What the chaos points have done so far, all of them in their order.
    pub fn chaos(&self) -> Vec<(Chaos, ChaosCount)> {
        self.0.shared.chaos.counts()
    }

    /// Adds an event of the workload or its recorder to the trace.
    pub fn trace(&self, machine: Option<MachineId>, a: u64, b: u64) {
        self.0.shared.trace(machine, TraceKind::Client, a, b);
    }

    /// The hash over all events so far, and their number.
    pub fn trace_hash(&self) -> (u64, u64) {
        self.0.shared.trace.hash()
    }

    /// Takes the recorded events; empty unless [`WorldConfig::trace`] is [`TraceMode::Record`].
    pub fn take_trace(&self) -> Vec<TraceEvent> {
        self.0.shared.trace.take()
    }

    /// Takes the packets that have departed so far, in the order of happening; empty unless [`WorldConfig::capture`].
    pub fn take_packets(&self) -> Vec<Packet> {
        self.0.shared.wire.borrow_mut().take_captured()
    }
}

/// A hash of an observation that is the same in every process.
pub(super) fn hash_observation(observation: &Observation) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    observation.hash(&mut hasher);
    hasher.digest()
}
