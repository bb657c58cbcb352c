//! `queue-linearizable`: publishes and first removals are those of one FIFO queue, decided by [`fifo`].
//!
//! What becomes an interval (in positions of the history):
//! - a publish: from its sending to its confirm or its first receipt, whichever is first. One that was never
//!   confirmed and never seen is left out: it may not have happened;
//! - a first removal: if the message was seen fresh, from the earliest moment at which it can have been dispatched to
//!   that channel ([`Sighting::dispatched_after`]) to its first receipt; if it was only ever seen redelivered, from
//!   its publish: the first copy was lost on its way;
//! - a confirmed message that was never seen may have been removed unseen at any time after something could remove
//!   it; if nothing could, it was never removed;
//! - a get that was answered with "empty". A message counts as present only from the end of its publish to the start
//!   of its first removal: what was requeued may be held by someone else.

use super::{
    fifo::{self, Interval, Operation, Pattern},
    ledger::{Attempt, Ledger, Position, Sighting},
    verdict::{Judgement, Witness},
};
use crate::history::QueueId;

const UNIT: &str = "operations";

pub(crate) fn queue_linearizable(ledger: &Ledger<'_>) -> Judgement {
    let mut partitions: Vec<Partition> = Vec::new();
    for attempt in &ledger.attempts {
        partition(ledger, &mut partitions, attempt.queue).attempts.push(attempt);
    }
    for get in &ledger.gets {
        if let Some((replied, true)) = get.reply {
            let interval = Interval { start: get.sent as u64, end: replied as u64, operation: Operation::Empty };
            partition(ledger, &mut partitions, get.queue).intervals.push(interval);
        }
    }
    let mut checked = 0;
    for mut partition in partitions {
        for (value, attempt) in std::mem::take(&mut partition.attempts).into_iter().enumerate() {
            partition.add(value as u64, attempt, ledger);
        }
        checked += partition.intervals.len() as u64;
        if let fifo::Verdict::Violated(pattern) = fifo::check(&partition.intervals) {
            return Judgement::violated(checked, UNIT, tell(ledger, &partition, &pattern));
        }
    }
    Judgement::holds(checked, UNIT)
}

struct Partition<'l> {
    queue: QueueId,
    /// See [`blind_from`].
    blind_from: Option<Position>,
    attempts: Vec<&'l Attempt>,
    intervals: Vec<Interval>,
}

/// From when on a message of `queue` may have been removed without anyone having seen it; `None`: never.
pub(crate) fn blind_from(ledger: &Ledger<'_>, queue: QueueId) -> Option<Position> {
    let subscribed = ledger.subscriptions.iter().find(|s| s.queue == queue).map(|s| s.at);
    let unanswered = ledger.gets.iter().find(|get| get.queue == queue && get.reply.is_none()).map(|get| get.sent);
    subscribed.into_iter().chain(unanswered).min()
}

fn partition<'a, 'l>(
    ledger: &Ledger<'_>,
    partitions: &'a mut Vec<Partition<'l>>,
    queue: QueueId,
) -> &'a mut Partition<'l> {
    let index = partitions.iter().position(|partition| partition.queue == queue).unwrap_or_else(|| {
        let blind_from = blind_from(ledger, queue);
        partitions.push(Partition { queue, blind_from, attempts: Vec::new(), intervals: Vec::new() });
        partitions.len() - 1
    });
    &mut partitions[index]
}

impl Partition<'_> {
    fn add(&mut self, value: u64, attempt: &Attempt, ledger: &Ledger<'_>) {
        let here = || ledger.sightings_of(attempt).filter(|sighting| sighting.queue == attempt.queue);
        let first: Option<&Sighting> = here().next();
        let confirmed = attempt.confirmed();
        let Some(proven) = confirmed.into_iter().chain(first.map(|sighting| sighting.received)).min() else { return };
        let published = attempt.published;
        self.push(published, proven, Operation::Add(value));
        match first {
            Some(first) => {
                let fresh = here().find(|sighting| sighting.fresh());
                let from = fresh.map_or(published, |sighting| sighting.dispatched_after);
                self.push(from.min(first.received), first.received, Operation::Remove(value));
            }
            None => {
                if let Some(blind) = self.blind_from {
                    self.push(published.max(blind), Position::MAX, Operation::Remove(value));
                }
            }
        }
    }

    fn push(&mut self, start: Position, end: Position, operation: Operation) {
        self.intervals.push(Interval { start: start as u64, end: end as u64, operation });
    }
}

fn tell(ledger: &Ledger<'_>, partition: &Partition<'_>, pattern: &Pattern) -> Witness {
    let queue = ledger.queue(partition.queue);
    let mut events = Vec::new();
    // An interval's ends are events of the history, except for "never".
    let mut span = |index: usize| {
        let interval = partition.intervals[index];
        events
            .extend([interval.start, interval.end].iter().map(|&at| at as Position).filter(|&at| at != Position::MAX));
        interval
    };
    let name = |interval: Interval| {
        let published = partition.publish_of(interval);
        published
            .and_then(|at| ledger.attempts.binary_search_by_key(&at, |attempt| attempt.published).ok())
            .map_or("a message".to_owned(), |index| ledger.message(ledger.attempts[index].id))
    };
    let clock = |at: u64| ledger.clock(at as Position);
    let sentence = match *pattern {
        Pattern::Overtaken { earlier_add, earlier_remove, later_add, later_remove } => {
            let (earlier, later, taken) = (span(earlier_add), span(later_add), span(later_remove));
            let then = match earlier_remove.map(&mut span) {
                Some(removed) if removed.end != u64::MAX => {
                    format!("could not have been taken before {}", clock(removed.start))
                }
                _ => "was still there".to_owned(),
            };
            format!(
                "{} was in {queue} by {}, before {} was published at {}; the latter was taken by {}, when the former {then}",
                name(earlier),
                clock(earlier.end),
                name(later),
                clock(later.start),
                clock(taken.end)
            )
        }
        Pattern::NotEmpty { empty, ref chain } => {
            let asked = span(empty);
            let names: Vec<String> = chain.iter().take(5).map(|&add| name(span(add))).collect();
            let more = if chain.len() > names.len() { ", …" } else { "" };
            format!(
                "{queue} was reported empty between {} and {}, but all that time it held {}{more}",
                clock(asked.start),
                clock(asked.end),
                names.join(", then ")
            )
        }
        Pattern::RemovedBeforeAdded { add, remove } => {
            let (added, removed) = (span(add), span(remove));
            format!(
                "{} was taken from {queue} at {}, before it was published at {}",
                name(added),
                clock(removed.end),
                clock(added.start)
            )
        }
        Pattern::AddedTwice { first, second } | Pattern::RemovedTwice { first, second } => {
            format!("{} passed through {queue} twice", name(span(first).max_start(span(second))))
        }
        Pattern::NeverAdded { remove } => format!("{} was never in {queue}", name(span(remove))),
    };
    Witness { sentence, events }
}

impl Partition<'_> {
    /// Where the message of an interval was published.
    fn publish_of(&self, interval: Interval) -> Option<Position> {
        match interval.operation {
            Operation::Add(_) => Some(interval.start as Position),
            Operation::Remove(value) => self
                .intervals
                .iter()
                .find(|other| other.operation == Operation::Add(value))
                .map(|add| add.start as Position),
            Operation::Empty => None,
        }
    }
}

impl Interval {
    fn max_start(self, other: Self) -> Self {
        if other.start > self.start { other } else { self }
    }
}
