//! What `explain` and `diff` tell of runs, with a script in the place of the simulation.

mod carrier;
mod exported;

use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    path::Path,
    sync::{Mutex, atomic::AtomicBool},
};

use ferret::{
    check::Invariant,
    cli::{self, Interrupt, Request, Simulate, Simulated, Streams, Style, exit},
    explain::Narrator,
    history::{
        ChannelId, ClientId, Connection, Delivery, Event, EventKind, History, MessageId, Nanos, NodeDown,
        PublishOutcome, QueueId, Settle, Stray,
    },
    progress::Progress,
    run::{self, Bare, RunOptions},
    scenario::Scenario,
};
use ferret_reports::{ChaosRecord, FaultRecord, InvariantVerdict, RunRecord, SometimesResult, ThresholdResult};
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use tempfile::TempDir;
use warren::platform::{GroupId, LogIndex, NodeId, Observation, RecoveredState, Term};

const SCENARIO: &str = r#"version = 1
name = "told"
run = { duration = "10s" }
cluster = { nodes = 3 }
queues = [{ name = "orders" }]
publishers = [{ name = "pub", queue = "orders", rate = 1 }]
consumers = [{ name = "con", queue = "orders" }]
"#;

const GROUP: GroupId = GroupId(2);
const MS: u64 = 1_000_000;

/// Gives the histories that it holds, one per run.
struct Script(Mutex<Vec<History>>);

impl Simulate for Script {
    type Event = String;

    fn simulate(&self, scenario: &Scenario, seed: u64, _: &Request, _: &AtomicBool, _: &Progress) -> Simulated<String> {
        let history = self.0.lock().expect("no test panics with it").remove(0);
        let record = judged(scenario, seed, &history);
        Simulated::of(record, history)
    }

    fn bare(&self, _: &Scenario, _: &Simulated<String>) -> Option<Bare> {
        None
    }

    fn describe(event: &String, _: &[String]) -> String {
        event.clone()
    }
}

/// The record of a run with this history, as the checkers see it.
fn judged(scenario: &Scenario, seed: u64, history: &History) -> RunRecord {
    let mut scenario = scenario.clone();
    scenario.path = "told.toml".to_owned();
    let fault = FaultRecord {
        step: 1,
        line: 8,
        kind: "power-loss".into(),
        description: "cut the power of n1 (leader of orders) for 2 s".into(),
        began_ns: Some(1_050 * MS),
        ended_ns: Some(3_050 * MS),
        nodes: vec!["n1".into()],
        effect: "n1 lost 212 unsynced bytes".into(),
        bit: true,
        may_miss: false,
    };
    let faults = if history.faults.is_empty() { Vec::new() } else { vec![fault] };
    let mut record = run::judged(&scenario, seed, &RunOptions::default(), history.clone(), faults);
    record.wall_seconds = 0.5;
    record
}

struct Tape(History);

impl Tape {
    fn new() -> Self {
        Self(History {
            clients: ["pub-1", "con-1", "drain-1"].map(str::to_owned).to_vec(),
            queues: vec!["orders".into()],
            nodes: [1, 2, 3].map(NodeId).to_vec(),
            faults: Vec::new(),
            locks: Vec::new(),
            events: Vec::new(),
            ..History::default()
        })
    }

    fn at(&mut self, ms: u64, kind: EventKind) -> &mut Self {
        self.0.events.push(Event { at: Nanos(ms * MS), kind });
        self
    }

    fn node(&mut self, ms: u64, node: u64, observation: Observation) -> &mut Self {
        self.at(ms, EventKind::Observed { node: NodeId(node), observation })
    }

    /// Three nodes, a queue led by n1, a publisher there, a consumer with n2.
    fn begin(&mut self) -> &mut Self {
        for node in 1..=3 {
            self.at(0, EventKind::NodeUp { node: NodeId(node) });
            self.node(100, node, Observation::GroupOpened { group: GROUP, queue: "orders".into() });
        }
        self.node(200, 1, Observation::BecameLeader { group: GROUP, term: Term(1) });
        self.open(300, 0, 1, 3);
        self.open(310, 1, 2, 4);
        self.at(320, EventKind::Subscribe { channel: ChannelId(1), queue: QueueId(0), prefetch: 50, no_ack: false })
    }

    /// The client opens a channel of its own number at the node, which knows it by another.
    fn open(&mut self, ms: u64, client: u32, node: u64, channel: u64) {
        let from = format!("{}:50000", self.0.clients[client as usize]);
        self.node(ms, node, Observation::ChannelOpened { channel, client: from });
        let (client, channel, node) = (ClientId(client), ChannelId(client), NodeId(node));
        self.at(ms, EventKind::ChannelOpened { client, channel, node, connection: Connection::New });
    }

    fn publish(&mut self, ms: u64, sequence: u64) -> &mut Self {
        self.at(ms, EventKind::Publish { message: message(sequence), queue: QueueId(0), channel: ChannelId(0) })
    }

    fn appended(&mut self, ms: u64, node: u64, index: u64, term: u64) -> &mut Self {
        let (index, term) = (LogIndex(index), Term(term));
        self.node(ms, node, Observation::Appended { group: GROUP, index, term, hash: index.0 * 7 + term.0 })
    }

    fn applied(&mut self, ms: u64, node: u64, index: u64, term: u64) -> &mut Self {
        let (index, term) = (LogIndex(index), Term(term));
        self.node(ms, node, Observation::Committed { group: GROUP, index, term });
        self.node(ms, node, Observation::Enqueued { group: GROUP, last: index.0 });
        self.node(
            ms,
            node,
            Observation::Applied { group: GROUP, index, term, hash: index.0 * 7 + term.0, state_hash: index.0 },
        )
    }

    /// As `applied`, of entry 1, and the message goes to the consumer with n2.
    fn given(&mut self, ms: u64, node: u64) -> &mut Self {
        let (index, term, owner) = (LogIndex(1), Term(1), NodeId(2));
        self.node(ms, node, Observation::Committed { group: GROUP, index, term });
        self.node(ms, node, Observation::Enqueued { group: GROUP, last: 1 });
        let assigned = Observation::Assigned { group: GROUP, message: 1, owner, channel: 4, consumer: None, count: 0 };
        self.node(ms, node, assigned);
        self.node(ms, node, Observation::Applied { group: GROUP, index, term, hash: 8, state_hash: 1 })
    }

    fn confirmed(&mut self, ms: u64, sequence: u64) -> &mut Self {
        self.at(ms, EventKind::PublishOutcome { message: message(sequence), outcome: PublishOutcome::Confirmed })
    }

    fn end(&mut self) -> History {
        self.at(9_000, EventKind::LoadStopped).at(9_000, EventKind::Healed).at(9_100, EventKind::DrainBegan);
        self.at(9_200, EventKind::DrainEnded { complete: true, reason: String::new() }).at(9_300, EventKind::Ended);
        std::mem::take(&mut self.0)
    }
}

fn message(sequence: u64) -> MessageId {
    MessageId { publisher: ClientId(0), sequence, attempt: 1 }
}

/// A node comes back with a log that ends at this index, of this term.
fn recovered((index, term): (u64, u64)) -> Observation {
    Observation::Recovered(Box::new(RecoveredState {
        group: GROUP,
        term: Term(1),
        vote: None,
        commit: LogIndex(0),
        snapshot: (LogIndex(0), Term(0)),
        last: (LogIndex(index), Term(term)),
    }))
}

/// n1 confirms what only its memory holds, and loses power.
fn loss() -> History {
    let mut tape = Tape::new();
    tape.0.faults = vec!["cut the power of n1 (leader of orders) for 2 s".into()];
    tape.begin().publish(1_000, 1).appended(1_002, 1, 1, 1).appended(1_004, 2, 1, 1);
    tape.applied(1_010, 1, 1, 1).confirmed(1_012, 1);
    tape.at(1_050, EventKind::FaultBegan { fault: 0 });
    tape.at(1_050, EventKind::NodeDown { node: NodeId(2), how: NodeDown::Killed });
    tape.at(1_050, EventKind::NodeDown { node: NodeId(1), how: NodeDown::PowerLost });
    tape.at(1_500, EventKind::NodeUp { node: NodeId(2) }).node(1_520, 2, recovered((0, 0)));
    tape.node(2_000, 3, Observation::BecameLeader { group: GROUP, term: Term(2) });
    tape.appended(2_010, 3, 1, 2).appended(2_020, 2, 1, 2);
    // What n2 has on disk now is the other entry, and no part of the story.
    tape.node(2_030, 2, Observation::Persisted { group: GROUP, last: LogIndex(1) });
    tape.at(3_050, EventKind::FaultEnded { fault: 0 }).at(3_050, EventKind::NodeUp { node: NodeId(1) });
    tape.node(3_080, 1, recovered((0, 0)));
    tape.end()
}

/// The same publish without a fault: delivered and acked.
fn delivery() -> History {
    let mut tape = Tape::new();
    tape.begin().publish(1_000, 1).appended(1_002, 1, 1, 1).appended(1_004, 2, 1, 1).appended(1_005, 3, 1, 1);
    for (ms, node) in [(1_006, 1), (1_007, 2)] {
        tape.node(ms, node, Observation::Persisted { group: GROUP, last: LogIndex(1) });
    }
    tape.node(1_007, 2, Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(1) });
    tape.given(1_010, 1).confirmed(1_012, 1).given(1_013, 2);
    tape.node(1_013, 2, Observation::Delivered { group: GROUP, message: 1, channel: 4, count: 0, tag: 1 });
    let delivery = Delivery { message: Some(message(1)), redelivered: false, delivery_count: None, tag: 1 };
    tape.at(1_016, EventKind::Deliver { channel: ChannelId(1), queue: QueueId(0), delivery });
    tape.at(1_020, EventKind::Settle { channel: ChannelId(1), tag: 1, settle: Settle::Ack { multiple: false } });
    tape.end()
}

/// Runs of the given histories, and what the command line then says.
struct Told {
    folder: TempDir,
}

impl Told {
    fn of(histories: Vec<History>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let file = folder.path().join("told.toml");
        fs::write(&file, SCENARIO).expect("a scenario is written");
        for (number, history) in histories.into_iter().enumerate() {
            let out = folder.path().join(format!("run-{}", number + 1));
            let args = [text(&file), "--out", text(&out), "--seed", "1"];
            call("run", &args, &Script(Mutex::new(vec![history])));
        }
        Self { folder }
    }

    fn call(&self, verb: &str, runs: &[&str], options: &[&str]) -> (u8, String) {
        let runs: Vec<String> = runs.iter().map(|run| self.folder.path().join(run).display().to_string()).collect();
        let args: Vec<&str> = runs.iter().map(String::as_str).chain(options.iter().copied()).collect();
        let (code, told) = call(verb, &args, &Script(Mutex::default()));
        (code, told.replace(&self.folder.path().display().to_string(), "DIR"))
    }
}

fn call(verb: &str, args: &[&str], script: &Script) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        let verb = ["ferret", verb];
        let args = verb.iter().chain(args).map(OsString::from);
        cli::main(args, script, &Interrupt::default(), &mut streams)
    };
    (code, String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn the_story_of_a_lost_message_is_told_across_client_log_replicas_and_faults() {
    let runs = Told::of(vec![loss()]);
    let (code, told) = runs.call("explain", &["run-1"], &[]);
    assert_eq!(code, exit::PASS, "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn the_life_of_any_message_is_told() {
    let runs = Told::of(vec![delivery()]);
    let (code, told) = runs.call("explain", &["run-1"], &["--message", "pub-1/1"]);
    assert_eq!(code, exit::PASS, "{told}");
    insta::assert_snapshot!(told);
    let refused = |message: &str| runs.call("explain", &["run-1"], &["--message", message]);
    let never = "ferret: pub-1 never published pub-1/9; its last is pub-1/1\n";
    assert_eq!(refused("pub-1/9"), (exit::USAGE, never.to_owned()));
    assert_eq!(refused("con-1/1").1, "ferret: con-1 published nothing\n");
    assert!(refused("417").1.starts_with("ferret: `417` is no message: write PUBLISHER/NUMBER"));
}

#[test]
fn the_last_message_of_the_publisher_in_the_witness_is_told_of_and_no_others() {
    let mut tape = Tape::new();
    tape.0.faults = vec!["cut the power of n1 (leader of orders) for 2 s".into()];
    tape.begin().publish(1_000, 1).appended(1_002, 1, 1, 1).applied(1_010, 1, 1, 1).confirmed(1_012, 1);
    let other = MessageId { publisher: ClientId(1), ..message(1) };
    tape.at(1_020, EventKind::Publish { message: other, queue: QueueId(0), channel: ChannelId(1) });
    tape.at(1_040, EventKind::PublishOutcome { message: other, outcome: PublishOutcome::Confirmed });
    for (ms, message, tag) in [(1_045, message(1), 1), (1_046, other, 2)] {
        let delivery = Delivery { message: Some(message), redelivered: false, delivery_count: None, tag };
        tape.at(ms, EventKind::Deliver { channel: ChannelId(1), queue: QueueId(0), delivery });
        tape.at(ms + 1, EventKind::Settle { channel: ChannelId(1), tag, settle: Settle::Ack { multiple: false } });
    }
    tape.at(1_050, EventKind::FaultBegan { fault: 0 });
    let what = Stray::Outcome { tag: 398, outcome: PublishOutcome::Confirmed };
    tape.at(1_060, EventKind::Stray { channel: ChannelId(0), what });
    let (_, told) = Told::of(vec![tape.end()]).call("explain", &["run-1"], &[]);
    let told = told.replace('\n', " ");
    assert!(told.contains("tag 398"), "{told}");
    let last =
        "The witness names no message; the last one of its publisher's that was confirmed until then was pub-1/1.";
    assert!(told.contains(last) && !told.contains("con-1/1 was published"), "{told}");
}

#[test]
fn two_runs_are_told_apart_by_their_first_different_event_and_their_figures() {
    let runs = Told::of(vec![delivery(), loss()]);
    let (code, told) = runs.call("diff", &["run-1", "run-2"], &[]);
    assert_eq!(code, exit::PASS, "{told}");
    insta::assert_snapshot!(told);
    let (_, same) = runs.call("diff", &["run-1", "run-1"], &[]);
    assert!(same.contains("the histories are equal: 36 events\nno figure moved\n"), "{same}");
}

#[test]
fn a_diff_names_what_only_one_of_two_runs_has() {
    let runs = Told::of(vec![delivery(), delivery()]);
    let file = runs.folder.path().join("run-2/told/seed-1/run.json");
    let mut record: RunRecord = serde_json::from_slice(&fs::read(&file).expect("a record")).expect("it is a record");
    let mut added = record.invariants[0].clone();
    added.name = "newer".to_owned();
    record.invariants.push(added);
    let liveness = record.invariants.iter_mut().find(|invariant| invariant.name == "liveness").expect("it is judged");
    liveness.verdict = InvariantVerdict::NotRecoverable;
    record.sometimes.push(SometimesResult { name: "rarely".to_owned(), required: false, count: 3 });
    let (point, sentence) = ("raft.message-lost".to_owned(), "a message is lost".to_owned());
    record.chaos.push(ChaosRecord { point, sentence, asked: 900, fired: 7 });
    let (name, limit) = ("unavailable.max".to_owned(), "< 400ms".to_owned());
    record.thresholds.push(ThresholdResult { name, limit, measured: Some("1.2s".to_owned()), held: false });
    fs::write(&file, serde_json::to_vec(&record).expect("it is JSON")).expect("it is written");
    let (_, told) = runs.call("diff", &["run-1", "run-2"], &[]);
    insta::assert_snapshot!(told);
    let (_, back) = runs.call("diff", &["run-2", "run-1"], &[]);
    assert_eq!(back.lines().count(), told.lines().count(), "the other way round, as much differs: {back}");
}

#[test]
fn each_invariant_of_a_record_says_what_it_promises() {
    let scenario = Scenario::parse("told.toml", SCENARIO).expect("the scenario is valid");
    let record = judged(&scenario, 1, &delivery());
    assert!(record.invariants.len() > 10);
    for result in &record.invariants {
        let invariant = Invariant::from_name(&result.name).expect("it has a name of ours");
        assert_eq!(result.promise, invariant.describe());
    }
}

#[test]
fn a_history_of_another_run_or_not_whole_is_not_told() {
    let runs = Told::of(vec![delivery()]);
    let file = runs.folder.path().join("run-1/told/seed-1/history.jsonl.gz");
    let mut text = String::new();
    MultiGzDecoder::new(&fs::read(&file).expect("a history")[..]).read_to_string(&mut text).expect("it is text");
    let told = |text: &str| {
        let mut bytes = GzEncoder::new(Vec::new(), Compression::fast());
        bytes.write_all(text.as_bytes()).expect("it is compressed");
        fs::write(&file, bytes.finish().expect("it is compressed")).expect("it is written");
        runs.call("explain", &["run-1"], &["--message", "pub-1/1"])
    };
    assert_eq!(told(&text).0, exit::PASS);
    let short = text.trim_end().rsplit_once('\n').expect("there are lines").0;
    let (code, said) = told(&format!("{short}\n"));
    assert!(code == exit::USAGE && said.contains("it has 35 of 36 events"), "{said}");
    let (code, said) = told(&text.replacen("\"trace_hash\":\"", "\"trace_hash\":\"5", 1));
    assert!(code == exit::USAGE && said.contains("it is of trace 5"), "{said}");
    let (_, said) = told(&text.replacen("\"trace_hash\"", "\"earlier\"", 1).replacen("\"events\"", "\"older\"", 1));
    assert!(said.contains("pub-1/1 was published"), "what an earlier version left is told: {said}");
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let runs = Told::of(Vec::new());
    let (code, told) = runs.call("explain", &["."], &[]);
    assert_eq!(code, exit::USAGE);
    assert_eq!(
        told,
        "ferret: DIR/. has no run.json, nor has any folder below it: name a folder that `ferret run` left\n"
    );
    let (code, told) = runs.call("diff", &["nowhere", "nowhere"], &[]);
    assert_eq!(code, exit::USAGE);
    assert!(told.starts_with("ferret: DIR/nowhere: No such file"), "{told}");
}

#[test]
fn a_file_that_is_no_record_is_not_taken_for_one_of_another_version() {
    let runs = Told::of(vec![loss()]);
    let place = "run-1/told/seed-1/run.json";
    let file = runs.folder.path().join(place);
    let mend = "name a folder that `ferret run` left, or the run.json in it\n";
    let explained = |text: &str| {
        fs::write(&file, text).expect("it is written");
        runs.call("explain", &[place], &[])
    };
    for (text, why) in [
        (r#"{"mine": 1}"#, ""),
        ("[1]", ""),
        ("{", " (or it is damaged: EOF while parsing an object at line 1 column 1)"),
    ] {
        assert_eq!(explained(text), (exit::USAGE, format!("ferret: DIR/{place} is no record of a run{why}: {mend}")));
    }
    let (_, told) = explained(r#"{"version": 1, "trace_hash": "0123"}"#);
    assert!(told.starts_with(&format!("ferret: DIR/{place} was written by another version of Ferret: ")), "{told}");
    let told = runs.call("explain", &["told.toml"], &[]);
    assert_eq!(told, (exit::USAGE, format!("ferret: DIR/told.toml is no record of a run: {mend}")));
}

#[test]
fn the_worst_of_several_runs_is_explained_and_a_diff_wants_one() {
    let runs = Told::of(vec![delivery(), loss()]);
    let (_, told) = runs.call("explain", &["."], &[]);
    assert!(told.contains("broke no-confirmed-loss"), "{told}");
    let (code, told) = runs.call("diff", &[".", "run-1"], &[]);
    assert_eq!(code, exit::USAGE);
    assert!(
        told.starts_with("ferret: DIR/. holds 2 runs; name one of them, such as DIR/./run-1/told/seed-1"),
        "{told}"
    );
    let violated = |run: &RunRecord| run.invariants.iter().any(|one| one.verdict == InvariantVerdict::Violated);
    let record = fs::read(runs.folder.path().join("run-1/told/seed-1/run.json")).expect("the run left its record");
    assert!(!violated(&serde_json::from_slice(&record).expect("it is a record")), "its twin is well");
}

#[test]
fn what_somebody_else_wrote_into_a_record_gives_no_orders_to_a_terminal() {
    let runs = Told::of(vec![loss(), delivery()]);
    let file = runs.folder.path().join("run-1/told/seed-1/run.json");
    let mut record: RunRecord = serde_json::from_slice(&fs::read(&file).expect("it is there")).expect("a record");
    let orders = "\u{1b}[31m\u{1b}]0;pwn\u{7}\u{9b}2J\u{202e}";
    record.scenario.name += orders;
    record.replay += orders;
    fs::write(&file, serde_json::to_vec(&record).expect("it is JSON")).expect("it is written");
    let shown = r"\u{1b}[31m\u{1b}]0;pwn\u{7}\u{9b}2J\u{202e}";
    for (verb, args, options, shown) in [
        ("explain", &["run-1"][..], &[][..], shown.to_owned()),
        ("diff", &["run-1", "run-2"], &[], shown.to_owned()),
        ("export", &["run-1"], &["--format", "openmetrics"], shown.replace('\\', r"\\")),
    ] {
        let (code, told) = runs.call(verb, args, options);
        assert!(code != exit::USAGE && told.contains(&shown), "{verb}: {told}");
        assert!(!told.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{verb}: {told:?}");
    }
    let (code, told) = call("judge", &["no\u{1b}[2Jthing"], &Script(Mutex::default()));
    assert!(code == exit::INVALID_SCENARIO && told.contains(r"no\u{1b}[2Jthing"), "{told:?}");
}
