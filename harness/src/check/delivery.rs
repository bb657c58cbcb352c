//! What may be delivered, and how often: `no-phantom`, `no-fresh-duplicate`, `attempts-bound`.

use std::collections::BTreeMap;

use super::{
    ledger::{Ledger, Sighting},
    verdict::{Judgement, Witness},
};
use crate::history::{ClientId, PublishOutcome, QueueId};

/// A delivered message was published before, to that queue. Deliveries of publishes that were refused, or whose
/// outcome is unknown, are allowed, and counted in the remark.
pub(crate) fn no_phantom(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "deliveries";
    let checked = ledger.sightings.len() as u64;
    let mut refused = 0_u64;
    let mut unknown = 0_u64;
    for sighting in &ledger.sightings {
        if let Some(witness) = phantom(ledger, sighting) {
            return Judgement::violated(checked, UNIT, witness);
        }
        match sighting.attempt.and_then(|index| ledger.attempts[index as usize].outcome) {
            Some((PublishOutcome::Nacked | PublishOutcome::Returned, _)) => refused += 1,
            Some((PublishOutcome::Unknown, _)) => unknown += 1,
            _ => {}
        }
    }
    let remark = (refused + unknown > 0).then(|| {
        format!("{unknown} deliveries of publishes with an unknown outcome, {refused} of refused ones: allowed")
    });
    Judgement::holds_with(checked, UNIT, remark)
}

fn phantom(ledger: &Ledger<'_>, sighting: &Sighting) -> Option<Witness> {
    let who = ledger.client(sighting.channel);
    let queue = ledger.queue(sighting.queue);
    let when = ledger.clock(sighting.received);
    let Some(id) = sighting.delivery.message else {
        let sentence = format!("{who} received a message from {queue} at {when} whose body nobody published");
        return Some(Witness { sentence, events: vec![sighting.received] });
    };
    let name = ledger.message(id);
    let Some(index) = sighting.attempt else {
        let sentence = format!("{who} received {name} from {queue} at {when}, which was never published");
        return Some(Witness { sentence, events: vec![sighting.received] });
    };
    let attempt = &ledger.attempts[index as usize];
    let published = ledger.clock(attempt.published);
    let sentence = if attempt.queue != sighting.queue {
        format!(
            "{name} was published to {} at {published}, but {who} received it from {queue} at {when}",
            ledger.queue(attempt.queue)
        )
    } else if attempt.published > sighting.received {
        format!("{who} received {name} at {when}, before it was published at {published}")
    } else {
        return None;
    };
    Some(Witness { sentence, events: vec![attempt.published, sighting.received] })
}

/// No attempt is delivered as fresh after an earlier delivery from the same queue.
///
/// Order of receipt is not order of dispatch: a fresh delivery may be overtaken on its way by the redelivery to
/// another channel. So a fresh delivery counts as a duplicate only of another fresh one, or of any that was received
/// before this one can have been dispatched.
pub(crate) fn no_fresh_duplicate(ledger: &Ledger<'_>) -> Judgement {
    const UNIT: &str = "messages seen";
    let mut checked = 0;
    for attempt in ledger.attempts.iter().filter(|attempt| !attempt.sightings.is_empty()) {
        checked += 1;
        if attempt.sightings.len() < 2 {
            continue;
        }
        let mut seen: BTreeMap<QueueId, (Option<&Sighting>, &Sighting)> = BTreeMap::new();
        let mut on_channel: BTreeMap<_, &Sighting> = BTreeMap::new();
        for sighting in ledger.sightings_of(attempt) {
            let before = seen.get(&sighting.queue);
            if sighting.fresh() {
                let earlier = before
                    .and_then(|(fresh, first)| {
                        fresh.or_else(|| (first.received < sighting.dispatched_after).then_some(*first))
                    })
                    .or_else(|| on_channel.get(&(sighting.channel, sighting.queue)).copied());
                if let Some(earlier) = earlier {
                    let sentence = format!(
                        "{} was delivered to {} at {} and again to {} at {}, not flagged as redelivered",
                        ledger.message(attempt.id),
                        ledger.client(earlier.channel),
                        ledger.clock(earlier.received),
                        ledger.client(sighting.channel),
                        ledger.clock(sighting.received)
                    );
                    let events = vec![attempt.published, earlier.received, sighting.received];
                    return Judgement::violated(checked, UNIT, Witness { sentence, events });
                }
            }
            let entry = seen.entry(sighting.queue).or_insert((None, sighting));
            if sighting.fresh() {
                entry.0.get_or_insert(sighting);
            }
            on_channel.entry((sighting.channel, sighting.queue)).or_insert(sighting);
        }
    }
    Judgement::holds(checked, UNIT)
}

/// A sequence has no more entries in a queue than attempts were made to publish it there.
///
/// Each attempt that was seen is an entry, and each of its fresh deliveries is one: a queue hands out an entry as
/// fresh once. This counts entries from below, so it never reports what was not there.
pub(crate) fn attempts_bound(ledger: &Ledger<'_>) -> Judgement {
    #[derive(Default)]
    struct Count {
        attempts: u64,
        entries: u64,
        events: Vec<usize>,
    }
    const UNIT: &str = "sequences";
    let mut counts: BTreeMap<(ClientId, u64, QueueId), Count> = BTreeMap::new();
    for attempt in &ledger.attempts {
        let count = counts.entry((attempt.id.publisher, attempt.id.sequence, attempt.queue)).or_default();
        count.attempts += 1;
        count.events.push(attempt.published);
        let here = || ledger.sightings_of(attempt).filter(|sighting| sighting.queue == attempt.queue);
        let fresh = here().filter(|sighting| sighting.fresh()).count() as u64;
        if here().next().is_some() {
            count.entries += fresh.max(1);
            count.events.extend(here().filter(|sighting| sighting.fresh()).map(|sighting| sighting.received));
        }
    }
    let mut strangers: Vec<_> = ledger
        .sightings
        .iter()
        .filter(|sighting| sighting.attempt.is_none())
        .filter_map(|sighting| Some((sighting.delivery.message?, sighting.queue, sighting.received)))
        .collect();
    strangers.sort_unstable();
    strangers.dedup_by_key(|(id, queue, _)| (*id, *queue));
    for (id, queue, received) in strangers {
        if let Some(count) = counts.get_mut(&(id.publisher, id.sequence, queue)) {
            count.entries += 1;
            count.events.push(received);
        }
    }
    let checked = counts.len() as u64;
    let witness = counts.into_iter().find(|(_, count)| count.entries > count.attempts).map(|(key, count)| {
        let publisher = ledger.history.clients.get(key.0.0 as usize).map_or("?", String::as_str);
        let sentence = format!(
            "{publisher}/{} was published {} times to {}, but at least {} copies of it were in the queue",
            key.1,
            count.attempts,
            ledger.queue(key.2),
            count.entries
        );
        Witness { sentence, events: count.events }
    });
    Judgement::unless(checked, UNIT, witness)
}
