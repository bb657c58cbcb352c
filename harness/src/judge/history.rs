//! A recorded history, whichever format it came in.

use std::ops::Range;

use serde_json::Value;

use super::{edn, jsonl};

/// Operations of concurrent processes on one or more objects.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub format: Format,
    pub operations: Vec<Operation>,
    /// Names, indexed by [`Operation::process`].
    pub processes: Vec<String>,
    /// Names of objects, indexed by [`Operation::key`].
    pub keys: Vec<String>,
    /// The model that the history names itself.
    pub model: Option<ModelKind>,
    /// Lines that name another model, and where.
    pub other_kinds: Vec<(ModelKind, Range<usize>)>,
    /// Lines and events that are no operations of a client, and were left out.
    pub skipped: usize,
}

/// One operation, from its invocation to its completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub process: u32,
    /// Which object, if the history has several.
    pub key: Option<u32>,
    pub verb: Verb,
    /// What went in; what came out, for operations that return something.
    pub value: Value,
    /// A compare-and-set that found another value, and said so.
    pub refused: bool,
    /// In the history's unit of time, or the number of the event if it has none.
    pub start: u64,
    /// `None` if the outcome is unknown: it may take effect at any later time.
    pub end: Option<u64>,
    pub outcome: Outcome,
    /// The bytes of the file that tell most about it.
    pub span: Range<usize>,
    /// From 1: where it was invoked, and where it was completed.
    pub lines: (u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect.
    Ok,
    /// It had no effect.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// How a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per operation and line.
    Jsonl,
    /// Jepsen's history: a map per event.
    JepsenEdn,
    /// The logs among Porcupine's test data: lines of a Jepsen log, or maps with a key each.
    Porcupine,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Jsonl, Self::JepsenEdn, Self::Porcupine];

    pub fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::JepsenEdn => "jepsen-edn",
            Self::Porcupine => "porcupine",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// What times count.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Jsonl => "time",
            Self::JepsenEdn | Self::Porcupine => "event",
        }
    }
}

/// A sequential object to compare a history with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    Queue,
    Register,
    CasRegister,
    MultiRegister,
    Mutex,
    KeyValue,
}

impl ModelKind {
    pub const ALL: [Self; 6] =
        [Self::Queue, Self::Register, Self::CasRegister, Self::MultiRegister, Self::Mutex, Self::KeyValue];

    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Register => "register",
            Self::CasRegister => "cas-register",
            Self::MultiRegister => "multi-register",
            Self::Mutex => "mutex",
            Self::KeyValue => "key-value",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }

    /// The operations that it has.
    pub fn verbs(self) -> &'static [Verb] {
        use Verb::*;
        match self {
            Self::Queue => &[Enqueue, Dequeue, Drain],
            Self::Register => &[Read, Write],
            Self::CasRegister => &[Read, Write, Cas],
            Self::MultiRegister => &[Txn],
            Self::Mutex => &[Acquire, Release],
            Self::KeyValue => &[Get, Put, Append, Delete, Cas, Read, Write],
        }
    }

    /// Whether it holds something from the beginning that can be chosen.
    pub fn has_initial(self) -> bool {
        !matches!(self, Self::Queue | Self::Mutex)
    }

    /// The simplest model that has all of `operations`' verbs, or else one that has the first.
    pub(super) fn infer(operations: &[Operation]) -> Self {
        let order = [Self::Register, Self::CasRegister, Self::KeyValue, Self::Queue, Self::Mutex, Self::MultiRegister];
        let fits = |model: &Self| operations.iter().all(|operation| model.verbs().contains(&operation.verb));
        let has_first = |model: &Self| operations.first().is_none_or(|first| model.verbs().contains(&first.verb));
        order.into_iter().find(fits).or_else(|| order.into_iter().find(has_first)).unwrap_or(Self::Register)
    }
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Read,
    Write,
    Cas,
    Get,
    Put,
    Append,
    Delete,
    Enqueue,
    Dequeue,
    /// Dequeues until the queue is empty.
    Drain,
    Acquire,
    Release,
    /// Reads and writes of several registers at once.
    Txn,
}

impl Verb {
    pub const ALL: [Self; 13] = [
        Self::Read,
        Self::Write,
        Self::Cas,
        Self::Get,
        Self::Put,
        Self::Append,
        Self::Delete,
        Self::Enqueue,
        Self::Dequeue,
        Self::Drain,
        Self::Acquire,
        Self::Release,
        Self::Txn,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Cas => "cas",
            Self::Get => "get",
            Self::Put => "put",
            Self::Append => "append",
            Self::Delete => "delete",
            Self::Enqueue => "enqueue",
            Self::Dequeue => "dequeue",
            Self::Drain => "drain",
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::Txn => "txn",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// Whether its value is what goes in.
    pub(super) fn takes(self) -> bool {
        matches!(self, Self::Write | Self::Cas | Self::Put | Self::Append | Self::Enqueue | Self::Txn)
    }

    /// Whether its value is what came out.
    pub(super) fn returns(self) -> bool {
        matches!(self, Self::Read | Self::Get | Self::Dequeue | Self::Drain)
    }
}

impl History {
    /// What to compare it with: what was asked for, what it says, or else the simplest model that has its operations.
    pub fn model(&self, asked: Option<ModelKind>) -> ModelKind {
        asked.or(self.model).unwrap_or_else(|| ModelKind::infer(&self.operations))
    }

    /// Per operation that its process began while another of its own was under way: it, and the other one.
    ///
    /// After an operation of unknown outcome a process may go on.
    pub(super) fn overlaps(&self) -> Vec<(usize, usize)> {
        let mut order: Vec<usize> = (0..self.operations.len()).collect();
        // Of what begins at one time, what ends first has come first: clocks may be coarse.
        order.sort_by_key(|&index| {
            let Operation { process, start, end, .. } = self.operations[index];
            (process, start, end.unwrap_or(start), index)
        });
        let mut overlaps = Vec::new();
        let mut busy: Option<usize> = None;
        for index in order {
            let Operation { process, start, end, .. } = self.operations[index];
            let until = |other: usize| self.operations[other].end;
            let other = busy.filter(|&other| self.operations[other].process == process);
            overlaps.extend(other.filter(|&other| until(other) > Some(start)).map(|other| (index, other)));
            if end.is_some() && other.is_none_or(|other| until(other) < end) {
                busy = Some(index);
            } else {
                busy = other;
            }
        }
        overlaps
    }

    /// An operation as a person writes it: `read → 3`, `write 3 (unknown)`.
    pub fn describe(&self, index: usize) -> String {
        let operation = &self.operations[index];
        let (name, value) = (operation.verb.name(), &operation.value);
        let mut text = match (operation.verb, operation.outcome) {
            (verb, Outcome::Unknown | Outcome::Failed) if verb.returns() => name.to_owned(),
            (Verb::Dequeue, _) if value.is_null() => format!("{name} → empty"),
            (verb, _) if verb.returns() => format!("{name} → {value}"),
            (Verb::Acquire | Verb::Release | Verb::Delete, _) => name.to_owned(),
            (Verb::Cas, outcome) => {
                let (from, to) = (&value[0], &value[1]);
                let answer = if outcome != Outcome::Ok {
                    ""
                } else if operation.refused {
                    ", refused"
                } else {
                    ", done"
                };
                format!("{name} from {from} to {to}{answer}")
            }
            _ => format!("{name} {value}"),
        };
        if let Some(key) = operation.key {
            text = format!("{} {text}", self.keys[key as usize]);
        }
        match operation.outcome {
            Outcome::Ok => text,
            Outcome::Failed => text + " (failed)",
            Outcome::Unknown => text + " (unknown)",
        }
    }

    /// From when to when: `time 10 to 25`, `event 3 to the end`.
    pub fn when(&self, index: usize) -> String {
        let operation = &self.operations[index];
        let unit = self.format.unit();
        match operation.end {
            Some(end) => format!("{unit} {} to {end}", operation.start),
            None => format!("{unit} {} on", operation.start),
        }
    }

    /// Where it stands: `line 3`, `lines 3 and 8`.
    pub fn lines(&self, index: usize) -> String {
        let (from, to) = self.operations[index].lines;
        if from == to { format!("line {from}") } else { format!("lines {from} and {to}") }
    }

    /// The bytes of `text` in which an operation's value stands, or all of the operation.
    pub(super) fn value_span(&self, text: &str, index: usize) -> Range<usize> {
        self.field_span(text, index, "value", "value")
    }

    /// The bytes of `text` in which an operation's name stands, or all of the operation.
    pub(super) fn verb_span(&self, text: &str, index: usize) -> Range<usize> {
        self.field_span(text, index, "operation", "f")
    }

    /// `json` and `edn`: what the field is called.
    fn field_span(&self, text: &str, index: usize, json: &str, edn: &str) -> Range<usize> {
        let span = self.operations[index].span.clone();
        let Some(operation) = text.get(span.clone()) else { return span };
        let inner = match self.format {
            Format::Jsonl => jsonl::field(operation, json).map(|(_, value)| value),
            Format::JepsenEdn | Format::Porcupine => edn::field(operation, edn),
        };
        inner.map_or(span.clone(), |inner| span.start + inner.start..span.start + inner.end)
    }
}

/// Numbers names in the order in which they first come.
#[derive(Default)]
pub(super) struct Names {
    numbers: std::collections::BTreeMap<String, u32>,
    pub names: Vec<String>,
}

impl Names {
    pub fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.numbers.insert(name.to_owned(), number);
        self.names.push(name.to_owned());
        number
    }
}

/// A value as a name: text without its quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
