//! `ferret gate`: a policy file, one verdict, one exit code.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use ferret_reports::{GateRecord, RunRecord, Slice, SweepRecord, SweptScenario, render_annotations};
use serde_json::json;
use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::{self, Artifacts, Keep, Summary},
    build_id,
    check::{nothing_found, problem_messages, tell_invalid},
    exit,
    gate_table::table,
    interrupt::Interrupt,
    merge,
    noticed::{self, MustTell},
    paths::{Selection, nothing_picked},
    planted::Chase,
    pool,
    reading::read_text,
    render_problem,
    run::{MessageFormat, sabotage_parser},
    shown::Shown,
    simulate::{Request, Simulate},
    sometimes,
    sweep::{self, Limits, Sweep, Swept},
    terminal,
};
use crate::{
    gate::{
        Baseline, Policy,
        baseline::{self, Comparison},
        judge::{self, Chased, Evidence},
    },
    scenario::Scenario,
    search::{plan::Seeds, results},
};

const EXAMPLES: &str = "\
A policy:
  version = 1
  name = \"main\"
  scenarios = [\"smoke\", \"gate\"]            # from the policy's folder on
  filter = \"!tag(soak)\"
  seeds = \"1..3\"                           # default: what each scenario names
  budget = \"10m\"
  max-fail = 5
  [expect]
  sometimes = [\"leader-changed\"]           # in at least one run
  thresholds = { \"confirm.p99\" = \"< 7s\" }  # in every run that measures it
  [[planted]]
  bug = \"confirm-before-sync\"              # must be caught, or the gate could not fail
  seeds = \"1..5\"
  caught-by = [\"durability\"]
  [baseline]
  file = \"gate.baseline.json\"              # from `ferret baseline save`
  tolerance = \"10%\"

Examples:
  ferret gate
      gate.toml, or else scenarios/gate.toml: all runs, all planted bugs, one verdict.
  ferret gate release.toml --annotate github
      Marks beside the lines of the scenarios and of the policy, in a job of GitHub Actions.
  ferret gate --partition slice:1/4 --out part-1      (on four machines, then)
  ferret merge part-1 part-2 part-3 part-4 --out whole
  ferret gate --from whole
      The runs shared out; the rest of the policy where they come together. Refused are runs made
      with options that change them, and by another program if bugs are to be caught. Runs of a
      scenario that was edited since do not count: they are missing.
  ferret gate --sabotage forget-vote
      Can this gate fail? With a bug in every node it must (exit code 100; 104 if no run tells of
      the bug).

It leaves what `ferret run` does, and gate.json; summary.md and junit.xml begin with the policy's
checks. Append summary.md to $GITHUB_STEP_SUMMARY to see it there.

Exit codes (the worst wins: 1 > 103 > 100 > 102 > 5 > 99 > 10 > 104):
    0  pass                             99  a threshold was crossed
    1  internal error                  100  an invariant was violated
    2  wrong usage                     102  undecided
    3  invalid policy or scenario      103  not deterministic
    4  nothing selected                104  vacuous: a planted bug was not caught, a fault had no
    5  runs are missing                     effect, something never happened, or a run is not in
   10  worse than the baseline              the baseline, or only there";

/// Run what a policy asks for, and give one verdict
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret gate --help` for a policy, examples and exit codes.")]
pub(super) struct GateArgs {
    /// The policy file; without it, gate.toml or scenarios/gate.toml
    #[arg(value_name = "POLICY")]
    policy: Option<PathBuf>,

    /// Judge the runs that are in this folder instead of making them
    #[arg(long, value_name = "RUN", conflicts_with_all = ["sabotage", "partition", "jobs"])]
    from: Option<PathBuf>,

    /// Make only every Nth run, from the Kth on, for `ferret merge`; nothing else of the policy is judged
    #[arg(long, value_name = "slice:K/N", value_parser = sweep::slice)]
    partition: Option<Slice>,

    /// Plant a bug in every node: the gate must then fail. The policy's own planted bugs are left out
    #[arg(long, value_name = "NAME", value_parser = sabotage_parser())]
    sabotage: Option<Sabotage>,

    /// Also print annotations, for programs that read them from standard output, among the text for people
    #[arg(long, value_name = "FOR", value_enum)]
    annotate: Option<Annotate>,

    /// What to write on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = MessageFormat::Human)]
    message_format: MessageFormat,

    /// The folder to leave results in, instead of a fresh one below target/ferret
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Of which runs to keep the event history; run.json and the report are always kept
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = Keep::Failed)]
    keep: Keep,

    /// How many runs at a time; the default is the number of processor cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Annotate {
    /// Workflow commands: ::error file=…,line=…
    Github,
}

pub(super) fn gate<S: Simulate>(
    args: &GateArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let found = ["gate.toml", "scenarios/gate.toml"].map(PathBuf::from).into_iter().find(|path| path.exists());
    let Some(path) = args.policy.clone().or(found) else {
        writeln!(streams.err, "ferret: no policy: name one, or write gate.toml (see `ferret gate --help`)")?;
        return Ok(exit::USAGE);
    };
    if args.annotate.is_some() && args.message_format == MessageFormat::Json {
        writeln!(
            streams.err,
            "ferret: --annotate writes lines among which no JSON can be read: leave out one of them"
        )?;
        return Ok(exit::USAGE);
    }
    let policy = match read(&path, args.message_format, streams)? {
        Ok(policy) => policy,
        Err(code) => return Ok(code),
    };
    let selection = match select(&policy, args.message_format, streams)? {
        Ok(selection) => selection,
        Err(code) => return Ok(code),
    };
    // All that can be wrong is said before anything runs.
    let mut chases = Vec::new();
    for planted in &policy.planted {
        let own = planted
            .what
            .scenarios
            .as_deref()
            .map(|paths| select_all(paths, args.message_format, streams))
            .transpose()?;
        match own.transpose() {
            Ok(own) => chases.push(own),
            Err(code) => return Ok(code),
        }
    }
    let baseline = match &policy.baseline {
        Some(baseline) => match read_baseline(&baseline.what.file, streams)? {
            Ok(baseline) => Some(baseline),
            Err(code) => return Ok(code),
        },
        None => None,
    };
    let earlier = match args.from.as_deref().map(|from| earlier(from, &policy)).transpose() {
        Ok(earlier) => earlier,
        Err(why) => {
            writeln!(streams.err, "ferret: {why}")?;
            return Ok(exit::INCOMPLETE);
        }
    };
    let seeds: Vec<Seeds> = selection.picked().map(|(scenario, stored)| seeds_of(&policy, scenario, stored)).collect();
    let plan = match sweep::plan_of(&seeds, policy.budget.is_some() || policy.max_fail.is_some()) {
        Ok(plan) => plan,
        Err(why) => {
            writeln!(streams.err, "ferret: {}: {why}", path.shown())?;
            return Ok(exit::INVALID_SCENARIO);
        }
    };
    let scenarios = chases.iter().flatten().chain([&selection]).flat_map(|selection| &selection.scenarios);
    let mut inputs: Vec<&Path> = scenarios.map(|scenario| Path::new(scenario.path.as_str())).collect();
    inputs.extend(args.from.as_deref());
    let artifacts = match Artifacts::anew(args.out.as_deref(), &inputs, streams)? {
        Ok(artifacts) => artifacts,
        Err(why) => {
            writeln!(streams.err, "ferret: {why}")?;
            return Ok(exit::USAGE);
        }
    };
    let sweep = Sweep {
        scenarios: &selection.scenarios,
        plan,
        open: false,
        slice: args.partition,
        sometimes: true,
        sabotage: vec![args.sabotage; selection.scenarios.len()],
        // The gate judges that itself, as one of its checks.
        must_tell: MustTell::Nobody,
        swarm: false,
        request: Request::default(),
        twice: false,
        limits: Limits::new(policy.budget, policy.max_fail),
        workers: pool::workers(args.jobs),
        keep: args.keep,
    };
    let swept = match earlier {
        Some(earlier) => taken(&sweep, earlier, args.from.as_deref().unwrap_or(Path::new("")), &artifacts)?,
        None => sweep.run(simulate, interrupt, &artifacts, args.message_format, streams)?,
    };
    if args.partition.is_some() {
        artifacts.write_summary(&swept.records, (&swept.record, &swept.unmade), Summary::Runs)?;
        if args.annotate == Some(Annotate::Github) {
            write!(streams.out, "{}", render_annotations(&swept.records, None))?;
        }
        if args.message_format == MessageFormat::Human {
            writeln!(
                streams.out,
                "\n{}",
                terminal::summary(&swept.records, swept.planned, swept.twice, streams.out_style)
            )?;
            sweep.notes(&swept).iter().try_for_each(|note| writeln!(streams.out, "{note}"))?;
            writeln!(streams.out, "report: {}", artifacts.report().shown())?;
        }
        return Ok(swept.verdict().exit_code());
    }
    let mut planted = Vec::new();
    if args.sabotage.is_none() {
        let mut bugs = Vec::new();
        for (planted, own) in policy.planted.iter().zip(&chases) {
            let scenarios: &[Scenario] = own.as_ref().map_or(&selection.scenarios, |own| &own.scenarios);
            bugs.push(Chase { planted: &planted.what, scenarios });
        }
        planted = super::planted::chase_all(&bugs, simulate, (interrupt, &sweep.limits), sweep.workers, streams);
    }
    let sabotage = args.sabotage.map(|bug| {
        let runs = swept.records.iter().filter(|record| noticed::tells(record)).count();
        (bug, runs)
    });
    let comparison = baseline.map(|baseline| compare(&policy, &baseline, &swept.records));
    let record = judge::judge(&policy, Evidence { sabotage, ..evidence(&swept, &planted, comparison) });
    artifacts.write_summary(&swept.records, (&swept.record, &swept.unmade), Summary::Gate(&record))?;
    tell(args, &record, &swept, &artifacts, streams)?;
    Ok(record.verdict.exit_code())
}

fn tell(
    args: &GateArgs,
    record: &GateRecord,
    swept: &Swept,
    artifacts: &Artifacts,
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    if args.annotate == Some(Annotate::Github) {
        write!(streams.out, "{}", render_annotations(&swept.records, Some(record)))?;
    }
    match args.message_format {
        MessageFormat::Json => writeln!(streams.out, "{}", json!({ "gate": record })),
        MessageFormat::Human => {
            write!(streams.out, "\n{}", table(record, streams.out_style))?;
            writeln!(streams.out, "results: {}", record.results_hash)?;
            writeln!(streams.out, "report: {}", artifacts.report().shown())
        }
    }
}

fn compare(policy: &Policy, baseline: &Baseline, records: &[RunRecord]) -> Comparison {
    let tolerance = policy.baseline.as_ref().map(|baseline| baseline.what.tolerance.clone()).unwrap_or_default();
    baseline::compare(baseline, records, &tolerance)
}

fn evidence<'a>(swept: &'a Swept, planted: &'a [Chased], comparison: Option<Comparison>) -> Evidence<'a> {
    Evidence {
        records: &swept.records,
        runs: swept.verdict(),
        planned: swept.planned,
        edited: swept.edited.clone(),
        planted,
        sabotage: None,
        comparison,
        build: swept.record.build.clone(),
        results_hash: swept.record.results_hash.clone(),
    }
}

/// The options of `ferret run` under which a run is what it is without them.
const SAME_RUNS: [&str; 2] = ["", "--verify-determinism"];

/// Whether the runs in `folder` are what their scenarios say, not what options made of them.
pub(super) fn as_scenarios_say(folder: &Path, sweep: &SweepRecord) -> Result<(), String> {
    if SAME_RUNS.contains(&sweep.request.as_str()) {
        return Ok(());
    }
    let (folder, options) = (folder.shown(), &sweep.request);
    Err(format!(
        "the runs in {folder} were made with {options}, and are judged and compared as their scenarios say: make them \
         without"
    ))
}

/// Runs that were made before and that a policy can judge; or why it cannot.
fn earlier(from: &Path, policy: &Policy) -> Result<(SweepRecord, Vec<RunRecord>), String> {
    let (sweep, records) = merge::read_whole(from)?;
    let folder = from.shown();
    as_scenarios_say(from, &sweep)?;
    // What a planted bug proves, it proves of the program that is here.
    let here = build_id::program();
    if !policy.planted.is_empty() && (sweep.build != here || here.ends_with("unknown")) {
        let made = &sweep.build;
        return Err(format!(
            "the runs in {folder} were made by {made}, and planted bugs would be caught by {here}: use the program that \
             made the runs"
        ));
    }
    Ok((sweep, records))
}

/// Runs that were made before, with their files, as if they had been made now: those of the plan, in its order. The
/// others do not count.
fn taken(
    sweep: &Sweep<'_>,
    (earlier, made): (SweepRecord, Vec<RunRecord>),
    from: &Path,
    artifacts: &Artifacts,
) -> io::Result<Swept> {
    let mut known = BTreeMap::new();
    let mut made_of = BTreeSet::new();
    for (index, run) in earlier.runs.iter().enumerate() {
        let SweptScenario { name, text_hash, .. } = &earlier.scenarios[run.scenario as usize];
        known.entry((name.as_str(), text_hash.as_str(), run.seed)).or_insert(index);
        made_of.insert((name.as_str(), run.seed));
    }
    let hashes: Vec<String> = sweep.scenarios.iter().map(|scenario| results::text_hash(&scenario.text)).collect();
    let names: Vec<&str> = sweep.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let folders = artifacts::folder_names(&names);
    let (mut records, mut there, mut left, mut edited) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    for planned in &sweep.plan {
        let scenario = planned.scenario as usize;
        let Some(&index) = known.get(&(names[scenario], hashes[scenario].as_str(), planned.seed)) else {
            left.push(*planned);
            // Only of another text.
            if made_of.contains(&(names[scenario], planned.seed)) {
                edited.insert(sweep.scenarios[scenario].path.clone());
            }
            continue;
        };
        let to = artifacts.run_folder(&folders[scenario], planned.seed);
        merge::copy(&from.join(&earlier.runs[index].folder), &to)?;
        records.push(made[index].clone());
        there.push(*planned);
    }
    // Whoever made them may have judged more seeds together, or fewer.
    sometimes::judge_all(&there, &mut records, &folders, artifacts)?;
    let mut record = sweep.record(&records, &there, &folders, None, earlier.build);
    record.request = earlier.request;
    record.verdict = sweep::verdict(&records, sweep.plan.len(), None, false);
    artifacts.write_sweep(&record)?;
    let mut unmade = sweep.unmade(&left, earlier.stopped);
    let edited: Vec<String> = edited.into_iter().collect();
    if !edited.is_empty() {
        let since = crate::gate::judge::edited_since(&edited);
        unmade.why = match earlier.stopped {
            Some(_) => format!("{}; {since}", unmade.why),
            None => since,
        };
    }
    Ok(Swept { records, record, planned: sweep.plan.len(), unmade, twice: 0, edited })
}

fn seeds_of(policy: &Policy, scenario: &Scenario, stored: &[u64]) -> Seeds {
    let crate::scenario::Seeds { from, count } = scenario.run.seeds;
    match policy.seeds {
        Some(range) => range.seeds(stored),
        None => Seeds { stored: stored.to_vec(), first: from, count: Some(count) },
    }
}

fn read(path: &Path, format: MessageFormat, streams: &mut Streams<'_>) -> io::Result<Result<Policy, u8>> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(error) => {
            writeln!(streams.err, "ferret: {}: {error}", path.shown())?;
            if format == MessageFormat::Json {
                let why = error.to_string();
                let told = json!({ "policy": path.shown(), "verdict": "unreadable", "explanation": why });
                writeln!(streams.out, "{told}")?;
            }
            return Ok(Err(exit::INVALID_SCENARIO));
        }
    };
    match Policy::parse(&path.to_string_lossy(), &text) {
        Ok(policy) => Ok(Ok(policy)),
        Err(problems) => {
            for problem in &problems {
                writeln!(streams.err, "{}", render_problem(problem, streams.err_style))?;
            }
            if format == MessageFormat::Json {
                let problems = problem_messages(&problems);
                let told = json!({ "policy": path.shown(), "verdict": "invalid", "problems": problems });
                writeln!(streams.out, "{told}")?;
            }
            Ok(Err(exit::INVALID_SCENARIO))
        }
    }
}

pub(super) fn read_baseline(path: &Path, streams: &mut Streams<'_>) -> io::Result<Result<Baseline, u8>> {
    let text = read_text(path).map_err(|error| error.to_string());
    match text.and_then(|text| Baseline::parse(&text)) {
        Ok(baseline) => Ok(Ok(baseline)),
        Err(why) => {
            writeln!(streams.err, "ferret: {} is no baseline: {why}", path.shown())?;
            Ok(Err(exit::INVALID_SCENARIO))
        }
    }
}

/// The scenarios of the policy that its filter picks.
fn select(policy: &Policy, format: MessageFormat, streams: &mut Streams<'_>) -> io::Result<Result<Selection, u8>> {
    let paths = &policy.scenarios;
    let mut selection = match select_all(paths, format, streams)? {
        Ok(selection) => selection,
        Err(code) => return Ok(Err(code)),
    };
    if let Some((text, filter)) = &policy.filter {
        selection.keep(filter);
        if selection.is_empty() {
            return nothing_picked(text, paths, streams).map(Err);
        }
    }
    Ok(Ok(selection))
}

fn select_all(
    paths: &[PathBuf],
    format: MessageFormat,
    streams: &mut Streams<'_>,
) -> io::Result<Result<Selection, u8>> {
    let selection = Selection::read(paths);
    if selection.is_empty() {
        return nothing_found(streams).map(Err);
    }
    if !selection.is_valid() {
        tell_invalid(&selection, format, streams)?;
        return Ok(Err(exit::INVALID_SCENARIO));
    }
    Ok(Ok(selection))
}
