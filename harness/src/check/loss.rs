//! `no-confirmed-loss`: what was confirmed is seen at least once by the end of the drain (see [`super::drained`]).
//!
//! A message that was seen counts as kept, whatever happened to it later: from then on its consumer decides. Not
//! reported: messages that may have been dispatched, unseen, to a consumer or a get that does not acknowledge (the
//! broker is done with a message when it has sent it there).

use warren::platform::Observation;

use super::{
    drained::{Emptied, emptied},
    ledger::{Attempt, Get, Ledger},
    verdict::{Judgement, Witness, down},
};
use crate::history::{EventKind, Settle};

const UNIT: &str = "confirmed messages";

pub(crate) fn no_confirmed_loss(ledger: &Ledger<'_>) -> Judgement {
    let mut checked = 0;
    let mut missing: Vec<&Attempt> = Vec::new();
    for attempt in ledger.attempts.iter().filter(|attempt| attempt.confirmed().is_some()) {
        checked += 1;
        if !ledger.sightings_of(attempt).any(|sighting| sighting.queue == attempt.queue) {
            missing.push(attempt);
        }
    }
    if missing.is_empty() {
        return Judgement::holds(checked, UNIT);
    }
    let count = missing.len();
    if let Some(beyond) = ledger.beyond_recovery() {
        let reason = format!("{count} confirmed messages were not seen; {}", beyond.why);
        return Judgement::not_recoverable(checked, UNIT, reason);
    }
    let drained = match drained(ledger) {
        Ok(drained) => drained,
        Err(reason) => {
            return Judgement::undecided(
                checked,
                UNIT,
                format!("{count} confirmed messages were not seen, but {reason}"),
            );
        }
    };
    let lost = missing.iter().copied().find(|attempt| !may_be_settled_unseen(ledger, attempt));
    match lost {
        Some(lost) => Judgement::violated(checked, UNIT, witness(ledger, lost, count, &drained)),
        None => Judgement::undecided(
            checked,
            UNIT,
            format!(
                "{count} confirmed messages were not seen, but they may have been on their way to a consumer that \
                     does not acknowledge, or that acknowledged everything unseen"
            ),
        ),
    }
}

/// When everything was seen that there was to see, or why that never was. Also a drain that went well has shown too
/// little if it went through few nodes.
fn drained(ledger: &Ledger<'_>) -> Result<Emptied, String> {
    let running = ledger.running();
    let up = running.values().filter(|since| since.is_some()).count();
    if !running.is_empty() && up * 2 <= running.len() {
        return Err(format!("only {up} of {} nodes run at the end: they may be on the others", running.len()));
    }
    emptied(ledger)
}

/// Tells, of messages that were confirmed and never seen, whether they are somewhere all the same, or were
/// rightly removed, as far as anyone can know.
pub(crate) fn excuses<'l>(ledger: &'l Ledger<'_>) -> impl Fn(&Attempt) -> bool + 'l {
    let all = ledger.beyond_recovery().is_some() || drained(ledger).is_err();
    move |attempt| all || may_be_settled_unseen(ledger, attempt)
}

/// Whether a consumer or a get without acks, or a consumer that acked "everything" by tag 0, may have had the message
/// on its way.
fn may_be_settled_unseen(ledger: &Ledger<'_>, attempt: &Attempt) -> bool {
    let alive = |channel| {
        ledger.channels.get(&channel).is_none_or(|channel| channel.lost.is_none_or(|at| at > attempt.published))
    };
    let unanswered = |get: &&Get| get.no_ack && get.queue == attempt.queue && get.reply.is_none();
    ledger.subscriptions.iter().any(|s| s.no_ack && s.queue == attempt.queue && alive(s.channel))
        || ledger.gets.iter().filter(unanswered).any(|get| alive(get.channel))
        || ledger.history.events[attempt.published..]
            .iter()
            .any(|event| matches!(event.kind, EventKind::Settle { tag: 0, settle, .. } if covers_all(settle)))
}

fn covers_all(settle: Settle) -> bool {
    matches!(settle, Settle::Ack { multiple: true } | Settle::Nack { multiple: true, requeue: false })
}

/// Tells what happened to the nodes between the publish and the next election after the confirm, which is where a
/// confirmed message usually goes. Whether the new leader had it, the order of events alone does not tell.
fn witness(ledger: &Ledger<'_>, lost: &Attempt, count: usize, drained: &Emptied) -> Witness {
    let confirmed = lost.confirmed().unwrap_or(lost.published);
    let node = ledger.channels.get(&lost.channel).map(|channel| channel.node);
    let mut events = vec![lost.published, confirmed, drained.at];
    let mut sentence = format!("message {} was confirmed at {}", ledger.message(lost.id), ledger.clock(confirmed));
    if let Some(node) = node {
        sentence += &format!(" by {node}");
    }
    let queue = ledger.queue(lost.queue);
    let election = ledger.observations().filter(|(at, ..)| *at > confirmed).find(|(_, _, observation)| {
        matches!(observation, Observation::BecameLeader { group, .. } if ledger.group(*group) == queue)
    });
    let until = election.map_or(drained.at, |(at, ..)| at);
    for crash in ledger.crashes.iter().filter(|crash| crash.at > lost.published && crash.at < until).take(4) {
        sentence += &format!("; {} {} at {}", crash.node, down(crash.how), ledger.clock(crash.at));
        events.push(crash.at);
    }
    if let Some((at, leader, _)) = election {
        sentence += &format!("; {leader} was elected at {}", ledger.clock(at));
        events.push(at);
    }
    sentence += "; it was never seen again, although the final drain found every queue empty through every node";
    if let Some(without) = &drained.without {
        sentence += &format!(" but those that are down ({without})");
    }
    if count > 1 {
        sentence += &format!(" ({} more were lost)", count - 1);
    }
    Witness { sentence, events }
}
