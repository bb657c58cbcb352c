//! What happens on this node when its replicas move: effects that name this node's session reach their channels.
//!
//! Every replica tells observers of every effect; an observer that wants each fact once keeps the first.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChannelEvent, Inner, Queue, channel_of, pending::Pending};
use crate::{
    platform::{GroupId, NodeId, Observation, Platform, Sabotage},
    queue::{ChannelKey, Command, ConsumerKey, Effect, MessageNumber, Operation, Outcome, QueueState},
    replication::OpenGroup,
    routing::{MetaCommand, MetaEffect, MetaOutcome, MetaState, Placement},
    session::Session,
    storage::Members,
};

impl<P: Platform> Inner<P> {
    pub(super) fn apply_meta(&self, command: &MetaCommand) {
        let effects = self.meta.borrow_mut().state.apply(command);
        for effect in effects {
            match effect {
                MetaEffect::Outcome { session, sequence, outcome } if session == self.session => {
                    let mut meta = self.meta.borrow_mut();
                    meta.pending.applied(sequence, self.platform.now());
                    if let Some(waiting) = meta.waiting.remove(&sequence) {
                        // Who asked may have stopped waiting.
                        waiting.send(outcome).ok();
                    }
                }
                MetaEffect::Outcome { .. } => {}
                MetaEffect::QueueCreated { group, name, voters, learners } => {
                    // The session that asked for the queue waits for its leader: its node stands at once.
                    let campaign = command.session == self.session && voters.contains(&self.session.node);
                    self.open_queue(group, name, Members { voters, learners }, campaign);
                }
                MetaEffect::QueueDeleted { group } => self.close_queue(group),
                MetaEffect::MemberAdded { node, address } => self.admit(node, &address),
            }
        }
        if self.meta.borrow().pending.may_propose() {
            self.flush();
        }
    }

    pub(super) fn restore_meta(&self, state: MetaState) {
        let mut open: Vec<(GroupId, String, Members)> = Vec::new();
        for (name, record) in state.queues() {
            let Placement { voters, learners } = record.placement.clone();
            open.push((record.group, name.to_owned(), Members { voters, learners }));
        }
        let joined: Vec<(NodeId, String)> = state.joined().map(|(node, address)| (node, address.to_owned())).collect();
        let kept: BTreeSet<GroupId> = open.iter().map(|(group, ..)| *group).collect();
        let gone: Vec<GroupId> = self.queues.borrow().keys().filter(|group| !kept.contains(group)).copied().collect();
        {
            let mut meta = self.meta.borrow_mut();
            let applied = state.last_applied(self.session);
            meta.state = state;
            for (sequence, _) in meta.pending.applied(applied, self.platform.now()) {
                if let Some(waiting) = meta.waiting.remove(&sequence) {
                    waiting.send(MetaOutcome::Missed).ok();
                }
            }
        }
        for group in gone {
            self.close_queue(group);
        }
        for (node, address) in joined {
            self.admit(node, &address);
        }
        for (group, name, members) in open {
            self.open_queue(group, name, members, false);
        }
        self.flush();
    }

    /// A node has joined: links go both ways.
    fn admit(&self, node: NodeId, address: &str) {
        self.links.admit(&self.platform, &self.driver, node, address);
    }

    fn open_queue(&self, group: GroupId, name: String, members: Members, campaign: bool) {
        if self.queues.borrow().contains_key(&group) {
            return;
        }
        let mut pending = Pending::new(self.config.resend_after);
        pending.push(Operation::Start, super::OPERATION_BYTES);
        let queue = Queue { state: QueueState::default(), pending, told: BTreeSet::new() };
        self.queues.borrow_mut().insert(group, queue);
        self.driver.open(OpenGroup { group, name, members, campaign });
    }

    fn close_queue(&self, group: GroupId) {
        self.queues.borrow_mut().remove(&group);
        self.leaders.borrow_mut().remove(&group);
        self.channels.borrow_mut().queue_deleted(group);
        self.driver.close(group);
        self.applied.notify_waiters();
    }

    pub(super) fn apply_queue(&self, group: GroupId, command: &Command) {
        let (before, mut effects, last) = match self.queues.borrow_mut().get_mut(&group) {
            Some(Queue { state, .. }) => (state.number_last(), state.apply(command), state.number_last()),
            // Deleted a moment ago: the driver is about to close the group.
            None => return,
        };
        if last > before {
            self.platform.observe(Observation::Enqueued { group, last });
        }
        if self.platform.sabotaged(Sabotage::DeliverInReverse) {
            effects.reverse();
        }
        for effect in effects {
            self.act(group, effect);
        }
        if self.queues.borrow().get(&group).is_some_and(|queue| queue.pending.may_propose()) {
            self.flush();
        }
    }

    /// A snapshot took the place of a part of the log: what it held for this session is worked out from the states
    /// before and after.
    pub(super) fn restore_queue(&self, group: GroupId, state: QueueState) {
        if self.platform.sabotaged(Sabotage::RestoreIgnored) {
            return;
        }
        let (missed, effects, revoked) = {
            let mut queues = self.queues.borrow_mut();
            let Some(queue) = queues.get_mut(&group) else { return };
            let before = queue.state.applied(self.session).unwrap_or(0);
            let applied = state.applied(self.session).unwrap_or(0);
            let missed: BTreeMap<u64, Operation> =
                queue.pending.applied(applied, self.platform.now()).into_iter().collect();
            // What the old state had delivered, the channels know.
            let known: BTreeSet<_> = queue.state.reconcile(self.session, before).iter().filter_map(delivered).collect();
            let mut effects = state.reconcile(self.session, before);
            effects.retain(|effect| delivered(effect).is_none_or(|delivery| !known.contains(&delivery)));
            let revoked = revoked(self.session, &queue.state, &state, &missed);
            queue.state = state;
            (missed, effects, revoked)
        };
        self.applied.notify_waiters();
        for channel in revoked {
            self.channels.borrow().tell(channel, ChannelEvent::Revoked { group });
        }
        for effect in effects {
            match effect {
                // A state remembers no channels for results that it no longer has; the pending operation does.
                Effect::Outcome { sequence, outcome, .. } => {
                    let channel = missed.get(&sequence).and_then(channel_of).unwrap_or(0);
                    self.conclude(group, channel, sequence, outcome);
                }
                effect => self.act(group, effect),
            }
        }
    }

    fn act(&self, group: GroupId, effect: Effect) {
        match effect {
            Effect::Outcome { session, sequence, channel, outcome } if session == self.session => {
                if let Some(queue) = self.queues.borrow_mut().get_mut(&group) {
                    queue.pending.applied(sequence, self.platform.now());
                }
                self.applied.notify_waiters();
                self.conclude(group, channel, sequence, outcome);
            }
            Effect::Deliver { to, delivery } if to.channel.session == self.session => {
                let event = ChannelEvent::Deliver { group, consumer: to.consumer, delivery };
                self.channels.borrow().tell(to.channel.channel, event);
            }
            Effect::Revoked { channel } if channel.session == self.session => {
                self.channels.borrow().tell(channel.channel, ChannelEvent::Revoked { group });
            }
            Effect::Outcome { .. } | Effect::Deliver { .. } | Effect::Revoked { .. } => {}
            Effect::Attached { consumer: ConsumerKey { channel, consumer }, prefetch } => {
                let (owner, channel) = (channel.session.node, channel.channel);
                self.platform.observe(Observation::ConsumerAttached { group, owner, channel, consumer, prefetch });
            }
            Effect::Detached { consumer: ConsumerKey { channel, consumer } } => {
                let (owner, channel) = (channel.session.node, channel.channel);
                self.platform.observe(Observation::ConsumerDetached { group, owner, channel, consumer });
            }
            Effect::Assigned { message, by, consumer, count } => {
                let (message, owner, channel) = (message.0, by.session.node, by.channel);
                self.platform.observe(Observation::Assigned { group, message, owner, channel, consumer, count });
            }
            Effect::Settled { message } => {
                self.platform.observe(Observation::Settled { group, message: message.0 });
            }
            Effect::Requeued { message } => {
                self.platform.observe(Observation::Requeued { group, message: message.0 });
            }
        }
    }

    /// Tells the channel the result, unless a planted bug has told it before.
    fn conclude(&self, group: GroupId, channel: u64, sequence: u64, outcome: Outcome) {
        if let Some(queue) = self.queues.borrow_mut().get_mut(&group)
            && queue.told.remove(&sequence)
        {
            return;
        }
        self.channels.borrow().tell(channel, ChannelEvent::Outcome { group, sequence, outcome });
    }
}

/// A delivery to somebody: the message, whom it went to, and at which attempt.
fn delivered(effect: &Effect) -> Option<(MessageNumber, ConsumerKey, u32)> {
    match effect {
        Effect::Deliver { to, delivery } => Some((delivery.number, *to, delivery.delivery_count)),
        _ => None,
    }
}

/// The channels of `session` that lost a consumer between two states without having asked for it.
fn revoked(
    session: Session,
    before: &QueueState,
    after: &QueueState,
    missed: &BTreeMap<u64, Operation>,
) -> BTreeSet<u64> {
    let mut expected: BTreeSet<(u64, u64)> = before
        .consumers()
        .filter(|key| key.channel.session == session)
        .map(|key| (key.channel.channel, key.consumer))
        .collect();
    for operation in missed.values() {
        match operation {
            Operation::Attach { channel, consumer, .. } => drop(expected.insert((*channel, *consumer))),
            Operation::Cancel { channel, consumer } => drop(expected.remove(&(*channel, *consumer))),
            Operation::CloseChannel { channel } => expected.retain(|(open, _)| open != channel),
            _ => {}
        }
    }
    expected.retain(|&(channel, consumer)| {
        !after.has_consumer(ConsumerKey { channel: ChannelKey { session, channel }, consumer })
    });
    expected.into_iter().map(|(channel, _)| channel).collect()
}
