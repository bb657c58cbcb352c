//! Runs that were made before, elsewhere or by another program, as the gate takes them.

use super::*;

#[test]
fn a_gate_judges_runs_that_were_made_elsewhere() {
    let workspace = workspace();
    for part in ["1", "2"] {
        let (out, slice) = (format!("@part-{part}"), format!("slice:{part}/2"));
        let said = workspace.ferret(&["gate", "@gate.toml", "--partition", &slice, "--out", &out], &good());
        assert_eq!(said.code, exit::PASS, "{}", said.err);
    }
    let merged = workspace.ferret(&["merge", "@part-1", "@part-2", "--out", "@whole"], &good());
    assert_eq!(merged.code, exit::PASS, "{}", merged.err);
    let script = good();
    let (from, here) = (gate(&workspace, &["--from", "@whole"], &script), gate(&workspace, &[], &good()));
    assert_eq!((from.code, verdict(&from)), (here.code, verdict(&here)));
    assert_eq!(script.ran.into_inner().expect("no run panicked"), [1, 2, 3], "only the planted bug was run");
    let short = gate(&workspace, &["--from", "@part-1"], &good());
    assert_eq!(short.code, exit::INCOMPLETE);
    assert!(short.out.contains("2 of 3 runs pass, 1 was not made"), "{}", short.out);
}

#[test]
fn a_sweep_of_which_runs_are_missing_is_not_shown_as_one_that_passed() {
    let workspace = workspace();
    for (seeds, told) in [("1..2", "2 of 3 runs pass, 1 not made"), ("1..1", "1 of 3 runs pass, 2 not made")] {
        workspace.ferret(&["run", "@s", "--seeds", seeds, "--out", "@w"], &good());
        assert_eq!(gate(&workspace, &["--from", "@w"], &good()).code, exit::INCOMPLETE);
        let (summary, report) = (workspace.read("out/summary.md"), workspace.read("out/report.html"));
        assert!(summary.contains(&format!("## ⚠️ Incomplete: {told}\n")), "{summary}");
        assert!(report.contains(told) && report.contains("hero warn"), "{seeds}: the page says it, too");
    }
}

#[test]
fn runs_of_a_scenario_that_was_edited_since_are_missing_and_it_is_said_why() {
    let workspace = workspace();
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--out", "@w"], &good());
    workspace.write("s/a.toml", &named("first").replace("10s", "11s"));
    let said = gate(&workspace, &["--from", "@w"], &good());
    assert_eq!(said.code, exit::INCOMPLETE, "{}", said.out);
    let (record, summary) = (workspace.read("out/gate.json"), workspace.read("out/summary.md"));
    let edited = "s/a.toml was edited since these runs were made";
    assert!(record.contains("0 of 3 runs pass, 3 were not made: ") && record.contains(edited), "{record}");
    assert!(summary.contains(edited) && !summary.contains("nobody has made them"), "{summary}");
}

#[test]
fn runs_that_were_made_with_other_options_are_not_judged() {
    let workspace = workspace();
    for options in [&["--swarm"][..], &["--client", "lapin"], &["--sabotage", "forget-vote"]] {
        let args = [&["run", "@s", "--seeds", "1..3", "--out", "@w"], options].concat();
        workspace.ferret(&args, &good());
        let said = gate(&workspace, &["--from", "@w"], &good());
        assert_eq!((said.code, said.out.as_str()), (exit::INCOMPLETE, ""), "{options:?}");
        assert!(said.err.contains(&options.join(" ")), "{}", said.err);
    }
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--out", "@w", "--verify-determinism"], &good());
    let said = gate(&workspace, &["--from", "@w"], &good());
    assert_eq!(said.code, exit::PASS, "run twice, they are the same runs: {}{}", said.out, said.err);
    assert!(workspace.read("out/sweep.json").contains("\"request\": \"--verify-determinism\""));
}

#[test]
fn what_must_happen_at_least_once_is_judged_over_the_runs_that_the_gate_takes() {
    let workspace = workspace();
    let script = || Script { never: true, ..good() };
    for options in [&["--seeds", "1..3", "--partition", "slice:1/1"], &["--seeds", "1..9", "--jobs", "1"]] {
        let args = [&["run", "@s", "--out", "@w"], &options[..]].concat();
        workspace.ferret(&args, &script());
        let said = gate(&workspace, &["--from", "@w"], &script());
        assert_eq!(said.code, 104, "{options:?}: {}{}", said.out, said.err);
        let record = workspace.read("out/first/seed-3/run.json");
        assert!(record.contains("\"verdict\": \"vacuous\"") && record.contains("did not in 3 seeds"), "{record}");
    }
    workspace.ferret(&["run", "@s", "--out", "@w", "--seeds", "1..3"], &script());
    assert_eq!(gate(&workspace, &["--from", "@w"], &script()).code, 104);
    let record = workspace.read("out/first/seed-3/run.json");
    assert_eq!(record.matches("did not in 3 seeds").count(), 1, "what is known is not told twice: {record}");
}

#[test]
fn runs_of_another_program_are_judged_as_its_own_but_planted_bugs_of_this_one_prove_nothing_of_it() {
    let workspace = workspace();
    workspace.ferret(&["run", "@s", "--seeds", "1..3", "--out", "@w"], &good());
    let sweep = workspace.read("w/sweep.json").replace("\"build\": \"ferret ", "\"build\": \"other ");
    workspace.write("w/sweep.json", &sweep);
    let said = gate(&workspace, &["--from", "@w"], &good());
    assert_eq!((said.code, said.out.as_str()), (exit::INCOMPLETE, ""));
    assert!(said.err.contains("were made by other "), "{}", said.err);
    workspace.write("gate.toml", "version = 1\nname = \"main\"\nscenarios = [\"s\"]\nseeds = \"1..3\"\n");
    let said = gate(&workspace, &["--from", "@w"], &good());
    assert_eq!(said.code, exit::PASS, "{}", said.err);
    assert!(workspace.read("out/gate.json").contains("\"build\": \"other "));
}
