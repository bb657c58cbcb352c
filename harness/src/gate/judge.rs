//! Runs against a policy: one check for each thing that it asks for, and the worst of them all.

use ferret_reports::{GATE_VERSION, GateCheck, GateRecord, RunRecord, Stopped, Verdict};

use warren::platform::Sabotage;

use super::{
    Policy,
    baseline::Comparison,
    policy::{Lined, Planted},
};
use crate::{
    run::metric_time,
    scenario::{Limit, Sometimes, Threshold},
    search::hunt::Catch,
};

/// Everything that the policy is held against.
pub struct Evidence<'a> {
    pub records: &'a [RunRecord],
    /// The worst of them, or `Incomplete` if some are missing.
    pub runs: Verdict,
    /// How many there should be.
    pub planned: usize,
    /// Scenarios that were edited since runs of them were made, which do not count for that.
    pub edited: Vec<String>,
    /// Per planted bug of the policy, in its order; empty if none was hunted.
    pub planted: &'a [Chased],
    /// The bug that was planted in all runs from the command line, and how many of them tell of it.
    pub sabotage: Option<(Sabotage, usize)>,
    pub comparison: Option<Comparison>,
    pub build: String,
    pub results_hash: String,
}

/// What came of planting a bug.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chased {
    pub runs: u64,
    /// By one of the invariants that should tell.
    pub catch: Option<Catch>,
    /// The invariants that told instead.
    pub others: Vec<String>,
    /// What ended the chase before its seeds did.
    pub stopped: Option<Stopped>,
}

/// Whether the runs are good enough.
pub fn judge(policy: &Policy, evidence: Evidence<'_>) -> GateRecord {
    let records = evidence.records;
    let mut checks = vec![runs(policy, &evidence)];
    checks.extend(evidence.sabotage.map(|(bug, telling)| noticed(policy, bug, telling, records)));
    checks.extend(policy.thresholds.iter().map(|threshold| limit(threshold, records)));
    checks.extend(policy.sometimes.iter().map(|sometimes| happened(sometimes, records)));
    checks.extend(policy.planted.iter().zip(evidence.planted).map(|(planted, chased)| caught(planted, chased)));
    if let (Some(baseline), Some(comparison)) = (&policy.baseline, &evidence.comparison) {
        checks.push(GateCheck {
            name: "baseline".to_owned(),
            verdict: comparison.verdict(),
            finding: comparison.finding(),
            line: baseline.line,
            replay: None,
        });
    }
    GateRecord {
        version: GATE_VERSION,
        name: policy.name.clone(),
        policy: policy.path.clone(),
        build: evidence.build,
        verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Pass),
        checks,
        moves: evidence.comparison.map(|comparison| comparison.moves).unwrap_or_default(),
        results_hash: evidence.results_hash,
    }
}

/// Which scenarios, by path, are no more what the runs were made of.
pub fn edited_since(paths: &[String]) -> String {
    let was = if paths.len() == 1 { "was" } else { "were" };
    format!("{} {was} edited since these runs were made", paths.join(", "))
}

/// Every run passes, and none is missing.
fn runs(policy: &Policy, evidence: &Evidence<'_>) -> GateCheck {
    let Evidence { records, planned, edited, .. } = evidence;
    let passed = records.iter().filter(|record| record.verdict == Verdict::Pass).count();
    let mut finding = format!("{passed} of {planned} runs pass");
    if records.len() < *planned {
        let missing = planned - records.len();
        finding += &format!(", {missing} {} not made", if missing == 1 { "was" } else { "were" });
    }
    if !edited.is_empty() {
        finding += &format!(": {}, make them anew", edited_since(edited));
    }
    let failed = records.iter().filter(|record| record.verdict != Verdict::Pass);
    // The first of the worst.
    let worst = failed.rev().max_by_key(|record| record.verdict);
    if let Some(worst) = worst {
        let reason = worst.reasons.first().and_then(|reason| reason.lines().next()).unwrap_or("no reason was given");
        finding += &format!("; {} seed {}: {reason}", worst.scenario.name, worst.seed);
    }
    GateCheck {
        name: "runs".to_owned(),
        verdict: evidence.runs,
        finding,
        line: policy.scenarios_line,
        replay: worst.map(|worst| worst.replay.clone()),
    }
}

/// One run at least tells of the bug that is in all of them: a gate that does not see it could not fail.
fn noticed(policy: &Policy, bug: Sabotage, telling: usize, records: &[RunRecord]) -> GateCheck {
    let (verdict, finding) = match telling {
        0 => (Verdict::Vacuous, format!("not noticed in {} runs", records.len())),
        telling => (Verdict::Pass, format!("noticed in {telling} of {} runs", records.len())),
    };
    GateCheck { name: format!("planted {}", bug.name()), verdict, finding, line: policy.scenarios_line, replay: None }
}

/// Every run that measures it keeps to the limit, and one does measure it.
fn limit(threshold: &Lined<Threshold>, records: &[RunRecord]) -> GateCheck {
    let Threshold { metric, comparison, limit, text } = &threshold.what;
    let Limit::Time(limit) = limit else { unreachable!("the policy's format has metrics of time only") };
    let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    let measured: Vec<(u64, &RunRecord)> =
        records.iter().filter_map(|record| Some((metric_time(*metric, &record.latency)?, record))).collect();
    let upward = comparison.holds(0, 1);
    let worst = measured.iter().copied().rev().max_by_key(|(ns, _)| if upward { *ns } else { u64::MAX - ns });
    let crossed = measured.iter().filter(|(ns, _)| !comparison.holds(*ns, limit_ns)).count();
    let (verdict, finding) = match worst {
        None => (Verdict::Threshold, "no run measured it".to_owned()),
        Some((ns, record)) => {
            let time = std::time::Duration::from_nanos(ns);
            let mut place = format!("{time:.1?} at worst, {} seed {}", record.scenario.name, record.seed);
            if measured.len() < records.len() {
                place += &format!("; measured in {} of {} runs", measured.len(), records.len());
            }
            match crossed {
                0 => (Verdict::Pass, place),
                crossed => (Verdict::Threshold, format!("crossed in {crossed} of {} runs: {place}", measured.len())),
            }
        }
    };
    let replay = worst.filter(|_| crossed > 0).map(|(_, record)| record.replay.clone());
    GateCheck { name: format!("{} {text}", metric.name()), verdict, finding, line: threshold.line, replay }
}

fn happened(sometimes: &Lined<Sometimes>, records: &[RunRecord]) -> GateCheck {
    let name = sometimes.what.name();
    let of = |record: &RunRecord| record.sometimes.iter().find(|result| result.name == name).map_or(0, |one| one.count);
    let runs = records.iter().filter(|record| of(record) > 0).count();
    let times: u64 = records.iter().map(of).sum();
    let (verdict, finding) = match runs {
        0 => (Verdict::Vacuous, format!("never happened in {} runs", records.len())),
        runs => (Verdict::Pass, format!("{times} times in {runs} of {} runs", records.len())),
    };
    GateCheck { name: format!("sometimes {name}"), verdict, finding, line: sometimes.line, replay: None }
}

fn caught(planted: &Lined<Planted>, chased: &Chased) -> GateCheck {
    let (verdict, finding) = match (&chased.catch, chased.stopped) {
        (Some(catch), _) => (Verdict::Pass, format!("caught by {} in run {}", catch.by.join(", "), chased.runs)),
        (None, Some(stopped)) => {
            let why = if stopped == Stopped::Budget { "the budget is spent" } else { "interrupted" };
            (Verdict::Incomplete, format!("not caught in {} runs; {why}", chased.runs))
        }
        (None, None) => {
            let expected: Vec<&str> = planted.what.caught_by.iter().map(|invariant| invariant.name()).collect();
            let by = if expected.is_empty() { String::new() } else { format!(" by {}", expected.join(" or ")) };
            let others = match chased.others.as_slice() {
                [] => String::new(),
                others => format!("; only by {}", others.join(", ")),
            };
            (Verdict::Vacuous, format!("not caught{by} in {} runs{others}", chased.runs))
        }
    };
    let replay = chased.catch.as_ref().map(|catch| catch.replay.clone());
    GateCheck { name: format!("planted {}", planted.what.bug.name()), verdict, finding, line: planted.line, replay }
}

/// Whether what a run with a planted bug showed is what should tell.
pub fn tells(planted: &Planted, catch: &Catch) -> bool {
    planted.caught_by.is_empty()
        || planted.caught_by.iter().any(|invariant| catch.by.iter().any(|by| by == invariant.name()))
}
