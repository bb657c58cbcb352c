//! The planted bugs of a policy: each tried, run after run, until what should tell does.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
};

use ferret_reports::Stopped;

use super::{
    Streams,
    beat::Beat,
    interrupt::Interrupt,
    laboratory::Silence,
    live::HEARTBEAT,
    pool::TICK,
    shown::CLEAR_LINE,
    simulate::{Request, Simulate},
    sweep::Limits,
    twice,
};
use crate::{
    gate::{
        judge::{self, Chased},
        policy::Planted,
    },
    scenario::Scenario,
    search::hunt,
};

/// A bug, and where to look for it.
pub(super) struct Chase<'a> {
    pub(super) planted: &'a Planted,
    pub(super) scenarios: &'a [Scenario],
}

/// What ends all chases before their seeds do, and how many runs they have made so far.
struct Bounds<'a> {
    interrupt: &'a Interrupt,
    limits: &'a Limits,
    runs: AtomicUsize,
}

/// Chases all bugs, `workers` at a time, within the budget of `limits`, and gives what came of each, in order.
pub(super) fn chase_all<S: Simulate>(
    bugs: &[Chase<'_>],
    simulate: &S,
    (interrupt, limits): (&Interrupt, &Limits),
    workers: usize,
    streams: &mut Streams<'_>,
) -> Vec<Chased> {
    let _silence = Silence::keep();
    let bounds = Bounds { interrupt, limits, runs: AtomicUsize::new(0) };
    let next = AtomicUsize::new(0);
    let mut found = vec![Chased::default(); bugs.len()];
    let mut beat = Beat::every(if streams.progress { TICK } else { HEARTBEAT });
    // A terminal that does not take the progress line does not stop the chase.
    let mut show = |line: &str| {
        let _ =
            if streams.progress { write!(streams.err, "{CLEAR_LINE}{line}") } else { writeln!(streams.err, "{line}") };
        let _ = streams.err.flush();
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..workers.min(bugs.len()) {
            let (sender, bounds, next) = (sender.clone(), &bounds, &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bug) = bugs.get(index) else { break };
                    sender.send((index, chase(bug, simulate, bounds))).expect("the receiver waits for all");
                }
            });
        }
        drop(sender);
        let mut done = 0;
        loop {
            match receiver.recv_timeout(beat.left()) {
                Ok((index, chased)) => {
                    found[index] = chased;
                    done += 1;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if beat.due() {
                let runs = bounds.runs.load(Ordering::Relaxed);
                show(&format!("{done}/{} planted bugs | {runs} runs", bugs.len()));
            }
        }
    });
    if streams.progress {
        let _ = write!(streams.err, "{CLEAR_LINE}");
    }
    found
}

/// The scenarios take turns: the first seed of each, then the second of each.
fn chase<S: Simulate>(bug: &Chase<'_>, simulate: &S, bounds: &Bounds<'_>) -> Chased {
    let mut chased = Chased::default();
    let last = bug.planted.seeds.last.unwrap_or(u64::MAX);
    for seed in bug.planted.seeds.first..=last {
        for scenario in bug.scenarios {
            let interrupted = bounds.interrupt.asked();
            if interrupted || bounds.limits.late() {
                chased.stopped = Some(if interrupted { Stopped::Interrupt } else { Stopped::Budget });
                return chased;
            }
            let request = Request { sabotage: Some(bug.planted.bug), ..Request::default() };
            let record = twice::simulate_with_bug(simulate, scenario, seed, &request, bounds.interrupt).0;
            chased.runs += 1;
            bounds.runs.fetch_add(1, Ordering::Relaxed);
            let Some(catch) = hunt::catch(&record) else { continue };
            if judge::tells(bug.planted, &catch) {
                chased.catch = Some(catch);
                return chased;
            }
            for other in catch.by {
                if !chased.others.contains(&other) {
                    chased.others.push(other);
                }
            }
        }
    }
    chased
}
