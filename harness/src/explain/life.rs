//! The life of one message: what its clients did and saw, which log entry carried it, what its queue did with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use ferret_reports::WitnessEvent;
use warren::platform::{GroupId, LogIndex, NodeId, Observation, Term};

use super::{MessageName, Narrator, Received, replicas::Replica};
use crate::{
    check::{
        ledger::{Attempt, Position, Sighting},
        pairing::{self, Given},
    },
    history::{EventKind, MessageId, Nanos, PublishOutcome, Settle},
};

/// An entry that is appended later than this after the confirm, in nanoseconds, is no better guess than any other.
const IN_HAND: u64 = 1_000_000_000;

/// Everything that is known of one message.
pub struct Life {
    pub name: MessageName,
    pub queue: String,
    pub attempts: Vec<Try>,
    /// Its number in the queue, if it can be told: that of the first one received, of what was confirmed if any was.
    pub number: Option<u64>,
    pub carrier: Carrier,
    /// What each node did with that entry, by node.
    pub replicas: Vec<Replica>,
    /// What clients and the queue did with it, in order of time.
    pub events: Vec<WitnessEvent>,
    pub deliveries: u64,
    pub settled: Option<Nanos>,
    /// From its publish to the last event here.
    pub span: (Nanos, Nanos),
}

/// One attempt to publish it.
pub struct Try {
    pub at: Nanos,
    pub through: Option<NodeId>,
    pub outcome: Option<(PublishOutcome, Nanos)>,
}

/// What is known of the log entry that carried a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Entry(Entry),
    /// It was confirmed, and whatever was appended from its publish on is known to have numbered others, or nothing.
    Nothing,
    /// Nothing tells.
    Unknown,
}

/// An entry of a queue's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub group: GroupId,
    pub index: LogIndex,
    pub term: Term,
    /// Inferred from the time of the confirm, not from the message's number.
    pub guessed: bool,
}

impl Carrier {
    pub fn entry(self) -> Option<Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// An applied entry, and the numbers that it gave to messages, as far as they are known.
pub(super) struct Carried {
    pub(super) index: LogIndex,
    pub(super) term: Term,
    numbers: RangeInclusive<u64>,
}

impl Narrator<'_> {
    /// The life of `name`, which [`Narrator::message`] has found.
    pub fn life(&self, name: &MessageName) -> Life {
        let ledger = &self.ledger;
        let attempts: Vec<&Attempt> = ledger
            .attempts
            .iter()
            .filter(|attempt| (attempt.id.publisher, attempt.id.sequence) == (name.publisher, name.sequence))
            .collect();
        let sightings: Vec<&Sighting> = attempts.iter().flat_map(|attempt| ledger.sightings_of(attempt)).collect();
        let queue = attempts.first().map(|attempt| ledger.queue(attempt.queue)).unwrap_or_default();
        let group = ledger.groups.iter().find(|(_, known)| **known == queue).map(|(group, _)| *group);
        // Each attempt may have become a message of its own; what was confirmed is what was promised.
        let (confirmed, others): (Vec<&Attempt>, _) =
            attempts.iter().copied().partition(|attempt| attempt.confirmed().is_some());
        let number =
            confirmed.iter().chain(&others).flat_map(|attempt| ledger.sightings_of(attempt)).find_map(|seen| {
                let given = self.given(seen)?;
                (Some(given.group) == group).then_some(given.message)
            });
        let carrier = match (group, number) {
            (Some(group), Some(number)) => self.entry_of(group, number).map_or(Carrier::Unknown, Carrier::Entry),
            // Received, and nobody knows as what.
            (Some(_), None) if !sightings.is_empty() => Carrier::Unknown,
            (Some(group), None) => {
                let carriers: Vec<Carrier> =
                    confirmed.iter().map(|attempt| self.entry_of_confirmed(group, attempt)).collect();
                let entry = carriers.iter().find(|carrier| carrier.entry().is_some());
                let common = carriers.first().filter(|first| carriers.iter().all(|one| one == *first));
                entry.or(common).copied().unwrap_or(Carrier::Unknown)
            }
            (None, _) => Carrier::Unknown,
        };
        let mut positions: Vec<Position> = Vec::new();
        for attempt in &attempts {
            positions.push(attempt.published);
            positions.extend(attempt.outcome.map(|(_, at)| at));
        }
        for seen in &sightings {
            positions.push(seen.received);
            positions.extend(self.settle_of(seen));
        }
        let mut settled = None;
        if let (Some(group), Some(number)) = (group, number) {
            let facts = ledger.tape().queues.get(&group).map(|tape| &tape.facts[..]).unwrap_or_default();
            for fact in facts {
                match *fact.what {
                    Observation::Settled { message, .. } if message == number => {
                        settled.get_or_insert(ledger.time(fact.at));
                        positions.push(fact.at);
                    }
                    Observation::Assigned { message, .. } | Observation::Requeued { message, .. }
                        if message == number =>
                    {
                        positions.push(fact.at);
                    }
                    _ => {}
                }
            }
        }
        positions.sort_unstable();
        positions.dedup();
        let first = positions.first().map_or(Nanos(0), |at| ledger.time(*at));
        let last = positions.last().map_or(first, |at| ledger.time(*at));
        Life {
            name: name.clone(),
            queue,
            attempts: attempts.iter().map(|attempt| self.attempt(attempt)).collect(),
            number,
            replicas: carrier.entry().map(|entry| self.replicas(entry, first)).unwrap_or_default(),
            carrier,
            events: positions.into_iter().map(|at| ledger.line(at)).collect(),
            deliveries: sightings.len() as u64,
            settled,
            span: (first, last),
        }
    }

    fn attempt(&self, attempt: &Attempt) -> Try {
        let ledger = &self.ledger;
        Try {
            at: ledger.time(attempt.published),
            through: ledger.channels.get(&attempt.channel).map(|channel| channel.node),
            outcome: attempt.outcome.map(|(outcome, at)| (outcome, ledger.time(at))),
        }
    }

    /// What a client received, as its node knows it: what that sent to the channel under the same tag.
    fn given(&self, seen: &Sighting) -> Option<&Given> {
        let pairs = self.pairs.get_or_init(|| pairing::pair(&self.ledger));
        pairs.get(&seen.channel)?.sent.get(&seen.delivery.tag)
    }

    /// The entry that gave the message its number.
    fn entry_of(&self, group: GroupId, number: u64) -> Option<Entry> {
        let carried = self.entries(group).into_iter().find(|entry| entry.numbers.contains(&number))?;
        Some(Entry { group, index: carried.index, term: carried.term, guessed: false })
    }

    /// What the group's applied entries gave numbers to, in the order of the log.
    pub(super) fn entries(&self, group: GroupId) -> Vec<Carried> {
        let Some(tape) = self.ledger.tape().queues.get(&group) else { return Vec::new() };
        // A tape that begins later leaves open which numbers were the first entry's.
        let (mut before, mut last) = (tape.whole.then_some(0), 0);
        let mut entries = Vec::new();
        for fact in &tape.facts {
            match *fact.what {
                Observation::Enqueued { last: number, .. } => last = number,
                Observation::Applied { index, term, .. } => {
                    entries.push(Carried { index, term, numbers: before.unwrap_or(last) + 1..=last });
                    if last > 0 {
                        before = Some(last);
                    }
                }
                _ => {}
            }
        }
        entries
    }

    /// The name of a message that has this number in its queue, if it was ever received, and as no other's.
    pub(super) fn numbered(&self, group: GroupId, number: u64) -> Option<MessageName> {
        let mut names = self.received().get(&(group, number))?.iter();
        let (Some(&(publisher, sequence)), None) = (names.next(), names.next()) else { return None };
        Some(self.name(MessageId { publisher, sequence, attempt: 1 }))
    }

    /// The names of the messages that an entry brought, of those that were ever received. Without a term it must be
    /// the only one that anybody had in that place.
    pub(super) fn carried(&self, group: GroupId, index: u64, term: Option<u64>) -> Vec<MessageName> {
        let stood = self.ledger.observations().filter_map(|(_, _, observation)| match *observation {
            Observation::Appended { group: of, index: at, term, .. } if of == group && at.0 == index => Some(term),
            _ => None,
        });
        let terms: BTreeSet<Term> = stood.collect();
        let meant = |entry: &Carried| match term {
            Some(term) => entry.term.0 == term,
            None => terms.len() == 1,
        };
        let entries = self.entries(group).into_iter().filter(|entry| entry.index.0 == index && meant(entry));
        entries.flat_map(|entry| entry.numbers).filter_map(|number| self.numbered(group, number)).collect()
    }

    /// The entry of a message that was confirmed and never received, from the order of events.
    ///
    /// A confirm follows from what its node applies: most likely the last entry with new messages before it carried
    /// this one, if the node tells the truth. Else the message was confirmed before it was applied, or never was: the
    /// first entry that anybody appended from its publish on. What is known to hold others' messages carried neither.
    fn entry_of_confirmed(&self, group: GroupId, attempt: &Attempt) -> Carrier {
        let ledger = &self.ledger;
        let Some(confirmed) = attempt.confirmed() else { return Carrier::Unknown };
        let Some(node) = ledger.channels.get(&attempt.channel).map(|channel| channel.node) else {
            return Carrier::Unknown;
        };
        let until = ledger.time(confirmed).0.saturating_add(IN_HAND);
        let of_others = self.entries_of_others(group, attempt);
        let mut numbered = false;
        let (mut applied, mut appended, mut late) = (None, None, false);
        for (at, by, observation) in ledger.observations() {
            if at < attempt.published {
                continue;
            }
            match *observation {
                Observation::Enqueued { group: of, .. } if by == node && of == group => numbered = true,
                Observation::Applied { group: of, index, term, .. }
                    if by == node
                        && of == group
                        && std::mem::take(&mut numbered)
                        && at < confirmed
                        && !of_others.contains(&(index, term)) =>
                {
                    applied = Some(Entry { group, index, term, guessed: true });
                }
                Observation::Appended { group: of, index, term, .. }
                    if of == group && !of_others.contains(&(index, term)) =>
                {
                    if ledger.time(at).0 <= until {
                        appended.get_or_insert(Entry { group, index, term, guessed: true });
                    } else {
                        late = true;
                    }
                }
                _ => {}
            }
        }
        match applied.or(appended) {
            Some(entry) => Carrier::Entry(entry),
            None if late => Carrier::Unknown,
            None => Carrier::Nothing,
        }
    }

    /// The entries that gave the attempt no number: appended before its publish; or applied, and all that they
    /// numbered was received and was another, or no replica numbered anything. Another term's entry at the same place
    /// is another entry. Where replicas are of different states, one's numbers tell nothing of another's.
    fn entries_of_others(&self, group: GroupId, attempt: &Attempt) -> BTreeSet<(LogIndex, Term)> {
        let message = (attempt.id.publisher, attempt.id.sequence);
        let received = self.received();
        let of_others =
            |number: u64| received.get(&(group, number)).is_some_and(|messages| !messages.contains(&message));
        let mut others = BTreeSet::new();
        let mut numbering: BTreeSet<(LogIndex, Term)> = BTreeSet::new();
        let mut open: BTreeSet<NodeId> = BTreeSet::new();
        let mut states: BTreeMap<(LogIndex, Term), BTreeSet<u64>> = BTreeMap::new();
        for (at, node, observation) in self.ledger.observations() {
            match *observation {
                Observation::Appended { group: of, index, term, .. } if of == group && at < attempt.published => {
                    others.insert((index, term));
                }
                Observation::Enqueued { group: of, .. } if of == group => drop(open.insert(node)),
                Observation::Applied { group: of, index, term, state_hash, .. } if of == group => {
                    states.entry((index, term)).or_default().insert(state_hash);
                    if open.remove(&node) {
                        numbering.insert((index, term));
                    }
                }
                _ => {}
            }
        }
        let agreed = |entry: &Carried| states.get(&(entry.index, entry.term)).is_some_and(|states| states.len() == 1);
        let known = self.entries(group).into_iter().filter(agreed).filter(|entry| {
            let numbers_nothing = !numbering.contains(&(entry.index, entry.term));
            numbers_nothing || (!entry.numbers.is_empty() && entry.numbers.clone().all(of_others))
        });
        others.extend(known.map(|entry| (entry.index, entry.term)));
        others
    }

    /// Whose message had which number in which queue, of those that were received: of one, unless replicas differ.
    fn received(&self) -> &Received {
        self.received.get_or_init(|| {
            let ledger = &self.ledger;
            let mut received = Received::new();
            for attempt in &ledger.attempts {
                for given in ledger.sightings_of(attempt).filter_map(|seen| self.given(seen)) {
                    let messages = received.entry((given.group, given.message)).or_default();
                    messages.insert((attempt.id.publisher, attempt.id.sequence));
                }
            }
            received
        })
    }

    /// The settle that its consumer sent for what it received.
    fn settle_of(&self, seen: &Sighting) -> Option<Position> {
        let events = &self.ledger.history.events[seen.received..];
        let settles = |kind: &EventKind| match *kind {
            EventKind::Settle { channel, tag, settle } if channel == seen.channel => match settle {
                Settle::Ack { multiple: true } | Settle::Nack { multiple: true, .. } => {
                    tag == 0 || tag >= seen.delivery.tag
                }
                _ => tag == seen.delivery.tag,
            },
            _ => false,
        };
        events.iter().position(|event| settles(&event.kind)).map(|offset| seen.received + offset)
    }
}
