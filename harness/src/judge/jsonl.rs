//! Ferret's own line format: one JSON object per operation and line, in any order. `ferret judge --help` documents it.

use std::{borrow::Cow, ops::Range};

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;

use super::{
    history::{Format, History, ModelKind, Names, Operation, Outcome, Verb, plain},
    mistakes::Mistakes,
    numbers,
};
use crate::scenario::suggestion;

const FIELDS: [&str; 10] =
    ["process", "kind", "key", "operation", "value", "result", "start", "end", "outcome", "note"];
const EXAMPLE: &str =
    r#"{"process": 1, "kind": "register", "operation": "write", "value": 3, "start": 10, "end": 25, "outcome": "ok"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'t> {
    process: Value,
    #[serde(borrow, default)]
    kind: Option<Cow<'t, str>>,
    #[serde(default, deserialize_with = "present")]
    key: Option<Value>,
    #[serde(borrow)]
    operation: Cow<'t, str>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
    #[serde(default)]
    result: Option<bool>,
    start: u64,
    #[serde(default)]
    end: Option<u64>,
    #[serde(borrow)]
    outcome: Cow<'t, str>,
    #[serde(default, rename = "note")]
    _note: IgnoredAny,
}

/// Tells `null`, which says something, from a field that is not there.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

pub(super) fn read(text: &str, mistakes: &mut Mistakes) -> History {
    let mut history = History {
        format: Format::Jsonl,
        operations: Vec::new(),
        processes: Vec::new(),
        keys: Vec::new(),
        model: None,
        other_kinds: Vec::new(),
        skipped: 0,
    };
    let (mut processes, mut keys) = (Names::default(), Keys::default());
    let mut offset = 0;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if mistakes.are_enough() {
            break;
        }
        let span = offset..offset + line.trim_end().len();
        offset += line.len();
        if line.trim().is_empty() {
            continue;
        }
        match operation(line, span.clone(), number, &mut history, &mut processes, &mut keys) {
            Ok(operation) => history.operations.push(operation),
            Err(Mistake { at, message, label, help }) => {
                let at = at.map_or(span.clone(), |at| span.start + at.start..span.start + at.end);
                mistakes.add(at, message, label, &help);
            }
        }
    }
    for span in keys.missing.into_iter().filter(|_| !keys.names.names.is_empty()) {
        if mistakes.are_enough() {
            break;
        }
        let help = "give its key, or \"key\": null if it has none";
        mistakes.add(span, "this line has no `key`, and others have one", "of which key?", help);
    }
    (history.processes, history.keys) = (processes.names, keys.names.names);
    history
}

/// What lines say about keys.
#[derive(Default)]
struct Keys {
    names: Names,
    /// The lines that say nothing.
    missing: Vec<Range<usize>>,
}

struct Mistake {
    /// Within the line; `None`: all of it.
    at: Option<Range<usize>>,
    message: String,
    label: String,
    help: String,
}

fn operation(
    text: &str,
    span: Range<usize>,
    number: u32,
    history: &mut History,
    processes: &mut Names,
    keys: &mut Keys,
) -> Result<Operation, Mistake> {
    check_numbers(text)?;
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| diagnose(text, &error))?;
    let at_value = |name: &str, message: String, label: &str, help: String| Mistake {
        at: field(text, name).map(|(_, value)| value),
        message,
        label: label.to_owned(),
        help,
    };
    let verb = Verb::from_name(&line.operation).ok_or_else(|| {
        let help = suggestion(&line.operation, &Verb::ALL.map(Verb::name));
        at_value("operation", format!("unknown operation `{}`", line.operation), "unknown operation", help)
    })?;
    if let Some(kind) = line.kind {
        let kind = ModelKind::from_name(&kind).ok_or_else(|| {
            let help = suggestion(&kind, &ModelKind::ALL.map(ModelKind::name));
            at_value("kind", format!("unknown kind `{kind}`"), "unknown kind", help)
        })?;
        let first = *history.model.get_or_insert(kind);
        if first != kind {
            let at = field(text, "kind").map_or(0..text.trim_end().len(), |(_, value)| value);
            history.other_kinds.push((kind, span.start + at.start..span.start + at.end));
        }
    }
    if line.result.is_some() && verb != Verb::Cas {
        let message = format!("`{}` has no result", verb.name());
        let help =
            "only a cas answers whether it found its value; what had no effect has the outcome `fail`".to_owned();
        return Err(at_value("result", message, "not of this operation", help));
    }
    let outcome = match &*line.outcome {
        "ok" => Outcome::Ok,
        "fail" => Outcome::Failed,
        "info" | "unknown" => Outcome::Unknown,
        other => {
            let help = suggestion(other, &["ok", "fail", "info", "unknown"]);
            return Err(at_value("outcome", format!("unknown outcome `{other}`"), "unknown outcome", help));
        }
    };
    let end = match (outcome, line.end) {
        (Outcome::Unknown, _) => None,
        (Outcome::Ok, None) => {
            let message = "an operation whose outcome is ok has no end".to_owned();
            let help = "give its end, or say that its outcome is unknown".to_owned();
            return Err(at_value("outcome", message, "ok since when?", help));
        }
        (_, end) => end,
    };
    if let Some(end) = end.filter(|end| *end < line.start) {
        let message = format!("an operation ends at {end}, before it starts at {}", line.start);
        return Err(at_value("end", message, "too early", "are start and end in one unit?".to_owned()));
    }
    let told = match outcome {
        Outcome::Ok => verb.takes() || verb.returns(),
        Outcome::Unknown => verb.takes(),
        Outcome::Failed => false,
    };
    if told && line.value.is_none() {
        let (message, help) = if verb.returns() {
            (format!("a `{}` that is ok has no value", verb.name()), "say what came out, \"value\": null for nothing")
        } else {
            (format!("a `{}` has no value", verb.name()), "say what went in, \"value\": null for nothing")
        };
        return Err(at_value("operation", message, "value?", help.to_owned()));
    }
    if line.key.is_none() {
        keys.missing.push(span.clone());
    }
    let key = line.key.filter(|key| !key.is_null()).map(|key| keys.names.number(&plain(&key)));
    Ok(Operation {
        process: processes.number(&plain(&line.process)),
        key,
        verb,
        value: line.value.unwrap_or_default(),
        refused: line.result == Some(false),
        start: line.start,
        end,
        outcome,
        span,
        lines: (number, number),
    })
}

/// Refuses numbers that two different ones might become.
fn check_numbers(text: &str) -> Result<(), Mistake> {
    if numbers::inexact(text).is_some() {
        for (name, at) in ["process", "key", "value"].into_iter().filter_map(|name| Some((name, field(text, name)?.1)))
        {
            if let Some(number) = numbers::inexact(&text[at.clone()]) {
                return Err(Mistake {
                    at: Some(at.start + number.start..at.start + number.end),
                    message: format!("`{name}`: {}", numbers::INEXACT),
                    label: "it would be rounded".to_owned(),
                    help: numbers::INEXACT_HELP.to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// What serde refused, said for people: the field rather than the type.
fn diagnose(text: &str, error: &serde_json::Error) -> Mistake {
    let plain = |at: Option<Range<usize>>, message: String, label: &str, help: String| Mistake {
        at,
        message,
        label: label.to_owned(),
        help,
    };
    let example = || format!("a line looks like this: {EXAMPLE}");
    let Ok(Value::Object(object)) = serde_json::from_str::<Value>(text) else {
        let line = text.trim_end();
        let at = error.column().saturating_sub(1).min(line.len());
        let at = (0..=at).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        let width = line[at..].chars().next().map_or(0, char::len_utf8);
        return plain(Some(at..at + width), "this line is no JSON object".to_owned(), "here", example());
    };
    if let Some(name) = object.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let at = field(text, name).map(|(key, _)| key);
        return plain(at, format!("unknown field `{name}`"), "unknown field", suggestion(name, &FIELDS));
    }
    if let Some(name) =
        ["process", "operation", "start", "outcome"].into_iter().find(|name| !object.contains_key(*name))
    {
        return plain(None, format!("an operation has no `{name}`"), "in this line", example());
    }
    let at = |name: &str| field(text, name).map(|(_, value)| value);
    for name in ["start", "end"] {
        if object.get(name).is_some_and(|value| !value.is_null() && !value.is_u64()) {
            let help = "a whole number from 0 on, in any unit: nanoseconds since the beginning, for example".to_owned();
            return plain(at(name), format!("`{name}` is no time"), "no whole number", help);
        }
    }
    for name in ["kind", "operation", "outcome"] {
        if object.get(name).is_some_and(|value| !value.is_string()) {
            return plain(at(name), format!("`{name}` is no text"), "not in quotes", example());
        }
    }
    plain(None, error.to_string(), "in this line", example())
}

/// Where a field of a JSON object stands: its key, and its value. `None` if it has none of that name.
pub(super) fn field(object: &str, name: &str) -> Option<(Range<usize>, Range<usize>)> {
    let bytes = object.as_bytes();
    let (mut depth, mut at) = (0_u32, 0);
    let mut key: Option<Range<usize>> = None;
    let mut begin = None;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let open = at;
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 1 && begin.is_none() {
                    key = Some(open..at + 1);
                }
            }
            b':' if depth == 1 && begin.is_none() => begin = Some(at + 1),
            b'{' | b'[' => depth += 1,
            end @ (b',' | b'}' | b']') => {
                if depth == 1
                    && let (Some(key), Some(begin)) = (key.clone(), begin.take())
                {
                    let value = object.get(begin..at)?;
                    let lead = value.len() - value.trim_start().len();
                    let named = object.get(key.clone()).and_then(|key| serde_json::from_str::<String>(key).ok());
                    if named.as_deref() == Some(name) {
                        return Some((key, begin + lead..begin + lead + value.trim().len()));
                    }
                }
                depth = depth.saturating_sub(u32::from(end != b','));
            }
            _ => {}
        }
        at += 1;
    }
    None
}
