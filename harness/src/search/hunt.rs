//! One planted bug against seed after seed, until an invariant tells.

use std::time::Duration;

use ferret_reports::{RunRecord, Verdict};
use serde::Serialize;
use warren::platform::Sabotage;

/// The catcher of a bug that lets two runs of one seed differ: a second run.
pub const DETERMINISM: &str = "determinism";

/// Whether only a second run of the same seed can tell of the bug.
pub fn needs_two_runs(bug: Sabotage) -> bool {
    bug.caught_by().contains(&DETERMINISM)
}

/// How much may be spent on one bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Runs, each with a seed of its own.
    pub seeds: u64,
    /// Processor time; the run under way when it is spent still counts.
    pub cpu: Duration,
}

/// What told of a bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Catch {
    /// The invariants that were violated, [`PANIC`], or [`DETERMINISM`].
    pub by: Vec<String>,
    /// The first one's witness, in a sentence.
    pub why: String,
    /// The command that shows it again.
    pub replay: String,
}

/// What came of the hunt for one bug.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hunted {
    /// `None`: nothing was planted, this is the control.
    pub bug: Option<&'static str>,
    pub catch: Option<Catch>,
    /// Seeds tried; the last of them caught it, if one did.
    pub seeds: u64,
    pub cpu_seconds: f64,
    pub virtual_seconds: f64,
    /// Runs that ended neither well nor with a violation, by verdict: a hunt that has many tests less than it seems.
    pub unfinished: Vec<String>,
}

impl Hunted {
    /// The bug was caught by something that its entry does not name.
    pub fn is_surprising(&self) -> bool {
        let expected = self.bug.and_then(Sabotage::from_name).map_or(&[][..], Sabotage::caught_by);
        self.catch.as_ref().is_some_and(|catch| catch.by.iter().all(|name| !expected.contains(&name.as_str())))
    }
}

/// What the runs with nothing planted came to, all together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Toll {
    pub runs: usize,
    /// Those that were taken for a violation.
    pub alarms: usize,
    pub cpu_seconds: f64,
    pub virtual_seconds: f64,
}

impl Toll {
    pub fn of(control: &[Hunted]) -> Self {
        Self {
            runs: control.len(),
            alarms: control.iter().filter(|one| one.catch.is_some()).count(),
            cpu_seconds: control.iter().fold(0.0, |sum, one| sum + one.cpu_seconds),
            virtual_seconds: control.iter().fold(0.0, |sum, one| sum + one.virtual_seconds),
        }
    }
}

/// One run as the hunt sees it.
pub struct Run {
    pub record: RunRecord,
    pub cpu: Duration,
}

/// Tries `bug` with the seeds 1, 2, … as `run` runs them. `None` from `run` ends the hunt early.
pub fn hunt(bug: Sabotage, limits: Limits, mut run: impl FnMut(u64) -> Option<Run>) -> Hunted {
    let mut hunted = Hunted::begin(Some(bug.name()));
    for seed in 1..=limits.seeds {
        let Some(run) = run(seed) else { break };
        hunted.add(&run);
        if hunted.catch.is_some() || hunted.cpu_seconds >= limits.cpu.as_secs_f64() {
            break;
        }
    }
    hunted
}

/// One seed with nothing planted: a catch is a false alarm, or a bug that nobody planted.
pub fn control(run: &Run) -> Hunted {
    let mut hunted = Hunted::begin(None);
    hunted.add(run);
    hunted
}

impl Hunted {
    fn begin(bug: Option<&'static str>) -> Self {
        Self { bug, catch: None, seeds: 0, cpu_seconds: 0.0, virtual_seconds: 0.0, unfinished: Vec::new() }
    }

    fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.cpu_seconds += run.cpu.as_secs_f64();
        self.virtual_seconds += run.record.virtual_seconds;
        self.catch = catch(&run.record);
        if self.catch.is_none() && run.record.verdict != Verdict::Pass {
            let reason = run.record.reasons.first().map_or("", String::as_str);
            self.unfinished.push(format!("{} seed {}: {reason}", run.record.scenario.name, run.record.seed));
        }
    }
}

/// What a run's record tells against the broker.
pub fn catch(record: &RunRecord) -> Option<Catch> {
    let violated: Vec<_> = record.violated().collect();
    let replay = record.replay.clone();
    let reason = || record.reasons.first().cloned().unwrap_or_default();
    if record.verdict == Verdict::NotDeterministic {
        return Some(Catch { by: vec![DETERMINISM.to_owned()], why: reason(), replay });
    }
    if let Some(first) = violated.first() {
        let by = violated.iter().map(|result| result.name.clone()).collect();
        return Some(Catch { by, why: first.explanation.clone().unwrap_or_default(), replay });
    }
    None
}
