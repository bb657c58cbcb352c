//! An exchange: how it chooses among its bindings.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

use super::Refusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// To queues bound with exactly the message's routing key.
    Direct,
    /// To every bound queue.
    Fanout,
}

impl ExchangeKind {
    /// # Errors
    /// 503 for a type that does not exist here, saying which do.
    pub fn from_name(name: &str) -> Result<Self, Refusal> {
        match name {
            "direct" => Ok(Self::Direct),
            "fanout" => Ok(Self::Fanout),
            other => Err(Refusal::command_invalid(format!(
                "unknown exchange type '{other}': this broker supports 'direct' and 'fanout'"
            ))),
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
        })
    }
}

/// What a declaration says about an exchange. All metadata is replicated and durable; the flag is kept so that a
/// redeclaration can be compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeSpec {
    pub kind: ExchangeKind,
    pub durable: bool,
    /// The exchange goes when its last binding goes.
    pub auto_delete: bool,
}

impl ExchangeSpec {
    /// # Errors
    /// 406 for the first difference, in RabbitMQ's words.
    pub fn equivalent(&self, name: &str, current: &Self) -> Result<(), Refusal> {
        if self.kind != current.kind {
            return Err(Refusal::inequivalent("type", "exchange", name, self.kind, current.kind));
        }
        if self.durable != current.durable {
            return Err(Refusal::inequivalent("durable", "exchange", name, self.durable, current.durable));
        }
        if self.auto_delete != current.auto_delete {
            return Err(Refusal::inequivalent("auto_delete", "exchange", name, self.auto_delete, current.auto_delete));
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub spec: ExchangeSpec,
    /// Routing key → names of the queues bound with it; no key has an empty set.
    pub bindings: BTreeMap<String, BTreeSet<String>>,
}

impl Exchange {
    pub(super) fn new(spec: ExchangeSpec) -> Self {
        Self { spec, bindings: BTreeMap::new() }
    }

    pub(super) fn bind(&mut self, routing_key: &str, queue: &str) {
        self.bindings.entry(routing_key.to_owned()).or_default().insert(queue.to_owned());
    }

    /// Whether there was such a binding.
    pub(super) fn unbind(&mut self, routing_key: &str, queue: &str) -> bool {
        let Some(queues) = self.bindings.get_mut(routing_key) else { return false };
        let removed = queues.remove(queue);
        if queues.is_empty() {
            self.bindings.remove(routing_key);
        }
        removed
    }

    /// Removes all bindings to `queue`; whether there were any.
    pub(super) fn unbind_queue(&mut self, queue: &str) -> bool {
        let mut removed = false;
        self.bindings.retain(|_, queues| {
            removed |= queues.remove(queue);
            !queues.is_empty()
        });
        removed
    }

    /// Names of the queues that a message with `routing_key` goes to, each once.
    pub(super) fn matching<'a>(&'a self, routing_key: &str) -> BTreeSet<&'a str> {
        match self.spec.kind {
            ExchangeKind::Direct => self.bindings.get(routing_key).into_iter().flatten().map(String::as_str).collect(),
            ExchangeKind::Fanout => self.bindings.values().flatten().map(String::as_str).collect(),
        }
    }
}
