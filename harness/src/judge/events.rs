//! From events (an operation is invoked, an operation is completed) to operations.
//!
//! Time is the number of the event: the order of events is all that such a history says. A process does one thing at
//! a time, so a completion belongs to what its process invoked last. What is never completed stays unknown.

use std::{collections::BTreeMap, ops::Range};

use serde_json::Value;

use super::{
    history::{Format, History, Names, Operation, Outcome, Verb, plain},
    mistakes::Mistakes,
};
use crate::scenario::suggestion;

/// One line or map of a history.
pub(super) struct Event {
    pub process: String,
    pub kind: Kind,
    pub verb: Verb,
    pub value: Value,
    pub key: Option<Value>,
    pub span: Range<usize>,
    pub line: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Invoke,
    Ok,
    Fail,
    Info,
}

impl Kind {
    const NAMES: [&'static str; 4] = ["invoke", "ok", "fail", "info"];

    pub fn from_name(name: &str) -> Result<Self, String> {
        match name {
            "invoke" => Ok(Self::Invoke),
            "ok" => Ok(Self::Ok),
            "fail" => Ok(Self::Fail),
            "info" => Ok(Self::Info),
            _ => Err(suggestion(name, &Self::NAMES)),
        }
    }
}

#[derive(Default)]
pub(super) struct Events {
    operations: Vec<Operation>,
    processes: Names,
    keys: Names,
    /// Per process: the operation that it has under way.
    under_way: BTreeMap<u32, usize>,
    count: u64,
    /// What every invocation carried is a pair, `[key value]`, and at least one said so clearly.
    pairs: Pairs,
    /// A compare-and-set that "fails" with its values has found another one, rather than "had no effect".
    pub refusals: bool,
    /// What was no event of a client.
    pub skipped: usize,
}

#[derive(Default)]
struct Pairs {
    broken: bool,
    clear: bool,
}

impl Events {
    pub fn add(&mut self, event: Event, mistakes: &mut Mistakes) {
        let Event { process, kind, verb, value, key, span, line } = event;
        let process_name = process;
        let process = self.processes.number(&process_name);
        let at = self.count;
        self.count += 1;
        if kind == Kind::Invoke {
            self.pairs.see(verb, &value);
            let key = key.map(|key| self.keys.number(&plain(&key)));
            if let Some(&other) = self.under_way.get(&process) {
                let line = self.operations[other].lines.0;
                let message = format!("process {process_name} is still busy with what it invoked at line {line}");
                let help = "a process does one thing at a time; after an :info it may go on under a new number";
                mistakes.add(span, message, "invoked too early", help);
                return;
            }
            self.under_way.insert(process, self.operations.len());
            self.operations.push(Operation {
                process,
                key,
                verb,
                value,
                refused: false,
                start: at,
                end: None,
                outcome: Outcome::Unknown,
                span,
                lines: (line, line),
            });
            return;
        }
        let Some(index) = self.under_way.remove(&process) else {
            let message = format!("process {process_name} completes what it has not invoked");
            mistakes.add(span, message, "nothing is under way", "is the beginning of the history missing?");
            return;
        };
        let operation = &mut self.operations[index];
        if operation.verb != verb {
            let message =
                format!("process {process_name} completes {}, but invoked {}", verb.name(), operation.verb.name());
            mistakes.add(span, message, "another operation", "");
            return;
        }
        operation.lines.1 = line;
        operation.outcome = match kind {
            // What timed out says so in place of the two values.
            Kind::Fail
                if self.refusals && verb == Verb::Cas && value.as_array().is_some_and(|pair| pair.len() == 2) =>
            {
                operation.refused = true;
                Outcome::Ok
            }
            Kind::Fail => Outcome::Failed,
            Kind::Info | Kind::Invoke => return,
            Kind::Ok => {
                if !value.is_null() {
                    operation.value = value;
                }
                operation.span = span;
                Outcome::Ok
            }
        };
        operation.end = Some(at);
    }

    pub fn finish(mut self, format: Format) -> History {
        if self.pairs.clear && !self.pairs.broken {
            for operation in &mut self.operations {
                let Value::Array(pair) = &mut operation.value else { continue };
                let value = pair.pop().unwrap_or_default();
                operation.key = pair.pop().map(|key| self.keys.number(&plain(&key)));
                operation.value = value;
            }
        }
        History {
            format,
            operations: self.operations,
            processes: self.processes.names,
            keys: self.keys.names,
            model: None,
            other_kinds: Vec::new(),
            skipped: self.skipped,
        }
    }
}

impl Pairs {
    /// What `jepsen.independent` makes of values: `[key value]`. A compare-and-set's own value is a pair already.
    fn see(&mut self, verb: Verb, value: &Value) {
        let pair = value.as_array().filter(|items| items.len() == 2);
        match (verb, pair) {
            (Verb::Txn, _) | (_, None) => self.broken = true,
            (Verb::Cas, Some(pair)) => match pair[1].as_array() {
                Some(inner) if inner.len() == 2 => self.clear = true,
                _ => self.broken = true,
            },
            (_, Some(pair)) => self.clear |= pair[1].is_null(),
        }
    }
}
