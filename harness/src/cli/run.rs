//! `ferret run`: scenarios times seeds, each judged, printed in order, and left on disk.

use std::{
    io::{self, Write},
    iter,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum, builder::PossibleValuesParser, builder::TypedValueParser};
use ferret_reports::{RunRecord, Slice};
use serde_json::json;
use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::{Artifacts, Keep, Summary},
    check::{nothing_found, tell_invalid},
    exit,
    interrupt::Interrupt,
    noticed::{MATCHING, MustTell},
    paths::{Selection, nothing_picked},
    pool, render_problem,
    shown::Shown,
    shrink,
    simulate::{Request, Simulate},
    stored,
    sweep::{self, Limits, Sweep, Swept},
    terminal,
};
use crate::{
    scenario::{ClientKind, Scenario, budget},
    search::{
        filter::Filter,
        plan::{SeedRange, Seeds, seed_range},
        shrink::Goal,
    },
};

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
      With a planted bug in every node: a run must fail, or the checkers are blind. If nothing
      tells of it, the last run is vacuous: 104.
  ferret run scenarios/smoke --seeds 1..50 --sabotage forget-vote --shrink
      The first failing seed of each scenario, shrunk to the least that still fails.
  ferret run scenarios/incidents --sabotage matching
      With each scenario's own bug, as its `matching-sabotage` names it: 100 if every run fails,
      104 if one does not.
  ferret run scenarios/smoke --message-format json | jq -r .verdict
      For programs: one JSON object per run on standard output, or per file that cannot be run;
      nothing else.
  ferret run scenarios -E 'tag(gate) & !name(soak)' --seeds 1..500 --max-fail 3
      What the filter picks, until three runs have failed.
  ferret run scenarios --seeds 1.. --budget 10m --keep failed --save-failures
      New seeds for ten minutes, the scenarios in turns; what fails is kept, and runs first
      from then on.
  ferret run scenarios --seeds 1..400 --partition slice:1/4 --out part-1
      One of four parts. When all are there: ferret merge part-1 part-2 part-3 part-4

Of 20 runs or more, every fiftieth (and the first) is run twice and the two are compared.

Filter: tag(T), name(N) and path(P), joined by & (and), | (or), ! (not) and parentheses. A text
with * or ? is a glob over the whole value; any other text must be equal to a tag, or be part of
a name or a path. Put a text with parentheses in quotes: name('a (b)').

Seeds that once failed are kept beside the scenario (those of FILE.toml in regressions/FILE.seeds)
and run before any others, except with --seed.

A spent budget ends the sweep when the runs under way are done. Seeds that were asked for and
not run make it incomplete (exit code 5), since a gate that ran half of itself has not passed;
with --seeds A.. there is no such seed, but there must be one run, and what must happen at least
once must have happened by then. After --max-fail, the failures decide the exit code.
Such seeds have no parts. In one part of a partition, what must happen at least once is not
judged, nor whether a bug planted by name was noticed: merge does it.

Each run leaves run.json, history.jsonl.gz and report.html; the whole leaves sweep.json,
report.html, junit.xml and summary.md. They go to target/ferret/<time>/; target/ferret/latest
points there. With --out DIR, what a former call left in DIR goes first, and nothing else: where a
file of another's has the name of one of these, nothing is run (exit code 2).
What was planned and not run is listed in summary.md and skipped in junit.xml.
`ferret schema run` and `ferret schema sweep` print the shape of the JSON files.

Exit codes (the worst wins: 1 > 103 > 100 > 102 > 5 > 99 > 104):
    0  pass                             99  a threshold was crossed
    1  internal error                  100  an invariant was violated
    2  wrong usage                     102  undecided
    3  invalid scenario                103  not deterministic
    4  nothing selected                104  vacuous: a fault had no effect, or something
    5  incomplete: interrupted, or          that must happen never did
       out of budget";

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

    /// Run with every seed from A to B, both included; `A..` has no end but that of the budget. A call makes
    /// 100,000 runs at most, of all scenarios
    #[arg(long, value_name = "A..B", value_parser = seed_range)]
    seeds: Option<SeedRange>,

    /// Run only the scenarios that a filter picks, such as `tag(gate) & !name(soak)`
    #[arg(short = 'E', long, value_name = "FILTER")]
    filter: Option<String>,

    /// Begin no run after this time: 90s, 10m, 2h; a bare number is of seconds
    #[arg(long, value_name = "TIME", value_parser = budget_parser)]
    budget: Option<Duration>,

    /// Begin no run after so many have failed
    #[arg(long, value_name = "N")]
    max_fail: Option<NonZeroUsize>,

    /// Make only every Nth run, from the Kth on: one of N parts for N machines, for `ferret merge`
    #[arg(long, value_name = "slice:K/N", value_parser = sweep::slice, conflicts_with = "seed")]
    partition: Option<Slice>,

    /// Keep failing seeds beside their scenarios, in regressions/: from then on they run first.
    /// (Of a run with --swarm, keep its drawn.toml: without the flag, the seed gives another run)
    #[arg(long, conflicts_with_all = ["sabotage", "client", "swarm"])]
    save_failures: bool,

    /// Of which runs to keep the event history; run.json and the report are always kept
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = Keep::All)]
    keep: Keep,

    /// Plant a bug in every node, whatever the scenario says: one run must then tell of it, or the last is vacuous;
    /// `matching` is the bug that the scenario names, of which every run must tell
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

    /// How long to shrink each: 90s, 10m, 2h; a bare number is of seconds
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = budget_parser, requires = "shrink")]
    shrink_budget: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MessageFormat {
    /// For people
    Human,
    /// One JSON object per run and line, or per file that cannot be run
    Json,
}

/// Which bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planted {
    Bug(Sabotage),
    /// Each scenario's own.
    Matching,
}

/// `90s`, `10m`, `2h`: how long something may take, on the clock of the wall; a bare number is of seconds.
pub(super) fn budget_parser(text: &str) -> Result<Duration, String> {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let text = if bare { format!("{text}s") } else { text.to_owned() };
    budget(&text).map_err(|wrong| format!("{}: {}", wrong.what, wrong.help))
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

    /// Which runs must tell of the bug.
    fn must_tell(&self) -> MustTell {
        match self.sabotage {
            Some(Planted::Bug(bug)) => MustTell::One(bug),
            Some(Planted::Matching) => MustTell::Each,
            None => MustTell::Nobody,
        }
    }

    /// One seed that the user picked out runs alone; any other sweep runs the stored ones first.
    fn seeds_of(&self, scenario: &Scenario, stored: &[u64]) -> Seeds {
        match (self.seed, self.seeds) {
            (Some(seed), _) => Seeds { stored: Vec::new(), first: seed, count: Some(1) },
            (None, Some(range)) => range.seeds(stored),
            (None, None) => {
                let crate::scenario::Seeds { from, count } = scenario.run.seeds;
                Seeds { stored: stored.to_vec(), first: from, count: Some(count) }
            }
        }
    }
}

pub(super) fn run<S: Simulate>(
    args: &RunArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    if args.seeds.is_some_and(SeedRange::is_open) && args.budget.is_none() && args.max_fail.is_none() {
        let mend = "add --budget 10m, --max-fail 1 or an end, as in --seeds 1..100";
        writeln!(streams.err, "ferret: --seeds without an end never comes to one: {mend}")?;
        return Ok(exit::USAGE);
    }
    if args.seeds.is_some_and(SeedRange::is_open) && args.partition.is_some() {
        let mend = "add an end, as in --seeds 1..400, or give each machine seeds of its own and no --partition";
        writeln!(streams.err, "ferret: --seeds without an end has no parts that could be merged: {mend}")?;
        return Ok(exit::USAGE);
    }
    let mut selection = Selection::read(&args.paths);
    if selection.is_empty() {
        return nothing_found(streams);
    }
    if !selection.is_valid() {
        tell_invalid(&selection, args.message_format, streams)?;
        return Ok(exit::INVALID_SCENARIO);
    }
    if let Some(text) = &args.filter {
        match Filter::parse(text) {
            Ok(filter) => selection.keep(&filter),
            Err(mistake) => {
                let problem = mistake.problem("--filter", text);
                writeln!(streams.err, "{}", render_problem(&problem, streams.err_style))?;
                return Ok(exit::USAGE);
            }
        }
        if selection.is_empty() {
            return nothing_picked(text, &args.paths, streams);
        }
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
    let refused = selection.scenarios.iter().find_map(|scenario| impossible(args.client?, scenario, args.swarm));
    if let Some(why) = refused {
        writeln!(streams.err, "ferret: {why}")?;
        return Ok(exit::USAGE);
    }
    let seeds: Vec<Seeds> = selection.picked().map(|(scenario, stored)| args.seeds_of(scenario, stored)).collect();
    let plan = match sweep::plan_of(&seeds, args.budget.is_some() || args.max_fail.is_some()) {
        Ok(plan) => plan,
        Err(why) => {
            writeln!(streams.err, "ferret: {why}")?;
            return Ok(exit::USAGE);
        }
    };
    let inputs: Vec<&Path> = selection.scenarios.iter().map(|scenario| Path::new(scenario.path.as_str())).collect();
    let artifacts = match Artifacts::anew(args.out.as_deref(), &inputs, streams)? {
        Ok(artifacts) => artifacts,
        Err(why) => {
            writeln!(streams.err, "ferret: {why}")?;
            return Ok(exit::USAGE);
        }
    };
    if args.swarm {
        selection.scenarios.iter_mut().for_each(Scenario::let_swarm);
    }
    let sweep = Sweep {
        scenarios: &selection.scenarios,
        plan,
        open: args.seeds.is_some_and(SeedRange::is_open),
        slice: args.partition,
        // One seed that the user picked out need not show what a scenario's seeds show together.
        sometimes: args.seed.is_none(),
        sabotage: selection.scenarios.iter().map(|scenario| args.sabotage_of(scenario)).collect(),
        must_tell: args.must_tell(),
        swarm: args.swarm,
        request: Request { client: args.client, ..Request::default() },
        twice: args.verify_determinism,
        limits: Limits::new(args.budget, args.max_fail.map(NonZeroUsize::get)),
        workers: pool::workers(args.jobs),
        keep: args.keep,
    };
    let swept = sweep.run(simulate, interrupt, &artifacts, args.message_format, streams)?;
    artifacts.write_summary(&swept.records, (&swept.record, &swept.unmade), Summary::Runs)?;
    // First what is known: a search may end badly. What failed is told, and decides, whether it can be kept or not.
    if args.save_failures
        && let Err(error) = stored::save(&swept.records, streams.err)
    {
        writeln!(streams.err, "ferret: failing seeds are not kept: {error}")?;
    }
    if args.shrink {
        shrink_failures(args, (&sweep, &swept, &artifacts), (simulate, interrupt), streams)?;
    }
    if args.message_format == MessageFormat::Human {
        writeln!(
            streams.out,
            "\n{}",
            terminal::summary(&swept.records, swept.planned, swept.twice, streams.out_style)
        )?;
        for line in sweep.notes(&swept) {
            writeln!(streams.out, "{line}")?;
        }
        if swept.records.len() > 1 {
            writeln!(streams.out, "results: {}", swept.record.results_hash)?;
        }
        writeln!(streams.out, "report: {}", artifacts.report().shown())?;
    }
    Ok(swept.verdict().exit_code())
}

/// Why no run of the scenario is possible with this client, if a step of its own asks for more than the client can do.
pub(super) fn impossible(client: ClientKind, scenario: &Scenario, swarm: bool) -> Option<String> {
    let own_steps = scenario.swarm.as_ref().map_or(!swarm, |swarm| swarm.keeps());
    let step = scenario.steps.iter().find(|step| step.action.is_native_only())?;
    (client != ClientKind::Native && own_steps).then(|| {
        let (path, line, kind) = (&scenario.path, step.line, step.action.kind());
        format!("{path}:{line}: only the native client can do `{kind}`: leave out --client, or the step")
    })
}

/// Writes a reproducer beside the files of the first failing run of each scenario, or tells why there is none.
fn shrink_failures<S: Simulate>(
    args: &RunArgs,
    (sweep, swept, artifacts): (&Sweep<'_>, &Swept, &Artifacts),
    (simulate, interrupt): (&S, &Interrupt),
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    for index in shrink::first_failures(&swept.records) {
        if interrupt.asked() {
            break;
        }
        let (run, record) = (&swept.record.runs[index], &swept.records[index]);
        if Goal::all_of(record).is_empty() {
            let (name, why) = (&record.scenario.name, shrink::beyond_shrinking(record.verdict));
            let told = format!("not shrunk        {name}  seed {}: {why}", run.seed);
            let Streams { out, err, .. } = streams;
            match args.message_format {
                MessageFormat::Human => writeln!(out, "{told}")?,
                MessageFormat::Json => writeln!(err, "{told}")?,
            }
            continue;
        }
        let mut scenario = sweep.scenarios[run.scenario as usize].clone();
        scenario.sabotage = args.sabotage_of(&scenario).or(scenario.sabotage);
        scenario.run.client = args.client.unwrap_or(scenario.run.client);
        let scenario = Scenario { swarm: None, ..scenario.drawn_by_swarm(run.seed) };
        let search = shrink::Search {
            scenario: &scenario,
            seed: run.seed,
            goal: None,
            budget: args.shrink_budget,
            workers: pool::workers(args.jobs),
            found_by: &record.replay,
        };
        let out = artifacts.folder_of(run).join(format!("{}-{}.repro.toml", scenario.name, run.seed));
        // For programs, standard output has one object per run and nothing else.
        let mut nowhere = io::sink();
        let quiet = args.message_format == MessageFormat::Json;
        let Streams { out: stdout, err, out_style, err_style, progress } = streams;
        let stdout: &mut dyn Write = if quiet { &mut nowhere } else { *stdout };
        let mut streams =
            Streams { out: stdout, err: *err, out_style: *out_style, err_style: *err_style, progress: *progress };
        let _ = search.run(simulate, interrupt, &mut streams, &out)?;
    }
    Ok(())
}

/// The JSON object of a run.
pub(super) fn message(record: &RunRecord, report: &str) -> serde_json::Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_a_unit_or_is_of_seconds() {
        for (text, seconds) in [("90", 90.0), ("1.5", 1.5), ("60s", 60.0), ("2m", 120.0), ("1h", 3600.0)] {
            assert_eq!(budget_parser(text), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for wrong in ["", ".", "2x", "-1", "m"] {
            assert!(budget_parser(wrong).is_err(), "{wrong}");
        }
    }
}
