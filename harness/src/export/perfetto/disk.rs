//! The track of a node's disk: each sync of its log, as the node knows of it.
//!
//! A log writes and syncs one batch after the other, and each at once. So a sync began when what it made durable came
//! up, or when the one before it ended, if that was later; it ended when the node was told. What the disk was asked for
//! and never told (a read, the sync of a file that was closed) is not in the history. Syncs that end at the same time
//! are one; one of which nothing tells when it came up has no length.

use std::collections::BTreeMap;

use serde_json::json;

use super::trace::{Trace, Track};

pub(super) struct Disk {
    track: Track,
    /// When the last sync before the present one ended.
    free: u64,
    /// Since when a new term waits to be written.
    given: Option<u64>,
    present: Option<Sync>,
}

/// A sync, of which more may be told at the time of its end.
struct Sync {
    from: Option<u64>,
    to: u64,
    /// By group, how many entries became durable.
    entries: BTreeMap<String, usize>,
}

impl Disk {
    pub(super) fn new(track: Track) -> Self {
        Self { track, free: 0, given: None, present: None }
    }

    /// A new term came up at `at`.
    pub(super) fn given(&mut self, at: u64) {
        self.given.get_or_insert(at);
    }

    /// A sync ended at `at` that made a group's term durable.
    pub(super) fn term_synced(&mut self, trace: &mut Trace, at: u64, group: &str) {
        let since = self.given.take_if(|given| *given < at);
        self.synced(trace, at, (group, 0), since);
    }

    /// A sync ended at `at`; of a group it made so many entries durable, the first of which waited `since` then.
    pub(super) fn synced(&mut self, trace: &mut Trace, at: u64, (group, entries): (&str, usize), since: Option<u64>) {
        if self.present.as_ref().is_some_and(|present| present.to < at) {
            self.draw(trace);
        }
        let present = self.present.get_or_insert_with(|| Sync { from: None, to: at, entries: BTreeMap::new() });
        present.from = [present.from, since].into_iter().flatten().min();
        *present.entries.entry(group.to_owned()).or_default() += entries;
    }

    /// At `at` there is nobody any more to be told of the sync for what waits `since` then.
    pub(super) fn cut(&mut self, trace: &mut Trace, at: u64, name: &str, since: Option<u64>) {
        self.draw(trace);
        if let Some(since) = [self.given.take(), since].into_iter().flatten().min() {
            trace.slice(self.track, name, (since.max(self.free).min(at), at), json!(null));
        }
        self.free = at;
    }

    fn draw(&mut self, trace: &mut Trace) {
        let Some(Sync { from, to, entries }) = self.present.take() else { return };
        let from = from.unwrap_or(to).max(self.free);
        trace.slice(self.track, "sync", (from, to), json!({ "entries": entries }));
        self.free = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// The slices that a disk leaves: name, from and to in milliseconds, entries of the group `orders`.
    fn drawn(tell: impl FnOnce(&mut Disk, &mut Trace)) -> Vec<(String, u64, u64, u64)> {
        let mut trace = Trace::default();
        let process = trace.process("n1");
        let mut disk = Disk::new(trace.track(process, "disk"));
        tell(&mut disk, &mut trace);
        let mut out = Vec::new();
        trace.write(&mut out, &json!({})).expect("memory takes everything");
        let written: serde_json::Value = serde_json::from_slice(&out).expect("it is JSON");
        let slices = written["traceEvents"].as_array().expect("a list").iter().filter(|event| event["ph"] == "X");
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or(0);
        slices
            .map(|slice| {
                let (from, length) = (number(&slice["ts"]) / 1_000, number(&slice["dur"]) / 1_000);
                let name = slice["name"].as_str().expect("a name").to_owned();
                (name, from, from + length, number(&slice["args"]["entries"]["orders"]))
            })
            .collect()
    }

    #[test]
    fn a_sync_begins_when_the_one_before_has_ended() {
        let slices = drawn(|disk, trace| {
            disk.synced(trace, 3 * MS, ("orders", 2), Some(MS));
            disk.synced(trace, 3 * MS, ("meta", 1), Some(2 * MS));
            disk.synced(trace, 5 * MS, ("orders", 1), Some(2 * MS));
            disk.synced(trace, 9 * MS, ("orders", 1), Some(8 * MS));
            disk.cut(trace, 20 * MS, "none", None);
        });
        let sync = |from, to, entries| ("sync".to_owned(), from, to, entries);
        assert_eq!(slices, [sync(1, 3, 2), sync(3, 5, 1), sync(8, 9, 1)]);
    }

    #[test]
    fn a_new_term_waits_for_a_sync_as_entries_do() {
        let slices = drawn(|disk, trace| {
            disk.given(4 * MS);
            disk.term_synced(trace, 6 * MS, "orders");
            disk.term_synced(trace, 7 * MS, "orders");
            disk.cut(trace, 8 * MS, "none", None);
        });
        assert_eq!(slices, [("sync".to_owned(), 4, 6, 0), ("sync".to_owned(), 7, 7, 0)]);
    }

    #[test]
    fn a_sync_that_never_ended_reaches_to_the_end_of_its_process() {
        let slices = drawn(|disk, trace| {
            disk.synced(trace, 3 * MS, ("orders", 1), Some(2 * MS));
            disk.cut(trace, 10 * MS, "cut", Some(4 * MS));
            disk.cut(trace, 20 * MS, "cut", None);
        });
        assert_eq!(slices, [("sync".to_owned(), 2, 3, 1), ("cut".to_owned(), 4, 10, 0)]);
    }
}
