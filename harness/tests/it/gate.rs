//! Gates: policies, verdicts, baselines, and every exit code, with a script in the place of the simulation.

mod earlier;

use std::{fs, path::Path};

use ferret::{
    cli::{Interrupt, Style, exit, render_problem},
    gate::{Baseline, Policy},
};
use ferret_reports::{GateRecord, Verdict};

use crate::{
    cli::{Script, named},
    workspace::{Said, Workspace},
};

const POLICY: &str = r#"version = 1
name = "main"
scenarios = ["s"]
filter = "!name(soak)"
seeds = "1..3"
budget = "10m"
max-fail = 5

[expect]
sometimes = ["redelivered"]
thresholds = { "confirm.p99" = "< 100ms", "unavailable.max" = "< 1s" }

[[planted]]
bug = "confirm-before-sync"
seeds = "1..4"
caught-by = ["no-confirmed-loss"]

[baseline]
file = "base.json"
tolerance = "5%"
metrics = { "unavailable.max" = "25%" }
"#;

/// A policy that this passes: planted bugs are caught at seed 3, everything else is well.
fn good() -> Script {
    Script { bad: Some((3, Verdict::Violated)), planted: true, ..Script::default() }
}

fn workspace() -> Workspace {
    let workspace = Workspace::new(&[("s/a.toml", &named("first")), ("gate.toml", POLICY)]);
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--out", "@base"], &good());
    let saved = workspace.ferret(&["baseline", "save", "@base", "@base.json"], &good());
    assert_eq!((saved.code, saved.out.as_str()), (exit::PASS, "3 runs, 7 to 8 metrics each: FOLDER/base.json\n"));
    workspace
}

fn gate(workspace: &Workspace, options: &[&str], script: &Script) -> Said {
    let args = ["gate", "@gate.toml", "--out", "@out"].into_iter().chain(options.iter().copied());
    workspace.ferret(&args.collect::<Vec<_>>(), script)
}

/// The part of the output that is the gate's.
fn verdict(said: &Said) -> String {
    let from = said.out.find("gate main").unwrap_or_else(|| panic!("no verdict: {}{}", said.out, said.err));
    said.out[from..].to_owned()
}

#[test]
fn a_gate_that_passes_tells_what_it_checked() {
    let workspace = workspace();
    let said = gate(&workspace, &[], &good());
    assert_eq!((said.code, said.err.as_str()), (exit::PASS, ""), "{}", said.out);
    insta::assert_snapshot!(verdict(&said));
    let record: GateRecord = serde_json::from_str(&workspace.read("out/gate.json")).expect("gate.json is a record");
    assert_eq!((record.verdict, record.checks.len()), (Verdict::Pass, 6));
    assert!(workspace.read("out/summary.md").starts_with("## ✅ Gate main: Pass (6 of 6 checks)"));
}

#[test]
fn a_gate_that_fails_tells_it_to_people_junit_markdown_and_github() {
    let workspace = workspace();
    let script = Script { bad: Some((2, Verdict::Violated)), slower: 1, ..Script::default() };
    let said = gate(&workspace, &["--annotate", "github"], &script);
    assert_eq!(said.code, 100);
    let annotations: Vec<&str> = said.out.lines().filter(|line| line.starts_with("::error")).collect();
    insta::assert_snapshot!("annotations", annotations.join("\n"));
    insta::assert_snapshot!("terminal", verdict(&said));
    let plain = |file: &str| workspace.read(file).replace(&*workspace.path("").to_string_lossy(), "FOLDER/");
    insta::assert_snapshot!("junit", plain("out/junit.xml"));
    insta::assert_snapshot!("markdown", plain("out/summary.md"));
}

#[test]
fn a_limit_of_what_no_run_measured_is_crossed_and_one_that_some_measured_says_how_many() {
    let limit = |limit: &str| {
        let workspace = workspace();
        workspace.write("gate.toml", &POLICY.replace("\"unavailable.max\" = \"< 1s\"", limit));
        let said = gate(&workspace, &[], &good());
        (said.code, verdict(&said))
    };
    let (code, told) = limit("\"end-to-end.p99\" = \"< 1s\"");
    assert_eq!(code, 99, "{told}");
    assert!(told.contains("no run measured it"), "{told}");
    // Without a fault that ended, nothing took 0 s to recover.
    let (code, told) = limit("\"recovery.max\" = \"< 1s\"");
    assert_eq!(code, exit::PASS, "{told}");
    assert!(told.contains("0.0ns at worst, first seed 3; measured in 1 of 3\n"), "{told}");
}

#[test]
fn a_part_of_a_gate_is_annotated_and_says_where_its_report_is() {
    let script = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    let said = gate(&workspace(), &["--annotate", "github", "--partition", "slice:2/3"], &script);
    assert_eq!(said.code, 100);
    assert_eq!(said.out.lines().filter(|line| line.starts_with("::error")).count(), 1, "{}", said.out);
    assert!(said.out.ends_with("report: FOLDER/out/report.html\n"), "{}", said.out);
}

#[test]
fn a_bug_in_all_runs_of_a_gate_must_be_noticed_by_one() {
    let workspace = workspace();
    let planted = |script: &Script| {
        let said = gate(&workspace, &["--sabotage", "forget-vote"], script);
        let record: GateRecord = serde_json::from_str(&workspace.read("out/gate.json")).expect("gate.json is a record");
        let check = record.checks.into_iter().find(|check| check.name == "planted forget-vote").expect("it is a check");
        (said.code, check.verdict, check.finding)
    };
    assert_eq!(planted(&Script::default()), (104, Verdict::Vacuous, "not noticed in 3 runs".to_owned()));
    assert_eq!(planted(&good()), (100, Verdict::Pass, "noticed in 1 of 3 runs".to_owned()));
}

#[test]
fn a_scenario_that_is_named_in_two_ways_runs_once() {
    let workspace = workspace();
    let policy = POLICY.replace("scenarios = [\"s\"]", "scenarios = [\"s\", \"./s/a.toml\", \"s/../s\"]");
    workspace.write("gate.toml", &policy);
    let said = gate(&workspace, &[], &good());
    assert_eq!(said.code, exit::PASS, "{}", said.err);
    assert!(said.out.contains("3 of 3 runs pass"), "{}", said.out);
}

#[test]
fn annotations_are_not_mixed_into_json() {
    let said = gate(&workspace(), &["--annotate", "github", "--message-format", "json"], &good());
    assert_eq!((said.code, said.out.as_str()), (exit::USAGE, ""));
    assert!(said.err.contains("leave out one of them"), "{}", said.err);
}

#[test]
fn a_filter_of_the_policy_that_picks_nothing_is_quoted() {
    let policy = POLICY.replace("!name(soak)", "tag(nobody)");
    let policy = policy.split("[baseline]").next().expect("it begins without a baseline");
    let workspace = Workspace::new(&[("s/a.toml", &named("first")), ("gate.toml", policy)]);
    let said = gate(&workspace, &[], &good());
    assert_eq!(said.code, exit::NOTHING_SELECTED, "{}", said.err);
    assert!(said.err.contains("the filter `tag(nobody)` picks none of 1 scenarios"), "{}", said.err);
}

#[test]
fn for_programs_the_verdict_is_the_last_object() {
    let said = gate(&workspace(), &["--message-format", "json"], &good());
    let objects: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    assert_eq!(objects.len(), 4, "three runs and the gate");
    assert_eq!(objects[3]["gate"]["verdict"], "pass");
}

#[test]
fn what_cannot_be_run_is_told_to_programs_too() {
    let told = |file: &str, from: &str, to: &str| {
        let workspace = workspace();
        workspace.write(file, &workspace.read(file).replace(from, to));
        let said = gate(&workspace, &["--message-format", "json"], &good());
        assert_eq!(said.code, exit::INVALID_SCENARIO, "{}", said.err);
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap_or_else(|error| panic!("{error}: {}", said.out))
    };
    let scenario = told("s/a.toml", "version = 1", "version = 9");
    assert_eq!((&scenario["verdict"], &scenario["problems"][0]["line"]), (&"invalid".into(), &1.into()), "{scenario}");
    let policy = told("gate.toml", "tolerance = \"5%\"", "tolerance = \"much\"");
    assert_eq!((policy["verdict"].as_str(), policy["problems"][0]["message"].is_string()), (Some("invalid"), true));
    assert!(policy["policy"].as_str().is_some_and(|path| path.ends_with("gate.toml")), "{policy}");
}

#[test]
fn what_moved_since_the_baseline_is_a_table() {
    let workspace = workspace();
    let slow = Script { slower: 1, ..Script::default() };
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--out", "@now"], &slow);
    let said = workspace.ferret(&["baseline", "compare", "@now", "@base.json"], &slow);
    assert_eq!(said.code, 10);
    insta::assert_snapshot!(said.out);
    let same = workspace.ferret(&["baseline", "compare", "@base", "@base.json", "--tolerance", "0%"], &slow);
    assert_eq!((same.code, same.out.as_str()), (exit::PASS, "pass: 3 runs compared, nothing moved\n"));
}

#[test]
fn a_run_of_the_baseline_that_was_not_made_is_missed() {
    let workspace = workspace();
    workspace.write("gate.toml", &POLICY.replace("seeds = \"1..3\"", "seeds = \"1..2\""));
    let said = gate(&workspace, &[], &good());
    assert_eq!(said.code, 104, "{}", said.out);
    let record = workspace.read("out/gate.json");
    assert!(record.contains("nothing moved; 1 run of the baseline is not here (first seed 3)"), "{record}");
    workspace.ferret(&["run", "@s", "--seeds", "2..2", "--out", "@now"], &good());
    let said = workspace.ferret(&["baseline", "compare", "@now", "@base.json"], &good());
    let told =
        "vacuous: 1 run compared, nothing moved; 2 runs of the baseline are not here (the first is first seed 1)\n";
    assert_eq!((said.code, said.out.as_str()), (104, told));
    // Another text is another scenario: that is told once, not from both sides.
    workspace.write("s/a.toml", &named("first").replace("10s", "11s"));
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--out", "@now"], &good());
    let said = workspace.ferret(&["baseline", "compare", "@now", "@base.json"], &good());
    assert!(said.out.contains("3 runs are not in the baseline") && !said.out.contains("not here"), "{}", said.out);
}

#[test]
fn a_spent_budget_ends_the_chase_of_planted_bugs_too() {
    let workspace = workspace();
    workspace.write("gate.toml", &POLICY.replace("budget = \"10m\"", "budget = \"0s\""));
    let script = good();
    let said = gate(&workspace, &[], &script);
    assert_eq!((said.code, script.ran.into_inner().expect("no run panicked")), (exit::INCOMPLETE, vec![]));
    assert!(workspace.read("out/gate.json").contains("not caught in 0 runs; the budget is spent"), "{}", said.out);
}

#[test]
fn a_run_that_did_not_pass_is_no_baseline() {
    let workspace = workspace();
    let script = Script { bad: Some((2, Verdict::Threshold)), ..Script::default() };
    workspace.ferret(&["run", "@s", "--out", "@now"], &script);
    let said = workspace.ferret(&["baseline", "save", "@now", "@new.json"], &script);
    assert_eq!((said.code, workspace.path("new.json").exists()), (99, false));
    assert!(said.err.contains("only what passed is a baseline"), "{}", said.err);
}

#[test]
fn runs_of_other_options_and_parts_are_no_baseline_and_are_not_compared() {
    let workspace = workspace();
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--swarm", "--out", "@now"], &good());
    for verb in ["save", "compare"] {
        let said = workspace.ferret(&["baseline", verb, "@now", "@base.json"], &good());
        assert_eq!(said.code, exit::INCOMPLETE, "{}", said.err);
        assert!(said.err.contains("were made with --swarm"), "{}", said.err);
    }
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--partition", "slice:1/2", "--out", "@now"], &good());
    for (verb, file) in [("save", "@new.json"), ("compare", "@base.json")] {
        let said = workspace.ferret(&["baseline", verb, "@now", file], &good());
        assert_eq!((said.code, said.out.as_str()), (exit::INCOMPLETE, ""), "{verb}");
        assert!(said.err.contains("is part 1 of 2: merge all parts first"), "{verb}: {}", said.err);
    }
    assert!(!workspace.path("new.json").exists());
}

#[test]
fn what_is_no_baseline_is_not_written_over() {
    let workspace = workspace();
    let before = workspace.read("gate.toml");
    let said = workspace.ferret(&["baseline", "save", "@base", "@gate.toml"], &good());
    assert_eq!((said.code, workspace.read("gate.toml")), (exit::USAGE, before));
    assert!(said.err.contains("gate.toml exists and is no baseline"), "{}", said.err);
    assert_eq!(workspace.ferret(&["baseline", "save", "@base", "@base.json"], &good()).code, exit::PASS);
    std::fs::write(workspace.path("binary"), [0xff, 0xfe]).expect("it can be written");
    assert_eq!(workspace.ferret(&["baseline", "save", "@base", "@binary"], &good()).code, exit::USAGE);
}

#[test]
fn a_baseline_that_must_be_saved_anew_can_be() {
    let workspace = workspace();
    let saved = workspace.read("base.json");
    let line = saved.lines().find(|line| line.contains("\"seed\":1,")).expect("a run").trim_end_matches(',');
    workspace.write("base.json", &saved.replacen(line, &format!("{line},\n{line}"), 1));
    let said = workspace.ferret(&["baseline", "compare", "@base", "@base.json"], &good());
    assert_eq!(said.code, exit::INVALID_SCENARIO, "{}", said.err);
    assert!(said.err.contains("stands twice"), "{}", said.err);
    assert_eq!(workspace.ferret(&["baseline", "save", "@base", "@base.json"], &good()).code, exit::PASS);
    assert_eq!(workspace.read("base.json"), saved);
}

#[test]
fn a_run_that_the_baseline_does_not_know_proves_nothing() {
    let workspace = workspace();
    let policy = POLICY.replace("seeds = \"1..3\"", "seeds = \"1..4\"");
    workspace.write("gate.toml", &policy);
    let said = gate(&workspace, &[], &Script { planted: true, bad: Some((1, Verdict::Violated)), ..Script::default() });
    assert_eq!(said.code, 104);
    assert!(said.out.contains("1 run is not in the"), "{}", said.out);
}

/// One row: what is done to a gate that passes, and the exit code that it must then have.
struct Row {
    code: u8,
    options: &'static [&'static str],
    /// In the policy.
    replace: (&'static str, &'static str),
    script: fn() -> Script,
}

impl Row {
    const fn new(code: u8, script: fn() -> Script) -> Self {
        Self { code, options: &[], replace: ("", ""), script }
    }

    const fn policy(code: u8, good: &'static str, bad: &'static str) -> Self {
        Self { code, options: &[], replace: (good, bad), script: self::good }
    }
}

fn ends_with(verdict: Verdict) -> Script {
    Script { bad: Some((2, verdict)), ..Script::default() }
}

/// Every exit code of the design, each from a gate that passes but for one thing.
#[test]
fn every_exit_code_has_its_cause() {
    let rows = [
        Row::new(0, good),
        Row::new(1, || ends_with(Verdict::Internal)),
        Row::new(1, || Script { panics: true, ..Script::default() }),
        Row { options: &["--no-such-option"], ..Row::new(2, good) },
        Row { options: &["--partition", "slice:5/4"], ..Row::new(2, good) },
        Row::policy(3, "seeds = \"1..3\"", "sedes = \"1..3\""),
        Row::policy(4, "!name(soak)", "name(soak)"),
        Row::policy(5, "budget = \"10m\"", "budget = \"0s\""),
        Row { options: &["--from", "@nowhere"], ..Row::new(5, good) },
        Row::new(5, || Script { interrupted: Some(Interrupt::default()), ..good() }),
        Row { replace: ("< 1s", "< 9s"), ..Row::new(10, || Script { slower: 1, ..good() }) },
        Row::policy(99, "< 100ms", "< 10ms"),
        Row::new(99, || ends_with(Verdict::Threshold)),
        Row { options: &["--sabotage", "forget-vote"], ..Row::new(100, good) },
        Row::new(100, || ends_with(Verdict::Violated)),
        Row::new(102, || ends_with(Verdict::Undecided)),
        Row::new(103, || ends_with(Verdict::NotDeterministic)),
        Row::new(104, || ends_with(Verdict::Vacuous)),
        Row { options: &["--sabotage", "forget-vote"], ..Row::new(104, Script::default) },
        Row::new(104, || Script { never: true, ..good() }),
        Row::policy(104, "sometimes = [\"redelivered\"]", "sometimes = [\"nacked\"]"),
        Row::policy(104, "seeds = \"1..4\"", "seeds = \"1..2\""),
        Row::policy(104, "caught-by = [\"no-confirmed-loss\"]", "caught-by = [\"durability\"]"),
    ];
    for (index, row) in rows.iter().enumerate() {
        let workspace = workspace();
        assert!(POLICY.contains(row.replace.0), "row {index}");
        workspace.write("gate.toml", &POLICY.replacen(row.replace.0, row.replace.1, 1));
        let said = gate(&workspace, row.options, &(row.script)());
        assert_eq!(said.code, row.code, "row {index}: {}{}", said.out, said.err);
    }
    // Every code of the design is there.
    let mut codes: Vec<u8> = rows.iter().map(|row| row.code).collect();
    codes.dedup();
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 10, 99, 100, 102, 103, 104]);
}

#[test]
fn the_worst_wins() {
    // From the worst to the least, by pairs of neighbours: whichever comes first in a sweep.
    let worst_first = [1, 103, 100, 102, 5, 99, 10, 104, 0];
    let verdicts = [
        Verdict::Internal,
        Verdict::NotDeterministic,
        Verdict::Violated,
        Verdict::Undecided,
        Verdict::Incomplete,
        Verdict::Threshold,
        Verdict::Regression,
        Verdict::Vacuous,
        Verdict::Pass,
    ];
    assert_eq!(verdicts.map(Verdict::exit_code), worst_first);
    assert!(verdicts.is_sorted_by(|one, other| one > other));
}

/// All messages about the policy with `good` replaced by `bad`.
fn broken(good: &str, bad: &str) -> String {
    let workspace = workspace();
    assert!(POLICY.contains(good), "the policy has no {good:?}");
    let path = workspace.path("gate.toml");
    let problems = Policy::parse(&path.to_string_lossy(), &POLICY.replacen(good, bad, 1)).expect_err("it is invalid");
    let texts: Vec<String> = problems.iter().map(|problem| render_problem(problem, Style::PLAIN)).collect();
    let folder = workspace.path("");
    texts.join("\n").replace(&*folder.to_string_lossy(), "FOLDER/")
}

macro_rules! mistakes {
    ($($test:ident: $good:expr => $bad:expr;)+) => {
        $(
            #[test]
            fn $test() {
                insta::assert_snapshot!(broken($good, $bad));
            }
        )+
    };
}

mistakes! {
    a_misspelt_key_is_named_with_the_one_that_was_meant: "max-fail = 5" => "max-fial = 5";
    a_filter_in_a_policy_has_its_place_in_the_file: "!name(soak)" => "!nmae(soak)";
    scenarios_that_are_not_there_are_named: "scenarios = [\"s\"]" => "scenarios = [\"s\", \"smoek\"]";
    a_name_is_a_name_also_on_a_terminal: "name = \"" => "name = \"\\n::error::";
    a_missing_key_is_named: "scenarios = [\"s\"]\n" => "";
    seeds_without_an_end_are_no_gate: "seeds = \"1..3\"" => "seeds = \"1..\"";
    a_bug_that_nothing_may_catch_is_refused: "caught-by = [\"no-confirmed-loss\"]" => "caught-by = []";
    a_budget_without_a_unit_is_refused: "\"10m\"" => "\"10\"";
    an_unknown_bug_is_named_with_the_one_that_was_meant: "confirm-before-sync" => "confirm-before-sink";
    an_unknown_invariant_is_named_with_the_one_that_was_meant: "no-confirmed-loss" => "no-confirmed-los";
    an_unknown_metric_is_named_with_the_one_that_was_meant: "\"confirm.p99\"" => "\"confirm.p98\"";
    a_limit_without_a_comparison_is_refused: "< 100ms" => "100ms";
    a_baseline_that_is_not_there_tells_how_to_make_it: "base.json" => "bsae.json";
    a_tolerance_is_per_cent: "\"5%\"" => "\"5\"";
    what_may_happen_is_a_known_name: "sometimes = [\"redelivered\"]" => "sometimes = [\"redelivred\"]";
}

#[test]
fn the_policy_in_the_tree_is_valid_and_so_is_its_baseline() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/gate.toml");
    let text = fs::read_to_string(&path).expect("it can be read");
    let policy = Policy::parse(&path.to_string_lossy(), &text).expect("the policy is valid");
    let baseline = policy.baseline.expect("it has a baseline").what.file;
    Baseline::parse(&fs::read_to_string(baseline).expect("it can be read")).expect("it is a baseline");
    assert!(!policy.planted.is_empty(), "a gate that plants no bug may not be able to fail");
}
