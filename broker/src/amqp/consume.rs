//! `basic.consume`, `cancel`, `qos` and `get`, and the deliveries that come of them.

use amq_protocol::{
    protocol::{
        AMQPClass,
        basic::{self, AMQPMethod as Basic},
    },
    types::{AMQPValue, FieldTable, ShortString},
};
use bytes::Bytes;

use super::{
    channel::{Channel, QueueGone},
    codec,
    error::{AmqpError, ReplyCode},
    unacked::Unacked,
};
use crate::{
    cluster::Cluster,
    platform::{GroupId, Observation, Platform, Sabotage},
    queue::{Acks, Delivery, Operation, Outcome, Settle},
    routing::Refusal,
};

/// How often the message was given back before, as RabbitMQ's quorum queues tell it.
const DELIVERY_COUNT_HEADER: &str = "x-delivery-count";

/// A consumer of the channel.
pub(super) struct Consumer {
    pub(super) tag: String,
    group: GroupId,
    acks: Acks,
    prefetch: Option<u32>,
    /// Deliveries that came before the client was told that it consumes; `None` once it was.
    early: Option<Vec<Delivery>>,
    credit: Credit,
    /// The client has cancelled it.
    ending: bool,
}

/// How much of its prefetch a consumer has in the queue. After the cluster took its messages back, the client still
/// counts those that it has not settled: together with new ones they must not exceed what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credit {
    Full,
    Reduced(u32),
    /// None is left: it is not attached.
    Withheld,
}

impl<P: Platform> Channel<P> {
    pub(super) fn qos(&mut self, qos: &basic::Qos) {
        self.prefetch = qos.prefetch_count;
        self.prefetch_is_global = qos.global && qos.prefetch_count > 0;
        self.reply_basic(Basic::QosOk(basic::QosOk {}));
    }

    pub(super) async fn consume(&mut self, consume: &basic::Consume) -> Result<(), AmqpError> {
        let tag = self.consumer_tag(consume.consumer_tag.as_str())?;
        let (name, queue) = self.existing_queue(consume.queue.as_str()).await?;
        if self.prefetch_is_global {
            let text = format!("queue '{name}' in vhost '/' does not support global qos");
            return Err(AmqpError::new(ReplyCode::NotImplemented, text));
        }
        if consume.exclusive {
            let text = format!("exclusive consumers of quorum queues (queue '{name}')");
            return Err(AmqpError::new(ReplyCode::NotImplemented, text));
        }
        if let Some((argument, _)) = consume.arguments.into_iter().find(|(name, _)| name.as_str().starts_with("x-")) {
            return Err(AmqpError::new(ReplyCode::NotImplemented, format!("consumer argument '{argument}'")));
        }
        let id = self.parts.server.next_consumer();
        let consumer = Consumer {
            tag: tag.clone(),
            group: queue.group,
            acks: acks(consume.no_ack),
            prefetch: self.wanted_prefetch(),
            early: Some(Vec::new()),
            credit: Credit::Full,
            ending: false,
        };
        let mut attach = attachment(self.parts.id, id, &consumer, consumer.prefetch);
        if let Operation::Attach { acks, .. } = &mut attach
            && self.cluster().platform().sabotaged(Sabotage::AckOnDelivery)
        {
            *acks = Acks::Automatic;
        }
        self.consumers.insert(id, consumer);
        if let Err(QueueGone) = self.outcome(queue.group, attach).await {
            return Err(Refusal::no_queue(&name).into());
        }
        if !consume.nowait {
            self.reply_basic(Basic::ConsumeOk(basic::ConsumeOk { consumer_tag: tag.into() }));
        }
        let early = self.consumers.get_mut(&id).and_then(|consumer| consumer.early.take()).unwrap_or_default();
        for delivery in early {
            self.on_delivery(queue.group, id, delivery);
        }
        Ok(())
    }

    pub(super) async fn cancel(&mut self, cancel: &basic::Cancel) {
        let found = self.consumers.iter_mut().find(|(_, consumer)| consumer.tag == cancel.consumer_tag.as_str());
        if let Some((id, group)) = found.map(|(id, consumer)| {
            consumer.ending = true;
            (*id, consumer.group)
        }) {
            // A deleted queue has no consumers any more: that is what the client wants.
            let _ = self.outcome(group, Operation::Cancel { channel: self.parts.id, consumer: id }).await;
            self.consumers.remove(&id);
        }
        if !cancel.nowait {
            self.reply_basic(Basic::CancelOk(basic::CancelOk { consumer_tag: cancel.consumer_tag.clone() }));
        }
    }

    pub(super) async fn get(&mut self, get: &basic::Get) -> Result<(), AmqpError> {
        let (name, queue) = self.existing_queue(get.queue.as_str()).await?;
        let platform = self.cluster().platform();
        let acks = acks(get.no_ack);
        let held = if platform.sabotaged(Sabotage::GetSettles) { Acks::Automatic } else { acks };
        if platform.sabotaged(Sabotage::StaleEmptyGet) && self.cluster().looks_empty(queue.group) {
            self.reply_basic(Basic::GetEmpty(basic::GetEmpty {}));
            return Ok(());
        }
        let (delivery, ready) = loop {
            match self.outcome(queue.group, Operation::Get { channel: self.parts.id, acks: held }).await {
                Ok(Outcome::Got { delivery, ready }) => break (delivery, ready),
                Err(QueueGone) => return Err(Refusal::no_queue(&name).into()),
                // The answer was lost while this node caught up, and no message is held for it: ask again.
                Ok(_) if acks == Acks::Manual => {}
                Ok(_) => {
                    let text = format!(
                        "queue '{name}' may have answered with a message that is lost by now, for it \
                                        needed no ack: get again"
                    );
                    return Err(AmqpError::new(ReplyCode::ResourceLocked, text));
                }
            }
        };
        let Some(delivery) = delivery else {
            self.reply_basic(Basic::GetEmpty(basic::GetEmpty {}));
            return Ok(());
        };
        let get_ok = basic::GetOk {
            delivery_tag: self.tag_for(queue.group, &delivery, acks, None),
            redelivered: self.is_redelivered(&delivery),
            exchange: short(&delivery.message.exchange),
            routing_key: short(&delivery.message.routing_key),
            message_count: u32::try_from(ready).unwrap_or(u32::MAX),
        };
        self.send_content(Basic::GetOk(get_ok), &delivery);
        Ok(())
    }

    pub(super) fn on_delivery(&mut self, group: GroupId, id: u64, delivery: Delivery) {
        if self.unacked.holds(group, delivery.number) {
            // The cluster repeats what this channel holds after its node was out of touch. The client has it.
            return;
        }
        let Some(consumer) = self.consumers.get_mut(&id) else {
            // Its consumer is gone: give it back.
            let messages = vec![delivery.number];
            let operation = Operation::Settle { channel: self.parts.id, messages, settle: Settle::Requeue };
            self.cluster().submit(group, operation);
            return;
        };
        if let Some(early) = &mut consumer.early {
            if early.iter().all(|known| known.number != delivery.number) {
                early.push(delivery);
            }
            return;
        }
        let (acks, consumer_tag) = (consumer.acks, short(&consumer.tag));
        let deliver = basic::Deliver {
            consumer_tag,
            delivery_tag: self.tag_for(group, &delivery, acks, Some(id)),
            redelivered: self.is_redelivered(&delivery),
            exchange: short(&delivery.message.exchange),
            routing_key: short(&delivery.message.routing_key),
        };
        self.send_content(Basic::Deliver(deliver), &delivery);
    }

    /// The cluster took back what the channel held of this queue, and its consumers: those start again.
    pub(super) fn on_revoked(&mut self, group: GroupId) {
        if self.cluster().platform().sabotaged(Sabotage::RevokeUnheard) {
            return;
        }
        self.unacked.revoke(group);
        for (id, consumer) in self.consumers.iter_mut().filter(|(_, consumer)| consumer.group == group) {
            if let Some(early) = &mut consumer.early {
                early.clear();
            }
            if !consumer.ending {
                consumer.credit = Credit::Withheld;
                restore_credit(&self.parts.server.cluster, self.parts.id, *id, consumer, &self.unacked);
            }
        }
    }

    /// The client has settled something: consumers whose messages were taken back may take more now.
    pub(super) fn restore_credits(&mut self) {
        for (id, consumer) in &mut self.consumers {
            if consumer.credit != Credit::Full && !consumer.ending {
                restore_credit(&self.parts.server.cluster, self.parts.id, *id, consumer, &self.unacked);
            }
        }
    }

    pub(super) fn on_queue_deleted(&mut self, group: GroupId) {
        self.unacked.revoke(group);
        for (_, consumer) in self.consumers.extract_if(.., |_, consumer| consumer.group == group) {
            if self.parts.cancel_notify && consumer.early.is_none() {
                let cancel = basic::Cancel { consumer_tag: consumer.tag.into(), nowait: true };
                self.parts.outgoing.method(self.parts.number, &AMQPClass::Basic(Basic::Cancel(cancel)));
            }
        }
    }

    /// The prefetch for a consumer started now; `None` is unlimited.
    fn wanted_prefetch(&self) -> Option<u32> {
        let platform = self.cluster().platform();
        let wanted = (self.prefetch > 0).then_some(u32::from(self.prefetch))?;
        let wanted = wanted + u32::from(platform.sabotaged(Sabotage::PrefetchPlusOne));
        (!platform.sabotaged(Sabotage::PrefetchIgnored)).then_some(wanted)
    }

    /// The client's tag for a new consumer, or one made up for it.
    fn consumer_tag(&self, wanted: &str) -> Result<String, AmqpError> {
        if wanted.is_empty() {
            let platform = self.cluster().platform();
            return Ok(format!("amq.ctag-{:016x}{:016x}", platform.random(), platform.random()));
        }
        if self.consumers.values().any(|consumer| consumer.tag == wanted) {
            let text = format!("attempt to reuse consumer tag '{wanted}'");
            return Err(AmqpError::new(ReplyCode::NotAllowed, text));
        }
        Ok(wanted.to_owned())
    }

    fn tag_for(&mut self, group: GroupId, delivery: &Delivery, acks: Acks, consumer: Option<u64>) -> u64 {
        let tag = match acks {
            Acks::Manual => self.unacked.hold(group, delivery.number, consumer),
            Acks::Automatic => self.unacked.next_tag(),
        };
        let (message, channel, count) = (delivery.number.0, self.parts.id, delivery.delivery_count);
        self.cluster().platform().observe(Observation::Delivered { group, message, channel, count, tag });
        tag
    }

    fn is_redelivered(&self, delivery: &Delivery) -> bool {
        delivery.redelivered && !self.cluster().platform().sabotaged(Sabotage::RedeliverWithoutFlag)
    }

    fn send_content(&self, method: Basic, delivery: &Delivery) {
        let properties = properties_of(delivery);
        let method = AMQPClass::Basic(method);
        self.parts.outgoing.content(self.parts.number, &method, &properties, &delivery.message.body);
    }
}

fn attachment(channel: u64, id: u64, consumer: &Consumer, prefetch: Option<u32>) -> Operation {
    Operation::Attach { channel, consumer: id, prefetch, acks: consumer.acks }
}

/// Attaches a consumer again with the credit that its client has left.
fn restore_credit<P: Platform>(
    cluster: &Cluster<P>,
    channel: u64,
    id: u64,
    consumer: &mut Consumer,
    unacked: &Unacked,
) {
    let forgotten = cluster.platform().sabotaged(Sabotage::RevokedCredit);
    let revoked = if forgotten { 0 } else { unacked.revoked_of(id) };
    let left = consumer.prefetch.map(|prefetch| prefetch.saturating_sub(revoked));
    let credit = match left {
        Some(0) => Credit::Withheld,
        Some(left) if revoked > 0 => Credit::Reduced(left),
        _ => Credit::Full,
    };
    if credit == consumer.credit {
        return;
    }
    if let Credit::Reduced(_) = consumer.credit {
        // A consumer's prefetch is set when it is attached; what it holds counts against the new one.
        cluster.submit(consumer.group, Operation::Cancel { channel, consumer: id });
    }
    consumer.credit = credit;
    cluster.submit(consumer.group, attachment(channel, id, consumer, left));
}

fn acks(no_ack: bool) -> Acks {
    if no_ack { Acks::Automatic } else { Acks::Manual }
}

/// The publisher's properties, with the delivery count if there is one.
fn properties_of(delivery: &Delivery) -> Bytes {
    let properties = &delivery.message.properties;
    if delivery.delivery_count == 0 {
        return properties.clone();
    }
    let Ok(parsed) = codec::decode_properties(properties) else {
        // Checked when the message was published; if it cannot be read now, it goes out as it came in.
        return properties.clone();
    };
    let mut headers = parsed.headers().clone().unwrap_or_else(FieldTable::default);
    headers.insert(DELIVERY_COUNT_HEADER.into(), AMQPValue::LongLongInt(delivery.delivery_count.into()));
    codec::encode_properties(&parsed.with_headers(headers))
}

/// Names that reached a queue came in as short strings.
fn short(name: &str) -> ShortString {
    ShortString::try_new(name).unwrap_or_default()
}
