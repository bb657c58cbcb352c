//! `ferret bench`: how fast the simulation and its hardest checker are on this machine.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use ferret_reports::{RunRecord, Verdict};
use serde_json::{Value, json};

use super::{
    Streams, exit,
    interrupt::Interrupt,
    simulate::{Request, Simulate},
    terminal,
};
use crate::{
    check::{fifo, sample},
    progress::Progress,
    scenario::{ClientKind, Scenario},
};

const EXAMPLES: &str = "\
Examples:
  ferret bench
      All figures, one after the other; about half a minute.
  ferret bench --message-format json | jq 'select(.ratio).ratio'
      For programs: one JSON object per figure and line.

Figures:
  sample      scenarios/gate/quorum-leader-loss.toml: three nodes, 400 messages a second
              through a partition, a power loss and a disk stall; tick 1 ms
  idle        scenarios/bench/idle.toml: three nodes and two clients with next to nothing
              to do; tick 10 ms
  queue-linearizable
              the checker's sweep over 10^5 and 10^6 operations on one queue

A ratio of 20x is 20 virtual seconds in one second of wall time; a run's wall time includes
the judging of its history, not the writing of its files. Everything runs on one core, one
at a time: leave the machine alone meanwhile, and measure a release build.";

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
    /// A table for people
    Human,
    /// One JSON object per figure and line
    Json,
}

const SAMPLE: (&str, &str) =
    ("scenarios/gate/quorum-leader-loss.toml", include_str!("../../../scenarios/gate/quorum-leader-loss.toml"));
const IDLE: (&str, &str) = ("scenarios/bench/idle.toml", include_str!("../../../scenarios/bench/idle.toml"));

const OPERATIONS: [u64; 2] = [100_000, 1_000_000];

/// A simulated figure: its name, its scenario, the client library.
struct Figure {
    name: &'static str,
    scenario: Scenario,
    client: ClientKind,
}

fn figures() -> [Figure; 3] {
    let parsed = |(path, text)| Scenario::parse(path, text).expect("the scenarios of the tree are valid");
    [
        Figure { name: "sample", scenario: parsed(SAMPLE), client: ClientKind::Native },
        Figure { name: "sample", scenario: parsed(SAMPLE), client: ClientKind::Lapin },
        Figure { name: "idle", scenario: parsed(IDLE), client: ClientKind::Native },
    ]
}

pub(super) fn bench<S: Simulate>(
    args: &BenchArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let human = args.message_format == MessageFormat::Human;
    if human {
        writeln!(
            streams.out,
            "{:<20}{:>12}{:>9}{:>16}{:>14}",
            "checker", "operations", "wall", "operations/s", "peak memory"
        )?;
    }
    for operations in OPERATIONS {
        if interrupt.asked() {
            return Ok(exit::INCOMPLETE);
        }
        let (operations, wall, peak_bytes) = swept(operations);
        let seconds = wall.as_secs_f64();
        let row = if human {
            check_row(operations, seconds, peak_bytes)
        } else {
            json!({
                "figure": "queue-linearizable",
                "operations": operations,
                "wall_seconds": seconds,
                "operations_per_second": operations as f64 / seconds,
                "peak_memory_bytes": peak_bytes,
            })
            .to_string()
        };
        writeln!(streams.out, "{row}")?;
        streams.out.flush()?;
    }
    if human {
        writeln!(
            streams.out,
            "\n{:<20}{:>7}{:>12}{:>9}{:>9}{:>11}{:>14}  verdict",
            "simulation", "tick", "virtual", "wall", "ratio", "messages", "messages/s"
        )?;
    }
    let mut worst = Verdict::Pass;
    for figure in figures() {
        if interrupt.asked() {
            return Ok(exit::INCOMPLETE);
        }
        let record = simulated(&figure, args.seed, simulate, interrupt);
        worst = worst.max(record.verdict);
        writeln!(
            streams.out,
            "{}",
            if human { run_row(&figure, &record) } else { run_json(&figure, &record).to_string() }
        )?;
        streams.out.flush()?;
    }
    // What the runs show is the business of `ferret run`; that they came to an end is ours.
    Ok(if worst == Verdict::Internal { exit::INTERNAL } else { exit::PASS })
}

/// Runs on a thread of its own, as every simulation must.
fn simulated<S: Simulate>(figure: &Figure, seed: u64, simulate: &S, interrupt: &Interrupt) -> RunRecord {
    let request = Request { client: Some(figure.client), ..Request::default() };
    let run = || simulate.simulate(&figure.scenario, seed, &request, interrupt.flag(), &Progress::default()).record;
    thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

/// Checks a correct history of about so many operations: their number, the time taken, the most memory that this
/// process has held since the history was made.
#[expect(clippy::disallowed_methods, reason = "measuring wall time is what this verb is for")]
fn swept(operations: u64) -> (u64, Duration, Option<u64>) {
    let intervals = sample::correct_queue(operations);
    let reset = forget_peak_memory();
    let began = Instant::now();
    let verdict = fifo::check(&intervals);
    let wall = began.elapsed();
    assert_eq!(verdict, fifo::Verdict::Linearizable, "the history is one of a correct queue");
    (intervals.len() as u64, wall, peak_memory().filter(|_| reset))
}

/// Lets the kernel count the peak anew (see `proc_pid_clear_refs(5)`); whether it does.
fn forget_peak_memory() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The most memory resident since then, in bytes.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn run_row(figure: &Figure, record: &RunRecord) -> String {
    let RunRecord { virtual_seconds, wall_seconds, verdict, .. } = record;
    let name = format!("{}, {}", figure.name, figure.client.name());
    format!(
        "{name:<20}{:>7}{virtual_seconds:>10.1} s{wall_seconds:>7.2} s{:>8.1}x{:>11}{:>14}  {}",
        format!("{:?}", figure.scenario.run.tick),
        ratio(record),
        terminal::grouped(record.messages.published),
        terminal::grouped(messages_per_second(record).round() as u64),
        terminal::verdict_name(*verdict),
    )
}

fn run_json(figure: &Figure, record: &RunRecord) -> Value {
    json!({
        "figure": figure.name,
        "client": figure.client.name(),
        "seed": record.seed,
        "tick_seconds": figure.scenario.run.tick.as_secs_f64(),
        "virtual_seconds": record.virtual_seconds,
        "wall_seconds": record.wall_seconds,
        "ratio": ratio(record),
        "messages": record.messages.published,
        "messages_per_wall_second": messages_per_second(record),
        "verdict": record.verdict,
    })
}

fn check_row(operations: u64, seconds: f64, peak_bytes: Option<u64>) -> String {
    let per_second = terminal::grouped((operations as f64 / seconds).round() as u64);
    let peak = peak_bytes.map_or("unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000));
    let operations = terminal::grouped(operations);
    format!("{:<20}{operations:>12}{seconds:>7.3} s{per_second:>16}{peak:>14}", "queue-linearizable")
}

fn ratio(record: &RunRecord) -> f64 {
    record.virtual_seconds / record.wall_seconds
}

fn messages_per_second(record: &RunRecord) -> f64 {
    record.messages.published as f64 / record.wall_seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_to_measure_are_valid_and_named_after_their_files() {
        for figure in figures() {
            assert!(figure.scenario.path.ends_with(&format!("/{}.toml", figure.scenario.name)));
        }
    }

    #[test]
    fn the_sample_to_check_has_about_the_operations_asked_for_and_is_a_correct_queue() {
        let (operations, _, _) = swept(10_000);
        assert!((9_900..=10_000).contains(&operations));
    }
}
