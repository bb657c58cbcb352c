//! Runs in parallel, results in order.
//!
//! Every simulation gets a fresh thread, because the overrides of entropy and time that make it deterministic belong
//! to a thread. How many run at once changes nothing in any of them.

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use ferret_reports::{RunRecord, Verdict};
use warren::platform::Sabotage;

use super::{
    artifacts::{self, Keep},
    beat::Beat,
    interrupt::Interrupt,
    noticed::MustTell,
    simulate::{Request, Simulate, Simulated},
    sometimes,
    sweep::Limits,
    twice,
};
use crate::{
    history::History,
    progress::Progress,
    run::{self, RunOptions},
    scenario::Scenario,
    search::{results::slim, thread_cpu},
};

/// A simulation's futures are large, and so are its checkers' recursions.
const STACK_BYTES: usize = 32 * 1024 * 1024;
/// How often progress is shown.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// One scenario with one seed.
pub(super) struct Job<'a> {
    pub(super) scenario: &'a Scenario,
    /// The jobs of one scenario have one number.
    pub(super) group: usize,
    /// No later job is of the same scenario.
    pub(super) last: bool,
    pub(super) seed: u64,
    /// The planted bug to switch on instead of the scenario's.
    pub(super) sabotage: Option<Sabotage>,
    /// Where its files go.
    pub(super) folder: PathBuf,
    /// Run it twice and compare.
    pub(super) twice: bool,
}

/// How all jobs are run.
pub(super) struct Pool<'a, S> {
    pub(super) simulate: &'a S,
    pub(super) request: Request,
    /// Judge what must happen at least once over the seeds of a scenario.
    pub(super) sometimes: bool,
    /// Which of the runs must tell of a planted bug; only all jobs together show whether one does.
    pub(super) must_tell: MustTell,
    /// The jobs are all that was asked for, not one part of several.
    pub(super) whole: bool,
    /// Jobs at a time.
    pub(super) workers: usize,
    pub(super) interrupt: &'a Interrupt,
    pub(super) limits: &'a Limits,
    pub(super) keep: Keep,
    /// Give back the records of passing runs without their pictures.
    pub(super) slim: bool,
}

/// A job under way.
pub(super) struct Running {
    pub(super) job: usize,
    pub(super) progress: Arc<Progress>,
}

impl<S: Simulate> Pool<'_, S> {
    /// Runs the jobs. `finished` hears of each, in their order, with those before it; `tick` now and then of what is
    /// under way, with the number of jobs finished so far. After an interrupt, or beyond the limits, no job is
    /// begun.
    ///
    /// # Errors
    /// The first failure to write a run's files, or of `finished`.
    pub(super) fn run(
        &self,
        jobs: &[Job<'_>],
        mut finished: impl FnMut(&[RunRecord]) -> io::Result<()>,
        mut tick: impl FnMut(usize, &[Running]),
    ) -> io::Result<Vec<RunRecord>> {
        let (sender, receiver) = mpsc::channel();
        let mut running: Vec<Running> = Vec::new();
        let mut early = BTreeMap::new();
        let mut records = Vec::new();
        let (mut next, mut failed) = (0, 0);
        let mut beat = Beat::every(TICK);
        thread::scope(|scope| {
            loop {
                while next < jobs.len()
                    && running.len() < self.workers
                    && !self.interrupt.asked()
                    && !self.limits.reached(failed)
                {
                    let progress = Arc::new(Progress::default());
                    running.push(Running { job: next, progress: progress.clone() });
                    let (sender, job, index) = (sender.clone(), &jobs[next], next);
                    scope.spawn(move || {
                        let result = self.job(job, &progress);
                        // The receiver is gone only if an earlier job's files could not be written.
                        let _ = sender.send((index, result));
                    });
                    next += 1;
                }
                if running.is_empty() {
                    return Ok(records);
                }
                if let Ok((index, result)) = receiver.recv_timeout(beat.left()) {
                    running.retain(|one| one.job != index);
                    let record = result.inspect_err(|_| self.interrupt.ask())?;
                    failed += usize::from(record.verdict != Verdict::Pass);
                    early.insert(index, record);
                    while let Some(record) = early.remove(&records.len()) {
                        records.push(record);
                        let told = self.judge_seeds(jobs, &mut records).and_then(|()| finished(&records));
                        told.inspect_err(|_| self.interrupt.ask())?;
                        if self.slim
                            && let Some(last) = records.pop_if(|record| record.verdict == Verdict::Pass)
                        {
                            records.push(slim(last));
                        }
                    }
                }
                if beat.due() {
                    tick(records.len() + early.len(), &running);
                }
            }
        })
    }

    /// When the last seed of a scenario is done, or of all, judges what only all of them together can show.
    fn judge_seeds(&self, jobs: &[Job<'_>], records: &mut [RunRecord]) -> io::Result<()> {
        let last = records.len() - 1;
        let mut changed = false;
        if self.sometimes && jobs[last].last {
            let same = jobs.iter().zip(records.iter_mut()).filter(|(job, _)| job.group == jobs[last].group);
            let mut seeds: Vec<&mut RunRecord> = same.map(|(_, record)| record).collect();
            changed = sometimes::judge(&mut seeds);
        }
        if self.whole && records.len() == jobs.len() {
            changed |= self.must_tell.judge_all(records);
        }
        if changed {
            artifacts::write_record(&jobs[last].folder, &records[last])?;
        }
        Ok(())
    }

    fn job(&self, job: &Job<'_>, progress: &Progress) -> io::Result<RunRecord> {
        let mut first = self.simulate(job, progress);
        if job.twice && !self.interrupt.asked() {
            let second = self.simulate(job, progress);
            // A run that was cut short tells nothing about the other.
            if !self.interrupt.asked() {
                twice::compare::<S>(&mut first, &second);
            }
        }
        self.must_tell.judge_run(&mut first.record);
        artifacts::write_run(&job.folder, &first.record, &first.history, self.keep)?;
        if job.has_drawn() && first.record.scenario.text != job.scenario.text {
            artifacts::write_drawn(&job.drawn(), &first.record)?;
        }
        Ok(first.record)
    }

    fn simulate(&self, job: &Job<'_>, progress: &Progress) -> Simulated<S::Event> {
        let sabotage = job.sabotage.or(self.request.sabotage);
        let request = Request { sabotage, record_trace: job.twice, ..self.request };
        simulate_apart(self.simulate, job.scenario, job.seed, &request, self.interrupt, progress).0
    }
}

impl Job<'_> {
    /// Whether its faults are drawn by a swarm.
    pub(super) fn has_drawn(&self) -> bool {
        self.scenario.swarm.is_some()
    }

    /// Where the scenario goes that a swarm has drawn.
    pub(super) fn drawn(&self) -> PathBuf {
        self.folder.join("drawn.toml")
    }
}

/// How many runs at a time: what the user asked for, or one per processor core.
pub(super) fn workers(asked: Option<NonZeroUsize>) -> usize {
    asked.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// One run on a fresh thread, with the processor time that it took (wall time where the system does not tell).
pub(super) fn simulate_apart<S: Simulate>(
    simulate: &S,
    scenario: &Scenario,
    seed: u64,
    request: &Request,
    interrupt: &Interrupt,
    progress: &Progress,
) -> (Simulated<S::Event>, Duration) {
    let result = thread::scope(|scope| {
        let run = || {
            let simulated = simulate.simulate(scenario, seed, request, interrupt.flag(), progress);
            let spent = thread_cpu().map(|judging| judging + simulated.cpu.unwrap_or_default());
            (simulated, spent)
        };
        let name = format!("{} {}", scenario.name, seed);
        let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn_scoped(scope, run);
        thread
            .map_err(|error| format!("no thread for the simulation: {error}"))?
            .join()
            .map_err(|panic| panicked(&*panic))
    });
    let (simulated, spent) = result.unwrap_or_else(|reason| {
        let record = internal(scenario, seed, request, reason);
        let history = History::default();
        (Simulated::of(record, history), None)
    });
    let wall = Duration::try_from_secs_f64(simulated.record.wall_seconds).unwrap_or_default();
    (simulated, spent.unwrap_or(wall))
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the simulation panicked: {}", message.unwrap_or("(no message)"))
}

/// The record of a run that the harness itself broke.
fn internal(scenario: &Scenario, seed: u64, request: &Request, reason: String) -> RunRecord {
    let Request { sabotage, client, .. } = *request;
    let options = RunOptions { sabotage, client, ..RunOptions::default() };
    let scenario = Scenario { sabotage: sabotage.or(scenario.sabotage), ..scenario.clone() };
    RunRecord {
        trace_hash: "0".repeat(16),
        verdict: Verdict::Internal,
        reasons: vec![reason],
        ..run::blank_record(&scenario, seed, &options)
    }
}
