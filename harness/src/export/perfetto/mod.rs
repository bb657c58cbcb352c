//! A run as a trace for Perfetto or Chrome's `about:tracing`: what each node, client and disk did when, and the faults.
//!
//! One process for the run (its phases, faults and violations), one for each node (whether it runs, each sync of its
//! disk, what it leads, how long its log waits for its disk, commit indexes), one for each client (its connections;
//! each publish until its outcome, each delivery until it is settled). Publishes and deliveries are pipelined, so they
//! are asynchronous spans. Times count from the start of the run.

mod disk;
mod node;
mod trace;

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use ferret_reports::{Outcome, RunRecord, Settled};
use serde_json::json;

use crate::{
    history::{ChannelId, EventKind, History},
    run::event_log,
};

use self::trace::{Process, Trace, Track};

/// Writes the trace; returns how many events it has.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, record: &RunRecord, history: &History) -> io::Result<u64> {
    let mut trace = Trace::default();
    run(&mut trace, record);
    let log = event_log(history);
    node::add(&mut trace, record, history, &log);
    clients(&mut trace, record, history, &log);
    let about = json!({
        "scenario": record.scenario.name,
        "seed": record.seed,
        "trace_hash": record.trace_hash,
        "verdict": record.verdict,
        "replay": record.replay,
    });
    trace.write(out, &about)
}

/// Phases, faults, violations.
fn run(trace: &mut Trace, record: &RunRecord) {
    let timeline = &record.timeline;
    let process = trace.process("run");
    let phases = trace.track(process, "phases");
    let begins =
        [("load", Some(0)), ("settle", timeline.load_stopped_ns), ("drain", timeline.drain_began_ns)].into_iter();
    let begins: Vec<(&str, u64)> = begins.filter_map(|(name, at)| Some((name, at?))).collect();
    slices(trace, phases, begins.iter().map(|(name, at)| (*at, None, (*name).to_owned())), timeline.end_ns);
    for invariant in record.violated() {
        let at = invariant.witness.last().map_or(timeline.end_ns, |last| last.at_ns);
        let args = json!({ "explanation": invariant.explanation });
        trace.mark(phases, &format!("{} is violated", invariant.name), at, args);
    }
    let mut lanes: Vec<Track> = Vec::new();
    let mut faults: Vec<_> = record.faults.iter().filter_map(|fault| Some((fault.began_ns?, fault))).collect();
    faults.sort_by_key(|(began, _)| *began);
    for (began, fault) in faults {
        let free = lanes.iter().copied().find(|lane| trace.is_free(*lane, began));
        let lane = free.unwrap_or_else(|| {
            lanes.push(trace.track(process, "faults"));
            lanes[lanes.len() - 1]
        });
        let args = json!({
            "fault": fault.description, "effect": fault.effect, "nodes": fault.nodes, "step": fault.step, "line": fault.line,
        });
        let ended = fault.ended_ns.unwrap_or(timeline.end_ns).max(began);
        trace.slice(lane, &fault.kind, (began, ended), args);
    }
}

/// Adds slices that follow one another: each ends at its end, or where the next begins, or where the run ends.
fn slices(trace: &mut Trace, track: Track, spans: impl Iterator<Item = (u64, Option<u64>, String)>, end: u64) {
    let mut spans = spans.peekable();
    while let Some((from, to, name)) = spans.next() {
        let to = to.unwrap_or(end).min(spans.peek().map_or(end, |next| next.0)).max(from);
        trace.slice(track, &name, (from, to), json!(null));
    }
}

fn clients(trace: &mut Trace, record: &RunRecord, history: &History, log: &ferret_reports::EventLog) {
    let end = record.timeline.end_ns;
    let mut tracks: Vec<(Process, Track)> = Vec::new();
    for client in &record.timeline.clients {
        let process = trace.process(&client.name);
        let connections = trace.track(process, "connection");
        let spans = client.connections.iter();
        let spans = spans.map(|span| (span.from_ns, span.to_ns, format!("through {}", span.node)));
        slices(trace, connections, spans, end);
        tracks.push((process, trace.track(process, "heard")));
    }
    let name = |client: u32, sequence: u64, attempt: u32| {
        let again = if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
        format!("{}/{sequence}{again}", record.timeline.clients[client as usize].name)
    };
    for publish in &log.publishes {
        let message = name(publish.client, publish.sequence, publish.attempt);
        let (process, heard) = tracks[publish.client as usize];
        let outcome = match publish.outcome {
            Some((Outcome::Confirmed, _)) => "confirmed",
            Some((Outcome::Nacked, _)) => "nacked",
            Some((Outcome::Returned, _)) => "returned",
            Some((Outcome::Unknown, _)) => "unknown",
            None => "none by the end",
        };
        let queue = &log.queues[publish.queue as usize];
        let args = json!({ "message": message, "queue": queue, "outcome": outcome });
        let to = publish.outcome.map_or(end, |(_, at)| at);
        trace.span(process, ("publish", "publish"), (publish.at_ns, to), args);
        if let Some((_, at)) = publish.outcome {
            trace.instant(heard, outcome, at, json!({ "message": message }));
        }
    }
    let lost: BTreeMap<ChannelId, u64> = history
        .events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::ChannelLost { channel, .. } => Some((channel, event.at.0)),
            _ => None,
        })
        .collect();
    for receipt in &log.receipts {
        let (process, _) = tracks[log.channels[receipt.channel as usize].client as usize];
        let message = receipt.publish.map(|row| &log.publishes[row as usize]);
        let message = message.map(|publish| name(publish.client, publish.sequence, publish.attempt));
        let (to, fate) = match receipt.settled {
            Some((Settled::Acked, at)) => (at, "acked"),
            Some((Settled::GivenBack, at)) => (at, "given back"),
            Some((Settled::Refused, at)) => (at, "refused"),
            None => match lost.get(&ChannelId(receipt.channel)) {
                Some(at) => (*at, "not settled: the channel was lost"),
                None => (end, "not settled by the end"),
            },
        };
        let args = json!({
            "message": message,
            "queue": log.queues[receipt.queue as usize],
            "redelivered": receipt.redelivered,
            "tag": receipt.tag,
            "fate": fate,
        });
        let what = if receipt.got { "got" } else { "delivery" };
        trace.span(process, ("delivery", what), (receipt.at_ns, to.max(receipt.at_ns)), args);
    }
}
