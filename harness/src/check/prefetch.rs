//! `prefetch`: a consumer never holds more unsettled deliveries than it asked for (AMQP 0-9-1, `basic.qos`).
//!
//! A delivery counts from its receipt until its settle is handed to the socket: the broker hears of the settle later,
//! so a correct broker is always below this count's limit. What the broker took back without the client's knowing (its
//! node was given up as lost) counts until the client settles it, for the client holds it. Answers to gets do not
//! count. Several consumers of one queue on one channel are judged by the sum of their limits.

use std::collections::BTreeMap;

use super::{
    ledger::{Ledger, Sighting},
    verdict::{Judgement, Witness},
};
use crate::history::{ChannelId, EventKind, QueueId, Settle};

const UNIT: &str = "limited deliveries";

pub(crate) fn prefetch(ledger: &Ledger<'_>) -> Judgement {
    let mut limits: BTreeMap<(ChannelId, QueueId), u64> = BTreeMap::new();
    let mut held: BTreeMap<ChannelId, BTreeMap<u64, usize>> = BTreeMap::new();
    let mut outstanding: BTreeMap<(ChannelId, QueueId), u64> = BTreeMap::new();
    let mut checked = 0;
    let mut next = 0;
    for (at, event) in ledger.history.events.iter().enumerate() {
        match event.kind {
            EventKind::Subscribe { channel, queue, prefetch, no_ack } => {
                let limit = if no_ack || prefetch == 0 { u64::MAX } else { u64::from(prefetch) };
                let entry = limits.entry((channel, queue)).or_insert(0);
                *entry = entry.saturating_add(limit);
            }
            EventKind::Deliver { channel, queue, delivery } => {
                let sighting = advance(ledger, &mut next, at);
                let limit = limits.get(&(channel, queue)).copied().unwrap_or(u64::MAX);
                if limit == u64::MAX {
                    continue;
                }
                checked += 1;
                let tags = held.entry(channel).or_default();
                tags.insert(delivery.tag, sighting);
                let count = outstanding.entry((channel, queue)).or_insert(0);
                *count += 1;
                if *count > limit {
                    let holding: Vec<&Sighting> = tags
                        .values()
                        .map(|&index| &ledger.sightings[index])
                        .filter(|sighting| sighting.queue == queue)
                        .collect();
                    if holding.len() as u64 > limit {
                        let sentence = format!(
                            "{} held {} unsettled messages of {} on channel {} at {}, with a prefetch of {limit}",
                            ledger.client(channel),
                            holding.len(),
                            ledger.queue(queue),
                            channel.0,
                            ledger.clock(at)
                        );
                        let events = holding.iter().map(|sighting| sighting.received).collect();
                        return Judgement::violated(checked, UNIT, Witness { sentence, events });
                    }
                }
            }
            EventKind::GetReply { delivery: Some(_), .. } => {
                advance(ledger, &mut next, at);
            }
            EventKind::Settle { channel, tag, settle } => {
                let Some(tags) = held.get_mut(&channel) else { continue };
                for settled in take(tags, tag, settle) {
                    if let Some(count) = outstanding.get_mut(&(channel, ledger.sightings[settled].queue)) {
                        *count -= 1;
                    }
                }
            }
            EventKind::ChannelLost { channel, .. } => {
                held.remove(&channel);
            }
            _ => {}
        }
    }
    Judgement::holds(checked, UNIT)
}

/// The index of the sighting received at `at`; sightings are in order of receipt.
fn advance(ledger: &Ledger<'_>, next: &mut usize, at: usize) -> usize {
    debug_assert_eq!(ledger.sightings[*next].received, at, "every delivery has its sighting");
    *next += 1;
    *next - 1
}

/// Removes what a settle covers. Tag 0 with `multiple` is everything (AMQP 0-9-1, `basic.ack`).
pub(crate) fn take<T>(tags: &mut BTreeMap<u64, T>, tag: u64, settle: Settle) -> Vec<T> {
    let multiple = match settle {
        Settle::Ack { multiple } | Settle::Nack { multiple, .. } => multiple,
        Settle::Reject { .. } => false,
    };
    if !multiple {
        return tags.remove(&tag).into_iter().collect();
    }
    let rest = if tag == 0 { BTreeMap::new() } else { tags.split_off(&tag.saturating_add(1)) };
    std::mem::replace(tags, rest).into_values().collect()
}
