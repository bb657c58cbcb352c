//! The command line, with a script in the place of the simulation.

mod tree;

use std::{
    ffi::OsString,
    fs,
    io::Read,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use ferret::{
    cli::{self, Interrupt, Request, Simulate, Simulated, Streams, Style, exit},
    history::{Event, EventKind, History, Nanos},
    progress::Progress,
    run::Bare,
    scenario::Scenario,
};
use ferret_reports::{
    FaultRecord, InvariantResult, InvariantVerdict, Latency, MessageCounts, Quantiles, RECORD_VERSION, RunRecord,
    ScenarioInfo, SometimesResult, Timeline, Verdict, WitnessEvent, WitnessKind,
};
use tempfile::TempDir;

pub const SCENARIO: &str = r#"version = 1
name = "NAME"
run = { duration = "10s", seeds = { from = 1, count = 2 } }
cluster = { nodes = 3 }
queues = [{ name = "orders" }]
publishers = [{ name = "pub", queue = "orders", rate = 100 }]
"#;

/// A simulation whose runs all end alike, but for what the test says.
#[derive(Default)]
pub struct Script {
    /// Seeds that end with this verdict instead of a pass.
    pub bad: Option<(u64, Verdict)>,
    /// They do so only with a planted bug.
    pub planted: bool,
    /// The second run of a seed differs from the first at the third event.
    pub wavers: bool,
    pub second: AtomicBool,
    /// What is required and never happens.
    pub never: bool,
    /// Ctrl-C comes while the first run is under way.
    pub interrupted: Option<Interrupt>,
    pub panics: bool,
    /// What is violated is that no broker panics.
    pub falls: bool,
    /// Every latency is so many times longer.
    pub slower: u64,
    /// The seeds that were run, as they were begun.
    pub ran: std::sync::Mutex<Vec<u64>>,
    /// Lets the scenario's swarm draw, as the simulation does.
    pub draws: bool,
}

impl Simulate for Script {
    type Event = String;

    fn simulate(
        &self,
        scenario: &Scenario,
        seed: u64,
        request: &Request,
        stop: &AtomicBool,
        _: &Progress,
    ) -> Simulated<String> {
        assert!(!self.panics, "the script panics");
        self.ran.lock().expect("no run panics with it").push(seed);
        let mut record = passed(scenario, seed);
        let ms = 1_000_000 * (1 + self.slower);
        let quantiles =
            Quantiles { count: 1200, p50_ns: 20 * ms, p90_ns: 30 * ms, p99_ns: (40 + seed) * ms, max_ns: 90 * ms };
        record.latency.confirm = Some(quantiles);
        record.latency.unavailable_max_ns = 700 * ms;
        record.latency.recovery_measured = seed == 3;
        record.sometimes.push(SometimesResult { name: "redelivered".to_owned(), required: false, count: seed });
        if self.draws {
            record.scenario.text = scenario.clone().drawn_by_swarm(seed).text;
        }
        record.sabotage = request.sabotage.map(|sabotage| sabotage.name().to_owned());
        if let Some((bad, verdict)) = self.bad
            && bad == seed
            && (request.sabotage.is_some() || !self.planted)
        {
            record.verdict = verdict;
            if verdict == Verdict::Violated {
                violate(&mut record);
            }
            if self.falls {
                let violated = record.invariants.iter_mut().find(|one| one.verdict == InvariantVerdict::Violated);
                violated.expect("the run is violated").name = ferret_reports::PANIC.to_owned();
            }
        }
        if self.never {
            let name = "leader-changed".to_owned();
            record.sometimes.push(SometimesResult { name, required: true, count: 0 });
        }
        if let Some(interrupt) = &self.interrupted {
            interrupt.ask();
            assert!(stop.load(Ordering::SeqCst), "the run is told to stop");
            record.verdict = Verdict::Incomplete;
        }
        let mut trace = Vec::new();
        if request.record_trace {
            let wavers = self.wavers && self.second.swap(true, Ordering::SeqCst);
            let third = if wavers { "n1 sends to n3" } else { "n1 sends to n2" };
            trace = ["n1 starts", "n2 starts", third, "n2 receives"].map(str::to_owned).to_vec();
        }
        let events = vec![Event { at: Nanos(5), kind: EventKind::LoadStopped }];
        let history = History { clients: vec!["pub-1".to_owned()], events, ..History::default() };
        Simulated { trace, ..Simulated::of(record, history) }
    }

    fn bare(&self, _: &Scenario, _: &Simulated<String>) -> Option<Bare> {
        None
    }

    fn describe(event: &String, _: &[String]) -> String {
        event.clone()
    }
}

fn passed(scenario: &Scenario, seed: u64) -> RunRecord {
    let invariant = |name: &str, unit: &str, checked| InvariantResult {
        name: name.to_owned(),
        promise: "what is written stays".to_owned(),
        verdict: if checked > 0 { InvariantVerdict::Holds } else { InvariantVerdict::Vacuous },
        required: checked > 0,
        checked,
        unit: unit.to_owned(),
        explanation: None,
        witness: Vec::new(),
    };
    RunRecord {
        version: RECORD_VERSION,
        scenario: ScenarioInfo {
            name: scenario.name.clone(),
            description: String::new(),
            path: scenario.path.clone(),
            text: scenario.text.clone(),
            tags: scenario.tags.clone(),
        },
        seed,
        sabotage: None,
        client: None,
        trace_hash: format!("{seed:016x}"),
        trace_events: 4,
        replay: format!("ferret run scenario.toml --seed {seed}"),
        verdict: Verdict::Pass,
        reasons: Vec::new(),
        invariants: vec![
            invariant("no-confirmed-loss", "confirmed messages", 1200),
            invariant("no-phantom", "deliveries", 1234),
            invariant("one-leader-per-term", "terms", 3),
            invariant("requeue-order", "requeues", 0),
        ],
        chaos: Vec::new(),
        faults: vec![FaultRecord {
            step: 1,
            line: 7,
            kind: "partition".to_owned(),
            description: "isolate n2 for 4 s".to_owned(),
            began_ns: Some(3),
            ended_ns: Some(7),
            nodes: vec!["n2".to_owned()],
            effect: "dropped 1,204 packets".to_owned(),
            bit: true,
            may_miss: false,
        }],
        sometimes: Vec::new(),
        thresholds: Vec::new(),
        messages: MessageCounts { published: 1210, confirmed: 1200, ..MessageCounts::default() },
        virtual_seconds: 20.0,
        wall_seconds: 0.8,
        timeline: Timeline::default(),
        latency: Latency::default(),
    }
}

fn violate(record: &mut RunRecord) {
    let explanation = "message pub-1/417 was confirmed at 14.203 s by n1; n1 lost its unsynced log at 14.210 s; n2 was \
                       elected";
    record.reasons = vec![format!("no-confirmed-loss is violated: {explanation}")];
    let result = &mut record.invariants[0];
    result.verdict = InvariantVerdict::Violated;
    result.explanation = Some(explanation.to_owned());
    let event =
        |at_ns, who: &str, kind, what: &str| WitnessEvent { at_ns, who: who.to_owned(), kind, what: what.to_owned() };
    result.witness = vec![
        event(14_203_000_000, "pub-1", WitnessKind::Client, "message 417 confirmed"),
        event(14_210_000_000, "n1", WitnessKind::NodeDown, "lost power, and 2,112 unsynced bytes"),
    ];
}

/// What a call of the command line did.
pub struct Call {
    pub code: u8,
    pub out: String,
    pub err: String,
    out_folder: std::path::PathBuf,
    /// Removed when the call is looked at.
    _folder: TempDir,
}

/// `ferret VERB FOLDER …` on a folder with the given files; `run` leaves its results in a folder beside.
pub fn ferret(verb: &str, files: &[(&str, &str)], options: &[&str], script: &Script) -> Call {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let scenarios = folder.path().join("scenarios");
    fs::create_dir_all(&scenarios).expect("a folder for the scenarios");
    for (name, text) in files {
        let path = scenarios.join(name);
        fs::create_dir_all(path.parent().expect("files have folders")).expect("a folder for the file");
        fs::write(path, text).expect("a scenario is written");
    }
    let out_folder = folder.path().join("out");
    let mut args: Vec<OsString> = vec!["ferret".into(), verb.into(), scenarios.clone().into()];
    if verb == "run" {
        args.extend(["--out".into(), out_folder.clone().into()]);
    }
    args.extend(options.iter().map(OsString::from));
    let interrupt = script.interrupted.clone().unwrap_or_default();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        cli::main(args, script, &interrupt, &mut streams)
    };
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).expect("output is text");
        crate::workspace::without_hash(&text.replace(&*folder.path().to_string_lossy(), "FOLDER"))
    };
    Call { code, out: text(out), err: text(err), out_folder, _folder: folder }
}

pub fn named(name: &str) -> String {
    SCENARIO.replace("NAME", name)
}

fn two() -> (String, String) {
    (named("first"), named("second-longer"))
}

#[test]
fn a_run_prints_one_line_per_seed_then_each_verdict_then_a_summary() {
    let (first, second) = two();
    let files = [("a.toml", first.as_str()), ("deep/b.toml", second.as_str()), ("notes.txt", "not a scenario")];
    let call = ferret("run", &files, &[], &Script::default());
    assert_eq!(call.code, 0, "{}", call.err);
    assert_eq!(call.err, "");
    insta::assert_snapshot!(call.out);
}

#[test]
fn a_violation_is_shown_with_its_witness_and_its_replay() {
    let script = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    let call = ferret("run", &[("a.toml", &named("first"))], &[], &script);
    assert_eq!(call.code, 100);
    insta::assert_snapshot!(call.out);
}

#[test]
fn json_is_one_object_per_run_and_nothing_else() {
    let call = ferret("run", &[("a.toml", &named("first"))], &["--message-format", "json"], &Script::default());
    assert_eq!((call.code, call.err.as_str()), (0, ""));
    let objects: Vec<serde_json::Value> =
        call.out.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    assert_eq!(objects.len(), 2);
    insta::assert_snapshot!(serde_json::to_string_pretty(&objects[0]).expect("it was one before"));
}

#[test]
fn a_run_leaves_its_record_its_history_and_its_reports() {
    let call = ferret("run", &[("a.toml", &named("first"))], &["--seed", "9"], &Script::default());
    assert_eq!(call.code, 0);
    let text = |path: &str| fs::read_to_string(call.out_folder.join(path)).expect(path);
    let record: RunRecord = serde_json::from_str(&text("first/seed-9/run.json")).expect("run.json is a record");
    assert_eq!((record.seed, record.verdict), (9, Verdict::Pass));
    for (file, holds) in [
        ("report.html", "<html"),
        ("first/seed-9/report.html", "<html"),
        ("junit.xml", "<testsuite"),
        ("summary.md", "first"),
    ] {
        assert!(text(file).contains(holds), "{file} holds {holds}");
    }
    let packed = fs::File::open(call.out_folder.join("first/seed-9/history.jsonl.gz")).expect("there is a history");
    let mut history = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut history).expect("the history is whole");
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains("pub-1"), "the header names the clients: {}", lines[0]);
    let event: Event = serde_json::from_str(lines[1]).expect("each line is an event");
    assert_eq!(event.at, Nanos(5));
}

#[test]
fn the_worst_verdict_decides_the_exit_code() {
    for (verdict, code) in [
        (Verdict::Vacuous, 104),
        (Verdict::Threshold, 99),
        (Verdict::Incomplete, 5),
        (Verdict::Undecided, 102),
        (Verdict::Violated, 100),
        (Verdict::NotDeterministic, 103),
        (Verdict::Internal, 1),
    ] {
        let script = Script { bad: Some((1, verdict)), ..Script::default() };
        assert_eq!(ferret("run", &[("a.toml", &named("first"))], &[], &script).code, code, "{verdict:?}");
    }
}

#[test]
fn two_equal_runs_are_deterministic() {
    let options = ["--verify-determinism", "--seed", "1"];
    let call = ferret("run", &[("a.toml", &named("first"))], &options, &Script::default());
    assert_eq!(call.code, 0, "{}", call.out);
}

#[test]
fn the_first_event_that_differs_between_two_runs_is_shown_with_what_came_before() {
    let script = Script { wavers: true, ..Script::default() };
    let call = ferret("run", &[("a.toml", &named("first"))], &["--verify-determinism", "--seed", "1"], &script);
    assert_eq!(call.code, 103);
    insta::assert_snapshot!(call.out);
}

#[test]
fn a_sample_of_a_sweep_is_run_twice() {
    let sweep =
        |seeds: &str, script: &Script| ferret("run", &[("a.toml", &named("first"))], &["--seeds", seeds], script);
    let wavers = || Script { wavers: true, ..Script::default() };
    let equal = sweep("1..60", &Script::default());
    assert_eq!(equal.code, 0);
    assert!(equal.out.contains("60 runs: 60 pass, 2 of them run twice without a difference; "), "{}", equal.out);
    let differs = sweep("1..20", &wavers());
    assert_eq!(differs.code, 103, "{}", differs.out);
    assert!(differs.out.contains("1 of them run twice, 1 with a difference"), "{}", differs.out);
    let few = sweep("1..19", &wavers());
    assert_eq!(few.code, 0, "fewer than 20 runs are no sweep");
    assert!(!few.out.contains("twice"), "{}", few.out);
}

#[test]
fn what_the_swarm_draws_is_left_as_a_scenario() {
    let options = ["--swarm", "--seed", "4"];
    let call = ferret("run", &[("a.toml", &named("first"))], &options, &Script { draws: true, ..Script::default() });
    let drawn = fs::read_to_string(call.out_folder.join("first/seed-4/drawn.toml")).expect("it is beside the record");
    let concrete = Scenario::parse("drawn.toml", &drawn).expect("it is a scenario");
    assert!(!concrete.steps.is_empty() && concrete.swarm.is_none());
    let call = ferret("run", &[("a.toml", &named("first"))], &["--seed", "4"], &Script::default());
    assert!(!call.out_folder.join("first/seed-4/drawn.toml").exists());
}

#[test]
fn what_never_happened_in_any_seed_makes_the_last_one_vacuous() {
    let script = Script { never: true, ..Script::default() };
    let call = ferret("run", &[("a.toml", &named("first"))], &[], &script);
    assert_eq!(call.code, 104);
    assert!(call.out.contains("`leader-changed` should have happened at least once, and did not in 2 seeds"));
    let text = fs::read_to_string(call.out_folder.join("first/seed-2/run.json")).expect("there is a record");
    assert!(text.contains("\"verdict\": \"vacuous\""), "the record on disk says so too");
}

#[test]
fn a_seed_that_was_picked_out_need_not_show_what_all_together_must() {
    let script = Script { never: true, ..Script::default() };
    assert_eq!(ferret("run", &[("a.toml", &named("first"))], &["--seed", "1"], &script).code, 0);
}

#[test]
fn after_an_interrupt_nothing_is_begun_and_what_is_known_is_printed() {
    let script = Script { interrupted: Some(Interrupt::default()), ..Script::default() };
    let call = ferret("run", &[("a.toml", &named("first"))], &["--jobs", "1"], &script);
    assert_eq!(call.code, exit::INCOMPLETE);
    insta::assert_snapshot!(call.out);
    assert!(call.out_folder.join("summary.md").exists());
}

#[test]
fn a_panic_of_the_simulation_is_an_internal_error_of_its_run() {
    let script = Script { panics: true, ..Script::default() };
    let call = ferret("run", &[("a.toml", &named("first"))], &["--seed", "1"], &script);
    assert_eq!(call.code, exit::INTERNAL);
    assert!(call.out.contains("because the simulation panicked: the script panics"), "{}", call.out);
}

#[test]
fn an_invalid_scenario_keeps_all_from_running() {
    let (valid, invalid) = (named("first"), named("second").replace("rate = 100", "raet = 100"));
    for verb in ["run", "check"] {
        let call = ferret(verb, &[("a.toml", &valid), ("b.toml", &invalid)], &[], &Script::default());
        assert_eq!(call.code, exit::INVALID_SCENARIO);
        assert!(call.err.contains("did you mean `rate`?"), "{}", call.err);
        assert!(!call.out_folder.exists(), "nothing was run");
    }
}

#[test]
fn a_folder_without_scenarios_selects_nothing() {
    for verb in ["run", "check"] {
        let call = ferret(verb, &[("notes.txt", "")], &[], &Script::default());
        assert_eq!((call.code, call.out.as_str()), (exit::NOTHING_SELECTED, ""));
        assert!(call.err.contains("no scenario found"));
    }
}

#[test]
fn a_range_of_seeds_includes_both_ends() {
    let call = ferret("run", &[("a.toml", &named("first"))], &["--seeds", "3..5"], &Script::default());
    assert_eq!(call.code, 0);
    let lines: Vec<&str> = call.out.lines().filter(|line| line.starts_with("pass")).collect();
    assert_eq!(lines.len(), 3, "{}", call.out);
}

#[test]
fn wrong_usage_says_what_is_right() {
    for (options, says) in [
        (["--sabotage", "confirm-before-sink"], "confirm-before-sync"),
        (["--seeds", "9..1"], "write 1..9"),
        (["--seeds", "1..100001"], "100,001 runs are asked for, and a call plans 100,000 at most"),
        (["--client", "pika"], "possible values: native, lapin"),
        (["--save-failures", "--swarm"], "'--save-failures' cannot be used with '--swarm'"),
    ] {
        let call = ferret("run", &[("a.toml", &named("first"))], &options, &Script::default());
        assert_eq!(call.code, exit::USAGE);
        assert!(call.err.contains(says), "{}", call.err);
    }
}

#[test]
fn a_client_that_cannot_do_what_a_step_asks_is_refused_before_anything_runs() {
    let step = "\n[timeline]\nsteps = [{ at = \"1s\", ignore-flow = { client = \"pub\" }, for = \"1s\" }]\n";
    let text = format!("{}{step}", named("first"));
    let call = ferret("run", &[("a.toml", &text)], &["--client", "lapin"], &Script::default());
    assert_eq!(call.code, exit::USAGE);
    assert!(call.err.contains("only the native client can do `ignore-flow`"), "{}", call.err);
    let drawn = ferret("run", &[("a.toml", &text)], &["--client", "lapin", "--swarm"], &Script::default());
    assert_eq!(drawn.code, exit::PASS, "the swarm's steps come instead: {}", drawn.err);
}

#[test]
fn check_lists_what_is_valid() {
    let (first, second) = two();
    let call = ferret("check", &[("a.toml", &first), ("b.toml", &second)], &[], &Script::default());
    assert_eq!((call.code, call.err.as_str()), (exit::PASS, ""));
    insta::assert_snapshot!(call.out);
}

#[test]
fn a_file_that_is_no_scenario_is_told_so_and_not_line_by_line() {
    let mut prose = String::from("# Warren\n\n");
    for line in 0..200 {
        prose += &format!("This is line {line}: it is not TOML, and *never* was.\n");
    }
    let foreign = "[package]\nname = \"x\"\nedition = \"2024\"\nauthors = []\nlicense = \"MIT\"\n".to_owned();
    for text in [prose, foreign] {
        let call = ferret("check", &[("README.toml", &text)], &[], &Script::default());
        assert_eq!(call.code, exit::INVALID_SCENARIO);
        assert!(call.err.contains("more are not shown; this does not look like a scenario at all"), "{}", call.err);
        assert!(call.err.lines().count() < 40, "{}", call.err);
    }
    // A scenario with as many mistakes is one.
    let bad = named("a") + &"[[consumers]]\nnane = 1\n".repeat(9);
    let call = ferret("check", &[("a.toml", &bad)], &[], &Script::default());
    assert!(call.err.contains("more are not shown") && !call.err.contains("at all"), "{}", call.err);
}

#[test]
fn the_help_of_each_verb_teaches_by_example() {
    let verbs = cli::verbs();
    for verb in std::iter::once(None).chain(verbs.iter().map(|verb| Some(verb.as_str()))) {
        insta::assert_snapshot!(format!("help_{}", verb.unwrap_or("ferret")), cli::help(verb));
    }
}
