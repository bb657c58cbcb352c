//! The events as the page carries them: typed columns, deflated, in base64. The layout is a list in the page's JSON.
//!
//! The page's `decode.js` is the other half. A column's `code` says how to read it: `plain`, `delta` (to the row
//! before), or `source` (to the row before of the same source, which is the first column of its table).

use std::{collections::BTreeMap, io::Write};

use flate2::{Compression, write::DeflateEncoder};
use serde_json::{Value, json};

use super::{EventLog, LinkSample, ReplicaEvent, column::Column};

/// Events that are ready to be put into a page.
pub(crate) struct Packed {
    /// Where each column is, and what the sources of the tables are.
    pub(crate) layout: Value,
    /// Base64 of the deflated columns.
    pub(crate) data: String,
}

#[derive(Default)]
struct Packer {
    bytes: Vec<u8>,
    tables: serde_json::Map<String, Value>,
}

impl Packer {
    fn table(&mut self, name: &str, columns: Vec<(&str, &str, Column)>) {
        let mut described = Vec::new();
        let rows = columns.first().map_or(0, |(.., column)| column.rows());
        for (name, code, column) in columns {
            debug_assert_eq!(column.rows(), rows, "{name}");
            let bytes = column.into_bytes();
            described.push(json!([name, code, bytes.len()]));
            self.bytes.extend(bytes);
        }
        self.tables.insert(name.to_owned(), json!({ "rows": rows, "columns": described }));
    }
}

impl Packed {
    pub(crate) fn new(log: &EventLog) -> Self {
        let unit = unit(log);
        let mut packer = Packer::default();
        publishes(&mut packer, log, unit);
        receipts(&mut packer, log, unit);
        let sources = replicas(&mut packer, log, unit);
        disks(&mut packer, log);
        links(&mut packer, log);
        let layout = json!({
            "unit": unit,
            "bytes": packer.bytes.len(),
            "tables": packer.tables,
            "sources": sources,
            "sample": log.sample_ns,
            "queues": log.queues,
            "groups": log.groups,
            "channels": log.channels.iter().map(|channel| [channel.client, channel.node]).collect::<Vec<_>>(),
            "drained": log.drained,
        });
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(&packer.bytes).expect("memory takes everything");
        Self { layout, data: base64(&deflate.finish().expect("memory takes everything")) }
    }
}

fn publishes(packer: &mut Packer, log: &EventLog, unit: u64) {
    let mut columns: [Column; 9] = Default::default();
    let [client, at, channel, queue, sequence, attempt, outcome, after, number] = &mut columns;
    let (mut sequences, mut numbers) = (BTreeMap::new(), BTreeMap::new());
    for publish in &log.publishes {
        client.plain(publish.client.into());
        at.delta(publish.at_ns / unit);
        channel.plain(publish.channel.into());
        queue.plain(publish.queue.into());
        sequence.delta_to(sequences.entry(publish.client).or_default(), publish.sequence);
        attempt.plain(publish.attempt.into());
        outcome.plain(publish.outcome.map_or(0, |(outcome, _)| outcome as u64));
        after.plain(publish.outcome.map_or(0, |(_, told)| told.saturating_sub(publish.at_ns) / unit));
        number.delta_to(numbers.entry(publish.client).or_default(), publish.number);
    }
    let [client, at, channel, queue, sequence, attempt, outcome, after, number] = columns;
    packer.table(
        "publishes",
        vec![
            ("client", "plain", client),
            ("at", "delta", at),
            ("channel", "plain", channel),
            ("queue", "plain", queue),
            ("sequence", "source", sequence),
            ("attempt", "plain", attempt),
            ("outcome", "plain", outcome),
            ("after", "plain", after),
            ("number", "source", number),
        ],
    );
}

fn receipts(packer: &mut Packer, log: &EventLog, unit: u64) {
    let mut columns: [Column; 8] = Default::default();
    let [channel, at, queue, publish, how, tag, settled, after] = &mut columns;
    let mut tags = BTreeMap::new();
    for receipt in &log.receipts {
        channel.plain(receipt.channel.into());
        at.delta(receipt.at_ns / unit);
        queue.plain(receipt.queue.into());
        // 0 is nobody's.
        publish.delta(receipt.publish.map_or(0, |publish| u64::from(publish) + 1));
        how.plain(u64::from(receipt.redelivered) | (u64::from(receipt.got) << 1));
        tag.delta_to(tags.entry(receipt.channel).or_default(), receipt.tag);
        settled.plain(receipt.settled.map_or(0, |(settled, _)| settled as u64));
        after.plain(receipt.settled.map_or(0, |(_, at)| at.saturating_sub(receipt.at_ns) / unit));
    }
    let [channel, at, queue, publish, how, tag, settled, after] = columns;
    packer.table(
        "receipts",
        vec![
            ("channel", "plain", channel),
            ("at", "delta", at),
            ("queue", "plain", queue),
            ("publish", "delta", publish),
            ("how", "plain", how),
            ("tag", "source", tag),
            ("settled", "plain", settled),
            ("after", "plain", after),
        ],
    );
}

/// The sources of the table: `[kind, node, group]`, by their number in its first column.
fn replicas(packer: &mut Packer, log: &EventLog, unit: u64) -> Vec<[u32; 3]> {
    let mut numbers: BTreeMap<[u32; 3], usize> = BTreeMap::new();
    let mut sources = Vec::new();
    let mut last: Vec<(i64, i64)> = Vec::new();
    let mut columns: [Column; 4] = Default::default();
    let [source, at, what, more] = &mut columns;
    for ReplicaEvent { at_ns, node, group, kind, what: index, more: rest } in &log.replicas {
        let key = [*kind as u32, *node, *group];
        let number = *numbers.entry(key).or_insert_with(|| {
            sources.push(key);
            last.push((0, 0));
            sources.len() - 1
        });
        let (last_what, last_more) = &mut last[number];
        source.plain(number as u64);
        at.delta(at_ns / unit);
        what.delta_to(last_what, *index);
        more.delta_to(last_more, *rest);
    }
    let [source, at, what, more] = columns;
    let columns =
        vec![("source", "plain", source), ("at", "delta", at), ("what", "source", what), ("more", "source", more)];
    packer.table("replicas", columns);
    sources
}

fn disks(packer: &mut Packer, log: &EventLog) {
    let mut columns: [Column; 6] = Default::default();
    let [node, at, syncs, held, slowed, failed] = &mut columns;
    for sample in &log.disks {
        node.plain(sample.node.into());
        at.delta(sample.sample);
        syncs.plain(sample.syncs);
        held.plain(sample.held);
        slowed.plain(sample.slowed);
        failed.plain(sample.failed);
    }
    let [node, at, syncs, held, slowed, failed] = columns;
    let columns = vec![
        ("node", "plain", node),
        ("at", "delta", at),
        ("syncs", "plain", syncs),
        ("held", "plain", held),
        ("slowed", "plain", slowed),
        ("failed", "plain", failed),
    ];
    packer.table("disks", columns);
}

fn links(packer: &mut Packer, log: &EventLog) {
    let mut columns: [Column; 6] = Default::default();
    let [from, at, to, sent, dropped, delayed] = &mut columns;
    // The clients come first, then the nodes by number.
    let end = |end: u32| if end == LinkSample::CLIENTS { 0 } else { u64::from(end) + 1 };
    for sample in &log.links {
        from.plain(end(sample.from));
        at.delta(sample.sample);
        to.plain(end(sample.to));
        sent.plain(sample.sent);
        dropped.plain(sample.dropped);
        delayed.plain(sample.delayed);
    }
    let [from, at, to, sent, dropped, delayed] = columns;
    let columns = vec![
        ("from", "plain", from),
        ("at", "delta", at),
        ("to", "plain", to),
        ("sent", "plain", sent),
        ("dropped", "plain", dropped),
        ("delayed", "plain", delayed),
    ];
    packer.table("links", columns);
}

/// The largest unit in which every time is a whole number: mostly a millisecond.
fn unit(log: &EventLog) -> u64 {
    let publishes = log.publishes.iter().flat_map(|publish| [Some(publish.at_ns), publish.outcome.map(|(_, at)| at)]);
    let receipts = log.receipts.iter().flat_map(|receipt| [Some(receipt.at_ns), receipt.settled.map(|(_, at)| at)]);
    let replicas = log.replicas.iter().map(|event| Some(event.at_ns));
    match publishes.chain(receipts).chain(replicas).flatten().fold(0, gcd) {
        0 => 1,
        unit => unit,
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, i| word << 8 | u32::from(group.get(i).copied().unwrap_or(0)));
        for digit in 0..4 {
            let value = word >> (18 - 6 * digit) & 63;
            out.push(if digit <= group.len() { DIGITS[value as usize].into() } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_everyone_else() {
        let cases = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn an_empty_log_has_a_layout_too() {
        let packed = Packed::new(&EventLog::default());
        assert_eq!(packed.layout["tables"]["publishes"]["rows"], 0);
        assert_eq!(packed.layout["unit"], 1);
    }
}
