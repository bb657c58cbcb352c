//! The trace event format, as far as it is needed here, and its rules.
//!
//! Complete slices of one track (a process's thread) must nest or keep apart. So what may overlap is a *span*: a pair
//! of asynchronous events with a number of its own; viewers draw spans of one process and name together, in as many
//! rows as it takes. Times are whole microseconds, which virtual time's steps of a millisecond lose nothing by, so that
//! no rounding can make neighbours overlap.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use serde::Serialize;
use serde_json::{Value, json};

/// A group of tracks: a node, a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Process(u32);

/// A line of slices and instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Track {
    process: Process,
    thread: u32,
}

/// The number of a span within its process.
#[derive(Clone, Copy, Debug, Serialize)]
struct Local {
    local: u64,
}

/// What belongs to a process and to no track of its own still names one: viewers take thread 0 for the idle one.
const ANY_THREAD: u32 = 1;

#[derive(Serialize)]
struct Event {
    name: String,
    ph: char,
    #[serde(skip_serializing_if = "Option::is_none")]
    cat: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id2: Option<Local>,
    /// Metadata has no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<u64>,
    pid: Process,
    tid: u32,
    /// How far an instant is to be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<char>,
    #[serde(skip_serializing_if = "Value::is_null")]
    args: Value,
}

#[derive(Default)]
pub(super) struct Trace {
    events: Vec<Event>,
    /// By process: how many threads it has.
    processes: Vec<u32>,
    spans: u64,
    /// Where the last slice of each track ends.
    ends: BTreeMap<Track, u64>,
}

impl Trace {
    /// Processes are shown in the order in which they are added.
    pub(super) fn process(&mut self, name: &str) -> Process {
        self.processes.push(0);
        let process = Process(self.processes.len() as u32);
        self.describe(process, ANY_THREAD, "process_name", json!({ "name": name }));
        self.describe(process, ANY_THREAD, "process_sort_index", json!({ "sort_index": process }));
        process
    }

    /// Tracks of a process are shown in the order in which they are added.
    pub(super) fn track(&mut self, process: Process, name: &str) -> Track {
        let threads = &mut self.processes[process.0 as usize - 1];
        *threads += 1;
        let thread = *threads;
        self.describe(process, thread, "thread_name", json!({ "name": name }));
        self.describe(process, thread, "thread_sort_index", json!({ "sort_index": thread }));
        Track { process, thread }
    }

    fn describe(&mut self, process: Process, thread: u32, what: &str, args: Value) {
        let none = Event {
            name: what.to_owned(),
            ph: 'M',
            cat: None,
            id2: None,
            ts: None,
            dur: None,
            pid: process,
            tid: thread,
            s: None,
            args,
        };
        self.events.push(none);
    }

    fn add(&mut self, ph: char, track: Track, name: &str, at_ns: u64, args: Value) -> &mut Event {
        let Track { process: pid, thread: tid } = track;
        let name = name.to_owned();
        let event =
            Event { name, ph, cat: None, id2: None, ts: Some(micros(at_ns)), dur: None, pid, tid, s: None, args };
        self.events.push(event);
        self.events.last_mut().expect("just pushed")
    }

    /// Whether a slice that begins at `from_ns` would meet no other on this track.
    pub(super) fn is_free(&self, track: Track, from_ns: u64) -> bool {
        self.ends.get(&track).is_none_or(|end| *end <= micros(from_ns))
    }

    /// A slice, which begins no earlier than the one before on its track has ended.
    pub(super) fn slice(&mut self, track: Track, name: &str, (from_ns, to_ns): (u64, u64), args: Value) {
        debug_assert!(self.is_free(track, from_ns) && from_ns <= to_ns, "`{name}` overlaps the slice before it");
        self.ends.insert(track, micros(to_ns));
        let length = micros(to_ns) - micros(from_ns);
        self.add('X', track, name, from_ns, args).dur = Some(length);
    }

    /// A slice that may overlap any other.
    pub(super) fn span(
        &mut self,
        process: Process,
        (category, name): (&'static str, &str),
        (from_ns, to_ns): (u64, u64),
        args: Value,
    ) {
        self.spans += 1;
        let (id2, track) = (Local { local: self.spans }, Track { process, thread: ANY_THREAD });
        for (ph, at_ns, args) in [('b', from_ns, args), ('e', to_ns, Value::Null)] {
            let event = self.add(ph, track, name, at_ns, args);
            (event.cat, event.id2) = (Some(category), Some(id2));
        }
    }

    pub(super) fn instant(&mut self, track: Track, name: &str, at_ns: u64, args: Value) {
        self.add('i', track, name, at_ns, args).s = Some('t');
    }

    /// An instant to be seen across all tracks.
    pub(super) fn mark(&mut self, track: Track, name: &str, at_ns: u64, args: Value) {
        self.add('i', track, name, at_ns, args).s = Some('g');
    }

    pub(super) fn counter(&mut self, process: Process, name: &str, at_ns: u64, value: u64) {
        self.add('C', Track { process, thread: ANY_THREAD }, name, at_ns, json!({ "value": value }));
    }

    /// Writes everything in order of time; returns how many events that was, without names of tracks.
    pub(super) fn write(mut self, out: &mut dyn Write, about: &Value) -> io::Result<u64> {
        self.events.sort_by_key(|event| event.ts);
        write!(out, "{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},\"traceEvents\":[")?;
        for (number, event) in self.events.iter().enumerate() {
            out.write_all(if number == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *out, event)?;
        }
        out.write_all(b"\n]}\n")?;
        Ok(self.events.iter().filter(|event| event.ph != 'M').count() as u64)
    }
}

fn micros(nanos: u64) -> u64 {
    nanos / 1_000
}
