//! The page of one run: verdict, witness, timeline, invariants, numbers, scenario.

use std::fmt::Write;

use serde_json::json;

use super::{
    badge, checked, frame, icon, invariant_tone, losses, outcomes, overview, recovery, regions::region, tables, tone,
    witness,
};
use crate::{
    EventLog, InvariantVerdict, RunRecord,
    escape::{html, json_in_script},
    events::Packed,
    finding,
    quantity::{count, seconds, speed},
};

/// The run's number in the ids of its page.
const NUMBER: usize = 1;

/// What of the page comes from the events.
#[derive(Default)]
pub(super) struct Events {
    losses: String,
    outcomes: String,
    recovery: String,
    data: String,
}

impl Events {
    pub(super) fn of(run: &RunRecord, log: &EventLog) -> Self {
        let packed = Packed::new(log);
        let silences: Vec<_> =
            recovery::silences(run, log).iter().map(|silence| [silence.from_ns, silence.to_ns]).collect();
        let mut layout = packed.layout;
        layout["silences"] = json!(silences);
        Self {
            losses: losses::map(run, log),
            outcomes: outcomes::ledger(run, log),
            recovery: recovery::table(run, log, NUMBER),
            data: format!(
                "<script type=\"application/json\" id=layout>{}</script>\n<script type=\"text/plain\" id=events>{}</script>",
                json_in_script(&layout),
                packed.data
            ),
        }
    }
}

/// The body of the page.
pub(super) fn alone(run: &RunRecord, events: &Events) -> String {
    let mut out = format!(
        "{bar}<main class=run id=top><header class=\"hero {tone}\"><h1>{badge} {headline}</h1>{why}</header>\n",
        bar = bar(run),
        tone = tone(run.verdict),
        badge = badge(run.verdict),
        headline = html(&sentence_case(&finding::headline(run))),
        why = why(run),
    );
    out.push_str(&identity(run));
    out.push_str(&witness::witnesses(run, NUMBER));
    out.push_str("<section id=life class=life hidden aria-live=polite></section>\n");
    let _ = writeln!(out, "{TIMELINE}<p class=caption>{}</p></section>", phases_in_words(run));
    out.push_str(&tables::faults(run, NUMBER));
    out.push_str(&tables::chaos(run));
    out.push_str(&region(&events.losses));
    out.push_str(&region(&events.outcomes));
    out.push_str(&region(&events.recovery));
    out.push_str(&invariants(run, NUMBER));
    let _ = writeln!(
        out,
        "<div class=columns><div>{}{}</div><div>{}{}</div></div>",
        tables::quantiles(run),
        tables::messages(run),
        tables::thresholds(run),
        tables::sometimes(run),
    );
    out.push_str(&tables::scenario(run, NUMBER));
    out.push_str("</main>\n");
    let _ = write!(
        out,
        "<script type=\"application/json\" id=record>{}</script>\n{}\n",
        json_in_script(&lanes(run)),
        region(&events.data)
    );
    out
}

/// What stays in sight: which run this is, and the way to any message.
fn bar(run: &RunRecord) -> String {
    let title = format!("{} <span class=seed>seed {}</span>", html(&run.scenario.name), run.seed);
    let first = run.timeline.clients.first();
    let search = format!(
        "<div class=search><input id=search type=search autocomplete=off spellcheck=false placeholder=\"Find a message, \
         e.g. {}\" aria-label=\"Find a message by its name, or a time such as 14.2s\" disabled><kbd>/</kbd><ul id=found \
         role=listbox hidden></ul></div>",
        html(&first.map_or("pub-1/1".to_owned(), |client| format!("{}/1", client.name)))
    );
    let help = "<button type=button id=help aria-label=\"Keyboard shortcuts\">?</button>";
    frame::bar("#top", &title, &search, help)
}

/// The script fills it.
const TIMELINE: &str = "<section id=timeline class=timeline aria-label=\"Timeline of the run\" tabindex=0><div \
    class=tools><h3>What happened, in virtual time</h3><output id=span></output><span class=buttons><button type=button \
    data-do=in aria-label=\"Zoom in\">+</button><button type=button data-do=out aria-label=\"Zoom out\">−</button><button \
    type=button data-do=fit>Whole run</button><button type=button data-do=links>All links</button></span></div><div \
    class=overview-strip></div><div id=panels class=panels><p class=waiting id=waiting>Unpacking the events…</p></div><noscript><p class=waiting>The lanes and \
    charts are drawn by this page's own script, which is switched off. Everything else is here.</p></noscript>";

fn why(run: &RunRecord) -> String {
    let mut reasons = finding::reasons(run);
    // What the witnesses say anyway need not be said twice.
    let told = |reason: &String| {
        let explanations = run.invariants.iter().filter(|invariant| witness::has_one(invariant));
        explanations.filter_map(|invariant| invariant.explanation.as_ref()).any(|told| reason.contains(told))
    };
    let mut place = 0;
    reasons.retain(|reason| {
        place += 1;
        place == 1 || !told(reason)
    });
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
         <dd><code title=\"over {events} events\">{hash}</code></dd></div></dl>{replay}</section>\n",
        name = html(&run.scenario.name),
        seed = run.seed,
        simulated = seconds(run.virtual_seconds),
        wall = seconds(run.wall_seconds),
        events = count(run.trace_events),
        hash = html(&run.trace_hash),
        replay = overview::replay(run),
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
        // Records of earlier versions have none.
        let promise = match invariant.promise.as_str() {
            "" => String::new(),
            promise => format!("<p>{}</p>", html(&sentence_case(promise))),
        };
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
            word = invariant.verdict.word(),
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

/// What of the record the script draws.
fn lanes(run: &RunRecord) -> serde_json::Value {
    let timeline = &run.timeline;
    json!({
        "end": timeline.end_ns,
        "phases": [timeline.load_stopped_ns, timeline.healed_ns, timeline.drain_began_ns],
        "nodes": timeline.nodes,
        "clients": timeline.clients.iter().map(|client| json!({
            "name": client.name,
            "role": client.role,
            "connections": client.connections.iter().map(|c| json!([c.from_ns, c.to_ns, c.node])).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "leaders": timeline.leaders.iter().map(|l| json!([l.group, l.node, l.term, l.from_ns, l.to_ns])).collect::<Vec<_>>(),
        "down": timeline.down.iter().map(|d| json!([d.node, d.how, d.from_ns, d.to_ns])).collect::<Vec<_>>(),
        "faults": run.faults.iter().map(|fault| json!({
            "step": fault.step,
            "kind": fault.kind,
            "what": fault.description,
            "effect": fault.effect,
            "from": fault.began_ns,
            "to": fault.ended_ns,
            "nodes": fault.nodes,
            "bit": fault.bit,
        })).collect::<Vec<_>>(),
        "focus": focus(run),
    })
}

/// The sentences in which the script looks for a message to begin with.
fn focus(run: &RunRecord) -> Vec<&str> {
    let texts = run.violated().flat_map(|invariant| {
        let told = invariant.witness.iter().map(|event| event.what.as_str());
        invariant.explanation.as_deref().into_iter().chain(told)
    });
    texts.take(24).collect()
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
