//! What must have happened at least once is judged over all seeds of a scenario, when the last of them is done.

use std::io;

use ferret_reports::{PlannedRun, RunRecord, Verdict};

use super::artifacts::{self, Artifacts};

/// Judges each scenario over its runs, which are all there: `records` are those of `plan`, `folders` those of the
/// scenarios. What changes is written to its run's files.
///
/// # Errors
/// The first failure to write.
pub(super) fn judge_all(
    plan: &[PlannedRun],
    records: &mut [RunRecord],
    folders: &[String],
    artifacts: &Artifacts,
) -> io::Result<()> {
    for (scenario, folder) in folders.iter().enumerate() {
        let same = plan.iter().zip(records.iter_mut()).filter(|(run, _)| run.scenario as usize == scenario);
        let mut seeds: Vec<&mut RunRecord> = same.map(|(_, record)| record).collect();
        if judge(&mut seeds)
            && let Some(last) = seeds.last()
        {
            artifacts::write_record(&artifacts.run_folder(folder, last.seed), last)?;
        }
    }
    Ok(())
}

/// Turns the last of `seeds` vacuous if something that the scenario requires happened in none of them. Returns whether
/// it did. Seeds that were cut short tell nothing.
pub(super) fn judge(seeds: &mut [&mut RunRecord]) -> bool {
    let count = seeds.len();
    let cut_short = |record: &&mut RunRecord| {
        matches!(record.verdict, Verdict::Incomplete | Verdict::Internal) || record.panicked()
    };
    if seeds.iter().any(cut_short) {
        return false;
    }
    let happened = |name: &str| {
        seeds.iter().flat_map(|record| &record.sometimes).any(|result| result.name == name && result.count > 0)
    };
    let Some(last) = seeds.last() else { return false };
    let missed: Vec<String> = last
        .sometimes
        .iter()
        .filter(|result| result.required && !happened(&result.name))
        .map(|result| match count {
            1 => format!("`{}` should have happened, and did not", result.name),
            _ => format!("`{}` should have happened at least once, and did not in {count} seeds", result.name),
        })
        .collect();
    if missed.is_empty() {
        return false;
    }
    let last = seeds.last_mut().expect("there is a last one, see above");
    last.verdict = last.verdict.max(Verdict::Vacuous);
    // It may have been judged before, over the same seeds.
    let fresh: Vec<String> = missed.into_iter().filter(|reason| !last.reasons.contains(reason)).collect();
    last.reasons.extend(fresh);
    true
}
