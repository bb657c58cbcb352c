//! Shrinking and replaying, with the real simulation.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use ferret::{
    cli::{self, Interrupt, Simulation, Streams, Style, exit},
    progress::Progress,
    run::{self, RunOptions, RunOutput},
    scenario::Scenario,
};
use ferret_reports::Verdict;
use tempfile::TempDir;

const SCENARIO: &str = r#"
version = 1
name = "greedy"
[run]
duration = "3s"
liveness = "2s"
[cluster]
nodes = 3
[[queues]]
name = "orders"
[[publishers]]
name = "pub"
count = 2
queue = "orders"
rate = 40
[[consumers]]
name = "con"
queue = "orders"
prefetch = 3
work = "10ms..30ms"
[timeline]
steps = [
  { at = "1s..2s", pause = { node = "any" }, for = "300ms..500ms", may-miss = true },
  { after = { confirmed = 20 }, reset = { node = "one-follower:orders" }, may-miss = true },
]
[expect]
invariants = ["prefetch"]
"#;

/// What a change of leader takes to show in a trace.
const KILL: &str = r#"{ at = "1s", kill = { node = "leader:orders" }, for = "500ms" },"#;

/// The exit code and what was printed.
fn ferret(args: &[&str]) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        let args = ["ferret"].iter().chain(args).map(OsString::from);
        cli::main(args, &Simulation, &Interrupt::default(), &mut streams)
    };
    (code, String::from_utf8_lossy(&out).into_owned() + &String::from_utf8_lossy(&err))
}

struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        fs::write(folder.path().join("greedy.toml"), SCENARIO).expect("a scenario is written");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `name`, with `from` replaced.
    fn edited(&self, name: &str, from: &str, to: &str) -> PathBuf {
        let text = fs::read_to_string(self.path(name)).expect("it is there");
        let line = text.lines().find(|line| line.starts_with(from)).expect("it has the line");
        let path = self.path("edited.repro.toml");
        fs::write(&path, text.replace(line, to)).expect("it can be written");
        path
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn a_failing_seed_is_shrunk_to_a_concrete_scenario_that_replays_to_the_byte() {
    let folder = Folder::new();
    let (file, repro) = (folder.path("greedy.toml"), folder.path("small.repro.toml"));
    let shrink = ["shrink", text(&file), "--seed", "2", "--sabotage", "prefetch-plus-one", "--budget", "40s"];
    let (code, told) = ferret(&[&shrink[..], &["--out", text(&repro)]].concat());
    assert_eq!(code, 100, "{told}");
    assert!(told.contains("2 faults → 0, "), "{told}");

    let written = fs::read_to_string(&repro).expect("the reproducer is written");
    let small = Scenario::parse("small.repro.toml", &written).expect("it is valid");
    assert!(small.steps.is_empty() && small.run.seeds.count == 1, "{written}");
    assert_eq!(small.sabotage.map(|bug| bug.name()), Some("prefetch-plus-one"));
    let repro_of = small.repro.clone().expect("it says what it reproduces");
    assert_eq!(repro_of.violates, "prefetch");
    assert!(repro_of.found_by.ends_with("greedy.toml --seed 2 --sabotage prefetch-plus-one"), "{written}");

    let (code, told) = ferret(&["replay", text(&repro)]);
    assert_eq!(code, 100, "{told}");
    assert!(told.contains("reproduced to the byte: prefetch is violated again"), "{told}");
    assert!(told.contains(&repro_of.trace) && !told.contains("not deterministic"), "{told}");

    folder.edited("small.repro.toml", "text-hash =", "");
    let (code, told) = ferret(&["replay", text(&folder.edited("edited.repro.toml", "trace =", "trace = \"0\""))]);
    assert_eq!(code, 103, "the same build and another trace: {told}");
    assert!(told.contains("not deterministic, or the file was edited"), "{told}");

    folder.edited("small.repro.toml", "text-hash =", "");
    folder.edited("edited.repro.toml", "build =", "build = \"before\"");
    let (code, told) = ferret(&["replay", text(&folder.edited("edited.repro.toml", "trace =", "trace = \"0\""))]);
    assert_eq!(code, 100, "{told}");
    assert!(told.contains("the code has changed since") && told.contains("still violated"), "{told}");
    let (code, told) = ferret(&["replay", text(&folder.edited("edited.repro.toml", "sabotage =", ""))]);
    assert_eq!(code, exit::PASS, "without its bug: {told}");
    assert!(told.contains("prefetch is not violated any more"), "{told}");

    let (_, told) = ferret(&["replay", text(&repro), "--node", "n1", "--log", "--until", "500ms"]);
    assert!(told.contains("n1        runs, with session "), "{told}");
    assert!(told.contains("INFO  became leader of") || told.contains("INFO  ready for clients"), "{told}");
    assert!(!told.lines().any(|line| line.contains(" s  n2 ")), "only the node that was named: {told}");
    assert!(told.ends_with("stopped at 0.500 s, as asked; nothing is judged\n"), "{told}");
}

#[test]
fn a_seed_that_does_not_fail_leaves_nothing_to_shrink_and_no_file() {
    let folder = Folder::new();
    let (file, repro) = (folder.path("greedy.toml"), folder.path("small.repro.toml"));
    let (code, told) = ferret(&["shrink", text(&file), "--seed", "2", "--out", text(&repro)]);
    assert_eq!(
        (code, told.as_str()),
        (exit::PASS, "greedy with seed 2: nothing is violated, there is nothing to shrink\n")
    );
    assert!(!repro.exists());
    let (code, told) = ferret(&["replay", text(&file)]);
    assert_eq!(code, exit::USAGE);
    assert!(told.contains("is no reproducer (it has no [repro])"), "{told}");
}

/// When each fault began and whom it hit, by time; and the trace hash.
type Shown = (Vec<(Option<u64>, Vec<String>)>, String);

fn concrete_and_drawn(text: &str, seed: u64) -> [Shown; 2] {
    let scenario = Scenario::parse("greedy.toml", text).expect("the scenario is valid");
    let run = |scenario: &Scenario| {
        run::run(scenario, seed, &RunOptions::default(), &AtomicBool::new(false), &Progress::default())
    };
    let drawn = run(&scenario);
    let concrete = scenario.concrete(seed, &drawn.history);
    assert_eq!(concrete.steps.len(), 2);
    let concrete = Scenario::parse("concrete.toml", &concrete.to_toml()).expect("it is valid");
    assert!(concrete.steps.iter().all(|step| step.at.min == step.at.max && step.trigger.is_none()));
    let told = |output: RunOutput| {
        let mut faults: Vec<_> = output.record.faults.into_iter().map(|fault| (fault.began_ns, fault.nodes)).collect();
        faults.sort();
        (faults, output.record.trace_hash)
    };
    [told(run(&concrete)), told(drawn)]
}

#[test]
fn the_concrete_timeline_of_a_seed_gives_the_trace_of_the_seed() {
    let text = SCENARIO.replace("after = { confirmed = 20 }", "at = \"2200ms\"");
    for seed in [1, 2] {
        let [concrete, drawn] = concrete_and_drawn(&text, seed);
        assert_eq!(concrete, drawn);
    }
}

#[test]
fn a_step_that_waited_begins_at_the_same_tick_and_hits_the_same_node_once_it_is_concrete() {
    // The faults are numbered anew, in order of time, which is another trace of the same run.
    let [(concrete, _), (drawn, _)] = concrete_and_drawn(SCENARIO, 2);
    assert_eq!(concrete, drawn);
}

#[test]
fn a_broker_that_draws_from_the_systems_entropy_is_not_deterministic_and_its_first_different_event_is_shown() {
    let folder = Folder::new();
    let text = SCENARIO.replace("steps = [", &format!("steps = [\n  {KILL}"));
    fs::write(folder.path("greedy.toml"), text).expect("a scenario is written");
    let (file, out) = (folder.path("greedy.toml"), folder.path("out"));
    // Two runs may draw the same by chance; ten pairs of them hardly do.
    let options = ["run", &file.to_string_lossy(), "--seeds", "1..10", "--out", &out.to_string_lossy()];
    let options = options.map(str::to_owned);
    let twice = |more: &[&str]| {
        let all: Vec<&str> = options.iter().map(String::as_str).chain(["--verify-determinism"]).collect();
        ferret(&[&all[..], more].concat())
    };
    let (code, told) = twice(&[]);
    assert_eq!(code, exit::PASS, "{told}");
    let (code, told) = twice(&["--sabotage", "unseeded-election"]);
    assert_eq!(code, Verdict::NotDeterministic.exit_code(), "{told}");
    assert!(told.contains("the same seed gave two different runs: event "), "{told}");
    let both = told.lines().filter(|line| line.trim_start().starts_with("both ")).count();
    assert!(both >= 5, "what came before is shown: {told}");
    assert!(told.contains("    first  ") && told.contains("    second  "), "{told}");
    assert!(told.contains("--sabotage unseeded-election --verify-determinism"), "the replay shows it again: {told}");
}
