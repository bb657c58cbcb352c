//! `ferret diff`: the first event at which two runs part, and how their figures moved.

use std::{io, path::PathBuf};

use clap::Args;
use ferret_reports::{Difference, Parting, Quantiles, RunRecord, ThresholdResult, WitnessEvent, grouped};

use super::{
    Streams, exit,
    run_folder::{NoRun, RunFolder},
    terminal::verdict_name,
};
use crate::{explain::Narrator, history::History};

const EXAMPLES: &str = "\
Examples:
  ferret run my.toml --seed 3 --out good && ferret run my.toml --seed 4 --out bad
  ferret diff good bad
      The first event at which a passing and a failing seed part, with what came before it, and
      what moved: verdicts, counts, latencies, what each fault did.
  ferret diff yesterday/my/seed-7 target/ferret/latest/my/seed-7
      The same seed before and after a change of the code. Virtual time is exact: there is no
      noise, so whatever moved, the code moved.

A run is a folder that `ferret run` left, with run.json and history.jsonl.gz, or one above it that
holds no other.

Exit codes: 0 told, whatever differs · 2 no such run";

/// Show where two runs part and how their figures moved
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret diff --help` for examples and exit codes.")]
pub(super) struct DiffArgs {
    /// The first run's folder
    #[arg(value_name = "RUN")]
    first: PathBuf,

    /// The second run's folder
    #[arg(value_name = "RUN")]
    second: PathBuf,
}

/// Events told before the first that differs.
const CONTEXT: usize = 5;
/// Events told of each run from there on.
const AFTER: usize = 3;

pub(super) fn diff(args: &DiffArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let read = |path: &PathBuf| -> Result<(RunRecord, History), NoRun> {
        let run = RunFolder::only(path)?;
        let history = run.history()?;
        Ok((run.record, history))
    };
    match read(&args.first).and_then(|first| Ok((first, read(&args.second)?))) {
        Ok(((first, first_history), (second, second_history))) => {
            let difference = difference((&first, &first_history), (&second, &second_history));
            write!(streams.out, "{}", heading(&first, &second, &difference))?;
            write!(streams.out, "{}", parting_told(&difference.parting))?;
            write!(streams.out, "{}", figures_told(&difference.moved))?;
            Ok(exit::PASS)
        }
        Err(error) => {
            writeln!(streams.err, "ferret: {error}")?;
            Ok(exit::USAGE)
        }
    }
}

/// What differs between two runs.
pub(super) fn difference(
    (first, first_history): (&RunRecord, &History),
    (second, second_history): (&RunRecord, &History),
) -> Difference {
    Difference {
        texts_differ: first.scenario.text != second.scenario.text,
        parting: parting(first_history, second_history),
        moved: figures(first, second),
    }
}

fn heading(first: &RunRecord, second: &RunRecord, difference: &Difference) -> String {
    let line = |which: &str, record: &RunRecord| {
        format!(
            "{which}  {} seed {}  trace {}  {}{}\n",
            record.scenario.name,
            record.seed,
            record.trace_hash,
            verdict_name(record.verdict),
            record.sabotage.as_ref().map(|bug| format!("  (planted: {bug})")).unwrap_or_default(),
        )
    };
    let mut text = line("first ", first) + &line("second", second);
    if difference.texts_differ {
        text += "the two files differ\n";
    }
    text
}

/// The first event that differs, with what came before it and after.
fn parting(first: &History, second: &History) -> Parting {
    let same = first.events.iter().zip(&second.events).take_while(|(one, other)| one == other).count();
    if same == first.events.len() && same == second.events.len() {
        return Parting::Nowhere { events: same as u64 };
    }
    let narrators = [Narrator::new(first), Narrator::new(second)];
    let both = (same.saturating_sub(CONTEXT)..same).filter_map(|at| narrators[0].event(at)).collect();
    let then = narrators.map(|narrator| (same..same + AFTER).filter_map(|at| narrator.event(at)).collect());
    Parting::At { event: same as u64 + 1, both, then }
}

fn parting_told(parting: &Parting) -> String {
    let (event, both, then) = match parting {
        Parting::Nowhere { events } => return format!("\nthe histories are equal: {} events\n", grouped(*events)),
        Parting::At { event, both, then } => (event, both, then),
    };
    let mut text = format!("\nthe runs part at event {}\n", grouped(*event));
    let line = |which: &str, event: &WitnessEvent| {
        format!("  {which:<6}  {:>12.6} s  {:<8}  {}\n", event.at_ns as f64 / 1e9, event.who, event.what)
    };
    for event in both {
        text += &line("both", event);
    }
    for (which, events) in ["first", "second"].into_iter().zip(then) {
        for event in events {
            text += &line(which, event);
        }
        if events.is_empty() {
            text += &format!("  {which:<6}  (the run has ended)\n");
        }
    }
    text
}

/// What differs between two records, old and new side by side.
fn figures(first: &RunRecord, second: &RunRecord) -> Vec<[String; 3]> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut row = |name: &str, one: String, other: String| {
        if one != other {
            rows.push([name.to_owned(), one, other]);
        }
    };
    row("verdict", verdict_name(first.verdict), verdict_name(second.verdict));
    let verdict_of = |record: &RunRecord, name: &str| {
        let result = record.invariants.iter().find(|result| result.name == name);
        result.map_or("-", |result| result.verdict.word()).to_owned()
    };
    for name in names(first, second, |record| &record.invariants, |result| &result.name) {
        row(name, verdict_of(first, name), verdict_of(second, name));
    }
    let measured = |record: &RunRecord, name: &str| {
        let result = record.thresholds.iter().find(|result| result.name == name);
        result.map_or("-".to_owned(), |ThresholdResult { limit, measured, held, .. }| {
            let measured = measured.as_deref().unwrap_or("not measured");
            format!("{measured} ({limit}{})", if *held { "" } else { ": crossed" })
        })
    };
    for name in names(first, second, |record| &record.thresholds, |result| &result.name) {
        row(&format!("threshold {name}"), measured(first, name), measured(second, name));
    }
    let counts = |record: &RunRecord| {
        let of = &record.messages;
        [
            ("published", of.published),
            ("confirmed", of.confirmed),
            ("nacked", of.nacked),
            ("returned", of.returned),
            ("unknown outcome", of.unknown),
            ("delivered", of.delivered),
            ("redelivered", of.redelivered),
            ("settled", of.settled),
            ("drained", of.drained),
            ("events in the trace", record.trace_events),
        ]
    };
    for ((name, one), (_, other)) in counts(first).into_iter().zip(counts(second)) {
        row(name, grouped(one), moved(one, other, grouped));
    }
    let millis = |nanos: u64| format!("{:.3} ms", nanos as f64 / 1e6);
    for (name, one, other) in [
        ("confirm", first.latency.confirm, second.latency.confirm),
        ("end-to-end", first.latency.end_to_end, second.latency.end_to_end),
    ] {
        let quantiles = |of: Option<Quantiles>| {
            let value = |pick: fn(Quantiles) -> u64| of.map(pick);
            [
                ("p50", value(|of| of.p50_ns)),
                ("p90", value(|of| of.p90_ns)),
                ("p99", value(|of| of.p99_ns)),
                ("max", value(|of| of.max_ns)),
            ]
        };
        for ((quantile, one), (_, other)) in quantiles(one).into_iter().zip(quantiles(other)) {
            let nothing = || "-".to_owned();
            let new = match (one, other) {
                (Some(one), Some(other)) => moved(one, other, millis),
                _ => other.map_or_else(nothing, millis),
            };
            row(&format!("{name}.{quantile}"), one.map_or_else(nothing, millis), new);
        }
    }
    let worst = |record: &RunRecord| [record.latency.unavailable_max_ns, record.latency.recovery_max_ns];
    for (name, (one, other)) in
        ["unavailable.max", "recovery.max"].iter().zip(worst(first).into_iter().zip(worst(second)))
    {
        row(name, millis(one), moved(one, other, millis));
    }
    let reached = |record: &RunRecord, name: &str| {
        record.sometimes.iter().find(|result| result.name == name).map_or(0, |result| result.count)
    };
    for name in names(first, second, |record| &record.sometimes, |result| &result.name) {
        let (one, other) = (reached(first, name), reached(second, name));
        row(name, grouped(one), moved(one, other, grouped));
    }
    let fired = |record: &RunRecord, point: &str| {
        record.chaos.iter().find(|result| result.point == point).map_or(0, |result| result.fired)
    };
    for point in names(first, second, |record| &record.chaos, |result| &result.point) {
        let (one, other) = (fired(first, point), fired(second, point));
        row(&format!("chaos {point}"), grouped(one), moved(one, other, grouped));
    }
    for (number, (one, other)) in first.faults.iter().zip(&second.faults).enumerate() {
        row(&format!("fault {}", number + 1), one.description.clone(), other.description.clone());
        row(&format!("fault {} did", number + 1), one.effect.clone(), other.effect.clone());
    }
    if first.faults.len() != second.faults.len() {
        row("faults", first.faults.len().to_string(), second.faults.len().to_string());
    }
    rows
}

/// The names that either record has: those of the first in its order, then those that only the second one has.
fn names<'a, T: 'a>(
    first: &'a RunRecord,
    second: &'a RunRecord,
    of: fn(&RunRecord) -> &Vec<T>,
    name: fn(&T) -> &String,
) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for result in of(first).iter().chain(of(second)) {
        if !names.contains(&name(result).as_str()) {
            names.push(name(result));
        }
    }
    names
}

fn figures_told(rows: &[[String; 3]]) -> String {
    if rows.is_empty() {
        return "no figure moved\n".to_owned();
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (name_width, one_width) = (width(0), width(1).min(44));
    let mut text = String::from("\nwhat moved\n");
    for [name, one, other] in rows {
        text += &format!("  {name:<name_width$}  {one:>one_width$}  →  {other}\n");
    }
    text
}

/// `new`, and by how much it is more or less than `old`.
fn moved(old: u64, new: u64, text: impl Fn(u64) -> String) -> String {
    if old == 0 || old == new {
        return text(new);
    }
    format!("{}  ({:+.1} %)", text(new), (new as f64 / old as f64 - 1.0) * 100.0)
}
