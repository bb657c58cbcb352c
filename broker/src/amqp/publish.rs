//! `basic.publish`: checks, routing, submission, and the return of what cannot be routed.

use amq_protocol::protocol::{
    AMQPClass,
    basic::{self, Publish},
};

use super::{
    channel::Channel,
    content::Content,
    error::{AmqpError, ReplyCode},
};
use crate::{
    platform::{Platform, Sabotage},
    queue::{Message, Operation},
    routing::Refusal,
};

/// Bytes submitted to a queue and not yet applied here, beyond which its publishers are stopped…
const BACKLOG_MAX: usize = 8 << 20;
/// …until there are no more than this.
pub(super) const BACKLOG_RESUME: usize = BACKLOG_MAX / 2;

impl<P: Platform> Channel<P> {
    pub(super) fn publish(&mut self, publish: &Publish, mut content: Content) -> Result<(), AmqpError> {
        if publish.immediate {
            return Err(AmqpError::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        if let Some(claimed) = content.user_id.as_ref().filter(|claimed| **claimed != self.parts.user) {
            let user = &self.parts.user;
            let text = format!("user_id property set to '{claimed}' but authenticated user was '{user}'");
            return Err(AmqpError::new(ReplyCode::PreconditionFailed, text));
        }
        let (exchange, routing_key) = (publish.exchange.as_str(), publish.routing_key.as_str());
        let Some(mut groups) = self.cluster().meta().route(exchange, routing_key) else {
            return Err(Refusal::no_exchange(exchange).into());
        };
        let platform = self.cluster().platform();
        if platform.sabotaged(Sabotage::RouteAroundLeaderless) {
            groups.retain(|group| self.cluster().has_leader(*group));
        }
        if platform.sabotaged(Sabotage::PublishToAll) && platform.random().is_multiple_of(50) {
            groups = self.cluster().meta().queues().map(|(_, queue)| queue.group).collect();
        }
        if platform.sabotaged(Sabotage::TruncateBody) {
            content.body.truncate(1000);
        }
        if groups.is_empty() && publish.mandatory {
            // Before its confirm, as the client expects.
            self.give_back(publish, &content);
        }
        let message = Message {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            properties: content.properties,
            body: content.body,
        };
        let mut operations = Vec::with_capacity(groups.len());
        for group in groups {
            let operation = Operation::Publish { channel: self.parts.id, message: message.clone() };
            let sequence = self.cluster().submit(group, operation);
            if sequence == 0 {
                // Deleted this moment: the queue no longer counts.
                continue;
            }
            operations.push((group, sequence));
            if self.cluster().backlog_bytes(group) > BACKLOG_MAX {
                self.backlogged = Some(group);
            }
        }
        if let Some(confirms) = &mut self.confirms {
            confirms.published(operations);
        }
        Ok(())
    }

    fn give_back(&self, publish: &Publish, content: &Content) {
        let returned = basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: publish.exchange.clone(),
            routing_key: publish.routing_key.clone(),
        };
        let returned = AMQPClass::Basic(basic::AMQPMethod::Return(returned));
        self.parts.outgoing.content(self.parts.number, &returned, &content.properties, &content.body);
    }
}
