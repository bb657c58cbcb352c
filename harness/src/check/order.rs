//! `publisher-order`: first deliveries keep the order of a publishing channel (AMQP 0-9-1, section 4.7).
//!
//! Between one publishing channel, one queue and one consuming channel, fresh deliveries never go back. Gaps are
//! allowed: the missing message may have been refused, or taken by another consumer. Only the first sight of a message
//! counts: a second one that claims to be fresh is the matter of `no-fresh-duplicate`.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{
    ledger::{Ledger, Position},
    verdict::{Judgement, Witness},
};
use crate::history::{ChannelId, QueueId};

const UNIT: &str = "pairs of fresh deliveries";

pub(crate) fn publisher_order(ledger: &Ledger<'_>) -> Judgement {
    let mut latest: BTreeMap<(ChannelId, QueueId, ChannelId), (Position, Position)> = BTreeMap::new();
    let mut checked = 0;
    for (number, sighting) in ledger.sightings.iter().enumerate().filter(|(_, sighting)| sighting.fresh()) {
        let Some(index) = sighting.attempt else { continue };
        let attempt = &ledger.attempts[index as usize];
        if attempt.sightings.first() != Some(&(number as u32)) {
            continue;
        }
        let here = (attempt.published, sighting.received);
        match latest.entry((attempt.channel, sighting.queue, sighting.channel)) {
            Entry::Vacant(entry) => {
                entry.insert(here);
            }
            Entry::Occupied(mut entry) => {
                checked += 1;
                let before = *entry.get();
                if here.0 < before.0 {
                    let sentence = format!(
                        "{} received {} from {} at {}, after a message that was published later on the same channel",
                        ledger.client(sighting.channel),
                        ledger.message(attempt.id),
                        ledger.queue(sighting.queue),
                        ledger.clock(sighting.received)
                    );
                    let events = vec![here.0, before.0, before.1, here.1];
                    return Judgement::violated(checked, UNIT, Witness { sentence, events });
                }
                entry.insert(here);
            }
        }
    }
    Judgement::holds(checked, UNIT)
}
