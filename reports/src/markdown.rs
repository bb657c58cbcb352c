//! Markdown for the summary page of a CI step.

use std::fmt::Write;

use crate::{
    InvariantVerdict, RunRecord, Verdict,
    escape::{clip, markdown, markdown_code_block},
    finding,
    quantity::{count, instant, seconds},
};

/// No summary is longer than this: the step summaries of CI systems refuse more than 1 MiB.
pub const MARKDOWN_BYTES_MAX: usize = 1_000_000;

/// What the table may take, so that failures keep room for their details.
const TABLE_BYTES_MAX: usize = 400_000;

/// Room that is kept for the notes about what was left out.
const NOTES_BYTES: usize = 1_000;

/// One cell or sentence.
const TEXT_CHARACTERS_MAX: usize = 2_000;

/// The most events of one witness.
const WITNESS_EVENTS_MAX: usize = 40;

/// Renders runs as Markdown: a table of all, then the details of those that did not pass, failures before passes.
///
/// The result is at most [`MARKDOWN_BYTES_MAX`] bytes whatever the input; what had to go is counted in a note.
pub fn render_markdown(runs: &[RunRecord]) -> String {
    let all: Vec<&RunRecord> = runs.iter().collect();
    let mut out = format!("## {} {}\n\n", symbol(finding::worst(&all)), markdown(&finding::overall(&all)));
    let (failed, passed): (Vec<&RunRecord>, Vec<&RunRecord>) =
        runs.iter().partition(|run| run.verdict != Verdict::Pass);

    if !runs.is_empty() {
        out.push_str("| | Scenario | Seed | Finding | Messages | Simulated | Wall | Trace |\n");
        out.push_str("|---|---|--:|---|--:|--:|--:|---|\n");
    }
    let rows = failed.iter().chain(&passed).map(|run| row(run));
    let left_out = push_while(&mut out, rows, TABLE_BYTES_MAX);
    if left_out > 0 {
        let _ = write!(out, "\n_{} more runs are not shown here: the table is full._\n", count(left_out as u64));
    }
    let left_out = push_while(&mut out, failed.iter().map(|run| details(run)), MARKDOWN_BYTES_MAX - NOTES_BYTES);
    if left_out > 0 {
        let _ = write!(
            out,
            "\n_The details of {} more failed runs are not shown here: the summary is full. The HTML report has them._\n",
            count(left_out as u64)
        );
    }
    out
}

/// Appends parts as long as `out` stays within `limit`; returns how many were left out.
fn push_while(out: &mut String, parts: impl Iterator<Item = String>, limit: usize) -> usize {
    let mut left_out = 0;
    for part in parts {
        if left_out == 0 && out.len() + part.len() <= limit {
            out.push_str(&part);
        } else {
            left_out += 1;
        }
    }
    left_out
}

fn row(run: &RunRecord) -> String {
    let name = match &run.sabotage {
        Some(sabotage) => format!("{} (sabotage: {sabotage})", run.scenario.name),
        None => run.scenario.name.clone(),
    };
    format!(
        "| {} | {} | {} | {}: {} | {} | {} | {} | `{}` |\n",
        symbol(run.verdict),
        text(&name),
        run.seed,
        finding::word(run.verdict),
        text(&finding::headline(run)),
        count(run.messages.published),
        seconds(run.virtual_seconds),
        seconds(run.wall_seconds),
        clip(&run.trace_hash, 32).chars().filter(char::is_ascii_alphanumeric).collect::<String>()
    )
}

fn details(run: &RunRecord) -> String {
    let mut out = format!(
        "\n### {} {}, seed {}: {}\n\n",
        symbol(run.verdict),
        text(&run.scenario.name),
        run.seed,
        text(&finding::headline(run))
    );
    for reason in finding::reasons(run).iter().take(10) {
        let _ = writeln!(out, "- {}", text(reason));
    }
    let _ = write!(out, "\nReplay:\n\n{}", markdown_code_block(&clip(&run.replay, TEXT_CHARACTERS_MAX)));
    for invariant in finding::by_urgency(&run.invariants).into_iter().take(30) {
        if matches!(invariant.verdict, InvariantVerdict::Holds | InvariantVerdict::Vacuous) {
            continue;
        }
        let _ = write!(out, "\n**{}** {}", text(&invariant.name), finding::invariant_word(invariant.verdict));
        if let Some(explanation) = &invariant.explanation {
            let _ = write!(out, ": {}", text(explanation));
        }
        out.push('\n');
        if invariant.witness.is_empty() {
            continue;
        }
        out.push_str("\n| At | Who | What |\n|--:|---|---|\n");
        for event in invariant.witness.iter().take(WITNESS_EVENTS_MAX) {
            let _ = writeln!(out, "| {} | {} | {} |", instant(event.at_ns), text(&event.who), text(&event.what));
        }
        if let Some(more) = invariant.witness.len().checked_sub(WITNESS_EVENTS_MAX).filter(|more| *more > 0) {
            let _ = write!(out, "\n_{more} more events are in the HTML report._\n");
        }
    }
    let missed: Vec<_> = run.faults.iter().filter(|fault| !fault.bit).take(30).collect();
    if !missed.is_empty() {
        out.push_str("\nFaults without effect:\n\n");
        for fault in missed {
            let allowed = if fault.may_miss { " (allowed to miss)" } else { "" };
            let _ = writeln!(out, "- step {}, line {}: {}{allowed}", fault.step, fault.line, text(&fault.description));
        }
    }
    out
}

fn text(text: &str) -> String {
    markdown(&clip(text, TEXT_CHARACTERS_MAX))
}

fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Violated | Verdict::NotDeterministic | Verdict::Internal => "❌",
        Verdict::Vacuous | Verdict::Threshold | Verdict::Incomplete | Verdict::Undecided => "⚠️",
    }
}
