//! `ferret check`: only look for mistakes in scenario files.

use std::{io, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::{Streams, exit, paths::Selection, render_problem, run::MessageFormat, shown::Shown};
use crate::{
    scenario::{Problem, is_no_scenario},
    search::regressions,
};

const EXAMPLES: &str = "\
Examples:
  ferret check my.toml
  ferret check scenarios          every .toml file below the folder

Each mistake is shown with its line and how to mend it, up to 20 of a file.
Exit codes: 0 all are valid; 3 some are not, or a folder has none; 4 no scenario was found at all.";

/// Check scenario files without running them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// Scenario files, or folders to search for `.toml` files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn check(args: &CheckArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let selection = Selection::read(&args.paths);
    if selection.is_empty() {
        return nothing_found(streams);
    }
    for scenario in &selection.scenarios {
        let steps = counted(scenario.steps.len() as u64, "step");
        let nodes = counted(scenario.cluster.nodes, "node");
        writeln!(
            streams.out,
            "{}  {}  {nodes}, {steps}, {:?}",
            streams.out_style.good("ok"),
            scenario.path,
            scenario.run.duration
        )?;
    }
    report_invalid(&selection, streams)?;
    Ok(if selection.is_valid() { exit::PASS } else { exit::INVALID_SCENARIO })
}

/// So many mistakes of one file are shown, and so many if the file is none of ours.
const SHOWN_MAX: usize = 20;
const SHOWN_OF_A_STRANGER: usize = 3;

pub(super) fn nothing_found(streams: &mut Streams<'_>) -> io::Result<u8> {
    writeln!(streams.err, "ferret: no scenario found: there is no .toml file below the given folders")?;
    Ok(exit::NOTHING_SELECTED)
}

/// Writes what is wrong with the files that cannot be run.
pub(super) fn report_invalid(selection: &Selection, streams: &mut Streams<'_>) -> io::Result<()> {
    for (path, error) in &selection.unreadable {
        writeln!(streams.err, "{}  {}: {error}", streams.err_style.bad("unreadable"), path.shown())?;
    }
    for path in &selection.empty {
        let what = "there is no scenario in this folder, nor below it; name another, or leave it out";
        writeln!(streams.err, "{}  {}: {what}", streams.err_style.bad("empty"), path.shown())?;
    }
    for path in &selection.stray {
        let scenario = regressions::scenario_of(path);
        let what = format!("its seeds are never run: there is no {}; rename it, or remove it", scenario.shown());
        writeln!(streams.err, "{}  {}: {what}", streams.err_style.bad("stray"), path.shown())?;
    }
    for (path, problems) in &selection.invalid {
        let stranger = problems.len() > SHOWN_OF_A_STRANGER && is_no_scenario(problems);
        let shown = if stranger { SHOWN_OF_A_STRANGER } else { SHOWN_MAX };
        for problem in problems.iter().take(shown) {
            writeln!(streams.err, "{}", render_problem(problem, streams.err_style))?;
        }
        let mut mistakes = counted(problems.len() as u64, "mistake");
        if problems.len() > shown {
            mistakes += &format!(", of which {} more are not shown", problems.len() - shown);
        }
        if stranger {
            mistakes += "; this does not look like a scenario at all, which is a TOML file with `version`, `name`, \
                         `[run]`, `[cluster]` and `[[queues]]`";
        }
        writeln!(streams.err, "{}  {}: {mistakes}", streams.err_style.bad("invalid"), path.shown())?;
    }
    Ok(())
}

/// The same, and for programs an object per file on standard output.
pub(super) fn tell_invalid(selection: &Selection, format: MessageFormat, streams: &mut Streams<'_>) -> io::Result<()> {
    report_invalid(selection, streams)?;
    match format {
        MessageFormat::Human => Ok(()),
        MessageFormat::Json => invalid_messages(selection).iter().try_for_each(|told| writeln!(streams.out, "{told}")),
    }
}

fn invalid_messages(selection: &Selection) -> Vec<Value> {
    let unread =
        |path: &PathBuf, why: String| json!({ "scenario": path.shown(), "verdict": "unreadable", "explanation": why });
    let unreadable = selection.unreadable.iter().map(|(path, error)| unread(path, error.to_string()));
    let empty = selection.empty.iter().map(|path| unread(path, "there is no scenario in this folder".to_owned()));
    let stray = selection.stray.iter().map(|path| unread(path, "the scenario of these seeds is not there".to_owned()));
    let invalid = selection.invalid.iter().map(|(path, problems)| {
        json!({ "scenario": path.shown(), "verdict": "invalid", "problems": problem_messages(problems) })
    });
    unreadable.chain(empty).chain(stray).chain(invalid).collect()
}

/// What is wrong with a file, for programs.
pub(super) fn problem_messages(problems: &[Problem]) -> Vec<Value> {
    let told = |problem: &Problem| json!({ "line": problem.line(), "message": problem.message, "help": problem.help });
    problems.iter().map(told).collect()
}

fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
