//! When nothing was confirmed although publishers waited, and how long after a fault's end the next confirm came: the
//! one rule for thresholds and pages.
//!
//! A silence begins with a publish, or with the last confirm while others are still without an outcome, and lasts until
//! the next confirm. In between some publishes may get another outcome, most often that nobody knows: their publishers
//! try again, or cannot even connect. If no confirm comes at all, the silence lasts for as long as anybody waited, for
//! an outcome or, until the load stops, for a connection.

use std::collections::BTreeSet;

use crate::Outcome;

/// One attempt to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub client: u32,
    pub at_ns: u64,
    pub outcome: Option<(Outcome, u64)>,
}

/// A time in which publishers waited and nothing was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    pub from_ns: u64,
    pub to_ns: u64,
}

/// What came after the end of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The next confirm came after this time.
    Took(u64),
    /// No confirm came for as long as publishers waited, which was this long.
    NotWithin(u64),
    /// Another fault ended before the next confirm: it counts from there.
    Overtaken,
    /// The load had stopped: nobody had to publish any more.
    AfterLoad,
}

/// What publishers met in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Availability {
    /// In order of time.
    pub silences: Vec<Silence>,
    /// In order of time.
    confirms: Vec<u64>,
    /// The last moment at which a publisher waited.
    waited_until: u64,
    load_stopped: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// Before the outcomes of the same instant.
    Published,
    Confirmed,
    /// Nacked or returned.
    Refused,
    Unknown(u32),
    Connected(u32),
    LoadStopped,
}

impl Availability {
    /// `connected`: when each client had a new connection. `end_ns` is that of the run.
    pub fn new(
        attempts: impl IntoIterator<Item = Attempt>,
        connected: impl IntoIterator<Item = (u64, u32)>,
        load_stopped_ns: Option<u64>,
        end_ns: u64,
    ) -> Self {
        let mut moments: Vec<(u64, Moment)> = Vec::new();
        for Attempt { client, at_ns, outcome } in attempts {
            // Without confirms nobody waits: the outcome is unknown at once.
            if outcome == Some((Outcome::Unknown, at_ns)) {
                continue;
            }
            moments.push((at_ns, Moment::Published));
            moments.extend(outcome.map(|(outcome, at)| match outcome {
                Outcome::Confirmed => (at, Moment::Confirmed),
                Outcome::Nacked | Outcome::Returned => (at, Moment::Refused),
                Outcome::Unknown => (at, Moment::Unknown(client)),
            }));
        }
        moments.extend(connected.into_iter().map(|(at, client)| (at, Moment::Connected(client))));
        moments.extend(load_stopped_ns.map(|at| (at, Moment::LoadStopped)));
        moments.sort_unstable();
        let mut watch = Watch::default();
        for (at, moment) in &moments {
            watch.see(*at, *moment);
        }
        watch.end(end_ns);
        Self {
            silences: watch.silences,
            confirms: watch.confirms,
            waited_until: watch.waited_until,
            load_stopped: load_stopped_ns.unwrap_or(u64::MAX),
        }
    }

    /// The length of the longest silence.
    pub fn unavailable_max_ns(&self) -> u64 {
        self.silences.iter().map(|silence| silence.to_ns - silence.from_ns).max().unwrap_or(0)
    }

    /// What came after each of the ends of faults, in the order given.
    pub fn recoveries(&self, ended: &[u64]) -> Vec<Recovery> {
        let recovery = |&at: &u64| {
            if at >= self.load_stopped {
                return Recovery::AfterLoad;
            }
            let next = self.confirms.get(self.confirms.partition_point(|confirm| *confirm < at));
            let until = next.copied().unwrap_or(u64::MAX);
            if ended.iter().any(|other| at < *other && *other <= until && *other < self.load_stopped) {
                return Recovery::Overtaken;
            }
            match next {
                Some(next) => Recovery::Took(next - at),
                None => Recovery::NotWithin(self.waited_until.saturating_sub(at)),
            }
        };
        ended.iter().map(recovery).collect()
    }

    /// The longest recovery; one that never came counts for as long as publishers waited for it. `None` if no fault
    /// ended while the load was on and somebody waited.
    pub fn recovery_max_ns(&self, ended: &[u64]) -> Option<u64> {
        let length = |recovery| match recovery {
            Recovery::NotWithin(0) | Recovery::Overtaken | Recovery::AfterLoad => None,
            Recovery::Took(length) | Recovery::NotWithin(length) => Some(length),
        };
        self.recoveries(ended).into_iter().filter_map(length).max()
    }
}

#[derive(Default)]
struct Watch {
    /// Publishes without an outcome.
    open: u64,
    /// Publishers that were told nothing and have no connection since.
    cut_off: BTreeSet<u32>,
    since: Option<u64>,
    waited_until: u64,
    now: u64,
    load_stopped: bool,
    silences: Vec<Silence>,
    confirms: Vec<u64>,
}

impl Watch {
    fn see(&mut self, at: u64, moment: Moment) {
        self.advance(at);
        match moment {
            Moment::Published => {
                self.open += 1;
                self.since.get_or_insert(at);
            }
            Moment::Confirmed => {
                self.open = self.open.saturating_sub(1);
                self.confirms.push(at);
                self.break_silence(at);
                self.since = (self.open > 0).then_some(at);
            }
            Moment::Refused => self.open = self.open.saturating_sub(1),
            Moment::Unknown(client) => {
                self.open = self.open.saturating_sub(1);
                if !self.load_stopped {
                    self.cut_off.insert(client);
                }
            }
            Moment::Connected(client) => drop(self.cut_off.remove(&client)),
            Moment::LoadStopped => {
                self.load_stopped = true;
                self.cut_off.clear();
            }
        }
    }

    fn advance(&mut self, at: u64) {
        if at > self.now {
            if self.open > 0 || !self.cut_off.is_empty() {
                self.waited_until = at;
            }
            self.now = at;
        }
    }

    fn break_silence(&mut self, at: u64) {
        if let Some(from_ns) = self.since.take().filter(|since| *since < at) {
            self.silences.push(Silence { from_ns, to_ns: at });
        }
    }

    fn end(&mut self, at: u64) {
        self.advance(at);
        self.break_silence(self.waited_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [(u64, u32); 0] = [];

    fn attempt(at_ns: u64, outcome: Option<(Outcome, u64)>) -> Attempt {
        Attempt { client: 0, at_ns, outcome }
    }

    fn confirmed(at_ns: u64, confirm_ns: u64) -> Attempt {
        attempt(at_ns, Some((Outcome::Confirmed, confirm_ns)))
    }

    fn unknown(at_ns: u64, given_up_ns: u64) -> Attempt {
        attempt(at_ns, Some((Outcome::Unknown, given_up_ns)))
    }

    fn silences(run: &Availability) -> Vec<(u64, u64)> {
        run.silences.iter().map(|silence| (silence.from_ns, silence.to_ns)).collect()
    }

    #[test]
    fn a_silence_lasts_until_the_next_confirm_whatever_else_publishers_hear() {
        let run = Availability::new([confirmed(0, 10), confirmed(500, 1600), confirmed(600, 1500)], NONE, None, 2000);
        assert_eq!(silences(&run), [(0, 10), (500, 1500), (1500, 1600)]);
        assert_eq!(run.unavailable_max_ns(), 1000);
        // Given up, connected again, and tried again.
        let run = Availability::new([unknown(500, 700), confirmed(900, 1500)], [(800, 0)], Some(2000), 3000);
        assert_eq!(silences(&run), [(500, 1500)]);
    }

    #[test]
    fn who_cannot_connect_any_more_has_waited_until_the_load_stopped() {
        let cut_off = [confirmed(0, 10), unknown(500, 510)];
        let run = Availability::new(cut_off, NONE, Some(2000), 3000);
        assert_eq!(silences(&run), [(0, 10), (500, 2000)]);
        // It could connect, and had nothing more to publish.
        let run = Availability::new(cut_off, [(600, 0)], Some(2000), 3000);
        assert_eq!(silences(&run), [(0, 10), (500, 600)]);
    }

    #[test]
    fn who_gives_up_after_the_load_has_waited_until_then() {
        let run = Availability::new([confirmed(0, 10), unknown(1200, 2200)], NONE, Some(2000), 9000);
        assert_eq!(silences(&run), [(0, 10), (1200, 2200)]);
        let run = Availability::new([confirmed(0, 10), attempt(1200, None)], NONE, Some(2000), 9000);
        assert_eq!(silences(&run), [(0, 10), (1200, 9000)]);
        // Refused is an answer.
        let refused = attempt(1200, Some((Outcome::Nacked, 1300)));
        let run = Availability::new([confirmed(0, 10), refused], NONE, Some(2000), 9000);
        assert_eq!(silences(&run), [(0, 10), (1200, 1300)]);
    }

    #[test]
    fn who_asks_for_no_confirms_waits_for_none() {
        let run = Availability::new([confirmed(0, 10), unknown(500, 500), unknown(900, 900)], NONE, Some(2000), 3000);
        assert_eq!(silences(&run), [(0, 10)]);
    }

    #[test]
    fn recovery_counts_from_the_end_of_a_fault_to_the_next_confirm() {
        let run = Availability::new([confirmed(0, 350), confirmed(400, 900)], NONE, Some(1000), 2000);
        assert_eq!(
            run.recoveries(&[100, 500, 700, 1000]),
            [Recovery::Took(250), Recovery::Overtaken, Recovery::Took(200), Recovery::AfterLoad]
        );
        assert_eq!(run.recovery_max_ns(&[100, 500, 700, 1000]), Some(250));
    }

    #[test]
    fn a_recovery_that_never_comes_counts_for_as_long_as_publishers_waited() {
        let cut_off = [confirmed(0, 10), unknown(500, 510)];
        let run = Availability::new(cut_off, NONE, Some(2000), 3000);
        assert_eq!(run.recoveries(&[1500, 2000]), [Recovery::NotWithin(500), Recovery::AfterLoad]);
        assert_eq!(run.recovery_max_ns(&[1500]), Some(500));
        // Nobody waits any more.
        let run = Availability::new(cut_off, [(600, 0)], Some(2000), 3000);
        assert_eq!(run.recovery_max_ns(&[1500]), None);
    }
}
