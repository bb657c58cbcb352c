//! Publishers that were asked to hold back, and never let on: part of `liveness`.
//!
//! A broker may block a connection for as long as it cannot take more (`connection.blocked`). Once the faults are
//! healed it can, and must say so within the bound: a publisher that obeys would be silent for ever, with nothing
//! outstanding that anybody could miss.

use std::collections::BTreeMap;

use super::{
    ledger::{Ledger, Position},
    verdict::{Witness, seconds},
};
use crate::history::{ChannelId, EventKind};

/// How many times a connection was blocked, and the first that stayed so beyond `due` and for longer than `patience`;
/// both in virtual nanoseconds.
pub(crate) fn never_let_on(ledger: &Ledger<'_>, due: u64, patience: u64) -> (u64, Option<Witness>) {
    let mut checked = 0;
    let mut blocked: BTreeMap<ChannelId, Position> = BTreeMap::new();
    let mut spells: Vec<(ChannelId, Position, Option<Position>)> = Vec::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        match &event.kind {
            EventKind::Blocked { channel } => {
                checked += 1;
                blocked.entry(*channel).or_insert(at);
            }
            EventKind::Unblocked { channel } | EventKind::ChannelLost { channel, .. } => {
                spells.extend(blocked.remove(channel).map(|since| (*channel, since, Some(at))));
            }
            _ => {}
        }
    }
    spells.extend(blocked.into_iter().map(|(channel, since)| (channel, since, None)));
    let kept = |&&(_, since, until): &&(ChannelId, Position, Option<Position>)| {
        let due = due.max(ledger.time(since).0.saturating_add(patience));
        due <= ledger.end().0 && until.is_none_or(|until| ledger.time(until).0 > due)
    };
    let witness = spells.iter().find(kept).map(|&(channel, since, until)| {
        let until = until.map_or(ledger.end().0, |until| ledger.time(until).0);
        let by = ledger.channels.get(&channel).map(|channel| format!(" by {}", channel.node)).unwrap_or_default();
        Witness {
            sentence: format!(
                "{} was asked{by} to hold back at {} and was not let on for {}, although the faults were healed and \
                 a majority runs",
                ledger.client(channel),
                ledger.clock(since),
                seconds(until.saturating_sub(ledger.time(since).0))
            ),
            events: ledger.healed.into_iter().chain([since]).collect(),
        }
    });
    (checked, witness)
}
