//! A gate's verdict and a comparison with a baseline, as tables on the terminal.

use std::fmt::Write;

use ferret_reports::{GateRecord, MetricMove, Verdict};

use super::{
    Style,
    terminal::{verdict_name, wrapped},
};

/// The most moves shown; gate.json has all.
const MOVES_MAX: usize = 20;

/// The verdict, each check, and what moved.
pub(super) fn table(record: &GateRecord, style: Style) -> String {
    let passed = record.checks.iter().filter(|check| check.verdict == Verdict::Pass).count();
    let mut text = String::new();
    let headline = format!("gate {}: {}", record.name, verdict_name(record.verdict));
    let _ = writeln!(
        text,
        "{} ({passed} of {} checks)",
        if record.verdict == Verdict::Pass { style.good(&headline) } else { style.bad(&headline) },
        record.checks.len()
    );
    let width = record.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    for check in &record.checks {
        let word = format!("{:<17}", verdict_name(check.verdict));
        let lead = format!("  {word} {:<width$}  ", check.name);
        let line = wrapped(&lead, &check.finding, style.width.max(lead.len() + 40));
        let painted = if check.verdict == Verdict::Pass { style.good(&word) } else { style.bad(&word) };
        let _ = writeln!(text, "{}", line.replacen(&word, &painted, 1));
        if check.verdict != Verdict::Pass
            && let Some(replay) = &check.replay
        {
            let _ = writeln!(text, "  {:17} {:width$}  {replay}", "", "");
        }
    }
    text + &moves(&record.moves, style)
}

/// What differs from a baseline. Empty if nothing does.
pub(super) fn moves(moves: &[MetricMove], style: Style) -> String {
    if moves.is_empty() {
        return String::new();
    }
    let scenarios = moves.iter().map(|one| one.scenario.chars().count()).max().unwrap_or(0);
    let mut text = format!(
        "  {:<8} {:<scenarios$}  {:<20} {:>12} {:>12} {:>10}  {:>5}  worst\n",
        "moved", "scenario", "metric", "was", "now", "change", "seeds"
    );
    for one in moves.iter().take(MOVES_MAX) {
        let change = one.change_percent.map_or("new".to_owned(), |change| format!("{change:+.1} %"));
        let worst = one.worst_seed.map(|seed| format!("seed {seed}")).unwrap_or_default();
        let word = if one.regression { "WORSE" } else { "" };
        let line = format!(
            "  {word:<8} {:<scenarios$}  {:<20} {:>12} {:>12} {change:>10}  {:>5}  {worst}",
            one.scenario, one.metric, one.was_text, one.now_text, one.seeds
        );
        let line = line.trim_end();
        let _ = writeln!(text, "{}", if one.regression { style.bad(line) } else { line.to_owned() });
    }
    if let Some(more) = moves.len().checked_sub(MOVES_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more");
    }
    text
}
