//! What clients did to the queues, in the line format of `ferret judge`: one object per operation and line.
//!
//! It says what `queue-linearizable` and `no-confirmed-loss` look at, and as they do: each attempt to publish is an
//! enqueue of its own value, and each message's first removal is a dequeue. Redeliveries are left out, for a message
//! that was put back may be held by someone else. So a history that `ferret judge` refuses is one that the run's own
//! checkers refuse, and the other way round.
//!
//! A message that was confirmed and never seen is still there, unless it may have been removed unseen: then there is
//! a dequeue of unknown outcome that may have taken it.
//!
//! Times are virtual nanoseconds. Of events with the same time each is one nanosecond later than the one before, so
//! that their order is not lost.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::{
    check::{
        ledger::{Attempt, Ledger, Position, Sighting},
        linearizability, loss,
    },
    explain::Narrator,
    history::{History, PublishOutcome, QueueId},
};

/// Writes the history; returns how many operations it has.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, history: &History) -> io::Result<u64> {
    let ledger = Ledger::new(history);
    let mut lines = Lines { out, ledger: &ledger, times: times(history), count: 0 };
    let excused = loss::excuses(&ledger);
    for attempt in &ledger.attempts {
        lines.enqueue(attempt)?;
        let first = first_sighting(&ledger, attempt);
        if attempt.confirmed().is_some() && first.is_none() && excused(attempt) {
            lines.unseen(attempt)?;
        }
    }
    for sighting in &ledger.sightings {
        lines.dequeue(sighting)?;
    }
    for get in &ledger.gets {
        if let Some((replied, true)) = get.reply {
            let note = "it was empty";
            lines.write("a get", ("dequeue", Value::Null), get.queue, (get.sent, Some(replied)), note)?;
        }
    }
    Ok(lines.count)
}

/// Writes every recorded event as a line of its own: when, who, what in words, and all that was recorded.
///
/// # Errors
/// Those of `out`.
pub fn write_events(out: &mut dyn Write, history: &History) -> io::Result<u64> {
    let narrator = Narrator::new(history);
    for (event, told) in history.events.iter().zip(narrator.events()) {
        let line = json!({ "at": event.at, "who": told.who, "what": told.what, "event": event.kind });
        writeln!(out, "{line}")?;
    }
    Ok(history.events.len() as u64)
}

/// A time for each event, all distinct.
fn times(history: &History) -> Vec<u64> {
    let mut next = 0;
    let time = |at: u64| {
        let time = at.max(next);
        next = time + 1;
        time
    };
    history.events.iter().map(|event| event.at.0).map(time).collect()
}

/// The first receipt of a message from the queue that it was published to.
fn first_sighting<'a>(ledger: &'a Ledger<'_>, attempt: &'a Attempt) -> Option<&'a Sighting> {
    ledger.sightings_of(attempt).find(|sighting| sighting.queue == attempt.queue)
}

struct Lines<'a> {
    out: &'a mut dyn Write,
    ledger: &'a Ledger<'a>,
    times: Vec<u64>,
    count: u64,
}

impl Lines<'_> {
    /// An operation; without an end, of unknown outcome.
    fn write(
        &mut self,
        process: &str,
        (operation, value): (&str, Value),
        queue: QueueId,
        (start, end): (Position, Option<Position>),
        note: &str,
    ) -> io::Result<()> {
        self.count += 1;
        let line = json!({
            "process": process,
            "kind": "queue",
            "key": self.ledger.queue(queue),
            "operation": operation,
            "value": value,
            "start": self.times[start],
            "end": end.map(|end| self.times[end]),
            "outcome": if end.is_some() { "ok" } else { "info" },
            "note": note,
        });
        writeln!(self.out, "{line}")
    }

    fn enqueue(&mut self, attempt: &Attempt) -> io::Result<()> {
        let seen = first_sighting(self.ledger, attempt).map(|sighting| sighting.received);
        let known = attempt.confirmed().into_iter().chain(seen).min();
        let note = match attempt.outcome {
            Some((PublishOutcome::Confirmed, _)) => "confirmed",
            Some((PublishOutcome::Nacked, _)) => "nacked",
            Some((PublishOutcome::Returned, _)) => "returned",
            Some((PublishOutcome::Unknown, _)) => "unknown",
            None => "without an answer by the end",
        };
        let (publisher, value) = (self.ledger.client(attempt.channel), self.ledger.message(attempt.id));
        // A receipt before a phantom's publish is refused as the dequeue of a value that was not there yet.
        let end = known.filter(|end| *end >= attempt.published);
        self.write(&publisher, ("enqueue", value.into()), attempt.queue, (attempt.published, end), note)
    }

    /// The first receipt of a message, or one that is no message of its queue.
    fn dequeue(&mut self, sighting: &Sighting) -> io::Result<()> {
        let ledger = self.ledger;
        let attempt = sighting.attempt.map(|index| &ledger.attempts[index as usize]);
        let attempt = attempt.filter(|attempt| attempt.queue == sighting.queue);
        let (start, note) = match attempt {
            None => (sighting.dispatched_after, "nobody published it here"),
            Some(attempt) => {
                let here = || ledger.sightings_of(attempt).filter(|it| it.queue == attempt.queue);
                if here().next().is_none_or(|first| first.received != sighting.received) {
                    return Ok(());
                }
                match here().find(|it| it.fresh()) {
                    Some(fresh) => (fresh.dispatched_after, "from the earliest time at which it can have been sent"),
                    // The first copy was lost on its way, nobody knows when.
                    None => (attempt.published, "only ever seen redelivered"),
                }
            }
        };
        let value = sighting.delivery.message.map_or_else(
            || json!(format!("a body that nobody published, received at {}", ledger.clock(sighting.received))),
            |id| ledger.message(id).into(),
        );
        let received = sighting.received;
        let consumer = ledger.client(sighting.channel);
        self.write(&consumer, ("dequeue", value), sighting.queue, (start.min(received), Some(received)), note)
    }

    /// A dequeue that may have taken the message.
    fn unseen(&mut self, attempt: &Attempt) -> io::Result<()> {
        let Some(from) = linearizability::blind_from(self.ledger, attempt.queue) else { return Ok(()) };
        let note = "a message may have been removed unseen";
        self.write("somebody", ("dequeue", Value::Null), attempt.queue, (from, None), note)
    }
}
