//! What a call finds where it is to write, and what it says of what it was given and did not run.

use std::{ffi::OsString, fs, path::Path};

use ferret::cli::{self, Interrupt, Streams, Style, exit};
use ferret_reports::Verdict;

use crate::{
    cli::{Script, named},
    workspace::Workspace,
};

/// Runs `ferret ARGS`; the exit code and what was printed as errors.
fn ferret(args: &[&str], script: &Script) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        let interrupt = script.interrupted.clone().unwrap_or_default();
        cli::main(["ferret"].iter().chain(args).map(OsString::from), script, &interrupt, &mut streams)
    };
    (code, String::from_utf8(err).expect("output is text"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn a_folder_without_scenarios_among_others_is_told_of_and_nothing_is_run() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (file, empty, out) = (folder.path().join("a.toml"), folder.path().join("empty"), folder.path().join("out"));
    fs::write(&file, named("first")).expect("a scenario is written");
    fs::create_dir(&empty).expect("a folder is made");
    for args in [
        vec!["check", text(&file), text(&empty)],
        vec!["run", text(&file), text(&empty), "--out", text(&out)],
        vec!["check", text(&empty), text(&file)],
    ] {
        let (code, err) = ferret(&args, &Script::default());
        assert_eq!(code, exit::INVALID_SCENARIO, "{err}");
        assert!(err.contains(&format!("empty  {}: there is no scenario in this folder", text(&empty))), "{err}");
    }
    assert!(!out.exists());
    let (code, err) = ferret(&["check", text(&file), text(folder.path())], &Script::default());
    assert_eq!(code, exit::PASS, "a folder whose files were all named before is not empty: {err}");
}

#[test]
fn old_runs_do_not_stand_beside_new_ones_and_what_is_not_ours_stays() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (first, second) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
    fs::write(&first, named("first")).expect("a scenario is written");
    fs::write(&second, named("second")).expect("a scenario is written");
    let out = folder.path().join("out");
    let run = |scenario: &Path, seeds: &str| {
        ferret(&["run", text(scenario), "--seeds", seeds, "--out", text(&out)], &Script::default())
    };
    assert_eq!(run(&first, "1..3"), (exit::PASS, String::new()));
    fs::write(out.join("notes.txt"), "mine").expect("a note is written");
    let (code, err) = run(&second, "7..8");
    assert_eq!((code, err), (exit::PASS, format!("removed 3 runs of a former call from {}\n", text(&out))));
    assert!(!out.join("first").exists() && out.join("second/seed-7/run.json").exists());
    assert_eq!(fs::read_to_string(out.join("notes.txt")).expect("it is there"), "mine");
}

#[test]
fn what_a_call_is_to_read_is_not_what_it_replaces() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let file = folder.path().join("a.toml");
    fs::write(&file, named("first")).expect("a scenario is written");
    let out = folder.path().join("out");
    let draws = Script { draws: true, ..Script::default() };
    let (code, err) = ferret(&["run", text(&file), "--swarm", "--seed", "4", "--out", text(&out)], &draws);
    assert_eq!((code, err.as_str()), (exit::PASS, ""));
    let drawn = out.join("first/seed-4/drawn.toml");
    for args in [vec!["run", text(&drawn), "--out", text(&out)], vec!["merge", text(&out), "--out", text(&out)]] {
        let (code, err) = ferret(&args, &Script::default());
        assert_eq!(code, exit::USAGE, "{err}");
        assert!(err.contains("is still needed, and --out ") && err.contains("name another folder"), "{err}");
        assert!(drawn.exists());
    }
}

#[test]
fn what_was_not_run_is_listed_by_seed_and_by_why() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let (first, second) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
    fs::write(&first, named("first")).expect("a scenario is written");
    fs::write(&second, named("second")).expect("a scenario is written");
    let out = folder.path().join("out");
    let run = |script: &Script, more: &[&str]| {
        let args = ["run", text(&first), text(&second), "--jobs", "1", "--out", text(&out)];
        let (code, _) = ferret(&[&args[..], more].concat(), script);
        let left = |name: &str| fs::read_to_string(out.join(name)).expect(name);
        (code, left("junit.xml"), left("summary.md"))
    };
    let interrupted = || Script { interrupted: Some(Interrupt::default()), ..Script::default() };
    let (code, junit, summary) = run(&interrupted(), &["--seeds", "1..4"]);
    assert_eq!(code, exit::INCOMPLETE);
    assert!(
        junit.contains("<testsuites name=\"ferret\" tests=\"8\" failures=\"1\" errors=\"0\" skipped=\"7\""),
        "{junit}"
    );
    assert_eq!(junit.matches("<skipped message=\"not run: interrupted\"/>").count(), 7, "{junit}");
    assert!(junit.contains("classname=\"second\" name=\"seed 4\""), "{junit}");
    assert!(summary.contains("7 runs not made: interrupted"), "{summary}");
    assert!(summary.contains("| first | 2 to 4 |\n| second | 1 to 4 |"), "{summary}");
    let (_, junit, summary) = run(&interrupted(), &["--seeds", "1..60"]);
    assert!(junit.contains("name=\"seeds 51 to 75\"") && junit.contains("tests=\"6\""), "{junit}");
    assert!(junit.contains("message=\"25 of 25 seeds were not run: interrupted\""), "{junit}");
    assert!(summary.contains("119 runs not made"), "{summary}");
    let fails = Script { bad: Some((2, Verdict::Violated)), ..Script::default() };
    let (code, junit, summary) = run(&fails, &["--seeds", "1..4", "--max-fail", "1"]);
    assert_eq!(code, Verdict::Violated.exit_code());
    assert!(junit.contains("not run: as many runs had failed as were asked for"), "{junit}");
    assert!(summary.contains("| first | 3 to 4 |") && summary.contains("| second | 2 to 4 |"), "{summary}");
    let (_, junit, summary) = run(&Script::default(), &["--seeds", "1..2"]);
    assert!(junit.contains("skipped=\"0\"") && !junit.contains("<skipped"), "{junit}");
    assert!(!summary.contains("not made"), "{summary}");
    let (_, junit, summary) = run(&Script::default(), &["--seeds", "1..", "--max-fail", "1", "--budget", "50ms"]);
    assert!(!junit.contains("<skipped") && !summary.contains("not made"), "without an end nothing is missing");
}

#[test]
fn for_programs_a_file_that_cannot_be_run_is_an_object_too() {
    let broken = named("first").replace("nodes = 3", "nods = 3");
    let workspace = Workspace::new(&[("a.toml", &broken)]);
    let said = workspace.ferret(&["run", "@a.toml", "@b.toml", "--message-format", "json"], &Script::default());
    assert_eq!(said.code, exit::INVALID_SCENARIO, "{}", said.err);
    let told: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect();
    assert_eq!(told.len(), 2, "{}", said.out);
    assert_eq!(
        (told[0]["scenario"].as_str(), told[0]["verdict"].as_str()),
        (Some("FOLDER/b.toml"), Some("unreadable"))
    );
    assert_eq!((told[1]["scenario"].as_str(), told[1]["verdict"].as_str()), (Some("FOLDER/a.toml"), Some("invalid")));
    assert_eq!(told[1]["problems"][0]["line"], 4, "{}", said.out);
}

#[test]
fn what_cannot_be_written_is_named_and_another_place_is_asked_for() {
    let workspace = Workspace::new(&[("a.toml", &named("first")), ("file", "mine")]);
    let violated = Script { bad: Some((1, Verdict::Violated)), ..Script::default() };
    for (args, told) in [
        (&["run", "@a.toml", "--out", "@file/out"][..], "cannot look into FOLDER/file/out: "),
        (&["demo", "--out", "@file/out"], "cannot make the folder FOLDER/file/out: "),
        (&["shrink", "@a.toml", "--out", "@file/small.toml"], "cannot make the folder FOLDER/file: "),
        (&["export", "@a.toml", "--format", "events", "--out", "@file/e"], "cannot make the folder FOLDER/file: "),
        (&["man", "@file"], "cannot make the folder FOLDER/file: "),
    ] {
        let said = workspace.ferret(args, &violated);
        assert_eq!((said.code, said.out.as_str()), (exit::USAGE, ""), "{args:?}: {}", said.err);
        assert!(said.err.starts_with(&format!("ferret: {told}")), "{}", said.err);
        assert!(said.err.ends_with("; name another place\n"), "{}", said.err);
    }
    assert!(violated.ran.into_inner().expect("no run panicked").is_empty(), "it is said before anything runs");
}

#[test]
fn of_several_runs_that_all_pass_none_is_meant_and_they_are_listed() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let script = Script::default();
    assert_eq!(workspace.ferret(&["run", "@a.toml", "--out", "@out"], &script).code, exit::PASS);
    let listed = "ferret: FOLDER/out holds 2 runs, and all of them pass: name the one that you mean\n  \
                  FOLDER/out/first/seed-1\n  FOLDER/out/first/seed-2\n";
    for args in [&["explain", "@out"][..], &["export", "@out", "--format", "events"]] {
        let said = workspace.ferret(args, &script);
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (exit::USAGE, "", listed), "{args:?}");
    }
    assert_eq!(workspace.ferret(&["explain", "@out/first/seed-2"], &script).code, exit::PASS);
}

#[test]
fn control_characters_in_names_of_files_reach_no_terminal_and_no_report() {
    let workspace = Workspace::new(&[("s/a\u{1b}[2J.toml", &named("first")), ("a\u{7}", "mine")]);
    let script = Script::default();
    for verb in ["run", "check"] {
        let said = workspace.ferret(&[verb, "@s"], &script);
        assert_eq!((said.code, said.out.as_str()), (exit::INVALID_SCENARIO, ""));
        let told =
            "FOLDER/s/a\\u{1b}[2J.toml: its name has control characters, which are orders on terminals; rename it";
        assert!(said.err.contains(told), "{}", said.err);
    }
    for args in [&["explain", "@a\u{7}"][..], &["run", "@s", "--out", "@a\u{7}/out"], &["man", "@a\u{7}"]] {
        let said = workspace.ferret(args, &script);
        assert!(said.code != exit::PASS && !said.err.contains('\u{7}'), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_told_of_and_not_waited_for() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let script = Script::default();
    assert_eq!(workspace.ferret(&["run", "@a.toml", "--out", "@out"], &script).code, exit::PASS);
    let pipe = |name: &str| {
        let path = workspace.path(name);
        let _ = fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("there is mkfifo");
        assert!(made.success(), "{name}");
    };
    for name in ["pipe.toml", "out/sweep.json", "out/first/seed-1/run.json", "out/first/seed-2/history.jsonl.gz"] {
        pipe(name);
    }
    for (args, code) in [
        (&["check", "@pipe.toml"][..], exit::INVALID_SCENARIO),
        (&["run", "@pipe.toml"], exit::INVALID_SCENARIO),
        (&["replay", "@pipe.toml"], exit::INVALID_SCENARIO),
        (&["gate", "@pipe.toml"], exit::INVALID_SCENARIO),
        (&["merge", "@out"], exit::INCOMPLETE),
        (&["explain", "@out/first/seed-2"], exit::USAGE),
    ] {
        let said = workspace.ferret(args, &script);
        assert_eq!((said.code, said.out.as_str()), (code, ""), "{args:?}: {}", said.err);
        assert!(said.err.contains("this is a pipe or a device: write it to a file first"), "{args:?}: {}", said.err);
    }
}

#[test]
fn a_file_of_anothers_is_not_replaced_and_what_ferret_left_is() {
    let workspace = Workspace::new(&[("a.toml", &named("first"))]);
    let script = Script::default();
    let run = || workspace.ferret(&["run", "@a.toml", "--out", "@out"], &script);
    let names = ["report.html", "summary.md", "junit.xml", "sweep.json", "gate.json", "first/seed-1/run.json"];
    for name in names.into_iter().chain(["first/seed-2/report.html", "first/seed-2/history.jsonl.gz"]) {
        let file = format!("out/{name}");
        workspace.write(&file, "mine");
        let (ran, said) = (script.ran.lock().expect("no run panicked").len(), run());
        let told = format!(
            "ferret: FOLDER/{file} would be replaced, and is nothing that a former call left: name another folder with \
             --out, or remove it\n"
        );
        assert_eq!((said.code, said.err), (exit::USAGE, told));
        assert_eq!((workspace.read(&file), script.ran.lock().expect("no run panicked").len()), ("mine".into(), ran));
        fs::remove_file(workspace.path(&file)).expect("it is there");
    }
    assert_eq!((run().code, run().code), (exit::PASS, exit::PASS), "what a call left is the next one's to replace");
    for name in ["report.html", "first/seed-1/run.json"] {
        let (place, other) = (workspace.path(&format!("out/{name}")), workspace.path("other"));
        fs::rename(&place, &other).expect("it is there");
        std::os::unix::fs::symlink(&other, &place).expect("a link is made");
        assert_eq!(run().code, exit::USAGE, "{name} leads out of the folder");
        fs::rename(&other, &place).expect("it is there");
    }
    assert_eq!(run().code, exit::PASS);
}
