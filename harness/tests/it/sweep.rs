//! Many runs: picked, planned, limited, shared out and joined again, with a script in the place of the simulation.

use std::{
    ffi::OsString,
    io::{self, Write},
};

use ferret::cli::{self, Interrupt, Streams, Style, exit};
use ferret_reports::{SweepRecord, Verdict};

use crate::{
    cli::{Script, named},
    workspace::{Said, Workspace},
};

/// Two scenarios: `first` with the tag `gate`, `second`.
fn two() -> Workspace {
    let first = named("first").replace("name = \"first\"", "name = \"first\"\ntags = [\"gate\"]");
    Workspace::new(&[("s/a.toml", &first), ("s/b.toml", &named("second"))])
}

fn sweep_of(workspace: &Workspace, folder: &str) -> SweepRecord {
    serde_json::from_str(&workspace.read(&format!("{folder}/sweep.json"))).expect("sweep.json is a record")
}

/// The runs of `ferret run`, without `--out`'s folder.
fn run(workspace: &Workspace, out: &str, options: &[&str], script: &Script) -> Said {
    let out = format!("@{out}");
    let args: Vec<&str> = ["run", "@s", "--out", &out].into_iter().chain(options.iter().copied()).collect();
    workspace.ferret(&args, script)
}

fn order(script: Script) -> Vec<u64> {
    script.ran.into_inner().expect("no run panicked")
}

#[test]
fn a_filter_picks_scenarios() {
    let workspace = two();
    for (filter, runs) in [("tag(gate)", 2), ("!tag(gate)", 2), ("name(*)", 4), ("path(/s/b) | name(first)", 4)] {
        let said = run(&workspace, "out", &["-E", filter], &Script::default());
        assert_eq!(said.code, exit::PASS, "{}", said.err);
        assert!(said.out.contains(&format!("{runs} runs:")), "{filter}: {}", said.out);
    }
}

#[test]
fn a_filter_that_picks_nothing_selects_nothing_and_names_the_tags() {
    let said = run(&two(), "out", &["-E", "tag(gaet)"], &Script::default());
    assert_eq!((said.code, said.out.as_str()), (exit::NOTHING_SELECTED, ""));
    insta::assert_snapshot!(said.err);
}

#[test]
fn a_mistake_in_a_filter_is_shown_with_its_place() {
    let said = run(&two(), "out", &["-E", "tag(gate) & nmae(first)"], &Script::default());
    assert_eq!(said.code, exit::USAGE);
    insta::assert_snapshot!(said.err);
}

#[test]
fn stored_seeds_run_first_and_once() {
    let workspace = two();
    workspace.write("s/regressions/b.seeds", "version = 1\nseeds = [{ seed = 40 }, { seed = 2 }]\n");
    let script = Script::default();
    assert_eq!(run(&workspace, "out", &["--jobs", "1"], &script).code, exit::PASS);
    assert_eq!(order(script), [2, 40, 1, 2, 1]);
}

#[test]
fn a_seed_that_was_picked_out_runs_alone() {
    let workspace = two();
    workspace.write("s/regressions/b.seeds", "version = 1\nseeds = [{ seed = 40 }]\n");
    let script = Script::default();
    run(&workspace, "out", &["--jobs", "1", "--seed", "7"], &script);
    assert_eq!(order(script), [7, 7]);
}

#[test]
fn failing_seeds_are_kept_only_when_asked_for_and_then_run_first() {
    let workspace = two();
    let failing = || Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    run(&workspace, "out", &[], &failing());
    assert!(!workspace.path("s/regressions").exists(), "nothing is kept silently");
    let said = run(&workspace, "kept", &["--save-failures", "--seeds", "1..3"], &failing());
    assert_eq!(said.code, 100);
    assert_eq!(
        said.err,
        "kept in FOLDER/s/regressions/a.seeds: seed 2\nkept in FOLDER/s/regressions/b.seeds: seed 2\n"
    );
    insta::assert_snapshot!(workspace.read("s/regressions/a.seeds"));
    let again = run(&workspace, "again", &["--save-failures", "--seeds", "1..3"], &failing());
    assert_eq!(again.err, "", "what is known is not told again");
    let script = failing();
    run(&workspace, "out", &["--seeds", "5..5", "--jobs", "1"], &script);
    assert_eq!(order(script), [2, 2, 5, 5]);
}

#[test]
fn seeds_that_cannot_be_kept_hide_nothing_of_the_run() {
    let workspace = two();
    std::os::unix::fs::symlink("nowhere/at/all", workspace.path("s/regressions")).expect("a link");
    let script = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    let said = run(&workspace, "out", &["--save-failures"], &script);
    assert_eq!(said.code, 100, "{}", said.err);
    assert!(
        said.err.starts_with("ferret: failing seeds are not kept: cannot make the folder FOLDER/s/regr"),
        "{}",
        said.err
    );
    assert!(said.out.contains("\n4 runs: ") && said.out.ends_with("report: FOLDER/out/report.html\n"), "{}", said.out);
}

#[test]
fn a_mistake_in_stored_seeds_keeps_all_from_running() {
    let workspace = two();
    workspace.write("s/regressions/b.seeds", "version = 1\nseeds = [\n  { sede = 40 },\n]\n");
    let script = Script::default();
    let said = run(&workspace, "out", &[], &script);
    assert_eq!((said.code, order(script).len()), (exit::INVALID_SCENARIO, 0));
    insta::assert_snapshot!(said.err);
}

#[test]
fn stored_seeds_of_a_scenario_that_is_not_there_keep_all_from_running() {
    let workspace = two();
    workspace.write("s/regressions/bb.seeds", "version = 1\nseeds = [\n  { seed = 40 },\n]\n");
    let script = Script::default();
    let said = run(&workspace, "out", &[], &script);
    assert_eq!((said.code, order(script).len()), (exit::INVALID_SCENARIO, 0));
    assert!(said.err.contains("bb.seeds: its seeds are never run: there is no ") && said.err.contains("s/bb.toml"));
}

#[test]
fn a_spent_budget_leaves_planned_seeds_out_and_is_incomplete() {
    let workspace = two();
    let said = run(&workspace, "out", &["--budget", "0s"], &Script::default());
    assert_eq!(said.code, exit::INCOMPLETE);
    assert!(said.out.contains("the budget is spent: 4 planned runs were not made"), "{}", said.out);
    assert_eq!(sweep_of(&workspace, "out").runs.len(), 0);
}

#[test]
fn a_spent_budget_is_the_end_of_seeds_that_have_none_but_not_before_the_first() {
    let workspace = two();
    let said = run(&workspace, "out", &["--budget", "0s", "--seeds", "1.."], &Script::default());
    assert_eq!(said.code, exit::INCOMPLETE, "{}", said.out);
    assert!(said.out.contains("the budget is spent: no run was made"), "{}", said.out);
    assert!(
        said.out.contains("\n0 runs: none was made; 0 s simulated in 0.0 s of runs (-), 0 messages\n"),
        "{}",
        said.out
    );
    let summary = workspace.read("out/summary.md");
    assert!(summary.starts_with("## ⚠️ Nothing was run\n"), "{summary}");
    assert!(workspace.read("out/report.html").contains("hero warn"));
    let said = run(&two(), "out", &["--seeds", "1.."], &Script::default());
    assert_eq!(said.code, exit::USAGE);
    assert!(said.err.contains("add --budget 10m"), "{}", said.err);
}

#[test]
fn seeds_without_an_end_have_no_parts() {
    let script = Script::default();
    let said = run(&two(), "out", &["--seeds", "1..", "--budget", "1s", "--partition", "slice:1/2"], &script);
    assert_eq!((said.code, said.out.as_str(), order(script).len()), (exit::USAGE, "", 0));
    assert!(said.err.contains("add an end, as in --seeds 1..400"), "{}", said.err);
}

#[test]
fn after_so_many_failures_no_run_is_begun_and_the_failures_decide() {
    let script = Script { bad: Some((1, Verdict::Threshold)), ..Script::default() };
    let said = run(&two(), "out", &["--max-fail", "2", "--jobs", "1", "--seeds", "1.."], &script);
    assert_eq!(said.code, 99, "{}", said.out);
    assert_eq!(order(script), [1, 1, 1], "the first of a long sweep twice; then the scenarios take turns");
    assert!(said.out.contains("\nas many failures as asked for\n"), "{}", said.out);
    assert!(said.out.contains("\n2 runs: 2 threshold crossed, 1 of them run twice"), "{}", said.out);
}

/// Asks to stop as soon as anything is written.
struct StopsAtOnce(Interrupt);

impl Write for StopsAtOnce {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.ask();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One after the other, the results of these runs come faster than progress is shown.
#[test]
fn progress_is_shown_however_fast_results_come() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let (script, interrupt) = (Script::default(), Interrupt::default());
    let (file, out) = (workspace.path("a.toml"), workspace.path("out"));
    let options = ["--seeds", "1..1000", "--jobs", "1", "--keep", "failed"].map(OsString::from);
    let args = ["ferret".into(), "run".into(), file.into(), "--out".into(), out.into()].into_iter().chain(options);
    let mut err = StopsAtOnce(interrupt.clone());
    let (out_style, err_style) = (Style::PLAIN, Style::PLAIN);
    let mut streams = Streams { out: &mut io::sink(), err: &mut err, out_style, err_style, progress: true };
    assert_eq!(cli::main(args, &script, &interrupt, &mut streams), exit::INCOMPLETE);
    let ran = script.ran.into_inner().expect("no run panicked").len();
    assert!((1..1000).contains(&ran), "{ran} runs before the first line of progress");
}

#[test]
fn a_long_sweep_prints_a_line_for_failures_only() {
    let script = Script { bad: Some((60, Verdict::Violated)), ..Script::default() };
    let said = run(&two(), "out", &["--seeds", "1..60", "-E", "name(first)"], &script);
    assert_eq!(said.code, 100);
    insta::assert_snapshot!(
        said.out.lines().filter(|line| !line.starts_with("report:")).collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn the_runs_that_passed_leave_no_history_if_that_is_wanted() {
    let workspace = two();
    let script = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    run(&workspace, "out", &["--keep", "failed"], &script);
    let there = |file: &str| workspace.path(&format!("out/first/{file}")).exists();
    assert!(there("seed-1/run.json") && there("seed-1/report.html") && !there("seed-1/history.jsonl.gz"));
    assert!(there("seed-2/run.json") && there("seed-2/history.jsonl.gz") && there("seed-2/report.html"));
}

/// The four parts of a sweep, and what `merge` says to those that are given.
fn merged(workspace: &Workspace, script: &Script, given: &[u32]) -> Said {
    for part in 1..=4 {
        let (out, slice) = (format!("part-{part}"), format!("slice:{part}/4"));
        run(workspace, &out, &["--seeds", "1..5", "--partition", &slice], script);
    }
    merge(workspace, given)
}

fn merge(workspace: &Workspace, given: &[u32]) -> Said {
    let parts: Vec<String> = given.iter().map(|part| format!("@part-{part}")).collect();
    let args = ["merge", "--out", "@whole"].into_iter().chain(parts.iter().map(String::as_str));
    workspace.ferret(&args.collect::<Vec<_>>(), &Script::default())
}

#[test]
fn parts_joined_are_what_one_sweep_is() {
    let workspace = two();
    let script = Script { bad: Some((3, Verdict::Violated)), never: true, ..Script::default() };
    let one = run(&workspace, "one", &["--seeds", "1..5"], &script);
    let many = merged(&workspace, &script, &[3, 1, 4, 2]);
    assert_eq!((one.code, many.code), (100, 100), "{}", many.err);
    let (one, many) = (sweep_of(&workspace, "one"), sweep_of(&workspace, "whole"));
    assert_eq!(many.results_hash, one.results_hash);
    assert_eq!((&many.runs, &many.plan, many.slice), (&one.runs, &one.plan, None));
    let vacuous = many.runs.iter().filter(|run| run.verdict == Verdict::Vacuous).count();
    assert_eq!(vacuous, 2, "what never happened is told of the last seed of each scenario, as in one sweep");
    for file in ["report.html", "junit.xml", "summary.md", "second/seed-4/history.jsonl.gz"] {
        assert!(workspace.path(&format!("whole/{file}")).exists(), "{file}");
    }
    assert_eq!(workspace.read("whole/first/seed-5/run.json").replace(['\n', ' '], "").matches("vacuous").count(), 2);
}

#[test]
fn a_part_does_not_judge_what_all_must_show_together() {
    let workspace = two();
    let script = Script { never: true, ..Script::default() };
    assert_eq!(run(&workspace, "out", &["--partition", "slice:1/4"], &script).code, exit::PASS);
    assert_eq!(merged(&workspace, &script, &[1, 2, 3, 4]).code, 104);
}

/// Files and exit code of a sweep with a bug that it does not notice, and of its two parts joined.
#[test]
fn a_bug_that_is_not_noticed_is_told_in_all_files_and_by_merge_as_by_one_sweep() {
    for (sabotage, runs, part_code, told) in [
        ("matching", "2 of 2 runs do not pass", 104, "nothing told of the planted bug forget-vote"),
        ("forget-vote", "1 of 2 runs does not pass", exit::PASS, "the planted bug forget-vote was not noticed"),
    ] {
        let text = named("first").replacen("version = 1", "version = 1\nmatching-sabotage = \"forget-vote\"", 1);
        let workspace = Workspace::new(&[("s/a.toml", &text)]);
        let options = ["--sabotage", sabotage, "--seeds", "1..2"];
        let one = run(&workspace, "one", &options, &Script::default());
        for part in ["1", "2"] {
            let slice = format!("slice:{part}/2");
            let options = [&options[..], &["--partition", &slice]].concat();
            let said = run(&workspace, &format!("part-{part}"), &options, &Script::default());
            assert_eq!(said.code, part_code, "{sabotage}: {}", said.out);
        }
        let many = merge(&workspace, &[2, 1]);
        assert_eq!((one.code, many.code), (104, 104), "{sabotage}: {}{}", one.out, many.out);
        assert_eq!(sweep_of(&workspace, "whole").request, format!("--sabotage {sabotage}"));
        assert_eq!(sweep_of(&workspace, "whole").results_hash, sweep_of(&workspace, "one").results_hash);
        for folder in ["one", "whole"] {
            assert_eq!(sweep_of(&workspace, folder).verdict, Verdict::Vacuous, "{sabotage}");
            for file in ["summary.md", "junit.xml", "first/seed-2/run.json", "first/seed-2/report.html"] {
                let text = workspace.read(&format!("{folder}/{file}"));
                assert!(text.replace('\\', "").contains(told), "{sabotage}: {folder}/{file} says nothing: {text}");
            }
            let summary = workspace.read(&format!("{folder}/summary.md"));
            assert!(summary.starts_with(&format!("## ⚠️ {runs}")), "{summary}");
        }
    }
}

/// With a bug in every run, a violation is what should be: the verdict is of the run that shows none.
#[test]
fn of_runs_with_their_own_bug_one_that_shows_nothing_is_the_worst_also_when_merged() {
    let text = named("first").replacen("version = 1", "version = 1\nmatching-sabotage = \"forget-vote\"", 1);
    let workspace = Workspace::new(&[("s/a.toml", &text)]);
    let script = Script { bad: Some((1, Verdict::Violated)), ..Script::default() };
    for part in ["1", "2"] {
        let slice = format!("slice:{part}/2");
        let options = ["--sabotage", "matching", "--seeds", "1..2", "--partition", &slice];
        run(&workspace, &format!("part-{part}"), &options, &script);
    }
    assert_eq!(merge(&workspace, &[1, 2]).code, 104);
    assert_eq!(sweep_of(&workspace, "whole").verdict, Verdict::Vacuous);
}

#[test]
fn what_must_happen_at_least_once_is_judged_of_seeds_without_an_end_where_they_ended() {
    let workspace = two();
    let options = ["--seeds", "1..", "--max-fail", "1", "--jobs", "1"];
    let script = || Script { bad: Some((2, Verdict::Threshold)), never: true, ..Script::default() };
    let said = run(&workspace, "out", &options, &script());
    assert_eq!(said.code, 99, "{}", said.out);
    let told = "vacuous, after all: second seed 1: `leader-changed` should have happened, and did not\n";
    assert!(said.out.contains(told), "{}", said.out);
    assert!(workspace.read("out/second/seed-1/run.json").contains("\"verdict\": \"vacuous\""));
    let said = run(&workspace, "out", &[&options[..], &["--message-format", "json"]].concat(), &script());
    assert!(said.err.contains(told) && !said.out.contains("after all"), "{}", said.err);
    let said = run(
        &workspace,
        "out",
        &["--seeds", "1..", "--budget", "1s", "--keep", "failed"],
        &Script { never: true, ..Script::default() },
    );
    assert_eq!(said.code, 104, "{}", said.out);
}

#[test]
fn what_is_not_the_whole_is_refused() {
    let workspace = two();
    let gap = merged(&workspace, &Script::default(), &[1, 2, 4]);
    let overlap = merge(&workspace, &[1, 2, 3, 4, 2]);
    let text = workspace.read("part-3/sweep.json");
    workspace.write("part-3/sweep.json", &text.replace("\"build\": \"ferret ", "\"build\": \"other "));
    let build = merge(&workspace, &[1, 2, 3, 4]);
    workspace.write("part-3/sweep.json", &text);
    let record = workspace.read("part-2/first/seed-2/run.json");
    workspace.write("part-2/first/seed-2/run.json", &record.replace("\"published\": 1210", "\"published\": 1211"));
    let changed = merge(&workspace, &[1, 2, 3, 4]);
    for (said, because) in [
        (gap, "2 of 10 runs are in no part, the first is first seed 3; there is no slice:3/4"),
        (overlap, "part-2 and FOLDER/part-2 both hold first seed 2"),
        (build, "compile once, and give all machines the same"),
        (changed, "the files in FOLDER/part-2 are not those that the sweep left"),
    ] {
        assert_eq!((said.code, said.out.as_str()), (exit::INCOMPLETE, ""), "{}", said.err);
        assert!(said.err.starts_with("ferret: not merged: ") && said.err.contains(because), "{}", said.err);
    }
    assert!(!workspace.path("whole").exists(), "nothing was written");
}

#[test]
fn a_part_that_names_what_it_does_not_have_is_refused() {
    let workspace = two();
    run(&workspace, "part-1", &["--seeds", "1..2", "--partition", "slice:1/1"], &Script::default());
    let text = workspace.read("part-1/sweep.json");
    let policy = "version = 1\nname = \"main\"\nscenarios = [\"s\"]\nseeds = \"1..2\"\n";
    workspace.write("gate.toml", policy);
    workspace.write("part-1/outside/run.json", "{}");
    for (from, to, because) in [
        ("\"scenario\": 1", "\"scenario\": 7", "has no scenario 7"),
        ("\"folder\": \"first/seed-1\"", "\"folder\": \"../part-1/first/seed-1\"", "is no folder of its own"),
        ("\"folder\": \"first/seed-1\"", "\"folder\": \"/first/seed-1\"", "is no folder of its own"),
    ] {
        assert!(text.contains(from), "{text}");
        workspace.write("part-1/sweep.json", &text.replace(from, to));
        for args in [&["merge", "@part-1", "--out", "@whole"][..], &["gate", "@gate.toml", "--from", "@part-1"]] {
            let said = workspace.ferret(args, &Script::default());
            assert_eq!((said.code, said.out.as_str()), (exit::INCOMPLETE, ""), "{to}: {}", said.err);
            assert!(said.err.contains("FOLDER/part-1/sweep.json") && said.err.contains(because), "{}", said.err);
        }
    }
    workspace.write("part-1/sweep.json", &text);
    workspace.write("part-1/first/seed-1/notes/mine.txt", "a folder that is none of ours");
    assert_eq!(merge(&workspace, &[1]).code, exit::PASS);
}

#[test]
fn a_part_that_was_copied_without_its_reports_is_not_merged() {
    let workspace = two();
    for part in ["1", "2"] {
        let said =
            run(&workspace, &format!("part-{part}"), &["--partition", &format!("slice:{part}/2")], &Script::default());
        assert_eq!(said.code, exit::PASS, "{}", said.err);
    }
    let folder = sweep_of(&workspace, "part-2").runs[0].folder.clone();
    let page = format!("part-2/{folder}/report.html");
    std::fs::remove_file(workspace.path(&page)).expect("the part has it");
    let merge = |out: &str| workspace.ferret(&["merge", "@part-1", "@part-2", "--out", out], &Script::default());
    let said = merge("@whole");
    let why = format!("ferret: not merged: FOLDER/{page} is not there: copy the folder as a whole\n");
    assert_eq!((said.code, said.err), (exit::INCOMPLETE, why));
    assert!(!workspace.path("whole").exists());
    workspace.write(&page, "a page");
    assert_eq!(merge("@whole").code, exit::PASS);
}

#[test]
fn a_part_with_anothers_history_or_without_that_of_a_failure_is_not_merged() {
    let script = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    let workspace = Workspace::new(&[("s/a.toml", &named("first"))]);
    for part in ["1", "2"] {
        let (out, slice) = (format!("@part-{part}"), format!("slice:{part}/2"));
        workspace.ferret(&["run", "@s", "--seeds", "1..2", "--partition", &slice, "--out", &out], &script);
    }
    let history = workspace.path("part-2/first/seed-2/history.jsonl.gz");
    assert_eq!(merge(&workspace, &[1, 2]).code, 100);
    std::fs::remove_file(&history).expect("it was there");
    let said = merge(&workspace, &[1, 2]);
    assert!(said.code == exit::INCOMPLETE && said.err.contains("is not there"), "{}", said.err);
    std::fs::write(&history, "").expect("it is written");
    let said = merge(&workspace, &[1, 2]);
    assert!(said.code == exit::INCOMPLETE && said.err.contains("is not what its run left"), "{}", said.err);
}
