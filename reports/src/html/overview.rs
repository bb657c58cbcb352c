//! The top of a page with several runs: the finding over all, and scenario × seed → verdict.

use std::fmt::Write;

use super::{badge, tone, verdict_icon};
use crate::{
    RunRecord, Verdict,
    escape::html,
    finding,
    quantity::{count, seconds, some, speed},
};

/// Finding, totals and the table that leads to each run.
pub(super) fn overview(runs: &[RunRecord]) -> String {
    let worst = finding::worst(runs);
    let mut out = format!(
        "<header class=\"hero {}\" id=top><p class=eyebrow>Ferret run report</p><h1>{}{}</h1><p class=why>{}</p></header>\n",
        if runs.is_empty() { "void" } else { tone(worst) },
        if runs.is_empty() { String::new() } else { badge(worst) + " " },
        html(&finding_of(runs)),
        totals(runs)
    );
    if runs.is_empty() {
        return out;
    }
    out.push_str(
        "<section><div class=scroll><table class=matrix><thead><tr><th scope=col>Scenario</th><th scope=col \
         class=r>Passed</th><th scope=col>Seeds</th></tr></thead><tbody>",
    );
    for (name, members) in by_scenario(runs) {
        let passed = members.iter().filter(|(_, run)| run.verdict == Verdict::Pass).count();
        let _ = write!(
            out,
            "<tr><th scope=row>{}</th><td class=r>{passed} of {}</td><td><ul class=seeds>",
            html(name),
            members.len()
        );
        for (number, run) in members {
            let tone = tone(run.verdict);
            let label = format!("{}, seed {}: {}", run.scenario.name, run.seed, finding::word(run.verdict));
            let word = if run.verdict == Verdict::Pass {
                String::new()
            } else {
                format!(": {}", finding::word(run.verdict).to_lowercase())
            };
            let _ = write!(
                out,
                "<li><a class=\"chip {tone}\" href=\"#run-{number}\" aria-label=\"{label}\" title=\"{title}\">{icon}{seed}\
                 <span>{word}</span></a></li>",
                label = html(&label),
                title = html(&finding::headline(run)),
                icon = verdict_icon(run.verdict),
                seed = run.seed,
            );
        }
        out.push_str("</ul></td></tr>");
    }
    out.push_str(
        "</tbody></table></div><p class=controls><button type=button data-open=all>Open all</button> <button type=button \
         data-open=failed>Open only what did not pass</button></p></section>\n<h2 class=runs>Runs</h2>\n",
    );
    out
}

/// The page's title without the word that the badge already says.
fn finding_of(runs: &[RunRecord]) -> String {
    let text = finding::overall(runs);
    match text.strip_prefix("Pass: all ") {
        Some(rest) => format!("All {rest}"),
        None => text,
    }
}

fn totals(runs: &[RunRecord]) -> String {
    if runs.is_empty() {
        return "No scenario was selected, so nothing is known.".to_owned();
    }
    let sum = |value: fn(&RunRecord) -> f64| runs.iter().map(value).filter(|v| v.is_finite()).sum::<f64>();
    let (simulated, wall) = (sum(|run| run.virtual_seconds), sum(|run| run.wall_seconds));
    let published: u64 = runs.iter().map(|run| run.messages.published).sum();
    let confirmed: u64 = runs.iter().map(|run| run.messages.confirmed).sum();
    let faults = runs.iter().flat_map(|run| &run.faults).filter(|fault| fault.bit).count();
    let ratio = speed(simulated, wall).map_or(String::new(), |ratio| format!(", {ratio} real time"));
    let scenarios = by_scenario(runs).len();
    format!(
        "{} over {}: {} messages published and {} confirmed through {}, {} simulated in {}{ratio}.",
        sentence_start(&some(scenarios, "scenario")),
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

/// Runs with their page-wide numbers, by scenario, in order of first appearance.
fn by_scenario(runs: &[RunRecord]) -> Vec<(&str, Vec<(usize, &RunRecord)>)> {
    let mut groups: Vec<(&str, Vec<(usize, &RunRecord)>)> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        match groups.iter_mut().find(|(name, _)| *name == run.scenario.name) {
            Some((_, members)) => members.push((i + 1, run)),
            None => groups.push((&run.scenario.name, vec![(i + 1, run)])),
        }
    }
    groups
}
