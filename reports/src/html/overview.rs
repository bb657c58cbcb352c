//! The page over several runs: the finding over all, the failures by their cause, and what each seed showed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{LinkedRun, badge, run::sentence, sweep, tone, verdict_icon, witness};
use crate::{
    RunRecord, Unmade, Verdict,
    escape::html,
    finding,
    quantity::{count, seconds, some, speed},
};

/// A cause lists so many of its seeds.
const SEEDS_MAX: usize = 60;

pub(super) fn overview(runs: &[LinkedRun<'_>], unmade: &Unmade, verdict: Verdict) -> String {
    let records: Vec<&RunRecord> = runs.iter().map(|run| run.record).collect();
    let nothing = runs.is_empty() && verdict == Verdict::Pass;
    let mut out = format!(
        "<div class=bar><a class=home href=\"#top\"><b>Ferret</b> {}</a><span class=search></span><button type=button \
         id=theme aria-label=\"Switch between dark and light\">Dark</button></div>\n<main class=overview id=top><header \
         class=\"hero {}\"><h1>{}{}</h1><p class=why>{}</p></header>\n",
        some(runs.len(), "run"),
        if nothing { "void" } else { tone(verdict) },
        if nothing { String::new() } else { badge(verdict) + " " },
        html(&finding_of(&records, unmade, verdict)),
        totals(&records) + &html(&missing(unmade))
    );
    if !runs.is_empty() {
        out.push_str(&causes(runs));
        out.push_str(&sweep::matrices(runs));
        out.push_str(&sweep::coverage(&records));
    }
    out.push_str("</main>\n");
    out
}

/// Runs that failed in the same way.
struct Cause<'a> {
    key: String,
    runs: Vec<LinkedRun<'a>>,
}

/// What did not pass, the worst and most frequent first, each with one example in full.
fn causes(runs: &[LinkedRun<'_>]) -> String {
    let mut causes: Vec<Cause<'_>> = Vec::new();
    for run in runs.iter().filter(|run| run.record.verdict != Verdict::Pass) {
        let key = cause(run.record);
        match causes.iter_mut().find(|cause| cause.key == key) {
            Some(cause) => cause.runs.push(*run),
            None => causes.push(Cause { key, runs: vec![*run] }),
        }
    }
    if causes.is_empty() {
        return String::new();
    }
    causes.sort_by_key(|cause| std::cmp::Reverse((cause.runs[0].record.verdict, cause.runs.len())));
    let mut out = format!("<section id=causes><h2>Failures by cause: {}</h2>\n", some(causes.len(), "cause"));
    for (number, cause) in (1..).zip(&causes) {
        let example = cause.runs[0].record;
        let reasons = finding::reasons(example);
        let picture = example
            .violated()
            .next()
            .map_or(String::new(), |invariant| witness::picture(example, &invariant.witness, None));
        let _ = writeln!(
            out,
            "<article class=\"cause {}\" id=cause-{number}><h3>{}{}</h3><p class=times>{} in {}{}</p><p class=why>{}</p>{}\
             {picture}<p class=seeds>{}</p></article>",
            tone(example.verdict),
            badge(example.verdict),
            html(&title(cause)),
            some(cause.runs.len(), "run"),
            html(&scenarios(&cause.runs)),
            also(&cause.runs),
            html(&sentence(&reasons[0])),
            replay(example),
            chips(&cause.runs)
        );
    }
    out.push_str("</section>\n");
    out
}

fn scenarios(runs: &[LinkedRun<'_>]) -> String {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.record.scenario.name.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn chips(runs: &[LinkedRun<'_>]) -> String {
    let mut out = String::new();
    let alone = runs.iter().all(|run| run.record.scenario.name == runs[0].record.scenario.name);
    for run in runs.iter().take(SEEDS_MAX) {
        let name = if alone { String::new() } else { format!("{} ", run.record.scenario.name) };
        let _ = write!(
            out,
            "<a class=\"chip {}\" href=\"{}\" title=\"{}\">{}{}seed {}</a> ",
            tone(run.record.verdict),
            html(run.page),
            html(&finding::headline(run.record)),
            verdict_icon(run.record.verdict),
            html(&name),
            run.record.seed
        );
    }
    if let Some(more) = runs.len().checked_sub(SEEDS_MAX).filter(|more| *more > 0) {
        let _ = write!(out, "and {} more", count(more as u64));
    }
    out
}

pub(super) fn replay(run: &RunRecord) -> String {
    format!(
        "<div class=replay><span class=label>Replay</span><code>{replay}</code><button type=button \
         data-copy=\"{replay}\">Copy</button></div>",
        replay = html(&run.replay)
    )
}

/// What failures have in common when their cause does: the first invariant that is violated (the others mostly follow
/// from it), or else the sentence without its numbers.
fn cause(run: &RunRecord) -> String {
    if let Some(first) = run.violated().next() {
        return format!("{:?} {}", run.verdict, first.name);
    }
    let mut words = String::new();
    for c in finding::reasons(run)[0].chars() {
        match c {
            c if c.is_ascii_digit() && words.ends_with('#') => {}
            c if c.is_ascii_digit() => words.push('#'),
            c => words.push(c),
        }
    }
    format!("{:?} {words}", run.verdict)
}

/// What else was violated in some of the runs.
fn also(runs: &[LinkedRun<'_>]) -> String {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for name in runs.iter().flat_map(|run| run.record.violated().skip(1)).map(|result| result.name.as_str()) {
        *times.entry(name).or_default() += 1;
    }
    if times.is_empty() {
        return String::new();
    }
    let named: Vec<String> = times.iter().map(|(name, times)| format!("{} ({times})", html(name))).collect();
    format!(" · violated with it: {}", named.join(", "))
}

/// One line for what the runs have in common.
fn title(cause: &Cause<'_>) -> String {
    let example = cause.runs[0].record;
    match example.violated().next() {
        Some(first) => format!("{} is violated", first.name),
        None => finding::headline(example),
    }
}

/// The page's title without the word that the badge already says.
fn finding_of(runs: &[&RunRecord], unmade: &Unmade, verdict: Verdict) -> String {
    let text = finding::overall(runs, unmade, verdict);
    match text.split_once(": ") {
        Some((_, rest)) => sentence_start(rest),
        None => text,
    }
}

fn missing(unmade: &Unmade) -> String {
    match unmade.runs.len() {
        0 => String::new(),
        runs => format!(" Not made: {}; {}.", some(runs, "run"), unmade.why),
    }
}

fn totals(runs: &[&RunRecord]) -> String {
    if runs.is_empty() {
        return "No run was made, so nothing is known.".to_owned();
    }
    let sum = |value: fn(&RunRecord) -> f64| {
        runs.iter().map(|run| value(run)).filter(|v| v.is_finite()).fold(0.0, |sum, one| sum + one)
    };
    let (simulated, wall) = (sum(|run| run.virtual_seconds), sum(|run| run.wall_seconds));
    let published: u64 = runs.iter().map(|run| run.messages.published).sum();
    let confirmed: u64 = runs.iter().map(|run| run.messages.confirmed).sum();
    let faults = runs.iter().flat_map(|run| &run.faults).filter(|fault| fault.bit).count();
    let ratio = speed(simulated, wall).map_or(String::new(), |ratio| format!(", {ratio} real time"));
    let scenarios: BTreeSet<&str> = runs.iter().map(|run| run.scenario.name.as_str()).collect();
    format!(
        "{} over {}: {} messages published and {} confirmed through {}, {} simulated in {}{ratio}.",
        sentence_start(&some(scenarios.len(), "scenario")),
        some(runs.len(), "run"),
        count(published),
        count(confirmed),
        some(faults, "fault"),
        seconds(simulated),
        seconds(wall)
    )
}

fn sentence_start(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |c| c.to_uppercase().chain(characters).collect())
}
