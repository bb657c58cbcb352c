//! For each checker, histories that it must reject and near twins that it must accept.

mod amnesia;
mod bookkeeping;
mod client;
mod confirms;
mod correct;
mod fifo;
mod liveness;
mod lock;
mod ownership;
mod queue;
mod quorum;
mod replicas;
mod settles;
mod stalled;

use std::collections::BTreeMap;

use ferret_reports::{InvariantResult, InvariantVerdict};
use warren::platform::{GroupId, LogIndex, NodeId, Observation, RecoveredState, Term};

use super::{CheckConfig, Invariant, check};
use crate::history::{
    ChannelId, ClientId, Connection, Delivery, Event, EventKind, History, MessageId, Nanos, NodeDown, PublishOutcome,
    QueueId, Settle,
};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);
const GROUP: GroupId = GroupId(2);
const ORDERS: QueueId = QueueId(0);
const OTHER: QueueId = QueueId(1);

/// Channels that are open from the start, each of the client of the same number; the publishers' are 0 and 1.
const PUB: ChannelId = ChannelId(0);
const CON: ChannelId = ChannelId(2);
const CON_2: ChannelId = ChannelId(3);

/// The first attempt of `sequence` by pub-1.
fn m(sequence: u64) -> MessageId {
    MessageId { publisher: ClientId(0), sequence, attempt: 1 }
}

fn retry(sequence: u64, attempt: u32) -> MessageId {
    MessageId { attempt, ..m(sequence) }
}

/// By pub-2.
fn m2(sequence: u64) -> MessageId {
    MessageId { publisher: ClientId(1), ..m(sequence) }
}

/// A history in the making: one event per millisecond.
struct Story {
    history: History,
    now: u64,
    tags: BTreeMap<ChannelId, u64>,
    bound: std::time::Duration,
}

fn story() -> Story {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let history = History {
        clients: names(&["pub-1", "pub-2", "con-1", "con-2"]),
        queues: names(&["orders", "other"]),
        nodes: vec![N1, N2, N3],
        faults: names(&["isolate n1 for 2 s"]),
        ..History::default()
    };
    let mut story = Story { history, now: 0, tags: BTreeMap::new(), bound: std::time::Duration::from_secs(5) };
    for node in [N1, N2, N3] {
        story = story.up(node);
    }
    for (client, node) in [(0, N1), (1, N2), (2, N1), (3, N3)] {
        story = story.opened(client, ChannelId(client), node);
    }
    story
}

impl Story {
    fn event(mut self, kind: EventKind) -> Self {
        self.now += 1_000_000;
        self.history.events.push(Event { at: Nanos(self.now), kind });
        self
    }

    /// Lets time pass.
    fn wait(mut self, seconds: u64) -> Self {
        self.now += seconds * 1_000_000_000;
        self
    }

    fn opened(self, client: u32, channel: ChannelId, node: NodeId) -> Self {
        self.event(EventKind::ChannelOpened { client: ClientId(client), channel, node, connection: Connection::New })
    }

    fn lost(self, channel: ChannelId) -> Self {
        self.event(EventKind::ChannelLost { channel, reason: "connection reset".to_owned() })
    }

    fn publish(self, message: MessageId) -> Self {
        self.publish_to(ORDERS, message)
    }

    fn publish_to(self, queue: QueueId, message: MessageId) -> Self {
        let channel = ChannelId(message.publisher.0);
        self.event(EventKind::Publish { message, queue, channel })
    }

    fn outcome(self, message: MessageId, outcome: PublishOutcome) -> Self {
        self.event(EventKind::PublishOutcome { message, outcome })
    }

    fn confirm(self, message: MessageId) -> Self {
        self.outcome(message, PublishOutcome::Confirmed)
    }

    /// Published and confirmed.
    fn put(self, message: MessageId) -> Self {
        self.publish(message).confirm(message)
    }

    fn subscribe(self, channel: ChannelId, prefetch: u16) -> Self {
        self.event(EventKind::Subscribe { channel, queue: ORDERS, prefetch, no_ack: false })
    }

    fn subscribe_without_acks(self, channel: ChannelId) -> Self {
        self.event(EventKind::Subscribe { channel, queue: ORDERS, prefetch: 0, no_ack: true })
    }

    fn delivery(&mut self, channel: ChannelId, message: Option<MessageId>, redelivered: bool) -> Delivery {
        let tag = self.tags.entry(channel).or_insert(0);
        *tag += 1;
        Delivery { message, redelivered, delivery_count: None, tag: *tag }
    }

    fn fresh(mut self, channel: ChannelId, message: MessageId) -> Self {
        let delivery = self.delivery(channel, Some(message), false);
        self.event(EventKind::Deliver { channel, queue: ORDERS, delivery })
    }

    fn again(mut self, channel: ChannelId, message: MessageId) -> Self {
        let delivery = self.delivery(channel, Some(message), true);
        self.event(EventKind::Deliver { channel, queue: ORDERS, delivery })
    }

    fn ask(self, channel: ChannelId) -> Self {
        self.event(EventKind::Get { channel, queue: ORDERS, no_ack: false })
    }

    fn ask_without_acks(self, channel: ChannelId) -> Self {
        self.event(EventKind::Get { channel, queue: ORDERS, no_ack: true })
    }

    fn got(mut self, channel: ChannelId, message: MessageId) -> Self {
        let delivery = Some(self.delivery(channel, Some(message), false));
        self.event(EventKind::GetReply { channel, queue: ORDERS, delivery })
    }

    fn got_again(mut self, channel: ChannelId, message: MessageId) -> Self {
        let delivery = Some(self.delivery(channel, Some(message), true));
        self.event(EventKind::GetReply { channel, queue: ORDERS, delivery })
    }

    /// A redelivery with its count.
    fn again_for(mut self, channel: ChannelId, message: MessageId, count: u32) -> Self {
        let delivery = Delivery { delivery_count: Some(count), ..self.delivery(channel, Some(message), true) };
        self.event(EventKind::Deliver { channel, queue: ORDERS, delivery })
    }

    fn got_nothing(self, channel: ChannelId) -> Self {
        self.event(EventKind::GetReply { channel, queue: ORDERS, delivery: None })
    }

    fn ack(self, channel: ChannelId, tag: u64) -> Self {
        self.event(EventKind::Settle { channel, tag, settle: Settle::Ack { multiple: false } })
    }

    fn ack_up_to(self, channel: ChannelId, tag: u64) -> Self {
        self.event(EventKind::Settle { channel, tag, settle: Settle::Ack { multiple: true } })
    }

    fn give_back(self, channel: ChannelId, tag: u64) -> Self {
        self.event(EventKind::Settle { channel, tag, settle: Settle::Nack { requeue: true, multiple: false } })
    }

    fn up(self, node: NodeId) -> Self {
        self.event(EventKind::NodeUp { node })
    }

    fn down(self, node: NodeId, how: NodeDown) -> Self {
        self.event(EventKind::NodeDown { node, how })
    }

    /// The machine goes dark and comes back with an empty disk.
    fn wiped(self, node: NodeId) -> Self {
        self.down(node, NodeDown::PowerLost).event(EventKind::SyncedDataLost { node }).up(node)
    }

    fn tell(self, node: NodeId, observation: Observation) -> Self {
        self.event(EventKind::Observed { node, observation })
    }

    fn healed(self) -> Self {
        self.event(EventKind::Healed)
    }

    fn drained(self) -> Self {
        self.event(EventKind::DrainEnded { complete: true, reason: String::new() })
    }

    fn drain_failed(self) -> Self {
        self.event(EventKind::DrainEnded { complete: false, reason: "n3 did not answer".to_owned() })
    }

    fn result(&self, invariant: Invariant) -> InvariantResult {
        let config = CheckConfig { liveness_bound: self.bound };
        check(&self.history, &config, &[invariant]).remove(0)
    }

    #[track_caller]
    fn is(&self, invariant: Invariant, verdict: InvariantVerdict) -> InvariantResult {
        let result = self.result(invariant);
        assert_eq!(result.verdict, verdict, "{:?}", result.explanation);
        result
    }

    #[track_caller]
    fn accepted(&self, invariant: Invariant) {
        assert!(self.is(invariant, InvariantVerdict::Holds).checked > 0);
    }

    /// Violated, and the sentence has `text` in it.
    #[track_caller]
    fn rejected(&self, invariant: Invariant, text: &str) -> InvariantResult {
        let result = self.is(invariant, InvariantVerdict::Violated);
        let sentence = result.explanation.clone().unwrap_or_default();
        assert!(sentence.contains(text), "{sentence}");
        assert!(!result.witness.is_empty());
        assert!(result.witness.is_sorted_by_key(|event| event.at_ns));
        result
    }
}

/// Observations of the queue's group.
fn opened() -> Observation {
    Observation::GroupOpened { group: GROUP, queue: "orders".to_owned() }
}

fn leader(term: u64) -> Observation {
    Observation::BecameLeader { group: GROUP, term: Term(term) }
}

fn appended(index: u64, term: u64, hash: u64) -> Observation {
    Observation::Appended { group: GROUP, index: LogIndex(index), term: Term(term), hash }
}

fn committed(index: u64, term: u64) -> Observation {
    Observation::Committed { group: GROUP, index: LogIndex(index), term: Term(term) }
}

fn applied(index: u64, term: u64, hash: u64, state_hash: u64) -> Observation {
    Observation::Applied { group: GROUP, index: LogIndex(index), term: Term(term), hash, state_hash }
}

fn snapshot(index: u64, term: u64, state_hash: u64) -> Observation {
    Observation::SnapshotInstalled { group: GROUP, index: LogIndex(index), term: Term(term), state_hash }
}

/// To channel `channel` of n1, or to a consumer of it.
fn assigned(message: u64, channel: u64, consumer: Option<u64>, count: u32) -> Observation {
    Observation::Assigned { group: GROUP, message, owner: N1, channel, consumer, count }
}

fn requeued(message: u64) -> Observation {
    Observation::Requeued { group: GROUP, message }
}

fn settled(message: u64) -> Observation {
    Observation::Settled { group: GROUP, message }
}

fn enqueued(last: u64) -> Observation {
    Observation::Enqueued { group: GROUP, last }
}

fn delivered(message: u64, channel: u64, count: u32, tag: u64) -> Observation {
    Observation::Delivered { group: GROUP, message, channel, count, tag }
}

/// Everything that `entries` did, told by one replica: the first entry has index 1.
fn told_by(story: Story, node: NodeId, entries: &[&[Observation]]) -> Story {
    (1..).zip(entries).fold(story, |story, (index, facts)| {
        let story = facts.iter().fold(story, |story, fact| story.tell(node, fact.clone()));
        story.tell(node, applied(index, 1, index, index))
    })
}

fn recovered(term: u64, vote: Option<NodeId>, last: (u64, u64)) -> Observation {
    Observation::Recovered(Box::new(RecoveredState {
        group: GROUP,
        term: Term(term),
        vote,
        commit: LogIndex(0),
        snapshot: (LogIndex(0), Term(0)),
        last: (LogIndex(last.0), Term(last.1)),
    }))
}

#[test]
fn every_invariant_is_found_by_its_name_and_an_empty_history_decides_nothing() {
    let results = check(&History::default(), &CheckConfig::default(), &Invariant::ALL);
    for (invariant, result) in Invariant::ALL.into_iter().zip(results) {
        assert_eq!(Invariant::from_name(invariant.name()), Some(invariant));
        assert_eq!(result.name, invariant.name());
        let open =
            if invariant == Invariant::Liveness { InvariantVerdict::Undecided } else { InvariantVerdict::Vacuous };
        assert_eq!(result.verdict, open, "{}", result.name);
        assert_eq!(result.checked, 0);
    }
    assert_eq!(Invariant::from_name("no-such"), None);
}

#[test]
fn a_witness_names_the_faults_that_overlap_it() {
    let story = story().publish(m(1)).event(EventKind::FaultBegan { fault: 0 });
    let story = story.confirm(m(1)).event(EventKind::FaultEnded { fault: 0 }).drained();
    let result = story.rejected(Invariant::NoConfirmedLoss, "pub-1/1 was confirmed");
    let faults: Vec<_> = result.witness.iter().filter(|event| event.who == "faults").map(|e| e.what.as_str()).collect();
    assert_eq!(faults, ["began: isolate n1 for 2 s", "ended: isolate n1 for 2 s"]);
}
