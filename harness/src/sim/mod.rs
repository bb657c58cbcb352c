//! The simulated world: machines, their processes, network and disks, in virtual time, from one seed. Only this folder
//! names turmoil.
//!
//! A machine is a turmoil host that never crashes in turmoil's sense. On it runs our kernel (network stack, disk), and
//! on that the process, broker or client code, which sees nothing but its [`SimPlatform`]. Kill, power loss, restart
//! and pause are ours, so that a killed process's kernel still says goodbye, and a machine without power does not.
//!
//! Models: what the headers of [`net`], [`disk`], `machine`, `processor`, `clock` and [`entropy`] say. Does not model:
//! the speed of healthy processors (polls take no time), memory.
//!
//! # Time
//! A [`World::step`] lets each machine in turn run for one tick, so within a tick two machines' times overlap: an event
//! that happens later may carry an earlier time, by less than a tick. What one machine says reaches another in a later
//! tick only, so the order of happening is always a possible order of cause and effect. Latencies are effectively
//! rounded to ticks.

mod bare;
mod chaos;
mod clock;
mod dice;
pub mod disk;
pub mod entropy;
mod isolate;
mod log;
mod machine;
pub mod net;
mod platform;
mod processor;
mod trace;
mod world;

use std::{future::Future, pin::Pin};

pub use bare::BareTraffic;
pub use chaos::ChaosCount;
pub use clock::{ClockCounters, ClockRate};
pub use disk::{DiskCounters, DiskFault, PowerLoss, SimDisk, SimDiskControl, SimFile};
pub use isolate::run_isolated;
pub use log::{LogLine, listen};
pub use machine::MachineCounters;
pub use net::{Bandwidth, Fate, LinkCounters, Packet, Reorder, SimListener, SimStream, StreamConfig, Word};
pub use platform::SimPlatform;
pub use processor::ProcessorCounters;
pub use trace::{Divergence, TraceEvent, TraceKind, TraceMode, first_difference};
pub use world::{ObservationSink, World, WorldConfig};

/// A future of a process.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A machine of the world, in order of addition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u32);

/// Why a simulation cannot go on. Always a bug of the simulated program or of the simulator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// A task panicked.
    #[error("{} panicked in task `{task}`: {message}", machine.as_deref().unwrap_or("the simulation"))]
    Panic { machine: Option<String>, task: &'static str, message: String },
    /// The engine failed.
    #[error("the simulation engine failed: {0}")]
    Engine(String),
    /// The executable reads the real clock: nothing in it would be repeatable.
    #[error("this executable does not use Ferret's clock and entropy functions; link it dynamically, on Linux")]
    EntropyNotLinked,
}
