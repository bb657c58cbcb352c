//! The state machines of this node, as replication drives them.

use std::{collections::BTreeSet, rc::Rc};

use bytes::Bytes;

use super::{Inner, pending::Gathered};
use crate::{
    platform::{Chaos, GroupId, NodeId, Platform, Sabotage, Term},
    queue::{Command, Operation, QueueState},
    replication::Host,
    routing::{MetaCommand, MetaState},
};

/// What a chaos point makes of a command has no more operations than this.
const SHORT_COMMAND_MAX: u64 = 8;

/// This node's replicas of the metadata and of all queues.
pub struct ClusterHost<P: Platform> {
    inner: Rc<Inner<P>>,
}

impl<P: Platform> ClusterHost<P> {
    pub(super) fn new(inner: Rc<Inner<P>>) -> Self {
        Self { inner }
    }
}

impl<P: Platform> Host for ClusterHost<P> {
    fn apply(&self, group: GroupId, command: &Bytes) {
        if group == GroupId::META {
            match postcard::from_bytes::<MetaCommand>(command) {
                Ok(command) => self.inner.apply_meta(&command),
                Err(error) => tracing::error!(%group, %error, "skipped a command that does not decode"),
            }
        } else {
            match postcard::from_bytes::<Command>(command) {
                Ok(mut command) => {
                    let publishes = |operation: &Operation| matches!(operation, Operation::Publish { .. });
                    let platform = &self.inner.platform;
                    let other = platform.sabotaged(Sabotage::OwnOrder) && self.inner.session.node.0.is_multiple_of(2);
                    if other && command.operations.iter().all(publishes) {
                        command.operations.reverse();
                    }
                    self.inner.apply_queue(group, &command);
                }
                Err(error) => tracing::error!(%group, %error, "skipped a command that does not decode"),
            }
        }
    }

    fn state_hash(&self, group: GroupId) -> u64 {
        if group == GroupId::META {
            return self.inner.meta.borrow().state.state_hash();
        }
        self.inner.queues.borrow().get(&group).map_or(0, |queue| queue.state.state_hash())
    }

    fn snapshot(&self, group: GroupId) -> Bytes {
        if group == GroupId::META {
            return self.inner.meta.borrow().state.snapshot();
        }
        if self.inner.platform.sabotaged(Sabotage::SnapshotEmpty) {
            return QueueState::default().snapshot();
        }
        if self.inner.platform.sabotaged(Sabotage::SnapshotForgetsCounts) {
            let queues = self.inner.queues.borrow();
            return queues.get(&group).map(|queue| queue.state.clone().without_counts().snapshot()).unwrap_or_default();
        }
        self.inner.queues.borrow().get(&group).map(|queue| queue.state.snapshot()).unwrap_or_default()
    }

    fn restore(&self, group: GroupId, snapshot: &Bytes) -> Result<(), String> {
        if group == GroupId::META {
            let state = MetaState::restore(snapshot).map_err(|error| error.to_string())?;
            self.inner.restore_meta(state);
        } else {
            let state = QueueState::restore(snapshot).map_err(|error| error.to_string())?;
            self.inner.restore_queue(group, state);
        }
        Ok(())
    }

    fn groups(&self) -> BTreeSet<GroupId> {
        let mut groups: BTreeSet<GroupId> = self.inner.queues.borrow().keys().copied().collect();
        groups.insert(GroupId::META);
        groups
    }

    fn members(&self) -> BTreeSet<NodeId> {
        self.inner.meta.borrow().state.members().collect()
    }

    fn removed(&self) -> BTreeSet<NodeId> {
        self.inner.meta.borrow().state.removed().clone()
    }

    fn leader_changed(&self, group: GroupId, leader: Option<NodeId>, _term: Term) {
        let inner = &self.inner;
        match leader {
            Some(leader) => inner.leaders.borrow_mut().insert(group, leader),
            None => inner.leaders.borrow_mut().remove(&group),
        };
        if leader.is_none() {
            return;
        }
        // The leader before may have lost what it was given.
        inner.propose_again(group);
    }

    fn connected(&self, peer: NodeId) {
        let inner = &self.inner;
        let led: Vec<GroupId> =
            inner.leaders.borrow().iter().filter(|(_, leader)| **leader == peer).map(|(group, _)| *group).collect();
        for group in led {
            inner.propose_again(group);
        }
    }

    fn take_commands(&self) -> Vec<(GroupId, Bytes)> {
        let inner = &self.inner;
        inner.flushing.set(false);
        let (now, session) = (inner.platform.now(), inner.session);
        let leaders = inner.leaders.borrow();
        let mut commands = Vec::new();
        if leaders.contains_key(&GroupId::META) {
            for Gathered { first, operations } in inner.meta.borrow_mut().pending.gather(now) {
                commands.push((GroupId::META, encode(&MetaCommand { session, first, operations })));
            }
        }
        for (&group, queue) in inner.queues.borrow_mut().iter_mut() {
            // Without a leader nobody takes them; they go out when there is one.
            if !leaders.contains_key(&group) {
                continue;
            }
            let short = queue.pending.may_propose() && inner.platform.chance(Chaos::CommandShort);
            let gathered = match short {
                true => queue.pending.gather_by(1 + (inner.platform.random() % SHORT_COMMAND_MAX) as usize, now),
                false => queue.pending.gather(now),
            };
            for Gathered { first, mut operations } in gathered {
                let publishes = |operation: &Operation| matches!(operation, Operation::Publish { .. });
                if inner.platform.sabotaged(Sabotage::ReorderBatch) && operations.iter().all(publishes) {
                    operations.reverse();
                }
                commands.push((group, encode(&Command { session, first, operations })));
            }
        }
        commands
    }

    fn tick(&self) {
        let inner = &self.inner;
        let now = inner.platform.now();
        if inner.platform.sabotaged(Sabotage::NoResend) {
            return;
        }
        let mut stuck = inner.meta.borrow_mut().pending.rewind_if_stuck(now);
        for queue in inner.queues.borrow_mut().values_mut() {
            if inner.platform.sabotaged(Sabotage::FirstBatchLost) && queue.pending.is_untried() {
                continue;
            }
            stuck |= queue.pending.rewind_if_stuck(now);
            if queue.pending.bytes() > 0 && inner.platform.chance(Chaos::ResendEarly) {
                queue.pending.rewind();
                stuck = true;
            }
        }
        if stuck {
            inner.flush();
        }
        inner.give_up_lost_nodes();
    }
}

fn encode(command: &impl serde::Serialize) -> Bytes {
    postcard::to_stdvec(command).expect("plain structs in memory always encode").into()
}
