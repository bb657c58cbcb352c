//! Whose turn it is: the simulation's thread or lapin's.
//!
//! The simulation grants a turn and blocks until it gets it back; the other thread blocks until it is granted one. The
//! simulation's wait has no timeout of its own, because a timed wait asks the clock for a deadline, and on the
//! simulation's thread the clock is virtual. A watchdog, one thread for the whole process, counts real time instead.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

/// How often the watchdog looks: the resolution of the patience.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// The two ends of a new exchange of turns. A turn that is not given back within `patience` (real time, rounded up to
/// the watchdog's resolution) counts as hung.
pub(super) fn exchange(patience: Duration) -> (Grants, Turns) {
    let exchange = Arc::new(Exchange::default());
    watch(&exchange, patience);
    (Grants { exchange: exchange.clone(), patience }, Turns { exchange })
}

/// What became of a granted turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The other thread did what it could, and waits for its next turn.
    Returned,
    /// The other thread has ended.
    Ended,
    /// The other thread has kept the turn for longer than the patience allows.
    Hung,
}

#[derive(Default)]
struct Exchange {
    state: Mutex<State>,
    returned: Condvar,
    granted: Condvar,
}

#[derive(Default)]
struct State {
    turn: Turn,
    /// Turns granted so far: how the watchdog tells a long turn from many short ones.
    grants: u64,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Turn {
    #[default]
    Simulation,
    Lapin,
    /// Nobody's any more: lapin's thread is gone.
    Ended,
    /// Nobody's any more: the simulation has given up waiting.
    Hung,
}

impl Exchange {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulation's end: grants turns.
pub(super) struct Grants {
    exchange: Arc<Exchange>,
    patience: Duration,
}

impl Grants {
    /// Lets the other thread run, and blocks this one until it is done.
    pub(super) fn grant(&mut self) -> Outcome {
        let Exchange { returned, granted, .. } = &*self.exchange;
        let mut state = self.exchange.state();
        if state.turn == Turn::Simulation {
            state.turn = Turn::Lapin;
            state.grants += 1;
            granted.notify_one();
        }
        let state = returned.wait_while(state, |state| state.turn == Turn::Lapin);
        match state.unwrap_or_else(PoisonError::into_inner).turn {
            Turn::Simulation => Outcome::Returned,
            Turn::Ended => Outcome::Ended,
            Turn::Hung => Outcome::Hung,
            Turn::Lapin => unreachable!("that is what was waited for"),
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }
}

/// lapin's end: takes turns. Dropping it says that the thread has ended.
pub(super) struct Turns {
    exchange: Arc<Exchange>,
}

impl Turns {
    /// Blocks until a turn is granted.
    pub(super) fn take(&mut self) {
        let state = self.exchange.granted.wait_while(self.exchange.state(), |state| state.turn != Turn::Lapin);
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }

    /// Gives the turn back, and blocks until the next one is granted.
    pub(super) fn give_back(&mut self) {
        self.pass(Turn::Simulation);
        self.take();
    }

    fn pass(&self, turn: Turn) {
        let mut state = self.exchange.state();
        // After the simulation has given up, nothing that this thread does may count any more.
        if state.turn != Turn::Hung {
            state.turn = turn;
            self.exchange.returned.notify_one();
        }
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.pass(Turn::Ended);
    }
}

/// An exchange under the watchdog's eye.
struct Watched {
    exchange: Weak<Exchange>,
    patience: Duration,
    /// The turn last seen with lapin, and for how long.
    grants: u64,
    kept_for: Duration,
}

impl Watched {
    /// Looks once. Whether there will be anything left to look at.
    fn look(&mut self) -> bool {
        let Some(exchange) = self.exchange.upgrade() else {
            return false;
        };
        let mut state = exchange.state();
        if state.turn != Turn::Lapin || state.grants != self.grants {
            self.grants = state.grants;
            self.kept_for = Duration::ZERO;
        } else if self.kept_for < self.patience {
            self.kept_for += WATCH_EVERY;
        } else {
            state.turn = Turn::Hung;
            exchange.returned.notify_one();
            return false;
        }
        true
    }
}

/// Puts `exchange` under the watchdog's eye, which starts with the first one.
fn watch(exchange: &Arc<Exchange>, patience: Duration) {
    static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());
    static WATCHDOG: OnceLock<()> = OnceLock::new();
    let watched = Watched { exchange: Arc::downgrade(exchange), patience, grants: 0, kept_for: Duration::ZERO };
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push(watched);
    #[expect(clippy::disallowed_methods, reason = "the watchdog lives in real time, outside every simulation")]
    WATCHDOG.get_or_init(|| {
        thread::spawn(|| {
            loop {
                thread::sleep(WATCH_EVERY);
                WATCHED.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(Watched::look);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "two threads are what is tested")]
    fn one_of_the_two_threads_runs_at_a_time_until_the_other_ends() {
        let (mut grants, mut turns) = exchange(Duration::from_secs(10));
        let (says, hears) = std::sync::mpsc::channel();
        let worker = thread::spawn(move || {
            turns.take();
            says.send("first").unwrap();
            turns.give_back();
            says.send("second").unwrap();
        });
        assert!(hears.try_recv().is_err());
        assert_eq!(grants.grant(), Outcome::Returned);
        assert_eq!(hears.try_recv(), Ok("first"));
        assert_eq!(grants.grant(), Outcome::Ended);
        assert_eq!(hears.try_recv(), Ok("second"));
        assert_eq!(grants.grant(), Outcome::Ended);
        worker.join().unwrap();
    }

    #[test]
    fn a_turn_that_is_kept_too_long_is_reported() {
        let (mut grants, _kept) = exchange(Duration::from_millis(1));
        assert_eq!(grants.grant(), Outcome::Hung);
        assert_eq!(grants.grant(), Outcome::Hung);
    }
}
