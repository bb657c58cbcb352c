//! `--verify-determinism`: the same run twice, and the first event that differs.

use std::{fmt::Display, time::Duration};

use ferret_reports::{RunRecord, Verdict};

use super::{
    interrupt::Interrupt,
    pool,
    simulate::{Request, Simulate, Simulated},
};
use crate::{
    history::{Event, History},
    progress::Progress,
    scenario::Scenario,
    search::hunt,
};

/// Events shown before the first difference.
const CONTEXT: usize = 5;

/// Runs a scenario as its planted bug can be caught: twice, if only a second run can tell. With the processor time that
/// it took.
pub(super) fn simulate_with_bug<S: Simulate>(
    simulate: &S,
    scenario: &Scenario,
    seed: u64,
    request: &Request,
    interrupt: &Interrupt,
) -> (RunRecord, Duration) {
    let twice = request.sabotage.is_some_and(hunt::needs_two_runs);
    let request = Request { record_trace: twice, ..*request };
    let run = || pool::simulate_apart(simulate, scenario, seed, &request, interrupt, &Progress::default());
    let (mut first, mut cpu) = run();
    if twice && !interrupt.asked() {
        let (second, more) = run();
        cpu += more;
        // A run that was cut short tells nothing about the other.
        if !interrupt.asked() {
            compare::<S>(&mut first, &second);
        }
    }
    (first.record, cpu)
}

/// Compares two runs of one seed. If they differ, the first one's record says so, and where.
pub(super) fn compare<S: Simulate>(first: &mut Simulated<S::Event>, second: &Simulated<S::Event>) {
    let machines = &first.machines;
    let traces = difference(&first.trace, &second.trace, |event| S::describe(event, machines));
    let histories = || recorded(&first.history, &second.history);
    let reason = match traces {
        Some(trace) => {
            let history = histories().map(|history| format!("\nin the history, {history}")).unwrap_or_default();
            format!("the same seed gave two different runs: {trace}{history}")
        }
        None if first.record.trace_hash != second.record.trace_hash => format!(
            "the trace hashes differ ({} and {}), though all recorded events are equal",
            first.record.trace_hash, second.record.trace_hash
        ),
        None => match histories() {
            Some(history) => format!("the traces are equal, but in the history, {history}"),
            None if first.history != second.history => "the histories are of different clients or queues".to_owned(),
            None => return,
        },
    };
    first.record.verdict = Verdict::NotDeterministic.max(first.record.verdict);
    // One run alone shows nothing of it.
    first.record.replay += " --verify-determinism";
    first.record.reasons.insert(0, reason);
}

/// The first difference between two histories: there, an event tells in full what the trace has only the hash of.
fn recorded(first: &History, second: &History) -> Option<String> {
    difference(&first.events, &second.events, |Event { at, kind }| {
        format!("{}.{:09} s  {kind:?}", at.0 / 1_000_000_000, at.0 % 1_000_000_000)
    })
}

/// The first event that differs, with those before it. `None` if none does.
fn difference<E: PartialEq, D: Display>(first: &[E], second: &[E], describe: impl Fn(&E) -> D) -> Option<String> {
    let same = first.iter().zip(second).take_while(|(one, other)| one == other).count();
    if same == first.len() && same == second.len() {
        return None;
    }
    let at =
        |events: &[E]| events.get(same).map_or("(the run has ended)".to_owned(), |event| describe(event).to_string());
    let mut lines = vec![format!("event {} differs", same + 1)];
    for (index, event) in first.iter().enumerate().take(same).skip(same.saturating_sub(CONTEXT)) {
        lines.push(format!("    both    {:>8}  {}", index + 1, describe(event)));
    }
    lines.push(format!("    first   {:>8}  {}", same + 1, at(first)));
    lines.push(format!("    second  {:>8}  {}", same + 1, at(second)));
    Some(lines.join("\n"))
}
