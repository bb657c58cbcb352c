//! `basic.publish`: checks, routing, submission, and the return of what cannot be routed.

use amq_protocol::protocol::{
    AMQPClass,
    basic::{self, Publish},
};

use super::{
    channel::Channel,
    content::{Content, Request},
    error::{AmqpError, ReplyCode},
};
use crate::{
    platform::{GroupId, Platform, Sabotage},
    queue::{Message, Operation},
    routing::Refusal,
};

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
            if self.cluster().backlog_bytes(group) > self.parts.server.config.backlog_max {
                self.stop_for(group);
            }
        }
        if let Some(confirms) = &mut self.confirms {
            confirms.published(operations);
        }
        Ok(())
    }

    /// No request is taken until the queue has caught up.
    fn stop_for(&mut self, group: GroupId) {
        if self.backlogged.replace(group).is_none() {
            self.parts.blockade.stop();
        }
    }

    /// Takes requests again, if none were taken.
    pub(super) fn go_on(&mut self) {
        let stopped = self.backlogged.take().is_some();
        if stopped && !self.cluster().platform().sabotaged(Sabotage::UnblockedSwallowed) {
            self.parts.blockade.go_on();
        }
    }

    /// A planted bug: confirms what waits, up to a request that is no publish, and keeps nothing of it.
    pub(super) fn drop_waiting(&mut self) {
        while let Some(request) = self.parts.inbox.pop() {
            let Request::Publish(..) = request else {
                self.parts.inbox.put_back(request);
                return;
            };
            if let Some(confirms) = &mut self.confirms {
                confirms.published([]);
            }
        }
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
