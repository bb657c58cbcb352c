//! `delivery-count`: each requeue raises a message's count by one, whatever its cause (given back, consumer or
//! connection gone, node given up), and nothing ever resets it.
//!
//! From inside, exactly: see [`super::ownership`]. From the client's side, as the `x-delivery-count` header tells it:
//! two deliveries of one message never have the same count, and what was certainly dispatched later has the higher
//! one. A first delivery has none, which counts as 0; a redelivery without a count tells nothing.

use std::collections::BTreeMap;

use super::{
    ledger::{Ledger, Sighting},
    ownership,
    verdict::{Judgement, Witness},
};

const UNIT: &str = "assignments and redeliveries";

pub(crate) fn delivery_count(ledger: &Ledger<'_>) -> Judgement {
    let (inside, witness, broken) = ownership::counts(ledger);
    if let Some(witness) = witness {
        return Judgement::violated(inside, UNIT, witness);
    }
    let (outside, witness) = received(ledger);
    match (witness, broken) {
        (Some(witness), _) => Judgement::violated(inside + outside, UNIT, witness),
        (None, Some(reason)) => Judgement::undecided(inside + outside, UNIT, reason),
        (None, None) => Judgement::holds(inside + outside, UNIT),
    }
}

fn count_of(sighting: &Sighting) -> Option<u32> {
    sighting.delivery.delivery_count.or_else(|| sighting.fresh().then_some(0))
}

fn received(ledger: &Ledger<'_>) -> (u64, Option<Witness>) {
    let mut checked = 0;
    for attempt in ledger.attempts.iter().filter(|attempt| attempt.sightings.len() > 1) {
        let here = ledger.sightings_of(attempt).filter(|sighting| sighting.queue == attempt.queue);
        let counted: Vec<(&Sighting, u32)> =
            here.filter_map(|sighting| Some((sighting, count_of(sighting)?))).collect();
        let mut by_count: BTreeMap<u32, &Sighting> = BTreeMap::new();
        let mut by_channel: BTreeMap<_, (&Sighting, u32)> = BTreeMap::new();
        // The highest count so far, after each receipt.
        let mut highest: Vec<(&Sighting, u32)> = Vec::new();
        for &(sighting, count) in &counted {
            checked += u64::from(count > 0);
            let before = highest.partition_point(|(earlier, _)| earlier.received < sighting.dispatched_after);
            let certainly = before.checked_sub(1).map(|last| highest_up_to(&highest, last));
            let lower = [by_channel.get(&sighting.channel).copied(), certainly]
                .into_iter()
                .flatten()
                .find(|(_, earlier)| *earlier > count);
            // Two first deliveries are a matter of `no-fresh-duplicate`.
            let same = by_count.get(&count).filter(|_| count > 0).map(|earlier| (*earlier, count));
            if let Some((earlier, known)) = lower.or(same) {
                let sentence = format!(
                    "{} was delivered to {} at {} with a delivery count of {known}, and to {} at {} with {count}",
                    ledger.message(attempt.id),
                    ledger.client(earlier.channel),
                    ledger.clock(earlier.received),
                    ledger.client(sighting.channel),
                    ledger.clock(sighting.received)
                );
                let events = vec![attempt.published, earlier.received, sighting.received];
                return (checked, Some(Witness { sentence, events }));
            }
            by_count.insert(count, sighting);
            by_channel.insert(sighting.channel, (sighting, count));
            let top = highest.last().map_or(0, |(_, top)| *top);
            highest.push((sighting, top.max(count)));
        }
    }
    (checked, None)
}

/// The sighting that first reached the highest count of those up to `last`.
fn highest_up_to<'a>(highest: &[(&'a Sighting, u32)], last: usize) -> (&'a Sighting, u32) {
    let count = highest[last].1;
    highest[highest.partition_point(|(_, reached)| *reached < count)]
}
