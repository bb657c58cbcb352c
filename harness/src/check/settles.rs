//! `settle-applied`: what a client settles its queue settles, the same way, and nothing else.
//!
//! Time plays no part. The settles of one channel take effect in the order in which they were sent, so one that a
//! later one has overtaken is lost. And a queue settles a message only at its holder's word: what was sent back, or
//! not answered at all, is not settled. A settle that its channel did not outlive proves nothing, nor does one whose
//! message the queue had taken back before.
//!
//! Left out: channels that take without acks, and channels whose node does not tell which of its own they are (see
//! [`super::pairing`]).

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use warren::platform::{GroupId, Observation};

use super::{
    ledger::{Ledger, Position},
    pairing::{self, Given, Paired},
    prefetch::take,
    verdict::{Judgement, Witness},
};
use crate::history::{ChannelId, EventKind, Settle};

const UNIT: &str = "settles";

/// How an attempt ended in its queue.
#[derive(Clone, Copy)]
struct End {
    /// Its place among the facts of the queue's log.
    place: usize,
    at: Position,
    settled: bool,
}

/// One tag that a client settled.
struct Word {
    tag: u64,
    at: Position,
    /// Acked or refused for good; otherwise sent back.
    final_word: bool,
}

pub(crate) fn settle_applied(ledger: &Ledger<'_>) -> Judgement {
    let ends = ends(ledger);
    let (mut words, takes_without_acks) = words(ledger);
    let mut checked = 0;
    for (channel, paired) in pairing::pair(ledger) {
        let words = words.remove(&channel).unwrap_or_default();
        let witness = lost(ledger, channel, &paired, &words, &ends, &mut checked).or_else(|| {
            let silent = takes_without_acks.contains(&channel);
            if silent { None } else { unasked(ledger, channel, &paired, &words, &ends, &mut checked) }
        });
        if let Some(witness) = witness {
            return Judgement::violated(checked, UNIT, witness);
        }
    }
    match ledger.tape().broken(ledger) {
        Some(reason) => Judgement::undecided(checked, UNIT, reason),
        None => Judgement::holds(checked, UNIT),
    }
}

/// Every attempt that was given away: `None` if it is held to the end.
fn ends(ledger: &Ledger<'_>) -> BTreeMap<Given, Option<End>> {
    let mut ends = BTreeMap::new();
    for (&group, tape) in &ledger.tape().queues {
        let mut held: BTreeMap<u64, u32> = BTreeMap::new();
        for (place, fact) in tape.facts.iter().enumerate() {
            let (message, settled) = match *fact.what {
                Observation::Assigned { message, count, .. } => {
                    held.insert(message, count);
                    ends.entry(Given { group, message, count }).or_insert(None);
                    continue;
                }
                Observation::Settled { message, .. } => (message, true),
                Observation::Requeued { message, .. } => (message, false),
                _ => continue,
            };
            if let Some(count) = held.remove(&message) {
                ends.insert(Given { group, message, count }, Some(End { place, at: fact.at, settled }));
            }
        }
    }
    ends
}

/// What each channel's client settled, in order, and the channels that take without acks.
fn words(ledger: &Ledger<'_>) -> (BTreeMap<ChannelId, Vec<Word>>, BTreeSet<ChannelId>) {
    let mut held: BTreeMap<ChannelId, BTreeMap<u64, u64>> = BTreeMap::new();
    let mut words: BTreeMap<ChannelId, Vec<Word>> = BTreeMap::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        match event.kind {
            EventKind::Deliver { channel, delivery, .. }
            | EventKind::GetReply { channel, delivery: Some(delivery), .. } => {
                held.entry(channel).or_default().insert(delivery.tag, delivery.tag);
            }
            EventKind::Settle { channel, tag, settle } => {
                let back = matches!(settle, Settle::Nack { requeue: true, .. } | Settle::Reject { requeue: true });
                let tags = held.get_mut(&channel).map(|held| take(held, tag, settle)).unwrap_or_default();
                let settled = tags.into_iter().map(|tag| Word { tag, at, final_word: !back });
                words.entry(channel).or_default().extend(settled);
            }
            _ => {}
        }
    }
    let subscribed = ledger.subscriptions.iter().filter(|subscription| subscription.no_ack);
    let asked = ledger.gets.iter().filter(|get| get.no_ack);
    let without = subscribed.map(|subscription| subscription.channel).chain(asked.map(|get| get.channel));
    (words, without.collect())
}

/// A settle without effect, although a later one of the same channel on the same queue had its own.
fn lost(
    ledger: &Ledger<'_>,
    channel: ChannelId,
    paired: &Paired,
    words: &[Word],
    ends: &BTreeMap<Given, Option<End>>,
    checked: &mut u64,
) -> Option<Witness> {
    // The settle that took effect first, among those sent later.
    let mut overtaking: BTreeMap<GroupId, (End, &Word, Given)> = BTreeMap::new();
    for word in words.iter().rev() {
        let Some(given) = paired.sent.get(&word.tag) else { continue };
        let Some(end) = ends.get(given) else { continue };
        if let Some((later, by, other)) = overtaking.get(&given.group) {
            *checked += 1;
            if end.is_none_or(|end| end.place > later.place) {
                let did = if word.final_word { "settled" } else { "sent back" };
                let sentence = format!(
                    "{} {did} message {} of {} on channel {} at {}; what it settled after that, message {}, was \
                     settled at {}, but message {} still belonged to it",
                    ledger.client(channel),
                    given.message,
                    ledger.group(given.group),
                    channel.0,
                    ledger.clock(word.at),
                    other.message,
                    ledger.clock(later.at),
                    given.message
                );
                return Some(Witness { sentence, events: vec![word.at, by.at, later.at] });
            }
        }
        let Some(end) = end.filter(|end| end.settled && word.final_word) else { continue };
        match overtaking.entry(given.group) {
            Entry::Occupied(mut first) if end.place < first.get().0.place => drop(first.insert((end, word, *given))),
            Entry::Occupied(_) => {}
            Entry::Vacant(slot) => drop(slot.insert((end, word, *given))),
        }
    }
    None
}

/// A message that its queue settled, although its holder had sent it back or not answered.
fn unasked(
    ledger: &Ledger<'_>,
    channel: ChannelId,
    paired: &Paired,
    words: &[Word],
    ends: &BTreeMap<Given, Option<End>>,
    checked: &mut u64,
) -> Option<Witness> {
    let said: BTreeMap<u64, &Word> = words.iter().map(|word| (word.tag, word)).collect();
    for (tag, given) in &paired.sent {
        let Some(Some(end)) = ends.get(given).filter(|end| end.is_some_and(|end| end.settled)) else { continue };
        *checked += 1;
        let word = said.get(tag).filter(|word| word.at < end.at);
        let did = match word {
            Some(word) if word.final_word => continue,
            Some(word) => format!("had sent it back at {}", ledger.clock(word.at)),
            None => "had not settled it".to_owned(),
        };
        let sentence = format!(
            "message {} of {} was settled at {}, but {}, which it had been given to on channel {}, {did}",
            given.message,
            ledger.group(given.group),
            ledger.clock(end.at),
            ledger.client(channel),
            channel.0
        );
        let mut events: Vec<Position> = word.map(|word| word.at).into_iter().collect();
        events.push(end.at);
        return Some(Witness { sentence, events });
    }
    None
}
