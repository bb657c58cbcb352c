//! Where the shrinker's proposals are run: many at a time, until one shows what is looked for or time is up.

use std::{
    collections::BTreeSet,
    panic,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Interrupt, Streams, pool,
    shown::CLEAR_LINE,
    simulate::{Request, Simulate},
};
use crate::{
    progress::Progress,
    scenario::Scenario,
    search::shrink::{Found, Goal, Sights, Size, Trials},
};

/// How often a laboratory looks at the clock and for Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

/// Runs proposals on all cores.
pub(super) struct Laboratory<'a, 'b, S> {
    pub(super) simulate: &'a S,
    pub(super) interrupt: &'a Interrupt,
    pub(super) streams: &'a mut Streams<'b>,
    pub(super) goal: Goal,
    pub(super) workers: usize,
    began: Instant,
    budget: Duration,
    /// With a planted bug: what fails without it too fails for another reason, and is refused.
    guarded: bool,
    /// Hashes of the texts that were run, so that none is run twice.
    tried: BTreeSet<u64>,
    pub(super) runs: u64,
    best: String,
}

impl<'a, 'b, S: Simulate> Laboratory<'a, 'b, S> {
    pub(super) fn new(
        simulate: &'a S,
        interrupt: &'a Interrupt,
        streams: &'a mut Streams<'b>,
        goal: Goal,
        (workers, budget): (usize, Duration),
    ) -> Self {
        Self {
            simulate,
            interrupt,
            streams,
            goal,
            workers,
            began: now(),
            budget,
            guarded: false,
            tried: BTreeSet::new(),
            runs: 0,
            best: String::new(),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Runs `scenario` with its one seed; `None` if it does not show the goal, or was stopped.
    pub(super) fn try_one(&mut self, scenario: &Scenario) -> Option<Found> {
        self.runs += 1;
        let found = examine(self.simulate, scenario, self.goal, self.interrupt);
        if found.is_some() && scenario.sabotage.is_some() {
            self.runs += 1;
            self.guarded = !fails_without_its_bug(self.simulate, scenario, self.goal, self.interrupt);
        }
        found
    }

    fn show(&mut self) {
        if self.streams.progress {
            let spent = self.began.elapsed().as_secs();
            let line = format!(
                "shrinking: {}; {} runs, {spent} s of {} s (Ctrl-C keeps the best)",
                self.best,
                self.runs,
                self.budget.as_secs()
            );
            let line: String = line.chars().take(self.streams.err_style.width.saturating_sub(1)).collect();
            // A terminal that does not take the progress line does not stop the search.
            let _ = write!(self.streams.err, "{CLEAR_LINE}{line}");
            let _ = self.streams.err.flush();
        }
    }

    /// Takes the progress line away.
    pub(super) fn clear(&mut self) {
        if self.streams.progress {
            let _ = write!(self.streams.err, "{CLEAR_LINE}");
            let _ = self.streams.err.flush();
        }
    }
}

impl<S: Simulate> Trials for Laboratory<'_, '_, S> {
    fn first(&mut self, proposals: Vec<Scenario>, than: &Size) -> Option<Found> {
        // What is run is what the file will say.
        let fresh = proposals.into_iter().filter_map(|proposal| {
            let text = proposal.to_toml();
            self.tried.insert(xxh3_64(text.as_bytes())).then(|| Scenario::parse(&proposal.path, &text).ok())?
        });
        let proposals: Vec<Scenario> = fresh.collect();
        let (sender, receiver) = mpsc::channel();
        let (simulate, goal, guarded) = (self.simulate, self.goal, self.guarded);
        let than = *than;
        let stops: Vec<Interrupt> = proposals.iter().map(|_| Interrupt::default()).collect();
        let mut found: Option<(usize, Found)> = None;
        let (mut next, mut running) = (0, 0);
        thread::scope(|scope| {
            loop {
                let wanted = |index: usize, found: &Option<(usize, Found)>| {
                    found.as_ref().is_none_or(|(first, _)| index < *first)
                };
                while next < proposals.len() && running < self.workers && wanted(next, &found) && !self.over() {
                    let (sender, proposal, stop, index) = (sender.clone(), &proposals[next], &stops[next], next);
                    scope.spawn(move || {
                        let result = examine(simulate, proposal, goal, stop).filter(|found| found.size() < than);
                        let result =
                            result.filter(|_| !(guarded && fails_without_its_bug(simulate, proposal, goal, stop)));
                        // Nobody listens once the search is over.
                        let _ = sender.send((index, result));
                    });
                    self.runs += 1;
                    running += 1;
                    next += 1;
                }
                if running == 0 {
                    return;
                }
                match receiver.recv_timeout(TICK) {
                    Ok((index, result)) => {
                        running -= 1;
                        if let Some(smaller) = result.filter(|_| wanted(index, &found)) {
                            found = Some((index, smaller));
                            // Later proposals are of no interest any more.
                            stops[index..].iter().for_each(Interrupt::ask);
                        }
                    }
                    Err(_) if self.over() => stops.iter().for_each(Interrupt::ask),
                    Err(_) => self.show(),
                }
            }
        });
        found.map(|(_, found)| found)
    }

    fn over(&self) -> bool {
        self.interrupt.asked() || self.began.elapsed() >= self.budget
    }

    fn better(&mut self, best: &Found) {
        let Size { faults, messages, .. } = best.size();
        self.best = format!("{faults} faults, {messages} messages");
        self.show();
    }
}

/// While it lives, a simulation that panics does so in silence: its record says why, and a search sees many.
pub(super) struct Silence;

impl Silence {
    pub(super) fn keep() -> Self {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let simulated = thread::current().name().is_some_and(|name| name.starts_with("simulation-"));
            if !simulated {
                usual(info);
            }
        }));
        Self
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A hook cannot be changed by a thread that is panicking.
        if !thread::panicking() {
            let _ = panic::take_hook();
        }
    }
}

/// Whether the goal is there with nothing planted.
fn fails_without_its_bug<S: Simulate>(simulate: &S, scenario: &Scenario, goal: Goal, stop: &Interrupt) -> bool {
    scenario.sabotage.is_some() && {
        let healthy = Scenario { sabotage: None, ..scenario.clone() };
        examine(simulate, &healthy, goal, stop).is_some()
    }
}

/// One run; `None` if it does not show the goal.
fn examine<S: Simulate>(simulate: &S, scenario: &Scenario, goal: Goal, stop: &Interrupt) -> Option<Found> {
    let seed = scenario.run.seeds.from;
    let request = Request::default();
    let (simulated, _) = pool::simulate_apart(simulate, scenario, seed, &request, stop, &Progress::default());
    // What was cut short may lack what comes after, and its trace is not that of the whole run.
    if stop.asked() || !goal.is_shown_by(&simulated.record) {
        return None;
    }
    let sights = Sights::of(goal, &simulated.record, &simulated.history);
    Some(Found { scenario: scenario.clone(), record: simulated.record, sights })
}

#[expect(clippy::disallowed_methods, reason = "the user's budget is wall time; no simulation sees it")]
fn now() -> Instant {
    Instant::now()
}
