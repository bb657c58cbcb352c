//! No false alarms: histories of a correct queue, with everything slow, overtaking and breaking, are never called
//! violated.
//!
//! The model is one queue that does what it must, at once. Between it and each client are two wires, one per
//! direction, that deliver in order but at any time; they are cut with their contents when a channel is lost. It also
//! takes back what a channel holds without that client knowing (its node was given up as lost). It does not model
//! replication.

use std::collections::{BTreeMap, VecDeque};

use ferret_reports::InvariantVerdict;
use proptest::prelude::*;
use warren::platform::Observation;

use super::*;

const PREFETCH: usize = 3;

enum Up {
    Publish(MessageId),
    Settle(u64, Settle),
    Get,
}

enum Down {
    Confirm(MessageId),
    Deliver(Delivery),
    Got(Option<Delivery>),
}

#[derive(Default)]
struct Wire {
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    /// As the queue sees it: tag to message number.
    held: BTreeMap<u64, u64>,
    /// Given through the consumer and not settled by the client, also what was taken back meanwhile: what counts
    /// against the prefetch.
    credit_used: Vec<u64>,
    /// As the client sees it.
    unsettled: Vec<u64>,
    asking: bool,
    consumes: bool,
    tag: u64,
}

struct Model {
    story: Story,
    wires: BTreeMap<ChannelId, Wire>,
    client_of: BTreeMap<u32, ChannelId>,
    /// Message and count of requeues.
    ready: BTreeMap<u64, (MessageId, u32)>,
    counts: BTreeMap<u64, u32>,
    /// Chosen for a channel whose node has not sent it yet.
    unsent: BTreeMap<ChannelId, Vec<Observation>>,
    entry: u64,
    messages: BTreeMap<u64, MessageId>,
    number: u64,
    sequence: u64,
    channels: u32,
}

impl Model {
    fn new() -> Self {
        let mut model = Self {
            story: story(),
            wires: BTreeMap::new(),
            client_of: (0..4).map(|client| (client, ChannelId(client))).collect(),
            ready: BTreeMap::new(),
            counts: BTreeMap::new(),
            unsent: BTreeMap::new(),
            entry: 0,
            messages: BTreeMap::new(),
            number: 0,
            sequence: 0,
            channels: 4,
        };
        model.wires = (0..4).map(|channel| (ChannelId(channel), Wire::default())).collect();
        model.subscribe(CON);
        model
    }

    fn event(&mut self, kind: EventKind) {
        let story = std::mem::replace(&mut self.story, Story { tags: BTreeMap::new(), ..story() });
        self.story = story.event(kind);
    }

    fn tell(&mut self, observation: Observation) {
        self.event(EventKind::Observed { node: N1, observation });
    }

    fn subscribe(&mut self, channel: ChannelId) {
        self.event(EventKind::Subscribe { channel, queue: ORDERS, prefetch: PREFETCH as u16, no_ack: false });
        self.wire(channel).consumes = true;
        let (channel, prefetch) = (channel.0.into(), Some(PREFETCH as u32));
        self.tell(Observation::ConsumerAttached { group: GROUP, owner: N1, channel, consumer: 1, prefetch });
        self.applied();
    }

    fn wire(&mut self, channel: ChannelId) -> &mut Wire {
        self.wires.entry(channel).or_default()
    }

    fn act(&mut self, what: u8, client: u32, pick: u8) {
        let channel = self.client_of[&client];
        match what {
            0..=2 => {
                let publisher = client % 2;
                let channel = self.client_of[&publisher];
                self.sequence += 1;
                let message = MessageId { publisher: ClientId(publisher), sequence: self.sequence, attempt: 1 };
                self.event(EventKind::Publish { message, queue: ORDERS, channel });
                self.wire(channel).up.push_back(Up::Publish(message));
            }
            3..=6 => self.take_in(channel),
            7..=10 => self.receive(channel),
            11..=12 => self.settle(channel, pick),
            13 if client >= 2 && !self.wire(channel).asking => self.ask(channel),
            14 if client >= 2 && pick < 64 => self.lose(client, pick.is_multiple_of(2)),
            15 if client >= 2 && pick < 32 => {
                // No node is given up without a fault.
                self.event(EventKind::FaultBegan { fault: 0 });
                self.take_back(channel);
                self.dispatch();
                self.applied();
            }
            _ => {}
        }
    }

    fn ask(&mut self, channel: ChannelId) {
        self.event(EventKind::Get { channel, queue: ORDERS, no_ack: false });
        let wire = self.wire(channel);
        wire.asking = true;
        wire.up.push_back(Up::Get);
    }

    /// The queue hears the next thing that the channel said.
    fn take_in(&mut self, channel: ChannelId) {
        match self.wire(channel).up.pop_front() {
            Some(Up::Publish(message)) => {
                self.number += 1;
                self.messages.insert(self.number, message);
                self.ready.insert(self.number, (message, 0));
                self.tell(enqueued(self.number));
                self.wire(channel).down.push_back(Down::Confirm(message));
            }
            Some(Up::Settle(tag, settle)) => {
                self.wire(channel).credit_used.retain(|used| *used != tag);
                if let Some(number) = self.wire(channel).held.remove(&tag) {
                    if matches!(settle, Settle::Ack { .. }) {
                        self.tell(Observation::Settled { group: GROUP, message: number });
                    } else {
                        self.requeue(number);
                    }
                }
            }
            Some(Up::Get) => {
                let delivery = self.hand_over(channel, None);
                self.wire(channel).down.push_back(Down::Got(delivery));
            }
            None => {}
        }
        self.dispatch();
        self.applied();
    }

    /// The entry ends here, and another node may take its time to send what it chose.
    fn applied(&mut self) {
        self.entry += 1;
        let entry = self.entry;
        self.tell(applied(entry, 1, entry, entry));
    }

    fn requeue(&mut self, number: u64) {
        let count = self.counts.entry(number).or_insert(0);
        *count += 1;
        self.ready.insert(number, (self.messages[&number], *count));
        self.tell(Observation::Requeued { group: GROUP, message: number });
    }

    /// `through`: the consumer that takes it, unless it is a get.
    fn hand_over(&mut self, channel: ChannelId, through: Option<u64>) -> Option<Delivery> {
        let (number, (message, count)) = self.ready.pop_first()?;
        self.tell(assigned(number, channel.0.into(), through, count));
        let wire = self.wire(channel);
        wire.tag += 1;
        wire.held.insert(wire.tag, number);
        let tag = wire.tag;
        self.unsent.entry(channel).or_default().push(delivered(number, channel.0.into(), count, tag));
        Some(Delivery {
            message: Some(message),
            redelivered: count > 0,
            delivery_count: (count > 0).then_some(count),
            tag,
        })
    }

    fn dispatch(&mut self) {
        while !self.ready.is_empty() {
            let free = self.wires.iter().find(|(_, wire)| wire.consumes && wire.credit_used.len() < PREFETCH);
            let Some(channel) = free.map(|(channel, _)| *channel) else { return };
            let Some(delivery) = self.hand_over(channel, Some(1)) else { return };
            let wire = self.wire(channel);
            wire.credit_used.push(delivery.tag);
            wire.down.push_back(Down::Deliver(delivery));
        }
    }

    /// The client hears the next thing that the queue said.
    fn receive(&mut self, channel: ChannelId) {
        let queue = ORDERS;
        if matches!(self.wire(channel).down.front(), Some(Down::Deliver(_) | Down::Got(Some(_)))) {
            let sent = self.unsent.get_mut(&channel).map(|unsent| unsent.remove(0));
            sent.into_iter().for_each(|sent| self.tell(sent));
        }
        let (kind, tag) = match self.wire(channel).down.pop_front() {
            Some(Down::Confirm(message)) => {
                (EventKind::PublishOutcome { message, outcome: PublishOutcome::Confirmed }, None)
            }
            Some(Down::Deliver(delivery)) => (EventKind::Deliver { channel, queue, delivery }, Some(delivery.tag)),
            Some(Down::Got(delivery)) => {
                self.wire(channel).asking = false;
                (EventKind::GetReply { channel, queue, delivery }, delivery.map(|delivery| delivery.tag))
            }
            None => return,
        };
        self.wire(channel).unsettled.extend(tag);
        self.event(kind);
    }

    fn settle(&mut self, channel: ChannelId, pick: u8) {
        let wire = self.wire(channel);
        if wire.unsettled.is_empty() {
            return;
        }
        let tag = wire.unsettled.remove(usize::from(pick) % wire.unsettled.len());
        let settle = match pick % 3 {
            0 => Settle::Nack { requeue: true, multiple: false },
            _ => Settle::Ack { multiple: false },
        };
        wire.up.push_back(Up::Settle(tag, settle));
        self.event(EventKind::Settle { channel, tag, settle });
    }

    fn take_back(&mut self, channel: ChannelId) {
        let held = std::mem::take(&mut self.wire(channel).held);
        held.into_values().for_each(|number| self.requeue(number));
    }

    /// The channel breaks: what was on its wires is gone. The client comes back on a new one.
    fn lose(&mut self, client: u32, consumes: bool) {
        let channel = self.client_of[&client];
        if self.wires.get(&channel).is_some_and(|wire| wire.consumes) {
            let number = channel.0.into();
            self.tell(Observation::ConsumerDetached { group: GROUP, owner: N1, channel: number, consumer: 1 });
        }
        self.take_back(channel);
        self.wires.remove(&channel);
        self.unsent.remove(&channel);
        self.event(EventKind::ChannelLost { channel, reason: "connection reset".to_owned() });
        let again = ChannelId(self.channels);
        self.channels += 1;
        self.client_of.insert(client, again);
        let name = format!("{}:1", self.story.history.clients[client as usize]);
        self.tell(Observation::ChannelOpened { channel: again.0.into(), client: name });
        self.event(EventKind::ChannelOpened {
            client: ClientId(client),
            channel: again,
            node: N1,
            connection: crate::history::Connection::New,
        });
        if consumes {
            self.subscribe(again);
        }
        self.dispatch();
        self.applied();
    }

    fn settle_down(&mut self) {
        for channel in [ChannelId(0), ChannelId(1)] {
            while !self.wire(channel).up.is_empty() || !self.wire(channel).down.is_empty() {
                self.take_in(channel);
                self.receive(channel);
            }
        }
        self.lose(2, false);
        self.lose(3, false);
        let drain = self.client_of[&2];
        loop {
            self.ask(drain);
            self.take_in(drain);
            self.receive(drain);
            if self.wire(drain).held.is_empty() {
                break;
            }
            self.wire(drain).unsettled.clear();
            let tag = self.wire(drain).tag;
            let settle = Settle::Ack { multiple: false };
            self.wire(drain).up.push_back(Up::Settle(tag, settle));
            self.event(EventKind::Settle { channel: drain, tag, settle });
            self.take_in(drain);
        }
        self.event(EventKind::DrainEnded { complete: true, reason: String::new() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_correct_queue_is_never_called_wrong(
        actions in proptest::collection::vec((0_u8..16, 0_u32..4, any::<u8>()), 0..250),
    ) {
        let mut model = Model::new();
        for (what, client, pick) in actions {
            model.act(what, client, pick);
        }
        model.settle_down();
        for result in check(&model.story.history, &CheckConfig::default(), &Invariant::ALL) {
            prop_assert!(result.verdict != InvariantVerdict::Violated, "{}: {:?}", result.name, result.explanation);
            let decided = result.name == Invariant::Liveness.name() || result.verdict != InvariantVerdict::Undecided;
            prop_assert!(decided, "{}: {:?}", result.name, result.explanation);
        }
    }
}
