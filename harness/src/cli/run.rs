//! `ferret run`: scenarios times seeds, each judged, printed in order, and left on disk.

use std::{
    io::{self, Write},
    iter,
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum, builder::PossibleValuesParser, builder::TypedValueParser};
use ferret_reports::{InvariantVerdict, RunRecord, Verdict};
use serde_json::json;
use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::{self, Artifacts},
    check::{nothing_found, report_invalid},
    exit,
    interrupt::Interrupt,
    paths::Selection,
    pool::{self, Job, Pool},
    shrink,
    simulate::{Request, Simulate},
    terminal,
};
use crate::scenario::{ClientKind, Scenario};

const EXAMPLES: &str = "\
Examples:
  ferret run scenarios/smoke
      Every scenario below the folder, each with the seeds that its file names.
  ferret run scenarios/gate/quorum-leader-loss.toml --seed 7
      One run. The same program, file and seed give the same run, to the byte, on every machine.
  ferret run scenarios/smoke --seeds 1..100 --verify-determinism
      A hundred seeds, 1 to 100 (both included), each run twice and compared event by event.
  ferret run scenarios/gate --swarm --seeds 1..500
      Instead of its own timeline, each run has faults drawn from its seed: which kinds, how many,
      on whom, how long, in which weather. They are concrete steps of drawn.toml, beside the run's
      record; that file is a scenario that gives the same run.
  ferret run scenarios/smoke --sabotage confirm-before-sync
      With a planted bug in every node: the run must fail, or the checkers are blind.
  ferret run scenarios/smoke --seeds 1..50 --sabotage forget-vote --shrink
      The first failing seed of each scenario, shrunk to the least that still fails.
  ferret run scenarios/incidents --sabotage matching
      With each scenario's own bug, as its `matching-sabotage` names it: 100 if every run fails,
      104 if one does not.
  ferret run scenarios/smoke --message-format json | jq -r .verdict
      For programs: one JSON object per run on standard output, nothing else.

Of 20 runs or more, every fiftieth (and the first) is run twice and the two are compared.

Each run leaves run.json, history.jsonl.gz and report.html; the whole leaves report.html,
junit.xml and summary.md. They go to target/ferret/<time>/; target/ferret/latest points there.

Exit codes (the worst wins: 1 > 103 > 100 > 102 > 5 > 99 > 104):
    0  pass                             99  a threshold was crossed
    1  internal error                  100  an invariant was violated
    2  wrong usage                     102  undecided
    3  invalid scenario                103  not deterministic
    4  nothing selected                104  vacuous: a fault had no effect, or something
    5  incomplete (interrupted)             that must happen never did";

/// So many runs are a sweep, of which a sample is run twice.
const SWEEP_RUNS: usize = 20;
/// The first of so many runs of a sweep is run twice.
const SAMPLE_EVERY: usize = 50;

/// Run scenarios and judge them
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret run --help` for examples and exit codes.")]
pub(super) struct RunArgs {
    /// Scenario files, or folders to search for `.toml` files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Run with this seed only
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// Run with every seed from A to B, both included
    #[arg(long, value_name = "A..B", value_parser = seed_range)]
    seeds: Option<SeedRange>,

    /// Plant a bug in every node, whatever the scenario says: the run should then fail; `matching` is the bug that the
    /// scenario names
    #[arg(long, value_name = "NAME", value_parser = planted_parser())]
    sabotage: Option<Planted>,

    /// Draw the faults from the seed, instead of each scenario's timeline, thresholds and
    /// "sometimes"; a scenario with a [swarm] section has its drawn faults besides them, anyway
    #[arg(long)]
    swarm: bool,

    /// Run everything twice and compare the two event by event, not only a sample
    #[arg(long)]
    verify_determinism: bool,

    /// What to write on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = MessageFormat::Human)]
    message_format: MessageFormat,

    /// The folder to leave results in, instead of a fresh one below target/ferret
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// How many runs at a time; the default is the number of processor cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// The client library to use, whatever the scenario says
    #[arg(long, value_name = "KIND", value_parser = client_parser())]
    client: Option<ClientKind>,

    /// Shrink the first failing seed of each scenario to a minimal one (see `ferret shrink`)
    #[arg(long)]
    shrink: bool,

    /// How long to shrink each, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "shrink")]
    shrink_budget: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MessageFormat {
    /// For people
    Human,
    /// One JSON object per run and line
    Json,
}

/// Which bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Bug(Sabotage),
    /// Each scenario's own.
    Matching,
}

const MATCHING: &str = "matching";

/// Both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SeedRange {
    first: u64,
    last: u64,
}

fn seed_range(text: &str) -> Result<SeedRange, String> {
    let (first, last) = text.split_once("..").ok_or("write two numbers with `..` between them, such as 1..100")?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("`{text}` is no seed: seeds are numbers"));
    let range = SeedRange { first: number(first)?, last: number(last.trim_start_matches('='))? };
    if range.first > range.last {
        return Err(format!("the range ends before it begins: write {}..{}", range.last, range.first));
    }
    Ok(range)
}

pub(super) fn sabotage_parser() -> impl TypedValueParser<Value = Sabotage> {
    PossibleValuesParser::new(Sabotage::ALL.map(Sabotage::name))
        .map(|name| Sabotage::from_name(&name).expect("clap has checked the name"))
}

fn planted_parser() -> impl TypedValueParser<Value = Planted> {
    let names = Sabotage::ALL.map(Sabotage::name).into_iter().chain([MATCHING]);
    PossibleValuesParser::new(names).map(|name| Sabotage::from_name(&name).map_or(Planted::Matching, Planted::Bug))
}

pub(super) fn client_parser() -> impl TypedValueParser<Value = ClientKind> {
    PossibleValuesParser::new(ClientKind::ALL.map(ClientKind::name))
        .map(|name| ClientKind::from_name(&name).expect("clap has checked the name"))
}

impl RunArgs {
    /// The bug to plant in the runs of `scenario`, if it is not for the scenario to say.
    fn sabotage_of(&self, scenario: &Scenario) -> Option<Sabotage> {
        match self.sabotage? {
            Planted::Bug(bug) => Some(bug),
            Planted::Matching => scenario.matching_sabotage,
        }
    }

    fn seeds_of(&self, scenario: &Scenario) -> Vec<u64> {
        match (self.seed, self.seeds) {
            (Some(seed), _) => vec![seed],
            (None, Some(range)) => (range.first..=range.last).collect(),
            (None, None) => scenario.run.seeds.iter().collect(),
        }
    }
}

pub(super) fn run<S: Simulate>(
    args: &RunArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let mut selection = Selection::read(&args.paths);
    if selection.is_empty() {
        return nothing_found(streams);
    }
    if !selection.is_valid() {
        report_invalid(&selection, streams)?;
        return Ok(exit::INVALID_SCENARIO);
    }
    let matching = args.sabotage == Some(Planted::Matching);
    let unmatched: Vec<&str> = selection
        .scenarios
        .iter()
        .filter(|scenario| matching && scenario.matching_sabotage.is_none())
        .map(|scenario| scenario.path.as_str())
        .collect();
    if !unmatched.is_empty() {
        writeln!(streams.err, "nothing to plant: no `matching-sabotage` in {}", unmatched.join(", "))?;
        return Ok(exit::USAGE);
    }
    let artifacts = Artifacts::create(args.out.as_deref())?;
    if args.swarm {
        selection.scenarios.iter_mut().for_each(Scenario::let_swarm);
    }
    let folders = artifacts::folder_names(&selection.scenarios);
    let mut jobs = Vec::new();
    for (scenario, folder) in selection.scenarios.iter().zip(&folders) {
        for seed in args.seeds_of(scenario) {
            let sabotage = args.sabotage_of(scenario);
            let folder = artifacts.run_folder(folder, seed);
            jobs.push(Job { scenario, seed, sabotage, folder, twice: false });
        }
    }
    let every = match jobs.len() {
        _ if args.verify_determinism => Some(1),
        SWEEP_RUNS.. => Some(SAMPLE_EVERY),
        _ => None,
    };
    jobs.iter_mut().step_by(every.unwrap_or(usize::MAX)).for_each(|job| job.twice = every.is_some());
    let request = Request { client: args.client, ..Request::default() };
    // One seed that the user picked out need not show what a scenario's seeds show together.
    let sometimes = args.seed.is_none();
    let pool = Pool { simulate, request, sometimes, workers: pool::workers(args.jobs), interrupt };
    let records = match args.message_format {
        MessageFormat::Human => run_for_people(&pool, &jobs, streams)?,
        MessageFormat::Json => run_for_programs(&pool, &jobs, streams)?,
    };
    artifacts.write_summary(&records)?;
    if args.shrink {
        shrink_failures(args, (&jobs, &records), (simulate, interrupt), streams)?;
    }
    if args.message_format == MessageFormat::Human {
        writeln!(streams.out, "\n{}", terminal::summary(&records, &jobs, streams.out_style))?;
        writeln!(streams.out, "report: {}", artifacts.report().display())?;
    }
    let missed: Vec<&RunRecord> = records.iter().filter(|record| matching && missed(record)).collect();
    for record in &missed {
        let (name, seed) = (&record.scenario.name, record.seed);
        let bug = record.sabotage.as_deref().unwrap_or_default();
        writeln!(streams.err, "{name} seed {seed}: nothing told of the planted bug {bug}")?;
    }
    let code = exit_code(&records, jobs.len());
    Ok(if !missed.is_empty() && code == Verdict::Violated.exit_code() { Verdict::Vacuous.exit_code() } else { code })
}

/// Whether a run with a planted bug shows nothing of it.
fn missed(record: &RunRecord) -> bool {
    !record.invariants.iter().any(|result| result.verdict == InvariantVerdict::Violated)
}

/// Writes a reproducer beside the files of the first failing run of each scenario.
fn shrink_failures<S: Simulate>(
    args: &RunArgs,
    (jobs, records): (&[Job<'_>], &[RunRecord]),
    (simulate, interrupt): (&S, &Interrupt),
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    for index in shrink::first_failures(records) {
        if interrupt.asked() {
            break;
        }
        let (job, record) = (&jobs[index], &records[index]);
        let mut scenario = job.scenario.clone();
        scenario.sabotage = job.sabotage.or(scenario.sabotage);
        scenario.run.client = args.client.unwrap_or(scenario.run.client);
        let scenario = Scenario { swarm: None, ..scenario.drawn_by_swarm(job.seed) };
        let search = shrink::Search {
            scenario: &scenario,
            seed: job.seed,
            goal: None,
            budget: Duration::from_secs(args.shrink_budget),
            workers: pool::workers(args.jobs),
            found_by: &record.replay,
        };
        let out = job.folder.join(format!("{}-{}.repro.toml", scenario.name, job.seed));
        // For programs, standard output has one object per run and nothing else.
        let mut nowhere = io::sink();
        let quiet = args.message_format == MessageFormat::Json;
        let Streams { out: stdout, err, out_style, err_style, progress } = streams;
        let stdout: &mut dyn Write = if quiet { &mut nowhere } else { *stdout };
        let mut streams =
            Streams { out: stdout, err: *err, out_style: *out_style, err_style: *err_style, progress: *progress };
        search.run(simulate, interrupt, &mut streams, &out)?;
    }
    Ok(())
}

fn run_for_people<S: Simulate>(
    pool: &Pool<'_, S>,
    jobs: &[Job<'_>],
    streams: &mut Streams<'_>,
) -> io::Result<Vec<RunRecord>> {
    let Streams { out, err, out_style, err_style, progress } = streams;
    let (out_style, width) = (*out_style, err_style.width);
    let name_width = jobs.iter().map(|job| job.scenario.name.len()).max().unwrap_or(0);
    // Written by one closure, cleared by the other.
    let line = std::cell::RefCell::new((&mut **err, false));
    let clear = || -> io::Result<()> {
        let (err, shown) = &mut *line.borrow_mut();
        if std::mem::take(shown) {
            write!(err, "\r\x1b[K")?;
            err.flush()?;
        }
        Ok(())
    };
    let records = pool.run(
        jobs,
        |records| {
            clear()?;
            let index = records.len() - 1;
            writeln!(out, "{}", terminal::run_line(&records[index], name_width, out_style))?;
            write!(out, "{}", terminal::failure(&records[index], out_style))?;
            if jobs[index].has_drawn() && records[index].verdict != Verdict::Pass {
                writeln!(out, "  drawn:  {}", jobs[index].drawn().display())?;
            }
            if pool::is_last_seed(jobs, index) {
                write!(out, "{}", terminal::invariants(&records[pool::seeds(jobs, index)], out_style))?;
            }
            out.flush()
        },
        |done, running| {
            if *progress {
                let (err, shown) = &mut *line.borrow_mut();
                // A terminal that does not take the progress line does not stop the runs.
                let _ = write!(err, "\r\x1b[K{}", terminal::progress_line(done, jobs, running, width));
                let _ = err.flush();
                *shown = true;
            }
        },
    )?;
    clear()?;
    // An interrupt may have come between two seeds of one scenario.
    if let Some(index) = records.len().checked_sub(1).filter(|index| !pool::is_last_seed(jobs, *index)) {
        write!(out, "{}", terminal::invariants(&records[pool::seeds(jobs, index)], out_style))?;
    }
    Ok(records)
}

fn run_for_programs<S: Simulate>(
    pool: &Pool<'_, S>,
    jobs: &[Job<'_>],
    streams: &mut Streams<'_>,
) -> io::Result<Vec<RunRecord>> {
    let out = &mut streams.out;
    pool.run(
        jobs,
        |records| {
            let index = records.len() - 1;
            let report = jobs[index].folder.join("report.html");
            writeln!(out, "{}", message(&records[index], &report.to_string_lossy()))?;
            out.flush()
        },
        |_, _| (),
    )
}

/// The JSON object of a run.
fn message(record: &RunRecord, report: &str) -> serde_json::Value {
    let invariants: serde_json::Map<String, serde_json::Value> =
        record.invariants.iter().map(|result| (result.name.clone(), json!(result.verdict))).collect();
    let mut faults = serde_json::Map::new();
    for fault in &record.faults {
        let step = fault.step.to_string();
        // A step that is done again and again: "3", "3.2", "3.3".
        let again = (2..).map(|time| format!("{step}.{time}"));
        let free = iter::once(step.clone()).chain(again).find(|name| !faults.contains_key(name));
        faults.insert(free.expect("there is always another number"), json!(fault.effect));
    }
    let chaos: serde_json::Map<String, serde_json::Value> =
        record.chaos.iter().map(|point| (point.point.clone(), json!(point.fired))).collect();
    json!({
        "scenario": record.scenario.name,
        "seed": record.seed,
        "trace_hash": record.trace_hash,
        "verdict": record.verdict,
        "invariants": invariants,
        "faults": faults,
        "chaos": chaos,
        "virtual_seconds": record.virtual_seconds,
        "wall_seconds": record.wall_seconds,
        "messages": record.messages,
        "report": report,
    })
}

/// The worst verdict's; runs that never began make the whole incomplete.
fn exit_code(records: &[RunRecord], planned: usize) -> u8 {
    let unfinished = (records.len() < planned).then_some(Verdict::Incomplete);
    let worst = records.iter().map(|record| record.verdict).chain(unfinished).max();
    worst.unwrap_or(Verdict::Pass).exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_includes_both_ends() {
        assert_eq!(seed_range("1..100"), Ok(SeedRange { first: 1, last: 100 }));
        assert_eq!(seed_range("7..=7"), Ok(SeedRange { first: 7, last: 7 }));
        assert!(seed_range("9..1").is_err());
        assert!(seed_range("12").is_err());
        assert!(seed_range("a..b").is_err());
    }
}
