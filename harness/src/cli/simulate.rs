//! What the command line asks of the simulation, and nothing more: tests of the command line put a script here.

use std::{sync::atomic::AtomicBool, time::Duration};

use ferret_reports::RunRecord;
use warren::platform::Sabotage;

use crate::{
    history::History,
    progress::Progress,
    run::Bare,
    scenario::{ClientKind, Scenario},
    sim::{LogLine, Packet},
};

/// How to run a scenario, beyond what its file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The planted bug to switch on instead of the scenario's.
    pub sabotage: Option<Sabotage>,
    /// The client library to use instead of the scenario's.
    pub client: Option<ClientKind>,
    /// Whether to keep every event that goes into the trace hash.
    pub record_trace: bool,
    /// The virtual time at which to end the run.
    pub until: Option<Duration>,
    /// Whether to keep what brokers say through `tracing`.
    pub log: bool,
    /// Whether to keep every packet that goes over the wire.
    pub packets: bool,
}

/// A finished run.
#[derive(Debug)]
pub struct Simulated<E> {
    pub record: RunRecord,
    /// Empty unless asked for.
    pub trace: Vec<E>,
    /// Empty unless asked for.
    pub packets: Vec<Packet>,
    /// The names of the machines that trace and packets speak of, by number.
    pub machines: Vec<String>,
    pub history: History,
    /// What brokers said; empty unless asked for.
    pub log: Vec<LogLine>,
    /// The processor time of threads other than the calling one, if the system tells.
    pub cpu: Option<Duration>,
}

impl<E> Simulated<E> {
    /// A run of which nothing was kept that must be asked for.
    pub fn of(record: RunRecord, history: History) -> Self {
        let (trace, packets, machines, log) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { record, trace, packets, machines, history, log, cpu: None }
    }
}

/// Runs scenarios.
pub trait Simulate: Sync {
    /// An event of the simulation.
    type Event: PartialEq + Send;

    /// Runs `scenario` with `seed` on the calling thread, which is fresh. When `stop` turns true, ends soon, with the
    /// verdict `incomplete` and what is known.
    fn simulate(
        &self,
        scenario: &Scenario,
        seed: u64,
        request: &Request,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Simulated<Self::Event>;

    /// What the engine alone takes for the machines and packets of a run whose trace was kept. `None` if it cannot be
    /// told.
    fn bare(&self, scenario: &Scenario, simulated: &Simulated<Self::Event>) -> Option<Bare>;

    /// The event in words: when, where, what.
    fn describe(event: &Self::Event, machines: &[String]) -> String;
}
