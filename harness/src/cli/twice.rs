//! `--verify-determinism`: the same run twice, and the first event that differs.

use ferret_reports::Verdict;

use super::simulate::{Simulate, Simulated};

/// Events shown before the first difference.
const CONTEXT: usize = 5;

/// Compares two runs of one seed. If they differ, the first one's record says so, and where.
pub(super) fn compare<S: Simulate>(first: &mut Simulated<S::Event>, second: &Simulated<S::Event>) {
    let reason = match difference::<S>(&first.trace, &second.trace) {
        Some(reason) => reason,
        None if first.record.trace_hash != second.record.trace_hash => format!(
            "the trace hashes differ ({} and {}), though all recorded events are equal",
            first.record.trace_hash, second.record.trace_hash
        ),
        None if first.history != second.history => "the histories differ, though the traces are equal".to_owned(),
        None => return,
    };
    first.record.verdict = Verdict::NotDeterministic.max(first.record.verdict);
    first.record.reasons.insert(0, reason);
}

fn difference<S: Simulate>(first: &[S::Event], second: &[S::Event]) -> Option<String> {
    let same = first.iter().zip(second).take_while(|(one, other)| one == other).count();
    if same == first.len() && same == second.len() {
        return None;
    }
    let describe = |trace: &[S::Event]| trace.get(same).map_or("(the run has ended)".to_owned(), S::describe);
    let mut lines = vec![format!("the same seed gave two different runs: event {} differs", same + 1)];
    for (index, event) in first.iter().enumerate().take(same).skip(same.saturating_sub(CONTEXT)) {
        lines.push(format!("    both    {:>8}  {}", index + 1, S::describe(event)));
    }
    lines.push(format!("    first   {:>8}  {}", same + 1, describe(first)));
    lines.push(format!("    second  {:>8}  {}", same + 1, describe(second)));
    Some(lines.join("\n"))
}
