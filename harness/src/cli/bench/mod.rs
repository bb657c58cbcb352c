//! `ferret bench`: how fast the simulation and its hardest checker are on this machine.

mod checker;
mod memory;
mod simulation;

use std::io;

use clap::{Args, ValueEnum};

use super::{Streams, exit, interrupt::Interrupt, simulate::Simulate};

const EXAMPLES: &str = "\
Examples:
  ferret bench
      All figures, one after the other; about half a minute.
  ferret bench --message-format json | jq 'select(.ratio).ratio'
      For programs: one JSON object per figure and line.

Figures:
  sample      scenarios/bench/sample.toml: three nodes, 400 messages a second
              through a partition, a power loss and a disk stall; tick 1 ms
  sparse      scenarios/bench/sparse.toml: the same with 20 messages a second; tick 5 ms
  idle        scenarios/bench/idle.toml: three nodes and two clients with next to nothing
              to do; tick 10 ms
  two jobs    four seeds of the sample, two at a time, against one at a time
  queue-linearizable
              the checker's sweep over 10^5 and 10^6 operations on one queue

A ratio of 20x is 20 virtual seconds in one second of wall time; a run's wall time includes
the judging of its history, not the writing of its files. Under `engine` stands the ratio of
the engine alone: the same machines and packets, without brokers and clients. Memory is the
most that this process held meanwhile. Everything but `two jobs` runs on one core, one at a
time: leave the machine alone meanwhile, and measure a release build.";

/// Measure the speed of the simulator on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BenchArgs {
    /// The seed of the simulated figures
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// What to write on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = MessageFormat::Human)]
    message_format: MessageFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageFormat {
    /// Tables for people
    Human,
    /// One JSON object per figure and line
    Json,
}

pub(super) fn bench<S: Simulate>(
    args: &BenchArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let human = args.message_format == MessageFormat::Human;
    let mut tell = |row: String| {
        writeln!(streams.out, "{row}")?;
        streams.out.flush()
    };
    let mut code = exit::PASS;
    // All simulations before what needs more memory than they do.
    let figures = simulation::figures();
    let measured = figures.each_ref().map(|figure| figure.measure(args.seed, simulate, interrupt));
    if human {
        tell(simulation::head())?;
    }
    for mut measured in measured {
        if interrupt.asked() {
            return Ok(exit::INCOMPLETE);
        }
        measured.add_engine(simulate, interrupt);
        // What the runs show is the business of `ferret run`; that they came to an end is ours.
        if measured.failed() {
            code = exit::INTERNAL;
        }
        tell(if human { measured.row() } else { measured.json().to_string() })?;
    }
    if interrupt.asked() {
        return Ok(exit::INCOMPLETE);
    }
    let jobs = simulation::two_jobs(args.seed, simulate, interrupt);
    tell(if human { jobs.row() } else { jobs.json().to_string() })?;
    if human {
        tell(checker::head())?;
    }
    for operations in checker::OPERATIONS {
        if interrupt.asked() {
            return Ok(exit::INCOMPLETE);
        }
        let swept = checker::sweep(operations);
        tell(if human { swept.row() } else { swept.json().to_string() })?;
    }
    Ok(code)
}
