//! The exchange and queue classes: declare, delete, bind, unbind, purge.

use std::time::Duration;

use amq_protocol::{
    protocol::{
        AMQPClass,
        exchange::{self, AMQPMethod as ExchangeMethod},
        queue::{self, AMQPMethod as QueueMethod},
    },
    types::{AMQPValue, FieldTable},
};

use super::{
    channel::{Channel, QueueGone},
    error::{AmqpError, ReplyCode},
};
use crate::{
    platform::{GroupId, Platform},
    queue::{Operation, Outcome},
    routing::{DEFAULT_GROUP_SIZE, ExchangeKind, ExchangeSpec, MetaOperation, MetaOutcome, QueueSpec, Refusal, place},
};

/// How long `queue.delete` waits for the number of messages that it reports: a queue that has lost its majority cannot
/// count them, and must still be deletable.
const COUNT_PATIENCE: Duration = Duration::from_secs(5);

/// Messages ready and consumers attached.
struct Counts {
    ready: u64,
    consumers: u64,
}

impl<P: Platform> Channel<P> {
    pub(super) async fn exchange_method(&mut self, method: &ExchangeMethod) -> Result<(), AmqpError> {
        match method {
            ExchangeMethod::Declare(declare) => self.declare_exchange(declare).await,
            ExchangeMethod::Delete(delete) => {
                let (name, if_unused) = (delete.exchange.to_string(), delete.if_unused);
                self.change_meta(MetaOperation::DeleteExchange { name, if_unused }).await?;
                self.reply_unless(delete.nowait, ExchangeMethod::DeleteOk(exchange::DeleteOk {}));
                Ok(())
            }
            ExchangeMethod::Bind(_) | ExchangeMethod::Unbind(_) => {
                Err(AmqpError::new(ReplyCode::NotImplemented, "bindings between exchanges"))
            }
            _ => Err(AmqpError::new(ReplyCode::CommandInvalid, "not a method that a client sends on a channel")),
        }
    }

    async fn declare_exchange(&mut self, declare: &exchange::Declare) -> Result<(), AmqpError> {
        let name = declare.exchange.as_str();
        if declare.passive {
            if !self.has_exchange(name) {
                // This node's view may be behind.
                self.change_meta(MetaOperation::Barrier).await?;
            }
            if !self.has_exchange(name) {
                return Err(Refusal::no_exchange(name).into());
            }
        } else {
            let kind = ExchangeKind::from_name(declare.kind.as_str())?;
            if declare.internal {
                return Err(AmqpError::new(ReplyCode::NotImplemented, "internal exchanges"));
            }
            refuse_arguments(&declare.arguments, "exchange", &["alternate-exchange"])?;
            let spec = ExchangeSpec { kind, durable: declare.durable, auto_delete: declare.auto_delete };
            self.change_meta(MetaOperation::DeclareExchange { name: name.to_owned(), spec }).await?;
        }
        self.reply_unless(declare.nowait, ExchangeMethod::DeclareOk(exchange::DeclareOk {}));
        Ok(())
    }

    fn has_exchange(&self, name: &str) -> bool {
        self.cluster().meta().exchange(name).is_some()
    }

    fn reply_unless(&self, nowait: bool, method: ExchangeMethod) {
        if !nowait {
            self.reply(AMQPClass::Exchange(method));
        }
    }

    pub(super) async fn queue_method(&mut self, method: &QueueMethod) -> Result<(), AmqpError> {
        match method {
            QueueMethod::Declare(declare) => self.declare_queue(declare).await,
            QueueMethod::Delete(delete) => self.delete_queue(delete).await,
            QueueMethod::Purge(purge) => self.purge(purge).await,
            QueueMethod::Bind(bind) => {
                let queue = self.queue_name(bind.queue.as_str())?;
                let routing_key = self.routing_key(bind.queue.as_str(), bind.routing_key.as_str())?;
                let exchange = bind.exchange.to_string();
                self.change_meta(MetaOperation::Bind { exchange, queue, routing_key }).await?;
                if !bind.nowait {
                    self.reply_queue(QueueMethod::BindOk(queue::BindOk {}));
                }
                Ok(())
            }
            QueueMethod::Unbind(unbind) => {
                let queue = self.queue_name(unbind.queue.as_str())?;
                let routing_key = self.routing_key(unbind.queue.as_str(), unbind.routing_key.as_str())?;
                let exchange = unbind.exchange.to_string();
                self.change_meta(MetaOperation::Unbind { exchange, queue, routing_key }).await?;
                self.reply_queue(QueueMethod::UnbindOk(queue::UnbindOk {}));
                Ok(())
            }
            _ => Err(AmqpError::new(ReplyCode::CommandInvalid, "not a method that a client sends on a channel")),
        }
    }

    /// With both names empty, the key is the name of the queue declared last (AMQP 0-9-1, queue.bind).
    fn routing_key(&self, queue: &str, routing_key: &str) -> Result<String, AmqpError> {
        if queue.is_empty() && routing_key.is_empty() { self.queue_name("") } else { Ok(routing_key.to_owned()) }
    }

    async fn declare_queue(&mut self, declare: &queue::Declare) -> Result<(), AmqpError> {
        let wanted = declare.queue.as_str();
        let (name, counts) = if declare.passive {
            let (name, queue) = self.existing_queue(wanted).await?;
            match self.counts(queue.group).await {
                Ok(counts) => (name, counts),
                Err(QueueGone) => return Err(Refusal::no_queue(&name).into()),
            }
        } else {
            let name = if wanted.is_empty() { self.generated_name() } else { wanted.to_owned() };
            let spec = queue_spec(&name, declare)?;
            let counts = self.ensure_queue(&name, spec).await?;
            (name, counts)
        };
        self.last_queue = Some(name.clone());
        if !declare.nowait {
            self.reply_queue(QueueMethod::DeclareOk(queue::DeclareOk {
                queue: name.into(),
                message_count: saturated(counts.ready),
                consumer_count: saturated(counts.consumers),
            }));
        }
        Ok(())
    }

    /// Makes the queue exist. A new one is not waited for: what is published meanwhile waits for its first leader.
    async fn ensure_queue(&mut self, name: &str, spec: QueueSpec) -> Result<Counts, AmqpError> {
        loop {
            let known = self.find_equivalent(name, &spec);
            let (group, created) = match known {
                Some(group) => (group, false),
                None => self.create_queue(name, &spec).await?,
            };
            if created {
                return Ok(Counts { ready: 0, consumers: 0 });
            }
            // Deleted while it was counted: then it is to be made anew.
            if let Ok(counts) = self.counts(group).await {
                return Ok(counts);
            }
        }
    }

    /// A queue that this node knows and that is as declared needs no change, and so no leader of the metadata.
    fn find_equivalent(&self, name: &str, spec: &QueueSpec) -> Option<GroupId> {
        let queue = self.local_queue(name)?;
        spec.equivalent(name, &queue.spec).ok().map(|()| queue.group)
    }

    async fn create_queue(&mut self, name: &str, spec: &QueueSpec) -> Result<(GroupId, bool), AmqpError> {
        if wants_reserved_name(name) && self.find_queue(name).await?.is_none() {
            let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
            return Err(AmqpError::new(ReplyCode::AccessRefused, text));
        }
        let placement = {
            let cluster = self.cluster();
            let size = spec.group_size.unwrap_or(DEFAULT_GROUP_SIZE);
            place(&cluster.nodes(), cluster.platform().node(), size)
        };
        let declare = MetaOperation::DeclareQueue { name: name.to_owned(), spec: spec.clone(), placement };
        match self.change_meta(declare).await? {
            MetaOutcome::Queue { group, created } => Ok((group, created)),
            other => Err(AmqpError::new(ReplyCode::InternalError, format!("queue.declare came to {other:?}"))),
        }
    }

    async fn delete_queue(&mut self, delete: &queue::Delete) -> Result<(), AmqpError> {
        let name = self.queue_name(delete.queue.as_str())?;
        // Deleting what does not exist is fine, as in RabbitMQ.
        let message_count = match self.find_queue(&name).await? {
            Some(queue) => self.delete_group(&name, queue.group, delete).await?,
            None => 0,
        };
        if !delete.nowait {
            let message_count = saturated(message_count);
            self.reply_queue(QueueMethod::DeleteOk(queue::DeleteOk { message_count }));
        }
        Ok(())
    }

    /// Deletes the queue if the client's conditions allow it; yields how many messages went with it.
    async fn delete_group(&mut self, name: &str, group: GroupId, delete: &queue::Delete) -> Result<u64, AmqpError> {
        let counts = if delete.if_empty || delete.if_unused {
            self.counts(group).await.ok()
        } else {
            self.counts_within(group, COUNT_PATIENCE).await
        };
        if let Some(counts) = &counts {
            let refused = |why: &str| {
                let text = format!("queue '{name}' in vhost '/' {why}");
                Err(AmqpError::new(ReplyCode::PreconditionFailed, text))
            };
            if delete.if_unused && counts.consumers > 0 {
                return refused("in use");
            }
            if delete.if_empty && counts.ready > 0 {
                return refused("is not empty");
            }
        }
        self.change_meta(MetaOperation::DeleteQueue { name: name.to_owned(), group }).await?;
        Ok(counts.map_or(0, |counts| counts.ready))
    }

    async fn purge(&mut self, purge: &queue::Purge) -> Result<(), AmqpError> {
        let (name, queue) = self.existing_queue(purge.queue.as_str()).await?;
        let message_count = match self.outcome(queue.group, Operation::Purge { channel: self.parts.id }).await {
            Ok(Outcome::Purged { count }) => saturated(count),
            // It was done; how many there were is not known here.
            Ok(_) => 0,
            Err(QueueGone) => return Err(Refusal::no_queue(&name).into()),
        };
        if !purge.nowait {
            self.reply_queue(QueueMethod::PurgeOk(queue::PurgeOk { message_count }));
        }
        Ok(())
    }

    async fn counts(&mut self, group: GroupId) -> Result<Counts, QueueGone> {
        loop {
            let outcome = self.outcome(group, Operation::Count { channel: self.parts.id }).await?;
            if let Outcome::Counted { ready, consumers } = outcome {
                return Ok(Counts { ready, consumers });
            }
        }
    }

    async fn counts_within(&mut self, group: GroupId, patience: Duration) -> Option<Counts> {
        let timeout = self.cluster().platform().sleep(patience);
        tokio::select! {
            biased;
            counts = self.counts(group) => counts.ok(),
            () = timeout => None,
        }
    }

    fn generated_name(&self) -> String {
        let platform = self.cluster().platform();
        format!("amq.gen-{:016x}{:016x}", platform.random(), platform.random())
    }
}

/// Names under `amq.` are the broker's to give (AMQP 0-9-1, queue.declare).
fn wants_reserved_name(name: &str) -> bool {
    name.starts_with("amq.") && !name.starts_with("amq.gen-")
}

/// What a declaration asks of the queue.
///
/// # Errors
/// 406 for whatever a quorum queue cannot be, in RabbitMQ's words and with what to do instead.
fn queue_spec(name: &str, declare: &queue::Declare) -> Result<QueueSpec, AmqpError> {
    let refused = |text: String| Err(AmqpError::new(ReplyCode::PreconditionFailed, text));
    let arguments = declare.arguments.inner();
    match arguments.get("x-queue-type") {
        None => {}
        Some(AMQPValue::LongString(kind)) if kind.as_bytes() == b"quorum" => {}
        Some(AMQPValue::LongString(kind)) => {
            let text = format!(
                "invalid arg 'x-queue-type' for queue '{name}' in vhost '/': '{kind}' queues do not exist here, every \
                 queue is a quorum queue: leave the argument out or say 'quorum'"
            );
            return refused(text);
        }
        Some(_) => return refused(format!("invalid arg 'x-queue-type' for queue '{name}' in vhost '/': not a string")),
    }
    let invalid = [
        (!declare.durable, "non-durable", "declare it with durable=true"),
        (declare.exclusive, "exclusive-owner", "declare it with exclusive=false"),
        (declare.auto_delete, "auto-delete", "declare it with auto_delete=false and delete it when done"),
    ];
    if let Some((_, property, remedy)) = invalid.into_iter().find(|(wrong, ..)| *wrong) {
        return refused(format!(
            "invalid property '{property}' for queue '{name}' in vhost '/': every queue is a quorum queue: {remedy}"
        ));
    }
    let group_size = match arguments.get("x-quorum-initial-group-size") {
        None => None,
        Some(value) => match positive(value) {
            Some(size) => Some(size),
            None => {
                let text = format!(
                    "invalid arg 'x-quorum-initial-group-size' for queue '{name}' in vhost '/': not a positive number"
                );
                return refused(text);
            }
        },
    };
    let known = ["x-queue-type", "x-quorum-initial-group-size"];
    let unknown = arguments.keys().map(|key| key.as_str()).find(|key| key.starts_with("x-") && !known.contains(key));
    if let Some(argument) = unknown {
        return refused(format!("invalid arg '{argument}' for queue '{name}' in vhost '/': not supported here"));
    }
    Ok(QueueSpec { group_size })
}

/// # Errors
/// 540 for an argument that would change what the thing does.
fn refuse_arguments(arguments: &FieldTable, what: &str, refused: &[&str]) -> Result<(), AmqpError> {
    let found = arguments.inner().keys().find(|key| key.as_str().starts_with("x-") || refused.contains(&key.as_str()));
    match found {
        Some(argument) => Err(AmqpError::new(ReplyCode::NotImplemented, format!("{what} argument '{argument}'"))),
        None => Ok(()),
    }
}

/// A whole number above 0, in whichever integer type the client chose.
fn positive(value: &AMQPValue) -> Option<u32> {
    let number = match *value {
        AMQPValue::ShortShortInt(n) => n.into(),
        AMQPValue::ShortShortUInt(n) => n.into(),
        AMQPValue::ShortInt(n) => n.into(),
        AMQPValue::ShortUInt(n) => n.into(),
        AMQPValue::LongInt(n) => n.into(),
        AMQPValue::LongUInt(n) => n.into(),
        AMQPValue::LongLongInt(n) => n,
        _ => return None,
    };
    u32::try_from(number).ok().filter(|number| *number > 0)
}

/// Counts on the wire have 32 bits.
fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declare(arguments: &[(&str, AMQPValue)]) -> queue::Declare {
        let mut table = FieldTable::default();
        for (key, value) in arguments {
            table.insert((*key).into(), value.clone());
        }
        queue::Declare { queue: "q".into(), durable: true, arguments: table, ..Default::default() }
    }

    fn code(declare: &queue::Declare) -> Option<u16> {
        queue_spec("q", declare).err().map(|error| error.code.number())
    }

    #[test]
    fn a_durable_queue_is_a_quorum_queue_whether_it_says_so_or_not() {
        assert_eq!(queue_spec("q", &declare(&[])), Ok(QueueSpec { group_size: None }));
        let quorum = AMQPValue::LongString("quorum".into());
        let size = AMQPValue::LongInt(5);
        let sized = declare(&[("x-queue-type", quorum), ("x-quorum-initial-group-size", size)]);
        assert_eq!(queue_spec("q", &sized), Ok(QueueSpec { group_size: Some(5) }));
    }

    #[test]
    fn what_a_quorum_queue_cannot_be_is_refused() {
        assert_eq!(code(&queue::Declare { durable: false, ..declare(&[]) }), Some(406));
        assert_eq!(code(&queue::Declare { exclusive: true, ..declare(&[]) }), Some(406));
        assert_eq!(code(&queue::Declare { auto_delete: true, ..declare(&[]) }), Some(406));
        assert_eq!(code(&declare(&[("x-queue-type", AMQPValue::LongString("classic".into()))])), Some(406));
        assert_eq!(code(&declare(&[("x-quorum-initial-group-size", AMQPValue::LongInt(0))])), Some(406));
        assert_eq!(code(&declare(&[("x-max-priority", AMQPValue::LongInt(3))])), Some(406));
        assert_eq!(code(&declare(&[("owner", AMQPValue::LongString("billing".into()))])), None);
    }
}
