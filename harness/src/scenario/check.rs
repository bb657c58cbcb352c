//! From the file's text to a [`Scenario`], or to all that is wrong with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use warren::platform::Sabotage;

use super::{
    AckMode, BACKLOG, ClientKind, Cluster, Consumers, DiskSpeed, Expect, Getters, Invariant, Metric, NAME_BYTES_MAX,
    Net, Placement, Publishers, Queue, QueueKind, Repro, Run, SPARES_MAX, Scenario, Seeds, Sometimes, Spread, Target,
    Threshold,
    file::{ConsumersTable, ExpectTable, File, GettersTable, PublishersTable, QueueTable, ReproTable, RunTable},
    problem::{Problem, Problems},
    required, schema, shape,
    steps::Steps,
    target::Roles,
    text::{self, Wrong},
    values::{At, Field, Name},
};
use crate::workload::body::BODY_BYTES_MIN;

/// The least that a message's body must hold, in bytes: its identity is written there.
const BODY_MIN: u64 = BODY_BYTES_MIN as u64;
/// The largest body, in bytes.
const BODY_MAX: u64 = 16 * 1024 * 1024;

const EXAMPLE: &str = "the least there is:\n\
    version = 1\n\
    name = \"first\"\n\
    run = { duration = \"10s\" }\n\
    cluster = { nodes = 3 }\n\
    queues = [{ name = \"orders\" }]\n\
    publishers = [{ name = \"pub\", queue = \"orders\", rate = 100 }]";

impl Scenario {
    /// Reads and checks a scenario. `path` is only for messages and records.
    ///
    /// # Errors
    /// Everything that is wrong with the text, in the order of the file; only mistakes of TOML's own syntax keep the
    /// rest from being looked at.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(path, text);
        let Some(file) = shape::read::<File>("scenario", EXAMPLE, schema().as_value(), text, &mut problems) else {
            return Err(problems.into_sorted());
        };
        let scenario = Checker { problems: &mut problems, text }.scenario(path, file);
        if problems.is_empty() { Ok(scenario) } else { Err(problems.into_sorted()) }
    }
}

/// Turns tables into what they mean. What is missing or wrong has been reported; a harmless value stands in for it,
/// which nobody sees, because a file with problems never becomes a scenario.
pub(super) struct Checker<'a> {
    pub(super) problems: &'a mut Problems,
    pub(super) text: &'a str,
}

impl Checker<'_> {
    fn scenario(mut self, path: &str, file: File) -> Scenario {
        if let Field(Some(version)) = &file.version
            && version.value != 1
        {
            let message = format!("version {} of the format is not known", version.value);
            self.problems.add(
                &version.span,
                message,
                "this Ferret reads version 1",
                Some("write `version = 1`".into()),
            );
        }
        let name = self.name(&file.name, "a scenario");
        let run = self.run(&file.run);
        let nodes = file.cluster.nodes.or(3).clamp(1, 7);
        let spares = file.cluster.spares.or(0).clamp(0, SPARES_MAX);
        let queues = self.queues(&file.queues, nodes);
        let queue_names: Vec<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
        let roles = Roles { queues: &queues, nodes, spares };
        let publishers: Vec<Publishers> =
            file.publishers.iter().map(|table| self.publishers(&table.value, &queue_names, roles)).collect();
        let consumers = file.consumers.iter().map(|table| self.consumers(&table.value, &queue_names, roles)).collect();
        let getters = file.getters.iter().map(|table| self.getters(&table.value, &queue_names, roles)).collect();
        let lockers = file.lockers.iter().map(|table| self.lockers(&table.value, &queue_names, roles)).collect();
        self.locks_are_alone(&file);
        let clients = self.client_names(&file);
        let mut steps = Steps {
            problems: self.problems,
            text: self.text,
            roles,
            clients: &clients,
            publishers: &publishers,
            run: &run,
        };
        let steps = steps.check(&file.timeline.steps);
        let swarm = self.swarm(&file.swarm);
        let mut scenario = Scenario {
            name,
            description: file.description.0.map(|at| at.value).unwrap_or_default(),
            tags: file.tags.into_iter().map(|tag| tag.value).collect(),
            path: path.to_owned(),
            text: self.text.to_owned(),
            sabotage: named(&file.sabotage, Sabotage::from_name),
            matching_sabotage: named(&file.matching_sabotage, Sabotage::from_name),
            run,
            cluster: Cluster {
                nodes,
                spares,
                compact_after: file.cluster.compact_after.or(4096),
                backlog: self.problems.size(&file.cluster.backlog, Some(BACKLOG)).unwrap_or(BACKLOG),
            },
            queues,
            publishers,
            consumers,
            getters,
            lockers,
            steps,
            swarm,
            expect: Expect::default(),
            repro: file.repro.0.map(|at| repro(at.value)),
        };
        scenario.expect = self.expect(&file.expect, &scenario);
        self.swarm_draws(&file.swarm, &scenario);
        scenario
    }

    fn run(&mut self, table: &RunTable) -> Run {
        let seconds = |count| Spread::exactly(Duration::from_secs(count));
        let millis = |min, max| Spread { min: Duration::from_millis(min), max: Duration::from_millis(max) };
        let duration =
            self.time(&table.duration, seconds(60), (Duration::from_millis(100), Duration::from_secs(86_400)));
        let tick = self.time(&table.tick, millis(1, 1), (Duration::from_micros(100), Duration::from_millis(100)));
        let long = (Duration::from_millis(100), Duration::from_secs(3_600));
        let weather = (Duration::ZERO, Duration::from_secs(60));
        let seeds = match &table.seeds {
            Field(Some(seeds)) => Seeds { from: seeds.value.from.or(1), count: seeds.value.count.or(1) },
            Field(None) => Seeds { from: 1, count: 1 },
        };
        Run {
            duration,
            drain: self.time(&table.drain, seconds(20), long),
            seeds,
            tick,
            client: named(&table.client, ClientKind::from_name).unwrap_or(ClientKind::Native),
            net: Net {
                latency: self.times(&table.net.latency, millis(1, 5), weather),
                loss: table.net.loss.or(0.0),
                duplicate: table.net.duplicate.or(0.0),
            },
            disk: DiskSpeed { sync: self.times(&table.disk.sync, millis(1, 3), weather) },
            chaos: table.chaos.or(0.0),
            liveness: self.time(&table.liveness, seconds(15), long),
            publish_timeout: self.time(&table.publish_timeout, seconds(10), long),
        }
    }

    fn queues(&mut self, tables: &[At<QueueTable>], nodes: u64) -> Vec<Queue> {
        if tables.is_empty() {
            let help = "add `[[queues]]` with `name = \"orders\"`".to_owned();
            self.problems.add(&(0..0), "the scenario has no queues", "no `[[queues]]` here", Some(help));
        }
        let mut seen = BTreeMap::new();
        let mut queues = Vec::new();
        for At { value: table, .. } in tables {
            let name = self.name(&table.name, "a queue");
            self.unique(&mut seen, &table.name, "queue");
            let group_size = table.group_size.or(nodes.min(3));
            if group_size > nodes
                && let Field(Some(at)) = &table.group_size
            {
                let message = format!("a group of {group_size} does not fit into a cluster of {nodes}");
                let help = format!("write at most {nodes}, or raise `nodes` under `[cluster]`");
                self.problems.add(&at.span, message, format!("there are {nodes} nodes"), Some(help));
            }
            queues.push(Queue { name, kind: QueueKind::Quorum, group_size });
        }
        queues
    }

    fn publishers(&mut self, table: &PublishersTable, queues: &[&str], roles: Roles<'_>) -> Publishers {
        Publishers {
            name: self.name(&table.name, "a group of clients"),
            count: table.count.or(1),
            queue: self.queue(&table.queue, queues),
            confirms: table.confirms.or(true),
            rate: self.rate(&table.rate),
            messages: table.messages.0.as_ref().map(|at| at.value),
            body: self.body(table),
            in_flight: table.in_flight.or(100),
            retry: table.retry.or(true),
            node: self.placement(&table.node, roles),
        }
    }

    fn consumers(&mut self, table: &ConsumersTable, queues: &[&str], roles: Roles<'_>) -> Consumers {
        let ack = ack_mode(&table.ack);
        let requeue = table.requeue.or(0.0);
        if ack == AckMode::Auto
            && requeue > 0.0
            && let Field(Some(at)) = &table.requeue
        {
            let help = "write `ack = \"manual\"`, or leave `requeue` out".to_owned();
            self.problems.add(&at.span, "only manual acks can requeue", "the ack mode is auto", Some(help));
        }
        let longest = (Duration::ZERO, Duration::from_secs(3_600));
        Consumers {
            name: self.name(&table.name, "a group of clients"),
            count: table.count.or(1),
            queue: self.queue(&table.queue, queues),
            ack,
            prefetch: u16::try_from(table.prefetch.or(50)).unwrap_or(u16::MAX),
            work: self.times(&table.work, Spread::exactly(Duration::ZERO), longest),
            requeue,
            node: self.placement(&table.node, roles),
        }
    }

    fn getters(&mut self, table: &GettersTable, queues: &[&str], roles: Roles<'_>) -> Getters {
        Getters {
            name: self.name(&table.name, "a group of clients"),
            count: table.count.or(1),
            queue: self.queue(&table.queue, queues),
            rate: self.rate(&table.rate),
            ack: ack_mode(&table.ack),
            node: self.placement(&table.node, roles),
        }
    }

    /// The names of all groups of clients; each must be used once, and look unlike a node's.
    fn client_names(&mut self, file: &File) -> Vec<String> {
        let publishers = file.publishers.iter().map(|table| &table.value.name);
        let consumers = file.consumers.iter().map(|table| &table.value.name);
        let getters = file.getters.iter().map(|table| &table.value.name);
        let lockers = file.lockers.iter().map(|table| &table.value.name);
        let mut seen = BTreeMap::new();
        let mut names = Vec::new();
        let mut clients = 0;
        for field in publishers.chain(consumers).chain(getters).chain(lockers) {
            clients += 1;
            self.unique(&mut seen, field, "group of clients");
            names.extend(field.0.as_ref().map(|at| at.value.clone()));
        }
        if clients == 0 {
            let help = "add `[[publishers]]` with `name = \"pub\"`, `queue`, `rate = 100`".to_owned();
            self.problems.add(&(0..0), "the scenario has no clients", "nobody publishes or consumes", Some(help));
        }
        names
    }

    fn expect(&mut self, table: &ExpectTable, scenario: &Scenario) -> Expect {
        let violated = table.violated.iter().filter_map(|at| Invariant::from_name(&at.value.text)).collect();
        let all = |at: &At<Vec<At<Name<_>>>>| at.value.iter().any(|item| item.value.text == "all");
        let listed = table.invariants.0.iter().flat_map(|list| &list.value);
        let named: BTreeSet<Invariant> = listed.filter_map(|at| Invariant::from_name(&at.value.text)).collect();
        let invariants = match &table.invariants {
            Field(Some(list)) if !all(list) => named,
            // Who names one beside `all` means it, whether or not the scenario gives it something to check.
            _ => &(&required::checkable(scenario) - &violated) | &named,
        };
        for at in &table.violated {
            if Invariant::from_name(&at.value.text).is_some_and(|violated| invariants.contains(&violated)) {
                let message = format!("`{}` is expected both to hold and to be violated", at.value.text);
                self.problems.add(&at.span, message, "also under `invariants`", Some("leave it out of one".into()));
            }
        }
        Expect {
            invariants,
            violated,
            sometimes: table.sometimes.iter().filter_map(|at| Sometimes::from_name(&at.value.text)).collect(),
            thresholds: self.thresholds(table),
            effective_faults: table.effective_faults.or(0),
        }
    }

    fn thresholds(&mut self, table: &ExpectTable) -> Vec<Threshold> {
        let mut thresholds = Vec::new();
        for (name, at) in &table.thresholds {
            let Some(metric) = Metric::from_name(name) else { continue };
            match text::limit(metric, &at.value) {
                Ok((comparison, limit)) => {
                    thresholds.push(Threshold { metric, comparison, limit, text: at.value.trim().to_owned() });
                }
                Err(wrong) => self.wrong(&at.span, &format!("`{name}` has no valid limit"), wrong),
            }
        }
        thresholds
    }

    pub(super) fn name(&mut self, field: &Field<String>, of: &str) -> String {
        let Field(Some(at)) = field else { return String::new() };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let node_like = at.value.strip_prefix('n').is_some_and(|rest| rest.parse::<u64>().is_ok());
        // It names a folder too.
        let good = (1..=NAME_BYTES_MAX).contains(&at.value.len()) && !at.value.starts_with('.');
        if !good || !at.value.chars().all(allowed) {
            let message = format!("`{}` is no name for {of}", at.value);
            let label = format!("1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, not beginning with `.`");
            self.problems.add(&at.span, message, label, None);
        } else if node_like {
            let message = format!("`{}` is no name for {of}", at.value);
            self.problems.add(&at.span, message, "this is what a node is called", Some("choose another name".into()));
        }
        at.value.clone()
    }

    fn unique(&mut self, seen: &mut BTreeMap<String, u32>, field: &Field<String>, what: &str) {
        let Field(Some(at)) = field else { return };
        let line = line_of(self.text, at.span.start);
        if let Some(first) = seen.insert(at.value.clone(), line) {
            let message = format!("there are two {what}s called `{}`", at.value);
            let help = format!("the first is in line {first}; choose another name here");
            self.problems.add(&at.span, message.replace("group of clientss", "groups of clients"), "taken", Some(help));
        }
    }

    pub(super) fn queue(&mut self, field: &Field<String>, queues: &[&str]) -> usize {
        let Field(Some(at)) = field else { return 0 };
        queues.iter().position(|name| *name == at.value).unwrap_or_else(|| {
            let help = super::problem::suggestion(&at.value, queues);
            self.problems.add(&at.span, format!("unknown queue `{}`", at.value), "no such `[[queues]]`", Some(help));
            0
        })
    }

    fn rate(&mut self, field: &Field<f64>) -> f64 {
        let Field(Some(at)) = field else { return 1.0 };
        if !(at.value >= 0.001 && at.value <= 100_000.0) {
            let help = "write messages per virtual second and client, such as `rate = 100`".to_owned();
            let label = "must be from 0.001 to 100000";
            self.problems.add(&at.span, "`rate` is out of range", label, Some(help));
        }
        at.value
    }

    fn body(&mut self, table: &PublishersTable) -> Spread<u64> {
        let Field(Some(at)) = &table.body else { return Spread::exactly(128) };
        match text::size_range(&at.value.0) {
            Ok(spread) if spread.min >= BODY_MIN && spread.max <= BODY_MAX => spread,
            Ok(_) => {
                let help = format!(
                    "a body holds its message's identity: write at least `\"{BODY_MIN}B\"`, at most `\"16MiB\"`"
                );
                let label = format!("{BODY_MIN}B to 16MiB");
                self.problems.add(&at.span, "`body` is out of range", label, Some(help));
                Spread::exactly(128)
            }
            Err(wrong) => {
                self.wrong(&at.span, "this is no size", wrong);
                Spread::exactly(128)
            }
        }
    }

    pub(super) fn placement(&mut self, field: &Field<super::values::TargetText>, roles: Roles<'_>) -> Placement {
        match field {
            Field(None) => Placement::Spread,
            Field(Some(at)) if at.value.0 == "spread" => Placement::Spread,
            Field(Some(at)) => Placement::At(roles.target(&at.value.0, &at.span, self.problems).unwrap_or(Target::Any)),
        }
    }

    fn time<T: AsRef<str>>(
        &mut self,
        field: &Field<T>,
        default: Spread<Duration>,
        bounds: (Duration, Duration),
    ) -> Duration {
        let Field(Some(at)) = field else { return default.min };
        match text::duration(at.value.as_ref()) {
            Ok(duration) => {
                self.bounded(&at.span, Spread::exactly(duration), bounds);
                duration
            }
            Err(wrong) => {
                self.wrong(&at.span, "this is no duration", wrong);
                default.min
            }
        }
    }

    pub(super) fn times<T: AsRef<str>>(
        &mut self,
        field: &Field<T>,
        default: Spread<Duration>,
        bounds: (Duration, Duration),
    ) -> Spread<Duration> {
        let Field(Some(at)) = field else { return default };
        match text::duration_range(at.value.as_ref()) {
            Ok(spread) => {
                self.bounded(&at.span, spread, bounds);
                spread
            }
            Err(wrong) => {
                self.wrong(&at.span, "this is no duration", wrong);
                default
            }
        }
    }

    fn bounded(&mut self, span: &Range<usize>, spread: Spread<Duration>, (least, most): (Duration, Duration)) {
        if spread.min < least || spread.max > most {
            let label = format!("must be between {least:?} and {most:?}");
            self.problems.add(span, "this duration is out of range", label, None);
        }
    }

    fn wrong(&mut self, span: &Range<usize>, message: &str, wrong: Wrong) {
        self.problems.add(span, message, wrong.what, Some(wrong.help));
    }
}

impl<T: Copy> Field<T> {
    pub(super) fn or(&self, default: T) -> T {
        self.0.as_ref().map_or(default, |at| at.value)
    }
}

fn repro(table: ReproTable) -> Repro {
    let text = |field: Field<String>| field.0.map(|at| at.value).unwrap_or_default();
    Repro {
        violates: table.violates.0.map(|at| at.value.text).unwrap_or_default(),
        trace: text(table.trace),
        build: text(table.build),
        found_by: text(table.found_by),
        text_hash: text(table.text_hash),
    }
}

/// The thing that a name stands for; the schema has checked that it is known.
pub(super) fn named<K, T>(field: &Field<Name<K>>, from_name: impl Fn(&str) -> Option<T>) -> Option<T> {
    field.0.as_ref().and_then(|at| from_name(&at.value.text))
}

fn ack_mode<K>(field: &Field<Name<K>>) -> AckMode {
    let mode = |name: &str| if name == "auto" { AckMode::Auto } else { AckMode::Manual };
    field.0.as_ref().map_or(AckMode::Manual, |at| mode(&at.value.text))
}

/// The 1-based line of the byte at `offset`.
pub(crate) fn line_of(text: &str, offset: usize) -> u32 {
    let breaks = text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).unwrap_or(u32::MAX - 1) + 1
}
