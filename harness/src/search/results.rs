//! One hash over the results of many runs.

use ferret_reports::{RunRecord, Timeline};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A hash of a text, 16 hexadecimal digits.
pub fn text_hash(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// Over everything that the runs found. What differs between machines (wall time, paths) does not count, nor does the
/// order in which the runs come; so a sweep and the same sweep in parts have the same hash. The pictures do not count
/// either: they follow from the trace, whose hash does.
pub fn results_hash<'a>(records: impl IntoIterator<Item = &'a RunRecord>) -> String {
    let mut lines: Vec<u128> = records.into_iter().map(line).collect();
    lines.sort_unstable();
    let bytes: Vec<u8> = lines.into_iter().flat_map(u128::to_be_bytes).collect();
    format!("{:032x}", xxh3_128(&bytes))
}

fn line(record: &RunRecord) -> u128 {
    let mut record = slim(record.clone());
    record.wall_seconds = 0.0;
    record.scenario.path.clear();
    record.replay.clear();
    xxh3_128(&serde_json::to_vec(&record).expect("a record is JSON"))
}

/// A record without its pictures, which make up nearly all of it.
pub fn slim(mut record: RunRecord) -> RunRecord {
    record.timeline = Timeline::default();
    record.latency.buckets.clear();
    record
}
