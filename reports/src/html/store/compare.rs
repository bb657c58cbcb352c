//! Two calls side by side, run by run, or two runs, event by event.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    super::{
        badge,
        frame::{self, Kind},
    },
    bar, report_href, verdict_link,
};
use crate::{
    Difference, Parting, StoredCall, StoredRun, Verdict, WitnessEvent,
    escape::{html, query},
    quantity::{count, duration, some},
};

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
        sides([
            (&first.id, first.page, first.verdict, &first.request),
            (&second.id, second.page, second.verdict, &second.request)
        ]),
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
                moved(one.latency.recovery_max(), other.latency.recovery_max()),
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

fn moved(one: Option<u64>, other: Option<u64>) -> String {
    let text = |value: Option<u64>| value.map_or("–".to_owned(), duration);
    if one == other {
        return format!("<span class=faint>{}</span>", text(one));
    }
    format!("{} → <b>{}</b>", text(one), text(other))
}

/// The two that are compared, each with a link to its report.
fn sides(sides: [(&String, bool, Verdict, &String); 2]) -> String {
    let mut out = String::from("<dl class=sides>");
    for (which, (folder, page, verdict, note)) in ["first", "second"].iter().zip(sides) {
        let note = if note.is_empty() { String::new() } else { format!(" <code>{}</code>", html(note)) };
        let _ = write!(
            out,
            "<div><dt>{which}</dt><dd>{}<a {}>{}</a>{note}</dd></div>",
            badge(verdict),
            report_href(folder, page),
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
        sides([
            (&first.folder, first.page, first.verdict, &note_one),
            (&second.folder, second.page, second.verdict, &note_other)
        ])
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
