//! From a scenario back to the text of a file.
//!
//! [`Scenario::to_toml`] writes what [`Scenario::parse`] reads to the same scenario; what has its default is left out.

mod step;

use std::{fmt::Write, time::Duration};

use super::{AckMode, BACKLOG, ClientKind, Placement, Publishers, QueueKind, Scenario, Spread, Take, repro::TEXT_HASH};

impl Scenario {
    /// The text of a file that says the same. Thresholds and what must happen sometimes are written too; line numbers
    /// and comments are those of the new text.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let out = &mut text;
        line(out, "version", 1);
        line(out, "name", quoted(&self.name));
        if !self.description.is_empty() {
            line(out, "description", quoted(&self.description));
        }
        if !self.tags.is_empty() {
            line(out, "tags", list(&self.tags));
        }
        if let Some(sabotage) = self.sabotage {
            line(out, "sabotage", quoted(sabotage.name()));
        }
        if let Some(sabotage) = self.matching_sabotage {
            line(out, "matching-sabotage", quoted(sabotage.name()));
        }
        self.write_run(out);
        out.push_str("\n[cluster]\n");
        line(out, "nodes", self.cluster.nodes);
        if self.cluster.spares > 0 {
            line(out, "spares", self.cluster.spares);
        }
        if self.cluster.compact_after != 4096 {
            line(out, "compact-after", self.cluster.compact_after);
        }
        if self.cluster.backlog != BACKLOG {
            line(out, "backlog", quoted(&format!("{}B", self.cluster.backlog)));
        }
        for queue in &self.queues {
            out.push_str("\n[[queues]]\n");
            line(out, "name", quoted(&queue.name));
            let QueueKind::Quorum = queue.kind;
            if queue.group_size != self.cluster.nodes.min(3) {
                line(out, "group-size", queue.group_size);
            }
        }
        self.write_clients(out);
        if !self.steps.is_empty() {
            out.push_str("\n[timeline]\nsteps = [\n");
            for step in &self.steps {
                let _ = writeln!(out, "  {},", self.step(step));
            }
            out.push_str("]\n");
        }
        self.write_expect(out);
        if let Some(repro) = &self.repro {
            out.push_str("\n[repro]\n");
            line(out, "violates", quoted(&repro.violates));
            line(out, "trace", quoted(&repro.trace));
            let rest = [("build", &repro.build), ("found-by", &repro.found_by), (TEXT_HASH, &repro.text_hash)];
            for (key, value) in rest {
                if !value.is_empty() {
                    line(out, key, quoted(value));
                }
            }
        }
        text
    }

    fn write_run(&self, out: &mut String) {
        let run = &self.run;
        out.push_str("\n[run]\n");
        line(out, "duration", time(run.duration));
        let seconds = Duration::from_secs;
        for (key, value, default) in [
            ("drain", run.drain, seconds(20)),
            ("liveness", run.liveness, seconds(15)),
            ("publish-timeout", run.publish_timeout, seconds(10)),
            ("tick", run.tick, Duration::from_millis(1)),
        ] {
            if value != default {
                line(out, key, time(value));
            }
        }
        line(out, "seeds", format!("{{ from = {}, count = {} }}", run.seeds.from, run.seeds.count));
        if run.client != ClientKind::Native {
            line(out, "client", quoted(run.client.name()));
        }
        if run.chaos != 0.0 {
            line(out, "chaos", run.chaos);
        }
        let mut net = Vec::new();
        if run.net.latency != millis(1, 5) {
            net.push(format!("latency = {}", times(run.net.latency)));
        }
        for (key, share) in [("loss", run.net.loss), ("duplicate", run.net.duplicate)] {
            if share != 0.0 {
                net.push(format!("{key} = {share}"));
            }
        }
        if !net.is_empty() {
            line(out, "net", format!("{{ {} }}", net.join(", ")));
        }
        if run.disk.sync != millis(1, 3) {
            line(out, "disk", format!("{{ sync = {} }}", times(run.disk.sync)));
        }
    }

    fn write_clients(&self, out: &mut String) {
        let head = |out: &mut String, table: &str, name: &str, count: u32, queue: usize| {
            let _ = writeln!(out, "\n[[{table}]]");
            line(out, "name", quoted(name));
            if count != 1 {
                line(out, "count", count);
            }
            line(out, "queue", quoted(&self.queues[queue].name));
        };
        for group in &self.publishers {
            let Publishers { name, count, queue, confirms, rate, messages, body, in_flight, retry, node } = group;
            head(out, "publishers", name, *count, *queue);
            line(out, "rate", rate);
            if let Some(messages) = messages {
                line(out, "messages", messages);
            }
            if *body != Spread::exactly(128) {
                line(out, "body", sizes(*body));
            }
            if !confirms {
                line(out, "confirms", false);
            }
            if *in_flight != 100 {
                line(out, "in-flight", in_flight);
            }
            if !retry {
                line(out, "retry", false);
            }
            self.write_placement(out, *node);
        }
        for group in &self.consumers {
            head(out, "consumers", &group.name, group.count, group.queue);
            if group.ack == AckMode::Auto {
                line(out, "ack", quoted("auto"));
            }
            if group.prefetch != 50 {
                line(out, "prefetch", group.prefetch);
            }
            if group.work != Spread::exactly(Duration::ZERO) {
                line(out, "work", times(group.work));
            }
            if group.requeue != 0.0 {
                line(out, "requeue", group.requeue);
            }
            self.write_placement(out, group.node);
        }
        for group in &self.getters {
            head(out, "getters", &group.name, group.count, group.queue);
            line(out, "rate", group.rate);
            if group.ack == AckMode::Auto {
                line(out, "ack", quoted("auto"));
            }
            self.write_placement(out, group.node);
        }
        for group in &self.lockers {
            head(out, "lockers", &group.name, group.count, group.queue);
            if group.take == Take::Consume {
                line(out, "take", quoted("consume"));
            } else {
                line(out, "retry", times(group.retry));
            }
            line(out, "hold", times(group.hold));
            self.write_placement(out, group.node);
        }
    }

    fn write_placement(&self, out: &mut String, node: Placement) {
        if let Placement::At(target) = node {
            line(out, "node", self.target(&target));
        }
    }

    fn write_expect(&self, out: &mut String) {
        let expect = &self.expect;
        out.push_str("\n[expect]\n");
        let names = |set: &std::collections::BTreeSet<super::Invariant>| {
            list(&set.iter().map(|invariant| invariant.name()).collect::<Vec<_>>())
        };
        line(out, "invariants", names(&expect.invariants));
        if !expect.violated.is_empty() {
            line(out, "violated", names(&expect.violated));
        }
        if !expect.sometimes.is_empty() {
            line(out, "sometimes", list(&expect.sometimes.iter().map(|what| what.name()).collect::<Vec<_>>()));
        }
        if !expect.thresholds.is_empty() {
            let limit = |one: &super::Threshold| format!("{} = {}", quoted(one.metric.name()), quoted(&one.text));
            let limits: Vec<String> = expect.thresholds.iter().map(limit).collect();
            line(out, "thresholds", format!("{{ {} }}", limits.join(", ")));
        }
    }
}

fn line(out: &mut String, key: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{key} = {value}");
}

/// A string as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.replace(['\n', '\r'], " ")).to_string()
}

fn list<T: AsRef<str>>(items: &[T]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(item.as_ref())).collect::<Vec<_>>().join(", "))
}

fn millis(min: u64, max: u64) -> Spread<Duration> {
    Spread { min: Duration::from_millis(min), max: Duration::from_millis(max) }
}

/// A duration without loss, in the largest unit that has it whole.
pub(crate) fn length(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
    let (size, unit) = units.into_iter().find(|(size, _)| nanos.is_multiple_of(*size)).unwrap_or((1, "ns"));
    format!("{}{unit}", nanos / size)
}

fn time(duration: Duration) -> String {
    quoted(&length(duration))
}

fn times(spread: Spread<Duration>) -> String {
    if spread.min == spread.max {
        return time(spread.min);
    }
    quoted(&format!("{}..{}", length(spread.min), length(spread.max)))
}

fn sizes(spread: Spread<u64>) -> String {
    if spread.min == spread.max {
        return quoted(&format!("{}B", spread.min));
    }
    quoted(&format!("{}B..{}B", spread.min, spread.max))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scenario` without what only the text knows: places.
    fn placeless(mut scenario: Scenario) -> Scenario {
        scenario.text.clear();
        for step in &mut scenario.steps {
            (step.line, step.span) = (0, 0..0);
        }
        scenario
    }

    fn shipped() -> Vec<(String, Scenario)> {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios");
        let mut found = Vec::new();
        let mut folders = vec![std::path::PathBuf::from(root)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("the folder is there") {
                let path = entry.expect("it can be read").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "toml")
                    && !crate::gate::is_policy(&path)
                {
                    let text = std::fs::read_to_string(&path).expect("it can be read");
                    let name = path.display().to_string();
                    let scenario = Scenario::parse(&name, &text).expect("shipped scenarios are valid");
                    found.push((name, scenario));
                }
            }
        }
        found
    }

    #[test]
    fn what_is_written_is_read_to_the_same_scenario() {
        let shipped = shipped();
        assert!(shipped.len() > 10);
        for (name, scenario) in shipped {
            let text = scenario.to_toml();
            let again = Scenario::parse(&name, &text).unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
            assert_eq!(placeless(again), placeless(scenario), "{name}");
        }
    }

    #[test]
    fn every_action_is_written_as_it_is_read() {
        let text = r#"
version = 1
name = "actions"
description = "A \"quoted\" name"
run = { duration = "60s", client = "native", tick = "500us" }
cluster = { nodes = 5, backlog = "16KiB" }
queues = [{ name = "orders", group-size = 5 }]
publishers = [{ name = "pub", queue = "orders", rate = 0.5, messages = 7, confirms = false, retry = false }]
[timeline]
steps = [
  { at = "1s", partition = { bridge = "n1" }, for = "1500ms" },
  { at = "2s", partition = { ring = "all" }, for = "1s" },
  { at = "3s", one-way = { from = "n1", to = ["n2", "n3"] }, for = "1s" },
  { at = "4s", disk-stall = { node = "all", what = "all" }, for = "1s" },
  { at = "5s", disk-slow = { node = "n1", sync = "10ms..20ms" }, for = "1s" },
  { at = "6s", latency = { from = "n1", to = "n2", add = "1ms..2ms" }, for = "1s" },
  { at = "7s", reorder = { from = "n1", to = "n2", share = 0.25, delay = "3ms" }, for = "1s" },
  { at = "8s", bandwidth = { from = "n1", to = "n2", rate = "10KiB" }, for = "1s" },
  { at = "9s", flap = { isolate = "n1", period = "500ms" }, for = "3s" },
  { at = "10s", rolling-restart = { node = "all" } },
  { at = "11s", slow-cpu = { node = "n1", poll = "100us" }, for = "1s" },
  { at = "12s", disk-error = { node = "n1", what = "no-space" }, for = "1s" },
  { at = "13s", bit-rot = { node = "n1", bits = 3 }, may-miss = true },
  { at = "14s", clock-jump = { node = "n1", back = "1234567ns" }, for = "1s" },
  { at = "15s", clock-drift = { node = "n1", rate = 0.9 }, for = "1s" },
  { at = "16s", clock-freeze = { node = "n1", what = "wall" }, for = "1s" },
  { at = "17s", slow-consumer = { client = "pub", poll = "1ms" }, for = "1s" },
  { at = "18s", client-crash = { client = "pub" }, for = "1s" },
  { at = "19s", churn = { client = "pub", every = "300ms" }, for = "1s" },
  { at = "19s", channel-close = { client = "pub", every = "300ms" }, for = "1s" },
  { at = "19s", channel-close = { client = "pub", every = "300ms", how = "error" }, for = "1s" },
  { at = "19s", ignore-flow = { client = "pub" }, for = "1s" },
  { at = "20s", reset = { client = "pub" } },
  { at = "21s", wipe = { node = "n2" }, for = "1s" },
  { at = "22s", restart = { node = "n2" } },
  { at = "23s", heal = "all" },
  { at = "24s", transfer-leader = { queue = "orders", to = "n2" } },
  { at = "25s", grow = { queue = "orders", node = "any" }, may-miss = true },
  { after = { confirmed = 10 }, delay = "1ms..2ms", pause = { node = "n1" }, for = "1s" },
  { when = "leader-changed:orders", pause = { node = "n1" }, for = "1s" },
  { when = "down:any", pause = { node = "n1" }, for = "1s" },
  { at = "1s", every = "2s..3s", until = "40s", pause = { node = "n1" }, for = "1s" },
  { every = "5s", count = 3, pause = { node = "n1" }, for = "1s" },
]
[expect]
invariants = ["durability"]
sometimes = ["leader-changed"]
thresholds = { "confirm.p99" = "< 400ms" }
[repro]
violates = "durability"
trace = "0123456789abcdef"
text-hash = "fedcba9876543210"
"#;
        let scenario = Scenario::parse("actions.toml", text).expect("the scenario is valid");
        let written = scenario.to_toml();
        let again =
            Scenario::parse("actions.toml", &written).unwrap_or_else(|problems| panic!("{written}{problems:?}"));
        assert_eq!(placeless(again), placeless(scenario));
    }

    #[test]
    fn durations_are_written_in_the_largest_unit_that_has_them_whole() {
        let written =
            [5_000_000_000, 1_500_000_000, 250_000, 1_234_567].map(|nanos| length(Duration::from_nanos(nanos)));
        assert_eq!(written, ["5s", "1500ms", "250us", "1234567ns"]);
    }
}
