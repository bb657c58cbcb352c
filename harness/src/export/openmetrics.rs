//! The figures of a run as OpenMetrics text (the format of Prometheus, version 1.0.0): counts, latency histograms,
//! verdicts. Each sample carries the scenario and the seed; values are exact for both, so nothing here is a rate or an
//! estimate. Samples carry no time: virtual time means nothing to a database of real times.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use ferret_reports::{EventLog, InvariantVerdict, Outcome, RunRecord};

use crate::{history::History, run::event_log, visible};

/// Upper edges of the latency buckets, in seconds, as the format writes them.
const EDGES: [(&str, u64); 14] = [
    ("0.001", 1_000_000),
    ("0.002", 2_000_000),
    ("0.005", 5_000_000),
    ("0.01", 10_000_000),
    ("0.02", 20_000_000),
    ("0.05", 50_000_000),
    ("0.1", 100_000_000),
    ("0.2", 200_000_000),
    ("0.5", 500_000_000),
    ("1.0", 1_000_000_000),
    ("2.0", 2_000_000_000),
    ("5.0", 5_000_000_000),
    ("10.0", 10_000_000_000),
    ("30.0", 30_000_000_000),
];

type Labels<'a> = &'a [(&'a str, &'a str)];

/// Writes the figures; returns how many samples there are.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, record: &RunRecord, history: &History) -> io::Result<u64> {
    let seed = record.seed.to_string();
    let mut text =
        Exposition { out, run: [("scenario", &record.scenario.name), ("seed", &seed)], family: "", samples: 0 };
    about(&mut text, record)?;
    messages(&mut text, record)?;
    latencies(&mut text, record, &event_log(history))?;
    cluster(&mut text, record)?;
    judged(&mut text, record)?;
    text.out.write_all(b"# EOF\n")?;
    Ok(text.samples)
}

fn about(text: &mut Exposition<'_>, record: &RunRecord) -> io::Result<()> {
    let mut labels = vec![("trace_hash", record.trace_hash.as_str()), ("verdict", record.verdict.name())];
    labels.extend(record.sabotage.as_deref().map(|bug| ("sabotage", bug)));
    text.family("ferret_run", "info", "", "The run and its verdict.")?;
    text.sample("_info", &labels, 1)?;
    text.family("ferret_virtual_time_seconds", "gauge", "seconds", "How long the run lasted, in virtual time.")?;
    text.sample("", &[], Seconds(record.timeline.end_ns))?;
    text.family("ferret_trace_events", "counter", "", "Events that went into the trace hash.")?;
    text.sample("_total", &[], record.trace_events)
}

fn messages(text: &mut Exposition<'_>, record: &RunRecord) -> io::Result<()> {
    let counts = &record.messages;
    text.family("ferret_publishes", "counter", "", "Attempts to publish that were handed to a socket.")?;
    text.sample("_total", &[], counts.published)?;
    text.family("ferret_publish_outcomes", "counter", "", "What publishers were told of their attempts.")?;
    let outcomes = [
        ("confirmed", counts.confirmed),
        ("nacked", counts.nacked),
        ("returned", counts.returned),
        ("unknown", counts.unknown),
    ];
    for (outcome, count) in outcomes {
        text.sample("_total", &[("outcome", outcome)], count)?;
    }
    text.family("ferret_deliveries", "counter", "", "Messages that clients received, by a get or a delivery.")?;
    text.sample("_total", &[("redelivered", "false")], counts.delivered - counts.redelivered.min(counts.delivered))?;
    text.sample("_total", &[("redelivered", "true")], counts.redelivered)?;
    text.family("ferret_settles", "counter", "", "Acks, rejects and nacks that clients sent.")?;
    text.sample("_total", &[], counts.settled)?;
    text.family("ferret_drained", "counter", "", "Messages that the final drain found in the queues.")?;
    text.sample("_total", &[], counts.drained)
}

fn latencies(text: &mut Exposition<'_>, record: &RunRecord, log: &EventLog) -> io::Result<()> {
    let confirms = log.publishes.iter().filter_map(|publish| match publish.outcome {
        Some((Outcome::Confirmed, at)) => Some(at - publish.at_ns),
        _ => None,
    });
    let help = "From a publish to its confirm, in virtual time.";
    text.histogram("ferret_confirm_latency_seconds", help, confirms)?;
    let mut first: BTreeMap<u32, u64> = BTreeMap::new();
    for receipt in &log.receipts {
        if let Some(publish) = receipt.publish {
            first.entry(publish).or_insert(receipt.at_ns);
        }
    }
    let ways = first.iter().map(|(row, at)| at.saturating_sub(log.publishes[*row as usize].at_ns));
    let help = "From a publish to the first receipt of its message, in virtual time.";
    text.histogram("ferret_end_to_end_latency_seconds", help, ways)?;
    let help = "The longest time without any confirm while publishers waited.";
    text.family("ferret_unavailable_max_seconds", "gauge", "seconds", help)?;
    text.sample("", &[], Seconds(record.latency.unavailable_max_ns))?;
    // Where no fault ended, nothing took 0 s to recover.
    if !record.latency.recovery_measured {
        return Ok(());
    }
    let help = "The longest time from the end of a fault to the next confirm.";
    text.family("ferret_recovery_max_seconds", "gauge", "seconds", help)?;
    text.sample("", &[], Seconds(record.latency.recovery_max_ns))
}

fn cluster(text: &mut Exposition<'_>, record: &RunRecord) -> io::Result<()> {
    let timeline = &record.timeline;
    let mut terms: BTreeMap<&str, u64> = BTreeMap::new();
    for span in &timeline.leaders {
        *terms.entry(&span.group).or_default() += 1;
    }
    text.family("ferret_elections", "counter", "", "How often a node became leader of a queue, or of the metadata.")?;
    for (group, count) in terms {
        text.sample("_total", &[("group", group)], count)?;
    }
    let help = "How long a node's process did not run, in virtual time.";
    text.family("ferret_node_down_seconds", "gauge", "seconds", help)?;
    for node in &timeline.nodes {
        let spans = timeline.down.iter().filter(|span| span.node == *node);
        let down = spans.map(|span| span.to_ns.unwrap_or(timeline.end_ns).saturating_sub(span.from_ns)).sum();
        text.sample("", &[("node", node)], Seconds(down))?;
    }
    let mut faults: BTreeMap<(&str, bool), u64> = BTreeMap::new();
    for fault in record.faults.iter().filter(|fault| fault.began_ns.is_some()) {
        *faults.entry((&fault.kind, fault.bit)).or_default() += 1;
    }
    text.family("ferret_faults", "counter", "", "Faults that began, and whether they had an effect.")?;
    for ((kind, bit), count) in faults {
        text.sample("_total", &[("kind", kind), ("effect", if bit { "true" } else { "false" })], count)?;
    }
    text.family("ferret_chaos_turns", "counter", "", "How often a chaos point took its rare turn.")?;
    for point in &record.chaos {
        text.sample("_total", &[("point", &point.point)], point.fired)?;
    }
    Ok(())
}

fn judged(text: &mut Exposition<'_>, record: &RunRecord) -> io::Result<()> {
    text.family("ferret_invariant", "stateset", "", "What is known of an invariant.")?;
    for invariant in &record.invariants {
        for verdict in InvariantVerdict::ALL {
            let labels = [("invariant", invariant.name.as_str()), ("ferret_invariant", verdict.name())];
            text.sample("", &labels, u64::from(invariant.verdict == verdict))?;
        }
    }
    text.family("ferret_checks", "counter", "", "How many things an invariant was checked on.")?;
    for invariant in &record.invariants {
        text.sample("_total", &[("invariant", &invariant.name)], invariant.checked)?;
    }
    text.family("ferret_sometimes", "counter", "", "How often something happened that should happen sometimes.")?;
    for sometimes in &record.sometimes {
        text.sample("_total", &[("event", &sometimes.name)], sometimes.count)?;
    }
    Ok(())
}

/// The text so far.
struct Exposition<'a> {
    out: &'a mut dyn Write,
    /// The labels of every sample.
    run: [(&'a str, &'a str); 2],
    family: &'static str,
    samples: u64,
}

impl Exposition<'_> {
    /// Begins a family of samples; the unit, if any, is the end of its name.
    fn family(&mut self, name: &'static str, kind: &str, unit: &str, help: &str) -> io::Result<()> {
        debug_assert!(name.ends_with(unit));
        self.family = name;
        writeln!(self.out, "# TYPE {name} {kind}")?;
        if !unit.is_empty() {
            writeln!(self.out, "# UNIT {name} {unit}")?;
        }
        writeln!(self.out, "# HELP {name} {help}")
    }

    fn sample(&mut self, suffix: &str, labels: Labels<'_>, value: impl std::fmt::Display) -> io::Result<()> {
        let labels = self.run.iter().chain(labels).map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        self.samples += 1;
        writeln!(self.out, "{}{suffix}{{{labels}}} {value}", self.family)
    }

    fn histogram(&mut self, name: &'static str, help: &str, values: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        self.family(name, "histogram", "seconds", help)?;
        for (edge, nanos) in EDGES {
            self.sample("_bucket", &[("le", edge)], values.partition_point(|value| *value <= nanos))?;
        }
        self.sample("_bucket", &[("le", "+Inf")], values.len())?;
        self.sample("_count", &[], values.len())?;
        self.sample("_sum", &[], Seconds(values.iter().sum()))
    }
}

/// Nanoseconds, written as seconds without loss.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// A label's value between its quotes. The format would take control characters as they are; they are orders to the
/// terminal that the text may be read on.
fn escaped(value: &str) -> String {
    let lines: Vec<String> = value.split('\n').map(visible::line).collect();
    lines.join("\n").replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}
