//! Whether partial sweeps are the parts of one whole: nothing missing, nothing twice, nothing from another program.

use std::collections::BTreeMap;

use ferret_reports::{SweepRecord, SweptRun};

/// Why parts are not joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "{first} was made by {first_build}, {other} by {other_build}: compile once, and give all machines the same"
    )]
    Build { first: String, first_build: String, other: String, other_build: String },
    #[error("{other} is not a part of the same sweep as {first}: {what} differ")]
    Sweep { first: String, other: String, what: &'static str },
    #[error("{0} has seeds without an end: it is no part of anything")]
    Open(String),
    #[error("{first} and {other} both hold {run}")]
    Overlap { first: String, other: String, run: String },
    #[error("{missing} of {planned} runs are in no part, the first is {run}{why}")]
    Gap { missing: usize, planned: usize, run: String, why: String },
    #[error("{folder} holds {run}, which its plan does not")]
    Stranger { folder: String, run: String },
}

/// One partial sweep, with a name for messages.
pub struct Part {
    pub folder: String,
    pub sweep: SweepRecord,
}

/// For each run of the plan, in order, the part that made it and what it says of it.
///
/// # Errors
/// The first reason not to join the parts.
pub fn join(parts: &[Part]) -> Result<Vec<(usize, &SweptRun)>, Refusal> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    for part in parts {
        same_sweep(first, part)?;
    }
    let mut found: BTreeMap<(u32, u64), (usize, &SweptRun)> = BTreeMap::new();
    for (index, part) in parts.iter().enumerate() {
        for run in &part.sweep.runs {
            if let Some((earlier, _)) = found.insert((run.scenario, run.seed), (index, run)) {
                return Err(Refusal::Overlap {
                    first: parts[earlier].folder.clone(),
                    other: part.folder.clone(),
                    run: name(&first.sweep, run.scenario, run.seed),
                });
            }
        }
    }
    let plan = &first.sweep.plan;
    let mut joined = Vec::new();
    let mut missing = Vec::new();
    for run in plan {
        match found.remove(&(run.scenario, run.seed)) {
            Some(made) => joined.push(made),
            None => missing.push(run),
        }
    }
    if let Some((index, run)) = found.into_values().next() {
        let run = name(&first.sweep, run.scenario, run.seed);
        return Err(Refusal::Stranger { folder: parts[index].folder.clone(), run });
    }
    if let Some(run) = missing.first() {
        return Err(Refusal::Gap {
            missing: missing.len(),
            planned: plan.len(),
            run: name(&first.sweep, run.scenario, run.seed),
            why: why_missing(parts),
        });
    }
    Ok(joined)
}

fn same_sweep(first: &Part, part: &Part) -> Result<(), Refusal> {
    let (one, other) = (&first.sweep, &part.sweep);
    // A program that could not read its own file may be any.
    if one.build != other.build || other.build.ends_with("unknown") {
        return Err(Refusal::Build {
            first: first.folder.clone(),
            first_build: one.build.clone(),
            other: part.folder.clone(),
            other_build: other.build.clone(),
        });
    }
    if other.open {
        return Err(Refusal::Open(part.folder.clone()));
    }
    // A path may differ from machine to machine; the text may not.
    let texts = |sweep: &SweepRecord| -> Vec<(String, String)> {
        sweep.scenarios.iter().map(|scenario| (scenario.name.clone(), scenario.text_hash.clone())).collect()
    };
    let of = |sweep: &SweepRecord| sweep.slice.map(|slice| slice.of);
    let what = if texts(one) != texts(other) {
        "the scenarios"
    } else if one.request != other.request {
        "the options"
    } else if one.plan != other.plan {
        "the planned seeds"
    } else if of(one) != of(other) {
        "the numbers of parts"
    } else {
        return Ok(());
    };
    Err(Refusal::Sweep { first: first.folder.clone(), other: part.folder.clone(), what })
}

fn name(sweep: &SweepRecord, scenario: u32, seed: u64) -> String {
    let name = sweep.scenarios.get(scenario as usize).map_or("?", |scenario| scenario.name.as_str());
    format!("{name} seed {seed}")
}

/// `; no part is slice:3/4`, or that one ended early.
fn why_missing(parts: &[Part]) -> String {
    if let Some(cut) = parts.iter().find(|part| part.sweep.stopped.is_some()) {
        return format!("; {} ended before its time", cut.folder);
    }
    let Some(of) = parts[0].sweep.slice.map(|slice| slice.of) else { return String::new() };
    let there = |number: u32| parts.iter().any(|part| part.sweep.slice.is_some_and(|slice| slice.part == number));
    let absent: Vec<String> = (1..=of).filter(|part| !there(*part)).map(|part| format!("slice:{part}/{of}")).collect();
    if absent.is_empty() { String::new() } else { format!("; there is no {}", absent.join(", no ")) }
}

#[cfg(test)]
mod tests {
    use ferret_reports::{PlannedRun, SWEEP_VERSION, Slice, Stopped, SweptScenario, Verdict};

    use super::*;

    /// Part `part` of 2 of a plan of four seeds.
    fn part(number: u32) -> Part {
        let plan: Vec<PlannedRun> = (1..=4).map(|seed| PlannedRun { scenario: 0, seed }).collect();
        let slice = Slice { part: number, of: 2 };
        let run = |planned: &PlannedRun| SweptRun {
            scenario: 0,
            seed: planned.seed,
            folder: String::new(),
            verdict: Verdict::Pass,
            trace_hash: String::new(),
        };
        let runs = plan.iter().enumerate().filter(|(place, _)| slice.holds(*place)).map(|(_, one)| run(one)).collect();
        let scenario = SweptScenario { name: "loss".into(), path: format!("m{number}"), text_hash: "a".into() };
        let sweep = SweepRecord {
            version: SWEEP_VERSION,
            build: "ferret 1".into(),
            request: String::new(),
            scenarios: vec![scenario],
            plan,
            open: false,
            slice: Some(slice),
            stopped: None,
            runs,
            results_hash: String::new(),
            verdict: Verdict::Pass,
        };
        Part { folder: format!("part-{number}"), sweep }
    }

    fn refused(parts: &[Part]) -> String {
        join(parts).expect_err("the parts do not fit").to_string()
    }

    #[test]
    fn parts_join_in_the_order_of_the_plan_whatever_their_own() {
        let parts = [part(2), part(1)];
        let seeds: Vec<(usize, u64)> =
            join(&parts).expect("they fit").iter().map(|(part, run)| (*part, run.seed)).collect();
        assert_eq!(seeds, [(1, 1), (0, 2), (1, 3), (0, 4)]);
    }

    #[test]
    fn a_missing_part_is_a_gap() {
        assert_eq!(refused(&[part(1)]), "2 of 4 runs are in no part, the first is loss seed 2; there is no slice:2/2");
    }

    #[test]
    fn a_part_that_was_cut_short_is_a_gap() {
        let mut cut = part(2);
        cut.sweep.runs.pop();
        cut.sweep.stopped = Some(Stopped::Budget);
        assert_eq!(
            refused(&[part(1), cut]),
            "1 of 4 runs are in no part, the first is loss seed 4; part-2 ended before its time"
        );
    }

    #[test]
    fn a_part_that_comes_twice_is_an_overlap() {
        assert_eq!(refused(&[part(1), part(2), part(1)]), "part-1 and part-1 both hold loss seed 1");
    }

    #[test]
    fn another_program_another_text_other_seeds_and_other_options_are_told_apart() {
        for (change, says) in [
            ((|sweep: &mut SweepRecord| sweep.build.push('x')) as fn(&mut SweepRecord), "ferret 1x"),
            (|sweep| sweep.scenarios[0].text_hash.push('x'), "the scenarios differ"),
            (|sweep| sweep.request.push('x'), "the options differ"),
            (|sweep| sweep.plan.truncate(3), "the planned seeds differ"),
            (|sweep| sweep.slice = None, "the numbers of parts differ"),
            (|sweep| sweep.open = true, "seeds without an end"),
        ] {
            let mut other = part(2);
            change(&mut other.sweep);
            let refusal = refused(&[part(1), other]);
            assert!(refusal.contains(says), "{refusal}");
        }
    }

    #[test]
    fn a_run_that_was_never_planned_is_no_part() {
        let mut other = part(2);
        other.sweep.runs[0].seed = 99;
        assert_eq!(refused(&[part(1), other]), "part-2 holds loss seed 99, which its plan does not");
    }
}
