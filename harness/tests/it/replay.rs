//! What `ferret replay` says of a reproducer, and `ferret shrink` of what it cannot shrink, with a script in the place
//! of the simulation. Only a run that passes shows that something is mended.

use ferret::{
    cli::{Interrupt, exit},
    scenario::Scenario,
};
use ferret_reports::Verdict;

use crate::{
    cli::{Script, named},
    workspace::{Said, Workspace},
};

/// A reproducer of `violates`, with seed 1, from an earlier build.
fn repro(violates: &str) -> String {
    named("small") + &format!("[repro]\nviolates = \"{violates}\"\ntrace = \"00000000deadbeef\"\nbuild = \"before\"\n")
}

fn replay(text: &str, options: &[&str], script: &Script) -> Said {
    let workspace = Workspace::new(&[("small.repro.toml", text)]);
    let args = ["replay", "@small.repro.toml"].into_iter().chain(options.iter().copied());
    workspace.ferret(&args.collect::<Vec<_>>(), script)
}

fn ends_with(verdict: Verdict) -> Script {
    Script { bad: Some((1, verdict)), ..Script::default() }
}

#[test]
fn in_another_build_only_a_run_that_passes_is_mended() {
    let mended = replay(&repro("no-confirmed-loss"), &[], &Script::default());
    assert_eq!(mended.code, exit::PASS, "{}", mended.out);
    assert!(mended.out.contains("no-confirmed-loss is not violated any more"), "{}", mended.out);
    for (violates, verdict, code, word) in [
        ("no-confirmed-loss", Verdict::Internal, 1, "internal error"),
        ("no-confirmed-loss", Verdict::Undecided, 102, "undecided"),
        ("no-confirmed-loss", Verdict::Vacuous, 104, "vacuous"),
        ("no-confirmed-loss", Verdict::Incomplete, 5, "incomplete"),
        ("durability", Verdict::Violated, 100, "violated"),
        ("panic", Verdict::Undecided, 102, "undecided"),
    ] {
        let said = replay(&repro(violates), &[], &ends_with(verdict));
        assert_eq!(said.code, code, "{verdict:?}: {}", said.out);
        let told = format!("{violates} is not shown, but the run is no pass: {word}");
        assert!(said.out.contains(&told) && !said.out.contains("any more"), "{}", said.out);
    }
}

#[test]
fn a_run_that_did_not_come_to_the_time_that_was_asked_for_is_not_told_as_stopped_there() {
    let until = ["--until", "14s"];
    let said = replay(&repro("durability"), &until, &Script { panics: true, ..Script::default() });
    assert_eq!(said.code, exit::INTERNAL, "{}", said.out);
    assert!(said.out.contains("because the simulation panicked: the script panics"), "{}", said.out);
    let interrupted = Script { interrupted: Some(Interrupt::default()), ..Script::default() };
    let said = replay(&repro("durability"), &until, &interrupted);
    assert_eq!(said.code, exit::INCOMPLETE, "{}", said.out);
    assert!(said.out.contains("interrupted at 0.000 s; nothing is judged"), "{}", said.out);
    // The script's runs end at 0 s by themselves.
    let said = replay(&repro("no-confirmed-loss"), &until, &ends_with(Verdict::Violated));
    assert_eq!(said.code, 100, "it has come to its end, and is judged: {}", said.out);
    assert!(!said.out.contains("stopped at"), "{}", said.out);
}

#[test]
fn a_spare_that_may_join_is_a_node_too() {
    let spare = repro("durability").replace("nodes = 3", "nodes = 3, spares = 1");
    assert_eq!(replay(&spare, &["--node", "n4"], &Script::default()).code, exit::PASS);
    let said = replay(&spare, &["--node", "n5"], &Script::default());
    assert_eq!((said.code, said.err.as_str()), (exit::USAGE, "ferret: there is no node n5; the nodes are n1 to n4\n"));
}

#[test]
fn a_folder_is_no_reproducer_even_if_the_first_file_in_it_is_one() {
    let workspace = Workspace::new(&[("r/a.toml", &repro("durability")), ("r/b.toml", &repro("quorum"))]);
    let said = workspace.ferret(&["replay", "@r"], &Script::default());
    assert_eq!((said.code, said.out.as_str()), (exit::NOTHING_SELECTED, ""));
    assert_eq!(said.err, "ferret: FOLDER/r is not one scenario; name one file\n");
}

#[test]
fn what_was_violated_has_a_name_that_is_known() {
    let said = replay(&repro("no-confirmed-los"), &[], &Script::default());
    assert_eq!((said.code, said.out.as_str()), (exit::INVALID_SCENARIO, ""));
    insta::assert_snapshot!(said.err);
    let falls = Script { falls: true, ..ends_with(Verdict::Violated) };
    assert_eq!(replay(&repro("panic"), &[], &falls).code, 100, "an assertion of the broker's");
}

#[test]
fn the_longest_name_of_a_scenario_can_be_shrunk_and_what_is_shrunk_again_keeps_its_name() {
    let workspace = Workspace::new(&[("a.toml", &named(&"l".repeat(100)))]);
    let script = || Script { bad: Some((1, Verdict::Violated)), ..Script::default() };
    let options = ["--seed", "1", "--budget", "1", "--jobs", "1"];
    let shrunk = |from: &str, to: &str| {
        let said = workspace.ferret(&[&["shrink", from, "--out", &format!("@{to}")], &options[..]].concat(), &script());
        assert_eq!(said.code, 100, "{}{}", said.out, said.err);
        Scenario::parse(to, &workspace.read(to)).expect("it is a scenario").name
    };
    let once = shrunk("@a.toml", "small.repro.toml");
    assert!(once.starts_with("lll") && once.ends_with("l-repro") && once.len() == 100, "{once}");
    assert_eq!(shrunk("@small.repro.toml", "again.repro.toml"), once);
}

#[test]
fn what_is_no_reproducer_is_not_written_over() {
    let workspace = Workspace::new(&[("a.toml", &named("a"))]);
    let before = workspace.read("a.toml");
    let script = Script { bad: Some((1, Verdict::Violated)), ..Script::default() };
    let said = workspace.ferret(&["shrink", "@a.toml", "--budget", "1", "--out", "@a.toml"], &script);
    assert_eq!((said.code, workspace.read("a.toml")), (exit::USAGE, before));
    assert!(said.err.contains("a.toml exists and is no reproducer"), "{}", said.err);
}

#[test]
fn an_interrupt_of_the_first_run_tells_nothing_about_what_there_is_to_shrink() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let script = Script { interrupted: Some(Interrupt::default()), ..Script::default() };
    let said = workspace.ferret(&["shrink", "@a.toml", "--out", "@small.toml"], &script);
    assert_eq!(
        (said.code, said.out.as_str()),
        (exit::INCOMPLETE, "first with seed 1: interrupted before it was known to fail\n")
    );
    assert!(!workspace.path("small.toml").exists());
}

#[test]
fn a_seed_that_fails_by_what_cannot_be_shrunk_is_no_pass_and_it_is_said_why() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let shrink = |options: &[&str], verdict| {
        let args = [&["shrink", "@a.toml", "--jobs", "1", "--out", "@small.toml"], options].concat();
        let said = workspace.ferret(&args, &ends_with(verdict));
        assert!(!workspace.path("small.toml").exists());
        (said.code, said.out)
    };
    for (verdict, code, word) in [
        (Verdict::Threshold, 99, "threshold crossed"),
        (Verdict::Vacuous, 104, "vacuous"),
        (Verdict::Undecided, 102, "undecided"),
    ] {
        let why = format!("nothing is violated; it ends with \"{word}\", and only violations and panics are shrunk");
        assert_eq!(shrink(&[], verdict), (code, format!("first with seed 1: {why}\n")));
        let said =
            workspace.ferret(&["run", "@a.toml", "--seed", "1", "--shrink", "--out", "@out"], &ends_with(verdict));
        let told = format!("not shrunk        first  seed 1: it ends with \"{word}\", and only violations and panics");
        assert!(said.code == code && said.out.contains(&told), "{}", said.out);
    }
    let (code, told) = shrink(&["--invariant", "durability"], Verdict::Violated);
    let other = "first with seed 1: durability is not violated, but no-confirmed-loss is: shrink it with --invariant \
                 no-confirmed-loss\n";
    assert_eq!((code, told.as_str()), (100, other));
    assert_eq!(shrink(&["--invariant", "durability"], Verdict::Pass).0, exit::PASS);
}

#[test]
fn what_an_edited_reproducer_shows_is_no_mend() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let violated = || ends_with(Verdict::Violated);
    let options = ["shrink", "@a.toml", "--budget", "1", "--jobs", "1", "--out", "@small.repro.toml"];
    assert_eq!(workspace.ferret(&options, &violated()).code, 100);
    let written = workspace.read("small.repro.toml");
    let replay = |text: &str, script: &Script| {
        workspace.write("small.repro.toml", text);
        let said = workspace.ferret(&["replay", "@small.repro.toml"], script);
        (said.code, said.out.lines().last().unwrap_or_default().to_owned())
    };
    let (code, told) = replay(&written, &violated());
    assert!(code == 100 && told.starts_with("reproduced to the byte: ") && !told.contains("edited"), "{told}");
    let (code, told) = replay(&format!("{written}\n# Seen on a Monday.\n"), &Script::default());
    assert!(code == 103 && told.starts_with("not deterministic: the same build gave "), "a comment is no edit: {told}");

    let edited = written.replacen("version = 1\n", "version = 1\ndescription = \"mine\"\n", 1);
    assert_ne!(edited, written);
    let (code, told) = replay(&edited, &violated());
    assert!(code == 100 && told.ends_with(", although the file was edited since it was written"), "{told}");
    let (code, told) = replay(&edited.replace("trace = \"", "trace = \"f"), &violated());
    let still = "the file was edited since it was written: another trace, but no-confirmed-loss is still violated";
    assert_eq!((code, told.as_str()), (100, still));
    let (code, told) = replay(&edited, &Script::default());
    let mend = "no-confirmed-loss is not violated, which shows no mend; if the edit is meant, take `text-hash` out of";
    assert!(code == 104 && told.contains(mend), "{told}");
    let older: Vec<&str> = edited.lines().filter(|line| !line.starts_with("text-hash")).collect();
    let (code, told) = replay(&older.join("\n"), &Script::default());
    assert!(code == 103 && told.starts_with("not deterministic, or the file was edited: "), "{told}");
    let nameless: Vec<&str> = older.iter().copied().filter(|line| !line.starts_with("build")).collect();
    let (code, told) = replay(&nameless.join("\n"), &Script::default());
    assert!(code == 104 && told.starts_with("nobody knows whether the code has changed since"), "{told}");
    assert!(told.contains("no-confirmed-loss is not violated, which shows no mend"), "{told}");
    let (code, told) = replay(&nameless.join("\n"), &violated());
    assert!(code == 100 && told.starts_with("reproduced to the byte: "), "{told}");
}
