//! Part of `liveness`: once the bound is over, a queue serves every consumer that lives and has credit left.
//!
//! A queue may drop a consumer without its client's knowing: the client's node was given up as lost. When the node is
//! back, it attaches its consumers again, as soon as their clients hold less than their prefetch. From outside, a
//! consumer that is forgotten looks like one that finds nothing to do.

use std::collections::BTreeMap;

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    pairing::{self, Paired},
    prefetch::take,
    verdict::Witness,
};
use crate::history::{ChannelId, EventKind, QueueId};

/// A consumer as its client sees it.
struct Subscriber {
    since: Position,
    /// `u64::MAX`: no limit.
    prefetch: u64,
    /// Since when it has had credit left.
    free: Option<Position>,
}

/// How many consumers were looked for at `due` (virtual nanoseconds), and the first that its queue had forgotten. Those
/// count that had been there, with credit, for `patience` by then.
pub(crate) fn forgotten(ledger: &Ledger<'_>, due: u64, patience: u64) -> (u64, Option<Witness>) {
    let until = ledger.history.events.partition_point(|event| event.at.0 <= due);
    let pairs = pairing::pair(ledger);
    let mut checked = 0;
    for ((channel, queue), subscriber) in subscribers(ledger, until) {
        let Some(paired) = pairs.get(&channel) else { continue };
        let lives = ledger.channels.get(&channel).is_some_and(|channel| channel.lost.is_none_or(|lost| lost >= until));
        let settled = subscriber.free.is_some_and(|free| ledger.time(free).0.saturating_add(patience) <= due);
        if !lives || !settled {
            continue;
        }
        let name = ledger.queue(queue);
        let Some((&group, _)) = ledger.groups.iter().find(|(_, of)| **of == name) else { continue };
        let Some(served) = serves(ledger, group, paired, until) else { continue };
        checked += 1;
        if let Err(dropped) = served {
            let sentence = format!(
                "{} consumed from {name} on channel {} of {} since {} and had credit left, but {name} did not serve \
                 it any more at {}",
                ledger.client(channel),
                channel.0,
                paired.node,
                ledger.clock(subscriber.since),
                ledger.clock(until.saturating_sub(1))
            );
            let mut events = vec![subscriber.since, until.saturating_sub(1)];
            events.extend(dropped);
            return (checked, Some(Witness { sentence, events }));
        }
    }
    (checked, None)
}

fn subscribers(ledger: &Ledger<'_>, until: Position) -> BTreeMap<(ChannelId, QueueId), Subscriber> {
    let mut subscribers: BTreeMap<(ChannelId, QueueId), Subscriber> = BTreeMap::new();
    // Unsettled deliveries: tag to queue. What was got needs no credit, but is never too much to count.
    let mut held: BTreeMap<ChannelId, BTreeMap<u64, QueueId>> = BTreeMap::new();
    for (at, event) in ledger.history.events[..until].iter().enumerate() {
        let touched = match event.kind {
            EventKind::Subscribe { channel, queue, prefetch, no_ack } => {
                let prefetch = if no_ack || prefetch == 0 { u64::MAX } else { prefetch.into() };
                subscribers.insert((channel, queue), Subscriber { since: at, prefetch, free: Some(at) });
                continue;
            }
            EventKind::Deliver { channel, queue, delivery }
            | EventKind::GetReply { channel, queue, delivery: Some(delivery) } => {
                held.entry(channel).or_default().insert(delivery.tag, queue);
                channel
            }
            EventKind::Settle { channel, tag, settle } => {
                if let Some(tags) = held.get_mut(&channel) {
                    take(tags, tag, settle);
                }
                channel
            }
            _ => continue,
        };
        let Some(tags) = held.get(&touched) else { continue };
        let of_channel = subscribers.range_mut((touched, QueueId(0))..=(touched, QueueId(u32::MAX)));
        for ((_, queue), subscriber) in of_channel.filter(|(_, subscriber)| subscriber.prefetch < u64::MAX) {
            let count = tags.values().filter(|of| *of == queue).count() as u64;
            subscriber.free = (count < subscriber.prefetch).then(|| subscriber.free.unwrap_or(at));
        }
    }
    subscribers
}

/// Whether the queue serves a consumer of the channel; else since when it does not, if it ever did. `None` where the
/// log does not tell.
fn serves(
    ledger: &Ledger<'_>,
    group: GroupId,
    paired: &Paired,
    until: Position,
) -> Option<Result<(), Option<Position>>> {
    let tape = ledger.tape().queues.get(&group).filter(|tape| tape.whole && tape.broken.is_none())?;
    let of = |owner: NodeId, channel: u64| (owner, channel) == (paired.node, paired.number);
    let mut served = Err(None);
    // The node's numbers for its channels begin anew with each of its lives.
    for fact in tape.facts.iter().skip_while(|fact| fact.at < paired.opened).take_while(|fact| fact.at < until) {
        match *fact.what {
            Observation::ConsumerAttached { owner, channel, .. } if of(owner, channel) => served = Ok(()),
            Observation::ConsumerDetached { owner, channel, .. } if of(owner, channel) => served = Err(Some(fact.at)),
            _ => {}
        }
    }
    Some(served)
}
