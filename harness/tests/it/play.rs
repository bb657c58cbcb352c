//! Whole runs of a small cluster under a small load, for tests of what faults do and of what a run concludes.

use std::sync::atomic::AtomicBool;

use ferret::{
    history::{EventKind, Nanos, PublishOutcome},
    progress::Progress,
    run::{self, RunOptions, RunOutput},
    scenario::Scenario,
};
use ferret_reports::{ConnectionSpan, FaultRecord};

pub const SECOND: u64 = 1_000_000_000;

/// A scenario in pieces; what is not set here is the same in all.
pub struct Play {
    /// Lines under `[run]`.
    pub run: &'static str,
    pub clients: &'static str,
    /// The timeline's steps.
    pub steps: &'static str,
    /// Lines under `[expect]`.
    pub expect: &'static str,
    pub seed: u64,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            run: "duration = \"4s\"",
            clients: "[[publishers]]\nname = \"pub\"\ncount = 3\nqueue = \"orders\"\nrate = 30\n\
                      [[consumers]]\nname = \"con\"\ncount = 2\nqueue = \"orders\"\nprefetch = 20",
            steps: "",
            expect: "invariants = [\"all\"]",
            seed: 1,
        }
    }
}

impl Play {
    pub fn of(steps: &'static str) -> Self {
        Self { steps, ..Self::default() }
    }

    pub fn scenario(&self) -> Scenario {
        let Self { run, clients, steps, expect, .. } = self;
        parse(&format!(
            r#"
version = 1
name = "play"
[run]
{run}
liveness = "4s"
publish-timeout = "2s"
net = {{ latency = "1ms..3ms" }}
disk = {{ sync = "1ms..3ms" }}
[cluster]
nodes = 3
[[queues]]
name = "orders"
{clients}
[timeline]
steps = [{steps}]
[expect]
{expect}
"#
        ))
    }

    pub fn run(&self) -> RunOutput {
        run(&self.scenario(), self.seed)
    }
}

pub fn parse(text: &str) -> Scenario {
    Scenario::parse("play.toml", text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

pub fn run(scenario: &Scenario, seed: u64) -> RunOutput {
    run::run(scenario, seed, &RunOptions::default(), &AtomicBool::new(false), &Progress::default())
}

/// The one fault of the run, which must have begun and ended.
pub fn fault(output: &RunOutput) -> (&FaultRecord, u64, u64) {
    let [fault] = &output.record.faults[..] else { panic!("the timeline has one step: {:?}", output.record.faults) };
    (fault, began(fault), ended(fault))
}

pub fn began(fault: &FaultRecord) -> u64 {
    fault.began_ns.expect("the fault has begun")
}

pub fn ended(fault: &FaultRecord) -> u64 {
    fault.ended_ns.expect("the fault has ended")
}

/// Confirms that `client` got between two times, in nanoseconds.
pub fn confirms(output: &RunOutput, client: &str, from: u64, to: u64) -> usize {
    let of = |name: &str| name.starts_with(client);
    let within = |at: Nanos| (from..to).contains(&at.0);
    let events = output.history.events.iter();
    events
        .filter(|event| match &event.kind {
            EventKind::PublishOutcome { message, outcome: PublishOutcome::Confirmed } => {
                within(event.at) && of(&output.history.clients[message.publisher.0 as usize])
            }
            _ => false,
        })
        .count()
}

/// The names of the load's clients that were connected through `node` at that time.
pub fn connected(output: &RunOutput, node: &str, at: u64) -> Vec<String> {
    let lanes = output.record.timeline.clients.iter().filter(|lane| {
        let here =
            |span: &ConnectionSpan| span.node == node && span.from_ns < at && span.to_ns.is_none_or(|to| at <= to);
        lane.connections.iter().any(here)
    });
    lanes.map(|lane| lane.name.clone()).collect()
}

/// The names of the load's clients that connected anew between two times.
pub fn reconnected(output: &RunOutput, from: u64, to: u64) -> Vec<String> {
    let lanes = output.record.timeline.clients.iter();
    let anew = lanes.filter(|lane| lane.connections.iter().any(|span| (from..to).contains(&span.from_ns)));
    anew.map(|lane| lane.name.clone()).collect()
}

/// Who led the queue at that time, by the newest term.
pub fn leader(output: &RunOutput, at: u64) -> &str {
    let spans = output.record.timeline.leaders.iter();
    let leading = spans.filter(|span| span.group == "orders" && span.from_ns <= at);
    &leading.max_by_key(|span| span.term).expect("somebody led the queue by then").node
}

/// The times in which a node did not run, as (from, to, how).
pub fn downs<'a>(output: &'a RunOutput, node: &str) -> Vec<(u64, u64, &'a str)> {
    let spans = output.record.timeline.down.iter().filter(|span| span.node == node);
    spans.map(|span| (span.from_ns, span.to_ns.expect("every node is up at the end"), span.how.as_str())).collect()
}
