//! The life of one message: what its clients did and saw, which log entry carried it, what its queue did with it.

use ferret_reports::WitnessEvent;
use warren::platform::{GroupId, LogIndex, NodeId, Observation};

use super::{MessageName, Narrator, replicas::Replica};
use crate::{
    check::ledger::{Attempt, Position, Sighting},
    history::{EventKind, Nanos, PublishOutcome, Settle},
};

/// A sighting's dispatch is looked for among what its node sent within so long before.
const ON_THE_WAY: u64 = 60_000_000_000;

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

    /// The number of the message that a client received: that of the last one that its node sent under the same tag
    /// before.
    fn dispatch(&self, group: GroupId, seen: &Sighting) -> Option<u64> {
        let node = self.ledger.channels.get(&seen.channel)?.node;
        let earliest = self.ledger.time(seen.received).0.saturating_sub(ON_THE_WAY);
        let sent = self
            .ledger
            .tape()
            .deliveries
            .iter()
            .rev()
            .filter(|fact| fact.at < seen.received && fact.node == node && self.ledger.time(fact.at).0 >= earliest);
        let mut under_the_tag = sent.filter_map(|fact| match *fact.what {
            Observation::Delivered { group: of, message, tag, .. } if of == group && tag == seen.delivery.tag => {
                Some(message)
            }
            _ => None,
        });
        under_the_tag.next()
    }

    /// The entry that gave the message its number.
    fn entry_of(&self, group: GroupId, number: u64) -> Option<Entry> {
        let facts = &self.ledger.tape().queues.get(&group)?.facts;
        let numbered =
            facts.iter().position(|fact| matches!(*fact.what, Observation::Enqueued { last, .. } if last >= number))?;
        facts[numbered..].iter().find_map(|fact| match *fact.what {
            Observation::Applied { index, .. } => Some(Entry { group, index, guessed: false }),
            _ => None,
        })
    }

    /// A confirm follows from what its node applies: the last entry with new messages before it carried this one, if
    /// the node tells the truth.
    fn entry_before_confirm(&self, group: GroupId, attempt: &Attempt) -> Option<Entry> {
        let (_, told) = attempt.outcome?;
        let node = self.ledger.channels.get(&attempt.channel)?.node;
        let events = &self.ledger.history.events[attempt.published..told];
        let observed = |kind: &EventKind| match kind {
            EventKind::Observed { node: by, observation } => Some((*by, observation.clone())),
            _ => None,
        };
        let mut numbered = false;
        let mut entry = None;
        for (by, observation) in events.iter().filter_map(|event| observed(&event.kind)) {
            match observation {
                Observation::Enqueued { group: of, .. } if by == node && of == group => numbered = true,
                Observation::Applied { group: of, index, .. }
                    if by == node && of == group && std::mem::take(&mut numbered) =>
                {
                    entry = Some(Entry { group, index, guessed: true });
                }
                _ => {}
            }
        }
        if entry.is_some() {
            return entry;
        }
        // Confirmed before anybody applied it, or never: the first entry that anybody appended after it.
        events.iter().filter_map(|event| observed(&event.kind)).find_map(|(_, observation)| match observation {
            Observation::Appended { group: of, index, .. } if of == group => {
                Some(Entry { group, index, guessed: true })
            }
            _ => None,
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
