//! One scenario over all calls: its verdicts and figures as small charts, and its runs as a table.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    super::{
        frame::{self, Kind},
        tone,
    },
    CALLS_MAX, PICKED, bar, report_href, verdict_link, when,
};
use crate::{
    StoredRun, Verdict,
    escape::html,
    finding,
    quantity::{count, duration, some},
};

/// One scenario over all calls: `runs` with the times of their calls, oldest first.
pub fn render_scenario_html(name: &str, runs: &[(u64, &StoredRun)]) -> String {
    let mut out = bar("a scenario over time", None);
    let description = runs.last().map_or("", |(_, run)| run.scenario.description.as_str());
    let passed = runs.iter().filter(|(_, run)| run.verdict == Verdict::Pass).count();
    let _ = write!(
        out,
        "<main class=overview id=top><header class=store><h1>{}</h1><p class=why>{}</p><p class=caption>{passed} of {} \
         pass. Oldest left, newest right; a line joins runs of one seed, a ring is a run with a planted bug.</p></header>",
        html(name),
        html(description),
        some(runs.len(), "run")
    );
    if !runs.is_empty() {
        out.push_str("<section class=small-charts>");
        out.push_str(&verdicts(runs));
        let charts: [(&str, Value); 4] = [
            ("confirm p99", |run| run.latency.confirm.map(|confirm| confirm.p99_ns)),
            ("longest unavailability", |run| Some(run.latency.unavailable_max_ns)),
            ("longest recovery", |run| run.latency.recovery_max()),
            ("simulated", |run| Some((run.virtual_seconds.max(0.0) * 1e9) as u64)),
        ];
        for (title, value) in charts {
            out.push_str(&chart(title, runs, value));
        }
        out.push_str("</section>");
        out.push_str(&table(runs));
    }
    out.push_str("</main>\n");
    out.push_str(PICKED);
    frame::page(name, Kind::Store, &out)
}

type Value = fn(&StoredRun) -> Option<u64>;

const CHART: (f64, f64) = (420.0, 96.0);
/// The points of so many seeds are joined and coloured, those with the most runs.
const LINES_MAX: usize = 7;

fn x(index: usize, of: usize) -> f64 {
    6.0 + (CHART.0 - 12.0) * if of < 2 { 0.5 } else { index as f64 / (of - 1) as f64 }
}

fn verdicts(runs: &[(u64, &StoredRun)]) -> String {
    let mut out = format!(
        "<figure><h3>verdict</h3><svg viewBox=\"0 0 {} 30\" role=img aria-label=\"Verdict of each run\">",
        CHART.0
    );
    let width = ((CHART.0 - 12.0) / runs.len() as f64).clamp(1.5, 9.0);
    for (index, (_, run)) in runs.iter().enumerate() {
        let failed = run.verdict != Verdict::Pass;
        // What failed is taller, for those who do not see the colour.
        let (top, height) = if failed { (3, 24) } else { (11, 8) };
        let _ = write!(
            out,
            "<a {}><title>{}</title><rect class=\"{}\" x={:.1} y={top} width={width:.1} height={height} rx=1 /></a>",
            report_href(&run.folder, run.page),
            html(&said(run, finding::word(run.verdict))),
            tone(run.verdict),
            x(index, runs.len()) - width / 2.0
        );
    }
    out + "</svg></figure>"
}

fn said(run: &StoredRun, value: &str) -> String {
    format!("{}, seed {}: {value}", run.folder, run.seed)
}

fn chart(title: &str, runs: &[(u64, &StoredRun)], value: Value) -> String {
    let points: Vec<(f64, u64, &StoredRun)> = runs
        .iter()
        .enumerate()
        .filter_map(|(index, (_, run))| Some((x(index, runs.len()), value(run)?, *run)))
        .collect();
    let Some(most) = points.iter().map(|(_, value, _)| *value).max() else { return String::new() };
    let y = |value: u64| CHART.1 - 6.0 - (CHART.1 - 12.0) * value as f64 / most.max(1) as f64;
    let last = points.last().map_or(0, |(_, value, _)| *value);
    let mut out = format!(
        "<figure><h3>{title} <small>{} at most, {} last</small></h3><svg viewBox=\"0 0 {} {}\" role=img \
         aria-label=\"{title} of each run\"><path class=base d=\"M0 {base}H{}\"/>",
        duration(most),
        duration(last),
        CHART.0,
        CHART.1,
        CHART.0,
        base = CHART.1 - 5.5
    );
    // A planted bug is another program.
    let healthy = || points.iter().filter(|(.., run)| run.sabotage.is_none());
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    healthy().for_each(|(.., run)| *times.entry(run.seed).or_default() += 1);
    let mut seeds: Vec<u64> = times.keys().copied().collect();
    seeds.sort_by_key(|seed| std::cmp::Reverse(times[seed]));
    seeds.truncate(LINES_MAX);
    let hue = |seed: u64| {
        let place = seeds.iter().position(|known| *known == seed);
        place.map_or("nx".to_owned(), |place| format!("n{place}"))
    };
    for seed in &seeds {
        let of_seed = healthy().filter(|(.., run)| run.seed == *seed);
        let line: Vec<String> = of_seed.map(|(x, value, _)| format!("{x:.1} {:.1}", y(*value))).collect();
        if line.len() > 1 {
            let _ = write!(out, "<path class=\"series {}\" d=\"M{}\"/>", hue(*seed), line.join("L"));
        }
    }
    for (x, value, run) in &points {
        let _ = write!(
            out,
            "<a {}><title>{}</title><circle class=\"{}{}\" cx={x:.1} cy={:.1} r=3 /></a>",
            report_href(&run.folder, run.page),
            html(&said(run, &duration(*value))),
            hue(run.seed),
            if run.sabotage.is_some() { " planted" } else { "" },
            y(*value)
        );
    }
    out + "</svg></figure>"
}

/// The runs, newest first.
fn table(runs: &[(u64, &StoredRun)]) -> String {
    let mut out = String::from(
        "<section><h2>Runs</h2><div class=scroll><table class=pairs><thead><tr><th scope=col><th scope=col>Verdict<th \
         scope=col class=r>Seed<th scope=col>When<th scope=col class=r>Published<th scope=col class=r>confirm p99<th \
         scope=col class=r>unavailable<th scope=col>What failed</tr></thead><tbody>",
    );
    for (time, run) in runs.iter().rev().take(CALLS_MAX) {
        let violated: Vec<&str> = run.violated().collect();
        let planted = run.sabotage.as_ref().map_or(String::new(), |bug| format!(" <code>{}</code>", html(bug)));
        let _ = write!(
            out,
            "<tr><td><input type=checkbox data-pick=\"{folder}\" aria-label=\"Pick {folder} to compare\"><td>{}<td \
             class=r>{}<td>{}<td class=r>{}<td class=r>{}<td class=r>{}<td class=what>{}{planted}</tr>",
            verdict_link(run),
            run.seed,
            when(*time),
            count(run.messages.published),
            run.latency.confirm.map_or("–".to_owned(), |confirm| duration(confirm.p99_ns)),
            duration(run.latency.unavailable_max_ns),
            html(&violated.join(", ")),
            folder = html(&run.folder),
        );
    }
    out + "</tbody></table></div></section>"
}
