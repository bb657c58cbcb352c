//! Markdown for the summary page of a CI step.

use std::{collections::BTreeSet, fmt::Write};

use crate::{
    GateRecord, InvariantVerdict, RunRecord, Unmade, Verdict,
    escape::{clip, markdown, markdown_code, markdown_code_block},
    finding,
    quantity::{count, instant, seconds},
    title::Titles,
};

/// No summary is longer than this: the step summaries of CI systems refuse more than 1 MiB.
pub const MARKDOWN_BYTES_MAX: usize = 1_000_000;

/// What the table may take, so that failures keep room for their details.
const TABLE_BYTES_MAX: usize = 400_000;

/// Room that is kept for the notes about what was left out.
const NOTES_BYTES: usize = 1_000;

/// One cell or sentence.
const TEXT_CHARACTERS_MAX: usize = 2_000;

/// The most rows of a table of a gate …
const ROWS_MAX: usize = 50;
/// … and characters of its cells, so that it leaves room for the runs.
const CELL_CHARACTERS_MAX: usize = 300;

/// The most events of one witness.
const WITNESS_EVENTS_MAX: usize = 40;

/// Renders runs as Markdown: the sweep's `verdict`, a table of all, what was not run, then the details of those that
/// did not pass, failures before passes.
///
/// The result is at most [`MARKDOWN_BYTES_MAX`] bytes whatever the input; what had to go is counted in a note.
pub fn render_markdown(runs: &[RunRecord], unmade: &Unmade, verdict: Verdict) -> String {
    render(runs, unmade, verdict, String::new())
}

/// The same, with the verdict of a gate, its checks and what moved since the baseline in front.
pub fn render_gate_markdown(runs: &[RunRecord], unmade: &Unmade, verdict: Verdict, gate: &GateRecord) -> String {
    render(runs, unmade, verdict, verdict_of_gate(gate))
}

fn verdict_of_gate(gate: &GateRecord) -> String {
    let passed = gate.checks.iter().filter(|check| check.verdict == Verdict::Pass).count();
    let mut out = format!(
        "## {} Gate {}: {} ({passed} of {} checks)\n\n",
        symbol(gate.verdict),
        cell(&gate.name),
        finding::word(gate.verdict),
        gate.checks.len()
    );
    out.push_str("| | Check | Verdict | Finding |\n|---|---|---|---|\n");
    for check in gate.checks.iter().take(ROWS_MAX) {
        let replay = check.replay.as_ref().map(|replay| format!(" {}", code(replay))).unwrap_or_default();
        let (name, word) = (cell(&check.name), finding::word(check.verdict));
        let _ = writeln!(out, "| {} | {name} | {word} | {}{replay} |", symbol(check.verdict), cell(&check.finding));
    }
    left_out(&mut out, gate.checks.len(), "checks", "gate.json");
    if !gate.moves.is_empty() {
        out.push_str("\n| | Scenario | Metric | Was | Now | Change | Seeds |\n|---|---|---|--:|--:|--:|--:|\n");
    }
    for one in gate.moves.iter().take(ROWS_MAX) {
        let change = one.change_percent.map_or("new".to_owned(), |change| format!("{change:+.1} %"));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {change} | {} |",
            if one.regression { "❌" } else { "" },
            cell(&one.scenario),
            cell(&one.metric),
            cell(&one.was_text),
            cell(&one.now_text),
            one.seeds
        );
    }
    left_out(&mut out, gate.moves.len(), "moves", "gate.json");
    out.push('\n');
    out
}

fn left_out(out: &mut String, rows: usize, what: &str, file: &str) {
    if let Some(more) = rows.checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        let _ = write!(out, "\n_{} more {what} are not shown here; {file} has them._\n", count(more as u64));
    }
}

/// What was planned and not run, by scenario.
fn not_run(unmade: &Unmade, titles: &Titles<'_>) -> String {
    let mut scenarios: Vec<(&str, &str, BTreeSet<u64>)> = Vec::new();
    for run in &unmade.runs {
        match scenarios.iter_mut().find(|one| (one.0, one.1) == (run.scenario.as_str(), run.path.as_str())) {
            Some(one) => drop(one.2.insert(run.seed)),
            None => scenarios.push((&run.scenario, &run.path, BTreeSet::from([run.seed]))),
        }
    }
    let mut out = String::new();
    if !scenarios.is_empty() {
        let runs = match unmade.runs.len() as u64 {
            1 => "1 run".to_owned(),
            many => format!("{} runs", count(many)),
        };
        let _ = write!(out, "\n### ⚠️ {runs} not made: {}\n\n| Scenario | Seeds |\n|---|---|\n", cell(&unmade.why));
    }
    for (name, path, seeds) in scenarios.iter().take(ROWS_MAX) {
        let _ = writeln!(out, "| {} | {} |", cell(&titles.of(name, path)), cell(&ranges(seeds)));
    }
    left_out(&mut out, scenarios.len(), "scenarios", "junit.xml");
    out
}

/// `1, 4 to 50`.
fn ranges(seeds: &BTreeSet<u64>) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for seed in seeds {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*seed) => *last = *seed,
            _ => ranges.push((*seed, *seed)),
        }
    }
    let told = ranges.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from} to {to}") });
    told.collect::<Vec<_>>().join(", ")
}

fn render(runs: &[RunRecord], unmade: &Unmade, verdict: Verdict, lead: String) -> String {
    let titles = Titles::new(runs, unmade);
    let mut out = lead;
    let all: Vec<&RunRecord> = runs.iter().collect();
    // Of nothing, nothing is known.
    let shown = if runs.is_empty() { verdict.max(Verdict::Vacuous) } else { verdict };
    let _ = write!(out, "## {} {}\n\n", symbol(shown), markdown(&finding::overall(&all, unmade, verdict)));
    let (failed, passed): (Vec<&RunRecord>, Vec<&RunRecord>) =
        runs.iter().partition(|run| run.verdict != Verdict::Pass);

    if !runs.is_empty() {
        out.push_str("| | Scenario | Seed | Finding | Messages | Simulated | Wall | Trace |\n");
        out.push_str("|---|---|--:|---|--:|--:|--:|---|\n");
    }
    let rows = failed.iter().chain(&passed).map(|run| row(run, &titles));
    let left_out = push_while(&mut out, rows, TABLE_BYTES_MAX);
    if left_out > 0 {
        let _ = write!(out, "\n_{} more runs are not shown here: the table is full._\n", count(left_out as u64));
    }
    out.push_str(&not_run(unmade, &titles));
    let left_out =
        push_while(&mut out, failed.iter().map(|run| details(run, &titles)), MARKDOWN_BYTES_MAX - NOTES_BYTES);
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

fn row(run: &RunRecord, titles: &Titles<'_>) -> String {
    let title = titles.of(&run.scenario.name, &run.scenario.path);
    let name = match &run.sabotage {
        Some(sabotage) => format!("{title} (sabotage: {sabotage})"),
        None => title,
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

fn details(run: &RunRecord, titles: &Titles<'_>) -> String {
    let mut out = format!(
        "\n### {} {}, seed {}: {}\n\n",
        symbol(run.verdict),
        text(&titles.of(&run.scenario.name, &run.scenario.path)),
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
        let _ = write!(out, "\n**{}** {}", text(&invariant.name), invariant.verdict.word());
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

fn cell(text: &str) -> String {
    markdown(&clip(text, CELL_CHARACTERS_MAX))
}

fn code(text: &str) -> String {
    markdown_code(&clip(text, CELL_CHARACTERS_MAX))
}

fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Violated | Verdict::NotDeterministic | Verdict::Internal | Verdict::Regression => "❌",
        Verdict::Vacuous | Verdict::Threshold | Verdict::Incomplete | Verdict::Undecided => "⚠️",
    }
}
