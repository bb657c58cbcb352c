//! One scenario with one seed: build the world, load it, break it, drain it, judge it.

mod bare;
mod cast;
mod events;
mod measure;
mod samples;
mod stage;
mod timeline;
mod verdict;

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use ferret_reports::{
    FaultRecord, InvariantResult, InvariantVerdict, Latency, MessageCounts, PANIC, RECORD_VERSION, RunRecord,
    ScenarioInfo, Timeline, Verdict, WitnessEvent, WitnessKind,
};
use warren::platform::Sabotage;

pub(crate) use self::cast::cluster_address;
pub use self::{
    bare::{Bare, bare},
    events::event_log,
    stage::Played,
    verdict::time as metric_time,
};
use crate::{
    check::{self, CheckConfig, Invariant},
    history::History,
    progress::{Phase, Progress},
    scenario::{ClientKind, Scenario},
    search::thread_cpu,
    sim::{self, LogLine, Packet, SimError, TraceEvent},
};

/// What the command line may change of a scenario.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Plants this bug, whatever the scenario says.
    pub sabotage: Option<Sabotage>,
    /// Runs with this client library, whatever the scenario says.
    pub client: Option<ClientKind>,
    /// Keeps every event of the trace, for comparing two runs.
    pub record_trace: bool,
    /// Ends the run at this virtual time, unjudged but for what is violated by then.
    pub until: Option<Duration>,
    /// Keeps what brokers say through `tracing`.
    pub log: bool,
    /// Keeps every packet that goes over the wire.
    pub packets: bool,
}

/// What a run leaves.
pub struct RunOutput {
    pub record: RunRecord,
    /// Empty unless asked for.
    pub trace: Vec<TraceEvent>,
    /// Empty unless asked for.
    pub packets: Vec<Packet>,
    /// The names of the machines that trace and packets speak of, by number.
    pub machines: Vec<String>,
    pub history: History,
    /// What brokers said; empty unless asked for.
    pub log: Vec<LogLine>,
    /// The processor time of the simulation's own thread, if the system tells.
    pub cpu: Option<Duration>,
}

/// Runs `scenario` with `seed`, on a thread of its own, until it is done or `stop` is set.
pub fn run(scenario: &Scenario, seed: u64, options: &RunOptions, stop: &AtomicBool, progress: &Progress) -> RunOutput {
    #[expect(clippy::disallowed_methods, reason = "wall time is for the reader; the simulation never sees it")]
    let began = Instant::now();
    let mut scenario = scenario.clone();
    scenario.sabotage = options.sabotage.or(scenario.sabotage);
    scenario.run.client = options.client.unwrap_or(scenario.run.client);
    let scenario = scenario.drawn_by_swarm(seed);
    let played = sim::run_isolated(seed, || {
        let play = || stage::play(&scenario, seed, options, stop, progress);
        if options.log {
            let (mut played, log) = sim::listen(play);
            played.log = log;
            (played, thread_cpu())
        } else {
            (play(), thread_cpu())
        }
    });
    let (played, cpu) = played.unwrap_or_else(|error| (Played { failure: Some(error), ..Played::default() }, None));
    progress.enter(Phase::Judging);
    let mut output = judge(&scenario, seed, options, played);
    output.cpu = cpu;
    output.record.wall_seconds = began.elapsed().as_secs_f64();
    progress.enter(Phase::Done);
    output
}

/// The record of a history from elsewhere, judged as a run of `scenario` is.
pub fn judged(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    history: History,
    faults: Vec<FaultRecord>,
) -> RunRecord {
    let roles = cast::names(scenario).1;
    judge(scenario, seed, options, Played { history, faults, roles, ..Played::default() }).record
}

fn judge(scenario: &Scenario, seed: u64, options: &RunOptions, played: Played) -> RunOutput {
    let history = played.history;
    let config = CheckConfig { liveness_bound: scenario.run.liveness };
    let mut record = blank_record(scenario, seed, options);
    record.trace_hash = format!("{:016x}", played.trace_hash);
    record.trace_events = played.trace_events;
    record.faults = played.faults;
    record.chaos = played.chaos;
    record.virtual_seconds = history.events.last().map_or(0.0, |last| last.at.seconds());
    record.messages = measure::messages(&history);
    record.latency = measure::latency(&history);
    record.timeline = timeline::timeline(&history, &played.roles, record.latency.bucket_ns);
    record.invariants = check::check(&history, &config, &Invariant::ALL);
    for result in &mut record.invariants {
        result.required = verdict::required(&scenario.expect, &result.name);
    }
    let (panic, failure) = blame(scenario, &history, played.failure);
    record.invariants.extend(panic);
    record.thresholds = verdict::thresholds(&scenario.expect, &record.latency, &history);
    record.sometimes = verdict::sometimes(&history, &scenario.expect.sometimes);
    (record.verdict, record.reasons) =
        verdict::verdict(&scenario.expect, &record.invariants, &record.faults, &record.thresholds);
    if record.messages.published == 0 {
        record.verdict = record.verdict.max(Verdict::Vacuous);
        record.reasons.push("nothing was published: there was nothing to lose".into());
    }
    if played.stopped || failure.is_some() || record.panicked() {
        (record.verdict, record.reasons) = verdict::of_a_part(&scenario.expect, &record.invariants);
    }
    if played.stopped {
        record.verdict = record.verdict.max(Verdict::Incomplete);
        record.reasons.push("the run was stopped before its end".into());
    }
    if let Some(error) = failure {
        record.verdict = Verdict::Internal;
        record.reasons.insert(0, format!("the simulation failed: {error}"));
    }
    let Played { trace, packets, machines, log, .. } = played;
    RunOutput { record, trace, packets, machines, history, log, cpu: None }
}

/// Whose fault it is that a simulation could not go on: a broker's that fails an assertion of its own, which breaks a
/// promise of it, or the harness's.
fn blame(
    scenario: &Scenario,
    history: &History,
    failure: Option<SimError>,
) -> (Option<InvariantResult>, Option<SimError>) {
    match failure {
        Some(SimError::Panic { machine: Some(machine), task, message })
            if scenario
                .cluster
                .node_ids()
                .chain(scenario.cluster.spare_ids())
                .any(|node| node.to_string() == machine) =>
        {
            let error = SimError::Panic { machine: Some(machine.clone()), task, message };
            let at_ns = history.events.last().map_or(0, |last| last.at.0);
            let what = format!("panicked in task `{task}`");
            let witness = vec![WitnessEvent { at_ns, who: machine, what, kind: WitnessKind::NodeDown }];
            let result = InvariantResult {
                name: PANIC.to_owned(),
                promise: "no broker fails an assertion of its own".to_owned(),
                verdict: InvariantVerdict::Violated,
                required: true,
                checked: scenario.cluster.nodes + scenario.cluster.spares,
                unit: "brokers".to_owned(),
                explanation: Some(error.to_string()),
                witness,
            };
            (Some(result), None)
        }
        other => (None, other),
    }
}

/// The record of a run of which nothing is known yet.
pub(crate) fn blank_record(scenario: &Scenario, seed: u64, options: &RunOptions) -> RunRecord {
    RunRecord {
        version: RECORD_VERSION,
        scenario: ScenarioInfo {
            name: scenario.name.clone(),
            description: scenario.description.clone(),
            path: scenario.path.clone(),
            text: scenario.text.clone(),
            tags: scenario.tags.clone(),
        },
        seed,
        sabotage: scenario.sabotage.map(|sabotage| sabotage.name().into()),
        client: options.client.map(|client| client.name().into()),
        trace_hash: String::new(),
        trace_events: 0,
        replay: replay_line(scenario, seed, options.sabotage, options.client),
        verdict: Verdict::Pass,
        reasons: Vec::new(),
        invariants: Vec::new(),
        faults: Vec::new(),
        chaos: Vec::new(),
        sometimes: Vec::new(),
        thresholds: Vec::new(),
        messages: MessageCounts::default(),
        virtual_seconds: 0.0,
        wall_seconds: 0.0,
        timeline: Timeline::default(),
        latency: Latency::default(),
    }
}

/// The command that runs the same again, with the planted bug and the client that the command line asked for.
pub(crate) fn replay_line(
    scenario: &Scenario,
    seed: u64,
    sabotage: Option<Sabotage>,
    client: Option<ClientKind>,
) -> String {
    let swarm = if scenario.swarm.is_some() { " --swarm" } else { "" };
    let mut line = format!("ferret run {}{swarm} --seed {seed}", quoted(&scenario.path));
    if let Some(sabotage) = sabotage {
        line += &format!(" --sabotage {}", sabotage.name());
    }
    if let Some(client) = client {
        line += &format!(" --client {}", client.name());
    }
    line
}

/// A path as a shell takes it.
pub(crate) fn quoted(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if path.bytes().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimError;

    #[test]
    fn a_panic_of_a_broker_is_a_violation_that_names_it_and_its_task_and_any_other_an_internal_error() {
        let text = r#"
version = 1
name = "panic"
run = { duration = "1s" }
cluster = { nodes = 3 }
queues = [{ name = "orders" }]
publishers = [{ name = "pub", queue = "orders", rate = 1 }]
"#;
        let scenario = Scenario::parse("panic.toml", text).expect("the scenario is valid");
        let failure =
            SimError::Panic { machine: Some("n2".into()), task: "replication", message: "index out of bounds".into() };
        let played = Played { failure: Some(failure), ..Played::default() };
        let record = judge(&scenario, 7, &RunOptions::default(), played).record;
        assert_eq!(record.verdict, Verdict::Violated);
        assert!(record.panicked());
        let [reason] = &record.reasons[..] else { panic!("what was not reached is no reason: {:?}", record.reasons) };
        for part in ["panic is violated", "n2", "replication", "index out of bounds"] {
            assert!(reason.contains(part), "{reason}");
        }
        // A client, or the simulation itself, is the harness's.
        for machine in [Some("pub-1".into()), None] {
            let failure = SimError::Panic { machine, task: "main", message: "index out of bounds".into() };
            let played = Played { failure: Some(failure), ..Played::default() };
            assert_eq!(judge(&scenario, 7, &RunOptions::default(), played).record.verdict, Verdict::Internal);
        }
    }
}
