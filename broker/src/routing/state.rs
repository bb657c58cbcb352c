//! The metadata itself, and how commands change it.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Exchange, ExchangeKind, ExchangeSpec, MetaCommand, MetaEffect, MetaOperation, MetaOutcome, Placement, QueueRecord,
    QueueSpec, Refusal,
};
use crate::{
    platform::{GroupId, NodeId},
    session::{Admission, Session, Sessions},
};

/// The first group id that a queue can have: the metadata group comes before it.
const FIRST_QUEUE_GROUP: u64 = GroupId::META.0 + 1;

/// Exchanges, queues and bindings of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaState {
    exchanges: BTreeMap<String, Exchange>,
    queues: BTreeMap<String, QueueRecord>,
    /// The group that the next queue gets; ids are never reused.
    next_group: u64,
    sessions: Sessions,
    /// The nodes of the cluster; those that joined later with the address where they await the others.
    members: BTreeMap<NodeId, Option<String>>,
    /// Nodes that were members once.
    removed: BTreeSet<NodeId>,
}

/// A snapshot that is none.
#[derive(Debug, thiserror::Error)]
#[error("metadata snapshot does not decode: {0}")]
pub struct RestoreError(#[from] postcard::Error);

impl Default for MetaState {
    fn default() -> Self {
        let predeclared = |kind| Exchange::new(ExchangeSpec { kind, durable: true, auto_delete: false });
        Self {
            exchanges: BTreeMap::from([
                ("amq.direct".to_owned(), predeclared(ExchangeKind::Direct)),
                ("amq.fanout".to_owned(), predeclared(ExchangeKind::Fanout)),
            ]),
            queues: BTreeMap::new(),
            next_group: FIRST_QUEUE_GROUP,
            sessions: Sessions::default(),
            members: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }
}

impl MetaState {
    /// The metadata of a cluster that these nodes begin.
    pub fn founded_by(founders: impl IntoIterator<Item = NodeId>) -> Self {
        let members = founders.into_iter().map(|node| (node, None)).collect();
        Self { members, ..Self::default() }
    }

    /// The nodes of the cluster, sorted.
    pub fn members(&self) -> impl Iterator<Item = NodeId> {
        self.members.keys().copied()
    }

    /// The nodes that joined after the beginning, and where they await the others.
    pub fn joined(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.members.iter().filter_map(|(node, address)| Some((*node, address.as_deref()?)))
    }

    /// The nodes that were taken out of the cluster.
    pub fn removed(&self) -> &BTreeSet<NodeId> {
        &self.removed
    }

    /// Applies one log entry. Operations that were applied before, that come from a node's earlier life, or that would
    /// leave a gap are skipped: their node resends what is missing, in order.
    pub fn apply(&mut self, command: &MetaCommand) -> Vec<MetaEffect> {
        let MetaCommand { session, first, operations } = command;
        let Admission::Apply { skip, superseded: _ } = self.sessions.admit(*session, *first, operations.len()) else {
            return Vec::new();
        };
        let mut effects = Vec::new();
        for (sequence, operation) in (*first..).zip(operations).skip(skip) {
            let outcome = self.change(operation, &mut effects).unwrap_or_else(MetaOutcome::Refused);
            effects.push(MetaEffect::Outcome { session: *session, sequence, outcome });
        }
        effects
    }

    /// The groups that a message published to `exchange` with `routing_key` goes to, each once; `None` if there is no
    /// such exchange. The default exchange, named "", routes to the queue that the key names.
    pub fn route(&self, exchange: &str, routing_key: &str) -> Option<Vec<GroupId>> {
        if exchange.is_empty() {
            return Some(self.queues.get(routing_key).map(|queue| queue.group).into_iter().collect());
        }
        let exchange = self.exchanges.get(exchange)?;
        Some(
            exchange
                .matching(routing_key)
                .into_iter()
                .filter_map(|name| self.queues.get(name))
                .map(|q| q.group)
                .collect(),
        )
    }

    pub fn queue(&self, name: &str) -> Option<&QueueRecord> {
        self.queues.get(name)
    }

    /// All queues by name.
    pub fn queues(&self) -> impl Iterator<Item = (&str, &QueueRecord)> {
        self.queues.iter().map(|(name, queue)| (name.as_str(), queue))
    }

    /// A declared exchange; the default one is not among them.
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.get(name)
    }

    /// The number of the last operation applied for `session`; 0 when it is not its node's current session.
    pub fn last_applied(&self, session: Session) -> u64 {
        self.sessions.applied(session).unwrap_or(0)
    }

    /// A hash of the whole state: equal on all replicas at the same applied index.
    pub fn state_hash(&self) -> u64 {
        xxh3_64(&self.snapshot())
    }

    pub fn snapshot(&self) -> Bytes {
        postcard::to_stdvec(self).expect("maps, strings and integers always encode").into()
    }

    /// # Errors
    /// If `snapshot` was not made by [`Self::snapshot`].
    pub fn restore(snapshot: &[u8]) -> Result<Self, RestoreError> {
        Ok(postcard::from_bytes(snapshot)?)
    }

    fn change(&mut self, operation: &MetaOperation, effects: &mut Vec<MetaEffect>) -> Result<MetaOutcome, Refusal> {
        match operation {
            MetaOperation::Start | MetaOperation::Barrier => Ok(MetaOutcome::Done),
            MetaOperation::DeclareExchange { name, spec } => self.declare_exchange(name, *spec),
            MetaOperation::DeleteExchange { name, if_unused } => self.delete_exchange(name, *if_unused),
            MetaOperation::DeclareQueue { name, spec, placement } => self.declare_queue(name, spec, placement, effects),
            MetaOperation::DeleteQueue { name, group } => Ok(self.delete_queue(name, *group, effects)),
            MetaOperation::Bind { exchange, queue, routing_key } => self.bind(exchange, queue, routing_key),
            MetaOperation::Unbind { exchange, queue, routing_key } => self.unbind(exchange, queue, routing_key),
            MetaOperation::AddMember { node, address } => self.add_member(*node, address, effects),
            MetaOperation::RemoveMember { node } => self.remove_member(*node),
        }
    }

    fn declare_exchange(&mut self, name: &str, spec: ExchangeSpec) -> Result<MetaOutcome, Refusal> {
        refuse_default_exchange(name)?;
        if let Some(current) = self.exchanges.get(name) {
            spec.equivalent(name, &current.spec)?;
            return Ok(MetaOutcome::Done);
        }
        refuse_reserved("exchange", name)?;
        self.exchanges.insert(name.to_owned(), Exchange::new(spec));
        Ok(MetaOutcome::Done)
    }

    fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Result<MetaOutcome, Refusal> {
        refuse_default_exchange(name)?;
        refuse_reserved("exchange", name)?;
        if if_unused && self.exchanges.get(name).is_some_and(|exchange| !exchange.bindings.is_empty()) {
            return Err(Refusal::precondition_failed(format!("exchange '{name}' in vhost '/' in use")));
        }
        self.exchanges.remove(name);
        Ok(MetaOutcome::Done)
    }

    fn declare_queue(
        &mut self,
        name: &str,
        spec: &QueueSpec,
        placement: &Placement,
        effects: &mut Vec<MetaEffect>,
    ) -> Result<MetaOutcome, Refusal> {
        if let Some(current) = self.queues.get(name) {
            spec.equivalent(name, &current.spec)?;
            return Ok(MetaOutcome::Queue { group: current.group, created: false });
        }
        let group = GroupId(self.next_group);
        self.next_group += 1;
        // Whoever chose it may not know yet who was removed.
        let placement = placement.without(&self.removed);
        let record = QueueRecord { group, spec: spec.clone(), placement: placement.clone() };
        self.queues.insert(name.to_owned(), record);
        effects.push(MetaEffect::QueueCreated {
            group,
            name: name.to_owned(),
            voters: placement.voters,
            learners: placement.learners,
        });
        Ok(MetaOutcome::Queue { group, created: true })
    }

    fn delete_queue(&mut self, name: &str, group: GroupId, effects: &mut Vec<MetaEffect>) -> MetaOutcome {
        if self.queues.get(name).is_some_and(|queue| queue.group == group) {
            self.queues.remove(name);
            self.exchanges.retain(|_, exchange| {
                let unbound = exchange.unbind_queue(name);
                !(unbound && exchange.spec.auto_delete && exchange.bindings.is_empty())
            });
            effects.push(MetaEffect::QueueDeleted { group });
        }
        MetaOutcome::Done
    }

    fn add_member(
        &mut self,
        node: NodeId,
        address: &str,
        effects: &mut Vec<MetaEffect>,
    ) -> Result<MetaOutcome, Refusal> {
        if self.removed.contains(&node) {
            let text = format!("{node} was removed from the cluster: let it join under a new number");
            return Err(Refusal::precondition_failed(text));
        }
        if let Entry::Vacant(slot) = self.members.entry(node) {
            slot.insert(Some(address.to_owned()));
            effects.push(MetaEffect::MemberAdded { node, address: address.to_owned() });
        }
        Ok(MetaOutcome::Done)
    }

    fn remove_member(&mut self, node: NodeId) -> Result<MetaOutcome, Refusal> {
        if self.removed.contains(&node) {
            return Ok(MetaOutcome::Done);
        }
        if !self.members.contains_key(&node) {
            return Err(Refusal::precondition_failed(format!("{node} is no member of the cluster")));
        }
        if self.members.len() == 1 {
            return Err(Refusal::precondition_failed(format!("{node} is the last member of the cluster")));
        }
        self.members.remove(&node);
        self.removed.insert(node);
        Ok(MetaOutcome::Done)
    }

    fn bind(&mut self, exchange: &str, queue: &str, routing_key: &str) -> Result<MetaOutcome, Refusal> {
        refuse_default_exchange(exchange)?;
        let Some(target) = self.exchanges.get_mut(exchange) else { return Err(Refusal::no_exchange(exchange)) };
        if !self.queues.contains_key(queue) {
            return Err(Refusal::no_queue(queue));
        }
        target.bind(routing_key, queue);
        Ok(MetaOutcome::Done)
    }

    /// Removing what does not exist is fine, as in RabbitMQ.
    fn unbind(&mut self, exchange: &str, queue: &str, routing_key: &str) -> Result<MetaOutcome, Refusal> {
        refuse_default_exchange(exchange)?;
        if let Some(target) = self.exchanges.get_mut(exchange) {
            let removed = target.unbind(routing_key, queue);
            if removed && target.spec.auto_delete && target.bindings.is_empty() {
                self.exchanges.remove(exchange);
            }
        }
        Ok(MetaOutcome::Done)
    }
}

fn refuse_default_exchange(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(Refusal::access_refused("operation not permitted on the default exchange"));
    }
    Ok(())
}

/// Names that begin with `amq.` belong to the broker (AMQP 0-9-1, exchange.declare and queue.declare).
fn refuse_reserved(what: &str, name: &str) -> Result<(), Refusal> {
    if name.starts_with("amq.") {
        return Err(Refusal::access_refused(format!("{what} name '{name}' contains reserved prefix 'amq.*'")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
