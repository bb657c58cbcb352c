//! One run's section: verdict, reasons, invariants, witnesses, timeline, numbers, scenario.

use std::fmt::Write;

use serde_json::json;

use super::{badge, checked, icon, invariant_tone, tables, timeline, tone, witness};
use crate::{
    InvariantVerdict, RunRecord, Verdict,
    escape::{html, json_in_script},
    finding, glossary,
    quantity::{count, seconds, speed},
};

/// The page of a single run.
pub(super) fn alone(run: &RunRecord) -> String {
    format!(
        "<article class=run id=run-1><header class=\"hero {tone}\"><p class=eyebrow>Ferret run report</p><h1>{badge} \
         {headline}</h1>{why}</header>\n{body}</article>\n",
        tone = tone(run.verdict),
        badge = badge(run.verdict),
        headline = html(&sentence_case(&finding::headline(run))),
        why = why(run),
        body = body(run, 1),
    )
}

/// A run below the overview: open when it did not pass.
pub(super) fn collapsed(run: &RunRecord, number: usize) -> String {
    format!(
        "<details class=run id=run-{number}{open}><summary>{badge}<span class=who><h2>{name}</h2> <span class=seed>seed \
         {seed}</span></span><span class=found>{headline}</span></summary>\n<div class=\"hero {tone}\">{why}</div>\n{body}\
         <p class=back><a href=\"#top\">Back to all runs</a></p></details>\n",
        open = if run.verdict == Verdict::Pass { "" } else { " open" },
        badge = badge(run.verdict),
        name = html(&run.scenario.name),
        seed = run.seed,
        headline = html(&sentence_case(&finding::headline(run))),
        tone = tone(run.verdict),
        why = why(run),
        body = body(run, number),
    )
}

fn body(run: &RunRecord, number: usize) -> String {
    let mut out = identity(run);
    out.push_str(&invariants(run, number));
    out.push_str(&witness::witnesses(run, number));
    let _ = write!(
        out,
        "<section><h3>What happened, in virtual time</h3>\n{}<p class=caption>{}</p>{}</section>\n",
        timeline::figure(run, number),
        phases_in_words(run),
        cursor_data(run, number)
    );
    out.push_str(&tables::faults(run, number));
    out.push_str(&tables::chaos(run));
    let _ = writeln!(
        out,
        "<div class=columns><div>{}{}{}</div><div>{}</div></div>",
        tables::quantiles(run),
        tables::thresholds(run),
        tables::sometimes(run),
        tables::messages(run)
    );
    out.push_str(&tables::scenario(run, number));
    out
}

fn why(run: &RunRecord) -> String {
    let reasons = finding::reasons(run);
    let mut out = String::new();
    if let Some((first, rest)) = reasons.split_first() {
        let _ = write!(out, "<p class=why>{}</p>", html(&sentence(first)));
        if !rest.is_empty() {
            out.push_str("<ul class=more>");
            for reason in rest {
                let _ = write!(out, "<li>{}</li>", html(&sentence(reason)));
            }
            out.push_str("</ul>");
        }
    }
    out
}

/// What was run, and the line that runs it again.
fn identity(run: &RunRecord) -> String {
    let sabotage = run.sabotage.as_ref().map_or(String::new(), |name| {
        format!("<div class=sabotage><dt>Planted bug</dt><dd><code>{}</code></dd></div>", html(name))
    });
    let ratio = speed(run.virtual_seconds, run.wall_seconds).map_or(String::new(), |ratio| format!(" ({ratio})"));
    format!(
        "<section class=identity><dl><div><dt>Scenario</dt><dd>{name}</dd></div><div><dt>Seed</dt><dd>{seed}</dd></div>\
         {sabotage}<div><dt>Simulated</dt><dd>{simulated} in {wall}{ratio}</dd></div><div><dt>Trace hash</dt>\
         <dd><code title=\"over {events} events\">{hash}</code></dd></div></dl><div class=replay><span \
         class=label>Replay</span><code>{replay}</code><button type=button data-copy=\"{replay}\">Copy</button></div>\
         </section>\n",
        name = html(&run.scenario.name),
        seed = run.seed,
        simulated = seconds(run.virtual_seconds),
        wall = seconds(run.wall_seconds),
        events = count(run.trace_events),
        hash = html(&run.trace_hash),
        replay = html(&run.replay),
    )
}

fn invariants(run: &RunRecord, number: usize) -> String {
    if run.invariants.is_empty() {
        return "<section><h3>No invariant was checked</h3></section>\n".to_owned();
    }
    let mut out = format!("<section><h3>{}</h3>\n<ul class=invariants>", invariants_title(run));
    for invariant in finding::by_urgency(&run.invariants) {
        let tone = invariant_tone(invariant.verdict);
        let name = if witness::has_one(invariant) {
            format!("<a href=\"#{}\">{}</a>", html(&witness::anchor(invariant, number)), html(&invariant.name))
        } else {
            html(&invariant.name)
        };
        let promise = glossary::promise(&invariant.name).map_or(String::new(), |p| format!("<p>{p}</p>"));
        let amount = if invariant.verdict == InvariantVerdict::Vacuous {
            "nothing to check".to_owned()
        } else {
            checked(invariant.checked, &invariant.unit)
        };
        let optional = if invariant.required { "" } else { " · not asked for" };
        let _ = write!(
            out,
            "<li class={tone}><span class=mark>{icon}{word}</span><div><h4>{name}</h4>{promise}<p \
             class=checked>{amount}{optional}</p></div></li>",
            icon = icon(tone),
            word = finding::invariant_word(invariant.verdict),
        );
    }
    out.push_str("</ul></section>\n");
    out
}

fn invariants_title(run: &RunRecord) -> String {
    let of = |verdict| run.invariants.iter().filter(|i| i.verdict == verdict).count();
    let parts: Vec<String> = [
        (of(InvariantVerdict::Violated), "violated"),
        (of(InvariantVerdict::Undecided), "undecided"),
        (of(InvariantVerdict::NotRecoverable), "not recoverable"),
        (of(InvariantVerdict::Holds), "hold"),
        (of(InvariantVerdict::Vacuous), "vacuous"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, word)| format!("{n} {}", if n == 1 && word == "hold" { "holds" } else { word }))
    .collect();
    format!("Invariants: {}", parts.join(", "))
}

fn phases_in_words(run: &RunRecord) -> String {
    use crate::quantity::instant_short;
    let timeline = &run.timeline;
    let mut parts = Vec::new();
    for (at, what) in [
        (timeline.load_stopped_ns, "Load stopped at"),
        (timeline.healed_ns, "all faults healed at"),
        (timeline.drain_began_ns, "the final drain began at"),
        (Some(timeline.end_ns), "the run ended at"),
    ] {
        if let Some(at) = at {
            parts.push(format!("{what} {}", instant_short(at)));
        }
    }
    sentence(&sentence_case(&parts.join(", ")))
}

/// What the time cursor reads out.
fn cursor_data(run: &RunRecord, number: usize) -> String {
    let latency = &run.latency;
    let timeline = &run.timeline;
    let series =
        |value: fn(&crate::LatencyBucket) -> Option<u64>| latency.buckets.iter().map(value).collect::<Vec<_>>();
    let micros = |ns: u64| ns / 1_000;
    let data = json!({
        "end": timeline.end_ns,
        "bucket": latency.bucket_ns,
        "published": series(|b| Some(u64::from(b.published))),
        "confirmed": series(|b| Some(u64::from(b.confirmed))),
        "delivered": series(|b| Some(u64::from(b.delivered))),
        "p50": series(|b| b.confirm.map(|q| q.p50_ns / 1_000)),
        "p99": series(|b| b.confirm.map(|q| q.p99_ns / 1_000)),
        "faults": run.faults.iter().filter_map(|f| {
            Some(json!([format!("{} {}", f.step, f.kind), micros(f.began_ns?), f.ended_ns.map(micros)]))
        }).collect::<Vec<_>>(),
        "leaders": timeline.leaders.iter().map(|l| {
            json!([l.group, l.node, l.term, micros(l.from_ns), l.to_ns.map(micros)])
        }).collect::<Vec<_>>(),
        "down": timeline.down.iter().map(|d| {
            json!([d.node, d.how, micros(d.from_ns), d.to_ns.map(micros)])
        }).collect::<Vec<_>>(),
    });
    format!("<script type=\"application/json\" id=cursor-{number}>{}</script>", json_in_script(&data))
}

/// Ends with a full stop, unless it already ends somehow.
pub(super) fn sentence(text: &str) -> String {
    let ended = text.trim_end().ends_with(['.', '!', '?', ':', ';']);
    if ended { text.to_owned() } else { format!("{text}.") }
}

/// With a capital, unless the first word is a name (it has a dash, a dot or a digit in it).
fn sentence_case(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or("");
    if !first.chars().all(char::is_alphabetic) {
        return text.to_owned();
    }
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |c| c.to_uppercase().chain(characters).collect())
}
