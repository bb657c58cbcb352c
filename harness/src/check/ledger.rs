//! The history, indexed once for all checkers: what became of each publish, who saw each message, when.
//!
//! Points in time are positions in [`History::events`]: they are distinct and totally ordered, so no checker has to
//! reason about ties. Times in seconds are for the reader only.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    amnesia::{self, Decided},
    tape::Tape,
};
use crate::history::{
    ChannelId, ClientId, Delivery, EventKind, History, MessageId, Nanos, NodeDown, PublishOutcome, QueueId,
};

/// A position in [`History::events`].
pub(crate) type Position = usize;

/// One publish and all that is known of it.
pub(crate) struct Attempt {
    pub(crate) id: MessageId,
    pub(crate) queue: QueueId,
    pub(crate) channel: ChannelId,
    pub(crate) published: Position,
    /// `None`: the history ends before any outcome.
    pub(crate) outcome: Option<(PublishOutcome, Position)>,
    /// Indices into [`Ledger::sightings`], in order of receipt.
    pub(crate) sightings: Vec<u32>,
}

impl Attempt {
    /// When the publisher was told that the message is safe.
    pub(crate) fn confirmed(&self) -> Option<Position> {
        match self.outcome {
            Some((PublishOutcome::Confirmed, at)) => Some(at),
            _ => None,
        }
    }
}

/// One message received by a client: a delivery, or the answer to a get.
pub(crate) struct Sighting {
    pub(crate) received: Position,
    pub(crate) channel: ChannelId,
    pub(crate) queue: QueueId,
    pub(crate) delivery: Delivery,
    /// Index into [`Ledger::attempts`]; `None` if nothing of that name was ever published.
    pub(crate) attempt: Option<u32>,
    /// The broker cannot have dispatched it before this: the consumer subscribed (or the get was sent) no earlier,
    /// and what the same channel received up to here from this queue was published no earlier. A channel receives
    /// what one queue dispatches to it in the order of dispatch.
    pub(crate) dispatched_after: Position,
}

impl Sighting {
    pub(crate) fn fresh(&self) -> bool {
        !self.delivery.redelivered
    }
}

pub(crate) struct Channel {
    pub(crate) client: ClientId,
    pub(crate) node: NodeId,
    pub(crate) lost: Option<Position>,
}

pub(crate) struct Subscription {
    pub(crate) at: Position,
    pub(crate) channel: ChannelId,
    pub(crate) queue: QueueId,
    pub(crate) no_ack: bool,
}

pub(crate) struct Get {
    pub(crate) sent: Position,
    pub(crate) channel: ChannelId,
    pub(crate) queue: QueueId,
    pub(crate) no_ack: bool,
    /// When the answer came and whether it was "empty"; `None` if none ever came.
    pub(crate) reply: Option<(Position, bool)>,
}

/// How the final drain went.
pub(crate) enum Drain {
    Complete(Position),
    /// With the reason.
    Failed(String),
}

pub(crate) struct FaultWindow {
    pub(crate) began: Position,
    pub(crate) ended: Option<Position>,
}

/// One end of a node's process.
pub(crate) struct Crash {
    pub(crate) node: NodeId,
    pub(crate) at: Position,
    pub(crate) how: NodeDown,
}

/// A loss that no broker can make up for.
#[derive(Clone)]
pub(crate) struct BeyondRecovery {
    /// What was broken before this is nobody's fault but the broker's.
    pub(crate) at: Position,
    pub(crate) why: String,
}

pub(crate) struct Ledger<'h> {
    pub(crate) history: &'h History,
    /// In order of publish.
    pub(crate) attempts: Vec<Attempt>,
    by_id: BTreeMap<MessageId, u32>,
    /// In order of receipt.
    pub(crate) sightings: Vec<Sighting>,
    pub(crate) channels: BTreeMap<ChannelId, Channel>,
    /// In order of time.
    pub(crate) subscriptions: Vec<Subscription>,
    /// In order of sending.
    pub(crate) gets: Vec<Get>,
    pub(crate) faults: Vec<FaultWindow>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) healed: Option<Position>,
    /// When the drain last set out to go round all nodes.
    pub(crate) drain_round: Option<Position>,
    pub(crate) drain: Drain,
    pub(crate) groups: BTreeMap<GroupId, String>,
    /// Nodes that lost synced data.
    pub(crate) wiped: BTreeSet<NodeId>,
    /// The newest voters and learners of each group, and the index from which on they count.
    members: BTreeMap<GroupId, (u64, [Vec<NodeId>; 2])>,
    /// Who has closed a group, at any time.
    closed: BTreeMap<GroupId, BTreeSet<NodeId>>,
    deleted: BTreeSet<GroupId>,
    /// Nodes that ended and had lost synced data of a group, and have not said since that they are whole there.
    lacking: BTreeSet<(NodeId, GroupId)>,
    /// When a majority was first lost, and which.
    majority_lost: Option<BeyondRecovery>,
    tape: OnceCell<Tape<'h>>,
}

impl<'h> Ledger<'h> {
    pub(crate) fn new(history: &'h History) -> Self {
        let mut ledger = Self {
            history,
            attempts: Vec::new(),
            by_id: BTreeMap::new(),
            sightings: Vec::new(),
            channels: BTreeMap::new(),
            subscriptions: Vec::new(),
            gets: Vec::new(),
            faults: Vec::new(),
            crashes: Vec::new(),
            healed: None,
            drain_round: None,
            drain: Drain::Failed("the history ends before the final drain did".to_owned()),
            groups: BTreeMap::new(),
            wiped: BTreeSet::new(),
            members: BTreeMap::new(),
            closed: BTreeMap::new(),
            deleted: BTreeSet::new(),
            lacking: BTreeSet::new(),
            majority_lost: None,
            tape: OnceCell::new(),
        };
        // Publishes first: a phantom must be told from a message that was delivered before it was published.
        for (at, event) in history.events.iter().enumerate() {
            if let EventKind::Publish { message, queue, channel } = event.kind {
                ledger.publish(at, message, queue, channel);
            }
        }
        let mut pass = Pass::default();
        for (at, event) in history.events.iter().enumerate() {
            ledger.take(at, &event.kind, &mut pass);
        }
        ledger
    }

    fn publish(&mut self, at: Position, id: MessageId, queue: QueueId, channel: ChannelId) {
        let index = self.attempts.len() as u32;
        self.by_id.entry(id).or_insert(index);
        self.attempts.push(Attempt { id, queue, channel, published: at, outcome: None, sightings: Vec::new() });
    }

    fn take(&mut self, at: Position, kind: &EventKind, pass: &mut Pass) {
        match kind {
            EventKind::ChannelOpened { client, channel, node, .. } => {
                self.channels.insert(*channel, Channel { client: *client, node: *node, lost: None });
            }
            EventKind::ChannelLost { channel, .. } => {
                if let Some(channel) = self.channels.get_mut(channel) {
                    channel.lost.get_or_insert(at);
                }
            }
            EventKind::PublishOutcome { message, outcome } => {
                if let Some(&index) = self.by_id.get(message) {
                    self.attempts[index as usize].outcome.get_or_insert((*outcome, at));
                }
            }
            &EventKind::Subscribe { channel, queue, no_ack, .. } => {
                pass.floors.entry((channel, queue)).or_insert(at);
                self.subscriptions.push(Subscription { at, channel, queue, no_ack });
            }
            EventKind::Deliver { channel, queue, delivery } => self.sighting(at, *channel, *queue, *delivery, 0, pass),
            &EventKind::Get { channel, queue, no_ack } => {
                pass.gets.insert(channel, self.gets.len());
                self.gets.push(Get { sent: at, channel, queue, no_ack, reply: None });
            }
            EventKind::GetReply { channel, queue, delivery } => {
                let mut sent = 0;
                if let Some(get) = pass.gets.remove(channel) {
                    let get = &mut self.gets[get];
                    get.reply = Some((at, delivery.is_none()));
                    sent = get.sent;
                }
                if let Some(delivery) = delivery {
                    self.sighting(at, *channel, *queue, *delivery, sent, pass);
                }
            }
            &EventKind::FaultBegan { fault } => {
                pass.faults.insert(fault, self.faults.len());
                self.faults.push(FaultWindow { began: at, ended: None });
            }
            EventKind::FaultEnded { fault } => {
                if let Some(window) = pass.faults.remove(fault) {
                    self.faults[window].ended = Some(at);
                }
            }
            &EventKind::NodeUp { node } => drop(pass.down.remove(&node)),
            &EventKind::NodeDown { node, how } => {
                self.crashes.push(Crash { node, at, how });
                pass.down.insert(node);
                if pass.damaged.remove(&node) {
                    self.loses(node, at);
                }
            }
            &EventKind::SyncedDataLost { node } => {
                self.wiped.insert(node);
                // A node that runs has it all in mind; what its disk has lost, it lacks once its process ends.
                if pass.down.contains(&node) {
                    self.loses(node, at);
                } else {
                    pass.damaged.insert(node);
                }
            }
            EventKind::Observed { node, observation: Observation::Whole { group, .. } } => {
                self.lacking.remove(&(*node, *group));
            }
            EventKind::Healed => self.healed = Some(at),
            EventKind::DrainBegan => self.drain_round = Some(at),
            EventKind::DrainEnded { complete, reason } => {
                self.drain = if *complete { Drain::Complete(at) } else { Drain::Failed(reason.clone()) };
            }
            EventKind::Observed { observation: Observation::GroupOpened { group, queue }, .. } => {
                self.groups.insert(*group, queue.clone());
            }
            EventKind::Observed { observation: Observation::Members { group, index, voters, learners }, .. } => {
                let newest = self.members.get(group).is_none_or(|(known, _)| *known < index.0);
                if newest {
                    self.members.insert(*group, (index.0, [voters.to_vec(), learners.to_vec()]));
                }
            }
            EventKind::Observed { node, observation: Observation::GroupClosed { group } } => {
                let closed = self.closed.entry(*group).or_default();
                closed.insert(*node);
                let alone = self.members.get(group).is_some_and(|(_, members)| members.iter().flatten().count() < 2);
                if alone || closed.len() > 1 {
                    self.deleted.insert(*group);
                    self.members.remove(group);
                }
            }
            _ => {}
        }
    }

    /// From here on, `node` has nothing of what it had synced.
    fn loses(&mut self, node: NodeId, at: Position) {
        self.lacking.extend(self.members.keys().map(|group| (node, *group)));
        self.lacking.insert((node, GroupId::META));
        if self.majority_lost.is_none() {
            self.majority_lost = self.majority_lacks().map(|why| BeyondRecovery { at, why });
        }
    }

    /// A group that cannot form a majority of its voters without `gone` ones: at this point of the history while it is
    /// read, at its end later.
    pub(crate) fn majority_of_voters_among(&self, gone: impl Fn(NodeId, GroupId) -> bool) -> Option<GroupId> {
        let bereft = self.members.iter().find(|(group, (_, [voters, _]))| {
            voters.iter().filter(|node| gone(**node, **group)).count() * 2 >= voters.len()
        });
        bereft.map(|(group, _)| *group)
    }

    /// Whether `node` lost synced data of the group and is not known to be whole again.
    pub(crate) fn lacks(&self, node: NodeId, group: GroupId) -> bool {
        self.lacking.contains(&(node, group))
    }

    /// Whether the group's queue was deleted. Then every member closes the group, the one sooner, the other later; a
    /// single one has forgotten it.
    pub(crate) fn is_deleted(&self, group: GroupId) -> bool {
        self.deleted.contains(&group)
    }

    /// Whether `node` is a member of the group at the end, as far as anybody told.
    pub(crate) fn is_member(&self, node: NodeId, group: GroupId) -> bool {
        self.members.get(&group).is_none_or(|(_, members)| members.iter().flatten().any(|member| *member == node))
    }

    fn sighting(
        &mut self,
        at: Position,
        channel: ChannelId,
        queue: QueueId,
        delivery: Delivery,
        asked: Position,
        pass: &mut Pass,
    ) {
        let attempt = delivery.message.and_then(|id| self.by_id.get(&id).copied());
        let published = attempt.map_or(0, |index| self.attempts[index as usize].published);
        let floor = pass.floors.entry((channel, queue)).or_insert(0);
        // A publish after the receipt is a phantom's matter; it must not push the bound past the receipt.
        *floor = (*floor).max(asked).max(if published < at { published } else { 0 });
        let dispatched_after = *floor;
        if let Some(index) = attempt {
            self.attempts[index as usize].sightings.push(self.sightings.len() as u32);
        }
        self.sightings.push(Sighting { received: at, channel, queue, delivery, attempt, dispatched_after });
    }

    /// The queues' logs, told once. Made when the first checker asks for it.
    pub(crate) fn tape(&self) -> &Tape<'h> {
        self.tape.get_or_init(|| Tape::new(self))
    }

    /// Which majority lacks, at this point of the reading, what it had promised to keep: of the nodes, or of a group's
    /// voters. One that is whole again before the next one loses its disk does not count.
    fn majority_lacks(&self) -> Option<String> {
        let nodes = self.cluster();
        let lacking = nodes.iter().filter(|node| self.lacks(**node, GroupId::META)).count();
        if lacking > 0 && lacking * 2 >= nodes.len() {
            let all = nodes.len();
            return Some(format!(
                "{lacking} of {all} nodes lost data that they had synced: nobody can make up for that"
            ));
        }
        let group = self.group(self.majority_of_voters_among(|node, group| self.lacks(node, group))?);
        Some(format!(
            "half of the voters of {group} or more lost data that they had synced: nobody can make up for that"
        ))
    }

    /// From when on nothing can be asked of the cluster, if so, because a majority was lost.
    pub(crate) fn majority_lost(&self) -> Option<&BeyondRecovery> {
        self.majority_lost.as_ref()
    }

    /// From when on what breaks could not be kept, if so: a majority lost what it had promised to keep, or a node that
    /// did decided who leads.
    pub(crate) fn beyond_recovery(&self) -> Option<BeyondRecovery> {
        if self.wiped.is_empty() {
            return None;
        }
        let decided = amnesia::decided(self).map(|decided| {
            let Decided { group, term, leader, forgetful, at } = decided;
            let why = format!(
                "{leader} was elected in term {} of {} at {} with the vote of {forgetful}, which had lost what it had \
                 synced: nobody can make up for that",
                term.0,
                self.group(group),
                self.clock(at),
            );
            BeyondRecovery { at, why }
        });
        decided.into_iter().chain(self.majority_lost.clone()).min_by_key(|beyond| beyond.at)
    }

    /// When the event at `at` happened.
    pub(crate) fn time(&self, at: Position) -> Nanos {
        self.history.events[at].at
    }

    /// When the history ends.
    pub(crate) fn end(&self) -> Nanos {
        self.history.events.last().map_or(Nanos(0), |event| event.at)
    }

    pub(crate) fn sightings_of<'a>(&'a self, attempt: &'a Attempt) -> impl Iterator<Item = &'a Sighting> {
        attempt.sightings.iter().map(|&index| &self.sightings[index as usize])
    }

    /// All observations with their positions and nodes.
    pub(crate) fn observations(&self) -> impl Iterator<Item = (Position, NodeId, &'h Observation)> {
        self.history.events.iter().enumerate().filter_map(|(at, event)| match &event.kind {
            EventKind::Observed { node, observation } => Some((at, *node, observation)),
            _ => None,
        })
    }

    /// The cluster's members at the end.
    pub(crate) fn cluster(&self) -> BTreeSet<NodeId> {
        match self.members.get(&GroupId::META) {
            Some((_, members)) => members.iter().flatten().copied().collect(),
            None => self.history.nodes.iter().copied().collect(),
        }
    }

    /// The first event of each member's last run, if it runs at the end; `Some(0)` for a node that was always up.
    pub(crate) fn running(&self) -> BTreeMap<NodeId, Option<Position>> {
        let mut running: BTreeMap<NodeId, Option<Position>> =
            self.history.nodes.iter().map(|&node| (node, Some(0))).collect();
        for (at, event) in self.history.events.iter().enumerate() {
            match event.kind {
                EventKind::NodeUp { node } => running.insert(node, Some(at)),
                EventKind::NodeDown { node, .. } => running.insert(node, None),
                _ => None,
            };
        }
        let members = self.cluster();
        running.retain(|node, _| members.contains(node));
        running
    }
}

/// What the indexing pass has to remember on its way.
#[derive(Default)]
struct Pass {
    down: BTreeSet<NodeId>,
    /// Nodes that run, and whose disks have lost what was synced there.
    damaged: BTreeSet<NodeId>,
    floors: BTreeMap<(ChannelId, QueueId), Position>,
    gets: BTreeMap<ChannelId, usize>,
    faults: BTreeMap<u32, usize>,
}
