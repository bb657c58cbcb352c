//! Completions and manual pages are made, and shells and `man` take them, where there are such.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::{Command, Output},
};

use ferret::cli::{self, Interrupt, Simulation, Streams, Style};

/// What the command line prints.
fn ferret(args: &[&str]) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = {
        let (out, err) = (&mut out, &mut err);
        let mut streams = Streams { out, err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
        let args = ["ferret"].iter().chain(args).map(OsString::from);
        cli::main(args, &Simulation, &Interrupt::default(), &mut streams)
    };
    assert_eq!((code, String::from_utf8_lossy(&err).as_ref()), (0, ""));
    String::from_utf8(out).expect("it is text")
}

/// `None` if there is no such program here.
fn tool(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: no {:?} here", command.get_program());
            None
        }
        Err(error) => panic!("{command:?}: {error}"),
    }
}

fn assert_silent(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn each_shell_is_told_of_every_verb() {
    for (shell, mark) in [("bash", "complete -F _ferret"), ("zsh", "#compdef ferret"), ("fish", "complete -c ferret")] {
        let script = ferret(&["completions", shell]);
        assert!(script.contains(mark), "{shell}");
        for part in ["explain", "serve", "max-fail", "confirm-before-sync"] {
            assert!(script.contains(part), "{shell}: {part}");
        }
    }
}

#[test]
fn shells_take_their_completions() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    for shell in ["bash", "zsh", "fish"] {
        let file = folder.path().join(shell);
        fs::write(&file, ferret(&["completions", shell])).expect("it can be written");
        if let Some(checked) = tool(Command::new(shell).arg("-n").arg(&file)) {
            assert_silent(&checked);
        }
    }
    let bash = folder.path().join("bash");
    let asked = "source \"$1\"; COMP_WORDS=(ferret run --sabotage confirm-before-s); COMP_CWORD=3; \
                 _ferret ferret confirm-before-s --sabotage; echo \"${COMPREPLY[*]}\"";
    if let Some(completed) = tool(Command::new("bash").args(["--norc", "-c", asked, "bash"]).arg(&bash)) {
        assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "confirm-before-sync");
    }
}

#[test]
fn every_verb_has_a_page_that_man_can_show() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let pages = folder.path().join("pages");
    let told = ferret(&["man", pages.to_str().expect("a plain name")]);
    let names: Vec<String> = fs::read_dir(&pages)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert!(told.starts_with(&format!("{} pages written to ", names.len())), "{told}");
    for verb in cli::verbs() {
        assert!(names.contains(&format!("ferret-{verb}.1")), "{verb} in {names:?}");
    }
    assert!(names.contains(&"ferret.1".to_owned()) && names.contains(&"ferret-baseline-save.1".to_owned()));
    for name in &names {
        is_well_formed(&pages.join(name));
    }
    let page = fs::read_to_string(pages.join("ferret-run.1")).expect("a page");
    for (file, synopsis) in [
        ("ferret.1", "\\fBferret\\fR <COMMAND>\n"),
        ("ferret-run.1", "\\fBferret run\\fR [OPTIONS] <PATH>...\n"),
        ("ferret-export.1", "\\fBferret export\\fR [OPTIONS] \\-\\-format <FORMAT> [RUN]\n"),
        ("ferret-baseline.1", "\\fBferret baseline\\fR <COMMAND>\n"),
        ("ferret-baseline-save.1", "\\fBferret baseline save\\fR <RUN> <FILE>\n"),
    ] {
        let page = fs::read_to_string(pages.join(file)).expect("a page");
        assert!(page.contains(&format!(".SH SYNOPSIS\n{synopsis}")), "{file}: {page}");
    }
    assert!(page.contains("ferret run scenarios/smoke \\-\\-seeds 1..100 \\-\\-verify\\-determinism\n"), "{page}");
}

fn is_well_formed(page: &Path) {
    if let Some(checked) = tool(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(page)) {
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
    // A minimal system has a `man` that only says that there are no manuals.
    let groff = Command::new("groff").args(["-Kutf8", "-man", "-ww", "-z", "-Tutf8"]).arg(page).output();
    if let Ok(checked) = groff {
        assert_silent(&checked);
    }
}
