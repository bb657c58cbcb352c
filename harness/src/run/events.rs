//! From a history to the rows that the report's page draws: what clients did, what replicas told, and which of the
//! queue's numbers is which message.
//!
//! Brokers do not know the workload's names for messages, and clients do not know the queue's numbers. A delivery is
//! the bridge: the node tells the number, the channel and the tag that it sent, the client the name and the tag that it
//! received. The client's name for the channel and the node's are matched by what went over it.

use std::collections::{BTreeMap, BTreeSet};

use ferret_reports::{Channel, EventLog, Outcome, Publish, Receipt, ReplicaEvent, ReplicaKind, Settled};
use warren::platform::{GroupId, NodeId, Observation};

use super::measure;
use crate::history::{ChannelId, Delivery, Event, EventKind, History, MessageId, Nanos, QueueId, Settle};

/// Enough deliveries to tell one channel from another.
const COMPARED_MAX: usize = 64;

/// All events of `history`, as rows.
pub fn event_log(history: &History) -> EventLog {
    let mut reading = Reading {
        log: EventLog {
            queues: history.queues.clone(),
            groups: vec!["meta".to_owned()],
            sample_ns: history.samples.every_ns,
            disks: history.samples.disks.clone(),
            links: history.samples.links.clone(),
            ..EventLog::default()
        },
        nodes: (0..).zip(&history.nodes).map(|(index, node)| (*node, index)).collect(),
        groups: BTreeMap::from([(GroupId::META, 0)]),
        ..Reading::default()
    };
    for event in &history.events {
        reading.read(event);
    }
    number_messages(&mut reading);
    reading.log
}

#[derive(Default)]
struct Reading {
    log: EventLog,
    nodes: BTreeMap<NodeId, u32>,
    groups: BTreeMap<GroupId, u32>,
    published: BTreeMap<MessageId, u32>,
    /// Receipts that are not settled yet, by tag.
    held: BTreeMap<ChannelId, BTreeMap<u64, usize>>,
    /// How often each node has started: its channels are numbered anew each time.
    starts: BTreeMap<NodeId, u32>,
    /// The node's life that each channel belongs to.
    lives: Vec<(NodeId, u32)>,
    sent: BTreeMap<BrokerChannel, Vec<Sent>>,
}

/// A channel as its node numbers it, in one life of the node.
type BrokerChannel = (NodeId, u32, u64);

/// What a node sent to a client.
struct Sent {
    at: Nanos,
    tag: u64,
    number: u64,
}

impl Reading {
    fn read(&mut self, Event { at, kind }: &Event) {
        match kind {
            EventKind::ChannelOpened { client, node, .. } => {
                self.log.channels.push(Channel { client: client.0, node: self.nodes.get(node).copied().unwrap_or(0) });
                self.lives.push((*node, self.starts.get(node).copied().unwrap_or(0)));
            }
            EventKind::ChannelLost { channel, .. } => {
                self.held.remove(channel);
            }
            EventKind::Publish { message, queue, channel } => {
                self.published.insert(*message, rows(self.log.publishes.len()));
                self.log.publishes.push(Publish {
                    at_ns: at.0,
                    client: message.publisher.0,
                    channel: channel.0,
                    queue: queue.0,
                    sequence: message.sequence,
                    attempt: message.attempt,
                    outcome: None,
                    number: 0,
                });
            }
            EventKind::PublishOutcome { message, outcome } => {
                if let Some(row) = self.published.get(message) {
                    self.log.publishes[*row as usize].outcome = Some((measure::in_report(*outcome), at.0));
                }
            }
            EventKind::Deliver { channel, queue, delivery } => self.receive(*at, *channel, *queue, delivery, false),
            EventKind::GetReply { channel, queue, delivery: Some(delivery) } => {
                self.receive(*at, *channel, *queue, delivery, true);
            }
            EventKind::Settle { channel, tag, settle } => self.settle(*at, *channel, *tag, *settle),
            EventKind::NodeUp { node } => *self.starts.entry(*node).or_default() += 1,
            EventKind::SyncedDataLost { node } => {
                self.replica(*at, *node, GroupId::META, ReplicaKind::SyncedDataLost, 0, 0);
            }
            EventKind::Observed { node, observation } => self.observed(*at, *node, observation),
            EventKind::DrainEnded { complete, .. } => self.log.drained = *complete,
            _ => {}
        }
    }

    fn receive(&mut self, at: Nanos, channel: ChannelId, queue: QueueId, delivery: &Delivery, got: bool) {
        self.held.entry(channel).or_default().insert(delivery.tag, self.log.receipts.len());
        self.log.receipts.push(Receipt {
            at_ns: at.0,
            channel: channel.0,
            queue: queue.0,
            publish: delivery.message.and_then(|message| self.published.get(&message)).copied(),
            redelivered: delivery.redelivered,
            got,
            tag: delivery.tag,
            settled: None,
        });
    }

    fn settle(&mut self, at: Nanos, channel: ChannelId, tag: u64, settle: Settle) {
        let (how, multiple) = match settle {
            Settle::Ack { multiple } => (Settled::Acked, multiple),
            Settle::Reject { requeue: true } => (Settled::GivenBack, false),
            Settle::Reject { requeue: false } => (Settled::Refused, false),
            Settle::Nack { requeue: true, multiple } => (Settled::GivenBack, multiple),
            Settle::Nack { requeue: false, multiple } => (Settled::Refused, multiple),
        };
        let Some(held) = self.held.get_mut(&channel) else { return };
        let settled: Vec<usize> = if multiple {
            let later = held.split_off(&tag.saturating_add(1));
            std::mem::replace(held, later).into_values().collect()
        } else {
            held.remove(&tag).into_iter().collect()
        };
        for receipt in settled {
            self.log.receipts[receipt].settled = Some((how, at.0));
        }
    }

    fn replica(&mut self, at: Nanos, node: NodeId, group: GroupId, kind: ReplicaKind, what: u64, more: u64) {
        let next = rows(self.log.groups.len());
        let group = *self.groups.entry(group).or_insert_with(|| {
            self.log.groups.push(group.to_string());
            next
        });
        let Some(&node) = self.nodes.get(&node) else { return };
        self.log.replicas.push(ReplicaEvent { at_ns: at.0, node, group, kind, what, more });
    }

    fn observed(&mut self, at: Nanos, node: NodeId, observation: &Observation) {
        use ReplicaKind as Kind;
        let (group, kind, what, more) = match *observation {
            Observation::GroupOpened { group, ref queue } => {
                let next = rows(self.log.groups.len());
                let index = *self.groups.entry(group).or_insert(next);
                if index == next {
                    self.log.groups.push(queue.clone());
                }
                return;
            }
            Observation::Delivered { group, message, channel, tag, .. } => {
                let life = self.starts.get(&node).copied().unwrap_or(0);
                self.sent.entry((node, life, channel)).or_default().push(Sent { at, tag, number: message });
                (group, Kind::Delivered, message, 0)
            }
            Observation::Appended { group, index, term, .. } => (group, Kind::Appended, index.0, term.0),
            Observation::Persisted { group, last } => (group, Kind::Persisted, last.0, 0),
            Observation::AppendAcknowledged { group, index, .. } => (group, Kind::Acknowledged, index.0, 0),
            Observation::Committed { group, index, .. } => (group, Kind::Committed, index.0, 0),
            Observation::Applied { group, index, term, .. } => (group, Kind::Applied, index.0, term.0),
            Observation::Enqueued { group, last } => (group, Kind::Enqueued, last, 0),
            Observation::Assigned { group, message, owner, .. } => {
                (group, Kind::Assigned, message, self.nodes.get(&owner).copied().unwrap_or(0).into())
            }
            Observation::Settled { group, message } => (group, Kind::Settled, message, 0),
            Observation::Requeued { group, message } => (group, Kind::Requeued, message, 0),
            Observation::BecameLeader { group, term } => (group, Kind::BecameLeader, 0, term.0),
            Observation::SteppedDown { group, term } => (group, Kind::SteppedDown, 0, term.0),
            Observation::EnteredTerm { group, term } => (group, Kind::EnteredTerm, 0, term.0),
            Observation::VoteGranted { group, term, .. } => (group, Kind::VoteGranted, 0, term.0),
            Observation::Recovered(ref state) => (state.group, Kind::Recovered, state.last.0.0, state.term.0),
            Observation::SnapshotInstalled { group, index, term, .. } => {
                (group, Kind::SnapshotInstalled, index.0, term.0)
            }
            Observation::Compacted { group, index, term } => (group, Kind::Compacted, index.0, term.0),
            Observation::HardStatePersisted { group, term, commit } => {
                (group, Kind::HardStatePersisted, commit.0, term.0)
            }
            Observation::Started { .. }
            | Observation::GroupClosed { .. }
            | Observation::ChannelOpened { .. }
            | Observation::Members { .. }
            | Observation::ChangeBegan { .. }
            | Observation::Whole { .. }
            | Observation::ConsumerAttached { .. }
            | Observation::ConsumerDetached { .. }
            | Observation::Fatal { .. } => return,
        };
        self.replica(at, node, group, kind, what, more);
    }
}

/// Finds the queue's number of each message that was received, and of those that left no choice.
fn number_messages(reading: &mut Reading) {
    let mut receipts: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, receipt) in reading.log.receipts.iter().enumerate() {
        receipts.entry(receipt.channel).or_default().push(row);
    }
    let mut taken: BTreeSet<BrokerChannel> = BTreeSet::new();
    for (channel, received) in receipts {
        let Some(&(node, life)) = reading.lives.get(channel as usize) else { continue };
        let of_this_life = (node, life, 0)..=(node, life, u64::MAX);
        let best = reading
            .sent
            .range(of_this_life)
            .filter(|(key, _)| !taken.contains(key))
            .filter_map(|(key, sent)| Some((delay(&reading.log, &received, sent)?, *key)))
            .min();
        let Some((_, key)) = best else { continue };
        taken.insert(key);
        let sent: BTreeMap<u64, u64> = reading.sent[&key].iter().map(|sent| (sent.tag, sent.number)).collect();
        for row in received {
            let receipt = &reading.log.receipts[row];
            if let (Some(publish), Some(number)) = (receipt.publish, sent.get(&receipt.tag)) {
                let publish = &mut reading.log.publishes[publish as usize];
                if publish.number == 0 {
                    publish.number = *number;
                }
            }
        }
    }
    fill_gaps(&mut reading.log);
}

/// How long what was sent took to be received, all in all; `None` if it cannot be the same channel.
fn delay(log: &EventLog, received: &[usize], sent: &[Sent]) -> Option<u64> {
    let times: BTreeMap<u64, Nanos> = sent.iter().map(|sent| (sent.tag, sent.at)).collect();
    let compared = received.iter().take(COMPARED_MAX).map(|row| &log.receipts[*row]);
    compared.map(|receipt| receipt.at_ns.checked_sub(times.get(&receipt.tag)?.0)).sum()
}

/// A message that nobody received has the number between those of its publisher's neighbours, if just as many numbers
/// are free there as messages are without: all of them, or all that were confirmed.
fn fill_gaps(log: &mut EventLog) {
    let used: BTreeSet<(u32, u64)> = log.publishes.iter().map(|publish| (publish.queue, publish.number)).collect();
    let mut streams: BTreeMap<(u32, u32), Vec<usize>> = BTreeMap::new();
    for (row, publish) in log.publishes.iter().enumerate() {
        streams.entry((publish.queue, publish.channel)).or_default().push(row);
    }
    for ((queue, _), stream) in streams {
        let (mut before, mut without) = (0, Vec::new());
        let end = numbered(log, queue) + 1;
        for row in stream.into_iter().map(Some).chain([None]) {
            let number = row.map_or(end, |row| log.publishes[row].number);
            if let Some(row) = row.filter(|_| number == 0) {
                without.push(row);
                continue;
            }
            let room = number.saturating_sub(before + 1);
            if !without.is_empty() && room <= 4 * without.len() as u64 + 64 {
                let free: Vec<u64> = (before + 1..number).filter(|number| !used.contains(&(queue, *number))).collect();
                if free.len() != without.len() {
                    without.retain(|row| matches!(log.publishes[*row].outcome, Some((Outcome::Confirmed, _))));
                }
                if free.len() == without.len() {
                    for (row, number) in without.iter().zip(free) {
                        log.publishes[*row].number = number;
                    }
                }
            }
            without.clear();
            before = number;
        }
    }
}

/// How many messages the queue has numbered.
fn numbered(log: &EventLog, queue: u32) -> u64 {
    let Some(name) = log.queues.get(queue as usize) else { return 0 };
    let group = log.groups.iter().skip(1).position(|group| group == name).map(|position| rows(position + 1));
    let of_queue = |event: &&ReplicaEvent| Some(event.group) == group && event.kind == ReplicaKind::Enqueued;
    log.replicas.iter().filter(of_queue).map(|event| event.what).max().unwrap_or(0)
}

fn rows(count: usize) -> u32 {
    u32::try_from(count).expect("a history has fewer than 2^32 events")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ClientId;

    const N1: NodeId = NodeId(1);
    const ORDERS: GroupId = GroupId(2);

    fn message(sequence: u64) -> MessageId {
        MessageId { publisher: ClientId(0), sequence, attempt: 1 }
    }

    fn opened(client: u32, channel: u32) -> EventKind {
        EventKind::ChannelOpened {
            client: ClientId(client),
            channel: ChannelId(channel),
            node: N1,
            connection: crate::history::Connection::New,
        }
    }

    fn publish(sequence: u64) -> EventKind {
        EventKind::Publish { message: message(sequence), queue: QueueId(0), channel: ChannelId(0) }
    }

    fn sent(message: u64, channel: u64, tag: u64) -> EventKind {
        let observation = Observation::Delivered { group: ORDERS, message, channel, count: 0, tag };
        EventKind::Observed { node: N1, observation }
    }

    fn received(sequence: u64, channel: u32, tag: u64) -> EventKind {
        let delivery = Delivery { message: Some(message(sequence)), redelivered: false, delivery_count: None, tag };
        EventKind::Deliver { channel: ChannelId(channel), queue: QueueId(0), delivery }
    }

    fn log(kinds: Vec<EventKind>) -> EventLog {
        let mut events = vec![Event { at: Nanos(0), kind: EventKind::NodeUp { node: N1 } }];
        events.extend((1..).zip(kinds).map(|(at, kind)| Event { at: Nanos(at * 1_000_000), kind }));
        event_log(&History { nodes: vec![N1], queues: vec!["orders".into()], events, ..History::default() })
    }

    #[test]
    fn a_delivery_tells_a_messages_number_and_a_gap_that_of_its_neighbour() {
        let log = log(vec![
            opened(0, 0),
            opened(1, 1),
            publish(10),
            publish(1),
            publish(2),
            publish(3),
            sent(10, 7, 3),
            received(10, 1, 3),
            sent(11, 7, 1),
            received(1, 1, 1),
            sent(13, 7, 2),
            received(3, 1, 2),
        ]);
        assert_eq!(log.publishes.iter().map(|publish| publish.number).collect::<Vec<_>>(), [10, 11, 12, 13]);
    }

    #[test]
    fn what_was_lost_at_the_beginning_and_at_the_end_has_the_numbers_that_are_left() {
        let opened_group = Observation::GroupOpened { group: ORDERS, queue: "orders".into() };
        let enqueued = Observation::Enqueued { group: ORDERS, last: 3 };
        let observed = |observation| EventKind::Observed { node: N1, observation };
        let log = log(vec![
            observed(opened_group),
            opened(0, 0),
            opened(1, 1),
            publish(1),
            publish(2),
            publish(3),
            observed(enqueued),
            sent(2, 7, 1),
            received(2, 1, 1),
        ]);
        assert_eq!(log.publishes.iter().map(|publish| publish.number).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn channels_of_one_node_are_told_apart_by_when_they_received() {
        let log = log(vec![
            opened(0, 0),
            opened(1, 1),
            opened(2, 2),
            publish(1),
            publish(2),
            sent(1, 7, 1),
            received(1, 2, 1),
            sent(2, 5, 1),
            received(2, 1, 1),
        ]);
        assert_eq!(log.publishes.iter().map(|publish| publish.number).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_ack_of_several_settles_all_up_to_its_tag() {
        let ack = |tag| EventKind::Settle { channel: ChannelId(1), tag, settle: Settle::Ack { multiple: true } };
        let kinds = vec![opened(0, 0), opened(1, 1), publish(1), received(1, 1, 1), received(1, 1, 2), ack(1)];
        let settled: Vec<bool> = log(kinds).receipts.iter().map(|receipt| receipt.settled.is_some()).collect();
        assert_eq!(settled, [true, false]);
    }
}
