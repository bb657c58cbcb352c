//! Jepsen's history: one map per event, all in one vector or one after the other.
//!
//! `:type` is `:invoke`, `:ok`, `:fail` (it had no effect) or `:info` (nobody knows), `:f` the operation, `:value` its
//! argument or result, `:process` a number. Events of processes with a keyword in place of a number (the nemesis) are
//! skipped and counted.
//! <https://github.com/jepsen-io/history> describes the structure.
//!
//! The maps with a `:key` among Porcupine's test data are the same, but that a missing value reads as `""`.

use std::ops::Range;

use serde_json::Value;

use super::{
    edn::{Entries, Reader, Wrong},
    events::{Event, Events, Kind},
    history::{Format, History, Verb},
    mistakes::Mistakes,
};
use crate::scenario::suggestion;

pub(super) fn read(text: &str, format: Format, mistakes: &mut Mistakes) -> History {
    let mut events = Events::default();
    let mut reader = Reader::new(text);
    if let Err(Wrong { span, message }) = read_maps(text, &mut reader, &mut events, mistakes) {
        mistakes.add(span, message, "here", "a history is a sequence of maps, such as {:type :invoke, :f :read, …}");
    }
    events.finish(format)
}

fn read_maps(text: &str, reader: &mut Reader<'_>, events: &mut Events, mistakes: &mut Mistakes) -> Result<(), Wrong> {
    let opened = match reader.peek()? {
        Some(open @ ('[' | '(')) => {
            reader.skip(open);
            Some((reader.position() - 1, if open == '[' { ']' } else { ')' }))
        }
        _ => None,
    };
    let (mut line, mut counted) = (1, 0);
    while !mistakes.are_enough() {
        match (reader.peek()?, opened) {
            (None, None) => break,
            (None, Some((open, _))) => {
                return Err(Wrong { span: open..open + 1, message: "this is never closed".to_owned() });
            }
            (Some(next), Some((_, close))) if next == close => {
                reader.skip(next);
                match reader.peek()? {
                    None => break,
                    Some(more) => {
                        let at = reader.position();
                        let message = "the history is closed, but the file goes on".to_owned();
                        return Err(Wrong { span: at..at + more.len_utf8(), message });
                    }
                }
            }
            _ => {}
        }
        let begin = reader.position();
        line += text[counted..begin].matches('\n').count() as u32;
        counted = begin;
        let Some(entries) = reader.map()? else { break };
        let span = begin..reader.position();
        match event(text, entries, span.clone(), line) {
            Ok(Some(event)) => events.add(event, mistakes),
            Ok(None) => events.skipped += 1,
            Err(Mistake { at, message, label, help }) => {
                let at = at.map_or(span, |at| at);
                mistakes.add(at, message, label, &help);
            }
        }
    }
    Ok(())
}

struct Mistake {
    at: Option<Range<usize>>,
    message: String,
    label: &'static str,
    help: String,
}

/// `None`: an event of the nemesis.
fn event(text: &str, entries: Entries, span: Range<usize>, line: u32) -> Result<Option<Event>, Mistake> {
    let (mut process, mut kind, mut verb, mut value, mut key) = (None, None, None, None, None);
    for (name, given, at) in entries {
        match name.as_str() {
            "process" => process = Some((given, at)),
            "type" => kind = Some((given, at)),
            "f" => verb = Some((given, at)),
            "value" => value = Some(given),
            "key" => key = Some(given),
            _ => {}
        }
    }
    let missing = |name: &str, example: &str| Mistake {
        at: None,
        message: format!("an event has no :{name}"),
        label: "in this map",
        help: format!("such as {example}"),
    };
    let (process, process_at) = process.ok_or_else(|| missing("process", ":process 0"))?;
    if !process.is_number() {
        return if text[process_at.clone()].starts_with(':') {
            Ok(None)
        } else {
            Err(Mistake {
                at: Some(process_at),
                message: "the :process of an event is no number".to_owned(),
                label: "whose?",
                help: "the process of a client is a number, any other a keyword such as :nemesis".to_owned(),
            })
        };
    }
    let (kind, kind_at) = kind.ok_or_else(|| missing("type", ":type :invoke"))?;
    let (verb, verb_at) = verb.ok_or_else(|| missing("f", ":f :read"))?;
    let kind = Kind::from_name(kind.as_str().unwrap_or_default()).map_err(|help| Mistake {
        at: Some(kind_at),
        message: "an event has an unknown :type".to_owned(),
        label: "unknown type",
        help,
    })?;
    let verb = Verb::from_name(verb.as_str().unwrap_or_default()).ok_or_else(|| Mistake {
        at: Some(verb_at),
        message: "an event has an unknown :f".to_owned(),
        label: "unknown operation",
        help: suggestion(verb.as_str().unwrap_or_default(), &Verb::ALL.map(Verb::name)),
    })?;
    // Nothing that came out is written as nil; an invocation of a read has nothing to say.
    if kind == Kind::Ok && verb.returns() && value.is_none() {
        return Err(missing("value", ":value nil, if nothing came out"));
    }
    let value = value.unwrap_or(Value::Null);
    Ok(Some(Event { process: process.to_string(), kind, verb, value, key, span, line }))
}
