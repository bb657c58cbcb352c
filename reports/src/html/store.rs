//! The pages over a store of runs, which `ferret serve` shows: the list, two of them compared, one scenario over time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{
    badge,
    frame::{self, Kind},
    tone, verdict_icon,
};
use crate::{
    Difference, Parting, StoreFilter, StoredCall, StoredRun, Verdict, WitnessEvent,
    escape::{clip, html, query},
    finding,
    quantity::{count, duration, seconds, some},
};

/// A list shows so many calls; older ones are found with a filter.
const CALLS_MAX: usize = 200;
/// A call's line names so many scenarios, and so many failed runs.
const NAMED_MAX: usize = 6;

const VERDICTS: [Verdict; 9] = [
    Verdict::Pass,
    Verdict::Violated,
    Verdict::Undecided,
    Verdict::Threshold,
    Verdict::Regression,
    Verdict::Vacuous,
    Verdict::Incomplete,
    Verdict::NotDeterministic,
    Verdict::Internal,
];

/// The name of a verdict in a query.
pub fn verdict_key(verdict: Verdict) -> String {
    serde_json::to_value(verdict).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

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

/// What two picked rows lead to.
const PICKED: &str = "<div id=picked hidden><span></span><button type=button>Compare</button></div>\n";

fn bar(title: &str, search: Option<&str>) -> String {
    let search = search.map_or(String::new(), |text| {
        format!(
            "<input id=filter type=search placeholder=\"scenario, tag, invariant, option\" aria-label=\"Filter the list\" \
             autocomplete=off value=\"{}\"><kbd>/</kbd>",
            html(text)
        )
    });
    format!(
        "<div class=bar><a class=home href=\"/\"><b>Ferret</b> {}</a><span class=search>{search}</span><button type=button \
         id=theme aria-label=\"Switch between dark and light\">Dark</button></div>\n",
        html(title)
    )
}

/// Links that narrow the list to a verdict or a tag, or widen it again.
fn chips(calls: &[StoredCall], filter: &StoreFilter) -> String {
    let mut verdicts = String::new();
    for verdict in VERDICTS {
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
        parts.push(format!("verdict={}", verdict_key(verdict)));
    }
    if let Some(tag) = &filter.tag {
        parts.push(format!("tag={}", query(tag)));
    }
    if parts.is_empty() { "/".to_owned() } else { format!("/?{}", parts.join("&")) }
}

fn line(call: &StoredCall) -> String {
    let failed: Vec<&StoredRun> = call.runs.iter().filter(|run| run.verdict != Verdict::Pass).collect();
    let wall: f64 = call.runs.iter().map(|run| run.wall_seconds).filter(|wall| wall.is_finite()).sum();
    let options = if call.request.is_empty() { String::new() } else { format!("<code>{}</code>", html(&call.request)) };
    let gate = call.gate.as_ref().map_or(String::new(), |gate| format!("<b>gate {}</b>", html(gate)));
    let unreadable = call.unreadable.first().map_or(String::new(), |why| {
        let many = some(call.unreadable.len(), "record");
        format!("<p class=\"state warn\">{many} cannot be read: {}</p>", html(&clip(why, 200)))
    });
    let outcome = match failed.len() {
        _ if call.runs.len() == 1 => "1 run".to_owned(),
        0 => some(call.runs.len(), "run"),
        failed => format!("{failed} of {} failed", some(call.runs.len(), "run")),
    };
    format!(
        "<li class=call><label class=pick><input type=checkbox data-pick=\"{id}\" aria-label=\"Pick {id} to compare\"></label>\
         <div><p class=head>{} <a class=id href=\"{}\">{id}</a> <span class=faint>{}</span> {gate} {options}</p>\
         <p class=what>{} <span class=faint>{} · {outcome} · {} of runs</span></p>{}{unreadable}</div></li>\n",
        badge(call.verdict),
        html(&report_address(&call.id)),
        when(call.time),
        scenario_links(&call.runs),
        seeds_of(&call.runs),
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
fn seeds_of(runs: &[StoredRun]) -> String {
    let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
    match (seeds.first(), seeds.last()) {
        (Some(first), Some(last)) if first == last => format!("seed {first}"),
        (Some(first), Some(last)) if last - first + 1 == seeds.len() as u64 => format!("seeds {first} to {last}"),
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
        "<a class=\"chip {}\" href=\"{}\">{}{} seed {}</a> ",
        tone(run.verdict),
        html(&report_address(&run.folder)),
        verdict_icon(run.verdict),
        html(&run.scenario.name),
        run.seed
    )
}

fn report_address(folder: &str) -> String {
    let parts: Vec<String> = folder.split('/').map(query).collect();
    format!("/files/{}/report.html", parts.join("/"))
}

/// `2026-04-19 14:25:01`, in universal time; the page's script makes it local.
fn when(time: u64) -> String {
    format!("<time data-seconds={time}>{time} s after 1970</time>")
}

/// The runs of a call by scenario, seed, and the scenario's folder within the call's: two files may use one name.
type Places<'a> = BTreeMap<(&'a str, u64, &'a str), &'a StoredRun>;

fn by_place(call: &StoredCall) -> Places<'_> {
    let mut places = Places::new();
    for run in &call.runs {
        let within = run.folder.strip_prefix(&call.id).unwrap_or(&run.folder);
        places.insert((&run.scenario.name, run.seed, within), run);
    }
    places
}

/// Two calls side by side: each scenario and seed that both have, and what only one has.
pub fn render_calls_html(first: &StoredCall, second: &StoredCall) -> String {
    let (one, other) = (by_place(first), by_place(second));
    let both: Vec<_> = one.iter().filter_map(|(key, run)| Some((*run, *other.get(key)?))).collect();
    let same = both.iter().filter(|(one, other)| one.trace_hash == other.trace_hash).count();
    let alone = |mine: &Places<'_>, theirs: &Places<'_>| mine.keys().filter(|key| !theirs.contains_key(*key)).count();
    let mut out = bar("two calls compared", None);
    let _ = write!(
        out,
        "<main class=overview id=top><header class=store><h1>{} in both</h1>{}<p class=why>{same} of them are the same to \
         the byte. Only in the first: {}; only in the second: {}.</p></header>",
        some(both.len(), "run"),
        sides([(&first.id, first.verdict, &first.request), (&second.id, second.verdict, &second.request)]),
        alone(&one, &other),
        alone(&other, &one)
    );
    if !both.is_empty() {
        out.push_str(
            "<div class=scroll><table class=pairs><thead><tr><th scope=col>Scenario<th scope=col class=r>Seed<th \
             scope=col>First<th scope=col>Second<th scope=col>Trace<th scope=col class=r>confirm p99<th scope=col \
             class=r>unavailable<th scope=col class=r>recovery<th scope=col></tr></thead><tbody>",
        );
        for (one, other) in both {
            let p99 = |run: &StoredRun| run.latency.confirm.map(|confirm| confirm.p99_ns);
            let _ = write!(
                out,
                "<tr><th scope=row><a href=\"/scenario?name={}\">{}</a><td class=r>{}<td>{}<td>{}<td>{}<td \
                 class=r>{}<td class=r>{}<td class=r>{}<td><a href=\"{}\">what differs</a></tr>",
                html(&query(&one.scenario.name)),
                html(&one.scenario.name),
                one.seed,
                verdict_link(one),
                verdict_link(other),
                if one.trace_hash == other.trace_hash { "same" } else { "differs" },
                moved(p99(one), p99(other)),
                moved(Some(one.latency.unavailable_max_ns), Some(other.latency.unavailable_max_ns)),
                moved(Some(one.latency.recovery_max_ns), Some(other.latency.recovery_max_ns)),
                html(&compare_address(&one.folder, &other.folder))
            );
        }
        out.push_str("</tbody></table></div>");
    }
    out.push_str("</main>\n");
    frame::page("Two calls compared", Kind::Store, &out)
}

fn compare_address(first: &str, second: &str) -> String {
    format!("/compare?a={}&b={}", query(first), query(second))
}

fn verdict_link(run: &StoredRun) -> String {
    format!(
        "<a class=\"chip {}\" href=\"{}\">{}{}</a>",
        tone(run.verdict),
        html(&report_address(&run.folder)),
        verdict_icon(run.verdict),
        finding::word(run.verdict)
    )
}

fn moved(one: Option<u64>, other: Option<u64>) -> String {
    let text = |value: Option<u64>| value.map_or("–".to_owned(), duration);
    if one == other {
        return format!("<span class=faint>{}</span>", text(one));
    }
    format!("{} → <b>{}</b>", text(one), text(other))
}

/// The two that are compared, each with a link to its report.
fn sides(sides: [(&String, Verdict, &String); 2]) -> String {
    let mut out = String::from("<dl class=sides>");
    for (which, (folder, verdict, note)) in ["first", "second"].iter().zip(sides) {
        let note = if note.is_empty() { String::new() } else { format!(" <code>{}</code>", html(note)) };
        let _ = write!(
            out,
            "<div><dt>{which}</dt><dd>{}<a href=\"{}\">{}</a>{note}</dd></div>",
            badge(verdict),
            html(&report_address(folder)),
            html(folder)
        );
    }
    out + "</dl>"
}

/// What `ferret diff` tells of two runs. Without a history of both, `difference` says why there is none.
pub fn render_difference_html(first: &StoredRun, second: &StoredRun, difference: Result<&Difference, &str>) -> String {
    let title = |run: &StoredRun| format!("{} seed {}", run.scenario.name, run.seed);
    let (one, other) = (title(first), title(second));
    let heading = if one == other { one } else { format!("{one} and {other}") };
    let note = |run: &StoredRun| run.sabotage.as_ref().map(|bug| format!("planted: {bug}")).unwrap_or_default();
    let (note_one, note_other) = (note(first), note(second));
    let mut out = bar("two runs compared", None);
    let _ = write!(
        out,
        "<main class=overview id=top><header class=store><h1>{}</h1>{}</header>",
        html(&heading),
        sides([(&first.folder, first.verdict, &note_one), (&second.folder, second.verdict, &note_other)])
    );
    match difference {
        Err(why) => {
            let _ = write!(out, "<p class=why>Their events cannot be compared: {}</p>", html(why));
        }
        Ok(difference) => {
            if difference.texts_differ {
                out.push_str("<p class=why>The scenarios' texts differ.</p>");
            }
            out.push_str(&parting(&difference.parting));
            out.push_str(&figures(&difference.moved));
        }
    }
    out.push_str("</main>\n");
    frame::page(&heading, Kind::Store, &out)
}

fn parting(parting: &Parting) -> String {
    let (event, both, then) = match parting {
        Parting::Nowhere { events } => {
            let events = count(*events);
            return format!("<section><h2>The histories are equal</h2><p class=caption>{events} events.</p></section>");
        }
        Parting::At { event, both, then } => (event, both, then),
    };
    let mut out =
        format!("<section><h2>The runs part at event {}</h2><div class=scroll><table class=parting>", count(*event));
    let mut row = |which: &str, event: &WitnessEvent| {
        let _ = write!(
            out,
            "<tr class=\"{which}\"><th scope=row>{which}<td class=r>{:.6} s<td>{}<td class=what>{}</tr>",
            event.at_ns as f64 / 1e9,
            html(&event.who),
            html(&event.what)
        );
    };
    both.iter().for_each(|event| row("both", event));
    for (which, events) in ["first", "second"].into_iter().zip(then) {
        events.iter().for_each(|event| row(which, event));
    }
    for (which, events) in ["first", "second"].into_iter().zip(then) {
        if events.is_empty() {
            let _ =
                write!(out, "<tr class=\"{which}\"><th scope=row>{which}<td><td><td class=what>the run has ended</tr>");
        }
    }
    out + "</table></div></section>"
}

fn figures(moved: &[[String; 3]]) -> String {
    if moved.is_empty() {
        return "<section><h2>No figure moved</h2></section>".to_owned();
    }
    let mut out = String::from(
        "<section><h2>What moved</h2><div class=scroll><table class=moved><thead><tr><th scope=col>Figure<th \
         scope=col>First<th scope=col>Second</tr></thead><tbody>",
    );
    for [name, one, other] in moved {
        let _ = write!(out, "<tr><th scope=row>{}<td>{}<td>{}</tr>", html(name), html(one), html(other));
    }
    out + "</tbody></table></div></section>"
}

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
            ("longest recovery", |run| Some(run.latency.recovery_max_ns)),
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
            "<a href=\"{}\"><title>{}</title><rect class=\"{}\" x={:.1} y={top} width={width:.1} height={height} rx=1 /></a>",
            html(&report_address(&run.folder)),
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
            "<a href=\"{}\"><title>{}</title><circle class=\"{}{}\" cx={x:.1} cy={:.1} r=3 /></a>",
            html(&report_address(&run.folder)),
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
