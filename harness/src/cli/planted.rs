//! The planted bugs of a policy: each tried, run after run, until what should tell does.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    Streams,
    interrupt::Interrupt,
    simulate::{Request, Simulate},
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

/// Chases all bugs, `workers` at a time, and tells what came of each, in order.
pub(super) fn chase_all<S: Simulate>(
    bugs: &[Chase<'_>],
    simulate: &S,
    interrupt: &Interrupt,
    workers: usize,
    streams: &mut Streams<'_>,
) -> io::Result<Vec<Chased>> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![Chased { interrupted: true, ..Chased::default() }; bugs.len()]);
    if streams.progress && !bugs.is_empty() {
        write!(streams.err, "\r\x1b[K{} planted bugs", bugs.len())?;
        streams.err.flush()?;
    }
    thread::scope(|scope| {
        for _ in 0..workers.min(bugs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(bug) = bugs.get(index) else { break };
                    let chased = chase(bug, simulate, interrupt);
                    found.lock().expect("no thread panics with it")[index] = chased;
                }
            });
        }
    });
    if streams.progress && !bugs.is_empty() {
        write!(streams.err, "\r\x1b[K")?;
    }
    Ok(found.into_inner().expect("no thread panics with it"))
}

/// The scenarios take turns: the first seed of each, then the second of each.
fn chase<S: Simulate>(bug: &Chase<'_>, simulate: &S, interrupt: &Interrupt) -> Chased {
    let mut chased = Chased::default();
    let last = bug.planted.seeds.last.unwrap_or(u64::MAX);
    for seed in bug.planted.seeds.first..=last {
        for scenario in bug.scenarios {
            if interrupt.asked() {
                chased.interrupted = true;
                return chased;
            }
            let request = Request { sabotage: Some(bug.planted.bug), ..Request::default() };
            let record = twice::simulate_with_bug(simulate, scenario, seed, &request, interrupt).0;
            chased.runs += 1;
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
