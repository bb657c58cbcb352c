//! Annotations for GitHub: lines that its runner turns into marks beside the lines of a file.
//!
//! The syntax is that of "workflow commands": a property's value must not hold `,` or `:`, and nothing may hold a line
//! break, so these are written as per cent codes, and the per cent sign with them.

use std::fmt::Write;

use crate::{GateRecord, RunRecord, Verdict, escape::clip, finding};

/// GitHub shows ten errors per step and drops the rest without a word.
const ANNOTATIONS_MAX: usize = 10;

/// One message, however many lines a reason has.
const MESSAGE_CHARACTERS_MAX: usize = 1_000;

/// One `::error` line for each scenario and way to fail, at the line of the scenario's file that says what was asked;
/// then, for a gate, one for each check of its policy that failed.
pub fn render_annotations(runs: &[RunRecord], gate: Option<&GateRecord>) -> String {
    let mut lines = Vec::new();
    let mut told: Vec<(&str, Verdict, u32)> = Vec::new();
    for run in runs.iter().filter(|run| run.verdict != Verdict::Pass) {
        let line = line_of(run);
        let same = (run.scenario.path.as_str(), run.verdict, line);
        if told.contains(&same) {
            continue;
        }
        told.push(same);
        let alike = runs.iter().filter(|other| {
            (other.scenario.path.as_str(), other.verdict) == (same.0, same.1) && line_of(other) == line
        });
        let alike = alike.count();
        let word = finding::word(run.verdict);
        let more = if alike > 1 { format!(" (and {} more seeds)", alike - 1) } else { String::new() };
        let title = format!("{word}: {} seed {}{more}", run.scenario.name, run.seed);
        let message = format!("{}\nReplay: {}", finding::reasons(run).join("\n"), run.replay);
        lines.push(error(&run.scenario.path, line, &title, &message));
    }
    if let Some(gate) = gate {
        for check in gate.checks.iter().filter(|check| check.verdict != Verdict::Pass) {
            let replay = check.replay.as_ref().map(|replay| format!("\nReplay: {replay}")).unwrap_or_default();
            let title = format!("{}: {}", finding::word(check.verdict), check.name);
            lines.push(error(&gate.policy, check.line, &title, &format!("{}{replay}", check.finding)));
        }
    }
    let mut out = String::new();
    if lines.len() > ANNOTATIONS_MAX {
        let left_out = lines.len() - (ANNOTATIONS_MAX - 1);
        lines.truncate(ANNOTATIONS_MAX - 1);
        lines.push(format!("::error title=ferret::{left_out} more failures are in the summary"));
    }
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// The line of the scenario's file that asks for what was not given: the step without effect, the threshold, or else
/// the line with the scenario's name.
fn line_of(run: &RunRecord) -> u32 {
    let missed = || run.faults.iter().find(|fault| !fault.bit && !fault.may_miss).map(|fault| fault.line);
    let crossed = || {
        let threshold = run.thresholds.iter().find(|threshold| !threshold.held)?;
        line_with(&run.scenario.text, |line| line.contains(&format!("\"{}\"", threshold.name)))
    };
    let said = match run.verdict {
        Verdict::Vacuous => missed(),
        Verdict::Threshold => crossed(),
        _ => None,
    };
    let named = || line_with(&run.scenario.text, |line| line.trim_start().starts_with("name"));
    said.or_else(named).unwrap_or(1)
}

fn line_with(text: &str, fits: impl Fn(&str) -> bool) -> Option<u32> {
    let place = text.lines().position(|line| !line.trim_start().starts_with('#') && fits(line))?;
    u32::try_from(place + 1).ok()
}

fn error(file: &str, line: u32, title: &str, message: &str) -> String {
    let message = data(&clip(message, MESSAGE_CHARACTERS_MAX));
    format!("::error file={},line={line},title={}::{message}", property(file), property(title))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
