//! The tracks of a node: its process, its disk, its groups.

use std::collections::{BTreeMap, VecDeque};

use ferret_reports::{EventLog, ReplicaEvent, ReplicaKind, RunRecord};
use serde_json::json;

use super::{
    disk::Disk,
    slices,
    trace::{Process, Trace, Track},
};
use crate::history::{EventKind, History};

/// What a group does on a node.
struct Replica {
    track: Track,
    name: String,
    /// Entries that are not known to be durable, with the time since when.
    undurable: VecDeque<(u64, u64)>,
}

struct Node {
    process: Process,
    /// Whether it runs.
    life: Track,
    disk: Disk,
    /// By group.
    replicas: Vec<Replica>,
    /// Times at which its process ended, the next first.
    ends: VecDeque<u64>,
}

pub(super) fn add(trace: &mut Trace, record: &RunRecord, history: &History, log: &EventLog) {
    let mut first_up: BTreeMap<String, u64> = BTreeMap::new();
    for event in &history.events {
        if let EventKind::NodeUp { node } = event.kind {
            first_up.entry(node.to_string()).or_insert(event.at.0);
        }
    }
    let add = |name: &String| node(trace, record, log, (name, first_up.get(name).copied()));
    let mut nodes: Vec<Node> = record.timeline.nodes.iter().map(add).collect();
    for event in &log.replicas {
        nodes[event.node as usize].see(trace, event);
    }
    nodes.iter_mut().for_each(|node| node.end(trace, record.timeline.end_ns));
}

fn node(trace: &mut Trace, record: &RunRecord, log: &EventLog, (name, first_up): (&str, Option<u64>)) -> Node {
    let timeline = &record.timeline;
    let process = trace.process(name);
    let life = trace.track(process, "process");
    // A spare begins later, or never.
    let mut spans: Vec<(u64, Option<u64>, String)> =
        first_up.map(|at| (at, None, "up".to_owned())).into_iter().collect();
    let mut ends = VecDeque::new();
    for down in timeline.down.iter().filter(|down| down.node == name) {
        spans.push((down.from_ns, None, format!("down: {}", down.how)));
        spans.extend(down.to_ns.map(|to| (to, None, "up".to_owned())));
        ends.push_back(down.from_ns);
    }
    slices(trace, life, spans.into_iter(), timeline.end_ns);
    let disk = Disk::new(trace.track(process, "disk"));
    let mut replicas = Vec::new();
    for group in &log.groups {
        let track = trace.track(process, group);
        let led = timeline.leaders.iter().filter(|span| span.node == name && span.group == *group);
        let led = led.map(|span| (span.from_ns, span.to_ns, format!("leads in term {}", span.term)));
        slices(trace, track, led, timeline.end_ns);
        replicas.push(Replica { track, name: group.clone(), undurable: VecDeque::new() });
    }
    Node { process, life, disk, replicas, ends }
}

impl Node {
    fn see(&mut self, trace: &mut Trace, event: &ReplicaEvent) {
        while let Some(end) = self.ends.pop_front_if(|end| *end <= event.at_ns) {
            self.cut(trace, end);
        }
        let (process, at) = (self.process, event.at_ns);
        let replica = &mut self.replicas[event.group as usize];
        let track = replica.track;
        match event.kind {
            ReplicaKind::Appended => {
                // An entry takes the place of all from its index on.
                replica.undurable.retain(|(index, _)| *index < event.what);
                replica.undurable.push_back((event.what, at));
            }
            ReplicaKind::Persisted => {
                let durable = replica.undurable.partition_point(|(index, _)| *index <= event.what);
                let mut entries = replica.undurable.drain(..durable);
                let first = entries.next();
                self.disk.synced(trace, at, (&replica.name, durable), first.map(|(_, since)| since));
                if let Some((_, since)) = first {
                    let args = json!({ "up to": event.what, "entries": durable });
                    let name = format!("log of {} on its way to disk", replica.name);
                    trace.span(process, ("disk", &name), (since, at), args);
                }
            }
            ReplicaKind::Committed => {
                trace.counter(process, &format!("commit index of {}", replica.name), at, event.what);
            }
            ReplicaKind::BecameLeader => {
                trace.instant(track, &format!("leader in term {}", event.more), at, json!(null));
            }
            ReplicaKind::SteppedDown => {
                trace.instant(track, &format!("steps down in term {}", event.more), at, json!(null));
            }
            ReplicaKind::HardStatePersisted => self.disk.term_synced(trace, at, &replica.name),
            ReplicaKind::EnteredTerm => {
                self.disk.given(at);
                trace.instant(track, &format!("enters term {}", event.more), at, json!(null));
            }
            ReplicaKind::VoteGranted => {
                trace.instant(track, &format!("votes in term {}", event.more), at, json!(null));
            }
            ReplicaKind::SnapshotInstalled => {
                trace.instant(track, "installs a snapshot", at, json!({ "up to": event.what }));
            }
            ReplicaKind::Compacted => {
                trace.instant(track, "compacts its log", at, json!({ "up to": event.what }));
            }
            ReplicaKind::SyncedDataLost => trace.instant(self.life, "its disk loses synced data", at, json!(null)),
            ReplicaKind::Acknowledged
            | ReplicaKind::Applied
            | ReplicaKind::Enqueued
            | ReplicaKind::Assigned
            | ReplicaKind::Delivered
            | ReplicaKind::Settled
            | ReplicaKind::Requeued
            | ReplicaKind::Recovered => {}
        }
    }

    /// The process ends: nothing waits any more, and a sync that was under way comes to nothing.
    fn cut(&mut self, trace: &mut Trace, at: u64) {
        let waiting = self.replicas.iter().filter_map(|replica| replica.undurable.front());
        self.disk.cut(trace, at, "sync, cut off", waiting.map(|(_, since)| *since).min());
        self.replicas.iter_mut().for_each(|replica| replica.undurable.clear());
    }

    fn end(&mut self, trace: &mut Trace, at: u64) {
        while let Some(end) = self.ends.pop_front() {
            self.cut(trace, end);
        }
        let waiting = self.replicas.iter().filter_map(|replica| replica.undurable.front());
        self.disk.cut(trace, at, "sync, under way at the end", waiting.map(|(_, since)| *since).min());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ns: u64, kind: ReplicaKind, what: u64) -> ReplicaEvent {
        ReplicaEvent { at_ns, node: 0, group: 0, kind, what, more: 1 }
    }

    /// The spans of the disk for these events, of a node whose process ends at `end`: from, to, entries.
    fn waits(events: &[ReplicaEvent], end: u64) -> Vec<(u64, u64, u64)> {
        let mut trace = Trace::default();
        let process = trace.process("n1");
        let life = trace.track(process, "process");
        let replica = Replica { track: life, name: "orders".to_owned(), undurable: VecDeque::new() };
        let disk = Disk::new(trace.track(process, "disk"));
        let mut node = Node { process, life, disk, replicas: vec![replica], ends: VecDeque::from([end]) };
        events.iter().for_each(|event| node.see(&mut trace, event));
        let mut out = Vec::new();
        trace.write(&mut out, &json!({})).expect("memory takes everything");
        let written: serde_json::Value = serde_json::from_slice(&out).expect("it is JSON");
        let mut spans: BTreeMap<u64, (u64, u64, u64)> = BTreeMap::new();
        for event in written["traceEvents"].as_array().expect("a list") {
            let time = event["ts"].as_u64().unwrap_or(0);
            let Some(id) = event["id2"]["local"].as_u64() else { continue };
            let span = spans.entry(id).or_default();
            if event["ph"] == "b" {
                (span.0, span.2) = (time, event["args"]["entries"].as_u64().expect("a count"));
            } else {
                span.1 = time;
            }
        }
        spans.into_values().collect()
    }

    #[test]
    fn the_log_waits_for_its_disk_from_the_first_entry_that_a_sync_covers() {
        use ReplicaKind::{Appended, Persisted};
        let events = [
            event(1_000, Appended, 1),
            event(2_000, Appended, 2),
            event(3_000, Appended, 3),
            event(5_000, Persisted, 2),
            event(9_000, Persisted, 3),
            event(9_500, Persisted, 3),
        ];
        assert_eq!(waits(&events, u64::MAX), [(1, 5, 2), (3, 9, 1)]);
    }

    #[test]
    fn what_was_replaced_or_forgotten_waits_for_nothing() {
        use ReplicaKind::{Appended, Persisted};
        let replaced = [event(1_000, Appended, 1), event(4_000, Appended, 1), event(6_000, Persisted, 1)];
        assert_eq!(waits(&replaced, u64::MAX), [(4, 6, 1)]);
        let forgotten = [event(1_000, Appended, 1), event(4_000, Appended, 2), event(6_000, Persisted, 2)];
        assert_eq!(waits(&forgotten, 3_000), [(4, 6, 1)]);
    }
}
