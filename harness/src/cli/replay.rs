//! `ferret replay`: a reproducer again, to the byte, with a closer look if wanted.

use std::{io, path::PathBuf, time::Duration};

use clap::Args;
use ferret_reports::Verdict;

use super::{
    Streams,
    build_id::build_id,
    check::report_invalid,
    exit,
    interrupt::Interrupt,
    paths::Selection,
    pool,
    shown::Shown,
    simulate::{Request, Simulate, Simulated},
    terminal,
};
use crate::{
    explain::Narrator,
    history::Nanos,
    progress::Progress,
    scenario::{Repro, duration},
    search::shrink::Goal,
};

const EXAMPLES: &str = "\
Examples:
  ferret replay orders-17.repro.toml
      Runs it once more: the same violation, the same trace hash. Says so; or that the code has
      changed or the file was edited since, and whether the violation is still there.
  ferret replay orders-17.repro.toml --node n2
      With everything that n2 went through: what it appended, synced, promised, applied.
  ferret replay orders-17.repro.toml --log --until 14.2s
      With what the brokers say through `tracing`, in virtual time, up to that moment.
  ferret replay orders-17.repro.toml --node n2 --log --until 14.2s
      Both, of one node.

Exit codes: 100 violated again · 0 mended: in a build that is another one, the run passes · 104 it
passes, but the file was edited since it was written, or does not say by which build · 103 the same
build gave another run · in another build, or of an edited file, a run that neither shows it nor
passes: that run's · 5 interrupted · 2, 3, 4 as in `ferret run`";

/// Replay a reproducer that `ferret shrink` wrote
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret replay --help` for examples and exit codes.")]
pub(super) struct ReplayArgs {
    /// The reproducer
    #[arg(value_name = "FILE")]
    path: PathBuf,

    /// End the run at this virtual time, and tell what happened before; nothing is judged then
    #[arg(long, value_name = "TIME", value_parser = virtual_time)]
    until: Option<Duration>,

    /// Tell everything that this node went through
    #[arg(long, value_name = "NODE")]
    node: Option<String>,

    /// Tell what the brokers say through `tracing`, of one node with `--node`
    #[arg(long)]
    log: bool,
}

fn virtual_time(text: &str) -> Result<Duration, String> {
    duration(text).map_err(|(what, help)| format!("{what}; {help}"))
}

/// Events told before `--until` when no node is named.
const LAST_EVENTS: usize = 30;

pub(super) fn replay<S: Simulate>(
    args: &ReplayArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let selection = Selection::read(std::slice::from_ref(&args.path));
    if !selection.is_valid() {
        report_invalid(&selection, streams)?;
        return Ok(exit::INVALID_SCENARIO);
    }
    let path = args.path.shown();
    let [scenario] = &selection.scenarios[..] else {
        writeln!(streams.err, "ferret: {path} is not one scenario; name one file")?;
        return Ok(exit::NOTHING_SELECTED);
    };
    let Some(repro) = &scenario.repro else {
        writeln!(streams.err, "ferret: {path} is no reproducer (it has no [repro]); use `ferret run {path}`")?;
        return Ok(exit::USAGE);
    };
    let cluster = scenario.cluster;
    if let Some(node) = &args.node
        && !cluster.node_ids().chain(cluster.spare_ids()).any(|known| known.to_string() == *node)
    {
        let last = cluster.nodes + cluster.spares;
        writeln!(streams.err, "ferret: there is no node {node}; the nodes are n1 to n{last}")?;
        return Ok(exit::USAGE);
    }
    let request = Request { until: args.until, log: args.log, ..Request::default() };
    let seed = scenario.run.seeds.from;
    let progress = Progress::default();
    let (simulated, _) = pool::simulate_apart(simulate, scenario, seed, &request, interrupt, &progress);
    tell(args, &simulated, streams)?;
    let reached = progress.virtual_time();
    if interrupt.asked() {
        writeln!(streams.out, "interrupted at {:.3} s; nothing is judged", reached.as_secs_f64())?;
        return Ok(exit::INCOMPLETE);
    }
    // What failed, or ended by itself before that time, is a whole run.
    let whole = simulated.record.verdict == Verdict::Internal || simulated.record.panicked();
    if !whole && args.until.is_some_and(|until| reached >= until) {
        writeln!(streams.out, "stopped at {:.3} s, as asked; nothing is judged", reached.as_secs_f64())?;
        return Ok(exit::PASS);
    }
    conclude(repro, &simulated, streams)
}

/// Events and log lines, in order of time.
fn tell<S>(args: &ReplayArgs, simulated: &Simulated<S>, streams: &mut Streams<'_>) -> io::Result<()> {
    let narrator = Narrator::new(&simulated.history);
    let mut lines: Vec<(Nanos, String)> = Vec::new();
    if args.node.is_some() || (args.until.is_some() && !args.log) {
        let all = narrator.events().filter(|event| args.node.as_ref().is_none_or(|node| event.who == *node));
        let told: Vec<_> = all.collect();
        let skip = if args.node.is_some() { 0 } else { told.len().saturating_sub(LAST_EVENTS) };
        lines.extend(
            told.into_iter().skip(skip).map(|event| (Nanos(event.at_ns), format!("{:<8}  {}", event.who, event.what))),
        );
    }
    for line in &simulated.log {
        let machine = simulated.machines.get(line.machine.0 as usize).map_or("?", String::as_str);
        if args.node.as_ref().is_none_or(|node| machine == node) {
            lines.push((line.at, format!("{machine:<8}  {:<5} {}", line.level, line.text)));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        writeln!(streams.out, "{:>12.6} s  {line}", at.seconds())?;
    }
    Ok(())
}

fn conclude<S>(repro: &Repro, simulated: &Simulated<S>, streams: &mut Streams<'_>) -> io::Result<u8> {
    let record = &simulated.record;
    let style = streams.out_style;
    let same_trace = record.trace_hash == repro.trace;
    // A build that could not name itself may be any.
    let unknown = [repro.build.as_str(), build_id()].iter().any(|build| matches!(*build, "" | "unknown"));
    let same_build = repro.build == build_id();
    let edited = repro.was_edited(&record.scenario.text);
    let goal = Goal::from_name(&repro.violates).expect("the file's check knows the name");
    let again = goal.is_shown_by(record);
    writeln!(streams.out, "{}", terminal::run_line(record, record.scenario.name.len(), style))?;
    write!(streams.out, "{}", terminal::failure(record, style))?;
    let name = &repro.violates;
    let mut since = Vec::new();
    if edited {
        since.push("the file was edited since it was written".to_owned());
    }
    if unknown {
        since.push("nobody knows whether the code has changed since (the file's [repro] names no build)".to_owned());
    } else if !same_build {
        since.push(format!("the code has changed since (build {} then, {} now)", repro.build, build_id()));
    }
    let changed = since.join(", and ");
    let (text, code) = match (same_trace, again) {
        (true, true) => {
            let although = if edited { ", although the file was edited since it was written" } else { "" };
            let text = format!(
                "reproduced to the byte: {name} is violated again, with the trace hash {}{although}",
                repro.trace
            );
            (style.bad(&text), Verdict::Violated.exit_code())
        }
        (false, true) if !changed.is_empty() => {
            let text = format!("{changed}: another trace, but {name} is still violated");
            (style.bad(&text), Verdict::Violated.exit_code())
        }
        (_, false) if unknown && record.verdict == Verdict::Pass => {
            let text = format!("{changed}: {name} is not violated, which shows no mend; shrink the failing seed anew");
            (style.doubtful(&text), Verdict::Vacuous.exit_code())
        }
        // The edit may have taken away what showed it.
        (_, false) if edited && record.verdict == Verdict::Pass => {
            let text = format!(
                "{changed}: {name} is not violated, which shows no mend; if the edit is meant, take `text-hash` out of \
                 the file's [repro]"
            );
            (style.doubtful(&text), Verdict::Vacuous.exit_code())
        }
        (_, false) if !same_build && record.verdict == Verdict::Pass => {
            (style.good(&format!("{changed}: {name} is not violated any more")), exit::PASS)
        }
        // What ended otherwise may not have come to where it was violated.
        (_, false) if !changed.is_empty() => {
            let word = terminal::verdict_name(record.verdict);
            let text = format!("{changed}: {name} is not shown, but the run is no pass: {word}");
            (style.bad(&text), record.verdict.exit_code())
        }
        _ => {
            // Files from before there was a hash of their text say nothing of edits.
            let or = if repro.text_hash.is_empty() { ", or the file was edited" } else { "" };
            let text = format!(
                "not deterministic{or}: the same build gave the trace hash {}, not {}, and {name} is {}violated",
                record.trace_hash,
                repro.trace,
                if again { "" } else { "not " }
            );
            (style.bad(&text), record.verdict.max(Verdict::NotDeterministic).exit_code())
        }
    };
    writeln!(streams.out, "{text}")?;
    Ok(code)
}
