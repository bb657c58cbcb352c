//! What the client side of a node sees of the cluster: local reads of the metadata, operations on queues, effects.
//!
//! A client may connect to any node. Whatever it asks of a queue becomes an operation of this node's session with
//! that queue's group; the operation is resent until this node has seen it applied in its own replica of the log, so
//! a change of leader neither loses nor repeats it. Results and deliveries arrive as [`ChannelEvent`]s.
//!
//! Every node holds a replica of every queue: voters up to the queue's group size, learners beyond it.

mod apply;
mod channels;
mod host;
mod lost;
mod pending;

use std::{
    cell::{Cell, Ref, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use tokio::sync::{Notify, mpsc, oneshot};

use channels::Channels;
pub use host::ClusterHost;
use pending::Pending;

use crate::{
    platform::{GroupId, NodeId, Platform, Sabotage},
    queue::{Delivery, Operation, Outcome, QueueState},
    replication::{DriverHandle, Links},
    routing::{MetaOperation, MetaOutcome, MetaState},
    session::Session,
};

/// What a client channel hears from the queues that it uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The operation that `Cluster::submit` numbered `sequence` was applied.
    Outcome {
        group: GroupId,
        sequence: u64,
        outcome: Outcome,
    },
    Deliver {
        group: GroupId,
        consumer: u64,
        delivery: Delivery,
    },
    /// The cluster took away what this channel held in the queue, and its consumers, because this node was out of
    /// reach for too long. Unacked deliveries from `group` will go to someone else; consumers must be attached again.
    Revoked {
        group: GroupId,
    },
    /// The queue was deleted.
    QueueDeleted {
        group: GroupId,
    },
}

/// How a node deals with silence in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Operations not applied for this long are proposed again.
    pub resend_after: Duration,
    /// A node that was silent for this long loses what its clients hold in queues.
    pub node_lost_after: Duration,
}

/// A handle to the cluster as one node sees it. Clones share everything.
pub struct Cluster<P: Platform> {
    inner: Rc<Inner<P>>,
}

impl<P: Platform> Clone for Cluster<P> {
    fn clone(&self) -> Self {
        Self { inner: Rc::clone(&self.inner) }
    }
}

struct Inner<P: Platform> {
    platform: P,
    config: ClusterConfig,
    session: Session,
    driver: DriverHandle,
    links: Links,
    meta: RefCell<Meta>,
    queues: RefCell<BTreeMap<GroupId, Queue>>,
    channels: RefCell<Channels>,
    leaders: RefCell<BTreeMap<GroupId, NodeId>>,
    /// The driver knows that there is something to propose.
    flushing: Cell<bool>,
    /// Wakes those who wait for a backlog to shrink.
    applied: Notify,
    ticks: Cell<u64>,
}

struct Meta {
    state: MetaState,
    pending: Pending<MetaOperation>,
    waiting: BTreeMap<u64, oneshot::Sender<MetaOutcome>>,
}

struct Queue {
    state: QueueState,
    pending: Pending<Operation>,
    /// Operations whose outcome a planted bug has told already, or keeps to itself.
    told: BTreeSet<u64>,
}

impl<P: Platform> Cluster<P> {
    /// The cluster that `founders` began as `session`'s node sees it, before anything was applied.
    pub fn new(
        platform: P,
        config: ClusterConfig,
        session: Session,
        founders: &[NodeId],
        driver: DriverHandle,
        links: Links,
    ) -> Self {
        let mut pending = Pending::new(config.resend_after);
        pending.push(MetaOperation::Start, OPERATION_BYTES);
        let state = MetaState::founded_by(founders.iter().copied());
        let meta = Meta { state, pending, waiting: BTreeMap::new() };
        let inner = Inner {
            platform,
            config,
            session,
            driver,
            links,
            meta: RefCell::new(meta),
            queues: RefCell::default(),
            channels: RefCell::default(),
            leaders: RefCell::default(),
            flushing: Cell::default(),
            applied: Notify::new(),
            ticks: Cell::default(),
        };
        Self { inner: Rc::new(inner) }
    }

    pub fn platform(&self) -> &P {
        &self.inner.platform
    }

    /// This run of this node.
    pub fn session(&self) -> Session {
        self.inner.session
    }

    /// All nodes of the cluster, sorted, as far as the metadata is applied here.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.inner.meta.borrow().state.members().collect()
    }

    /// The metadata as far as it is applied here. Do not hold it across an await.
    pub fn meta(&self) -> Ref<'_, MetaState> {
        Ref::map(self.inner.meta.borrow(), |meta| &meta.state)
    }

    /// Changes the metadata and waits until the change is applied here. Cancel-safe: the change goes on without its
    /// asker. It pends as long as the metadata has no leader within reach.
    pub async fn change_meta(&self, operation: MetaOperation) -> MetaOutcome {
        let outcome = {
            let mut meta = self.inner.meta.borrow_mut();
            let sequence = meta.pending.push(operation, OPERATION_BYTES);
            let (sender, receiver) = oneshot::channel();
            meta.waiting.insert(sequence, sender);
            receiver
        };
        self.inner.flush();
        match outcome.await {
            Ok(outcome) => outcome,
            // The node is ending: whether the change will be applied is nobody's to say.
            Err(_) => std::future::pending().await,
        }
    }

    /// Opens a client channel: its id, unique in this session, and what it hears.
    pub fn open_channel(&self) -> (u64, mpsc::UnboundedReceiver<ChannelEvent>) {
        self.inner.channels.borrow_mut().open()
    }

    /// Submits an operation to a queue; returns its sequence. The result comes to the operation's channel as
    /// [`ChannelEvent::Outcome`] once it is applied here, which may take as long as the queue has no leader within
    /// reach. A queue that does not exist (any more) answers with [`ChannelEvent::QueueDeleted`], and sequence 0.
    pub fn submit(&self, group: GroupId, operation: Operation) -> u64 {
        let inner = &self.inner;
        let channel = channel_of(&operation);
        let mut queues = inner.queues.borrow_mut();
        let Some(queue) = queues.get_mut(&group) else {
            drop(queues);
            if let Some(channel) = channel {
                inner.channels.borrow().tell(channel, ChannelEvent::QueueDeleted { group });
            }
            return 0;
        };
        if let Some(channel) = channel {
            inner.channels.borrow_mut().uses(channel, group);
        }
        let publish = matches!(operation, Operation::Publish { .. });
        let bytes = bytes_of(&operation);
        let twin = inner.platform.sabotaged(Sabotage::PublishTwice).then(|| operation.clone());
        let sequence = queue.pending.push(operation, bytes);
        if let Some(twin) = twin.filter(|_| publish && Sabotage::PublishTwice.strikes(&inner.platform, sequence, 100)) {
            queue.pending.push(twin, bytes);
        }
        if publish && inner.platform.sabotaged(Sabotage::ConfirmBeforeMajority) && inner.leads(group) {
            queue.told.insert(sequence);
            let event = ChannelEvent::Outcome { group, sequence, outcome: Outcome::Done };
            inner.channels.borrow().tell(channel.unwrap_or_default(), event);
        }
        drop(queues);
        inner.flush();
        sequence
    }

    /// Closes a client channel: every queue that it used takes back what it held.
    pub fn close_channel(&self, channel: u64) {
        let mut groups = self.inner.channels.borrow_mut().close(channel);
        if self.platform().sabotaged(Sabotage::CloseForgetsHeld) {
            groups.clear();
        }
        if self.platform().sabotaged(Sabotage::CloseWithoutLeader) {
            groups.retain(|group| self.has_leader(*group));
        }
        for group in groups {
            self.submit(group, Operation::CloseChannel { channel });
        }
    }

    /// Whether this node knows of a leader of the group.
    pub fn has_leader(&self, group: GroupId) -> bool {
        self.leader(group).is_some()
    }

    /// The group's leader as far as this node knows.
    pub fn leader(&self, group: GroupId) -> Option<NodeId> {
        self.inner.leaders.borrow().get(&group).copied()
    }

    /// Whether the queue has nothing ready in this node's own replica, however far behind that may be.
    pub(crate) fn looks_empty(&self, group: GroupId) -> bool {
        self.inner.queues.borrow().get(&group).is_some_and(|queue| queue.state.ready_count() == 0)
    }

    /// Bytes submitted to the queue by this node and not yet applied here.
    pub fn backlog_bytes(&self, group: GroupId) -> usize {
        self.inner.queues.borrow().get(&group).map_or(0, |queue| queue.pending.bytes())
    }

    /// Waits until no more than `bytes` are submitted to the queue and not yet applied here. Cancel-safe.
    pub async fn backlog_below(&self, group: GroupId, bytes: usize) {
        while self.backlog_bytes(group) > bytes {
            self.inner.applied.notified().await;
        }
    }

    /// What the replication driver needs of this node's state machines.
    pub fn host(&self) -> Rc<ClusterHost<P>> {
        Rc::new(ClusterHost::new(Rc::clone(&self.inner)))
    }
}

impl<P: Platform> Inner<P> {
    /// Lets the driver know, once, that there is something to propose.
    fn flush(&self) {
        if !self.flushing.replace(true) {
            self.driver.flush();
        }
    }

    /// Proposes everything again that was submitted to the group and not applied.
    fn propose_again(&self, group: GroupId) {
        if self.platform.sabotaged(Sabotage::NoResend) {
            return;
        }
        if group == GroupId::META {
            self.meta.borrow_mut().pending.rewind();
        } else if let Some(queue) = self.queues.borrow_mut().get_mut(&group) {
            if self.platform.sabotaged(Sabotage::ResendRenumbered) {
                queue.pending.renumber();
            }
            if self.platform.sabotaged(Sabotage::ConfirmLostWithLeader) {
                let publishes = |operation: &Operation| matches!(operation, Operation::Publish { .. });
                queue.told.extend(queue.pending.proposed(publishes));
            }
            if self.platform.sabotaged(Sabotage::FirstBatchLost) && queue.pending.is_untried() {
                return;
            }
            queue.pending.rewind();
        }
        self.flush();
    }

    fn leads(&self, group: GroupId) -> bool {
        self.leaders.borrow().get(&group) == Some(&self.session.node)
    }
}

/// What an operation weighs beside its payload, in bytes.
const OPERATION_BYTES: usize = 64;

fn bytes_of(operation: &Operation) -> usize {
    OPERATION_BYTES
        + match operation {
            Operation::Publish { message, .. } => {
                message.body.len() + message.properties.len() + message.exchange.len() + message.routing_key.len()
            }
            Operation::Settle { messages, .. } => 8 * messages.len(),
            _ => 0,
        }
}

/// The channel that waits for the operation's outcome.
fn channel_of(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::Publish { channel, .. }
        | Operation::Attach { channel, .. }
        | Operation::Cancel { channel, .. }
        | Operation::Get { channel, .. }
        | Operation::Settle { channel, .. }
        | Operation::CloseChannel { channel }
        | Operation::Purge { channel }
        | Operation::Count { channel } => Some(*channel),
        Operation::Start | Operation::NodeLost { .. } => None,
    }
}
