//! The text logs among Porcupine's test data.
//!
//! One kind is the terminal output of a Jepsen test of etcd, one event per line: `INFO  jepsen.util - 0 :invoke :read
//! nil`, with blanks of any kind between the parts. Newer Jepsen writes more before and a colon after `jepsen.util`.
//! Lines of other loggers and of the nemesis are skipped and counted; what looks like an operation is never skipped. A
//! compare-and-set that `:fail`s with its values has found another one, which is a fact to be checked; any other
//! `:fail`, such as `:fail :cas :timed-out`, is an operation without effect.
//!
//! The other kind is that of maps with a `:key`, which [`jepsen`](super::jepsen) reads.

use serde_json::Value;

use super::{
    edn::{Reader, Wrong},
    events::{Event, Events, Kind},
    history::{Format, History, Verb},
    jepsen,
    mistakes::Mistakes,
};
use crate::scenario::suggestion;

const LOGGER: &str = "jepsen.util";
const EXAMPLE: &str = "an operation looks like this: INFO  jepsen.util - 0 :invoke :write 3";

/// Whether a line is one of a Jepsen log.
pub(super) fn is_log_line(line: &str) -> bool {
    line.contains(LOGGER)
}

/// Whether a line has a type of event after what is no keyword: the nemesis, `:nemesis :info`, is none of the clients,
/// and `{:type :ok …}` is a result, not an event.
fn looks_like_an_operation(line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.iter().enumerate().any(|(at, word)| {
        let is_kind = word.strip_prefix(':').is_some_and(|name| Kind::from_name(name).is_ok());
        let keyword_before = at > 0 && words[at - 1].starts_with([':', '{']);
        is_kind && !keyword_before && words.get(at + 1).is_none_or(|next| next.starts_with(':'))
    })
}

pub(super) fn read(text: &str, mistakes: &mut Mistakes) -> History {
    if !text.lines().any(is_log_line) {
        return jepsen::read(text, Format::Porcupine, mistakes);
    }
    let mut events = Events::default();
    events.refusals = true;
    let mut offset = 0;
    for (line, number) in text.split_inclusive('\n').zip(1..) {
        if mistakes.are_enough() {
            break;
        }
        let looks_like_one = looks_like_an_operation(line);
        let logged = line.split_once(LOGGER);
        if logged.is_none() && looks_like_one {
            let begin = offset + (line.len() - line.trim_start().len());
            let message = format!("this looks like an operation, but not of the logger `{LOGGER}`");
            mistakes.add(begin..offset + line.trim_end().len(), message, "cannot be read", EXAMPLE);
        } else if logged.is_none() && !line.trim().is_empty() {
            events.skipped += 1;
        }
        if let Some((_, rest)) = logged {
            let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || "-:".contains(c)).trim_end();
            let begin = offset + (rest.as_ptr() as usize - line.as_ptr() as usize);
            let span = begin..begin + rest.len();
            match event(rest) {
                Ok(Some((process, kind, verb, value))) => {
                    let event = Event { process, kind, verb, value, key: None, span, line: number };
                    events.add(event, mistakes);
                }
                Ok(None) if looks_like_one => {
                    let help = "the process of a client is a number, any other a keyword such as :nemesis";
                    mistakes.add(span, "this looks like an operation, but its process is no number", "whose?", help);
                }
                Ok(None) => events.skipped += 1,
                Err((wrong, help)) => {
                    let at = begin + wrong.span.start..begin + wrong.span.end;
                    mistakes.add(at, wrong.message, "here", &help);
                }
            }
        }
        offset += line.len();
    }
    events.finish(Format::Porcupine)
}

type Parts = (String, Kind, Verb, Value);

/// `0 :invoke :read nil`. `None`: not an event of a client. A mistake comes with how to mend it.
fn event(text: &str) -> Result<Option<Parts>, (Wrong, String)> {
    let mut reader = Reader::new(text);
    let example = || "a line goes on like this: 0 :invoke :write 3".to_owned();
    let mut next = |what: &str| -> Result<(Value, std::ops::Range<usize>), (Wrong, String)> {
        let missing = |at: usize| (Wrong { span: at..at, message: format!("the {what} is missing") }, example());
        reader.peek().map_err(|wrong| (wrong, example()))?;
        let begin = reader.position();
        let value = reader.value().map_err(|wrong| (wrong, example()))?.ok_or_else(|| missing(text.len()))?;
        Ok((value, begin..reader.position()))
    };
    let (process, _) = next("process")?;
    if !process.is_number() {
        return Ok(None);
    }
    let (kind, kind_at) = next("type")?;
    let (verb, verb_at) = next("operation")?;
    let (value, _) = next("value")?;
    let name = kind.as_str().unwrap_or_default();
    let kind = Kind::from_name(name)
        .map_err(|help| (Wrong { span: kind_at, message: format!("`{name}` is no type of event") }, help))?;
    let name = verb.as_str().unwrap_or_default();
    let verb = Verb::from_name(name).ok_or_else(|| {
        let message = format!("`{name}` is no operation");
        (Wrong { span: verb_at, message }, suggestion(name, &Verb::ALL.map(Verb::name)))
    })?;
    Ok(Some((process.to_string(), kind, verb, value)))
}
