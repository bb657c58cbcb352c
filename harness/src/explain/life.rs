//! The life of one message: what its clients did and saw, which log entry carried it, what its queue did with it.

use std::collections::{BTreeMap, BTreeSet};

use ferret_reports::WitnessEvent;
use warren::platform::{GroupId, LogIndex, NodeId, Observation, Term};

use super::{MessageName, Narrator, replicas::Replica};
use crate::{
    check::ledger::{Attempt, Position, Sighting},
    history::{ClientId, EventKind, Nanos, PublishOutcome, Settle},
};

/// Everything that is known of one message.
pub struct Life {
    pub name: MessageName,
    pub queue: String,
    pub attempts: Vec<Try>,
    /// Its number in the queue, if it can be told.
    pub number: Option<u64>,
    /// The log entry that carried it, and how sure that is.
    pub entry: Option<Entry>,
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

/// An entry of a queue's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub group: GroupId,
    pub index: LogIndex,
    pub term: Term,
    /// Inferred from the time of the confirm, not from the message's number.
    pub guessed: bool,
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
        let number = group.and_then(|group| sightings.iter().find_map(|seen| self.dispatch(group, seen)));
        let entry = group.and_then(|group| match number {
            Some(number) => self.entry_of(group, number),
            None => attempts.iter().find_map(|attempt| self.entry_before_confirm(group, attempt)),
        });
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
            replicas: entry.map(|entry| self.replicas(entry, first)).unwrap_or_default(),
            entry,
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

    /// The number of the message that a client received: of what its node sent to that channel under the same tag.
    fn dispatch(&self, group: GroupId, seen: &Sighting) -> Option<u64> {
        let sent = self.pairs.get(&seen.channel)?.sent.get(&seen.delivery.tag)?;
        (sent.group == group).then_some(sent.message)
    }

    /// The entry that gave the message its number.
    fn entry_of(&self, group: GroupId, number: u64) -> Option<Entry> {
        let facts = &self.ledger.tape().queues.get(&group)?.facts;
        let numbered =
            facts.iter().position(|fact| matches!(*fact.what, Observation::Enqueued { last, .. } if last >= number))?;
        facts[numbered..].iter().find_map(|fact| match *fact.what {
            Observation::Applied { index, term, .. } => Some(Entry { group, index, term, guessed: false }),
            _ => None,
        })
    }

    /// A confirm follows from what its node applies: the last entry with new messages before it carried this one, if
    /// the node tells the truth. An entry whose messages are all known to be others did not.
    fn entry_before_confirm(&self, group: GroupId, attempt: &Attempt) -> Option<Entry> {
        let (_, told) = attempt.outcome?;
        let node = self.ledger.channels.get(&attempt.channel)?.node;
        let events = &self.ledger.history.events[attempt.published..told];
        let observed = |kind: &EventKind| match kind {
            EventKind::Observed { node: by, observation } => Some((*by, observation.clone())),
            _ => None,
        };
        let of_others = self.entries_of_others(group, (attempt.id.publisher, attempt.id.sequence));
        let mut numbered = false;
        let mut entry = None;
        for (by, observation) in events.iter().filter_map(|event| observed(&event.kind)) {
            match observation {
                Observation::Enqueued { group: of, .. } if by == node && of == group => numbered = true,
                Observation::Applied { group: of, index, term, .. }
                    if by == node
                        && of == group
                        && std::mem::take(&mut numbered)
                        && !of_others.contains(&(index, term)) =>
                {
                    entry = Some(Entry { group, index, term, guessed: true });
                }
                _ => {}
            }
        }
        if entry.is_some() {
            return entry;
        }
        // Confirmed before anybody applied it, or never: the first entry that anybody appended after it.
        events.iter().filter_map(|event| observed(&event.kind)).find_map(|(_, observation)| match observation {
            Observation::Appended { group: of, index, term, .. }
                if of == group && !of_others.contains(&(index, term)) =>
            {
                Some(Entry { group, index, term, guessed: true })
            }
            _ => None,
        })
    }

    /// The applied entries with nothing in them for `message`: all that they numbered was received, and was another,
    /// or there was nothing to number. Another term's entry at the same place is another entry.
    fn entries_of_others(&self, group: GroupId, message: (ClientId, u64)) -> BTreeSet<(LogIndex, Term)> {
        let tape = self.ledger.tape();
        let received = self.received(group);
        let of_another = |number: u64| received.get(&number).is_some_and(|one| *one != message);
        let mut entries = BTreeSet::new();
        let (mut before, mut last) = (0, 0);
        for fact in tape.queues.get(&group).map(|tape| &tape.facts[..]).unwrap_or_default() {
            match *fact.what {
                Observation::Enqueued { last: number, .. } => last = number,
                Observation::Applied { index, term, .. } => {
                    if (before + 1..=last).all(of_another) {
                        entries.insert((index, term));
                    }
                    before = last;
                }
                _ => {}
            }
        }
        entries
    }

    /// Whose message had which number, of those that were received.
    fn received(&self, group: GroupId) -> BTreeMap<u64, (ClientId, u64)> {
        let ledger = &self.ledger;
        let seen = ledger.attempts.iter().flat_map(|attempt| {
            ledger.sightings_of(attempt).map(|seen| (seen, (attempt.id.publisher, attempt.id.sequence)))
        });
        seen.filter_map(|(seen, message)| Some((self.dispatch(group, seen)?, message))).collect()
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
