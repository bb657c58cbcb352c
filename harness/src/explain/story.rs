//! The violation of one invariant, in prose.

use ferret_reports::{FaultRecord, InvariantResult, RunRecord};

use super::{Life, MessageName, Narrator, life::Carrier};
use crate::{
    check::{Invariant, verdict::seconds},
    history::{ClientId, Nanos, PublishOutcome},
};

/// Messages told of, at most.
const MESSAGES_MAX: usize = 3;
/// A fault matters to what happens within so long after it: time for an election.
const AFTERMATH: u64 = 5_000_000_000;

/// What a run's failure was.
pub struct Story {
    /// What broke, in a sentence.
    pub headline: String,
    /// Sentences that tell how.
    pub prose: Vec<String>,
    /// Faults that were under way, or just over.
    pub faults: Vec<FaultRecord>,
    /// The broken invariant with its witness.
    pub broken: Option<InvariantResult>,
    /// The other invariants that were violated.
    pub also: Vec<String>,
    /// The messages that it is about.
    pub lives: Vec<Life>,
}

impl Story {
    /// The story of `record`'s first violation of what its scenario asks for; of `message`, if one is named.
    pub fn of(narrator: &Narrator<'_>, record: &RunRecord, message: Option<&MessageName>) -> Self {
        let mut violated = record.violated();
        let broken = violated.next().cloned();
        let mut also: Vec<String> = violated.map(|result| result.name.clone()).collect();
        let names = match message {
            Some(message) => vec![message.clone()],
            None => broken.iter().flat_map(|result| messages_of(narrator, result)).take(MESSAGES_MAX).collect(),
        };
        let mut lives: Vec<Life> = names.iter().map(|name| narrator.life(name)).collect();
        let span = span(&lives, broken.as_ref().filter(|_| message.is_none()));
        let faults: Vec<FaultRecord> = match span {
            Some(span) => record.faults.iter().filter(|fault| matters(fault, span)).cloned().collect(),
            None => record.faults.iter().filter(|fault| fault.began_ns.is_some()).cloned().collect(),
        };
        let mut prose: Vec<String> = Vec::new();
        if let (true, Some(result)) = (lives.is_empty(), &broken) {
            // Where it speaks of a publisher, no other's message is of interest.
            let publishers = publishers_of(narrator, result);
            let (before, whose) = match publishers.iter().map(|(_, at)| *at).max() {
                Some(at) => (Some(at), "of its publisher's that was confirmed until then"),
                None => (faults.first().and_then(|fault| fault.began_ns), "confirmed before the fault"),
            };
            let publishers: Vec<ClientId> = publishers.into_iter().map(|(client, _)| client).collect();
            if let Some(last) = before.and_then(|before| last_confirmed(narrator, before, &publishers)) {
                prose.push(format!("The witness names no message; the last one {whose} was {last}."));
                lives.push(narrator.life(&last));
            }
        }
        prose.extend(lives.iter().map(|life| told(narrator, life)));
        prose.extend(faults.iter().map(fault_told));
        if message.is_some() {
            also = Vec::new();
        }
        let seed = format!("{} seed {}", record.scenario.name, record.seed);
        let headline = match (message, &broken) {
            (Some(message), _) => format!("{message} in {seed}"),
            (None, Some(result)) => {
                let promise = Invariant::from_name(&result.name).map_or("", Invariant::describe);
                let why = result.explanation.as_deref().unwrap_or("no witness was given");
                format!("{seed} broke {}: {promise}. But {why}.", result.name)
            }
            (None, None) => match record.reasons.first() {
                Some(reason) => format!("{seed}: {reason}"),
                None => format!("{seed} passed: there is nothing to explain; name a message with --message"),
            },
        };
        Self { headline, prose, faults, broken: broken.filter(|_| message.is_none()), also, lives }
    }
}

/// The messages that the explanation and the witness speak of.
fn messages_of(narrator: &Narrator<'_>, result: &InvariantResult) -> Vec<MessageName> {
    let mut text = result.explanation.clone().unwrap_or_default();
    for event in &result.witness {
        text += " ";
        text += &event.what;
    }
    narrator.messages_in(&text)
}

/// The publishers that the witness speaks of, each with the time of its last event there.
fn publishers_of(narrator: &Narrator<'_>, result: &InvariantResult) -> Vec<(ClientId, u64)> {
    let known = narrator.ledger.history.clients.iter().enumerate();
    let clients = known.filter_map(|(index, name)| {
        let events = result.witness.iter().filter(|event| event.who == *name);
        Some((ClientId(u32::try_from(index).ok()?), events.map(|event| event.at_ns).max()?))
    });
    let attempts = &narrator.ledger.attempts;
    clients.filter(|(client, _)| attempts.iter().any(|attempt| attempt.id.publisher == *client)).collect()
}

/// The message whose confirm was the last before `at`; of these publishers, if there are any.
fn last_confirmed(narrator: &Narrator<'_>, at: u64, publishers: &[ClientId]) -> Option<MessageName> {
    let ledger = &narrator.ledger;
    let asked = ledger.attempts.iter().filter(|one| publishers.is_empty() || publishers.contains(&one.id.publisher));
    let confirmed = asked.filter_map(|attempt| Some((ledger.time(attempt.confirmed()?), attempt.id)));
    let last = confirmed.filter(|(confirmed, _)| confirmed.0 <= at).max_by_key(|(confirmed, _)| *confirmed)?;
    Some(narrator.name(last.1))
}

/// From the first event of the messages, or of the witness, to the last.
fn span(lives: &[Life], broken: Option<&InvariantResult>) -> Option<(u64, u64)> {
    let of_lives = lives.iter().flat_map(|life| [life.span.0.0, life.span.1.0]);
    let witness = broken.into_iter().flat_map(InvariantResult::deeds);
    let times: Vec<u64> = of_lives.chain(witness.map(|event| event.at_ns)).collect();
    Some((*times.iter().min()?, *times.iter().max()?))
}

fn matters(fault: &FaultRecord, (first, last): (u64, u64)) -> bool {
    let ended = fault.ended_ns.unwrap_or(u64::MAX).saturating_add(AFTERMATH);
    fault.began_ns.is_some_and(|began| began <= last && ended >= first)
}

/// The life of a message in a few sentences.
fn told(narrator: &Narrator<'_>, life: &Life) -> String {
    let ledger = &narrator.ledger;
    let at = |time: Nanos| seconds(time.0);
    let mut sentences: Vec<String> = Vec::new();
    for (number, attempt) in life.attempts.iter().enumerate() {
        let through = attempt.through.map(|node| format!(" through {node}")).unwrap_or_default();
        let what = if number == 0 {
            format!("{} was published to {}", life.name, life.queue)
        } else {
            "It was tried again".into()
        };
        let outcome = match attempt.outcome {
            Some((PublishOutcome::Confirmed, told)) => format!(", and confirmed at {}", at(told)),
            Some((PublishOutcome::Nacked, told)) => format!(", and refused at {}", at(told)),
            Some((PublishOutcome::Returned, told)) => format!(", and returned at {}", at(told)),
            Some((PublishOutcome::Unknown, told)) => {
                format!("; at {} its publisher gave up waiting for an answer", at(told))
            }
            None => "; no answer ever came".to_owned(),
        };
        sentences.push(format!("{what}{through} at {}{outcome}", at(attempt.at)));
    }
    if let Some(entry) = life.carrier.entry() {
        let sure = if entry.guessed { ", as far as the order of events tells" } else { "" };
        let number = life.number.map(|number| format!(" as message {number}")).unwrap_or_default();
        let leader = life.replicas.iter().find(|replica| replica.led);
        let leader = leader.map(|replica| format!(", which {} led,", replica.node)).unwrap_or_default();
        let (index, queue) = (entry.index.0, ledger.group(entry.group));
        sentences.push(format!("Entry {index} of the log of {queue}{leader} carried it{number}{sure}"));
        let durable: Vec<String> = life
            .replicas
            .iter()
            .filter(|replica| replica.durable.is_some())
            .map(|replica| replica.node.to_string())
            .collect();
        sentences.push(match durable.len() {
            0 => "No node ever had it on disk".to_owned(),
            count => format!(
                "{} of {} nodes believed it to be on their disks: {}",
                count,
                life.replicas.len(),
                durable.join(", ")
            ),
        });
        let fates = life.replicas.iter().flat_map(|one| one.fates.iter().map(|(time, fate)| (*time, one.node, fate)));
        let mut gone: Vec<_> =
            fates.filter(|(_, _, fate)| fate.contains("without it") || fate.contains("in its place")).collect();
        gone.sort_by_key(|(time, node, _)| (*time, *node));
        sentences.extend(gone.iter().map(|(time, node, fate)| format!("At {} {node} {fate}", at(*time))));
    }
    if life.carrier == Carrier::Nothing {
        let queue = &life.queue;
        sentences.push(format!("As far as the order of events tells, no entry of the log of {queue} gave it a number"));
    }
    sentences.push(match life.deliveries {
        0 => "Nobody ever received it".to_owned(),
        1 => "It was received once".to_owned(),
        count => format!("It was received {count} times"),
    });
    match life.settled {
        Some(settled) => sentences.push(format!("Its settle committed at {}", at(settled))),
        None if life.deliveries > 0 => sentences.push("No settle of it ever committed".to_owned()),
        None => {}
    }
    sentences.join(". ") + "."
}

fn fault_told(fault: &FaultRecord) -> String {
    let began = fault.began_ns.map_or("never".to_owned(), seconds);
    let ended = fault.ended_ns.map(|ended| format!(" until {}", seconds(ended))).unwrap_or_default();
    format!("Fault: {}, from {began}{ended}: {}.", fault.description, fault.effect)
}
