//! The simulated world, as the command line asks for it.

use std::sync::atomic::AtomicBool;

use super::simulate::{Request, Simulate, Simulated};
use crate::{
    progress::Progress,
    run::{self, Bare, RunOptions, RunOutput},
    scenario::Scenario,
    sim::TraceEvent,
};

/// Runs whole Warren clusters. Most tests of the command line put a script in its place.
pub struct Simulation;

impl Simulate for Simulation {
    type Event = TraceEvent;

    fn simulate(
        &self,
        scenario: &Scenario,
        seed: u64,
        request: &Request,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Simulated<TraceEvent> {
        let Request { sabotage, client, record_trace, until, log, packets } = *request;
        let options = RunOptions { sabotage, client, record_trace, until, log, packets };
        let RunOutput { record, trace, packets, machines, history, log, cpu } =
            run::run(scenario, seed, &options, stop, progress);
        Simulated { record, trace, packets, machines, history, log, cpu }
    }

    fn bare(&self, scenario: &Scenario, simulated: &Simulated<TraceEvent>) -> Option<Bare> {
        run::bare(scenario, &simulated.trace, simulated.machines.len()).ok()
    }

    fn describe(event: &TraceEvent, machines: &[String]) -> String {
        event.describe(machines)
    }
}
