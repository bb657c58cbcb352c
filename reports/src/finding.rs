//! What a run found, in words: the headline, and the one sentence that says why.

use crate::{
    InvariantResult, InvariantVerdict, RunRecord, Unmade, Verdict,
    quantity::{count, list, some},
    violated,
};

/// A verdict as one word or two.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    verdict.word()
}

/// The finding that follows the verdict's word: "13 invariants hold through 3 faults".
pub(crate) fn headline(run: &RunRecord) -> String {
    match run.verdict {
        Verdict::Pass => {
            let violated = named(run, InvariantVerdict::Violated);
            if violated.is_empty() {
                let holding = named(run, InvariantVerdict::Holds).len();
                format!("{} {} {}", some(holding, "invariant"), verb(holding, "holds", "hold"), through_faults(run))
            } else {
                format!("found what the scenario expects: {} violated", list(&violated))
            }
        }
        Verdict::Violated => match named(run, InvariantVerdict::Violated).as_slice() {
            [] => "an expected violation was not found".to_owned(),
            [only] => format!("{only} does not hold {}", through_faults(run)),
            many => format!("{} invariants do not hold: {}", many.len(), list(many)),
        },
        Verdict::Undecided => match named(run, InvariantVerdict::Undecided).as_slice() {
            [] => "the run could not be judged".to_owned(),
            names => format!("{} could not be decided", list(names)),
        },
        Verdict::Vacuous => vacuous(run),
        Verdict::Threshold => {
            let crossed: Vec<String> = run
                .thresholds
                .iter()
                .filter(|threshold| !threshold.held)
                .map(|threshold| match &threshold.measured {
                    Some(measured) => format!("{} is {measured}, limit {}", threshold.name, threshold.limit),
                    None => format!("{} could not be measured", threshold.name),
                })
                .collect();
            if crossed.is_empty() { "a limit was exceeded".to_owned() } else { list(&crossed) }
        }
        Verdict::Regression => "a metric is worse than in the baseline".to_owned(),
        Verdict::Incomplete => "the run was cut short".to_owned(),
        Verdict::NotDeterministic => "the same seed gave two different runs".to_owned(),
        Verdict::Internal => "the harness failed, not the broker".to_owned(),
    }
}

/// Why, in sentences, the most important first; never empty.
pub(crate) fn reasons(run: &RunRecord) -> Vec<String> {
    if !run.reasons.is_empty() {
        return run.reasons.clone();
    }
    let witnesses: Vec<String> = run.violated().filter_map(said).collect();
    if !witnesses.is_empty() {
        return witnesses;
    }
    let messages = &run.messages;
    let unknown = match messages.unknown {
        0 => "none with an unknown outcome".to_owned(),
        n => format!("{} with an unknown outcome", count(n)),
    };
    let checked = match run.verdict {
        Verdict::Pass => ", and every required check had something to look at",
        _ => "",
    };
    vec![format!(
        "{} of {} publishes were confirmed, {unknown}; {} messages were delivered{checked}.",
        count(messages.confirmed),
        count(messages.published),
        count(messages.delivered)
    )]
}

/// The order in which invariants are shown: what needs attention first.
pub(crate) fn by_urgency(invariants: &[InvariantResult]) -> Vec<&InvariantResult> {
    let mut others: Vec<&InvariantResult> =
        invariants.iter().filter(|invariant| invariant.verdict != InvariantVerdict::Violated).collect();
    others.sort_by_key(|invariant| {
        let rank = match invariant.verdict {
            InvariantVerdict::Violated | InvariantVerdict::Undecided => 1,
            InvariantVerdict::NotRecoverable => 2,
            InvariantVerdict::Vacuous if invariant.required => 3,
            InvariantVerdict::Holds => 4,
            InvariantVerdict::Vacuous => 5,
        };
        (rank, !invariant.required)
    });
    violated(invariants).chain(others).collect()
}

/// "Pass: all 12 runs"; what leads up to a colon is the word of `verdict`, the sweep's.
pub(crate) fn overall(runs: &[&RunRecord], unmade: &Unmade, verdict: Verdict) -> String {
    let passed = runs.iter().filter(|run| run.verdict == Verdict::Pass).count();
    let word = word(verdict);
    match (passed, runs.len()) {
        (passed, made) if !unmade.runs.is_empty() => {
            let missing = unmade.runs.len();
            format!("{word}: {passed} of {} pass, {} not made", some(made + missing, "run"), count(missing as u64))
        }
        (_, 0) => "Nothing was run".to_owned(),
        (passed, total) if passed == total && verdict != Verdict::Pass => {
            format!("{word}: {} made, none failed", some(total, "run"))
        }
        (1, 1) => "The run passes".to_owned(),
        (0, 1) => "The run does not pass".to_owned(),
        (passed, total) if passed == total => format!("{word}: all {total} runs"),
        (passed, total) => {
            let failed = total - passed;
            format!("{failed} of {total} runs {} not pass", verb(failed, "does", "do"))
        }
    }
}

fn vacuous(run: &RunRecord) -> String {
    let mut found = Vec::new();
    let missed = run.faults.iter().filter(|fault| !fault.bit && !fault.may_miss).count();
    if missed > 0 {
        found.push(format!("{} had no effect", some(missed, "fault")));
    }
    let unreached: Vec<&str> =
        run.sometimes.iter().filter(|s| s.required && s.count == 0).map(|s| s.name.as_str()).collect();
    if !unreached.is_empty() {
        found.push(format!("{} never happened", list(&unreached)));
    }
    let unchecked: Vec<&str> = run
        .invariants
        .iter()
        .filter(|i| i.required && i.verdict == InvariantVerdict::Vacuous)
        .map(|i| i.name.as_str())
        .collect();
    if !unchecked.is_empty() {
        found.push(format!("{} had nothing to check", list(&unchecked)));
    }
    if found.is_empty() { "the run proves nothing".to_owned() } else { found.join("; ") }
}

fn through_faults(run: &RunRecord) -> String {
    match run.faults.iter().filter(|fault| fault.bit).count() {
        0 => "without any fault".to_owned(),
        bit => format!("through {}", some(bit, "fault")),
    }
}

fn said(invariant: &InvariantResult) -> Option<String> {
    invariant.explanation.as_ref().map(|explanation| format!("{}: {explanation}", invariant.name))
}

fn named(run: &RunRecord, verdict: InvariantVerdict) -> Vec<&str> {
    by_urgency(&run.invariants).into_iter().filter(|i| i.verdict == verdict).map(|i| i.name.as_str()).collect()
}

fn verb<'a>(n: usize, singular: &'a str, plural: &'a str) -> &'a str {
    if n == 1 { singular } else { plural }
}
