//! Many runs as one: planned, shared out, limited, and written down. `ferret run` and `ferret gate` both do it.

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use ferret_reports::{
    PlannedRun, RunRecord, SWEEP_VERSION, Slice, Stopped, SweepRecord, SweptRun, SweptScenario, Unmade, UnmadeRun,
    Verdict, grouped,
};

use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::{self, Artifacts, Keep},
    build_id,
    interrupt::Interrupt,
    live,
    noticed::{MATCHING, MustTell},
    pool::{Job, Pool},
    run::MessageFormat,
    simulate::{Request, Simulate},
    sometimes, terminal,
};
use crate::{
    scenario::Scenario,
    search::{
        plan::{self, Order, Seeds},
        results,
    },
};

/// So many runs are a sweep, of which a sample is run twice.
const SWEEP_RUNS: usize = 20;
/// The first of so many runs of a sweep is run twice.
const SAMPLE_EVERY: usize = 50;

/// A sweep of more runs keeps the pictures of those that passed only on disk.
const PICTURES_MAX: usize = 200;

/// What to run, and how.
pub(super) struct Sweep<'a> {
    pub(super) scenarios: &'a [Scenario],
    /// All of it, whichever slice is run.
    pub(super) plan: Vec<PlannedRun>,
    /// The plan is only as long as it is because it must end somewhere.
    pub(super) open: bool,
    pub(super) slice: Option<Slice>,
    /// Judge what must happen at least once over the seeds of a scenario.
    pub(super) sometimes: bool,
    /// Per scenario, the planted bug to switch on instead of its own.
    pub(super) sabotage: Vec<Option<Sabotage>>,
    /// Which runs must tell of it.
    pub(super) must_tell: MustTell,
    /// A swarm draws the faults, in every scenario.
    pub(super) swarm: bool,
    pub(super) request: Request,
    /// Run everything twice and compare.
    pub(super) twice: bool,
    pub(super) limits: Limits,
    /// Runs at a time.
    pub(super) workers: usize,
    pub(super) keep: Keep,
}

/// What ends a sweep before its plan does. What is under way by then is finished, and counts.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Nothing is begun after this.
    deadline: Option<Instant>,
    /// Nothing is begun after so many failures.
    failures: Option<usize>,
    hit: OnceLock<Stopped>,
}

impl Limits {
    pub(super) fn new(budget: Option<Duration>, failures: Option<usize>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a budget is time of the user's; no simulation sees it")]
        let deadline = budget.and_then(|budget| Instant::now().checked_add(budget));
        Self { deadline, failures, hit: OnceLock::new() }
    }

    /// Whether the budget is spent.
    pub(super) fn late(&self) -> bool {
        #[expect(clippy::disallowed_methods, reason = "a budget is time of the user's; no simulation sees it")]
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether no run may be begun any more, now that so many have failed.
    pub(super) fn reached(&self, failed: usize) -> bool {
        if self.hit.get().is_none() {
            // What has been set is what came first.
            if self.failures.is_some_and(|most| failed >= most) {
                let _ = self.hit.set(Stopped::Failures);
            } else if self.late() {
                let _ = self.hit.set(Stopped::Budget);
            }
        }
        self.hit.get().is_some()
    }
}

/// What came of a sweep.
pub(super) struct Swept {
    /// In the order of the plan; those of passing runs may be slim.
    pub(super) records: Vec<RunRecord>,
    pub(super) record: SweepRecord,
    /// How many runs there should be; those that were made, if the seeds have no end.
    pub(super) planned: usize,
    /// What was planned and not run; nothing if the seeds have no end.
    pub(super) unmade: Unmade,
    /// How many of the records were compared with a second run.
    pub(super) twice: usize,
    /// Paths of scenarios that were edited since runs of them were made; nothing for runs that are made now.
    pub(super) edited: Vec<String>,
}

impl Swept {
    /// The worst verdict of all; what was planned and is not there makes the whole incomplete, unless the sweep was to
    /// end at the failures that it found, or had no end to come to and made a run at least.
    pub(super) fn verdict(&self) -> Verdict {
        self.record.verdict
    }
}

impl Sweep<'_> {
    /// Runs what is planned, tells about it as it goes, and leaves everything but the summaries on disk.
    ///
    /// # Errors
    /// The first failure to write.
    pub(super) fn run<S: Simulate>(
        &self,
        simulate: &S,
        interrupt: &Interrupt,
        artifacts: &Artifacts,
        format: MessageFormat,
        streams: &mut Streams<'_>,
    ) -> io::Result<Swept> {
        let planned = plan::part(&self.plan, self.slice);
        let names: Vec<&str> = self.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
        let folders = artifacts::folder_names(&names);
        let mut later = BTreeSet::new();
        let job = |run: &PlannedRun| {
            let group = run.scenario as usize;
            let folder = artifacts.run_folder(&folders[group], run.seed);
            let (scenario, sabotage) = (&self.scenarios[group], self.sabotage[group]);
            Job { scenario, group, last: later.insert(group), seed: run.seed, sabotage, folder, twice: false }
        };
        let mut jobs: Vec<Job<'_>> = planned.iter().rev().map(job).collect();
        jobs.reverse();
        let every = match jobs.len() {
            _ if self.twice => Some(1),
            SWEEP_RUNS.. => Some(SAMPLE_EVERY),
            _ => None,
        };
        jobs.iter_mut().step_by(every.unwrap_or(usize::MAX)).for_each(|job| job.twice = every.is_some());
        let pool = Pool {
            simulate,
            request: self.request,
            sometimes: self.sometimes && self.slice.is_none() && !self.open,
            must_tell: self.must_tell,
            whole: self.slice.is_none(),
            workers: self.workers,
            interrupt,
            limits: &self.limits,
            keep: self.keep,
            slim: jobs.len() > PICTURES_MAX,
        };
        let mut records = match format {
            MessageFormat::Human => live::for_people(&pool, &jobs, self.open, streams)?,
            MessageFormat::Json => live::for_programs(&pool, &jobs, streams)?,
        };
        let stopped = self.limits.hit.get().copied().or_else(|| interrupt.asked().then_some(Stopped::Interrupt));
        let stopped = stopped.filter(|_| records.len() < jobs.len());
        self.judge_end(&mut records, (&planned, stopped), (&folders, artifacts), format, streams)?;
        let record = self.record(&records, &planned, &folders, stopped, build_id::program());
        artifacts.write_sweep(&record)?;
        let twice = jobs.iter().take(records.len()).filter(|job| job.twice).count();
        // Seeds without an end are as many as there was time for.
        let planned = if self.open { &planned[..records.len()] } else { &planned[..] };
        let unmade = self.unmade(&planned[records.len()..], stopped);
        Ok(Swept { records, record, planned: planned.len(), unmade, twice, edited: Vec::new() })
    }

    /// A sweep that has ended where it was to end, before its plan: judges what only all runs together can show, and
    /// tells what came of it, since the runs have been told of.
    fn judge_end(
        &self,
        records: &mut [RunRecord],
        (planned, stopped): (&[PlannedRun], Option<Stopped>),
        (folders, artifacts): (&[String], &Artifacts),
        format: MessageFormat,
        streams: &mut Streams<'_>,
    ) -> io::Result<()> {
        let meant = stopped == Some(Stopped::Failures) || (self.open && stopped == Some(Stopped::Budget));
        let Some(last) = records.len().checked_sub(1).filter(|_| meant && self.slice.is_none()) else { return Ok(()) };
        let before: Vec<usize> = records.iter().map(|record| record.reasons.len()).collect();
        if self.open && self.sometimes {
            sometimes::judge_all(planned, records, folders, artifacts)?;
        }
        self.must_tell.judge_whole(records, &folders[planned[last].scenario as usize], artifacts)?;
        for (record, before) in records.iter().zip(before).filter(|(record, before)| record.reasons.len() > *before) {
            // For programs, standard output has one object per run and nothing else.
            let Streams { out, err, .. } = streams;
            let stream: &mut dyn io::Write = if format == MessageFormat::Json { *err } else { *out };
            for reason in &record.reasons[before..] {
                let lead = format!(
                    "{}, after all: {} seed {}: ",
                    terminal::verdict_name(record.verdict),
                    record.scenario.name,
                    record.seed
                );
                writeln!(stream, "{}", terminal::wrapped(&lead, reason, streams.out_style.width))?;
            }
        }
        Ok(())
    }

    /// What is told of runs that were not made.
    pub(super) fn unmade(&self, left: &[PlannedRun], stopped: Option<Stopped>) -> Unmade {
        let why = match stopped {
            Some(Stopped::Budget) => "the budget is spent",
            Some(Stopped::Failures) => "as many runs had failed as were asked for",
            Some(Stopped::Interrupt) => "interrupted",
            None => "nobody has made them",
        };
        let run = |run: &PlannedRun| {
            let Scenario { name, path, .. } = &self.scenarios[run.scenario as usize];
            UnmadeRun { scenario: name.clone(), path: path.clone(), seed: run.seed }
        };
        Unmade { why: why.to_owned(), runs: left.iter().map(run).collect() }
    }

    /// What is written down of `records`, the first of the `planned` runs.
    pub(super) fn record(
        &self,
        records: &[RunRecord],
        planned: &[PlannedRun],
        folders: &[String],
        stopped: Option<Stopped>,
        build: String,
    ) -> SweepRecord {
        SweepRecord {
            version: SWEEP_VERSION,
            build,
            request: self.request_text(),
            scenarios: self.scenarios.iter().map(swept_scenario).collect(),
            plan: if self.open { Vec::new() } else { self.plan.clone() },
            open: self.open,
            slice: self.slice,
            stopped,
            runs: swept_runs(records, planned, folders),
            results_hash: results::results_hash(records),
            verdict: self.must_tell.verdict(verdict(records, planned.len(), stopped, self.open), records),
        }
    }

    /// What a reader of the summary should know.
    pub(super) fn notes(&self, swept: &Swept) -> Vec<String> {
        let mut notes = Vec::new();
        let missing = swept.planned - swept.records.len();
        match swept.record.stopped {
            Some(Stopped::Budget) if self.open && swept.records.is_empty() => {
                notes.push("the budget is spent: no run was made".to_owned())
            }
            Some(Stopped::Budget) if self.open => notes.push("the budget is spent".to_owned()),
            Some(Stopped::Budget) => notes.push(format!("the budget is spent: {missing} planned runs were not made")),
            Some(Stopped::Failures) if self.open => notes.push("as many failures as asked for".to_owned()),
            Some(Stopped::Interrupt) if self.open => notes.push("interrupted".to_owned()),
            Some(Stopped::Failures) => {
                notes.push(format!("as many failures as asked for: {missing} runs were not made"))
            }
            Some(Stopped::Interrupt) | None => {}
        }
        if let Some(slice) = self.slice {
            let whole = self.plan.len();
            notes.push(format!("{slice} of {whole} runs: `ferret merge` judges what all of them must show together"));
        }
        notes
    }

    fn request_text(&self) -> String {
        let mut options = Vec::new();
        let bugs: BTreeSet<&str> = self.sabotage.iter().flatten().map(|bug| bug.name()).collect();
        match bugs.first() {
            // Whatever the scenarios name: it is what was asked for, and what `merge` judges by.
            _ if self.must_tell == MustTell::Each => options.push(format!("--sabotage {MATCHING}")),
            Some(bug) => options.push(format!("--sabotage {bug}")),
            None => {}
        }
        if let Some(client) = self.request.client {
            options.push(format!("--client {}", client.name()));
        }
        if self.swarm {
            options.push("--swarm".to_owned());
        }
        if self.twice {
            options.push("--verify-determinism".to_owned());
        }
        options.join(" ")
    }
}

pub(super) fn swept_scenario(scenario: &Scenario) -> SweptScenario {
    SweptScenario {
        name: scenario.name.clone(),
        path: scenario.path.clone(),
        text_hash: results::text_hash(&scenario.text),
    }
}

/// `records` are those of the first of the `planned` runs.
pub(super) fn swept_runs(records: &[RunRecord], planned: &[PlannedRun], folders: &[String]) -> Vec<SweptRun> {
    let run = |(record, run): (&RunRecord, &PlannedRun)| SweptRun {
        scenario: run.scenario,
        seed: run.seed,
        folder: Path::new(&folders[run.scenario as usize]).join(artifacts::seed_folder(run.seed)).display().to_string(),
        verdict: record.verdict,
        trace_hash: record.trace_hash.clone(),
    };
    records.iter().zip(planned).map(run).collect()
}

/// See [`Swept::verdict`].
pub(super) fn verdict(records: &[RunRecord], planned: usize, stopped: Option<Stopped>, open: bool) -> Verdict {
    // A budget may end what has no end, but not before it has begun.
    let spent = open && stopped == Some(Stopped::Budget) && !records.is_empty();
    let meant = stopped == Some(Stopped::Failures) || spent;
    let unfinished = (records.len() < planned && !meant).then_some(Verdict::Incomplete);
    records.iter().map(|record| record.verdict).chain(unfinished).max().unwrap_or(Verdict::Pass)
}

/// `slice:2/8`.
pub(super) fn slice(text: &str) -> Result<Slice, String> {
    let example = "write slice:2/8 for the second of eight parts";
    let numbers = text.strip_prefix("slice:").ok_or(example)?;
    let (part, of) = numbers.split_once('/').ok_or(example)?;
    let (Ok(part), Ok(of)) = (part.parse::<u32>(), of.parse::<u32>()) else { return Err(example.to_owned()) };
    if part == 0 || part > of {
        return Err(format!("there is no part {part} of {of}: parts are numbered from 1"));
    }
    Ok(Slice { part, of })
}

/// The plan for these scenarios. A limited sweep takes the scenarios in turns, so that none is left out.
///
/// # Errors
/// Why there is none.
pub(super) fn plan_of(seeds: &[Seeds], limited: bool) -> Result<Vec<PlannedRun>, String> {
    if let Some(runs) = plan::too_many(seeds) {
        let (runs, most) = (grouped(runs), grouped(plan::RUNS_MAX as u64));
        return Err(format!(
            "{runs} runs are asked for, and a call plans {most} at most: ask for fewer seeds at a time"
        ));
    }
    let order = if limited { Order::BySeed } else { Order::ByScenario };
    Ok(plan::plan(seeds, order))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{self, RunOptions};

    #[test]
    fn slices_are_numbered_from_one() {
        assert_eq!(slice("slice:2/8"), Ok(Slice { part: 2, of: 8 }));
        for wrong in ["slice:0/8", "slice:9/8", "2/8", "slice:2", "slice:a/b"] {
            assert!(slice(wrong).is_err(), "{wrong}");
        }
    }

    fn passed() -> RunRecord {
        let text = "version = 1\nname = \"a\"\nrun = { duration = \"1s\" }\ncluster = { nodes = 1 }\n\
                    queues = [{ name = \"q\" }]\npublishers = [{ name = \"pub\", queue = \"q\", rate = 1 }]\n";
        let scenario = Scenario::parse("a.toml", text).expect("the scenario is valid");
        run::blank_record(&scenario, 1, &RunOptions::default())
    }

    #[test]
    fn what_was_planned_and_not_run_makes_the_whole_incomplete_unless_it_was_to_end_there() {
        let none = &[][..];
        assert_eq!(verdict(none, 3, Some(Stopped::Budget), false), Verdict::Incomplete);
        assert_eq!(verdict(none, 3, Some(Stopped::Interrupt), true), Verdict::Incomplete);
        assert_eq!(verdict(none, 3, Some(Stopped::Failures), false), Verdict::Pass);
        assert_eq!(verdict(none, 3, Some(Stopped::Budget), true), Verdict::Incomplete);
        assert_eq!(verdict(&[passed()], 3, Some(Stopped::Budget), true), Verdict::Pass);
        assert_eq!(verdict(&[passed()], 3, Some(Stopped::Interrupt), true), Verdict::Incomplete);
        assert_eq!(verdict(none, 0, None, false), Verdict::Pass);
    }
}
