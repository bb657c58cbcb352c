//! `confirm-protocol`: a publish on a channel in confirm mode gets one outcome, and the right kind of one.
//!
//! Confirms may come in any order and cover several publishes. What is not allowed: a second outcome, an outcome or a
//! return for what was never published or is answered already, a message that is both returned and delivered or that is
//! returned by a queue that is there, and a publish that is passed over: a later one to the same queue is confirmed,
//! the channel lives on, and nothing comes. (An unroutable message that is confirmed without a return looks like a lost
//! one, and is found as that. Publishes that nothing overtakes are `liveness`'s matter.)

use std::collections::BTreeMap;

use super::{
    ledger::{Attempt, Drain, Ledger, Position},
    verdict::{Judgement, Witness},
};
use crate::history::{EventKind, PublishOutcome, Stray};

const UNIT: &str = "publishes";

/// How long an outcome may come after that of a later publish, in virtual nanoseconds. A queue applies publishes in
/// order and a channel's frames stay in order, so this is generous.
const OVERTAKEN_NS: u64 = 1_000_000_000;

pub(crate) fn confirm_protocol(ledger: &Ledger<'_>) -> Judgement {
    let checked = ledger.attempts.len() as u64;
    let witness =
        outcomes(ledger).or_else(|| returned(ledger)).or_else(|| unroutable(ledger)).or_else(|| passed_over(ledger));
    Judgement::unless(checked, UNIT, witness)
}

/// Each publish has at most one outcome, and each outcome has its publish before it.
fn outcomes(ledger: &Ledger<'_>) -> Option<Witness> {
    let mut open = BTreeMap::new();
    let mut answered = BTreeMap::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (sentence, events) = match &event.kind {
            EventKind::Publish { message, .. } => {
                open.insert(*message, at);
                continue;
            }
            EventKind::PublishOutcome { message, .. } => {
                if let Some(published) = open.remove(message) {
                    answered.insert(*message, (published, at));
                    continue;
                }
                let name = ledger.message(*message);
                match answered.get(message) {
                    Some(&(published, first)) => (
                        format!(
                            "{name} had its outcome at {}, and another one at {}",
                            ledger.clock(first),
                            ledger.clock(at)
                        ),
                        vec![published, first, at],
                    ),
                    None => {
                        (format!("{name} had an outcome at {}, but it was not published", ledger.clock(at)), vec![at])
                    }
                }
            }
            EventKind::Stray { channel, what } => {
                let what = match what {
                    Stray::Outcome { tag, .. } => format!("an outcome for tag {tag}"),
                    Stray::Return { message: Some(message) } => format!("{} back", ledger.message(*message)),
                    Stray::Return { message: None } => "a message back".to_owned(),
                };
                let sentence = format!(
                    "{} received {what} on channel {} at {}, where it had no such publish open",
                    ledger.client(*channel),
                    channel.0,
                    ledger.clock(at)
                );
                (sentence, vec![at])
            }
            _ => continue,
        };
        return Some(Witness { sentence, events });
    }
    None
}

/// Nothing is returned as unroutable from a queue that is there. Nobody deletes queues, so one that took an earlier
/// message of the same channel is there, and the channel's node knows it.
fn unroutable(ledger: &Ledger<'_>) -> Option<Witness> {
    let mut took: BTreeMap<_, (&Attempt, Position)> = BTreeMap::new();
    for attempt in &ledger.attempts {
        let key = (attempt.channel, attempt.queue);
        match attempt.outcome {
            Some((PublishOutcome::Confirmed, at)) => {
                took.entry(key).or_insert((attempt, at));
            }
            Some((PublishOutcome::Returned, at)) => {
                let Some((before, confirmed)) = took.get(&key).filter(|(_, at)| *at < attempt.published) else {
                    continue;
                };
                let sentence = format!(
                    "{} was returned as unroutable at {}, but its queue, {}, had taken {} on the same channel before, \
                     at {}",
                    ledger.message(attempt.id),
                    ledger.clock(at),
                    ledger.queue(attempt.queue),
                    ledger.message(before.id),
                    ledger.clock(*confirmed)
                );
                return Some(Witness { sentence, events: vec![*confirmed, attempt.published, at] });
            }
            _ => {}
        }
    }
    None
}

/// Nothing is both returned and delivered.
fn returned(ledger: &Ledger<'_>) -> Option<Witness> {
    ledger.attempts.iter().find_map(|attempt| {
        let Some((PublishOutcome::Returned, returned)) = attempt.outcome else { return None };
        let seen = ledger.sightings_of(attempt).next()?;
        let sentence = format!(
            "{} was returned as unroutable at {}, but {} received it at {}",
            ledger.message(attempt.id),
            ledger.clock(returned),
            ledger.client(seen.channel),
            ledger.clock(seen.received)
        );
        Some(Witness { sentence, events: vec![attempt.published, returned, seen.received] })
    })
}

/// No publish stays without an outcome while later ones on its channel to its queue are confirmed.
fn passed_over(ledger: &Ledger<'_>) -> Option<Witness> {
    // The earliest confirm of a later publish, by channel and queue; attempts are walked backwards.
    let mut overtaking: BTreeMap<_, (&Attempt, Position)> = BTreeMap::new();
    let mut found: Option<(&Attempt, &Attempt, Position)> = None;
    for attempt in ledger.attempts.iter().rev() {
        let key = (attempt.channel, attempt.queue);
        match attempt.outcome {
            Some((PublishOutcome::Confirmed, at)) => {
                let earliest = overtaking.entry(key).or_insert((attempt, at));
                if at < earliest.1 {
                    *earliest = (attempt, at);
                }
            }
            Some((PublishOutcome::Unknown, _)) | None => {
                if let Some(&(later, confirmed)) = overtaking.get(&key)
                    && waited_until(ledger, attempt) > ledger.time(confirmed).0.saturating_add(OVERTAKEN_NS)
                {
                    found = Some((attempt, later, confirmed));
                }
            }
            Some(_) => {}
        }
    }
    let (attempt, later, confirmed) = found?;
    let sentence = format!(
        "{} was published at {} and never had an outcome; {}, published later on the same channel, was confirmed at {}",
        ledger.message(attempt.id),
        ledger.clock(attempt.published),
        ledger.message(later.id),
        ledger.clock(confirmed)
    );
    let gave_up = attempt.outcome.map(|(_, at)| at);
    let events = [attempt.published, later.published, confirmed].into_iter().chain(gave_up).collect();
    Some(Witness { sentence, events })
}

/// Until when an outcome would have been heard, in virtual nanoseconds.
fn waited_until(ledger: &Ledger<'_>, attempt: &Attempt) -> u64 {
    let lost = ledger.channels.get(&attempt.channel).and_then(|channel| channel.lost);
    let gave_up = attempt.outcome.map(|(_, at)| at);
    let end = match ledger.drain {
        Drain::Complete(at) => ledger.time(at).0,
        Drain::Failed(_) => ledger.end().0,
    };
    lost.into_iter().chain(gave_up).map(|at| ledger.time(at).0).fold(end, u64::min)
}
