//! Seeds × invariants, and what happened at least once: what many runs of one scenario show together.

use std::{collections::BTreeMap, fmt::Write};

use super::{LinkedRun, icon, invariant_tone, tone};
use crate::{
    RunRecord, SometimesResult, Verdict,
    escape::{clip, html},
    finding,
    quantity::{count, some},
};

/// Side of a cell, and what is left of it between cells.
const CELL: usize = 14;
const GAP: usize = 2;
const NAME_WIDTH: usize = 168;
const HEAD: usize = 46;
/// A matrix has so many seeds in a row; more go below.
const SEEDS_PER_BLOCK: usize = 60;

/// Runs of one scenario, as the command line gave it.
fn by_scenario<'a>(runs: &[LinkedRun<'a>]) -> Vec<(&'a str, Vec<LinkedRun<'a>>)> {
    let mut groups: Vec<(&str, &str, Vec<LinkedRun<'_>>)> = Vec::new();
    for run in runs {
        let scenario = &run.record.scenario;
        match groups.iter_mut().find(|(name, path, _)| *name == scenario.name && *path == scenario.path) {
            Some((.., members)) => members.push(*run),
            None => groups.push((&scenario.name, &scenario.path, vec![*run])),
        }
    }
    groups.into_iter().map(|(name, _, members)| (name, members)).collect()
}

pub(super) fn matrices(runs: &[LinkedRun<'_>]) -> String {
    let mut out = String::from("<section id=seeds><h2>Seeds and invariants</h2>");
    out.push_str(LEGEND);
    for (name, members) in by_scenario(runs) {
        let passed = members.iter().filter(|run| run.record.verdict == Verdict::Pass).count();
        let _ = write!(
            out,
            "<article class=matrix><h3>{}</h3><p class=times>{passed} of {} pass</p>",
            html(name),
            some(members.len(), "run")
        );
        for block in members.chunks(SEEDS_PER_BLOCK) {
            matrix(&mut out, block);
        }
        out.push_str("</article>\n");
    }
    out.push_str("</section>\n");
    out
}

const LEGEND: &str = "<ul class=legend><li><svg viewBox=\"0 0 14 14\"><rect class=good x=1 y=1 width=12 height=12 /></svg>holds\
    </li><li><svg viewBox=\"0 0 14 14\"><rect class=bad x=1 y=1 width=12 height=12 /><path class=cross d=\"M4 4l6 6M10 \
    4l-6 6\"/></svg>violated</li><li><svg viewBox=\"0 0 14 14\"><rect class=warn x=1 y=1 width=12 height=12 /><path \
    class=cross d=\"M4 7h6\"/></svg>undecided or not recoverable</li><li><svg viewBox=\"0 0 14 14\"><rect class=void \
    x=4.5 y=4.5 width=5 height=5 /></svg>nothing to check</li></ul>";

/// One column per seed, one row for the verdict and one per invariant.
fn matrix(out: &mut String, runs: &[LinkedRun<'_>]) {
    let mut names: Vec<&str> = Vec::new();
    for invariant in runs.iter().flat_map(|run| &run.record.invariants) {
        if !names.contains(&invariant.name.as_str()) {
            names.push(&invariant.name);
        }
    }
    let rows = names.len() + 1;
    let (width, height) = (NAME_WIDTH + runs.len() * CELL + 4, HEAD + rows * CELL + 6);
    let _ = write!(
        out,
        "<div class=scroll><svg class=cells width={width} height={height} viewBox=\"0 0 {width} {height}\" role=img \
         aria-label=\"Verdicts by seed and invariant\">"
    );
    for (row, name) in ["verdict"].iter().chain(&names).enumerate() {
        let class = if row == 0 { "name total" } else { "name" };
        let y = HEAD + row * CELL + CELL - 4 + if row > 0 { 4 } else { 0 };
        let _ = write!(out, "<text class=\"{class}\" x={} y={y}>{}</text>", NAME_WIDTH - 8, html(&clip(name, 24)));
    }
    let mut cells: BTreeMap<&str, String> = BTreeMap::new();
    for (column, run) in runs.iter().enumerate() {
        let x = NAME_WIDTH + column * CELL;
        cell(&mut cells, tone(run.record.verdict), x, HEAD);
        for invariant in &run.record.invariants {
            let row = names.iter().position(|name| *name == invariant.name).map_or(0, |row| row + 1);
            cell(&mut cells, invariant_tone(invariant.verdict), x, HEAD + row * CELL + 4);
        }
    }
    for (class, path) in &cells {
        let _ = write!(out, "<path class=\"{class}\" d=\"{path}\"/>");
    }
    for (column, run) in runs.iter().enumerate() {
        let x = NAME_WIDTH + column * CELL;
        let failed = if run.record.verdict == Verdict::Pass { "" } else { " failed" };
        let _ = write!(
            out,
            "<a class=\"seed{failed}\" href=\"{}\"><title>{}</title><rect x={x} y=0 width={CELL} height={height} /><text \
             transform=\"translate({} {}) rotate(-90)\">{}</text></a>",
            html(run.page),
            html(&said(run.record)),
            x + CELL - 4,
            HEAD - 6,
            run.record.seed
        );
    }
    out.push_str("</svg></div>");
}

fn said(run: &RunRecord) -> String {
    let violated: Vec<&str> = run.violated().map(|invariant| invariant.name.as_str()).collect();
    let what = if violated.is_empty() { finding::headline(run) } else { format!("{} violated", violated.join(", ")) };
    format!("seed {}: {}, {what}", run.seed, finding::word(run.verdict).to_lowercase())
}

/// Adds a cell to the path of its kind; a second path carries the sign in it, for those who do not see the colour.
fn cell(cells: &mut BTreeMap<&str, String>, tone: &'static str, x: usize, y: usize) {
    let side = CELL - GAP;
    let path = cells.entry(tone).or_default();
    let _ = if tone == "void" {
        write!(path, "M{} {}h5v5h-5z", x + 4, y + 4)
    } else {
        write!(path, "M{x} {y}h{side}v{side}h-{side}z")
    };
    let sign = match tone {
        "bad" => format!("M{} {}l6 6m0 -6l-6 6", x + 3, y + 3),
        "warn" => format!("M{} {}h6", x + 3, y + 6),
        _ => return,
    };
    cells.entry("~sign").or_default().push_str(&sign);
}

/// What happened at least once, over the seeds of each scenario.
pub(super) fn coverage(runs: &[&RunRecord]) -> String {
    /// Of one scenario and name: required, times, runs in which it happened, runs.
    type Coverage<'a> = BTreeMap<&'a str, (bool, u64, usize, usize)>;
    let mut scenarios: BTreeMap<&str, Coverage<'_>> = BTreeMap::new();
    for run in runs {
        let coverage = scenarios.entry(&run.scenario.name).or_default();
        for SometimesResult { name, required, count } in &run.sometimes {
            let (is_required, times, reached, all) = coverage.entry(name).or_default();
            *is_required |= required;
            *times += count;
            *reached += usize::from(*count > 0);
            *all += 1;
        }
    }
    scenarios.retain(|_, coverage| !coverage.is_empty());
    if scenarios.is_empty() {
        return String::new();
    }
    let mut names: Vec<&str> = scenarios.values().flat_map(|coverage| coverage.keys().copied()).collect();
    names.sort_unstable();
    names.dedup();
    let mut out = String::from(
        "<section id=sometimes><h2>What happened at least once</h2><p class=caption>In how many runs, and how often in all. \
         What its scenario requires is underlined.</p><div class=scroll><table class=coverage><thead><tr><th scope=col>Scenario</th>",
    );
    for name in &names {
        let _ = write!(out, "<th scope=col class=r>{}</th>", html(name));
    }
    out.push_str("</tr></thead><tbody>");
    for (scenario, coverage) in &scenarios {
        let _ = write!(out, "<tr><th scope=row>{}</th>", html(scenario));
        for name in &names {
            let Some((required, times, reached, all)) = coverage.get(name) else {
                out.push_str("<td class=\"r faint\">–</td>");
                continue;
            };
            let class = match (required, reached) {
                (true, 0) => "r required state bad",
                (true, _) => "r required",
                (false, 0) => "r faint",
                (false, _) => "r",
            };
            let missing = if *required && *reached == 0 { icon("bad") } else { "" };
            let _ =
                write!(out, "<td class=\"{class}\">{missing}{reached}/{all} <small>{}×</small></td>", count(*times));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></section>\n");
    out
}
