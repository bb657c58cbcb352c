//! `ferret baseline`: what a run measured, kept and compared.

use std::{io, path::PathBuf};

use clap::{Args, Subcommand};
use ferret_reports::Verdict;

use super::{
    Streams,
    artifacts::not_ours,
    exit,
    gate::{as_scenarios_say, read_baseline},
    gate_table, merge,
    shown::Shown,
    terminal,
    writing::write_file,
};
use crate::gate::{Baseline, Tolerance, baseline};

const EXAMPLES: &str = "\
Examples:
  ferret run scenarios/gate --seeds 1..20 --out base
  ferret baseline save base gate.baseline.json
      Keep it in version control: one line per scenario and seed.
  ferret run scenarios/gate --seeds 1..20 --out now
  ferret baseline compare now gate.baseline.json --tolerance 5%
      What moved, as a table; exit code 10 if anything is worse by more than 5 %.

Virtual time has no noise. The same program gives every seed the same metrics, to the nanosecond;
what moved was moved by a change. Compared are means over the seeds of a scenario: confirm.p50,
confirm.p99, end-to-end.p50, end-to-end.p99, unavailable.max, recovery.max, and the numbers of
messages confirmed, nacked, of unknown outcome, and redelivered.

Exit codes: 0 nothing is worse, 10 something is, 104 a run is not in the baseline (it is new, or
its scenario's text is), or a run or a metric of the baseline is missing, 3 no baseline, 5 no run,
one of several parts, or runs with options such as --swarm; `save` of a run that did not pass: the
run's; 2 the file is something else.";

/// Keep what a run measured, or compare a run with what was kept
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret baseline --help` for examples and metrics.")]
pub(super) struct BaselineArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Keep what a run that passed has measured
    Save {
        /// A folder that `ferret run`, `gate` or `merge` left
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// The file to write
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Show what moved since, and whether any of it is worse
    Compare {
        /// A folder that `ferret run`, `gate` or `merge` left
        #[arg(value_name = "RUN")]
        run: PathBuf,
        /// What `ferret baseline save` has written
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// By how much a metric may be worse
        #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = baseline::share)]
        tolerance: f64,
    },
}

pub(super) fn baseline(args: &BaselineArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (Action::Save { run, .. } | Action::Compare { run, .. }) = &args.action;
    let read = merge::read(run).and_then(|(sweep, records)| {
        as_scenarios_say(run, &sweep)?;
        Ok((sweep, records))
    });
    let (sweep, records) = match read {
        Ok(read) => read,
        Err(why) => {
            writeln!(streams.err, "ferret: {why}")?;
            return Ok(exit::INCOMPLETE);
        }
    };
    if let Some(slice) = sweep.slice {
        let why = format!("{} is part {} of {}: merge all parts first", run.shown(), slice.part, slice.of);
        writeln!(streams.err, "ferret: {why}")?;
        return Ok(exit::INCOMPLETE);
    }
    match &args.action {
        Action::Save { file, .. } => {
            if sweep.verdict != Verdict::Pass {
                let word = terminal::verdict_name(sweep.verdict);
                let why = format!("{} ended with \"{word}\": only what passed is a baseline", run.shown());
                writeln!(streams.err, "ferret: {why}")?;
                return Ok(sweep.verdict.exit_code());
            }
            if let Some(why) = not_ours(file, "baseline", Baseline::is_one) {
                writeln!(streams.err, "ferret: {why}")?;
                return Ok(exit::USAGE);
            }
            let kept = Baseline::of(&sweep.build, &records);
            write_file(file, kept.render())?;
            writeln!(streams.out, "{}: {}", held(&kept), file.shown())?;
            Ok(exit::PASS)
        }
        Action::Compare { file, tolerance, .. } => {
            let kept = match read_baseline(file, streams)? {
                Ok(kept) => kept,
                Err(code) => return Ok(code),
            };
            let tolerance = Tolerance { usual: *tolerance, ..Tolerance::default() };
            let comparison = baseline::compare(&kept, &records, &tolerance);
            write!(streams.out, "{}", gate_table::moves(&comparison.moves, streams.out_style))?;
            writeln!(streams.out, "{}: {}", terminal::verdict_name(comparison.verdict()), comparison.finding())?;
            Ok(comparison.verdict().exit_code())
        }
    }
}

/// How much is kept: what a run had nothing of, it has no metric of.
fn held(kept: &Baseline) -> String {
    let counts = || kept.runs.iter().map(|run| run.metrics.len());
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let each = if least == most { most.to_string() } else { format!("{least} to {most}") };
    format!("{} runs, {each} metrics each", kept.runs.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::baseline::{BASELINE_VERSION, BaselineRun, METRICS};

    #[test]
    fn what_was_not_measured_is_not_counted_as_kept() {
        let run = |metrics: usize| BaselineRun {
            scenario: "first".into(),
            text_hash: String::new(),
            seed: 1,
            metrics: METRICS.iter().take(metrics).map(|metric| (metric.name.to_owned(), 1)).collect(),
        };
        for (metrics, told) in [(&[6, 6][..], "2 runs, 6 metrics each"), (&[10, 6], "2 runs, 6 to 10 metrics each")] {
            let runs = metrics.iter().map(|count| run(*count)).collect();
            assert_eq!(held(&Baseline { version: BASELINE_VERSION, build: String::new(), runs }), told);
        }
    }
}
