//! `ferret shrink`, and what `ferret run --shrink` does with a failing seed: a small scenario that fails the same way.

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ferret_reports::{RunRecord, Verdict};
use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::not_ours,
    build_id::build_id,
    check::report_invalid,
    exit,
    interrupt::Interrupt,
    laboratory::{Laboratory, Silence},
    paths::Selection,
    pool,
    run::{budget_parser, client_parser, sabotage_parser},
    shown::Shown,
    simulate::{Request, Simulate},
    terminal,
    writing::{prepare, write_file},
};
use crate::{
    progress::Progress,
    run,
    scenario::{ClientKind, Expect, NAME_BYTES_MAX, Repro, Scenario, Seeds},
    search::shrink::{self, Found, Goal, Sights},
};

const EXAMPLES: &str = "\
Examples:
  ferret shrink scenarios/gate/quorum-leader-loss.toml --seed 17
      From a seed that fails to a small scenario that violates the same invariant: fewer faults,
      messages, clients, queues and nodes, shorter faults, an earlier end, plainer weather.
      Writes quorum-leader-loss-17.repro.toml: concrete, with nothing left to chance but the seed.
  ferret shrink my.toml --seed 17 --invariant durability --budget 5m
      The one invariant to keep violated, if there are several, and five minutes instead of one.
  ferret run scenarios/smoke --seeds 1..50 --sabotage forget-vote --shrink
      The same for the first failing seed of each scenario of a sweep.
  ferret replay my-17.repro.toml
      What to do with the result: see it fail again, today or after a change.

Ctrl-C ends the search early and keeps the best so far.

Only violations and panics are shrunk. Exit codes: 100 shrunk, for it fails · 0 the seed passes,
there is nothing to shrink · the run's own (99, 102, 104, …) if it fails otherwise, or by another
invariant than the one asked for · 5 interrupted before it was known to fail · 2, 3, 4 as in
`ferret run`";

/// Shrink a failing seed to a minimal scenario that fails the same way
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret shrink --help` for examples and exit codes.")]
pub(super) struct ShrinkArgs {
    /// The scenario file
    #[arg(value_name = "FILE")]
    path: PathBuf,

    /// The seed that fails; the default is the first one that the file names
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// The invariant to keep violated (or `panic`); the default is the first one that is
    #[arg(long, value_name = "NAME", value_parser = goal)]
    invariant: Option<Goal>,

    /// Plant a bug in every node, whatever the scenario says
    #[arg(long, value_name = "NAME", value_parser = sabotage_parser())]
    sabotage: Option<Sabotage>,

    /// The client library to use, whatever the scenario says
    #[arg(long, value_name = "KIND", value_parser = client_parser())]
    client: Option<ClientKind>,

    /// How long to search: 90s, 10m, 2h; a bare number is of seconds
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = budget_parser)]
    budget: Duration,

    /// The file to write; the default is `SCENARIO-SEED.repro.toml` in this folder
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// How many runs at a time; the default is the number of processor cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

fn goal(text: &str) -> Result<Goal, String> {
    Goal::from_name(text)
        .ok_or_else(|| format!("`{text}` is no invariant; the README lists them, and there is `panic`"))
}

/// A search and its means.
pub(super) struct Search<'a> {
    /// The scenario as its file says it, with what the command line changed.
    pub(super) scenario: &'a Scenario,
    pub(super) seed: u64,
    /// What to keep; the first failure of the run if `None`.
    pub(super) goal: Option<Goal>,
    pub(super) budget: Duration,
    pub(super) workers: usize,
    /// The command that showed the failure.
    pub(super) found_by: &'a str,
}

pub(super) fn shrink<S: Simulate>(
    args: &ShrinkArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let selection = Selection::read(std::slice::from_ref(&args.path));
    if !selection.is_valid() {
        report_invalid(&selection, streams)?;
        return Ok(exit::INVALID_SCENARIO);
    }
    let [scenario] = &selection.scenarios[..] else {
        writeln!(streams.err, "ferret: {} is not one scenario; name one file", args.path.shown())?;
        return Ok(exit::NOTHING_SELECTED);
    };
    let seed = args.seed.unwrap_or(scenario.run.seeds.from);
    let reproduces = |text: &str| Scenario::parse("", text).is_ok_and(|scenario| scenario.repro.is_some());
    if let Some(why) = args.out.as_deref().and_then(|out| not_ours(out, "reproducer", reproduces)) {
        writeln!(streams.err, "ferret: {why}")?;
        return Ok(exit::USAGE);
    }
    if let Some(why) = args.client.and_then(|client| super::run::impossible(client, scenario, false)) {
        writeln!(streams.err, "ferret: {why}")?;
        return Ok(exit::USAGE);
    }
    let mut changed = scenario.clone();
    changed.sabotage = args.sabotage.or(scenario.sabotage);
    changed.run.client = args.client.unwrap_or(scenario.run.client);
    // What the seed draws is what failed; it is drawn no more from here on.
    let changed = Scenario { swarm: None, ..changed.drawn_by_swarm(seed) };
    let found_by = run::replay_line(scenario, seed, args.sabotage, args.client);
    let search = Search {
        scenario: &changed,
        seed,
        goal: args.invariant,
        budget: args.budget,
        workers: pool::workers(args.jobs),
        found_by: &found_by,
    };
    let default = PathBuf::from(format!("{}-{seed}.repro.toml", scenario.name));
    let out = args.out.as_deref().unwrap_or(&default);
    match search.run(simulate, interrupt, streams, out)? {
        Ok(_) => Ok(Verdict::Violated.exit_code()),
        Err(_) if interrupt.asked() => Ok(exit::INCOMPLETE),
        Err(verdict) => Ok(verdict.exit_code()),
    }
}

impl Search<'_> {
    /// Shrinks, tells of it on the output, and writes the file, whose path it gives. `Err` is the
    /// verdict of a run that shows nothing to keep.
    pub(super) fn run<S: Simulate>(
        &self,
        simulate: &S,
        interrupt: &Interrupt,
        streams: &mut Streams<'_>,
        out: &Path,
    ) -> io::Result<Result<PathBuf, Verdict>> {
        prepare(out)?;
        let _silence = Silence::keep();
        let request = Request::default();
        let (first, _) =
            pool::simulate_apart(simulate, self.scenario, self.seed, &request, interrupt, &Progress::default());
        if interrupt.asked() {
            let (name, seed) = (&self.scenario.name, self.seed);
            writeln!(streams.out, "{name} with seed {seed}: interrupted before it was known to fail")?;
            return Ok(Err(Verdict::Incomplete));
        }
        let shown = Goal::all_of(&first.record);
        let Some(goal) = self.goal.or(shown.first().copied()).filter(|goal| shown.contains(goal)) else {
            let why = self.nothing_to_keep(&first.record, &shown);
            writeln!(streams.out, "{} with seed {}: {why}", self.scenario.name, self.seed)?;
            return Ok(Err(first.record.verdict));
        };
        let concrete = prepared(self.scenario.concrete(self.seed, &first.history), goal);
        let concrete = Scenario::parse(&concrete.path, &concrete.to_toml())
            .map_err(|problems| io::Error::other(format!("a concrete scenario is not valid: {problems:?}")))?;
        let mut laboratory = Laboratory::new(simulate, interrupt, streams, goal, (self.workers, self.budget));
        // A timeline that waited for a leader may begin a tick off, and miss.
        let start = laboratory.try_one(&concrete).unwrap_or_else(|| {
            let mut drawn = prepared(self.scenario.clone(), goal);
            drawn.run.seeds = Seeds { from: self.seed, count: 1 };
            let sights = Sights::of(goal, &first.record, &first.history);
            Found { scenario: drawn, record: first.record.clone(), sights }
        });
        let exact = start.record.trace_hash == first.record.trace_hash;
        let before = start.size();
        let best = shrink::shrink(goal, start, &mut laboratory);
        laboratory.clear();
        let (runs, spent) = (laboratory.runs, laboratory.elapsed());
        let removed = best.size().less_than(&before);
        let repro = self.write(goal, &best, &removed, out)?;
        let style = streams.out_style;
        let stopped = if interrupt.asked() { ", stopped early" } else { "" };
        writeln!(
            streams.out,
            "shrunk            {}  seed {}: {removed} ({runs} runs in {:.0} s{stopped})",
            self.scenario.name,
            self.seed,
            spent.as_secs_f64(),
        )?;
        let because = format!("{}: {}", goal.name(), goal.explanation(&best.record));
        writeln!(streams.out, "{}", style.bad(&terminal::wrapped("  still violated: ", &because, style.width)))?;
        for step in &best.scenario.steps {
            writeln!(streams.out, "  {}", best.scenario.step(step))?;
        }
        if !exact {
            writeln!(streams.out, "  (the concrete timeline is not to the tick that of the seed)")?;
        }
        writeln!(streams.out, "  replay: ferret replay {}", run::quoted(&repro.shown()))?;
        Ok(Ok(repro))
    }

    /// Why a run that shows `shown` is not shrunk.
    fn nothing_to_keep(&self, record: &RunRecord, shown: &[Goal]) -> String {
        let wanted = match self.goal {
            None => "nothing is violated".to_owned(),
            Some(Goal::Panics) => "nothing panics".to_owned(),
            Some(goal) => format!("{} is not violated", goal.name()),
        };
        match (shown.first(), record.verdict) {
            (Some(other), _) => format!("{wanted}, but {0} is: shrink it with --invariant {0}", other.name()),
            (None, Verdict::Pass) => format!("{wanted}, there is nothing to shrink"),
            (None, verdict) => format!("{wanted}; {}", beyond_shrinking(verdict)),
        }
    }

    fn write(&self, goal: Goal, best: &Found, removed: &str, out: &Path) -> io::Result<PathBuf> {
        let mut scenario = best.scenario.clone();
        scenario.repro = Some(Repro {
            violates: goal.name().to_owned(),
            trace: best.record.trace_hash.clone(),
            build: build_id().to_owned(),
            found_by: self.found_by.to_owned(),
            text_hash: String::new(),
        });
        let size = best.size();
        let faults = if size.faults == 1 { "fault" } else { "faults" };
        let messages = if size.messages == 1 { "message" } else { "messages" };
        let head = format!(
            "# Violates {} with {} {faults} and {} {messages}.\n# Shrunk from {}: {removed}.\n\n",
            goal.name(),
            size.faults,
            size.messages,
            self.found_by,
        );
        let hash = Repro::hash_of(&scenario.to_toml());
        scenario.repro.iter_mut().for_each(|repro| repro.text_hash.clone_from(&hash));
        write_file(out, head + &scenario.to_toml())?;
        Ok(out.to_owned())
    }
}

/// What is told of a run that fails, and not by what can be kept while the rest is taken away.
pub(super) fn beyond_shrinking(verdict: Verdict) -> String {
    format!("it ends with \"{}\", and only violations and panics are shrunk", terminal::verdict_name(verdict))
}

/// What the name of a reproducer ends with.
const REPRO: &str = "-repro";

/// A scenario that asks for the goal and for nothing else.
fn prepared(mut scenario: Scenario, goal: Goal) -> Scenario {
    if !scenario.name.ends_with(REPRO) {
        // A name has ASCII characters only.
        scenario.name.truncate(NAME_BYTES_MAX - REPRO.len());
        scenario.name += REPRO;
    }
    scenario.tags.clear();
    scenario.repro = None;
    scenario.expect = Expect::default();
    if let Goal::Violates(invariant) = goal {
        scenario.expect.invariants.insert(invariant);
    }
    scenario
}

/// The first record of each scenario that fails by what can be shrunk, by index; or else the first that fails
/// otherwise.
pub(super) fn first_failures(records: &[RunRecord]) -> Vec<usize> {
    let mut firsts: Vec<(&str, bool, usize)> = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let path = record.scenario.path.as_str();
        let can_be = !Goal::all_of(record).is_empty();
        if !can_be && matches!(record.verdict, Verdict::Pass | Verdict::Incomplete) {
            continue;
        }
        match firsts.iter_mut().find(|(known, ..)| *known == path) {
            None => firsts.push((path, can_be, index)),
            Some(first) if can_be && !first.1 => *first = (path, can_be, index),
            Some(_) => {}
        }
    }
    firsts.into_iter().map(|(.., index)| index).collect()
}
