//! `ferret demo`, the program itself, in a folder that is no clone.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use ferret::cli::exit;
use tempfile::TempDir;

fn demo(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferret"));
    command.current_dir(folder.path()).arg("demo").args(args).env_remove("RUST_BACKTRACE");
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

#[test]
fn a_planted_bug_is_found_shrunk_explained_and_gone_without_it() {
    let folder = folder();
    // A debug build is slow; how much is shrunk must not depend on it.
    let done = demo(&folder, &["--out", "demo", "--jobs", "2", "--budget", "900"]).output().expect("it runs");
    let told = String::from_utf8(done.stdout).expect("text");
    assert_eq!(done.status.code(), Some(0), "{told}\n{}", String::from_utf8_lossy(&done.stderr));
    insta::assert_snapshot!(without_wall_time(&told));
    let readme = include_str!("../../../README.md");
    let quoted = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("what it prints");
    let told = without_wall_time(&told);
    for line in without_wall_time(quoted).lines() {
        // Commands stand there without their folders.
        let left_out = line.starts_with("$ ") || line.trim() == "…";
        assert!(left_out || told.contains(line), "README quotes {line:?}, which is not printed");
    }
    for file in ["minimal/report.html", "found/report.html", "without-bug/report.html", "power-cut.toml"] {
        assert!(folder.path().join("demo").join(file).is_file(), "{file}");
    }
}

#[test]
fn ctrl_c_ends_the_demo_and_says_what_there_is() {
    let folder = folder();
    let mut child = demo(&folder, &["--out", "demo"]).stdout(Stdio::piped()).spawn().expect("it runs");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut told = String::new();
    for line in lines.map_while(Result::ok) {
        if line.starts_with("2. Shrink.") {
            let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
            assert!(sent.success());
        }
        told += &(line + "\n");
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(i32::from(exit::INCOMPLETE)), "{told}");
    assert!(told.ends_with("stopped; what there is so far is in demo\n"), "{told}");
    assert!(!told.contains("3. Explain."), "{told}");
}

#[test]
fn a_folder_in_use_is_left_alone() {
    let folder = folder();
    std::fs::create_dir_all(folder.path().join("mine/notes")).expect("a folder");
    let done = demo(&folder, &["--out", "mine"]).output().expect("it runs");
    assert_eq!(done.status.code(), Some(i32::from(exit::USAGE)));
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(told, "ferret: there is something in mine already; name a new folder, or leave out --out\n");
}

/// `told` without what differs between two machines, and between two builds of the same code.
fn without_wall_time(told: &str) -> String {
    let mut lines = Vec::new();
    for line in told.lines() {
        let mut line = line.replace(env!("CARGO_BIN_EXE_ferret"), "FERRET");
        for (from, to, mask) in [
            (" s in ", ")", "W s (Rx"),
            (" (", " s)", "N runs in W"),
            ("build = \"", "\"", "BUILD"),
            ("text-hash = \"", "\"", "HASH"),
        ] {
            let wanted = match from {
                " (" => line.starts_with("shrunk"),
                _ => true,
            };
            let Some(start) = line.find(from).filter(|_| wanted).map(|at| at + from.len()) else { continue };
            let Some(length) = line[start..].find(to) else { continue };
            line.replace_range(start..start + length, mask);
        }
        lines.push(line.trim_end().to_owned());
    }
    lines.join("\n") + "\n"
}
