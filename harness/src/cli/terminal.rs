//! What a person reads: verdicts, witnesses, mistakes. Colour only where there is a terminal that wants it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    io::{IsTerminal, stderr, stdout},
};

use ferret_reports::{InvariantResult, InvariantVerdict, RunRecord, Verdict, grouped};
use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::scenario::Problem;

/// How to write on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Characters per line.
    pub width: usize,
}

impl Style {
    /// For files, pipes and tests.
    pub const PLAIN: Self = Self { colour: false, width: 100 };

    /// For standard output.
    pub fn of_stdout() -> Self {
        Self { colour: stdout().is_terminal() && wants_colour(), ..Self::PLAIN }
    }

    /// For standard error.
    pub fn of_stderr() -> Self {
        Self { colour: stderr().is_terminal() && wants_colour(), ..Self::PLAIN }
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    pub(super) fn doubtful(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// <https://no-color.org>: any value but an empty one.
fn wants_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A mistake in a scenario file, with its line, a caret and how to mend it.
pub fn render_problem(problem: &Problem, style: Style) -> String {
    let theme = if style.colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(style.width).with_context_lines(1);
    handler.render_report(&mut text, problem).expect("a string takes everything");
    text
}

/// The one line of a run: verdict, scenario, seed, trace, time, messages.
pub(super) fn run_line(record: &RunRecord, name_width: usize, style: Style) -> String {
    let verdict = format!("{:<17}", verdict_name(record.verdict));
    let verdict = match record.verdict {
        Verdict::Pass => style.good(&verdict),
        Verdict::Vacuous | Verdict::Threshold | Verdict::Incomplete | Verdict::Undecided => style.doubtful(&verdict),
        Verdict::Regression | Verdict::Violated | Verdict::NotDeterministic | Verdict::Internal => style.bad(&verdict),
    };
    format!(
        "{verdict} {:<name_width$}  seed {:<4} trace {}  {:>5.1} s in {:>5.2} s ({})  {} messages",
        record.scenario.name,
        record.seed,
        record.trace_hash,
        record.virtual_seconds,
        record.wall_seconds,
        ratio(record.virtual_seconds, record.wall_seconds),
        grouped(record.messages.published),
    )
}

/// Why a run did not pass: reasons, witnesses, and the command that runs it again. Empty for a pass.
pub(super) fn failure(record: &RunRecord, style: Style) -> String {
    let mut text = String::new();
    if record.verdict == Verdict::Pass {
        return text;
    }
    let undecided = |one: &&InvariantResult| one.required && one.verdict == InvariantVerdict::Undecided;
    let told: Vec<&InvariantResult> = record.violated().chain(record.invariants.iter().filter(undecided)).collect();
    for reason in &record.reasons {
        let _ = writeln!(text, "{}", wrapped("  because ", reason, style.width));
    }
    for result in &told {
        let explanation = result.explanation.as_deref().unwrap_or("no explanation was given");
        if !record.reasons.iter().any(|reason| reason.contains(explanation)) {
            let lead = format!("  {}: ", result.name);
            let _ = writeln!(text, "{}", wrapped(&lead, explanation, style.width));
        } else if told.len() > 1 && !result.witness.is_empty() {
            let _ = writeln!(text, "  the witness of {}:", result.name);
        }
        for event in &result.witness {
            let line = format!("    {:>10.6} s  {:<8}  {}", event.at_ns as f64 / 1e9, event.who, event.what);
            let _ = writeln!(text, "{}", style.faint(&line));
        }
    }
    let _ = writeln!(text, "  replay: {}", record.replay);
    text
}

/// Each invariant's verdict over all seeds of one scenario, the worst of each, grouped by verdict.
pub(super) fn invariants(records: &[&RunRecord], style: Style) -> String {
    let mut worst: BTreeMap<&str, (u8, &InvariantResult, u64)> = BTreeMap::new();
    let mut order = Vec::new();
    for result in records.iter().flat_map(|record| &record.invariants) {
        let weight = weight(result);
        let entry = worst.entry(&result.name).or_insert_with(|| {
            order.push(result.name.as_str());
            (weight, result, 0)
        });
        entry.2 += result.checked;
        if weight > entry.0 {
            (entry.0, entry.1) = (weight, result);
        }
    }
    let mut groups: BTreeMap<u8, (&str, Vec<String>)> = BTreeMap::new();
    for name in order {
        let (weight, result, checked) = worst[name];
        let (_, names) = groups.entry(weight).or_insert_with(|| (label(result), Vec::new()));
        names.push(format!("{name} ({} {})", grouped(checked), result.unit));
    }
    let mut text = String::new();
    for (weight, (label, names)) in groups {
        let block = wrapped(&format!("  {label:<15} "), &names.join(", "), style.width);
        let _ = writeln!(text, "{}", if weight >= 4 { style.bad(&block) } else { block });
        if weight == EXCUSED {
            let excused = worst.values().filter(|(weight, ..)| *weight == EXCUSED);
            let why: BTreeSet<&str> = excused.filter_map(|(_, result, _)| result.explanation.as_deref()).collect();
            for why in why {
                let _ = writeln!(text, "{}", wrapped("    because       ", why, style.width));
            }
        }
    }
    text += &chaos(records, style);
    text
}

/// How often each chaos point took its turn, over all seeds; nothing without chaos.
fn chaos(records: &[&RunRecord], style: Style) -> String {
    let mut fired: BTreeMap<&str, u64> = BTreeMap::new();
    for point in records.iter().flat_map(|record| &record.chaos) {
        *fired.entry(&point.point).or_default() += point.fired;
    }
    if fired.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = fired.into_iter().map(|(point, fired)| format!("{point} {}", grouped(fired))).collect();
    format!("{}\n", wrapped(&format!("  {:<15} ", "chaos"), &counts.join(", "), style.width))
}

/// "Not asked": vacuous, and the scenario does not name it.
fn label(result: &InvariantResult) -> &'static str {
    let not_asked = result.verdict == InvariantVerdict::Vacuous && !result.required;
    if not_asked { "not asked" } else { result.verdict.word() }
}

/// The weight of what is not recoverable.
const EXCUSED: u8 = 3;

/// The worst has the most, and each [`label`] its own.
fn weight(result: &InvariantResult) -> u8 {
    match result.verdict {
        InvariantVerdict::Holds => 0,
        InvariantVerdict::Vacuous if !result.required => 1,
        InvariantVerdict::Vacuous => 2,
        InvariantVerdict::NotRecoverable => EXCUSED,
        InvariantVerdict::Undecided => 4,
        InvariantVerdict::Violated => 5,
    }
}

/// The last lines: how many of the `planned` runs (those made, if their seeds have no end) ended how, how many were run
/// `twice`, and how fast it went.
pub(super) fn summary(records: &[RunRecord], planned: usize, twice: usize, style: Style) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for record in records {
        *counts.entry(record.verdict).or_default() += 1;
    }
    let mut parts: Vec<String> =
        counts.iter().map(|(verdict, count)| format!("{count} {}", verdict_name(*verdict))).collect();
    if records.len() < planned {
        parts.push(format!("{} not run", planned - records.len()));
    }
    // A sum of nothing is -0.
    let simulated = records.iter().fold(0.0, |sum, record| sum + record.virtual_seconds);
    let wall = records.iter().fold(0.0, |sum, record| sum + record.wall_seconds);
    let messages: u64 = records.iter().map(|record| record.messages.published).sum();
    if parts.is_empty() {
        parts.push("none was made".to_owned());
    }
    let passed =
        !records.is_empty() && records.len() == planned && records.iter().all(|record| record.verdict == Verdict::Pass);
    let differ = records.iter().filter(|record| record.verdict == Verdict::NotDeterministic).count();
    match (twice, differ) {
        (0, _) => {}
        (_, 0) => parts.push(format!("{twice} of them run twice without a difference")),
        _ => parts.push(format!("{twice} of them run twice, {differ} with a difference")),
    }
    let runs = format!("{planned} {}", if planned == 1 { "run" } else { "runs" });
    format!(
        "{}: {}; {simulated:.0} s simulated in {wall:.1} s of runs ({}), {} messages",
        if passed { style.good(&runs) } else { style.bad(&runs) },
        parts.join(", "),
        ratio(simulated, wall),
        grouped(messages),
    )
}

pub(super) fn verdict_name(verdict: Verdict) -> String {
    verdict.word().to_lowercase()
}

fn ratio(simulated: f64, wall: f64) -> String {
    if wall > 0.0 { format!("{:.1}x", simulated / wall) } else { "-".to_owned() }
}

/// `lead` and then `text`, broken between words; what follows the first line stands below the text's beginning.
/// Lines that `text` has already are kept as they are.
pub(super) fn wrapped(lead: &str, text: &str, width: usize) -> String {
    let indent = " ".repeat(lead.chars().count());
    let mut lines = text.lines();
    let mut wrapped = lead.to_owned();
    let mut column = indent.len();
    for (index, word) in lines.next().unwrap_or_default().split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width {
            wrapped += &format!("\n{indent}");
            column = indent.len();
        } else if index > 0 {
            wrapped.push(' ');
            column += 1;
        }
        wrapped += word;
        column += length;
    }
    for line in lines {
        wrapped += &format!("\n{line}");
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_broken_between_words_below_its_beginning() {
        assert_eq!(wrapped("  a: ", "one two three", 12), "  a: one two\n     three");
        assert_eq!(wrapped("x ", "first line\n  kept as it is", 100), "x first line\n  kept as it is");
    }

    #[test]
    fn without_colour_no_escape_is_written() {
        assert_eq!(Style::PLAIN.bad("x"), "x");
        assert_eq!(Style { colour: true, ..Style::PLAIN }.bad("x"), "\u{1b}[1;31mx\u{1b}[0m");
    }
}
