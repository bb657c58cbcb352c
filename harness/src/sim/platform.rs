//! What a simulated process sees of the world: its machine's network, disk and clocks, chance, and tasks.
//!
//! Models: one process of one thread, whose tasks, sleeps, streams and files end with it. Names resolve at once and to
//! the right machine, or there is none of that name. Each machine has its own stream of chance, so that what one node
//! draws does not depend on how many others there are.
//!
//! Does not model: name servers that are slow, stale or wrong, limits on open files, sockets, memory or tasks, threads,
//! and signals: a process ends from one instant to the next, or by itself.

use std::{future::Future, io, rc::Rc, time::Duration};

use tokio::task::AbortHandle;
use warren::platform::{Chaos, NodeId, Observation, Platform, Sabotage};

use super::{
    MachineId, SimDisk, SimListener, SimStream, TraceKind,
    machine::Process,
    net::{connect, listen},
    world::hash_observation,
};
use crate::history::Nanos;

/// The simulated world, seen by one life of one process: of a broker or of a client.
#[derive(Clone)]
pub struct SimPlatform {
    process: Rc<Process>,
    disk: SimDisk,
}

impl SimPlatform {
    pub(super) fn new(process: Rc<Process>, disk: SimDisk) -> Self {
        Self { process, disk }
    }

    /// The machine that the process runs on.
    pub fn machine(&self) -> MachineId {
        self.process.machine.id
    }

    /// The machine's name, by which others dial it.
    pub fn name(&self) -> &str {
        &self.process.machine.name
    }

    /// True time since the start of the simulation, whatever the machine's clocks show.
    pub fn nanos(&self) -> Nanos {
        Nanos(self.process.machine.now())
    }

    /// Adds an event of the workload to the trace.
    pub fn trace(&self, a: u64, b: u64) {
        self.process.machine.world.trace(Some(self.machine()), TraceKind::Client, a, b);
    }
}

impl Platform for SimPlatform {
    type Stream = SimStream;
    type Listener = SimListener;
    type Disk = SimDisk;

    fn node(&self) -> NodeId {
        self.process.machine.node
    }

    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    async fn listen(&self, address: &str) -> io::Result<SimListener> {
        let (_, port) = split(address)?;
        listen(Rc::clone(&self.process.machine), port)
    }

    async fn connect(&self, address: &str) -> io::Result<SimStream> {
        let (host, port) = split(address)?;
        let machine = &self.process.machine;
        let to = machine.world.resolve(host).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("there is no machine called {host} in this world"))
        })?;
        connect(Rc::clone(machine), to, port).await
    }

    fn now(&self) -> Duration {
        let machine = &self.process.machine;
        Duration::from_nanos(machine.clock.read_monotonic(machine.now()))
    }

    fn wall(&self) -> Duration {
        let machine = &self.process.machine;
        Duration::from_nanos(machine.clock.read_wall(machine.now()))
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.process.machine.sleep(duration)
    }

    fn random(&self) -> u64 {
        self.process.machine.dice.borrow_mut().next()
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) -> AbortHandle {
        self.process.spawn(name, task)
    }

    fn observe(&self, observation: Observation) {
        // A dying process's destructors have no say.
        if !self.process.is_alive() {
            return;
        }
        let machine = &self.process.machine;
        machine.world.trace(Some(machine.id), TraceKind::Observation, hash_observation(&observation), 0);
        machine.world.observe(machine.node, observation);
    }

    fn chance(&self, point: Chaos) -> bool {
        let machine = &self.process.machine;
        let yes = machine.world.chaos.ask(point);
        if yes {
            machine.world.trace(Some(machine.id), TraceKind::ChaosPoint, point as u64, 0);
        }
        yes
    }

    fn sabotaged(&self, sabotage: Sabotage) -> bool {
        self.process.machine.world.sabotage.get() == Some(sabotage)
    }
}

/// `host:port`.
fn split(address: &str) -> io::Result<(&str, u16)> {
    let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("`{address}` is not host:port")))
}
