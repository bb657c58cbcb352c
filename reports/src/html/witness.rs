//! Why an invariant does not hold: the sentence, and the events in order, one lane per participant.

use std::fmt::Write;

use super::{icon, invariant_tone, run::sentence, timeline::node_class};
use crate::{
    InvariantResult, InvariantVerdict, RunRecord, WitnessEvent,
    escape::html,
    finding,
    quantity::{count, duration, instant},
};

/// More participants than this get no lanes, only their names.
const LANES_MAX: usize = 8;

/// A longer witness is shown by its beginning and its end.
const EVENTS_MAX: usize = 200;

/// Whether there is more to say than the verdict.
pub(super) fn has_one(invariant: &InvariantResult) -> bool {
    let calm = matches!(invariant.verdict, InvariantVerdict::Holds | InvariantVerdict::Vacuous);
    !calm && (invariant.explanation.is_some() || !invariant.witness.is_empty())
}

/// The id of the witness' section.
pub(super) fn anchor(invariant: &InvariantResult, number: usize) -> String {
    let name: String = invariant.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("run-{number}-{name}")
}

/// All witnesses of a run, violations first.
pub(super) fn witnesses(run: &RunRecord, number: usize) -> String {
    finding::by_urgency(&run.invariants)
        .into_iter()
        .filter(|invariant| has_one(invariant))
        .map(|invariant| one(run, invariant, number))
        .collect()
}

fn one(run: &RunRecord, invariant: &InvariantResult, number: usize) -> String {
    let tone = invariant_tone(invariant.verdict);
    let explanation =
        invariant.explanation.as_deref().map_or(String::new(), |e| format!("<p>{}</p>", html(&sentence(e))));
    format!(
        "<section class=\"witness {tone}\" id=\"{anchor}\"><h3>{icon}{name} is {word}</h3>{explanation}{events}</section>\n",
        anchor = html(&anchor(invariant, number)),
        icon = icon(tone),
        name = html(&invariant.name),
        word = finding::invariant_word(invariant.verdict),
        events = events(run, &invariant.witness),
    )
}

fn events(run: &RunRecord, witness: &[WitnessEvent]) -> String {
    if witness.is_empty() {
        return String::new();
    }
    let mut lanes: Vec<&str> = Vec::new();
    for event in witness {
        if !lanes.contains(&event.who.as_str()) {
            lanes.push(&event.who);
        }
    }
    if lanes.len() > LANES_MAX {
        lanes.clear();
    }
    let mut out = String::from(
        "<div class=scroll><table class=events><thead><tr><th scope=col class=r>At</th><th scope=col class=\"r after\">After</th>",
    );
    for lane in &lanes {
        let _ = write!(out, "<th class=\"lane {}\" aria-hidden=true>{}</th>", node_class(run, lane), html(lane));
    }
    out.push_str("<th scope=col>Who</th><th scope=col>What</th></tr></thead><tbody>");
    let skipped = witness.len().saturating_sub(EVENTS_MAX);
    let mut before: Option<u64> = None;
    for (i, event) in witness.iter().enumerate() {
        let cut = EVENTS_MAX / 2;
        if skipped > 0 && (cut..cut + skipped).contains(&i) {
            if i == cut {
                let span = lanes.len() + 4;
                let _ = write!(out, "<tr><td colspan={span}>… {} more events …</td></tr>", count(skipped as u64));
            }
            continue;
        }
        let after = match before {
            Some(before) => format!("+{}", duration(event.at_ns.saturating_sub(before))),
            None => String::new(),
        };
        let _ = write!(out, "<tr><td class=r>{}</td><td class=\"r faint after\">{after}</td>", instant(event.at_ns));
        for lane in &lanes {
            let dot = if *lane == event.who { "<i></i>" } else { "" };
            let _ = write!(out, "<td class=\"lane {}\" aria-hidden=true>{dot}</td>", node_class(run, lane));
        }
        let _ = write!(out, "<th scope=row>{}</th><td class=what>{}</td></tr>", html(&event.who), html(&event.what));
        before = Some(event.at_ns);
    }
    out.push_str("</tbody></table></div>");
    out
}
