//! `ferret explain`: the story of a failure, or of any message.

use std::{io, path::PathBuf};

use clap::Args;

use super::{Streams, Style, exit, run_folder::RunFolder, terminal::wrapped};
use crate::{
    explain::{Life, Narrator, Replica, Story},
    history::Nanos,
};

const EXAMPLES: &str = "\
Examples:
  ferret explain target/ferret/latest
      The story of the worst run there: what broke, the life of the messages that it is about
      across clients, log, replicas and disks, and the faults that mattered.
  ferret explain target/ferret/latest/leader-power-loss/seed-1 --message pub-1/417
      The life of any message, whether anything went wrong or not.

A run is a folder that `ferret run` left, with run.json and history.jsonl.gz, or one above it: then
the only run there is told of, or the worst of those that did not pass. Where several runs all pass,
none is told of and they are listed: name one.

Exit codes: 0 told · 2 no such run or message, or several runs that all pass";

/// Tell the story of a failure, message by message
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret explain --help` for examples and exit codes.")]
pub(super) struct ExplainArgs {
    /// The run's folder
    #[arg(value_name = "RUN", default_value = "target/ferret/latest")]
    run: PathBuf,

    /// Tell the life of this message, such as `pub-1/417`
    #[arg(long, value_name = "MESSAGE")]
    message: Option<String>,
}

pub(super) fn explain(args: &ExplainArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let read = RunFolder::failed(&args.run).and_then(|run| Ok((run.history()?, run)));
    let (history, run) = match read {
        Ok(read) => read,
        Err(error) => {
            writeln!(streams.err, "ferret: {error}")?;
            return Ok(exit::USAGE);
        }
    };
    let narrator = Narrator::new(&history);
    let message = match args.message.as_deref().map(|text| narrator.message(text)).transpose() {
        Ok(message) => message,
        Err(error) => {
            writeln!(streams.err, "ferret: {error}")?;
            return Ok(exit::USAGE);
        }
    };
    let story = Story::of(&narrator, &run.record, message.as_ref());
    write!(streams.out, "{}", told(&story, streams.out_style))?;
    writeln!(streams.out, "replay: {}", run.record.replay)?;
    Ok(exit::PASS)
}

fn told(story: &Story, style: Style) -> String {
    let mut text = style.bad(&wrapped("", &story.headline, style.width)) + "\n";
    for paragraph in &story.prose {
        text += &format!("\n{}\n", wrapped("", paragraph, style.width));
    }
    for life in &story.lives {
        text += &life_table(life);
        text += &replica_table(life);
    }
    if let Some(broken) = &story.broken
        && !broken.witness.is_empty()
    {
        text += &format!("\nthe witness of {}\n", broken.name);
        for event in &broken.witness {
            text += &line(event.at_ns, &event.who, &event.what);
        }
    }
    if !story.also.is_empty() {
        text += &format!("\nalso violated: {}\n", story.also.join(", "));
    }
    text + "\n"
}

fn line(at_ns: u64, who: &str, what: &str) -> String {
    format!("  {:>12.6} s  {who:<8}  {what}\n", at_ns as f64 / 1e9)
}

/// What clients and the queue did.
fn life_table(life: &Life) -> String {
    let mut text = format!("\n{}: clients and queue\n", life.name);
    for event in &life.events {
        text += &line(event.at_ns, &event.who, &event.what);
    }
    text
}

/// What each node did with the entry: a row for each step, a column for each node.
fn replica_table(life: &Life) -> String {
    let Some(entry) = life.carrier.entry() else { return String::new() };
    let mut text = format!("\n{}: entry {} on each node\n", life.name, entry.index.0);
    let cell = |at: Option<Nanos>| at.map_or("-".to_owned(), |at| format!("{:.6}", at.seconds()));
    let heads: Vec<String> = life
        .replicas
        .iter()
        .map(|replica| if replica.led { format!("{} (leader)", replica.node) } else { replica.node.to_string() })
        .collect();
    let mut row = |name: &str, cells: Vec<String>| {
        let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>14}")).collect();
        text += format!("  {name:<22}{}", cells.join("")).trim_end();
        text += "\n";
    };
    row("", heads);
    let replicas = &life.replicas;
    row("appended", replicas.iter().map(|replica| cell(replica.appended)).collect());
    row("durable, it believes", replicas.iter().map(|replica| cell(replica.durable)).collect());
    row("promised to the leader", replicas.iter().map(|replica| cell(replica.promised)).collect());
    row("committed", replicas.iter().map(|replica| cell(replica.committed)).collect());
    row("applied", replicas.iter().map(|replica| cell(replica.applied)).collect());
    let fates = |replica: &Replica| -> Vec<_> {
        replica.fates.iter().map(|(at, fate)| (*at, replica.node, fate.clone())).collect()
    };
    let mut fates: Vec<_> = replicas.iter().flat_map(fates).collect();
    fates.sort_by_key(|(at, node, _)| (*at, *node));
    for (at, node, fate) in fates {
        text += &line(at.0, &node.to_string(), &fate);
    }
    text
}
