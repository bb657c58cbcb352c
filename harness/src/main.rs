//! Ferret, on the command line.

use std::{
    io::{IsTerminal, stderr, stdout},
    process::ExitCode,
    sync::atomic::AtomicBool,
};

use ferret::{
    cli::{self, Interrupt, Request, Simulate, Simulated, Streams, Style, UntilClosed, exit},
    progress::Progress,
    run::{self, Bare, RunOptions, RunOutput},
    scenario::Scenario,
    sim::TraceEvent,
};

/// The simulated world.
struct Simulation;

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
        let Request { sabotage, client, record_trace, until, log } = *request;
        let options = RunOptions { sabotage, client, record_trace, until, log };
        let RunOutput { record, trace, machines, history, log, cpu } =
            run::run(scenario, seed, &options, stop, progress);
        Simulated { record, trace, machines, history, log, cpu }
    }

    fn bare(&self, scenario: &Scenario, simulated: &Simulated<TraceEvent>) -> Option<Bare> {
        run::bare(scenario, &simulated.trace, simulated.machines.len()).ok()
    }

    fn describe(event: &TraceEvent, machines: &[String]) -> String {
        event.describe(machines)
    }
}

fn main() -> ExitCode {
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            eprintln!("ferret: cannot listen for Ctrl-C: {error}");
            return exit::INTERNAL.into();
        }
    };
    let mut streams = Streams {
        out: &mut UntilClosed::new(stdout()),
        err: &mut stderr(),
        out_style: Style::of_stdout(),
        err_style: Style::of_stderr(),
        progress: stderr().is_terminal(),
    };
    cli::main(std::env::args_os(), &Simulation, &interrupt, &mut streams).into()
}
