//! The list of calls: filtered, each with its outcome and what failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    super::{
        badge,
        frame::{self, Kind},
        tone, verdict_icon,
    },
    CALLS_MAX, PICKED, bar, report_href, when,
};
use crate::{
    StoreFilter, StoredCall, StoredRun, Verdict,
    escape::{clip, html, query},
    finding,
    quantity::{count, seconds, some},
};

/// A call's line names so many scenarios, and so many failed runs.
const NAMED_MAX: usize = 6;

/// The list of calls, newest first; `calls` are all there are.
pub fn render_store_html(store: &str, calls: &[StoredCall], filter: &StoreFilter) -> String {
    let shown: Vec<&StoredCall> = calls.iter().filter(|call| filter.picks(call)).collect();
    let mut out = bar("", Some(&filter.text));
    let of = if shown.len() == calls.len() { String::new() } else { format!(" of {}", count(calls.len() as u64)) };
    let _ = write!(
        out,
        "<main class=overview id=top><header class=store><h1>{}{of} in <code>{}</code></h1></header>{}",
        some(shown.len(), "call"),
        html(store),
        chips(calls, filter)
    );
    if calls.is_empty() {
        out.push_str("<p class=why>Nothing was run yet. Type <code>ferret demo</code> or <code>ferret run scenarios/smoke</code>, and reload this page.</p>");
    } else if shown.is_empty() {
        out.push_str("<p class=why>None is like that. <a href=\"/\">Show all</a>.</p>");
    }
    out.push_str("<ol class=calls>");
    for call in shown.iter().take(CALLS_MAX) {
        out.push_str(&line(call));
    }
    out.push_str("</ol>");
    if let Some(more) = shown.len().checked_sub(CALLS_MAX).filter(|more| *more > 0) {
        let _ = write!(
            out,
            "<p class=caption>{} more, older ones, are not shown: filter for them.</p>",
            count(more as u64)
        );
    }
    out.push_str("</main>\n");
    out.push_str(PICKED);
    frame::page("Runs", Kind::Store, &out)
}

/// Links that narrow the list to a verdict or a tag, or widen it again.
fn chips(calls: &[StoredCall], filter: &StoreFilter) -> String {
    let mut verdicts = String::new();
    for verdict in Verdict::ALL {
        let times = calls.iter().filter(|call| call.verdict == verdict).count();
        let chosen = filter.verdict == Some(verdict);
        if times > 0 || chosen {
            let other = StoreFilter { verdict: (!chosen).then_some(verdict), ..filter.clone() };
            let label = format!("{}{} <small>{times}</small>", verdict_icon(verdict), finding::word(verdict));
            verdicts += &chip(&other, tone(verdict), chosen, &label);
        }
    }
    let mut tags: BTreeSet<&str> =
        calls.iter().flat_map(|call| &call.runs).flat_map(|run| &run.scenario.tags).map(String::as_str).collect();
    tags.extend(filter.tag.as_deref());
    let mut tagged = String::new();
    for tag in tags {
        let chosen = filter.tag.as_deref() == Some(tag);
        let other = StoreFilter { tag: (!chosen).then(|| tag.to_owned()), ..filter.clone() };
        tagged += &chip(&other, "void", chosen, &html(tag));
    }
    let rows = [("Verdict", verdicts), ("Tag", tagged)];
    let rows = rows.iter().filter(|(_, chips)| !chips.is_empty());
    rows.map(|(name, chips)| format!("<p class=filters><span>{name}</span>{chips}</p>")).collect()
}

fn chip(leads_to: &StoreFilter, tone: &str, chosen: bool, label: &str) -> String {
    let pressed = if chosen { " aria-current=true" } else { "" };
    format!("<a class=\"chip {tone}\" href=\"{}\"{pressed}>{label}</a> ", html(&list_address(leads_to)))
}

fn list_address(filter: &StoreFilter) -> String {
    let mut parts = Vec::new();
    if !filter.text.is_empty() {
        parts.push(format!("text={}", query(&filter.text)));
    }
    if let Some(verdict) = filter.verdict {
        parts.push(format!("verdict={}", verdict.name()));
    }
    if let Some(tag) = &filter.tag {
        parts.push(format!("tag={}", query(tag)));
    }
    if parts.is_empty() { "/".to_owned() } else { format!("/?{}", parts.join("&")) }
}

fn line(call: &StoredCall) -> String {
    let failed: Vec<&StoredRun> = call.runs.iter().filter(|run| run.verdict != Verdict::Pass).collect();
    let wall: f64 =
        call.runs.iter().map(|run| run.wall_seconds).filter(|wall| wall.is_finite()).fold(0.0, |sum, one| sum + one);
    let options = if call.request.is_empty() { String::new() } else { format!("<code>{}</code>", html(&call.request)) };
    let gate = call.gate.as_ref().map_or(String::new(), |gate| format!("<b>gate {}</b>", html(gate)));
    let unreadable = call.unreadable.first().map_or(String::new(), |why| {
        let many = some(call.unreadable.len(), "record");
        format!("<p class=\"state warn\">{many} cannot be relied on: {}</p>", html(&clip(why, 200)))
    });
    let outcome = match failed.len() {
        _ if call.runs.len() == 1 => "1 run".to_owned(),
        0 => some(call.runs.len(), "run"),
        failed => format!("{failed} of {} failed", some(call.runs.len(), "run")),
    };
    format!(
        "<li class=call><label class=pick><input type=checkbox data-pick=\"{id}\" aria-label=\"Pick {id} to compare\"></label>\
         <div><p class=head>{} <a class=id {}>{id}</a> <span class=faint>{}</span> {gate} {options}</p>\
         <p class=what>{} <span class=faint>{} · {outcome} · {} of runs</span></p>{}{unreadable}</div></li>\n",
        badge(call.verdict),
        report_href(&call.id, call.page),
        when(call.time),
        scenario_links(&call.runs),
        seeds_of(call.runs.iter().map(|run| run.seed)),
        seconds(wall),
        failures(&failed),
        id = html(&call.id),
    )
}

fn scenario_links(runs: &[StoredRun]) -> String {
    let names: BTreeSet<&str> = runs.iter().map(|run| run.scenario.name.as_str()).collect();
    let mut links: Vec<String> = names
        .iter()
        .take(NAMED_MAX)
        .map(|name| format!("<a href=\"/scenario?name={}\">{}</a>", html(&query(name)), html(name)))
        .collect();
    if let Some(more) = names.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        links.push(format!("{more} more"));
    }
    links.join(", ")
}

/// `seed 7`, `seeds 1 to 20`, `12 seeds between 3 and 417`.
fn seeds_of(seeds: impl Iterator<Item = u64>) -> String {
    let seeds: BTreeSet<u64> = seeds.collect();
    match (seeds.first(), seeds.last()) {
        (Some(first), Some(last)) if first == last => format!("seed {first}"),
        (Some(first), Some(last)) if last - first == seeds.len() as u64 - 1 => format!("seeds {first} to {last}"),
        (Some(first), Some(last)) => format!("{} seeds between {first} and {last}", seeds.len()),
        _ => "no seed".to_owned(),
    }
}

/// What failed, by what was violated, with links to the runs.
fn failures(failed: &[&StoredRun]) -> String {
    let mut causes: BTreeMap<String, Vec<&StoredRun>> = BTreeMap::new();
    for run in failed {
        let violated: Vec<&str> = run.violated().collect();
        let why = match (&violated[..], run.reasons.first()) {
            ([], Some(reason)) => clip(reason, 110),
            ([], None) => finding::word(run.verdict).to_lowercase(),
            // The others mostly follow from the first.
            ([only], _) => format!("{only} violated"),
            ([first, ..], _) => format!("{first} and others violated"),
        };
        causes.entry(why).or_default().push(run);
    }
    let mut out = String::new();
    for (why, runs) in causes.iter().take(NAMED_MAX) {
        let _ = write!(out, "<p class=failed>{} ", html(why));
        for run in runs.iter().take(NAMED_MAX) {
            out.push_str(&run_chip(run));
        }
        if let Some(more) = runs.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            let _ = write!(out, "and {more} more");
        }
        out.push_str("</p>");
    }
    out
}

fn run_chip(run: &StoredRun) -> String {
    format!(
        "<a class=\"chip {}\" {}>{}{} seed {}</a> ",
        tone(run.verdict),
        report_href(&run.folder, run.page),
        verdict_icon(run.verdict),
        html(&run.scenario.name),
        run.seed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_told_as_a_range_only_if_none_is_missing() {
        let seeds = |seeds: &[u64]| seeds_of(seeds.iter().copied());
        assert_eq!(seeds(&[]), "no seed");
        assert_eq!(seeds(&[7, 7]), "seed 7");
        assert_eq!(seeds(&[3, 1, 2]), "seeds 1 to 3");
        assert_eq!(seeds(&[3, 1]), "2 seeds between 1 and 3");
        assert_eq!(seeds(&[0, u64::MAX]), "2 seeds between 0 and 18446744073709551615");
    }
}
