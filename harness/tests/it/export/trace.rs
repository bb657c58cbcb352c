//! `--format perfetto`: the rules of the trace event format, and that the trace tells what the record tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::AtomicBool,
};

use ferret::{
    export::perfetto,
    progress::Progress,
    run::{self, RunOptions},
    scenario::Scenario,
    sim::TraceKind,
};
use serde_json::{Value, json};

use super::{Exported, ROUGH};

/// Process and thread.
type Track = (u64, u64);

/// A span: process, category, number.
type Span = (u64, String, String);

/// From, to, name.
type Slice<'t> = (u64, u64, &'t str);

/// What is wrong with a trace, if anything: the first rule that it breaks.
fn check(trace: &Value) -> Result<(), String> {
    let events = trace["traceEvents"].as_array().ok_or("there is no list of events")?;
    let mut named_processes = BTreeSet::new();
    let mut named_tracks = BTreeSet::new();
    let mut slices: BTreeMap<Track, Vec<Slice<'_>>> = BTreeMap::new();
    let mut open: BTreeMap<Span, Vec<&str>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut last = 0;
    for event in events {
        let number = |key: &str| event[key].as_u64().ok_or_else(|| format!("no whole number as `{key}`: {event}"));
        let name = event["name"].as_str().filter(|name| !name.is_empty()).ok_or(format!("no name: {event}"))?;
        let phase = event["ph"].as_str().ok_or(format!("no phase: {event}"))?;
        let track = (number("pid")?, number("tid")?);
        if track.0 == 0 || track.1 == 0 {
            return Err(format!("process and thread 0 are the idle one's: {event}"));
        }
        if phase == "M" {
            let what = &event["args"];
            match name {
                "process_name" if what["name"].is_string() => named_processes.insert(track.0),
                "thread_name" if what["name"].is_string() => named_tracks.insert(track),
                "process_sort_index" | "thread_sort_index" if what["sort_index"].is_u64() => true,
                _ => return Err(format!("unknown metadata: {event}")),
            };
            continue;
        }
        let at = number("ts")?;
        if at < last {
            return Err(format!("not in order of time: {event}"));
        }
        last = at;
        used.insert(track);
        match phase {
            "X" => slices.entry(track).or_default().push((at, at + number("dur")?, name)),
            "i" => {
                if !["t", "p", "g"].contains(&event["s"].as_str().unwrap_or_default()) {
                    return Err(format!("an instant without a scope: {event}"));
                }
            }
            "C" => {
                let values = event["args"].as_object().filter(|values| !values.is_empty());
                if !values.is_some_and(|values| values.values().all(Value::is_number)) {
                    return Err(format!("a counter without a number: {event}"));
                }
            }
            "b" | "e" => {
                let category = event["cat"].as_str().ok_or(format!("a span without a category: {event}"))?;
                let id = &event["id2"]["local"];
                if id.is_null() {
                    return Err(format!("a span without a number: {event}"));
                }
                let nest = open.entry((track.0, category.to_owned(), id.to_string())).or_default();
                if phase == "b" {
                    nest.push(name);
                } else if nest.pop().is_none_or(|opened| opened != name) {
                    return Err(format!("the end of what has not begun: {event}"));
                }
            }
            _ => return Err(format!("unknown phase: {event}")),
        }
    }
    if let Some(((process, category, id), _)) = open.iter().find(|(_, nest)| !nest.is_empty()) {
        return Err(format!("a span never ends: {category} {id} of process {process}"));
    }
    if let Some(track) = used.iter().find(|track| !named_processes.contains(&track.0) || !named_tracks.contains(track))
    {
        return Err(format!("a track without a name: {track:?}"));
    }
    for (track, mut slices) in slices {
        slices.sort_by_key(|(from, to, _)| (*from, std::cmp::Reverse(*to)));
        let mut nest: Vec<Slice<'_>> = Vec::new();
        for slice in slices {
            nest.retain(|outer| outer.1 > slice.0);
            if let Some(outer) = nest.iter().find(|outer| outer.1 < slice.1) {
                return Err(format!("on {track:?}, {slice:?} overlaps {outer:?}"));
            }
            nest.push(slice);
        }
    }
    Ok(())
}

/// A trace of these events on a track with a name.
fn of(events: &[Value]) -> Value {
    let name = |what: &str| json!({ "name": what, "ph": "M", "pid": 1, "tid": 1, "args": { "name": "n1" } });
    let mut all = vec![name("process_name"), name("thread_name")];
    all.extend(events.iter().cloned().map(|mut event| {
        event["pid"] = json!(1);
        event["tid"] = json!(1);
        event
    }));
    json!({ "traceEvents": all })
}

fn slice(ts: u64, dur: u64) -> Value {
    json!({ "name": "slice", "ph": "X", "ts": ts, "dur": dur })
}

fn span(phase: &str, ts: u64, id: u64) -> Value {
    json!({ "name": "span", "ph": phase, "cat": "publish", "ts": ts, "id2": { "local": id } })
}

#[test]
fn slices_that_overlap_are_refused_and_slices_that_touch_or_nest_are_not() {
    assert_eq!(check(&of(&[slice(1, 4), slice(5, 2), slice(5, 1), slice(6, 1), slice(7, 0)])), Ok(()));
    assert!(check(&of(&[slice(1, 5), slice(5, 2)])).is_err_and(|why| why.contains("overlaps")));
    assert!(check(&of(&[slice(1, 9), slice(2, 4), slice(5, 3)])).is_err_and(|why| why.contains("overlaps")));
}

#[test]
fn spans_may_overlap_but_each_begins_once_and_ends_once() {
    assert_eq!(check(&of(&[span("b", 1, 1), span("b", 2, 2), span("e", 3, 1), span("e", 4, 2)])), Ok(()));
    assert!(check(&of(&[span("b", 1, 1), span("b", 2, 2), span("e", 3, 1)])).is_err_and(|why| why.contains("never")));
    assert!(check(&of(&[span("b", 1, 1), span("e", 3, 2)])).is_err_and(|why| why.contains("not begun")));
    assert!(check(&of(&[span("e", 1, 1), span("b", 1, 1)])).is_err_and(|why| why.contains("not begun")));
}

#[test]
fn what_viewers_drop_or_misplace_is_refused() {
    let instant = |s: &str| json!({ "name": "i", "ph": "i", "ts": 1, "s": s });
    assert_eq!(check(&of(&[instant("t")])), Ok(()));
    assert!(check(&of(&[instant("x")])).is_err_and(|why| why.contains("scope")));
    let counter = |value: Value| json!({ "name": "c", "ph": "C", "ts": 1, "args": { "value": value } });
    assert_eq!(check(&of(&[counter(json!(1))])), Ok(()));
    assert!(check(&of(&[counter(json!("1"))])).is_err_and(|why| why.contains("number")));
    assert!(check(&of(&[slice(3, 1), slice(2, 1)])).is_err_and(|why| why.contains("order")));
    let mut nameless = of(&[slice(1, 1)]);
    nameless["traceEvents"].as_array_mut().expect("a list").remove(1);
    assert!(check(&nameless).is_err_and(|why| why.contains("without a name")));
    let fraction = json!({ "name": "slice", "ph": "X", "ts": 0.5, "dur": 1 });
    assert!(check(&of(&[fraction])).is_err_and(|why| why.contains("whole")));
}

#[test]
fn the_trace_of_a_rough_run_obeys_the_rules_and_tells_what_the_record_tells() {
    let run = Exported::run(ROUGH, &[]);
    let record = run.read();
    let trace: Value = serde_json::from_slice(&run.export("perfetto", &[])).expect("the trace is JSON");
    check(&trace).unwrap_or_else(|why| panic!("{why}"));
    let events = trace["traceEvents"].as_array().expect("a list");
    let count = |key: &str, value: &str| events.iter().filter(|event| event[key] == value).count() as u64;
    let begun =
        |category: &str| events.iter().filter(|event| event["ph"] == "b" && event["cat"] == category).count() as u64;
    assert_eq!(begun("publish"), record.messages.published);
    assert_eq!(begun("delivery"), record.messages.delivered);
    assert!(begun("disk") > 100, "logs wait for disks");
    assert_eq!(count("name", "confirmed"), record.messages.confirmed);
    let slices: Vec<&Value> = events.iter().filter(|event| event["ph"] == "X").collect();
    let named = |name: &str| slices.iter().filter(|slice| slice["name"] == name).count();
    assert_eq!((named("partition"), named("kill"), named("down: killed")), (1, 1, 1));
    assert_eq!((named("load"), named("settle"), named("drain")), (1, 1, 1));
    let leads = slices.iter().filter(|it| it["name"].as_str().is_some_and(|name| name.starts_with("leads in term")));
    assert_eq!(leads.count(), record.timeline.leaders.len());
    let tracks: Vec<&Value> = events.iter().filter(|it| it["args"]["name"] == "disk" && it["ph"] == "M").collect();
    assert_eq!(tracks.len(), 3, "each node has a disk");
    for track in tracks {
        let of_it = |it: &&&Value| (&it["pid"], &it["tid"]) == (&track["pid"], &track["tid"]);
        let syncs = slices.iter().filter(of_it).filter(|slice| slice["name"] == "sync").count();
        assert!(syncs > 50, "{syncs} syncs");
    }
    let kill = &record.faults[1];
    let slice = slices.iter().find(|slice| slice["name"] == "kill").expect("the kill is there");
    assert_eq!(slice["ts"].as_u64().map(|ts| ts * 1_000), kill.began_ns);
    assert_eq!(slice["args"]["fault"], kill.description.as_str());
    let longest = events.iter().filter_map(|event| event["ts"].as_u64()).max();
    assert!(longest.is_some_and(|longest| longest * 1_000 <= record.timeline.end_ns));
}

#[test]
fn syncs_end_when_the_simulated_disks_have_synced() {
    let scenario = Scenario::parse("rough.toml", ROUGH).expect("the scenario is valid");
    let options = RunOptions { record_trace: true, ..RunOptions::default() };
    let run = run::run(&scenario, 1, &options, &AtomicBool::new(false), &Progress::default());
    let mut written = Vec::new();
    perfetto::write(&mut written, &run.record, &run.history).expect("memory takes everything");
    let trace: Value = serde_json::from_slice(&written).expect("the trace is JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    for node in &run.record.timeline.nodes {
        let machine = run.machines.iter().position(|name| name == node).expect("a machine of that name");
        let really: BTreeSet<u64> = (run.trace.iter())
            .filter(|event| {
                event.kind == TraceKind::DiskSynced && event.machine.is_some_and(|it| it.0 as usize == machine)
            })
            .map(|event| event.at.0 / 1_000)
            .collect();
        let process = events.iter().find(|it| it["name"] == "process_name" && it["args"]["name"] == **node);
        let pid = &process.expect("each node is a process")["pid"];
        let syncs = events.iter().filter(|it| it["name"] == "sync" && it["pid"] == *pid);
        let told: BTreeSet<u64> =
            syncs.map(|it| it["ts"].as_u64().unwrap_or(0) + it["dur"].as_u64().unwrap_or(0)).collect();
        assert!(told.is_subset(&really), "{node}: {:?}", told.difference(&really).collect::<Vec<_>>());
        // The others are of files and folders that are no log.
        assert!(told.len() * 10 > really.len() * 9, "{node}: {} of {}", told.len(), really.len());
    }
}

#[test]
fn a_violation_is_marked_where_its_witness_ends() {
    let run = Exported::run(ROUGH, &["--sabotage", "drop-ack"]);
    let trace: Value = serde_json::from_slice(&run.export("perfetto", &[])).expect("the trace is JSON");
    check(&trace).unwrap_or_else(|why| panic!("{why}"));
    let events = trace["traceEvents"].as_array().expect("a list");
    assert!(events.iter().any(|event| event["name"] == "settle-applied is violated" && event["s"] == "g"));
}
