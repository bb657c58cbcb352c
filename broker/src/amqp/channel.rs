//! One channel: takes its client's requests and the cluster's events, in order, one at a time.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    rc::Rc,
    time::Duration,
};

use amq_protocol::protocol::{AMQPClass, access, basic, channel, confirm, queue};
use tokio::sync::mpsc;

use super::{
    Server,
    blockade::Blockade,
    confirm::{Confirm, Confirms},
    connection::Ending,
    consume::Consumer,
    content::Request,
    error::{AmqpError, ReplyCode, Scope},
    inbox::Inbox,
    outgoing::Outgoing,
    unacked::Unacked,
};
use crate::{
    cluster::{ChannelEvent, Cluster},
    platform::{Chaos, GroupId, Platform, Sabotage},
    queue::{Operation, Outcome},
    routing::{MetaOperation, MetaOutcome, QueueRecord, Refusal},
};

/// Requests or events taken before the other side and other tasks have their turn.
const BATCH: usize = 64;

/// The longest that a chaos point keeps a channel from looking at what the cluster tells.
const LATE_MAX: Duration = Duration::from_millis(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The broker has closed it and waits for the client's `channel.close-ok`. The cluster knows.
    Closing,
    /// It is over. The cluster knows.
    Closed,
}

/// What a channel is made of.
pub(super) struct Parts<P: Platform> {
    pub(super) server: Rc<Server<P>>,
    /// The client's number for it, within the connection.
    pub(super) number: u16,
    /// The cluster's number for it, within the session.
    pub(super) id: u64,
    pub(super) user: String,
    /// The client understands `basic.cancel` from the broker.
    pub(super) cancel_notify: bool,
    pub(super) outgoing: Outgoing,
    pub(super) blockade: Rc<Blockade>,
    /// For a planted bug: the last tag of the connection's ended channels, by their numbers. Otherwise empty.
    pub(super) tags: Rc<RefCell<BTreeMap<u16, u64>>>,
    pub(super) inbox: Rc<Inbox>,
    pub(super) events: mpsc::UnboundedReceiver<ChannelEvent>,
    /// Shared with the connection's reader.
    pub(super) state: Rc<Cell<State>>,
    pub(super) endings: mpsc::UnboundedSender<Ending>,
}

pub(super) struct Channel<P: Platform> {
    pub(super) parts: Parts<P>,
    /// Since `confirm.select`.
    pub(super) confirms: Option<Confirms>,
    pub(super) unacked: Unacked,
    /// By the cluster's number for them.
    pub(super) consumers: BTreeMap<u64, Consumer>,
    /// For consumers started from now on; 0 is unlimited.
    pub(super) prefetch: u16,
    /// `basic.qos` asked for one limit over the whole channel, which quorum queues do not have.
    pub(super) prefetch_is_global: bool,
    /// What an empty queue name stands for.
    pub(super) last_queue: Option<String>,
    /// A queue that has more publishes waiting than it should; no request is taken until it has caught up.
    pub(super) backlogged: Option<GroupId>,
    /// The operation that a request waits for, and its outcome once that is known.
    awaited: Option<(GroupId, u64)>,
    answer: Option<Outcome>,
    /// Queues that were deleted while the channel used them.
    deleted: BTreeSet<GroupId>,
}

/// What a request leads to.
enum Flow {
    Continue,
    End(End),
}

/// How a channel ends without an error.
enum End {
    /// The client has closed the channel and awaits `channel.close-ok`.
    ByClient,
    WithConnection,
}

/// The queue was deleted before it answered.
#[derive(Debug)]
pub(super) struct QueueGone;

impl<P: Platform> Channel<P> {
    pub(super) fn new(parts: Parts<P>) -> Self {
        Self {
            parts,
            confirms: None,
            unacked: Unacked::default(),
            consumers: BTreeMap::new(),
            prefetch: 0,
            prefetch_is_global: false,
            last_queue: None,
            backlogged: None,
            awaited: None,
            answer: None,
            deleted: BTreeSet::new(),
        }
    }

    /// Serves the channel until either side closes it, or the connection.
    pub(super) async fn run(mut self) {
        let result = self.work().await;
        self.tell_confirms();
        debug_assert!(self.backlogged.is_none(), "a channel that takes no requests does not end by one");
        if let Some(confirms) = &self.confirms
            && self.cluster().platform().sabotaged(Sabotage::TagsGoOn)
        {
            self.parts.tags.borrow_mut().insert(self.parts.number, confirms.latest());
        }
        let Parts { number, id, outgoing, inbox, state, endings, server, .. } = &self.parts;
        let (end_state, ending) = match result {
            Ok(End::ByClient) => {
                outgoing.method(*number, &close_ok());
                (State::Closed, Ending::Channel)
            }
            Ok(End::WithConnection) => (State::Closed, Ending::Channel),
            Err(error) if error.code.scope() == Scope::Channel => {
                tracing::info!(channel = number, %error, "closing the channel");
                outgoing.method(*number, &error.channel_close());
                (State::Closing, Ending::Channel)
            }
            Err(error) => (State::Closed, Ending::Error(error)),
        };
        server.cluster.close_channel(*id);
        inbox.close();
        state.set(end_state);
        // Nobody listens if the connection is gone already.
        let _ = endings.send(ending);
    }

    async fn work(&mut self) -> Result<End, AmqpError> {
        loop {
            let mut idle = true;
            for _ in 0..BATCH {
                if self.backlogged.is_some() || !self.parts.outgoing.has_room() {
                    break;
                }
                let Some(request) = self.parts.inbox.pop() else { break };
                idle = false;
                if let Flow::End(end) = self.handle(request).await? {
                    return Ok(end);
                }
            }
            let platform = self.cluster().platform();
            if platform.chance(Chaos::ChannelLate) {
                platform.sleep(Chaos::spell(platform, LATE_MAX)).await;
            }
            for _ in 0..BATCH {
                if !self.parts.outgoing.has_room() {
                    break;
                }
                let Ok(event) = self.parts.events.try_recv() else { break };
                idle = false;
                self.on_event(event);
            }
            self.tell_confirms();
            if idle { self.something_to_do().await } else { tokio::task::yield_now().await }
        }
    }

    /// Waits until a request may be taken or an event is there, which it handles.
    async fn something_to_do(&mut self) {
        let backlog_low = self.parts.server.config.backlog_max / 2;
        let Parts { outgoing, inbox, events, server, .. } = &mut self.parts;
        outgoing.room().await;
        let request_allowed = async {
            match self.backlogged {
                Some(group) => server.cluster.backlog_below(group, backlog_low).await,
                None => inbox.arrival().await,
            }
        };
        tokio::select! {
            biased;
            Some(event) = events.recv() => self.on_event(event),
            () = request_allowed => {
                if self.backlogged.is_some() && self.cluster().platform().sabotaged(Sabotage::BlockedDropped) {
                    self.drop_waiting();
                }
                self.go_on();
            }
        }
    }

    async fn handle(&mut self, request: Request) -> Result<Flow, AmqpError> {
        match request {
            Request::Method(method) => {
                let result = self.method(&method).await;
                result.map_err(|error| error.caused_by(&method))
            }
            Request::Publish(publish, content) => {
                let result = self.publish(&publish, content);
                result.map(|()| Flow::Continue).map_err(|error| caused_by_publish(error, publish))
            }
            Request::ConnectionEnds => Ok(Flow::End(End::WithConnection)),
            Request::TooLarge { size } => {
                let limit = self.parts.server.config.message_size_max;
                let text = format!("message size {size} is larger than configured max size {limit}");
                let error = AmqpError::new(ReplyCode::PreconditionFailed, text);
                Err(caused_by_publish(error, basic::Publish::default()))
            }
        }
    }

    async fn method(&mut self, method: &AMQPClass) -> Result<Flow, AmqpError> {
        match method {
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => return Ok(Flow::End(End::ByClient)),
            AMQPClass::Channel(channel::AMQPMethod::Flow(flow)) => self.flow(flow.active)?,
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                // Deprecated; every client may do everything it asks for here.
                self.reply(AMQPClass::Access(access::AMQPMethod::RequestOk(access::RequestOk {})));
            }
            AMQPClass::Exchange(method) => self.exchange_method(method).await?,
            AMQPClass::Queue(method) => self.queue_method(method).await?,
            AMQPClass::Basic(method) => self.basic_method(method).await?,
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                // Empty, unless the bug is planted.
                let before = self.parts.tags.borrow().get(&self.parts.number).copied();
                self.confirms.get_or_insert_with(|| Confirms::after(before.unwrap_or(0)));
                if !select.nowait {
                    self.reply(AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {})));
                }
            }
            AMQPClass::Tx(_) => {
                let text = "transactions: use publisher confirms (confirm.select) instead";
                return Err(AmqpError::new(ReplyCode::NotImplemented, text));
            }
            _ => return Err(not_for_a_broker()),
        }
        Ok(Flow::Continue)
    }

    async fn basic_method(&mut self, method: &basic::AMQPMethod) -> Result<(), AmqpError> {
        use basic::AMQPMethod as Basic;
        match method {
            Basic::Qos(qos) => self.qos(qos),
            Basic::Consume(consume) => return self.consume(consume).await,
            Basic::Cancel(cancel) => self.cancel(cancel).await,
            Basic::Get(get) => return self.get(get).await,
            Basic::Ack(ack) => return self.ack(ack),
            Basic::Nack(nack) => return self.nack(nack),
            Basic::Reject(reject) => return self.reject(reject),
            Basic::Recover(recover) => {
                self.recover(recover.requeue)?;
                self.reply(AMQPClass::Basic(Basic::RecoverOk(basic::RecoverOk {})));
            }
            Basic::RecoverAsync(recover) => return self.recover(recover.requeue),
            // The answer to our own basic.cancel, which did not ask for one.
            Basic::CancelOk(_) => {}
            _ => return Err(not_for_a_broker()),
        }
        Ok(())
    }

    fn flow(&self, active: bool) -> Result<(), AmqpError> {
        if !active {
            return Err(AmqpError::new(ReplyCode::NotImplemented, "active=false: limit deliveries with basic.qos"));
        }
        self.reply(AMQPClass::Channel(channel::AMQPMethod::FlowOk(channel::FlowOk { active })));
        Ok(())
    }

    /// Acts on what the cluster tells.
    pub(super) fn on_event(&mut self, event: ChannelEvent) {
        match event {
            ChannelEvent::Outcome { group, sequence, outcome } => {
                if self.awaited == Some((group, sequence)) {
                    self.awaited = None;
                    self.answer = Some(outcome);
                } else if let Some(confirms) = &mut self.confirms {
                    // Any outcome means that the operation was applied. Those of settles are nobody's concern.
                    confirms.applied(group, sequence);
                }
            }
            ChannelEvent::Deliver { group, consumer, delivery } => self.on_delivery(group, consumer, delivery),
            ChannelEvent::Revoked { group } => self.on_revoked(group),
            ChannelEvent::QueueDeleted { group } => {
                self.deleted.insert(group);
                if let Some(confirms) = &mut self.confirms {
                    confirms.queue_deleted(group);
                }
                self.on_queue_deleted(group);
            }
        }
    }

    /// Sends the confirms that are ready.
    fn tell_confirms(&mut self) {
        let Some(confirms) = &mut self.confirms else { return };
        let (ready, latest) = (confirms.take_ready(), confirms.latest());
        let platform = self.parts.server.cluster.platform();
        for confirm in ready {
            let method = match confirm {
                Confirm::Ack { tag, .. } if Sabotage::ConfirmSwallowed.strikes(platform, tag, 100) => continue,
                Confirm::Ack { .. } if platform.sabotaged(Sabotage::ConfirmAhead) => {
                    basic::AMQPMethod::Ack(basic::Ack { delivery_tag: latest, multiple: true })
                }
                Confirm::Ack { tag, multiple } => basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple }),
                Confirm::Nack { tag } => {
                    basic::AMQPMethod::Nack(basic::Nack { delivery_tag: tag, multiple: false, requeue: false })
                }
            };
            self.parts.outgoing.method(self.parts.number, &AMQPClass::Basic(method));
        }
    }

    pub(super) fn cluster(&self) -> &Cluster<P> {
        &self.parts.server.cluster
    }

    pub(super) fn reply(&self, method: AMQPClass) {
        self.parts.outgoing.method(self.parts.number, &method);
    }

    pub(super) fn reply_queue(&self, method: queue::AMQPMethod) {
        self.reply(AMQPClass::Queue(method));
    }

    pub(super) fn reply_basic(&self, method: basic::AMQPMethod) {
        self.reply(AMQPClass::Basic(method));
    }

    /// Submits an operation and waits for its outcome, acting on whatever else happens meanwhile. Cancel-safe: the
    /// operation goes on without its asker.
    pub(super) async fn outcome(&mut self, group: GroupId, operation: Operation) -> Result<Outcome, QueueGone> {
        // An answer that came after its asker had stopped waiting is not this one's.
        self.answer = None;
        self.awaited = Some((group, self.cluster().submit(group, operation)));
        loop {
            if let Some(outcome) = self.answer.take() {
                return Ok(outcome);
            }
            if self.deleted.contains(&group) {
                self.awaited = None;
                return Err(QueueGone);
            }
            let event = self.next_event().await;
            self.on_event(event);
            self.tell_confirms();
        }
    }

    /// Waits for `future`, acting on whatever the cluster tells meanwhile.
    pub(super) async fn meanwhile<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        loop {
            let event = tokio::select! {
                biased;
                output = &mut future => return output,
                event = self.next_event() => event,
            };
            self.on_event(event);
            self.tell_confirms();
        }
    }

    /// The next event that the client has room for. Cancel-safe.
    async fn next_event(&mut self) -> ChannelEvent {
        self.parts.outgoing.room().await;
        match self.parts.events.recv().await {
            Some(event) => event,
            // The cluster ends before its channels only when the whole node does.
            None => std::future::pending().await,
        }
    }

    /// Changes the metadata and waits until the change is visible here.
    pub(super) async fn change_meta(&mut self, operation: MetaOperation) -> Result<MetaOutcome, AmqpError> {
        loop {
            let cluster = self.cluster().clone();
            let operation = operation.clone();
            match self.meanwhile(async move { cluster.change_meta(operation).await }).await {
                MetaOutcome::Refused(refusal) => return Err(refusal.into()),
                // Applied, but what came of it is not known: every operation may be repeated.
                MetaOutcome::Missed => {}
                outcome => return Ok(outcome),
            }
        }
    }

    /// The queue called `name`, if there is one. Before it says no, it makes sure that this node's view is not stale.
    pub(super) async fn find_queue(&mut self, name: &str) -> Result<Option<QueueRecord>, AmqpError> {
        if let found @ Some(_) = self.local_queue(name) {
            return Ok(found);
        }
        self.change_meta(MetaOperation::Barrier).await?;
        Ok(self.local_queue(name))
    }

    pub(super) fn local_queue(&self, name: &str) -> Option<QueueRecord> {
        let found = self.cluster().meta().queue(name).cloned();
        found.filter(|queue| !self.deleted.contains(&queue.group))
    }

    /// The queue called `name`, where an empty name means the one declared last on this channel.
    ///
    /// # Errors
    /// 404 if there is none.
    pub(super) async fn existing_queue(&mut self, name: &str) -> Result<(String, QueueRecord), AmqpError> {
        let name = self.queue_name(name)?;
        match self.find_queue(&name).await? {
            Some(queue) => Ok((name, queue)),
            None => Err(Refusal::no_queue(&name).into()),
        }
    }

    /// # Errors
    /// 404 for an empty name on a channel that has declared no queue.
    pub(super) fn queue_name(&self, name: &str) -> Result<String, AmqpError> {
        if !name.is_empty() {
            return Ok(name.to_owned());
        }
        self.last_queue.clone().ok_or_else(|| AmqpError::new(ReplyCode::NotFound, "no previously declared queue"))
    }
}

pub(super) fn close_ok() -> AMQPClass {
    AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
}

fn not_for_a_broker() -> AmqpError {
    AmqpError::new(ReplyCode::CommandInvalid, "not a method that a client sends on a channel")
}

fn caused_by_publish(error: AmqpError, publish: basic::Publish) -> AmqpError {
    error.caused_by(&AMQPClass::Basic(basic::AMQPMethod::Publish(publish)))
}
