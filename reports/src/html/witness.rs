//! Why an invariant does not hold, as a picture: one life-line per participant, time downwards, the faults that struck.
//!
//! A node's disk has a line of its own beside the node's. The picture is a table, so that its sentences wrap, can be
//! read aloud, and print.

use std::{collections::BTreeSet, fmt::Write};

use super::{icon, invariant_tone, run::sentence};
use crate::{
    InvariantResult, InvariantVerdict, RunRecord, WitnessEvent, WitnessKind,
    escape::html,
    finding,
    quantity::{count, duration, instant},
};

/// More lines than this are no picture any more: then there are only names.
const LINES_MAX: usize = 12;

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
        .enumerate()
        .map(|(place, invariant)| one(run, invariant, number, place == 0))
        .collect()
}

/// The first is in sight; the others mostly follow from it, and open on demand.
fn one(run: &RunRecord, invariant: &InvariantResult, number: usize, first: bool) -> String {
    let tone = invariant_tone(invariant.verdict);
    let explanation =
        invariant.explanation.as_deref().map_or(String::new(), |e| format!("<p>{}</p>", html(&sentence(e))));
    let anchor = html(&anchor(invariant, number));
    let head = format!("<h3>{}{} is {}</h3>{explanation}", icon(tone), html(&invariant.name), invariant.verdict.word());
    let picture = picture(run, &invariant.witness, Some(number));
    if first {
        format!("<section class=\"witness {tone}\" id=\"{anchor}\">{head}{picture}</section>\n")
    } else {
        format!("<details class=\"witness {tone}\" id=\"{anchor}\"><summary>{head}</summary>{picture}</details>\n")
    }
}

/// One life-line.
#[derive(Clone, PartialEq)]
struct Line<'a> {
    who: &'a str,
    disk: bool,
}

/// The life-lines of a witness: clients, then each node with its disk.
fn lines<'a>(run: &RunRecord, witness: &'a [WitnessEvent]) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    let mut add = |who, disk| {
        let line = Line { who, disk };
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for event in witness {
        match event.kind {
            WitnessKind::Client | WitnessKind::Node | WitnessKind::NodeUp => add(&event.who, false),
            WitnessKind::Disk | WitnessKind::NodeDown => {
                add(&event.who, false);
                add(&event.who, true);
            }
            WitnessKind::FaultBegan(_) | WitnessKind::FaultEnded(_) | WitnessKind::Run => {}
        }
    }
    let place = |who: &str| run.timeline.nodes.iter().position(|node| node == who).map_or(0, |index| index + 1);
    lines.sort_by_key(|line| (place(line.who), line.disk));
    if lines.len() > LINES_MAX {
        lines.clear();
    }
    lines
}

/// What holds at a row: who is down, and which faults are in force.
#[derive(Default)]
struct Weather<'a> {
    down: BTreeSet<&'a str>,
    faults: BTreeSet<u32>,
}

impl<'a> Weather<'a> {
    fn before(&mut self, event: &'a WitnessEvent) {
        match event.kind {
            WitnessKind::FaultBegan(fault) => drop(self.faults.insert(fault)),
            WitnessKind::NodeUp => drop(self.down.remove(event.who.as_str())),
            // Who speaks is up.
            WitnessKind::Node | WitnessKind::Disk => drop(self.down.remove(event.who.as_str())),
            _ => {}
        }
    }

    fn after(&mut self, run: &RunRecord, event: &'a WitnessEvent) {
        match event.kind {
            // A node that a fault took down comes back with the fault's end.
            WitnessKind::FaultEnded(fault) => {
                self.faults.remove(&fault);
                let ended = run.faults.get(fault as usize);
                self.down.retain(|node| !ended.is_some_and(|fault| touches(fault, node)));
            }
            WitnessKind::NodeDown => drop(self.down.insert(&event.who)),
            _ => {}
        }
    }

    fn strikes(&self, run: &RunRecord, who: &str) -> bool {
        let touched = |fault: &u32| run.faults.get(*fault as usize).is_some_and(|fault| touches(fault, who));
        self.faults.iter().any(touched)
    }
}

fn touches(fault: &crate::FaultRecord, who: &str) -> bool {
    fault.nodes.iter().any(|node| node == who)
}

/// `number`: the run's, if its faults are on the same page.
pub(super) fn picture(run: &RunRecord, witness: &[WitnessEvent], number: Option<usize>) -> String {
    if witness.is_empty() {
        return String::new();
    }
    let lines = lines(run, witness);
    let mut out = String::from(
        "<div class=scroll><table class=events><thead><tr><th scope=col class=r>At</th><th scope=col class=\"r after\">After</th>",
    );
    for line in &lines {
        let disk = if line.disk { "<small>disk</small>" } else { "" };
        let _ = write!(
            out,
            "<th class=\"line {}\" aria-hidden=true><span>{}{disk}</span></th>",
            node_class(run, line.who),
            html(line.who)
        );
    }
    out.push_str("<th scope=col>Who</th><th scope=col>What</th></tr></thead><tbody>");
    let skipped = witness.len().saturating_sub(EVENTS_MAX);
    let cut = EVENTS_MAX / 2;
    let mut weather = Weather::default();
    let mut before: Option<u64> = None;
    for (i, event) in witness.iter().enumerate() {
        weather.before(event);
        if skipped == 0 || !(cut..cut + skipped).contains(&i) {
            row(&mut out, run, &lines, &weather, event, before, number);
            before = Some(event.at_ns);
        } else if i == cut {
            let span = lines.len() + 4;
            let _ = write!(out, "<tr><td colspan={span}>… {} more events …</td></tr>", count(skipped as u64));
        }
        weather.after(run, event);
    }
    out.push_str("</tbody></table></div>");
    out
}

fn row(
    out: &mut String,
    run: &RunRecord,
    lines: &[Line<'_>],
    weather: &Weather<'_>,
    event: &WitnessEvent,
    before: Option<u64>,
    number: Option<usize>,
) {
    let after = before.map_or(String::new(), |before| format!("+{}", duration(event.at_ns.saturating_sub(before))));
    let class = match event.kind {
        WitnessKind::FaultBegan(_) | WitnessKind::FaultEnded(_) => " class=struck",
        WitnessKind::NodeDown => " class=fatal",
        _ => "",
    };
    let _ = write!(
        out,
        "<tr{class} data-at={}><td class=r>{}</td><td class=\"r faint after\">{after}</td>",
        event.at_ns,
        instant(event.at_ns)
    );
    for line in lines {
        let mut state = node_class(run, line.who);
        if weather.down.contains(line.who) {
            state.push_str(" dead");
        }
        if weather.strikes(run, line.who) {
            state.push_str(" struck");
        }
        let _ = write!(out, "<td class=\"line {state}\" aria-hidden=true>{}</td>", mark(run, line, event));
    }
    let fault = match event.kind {
        WitnessKind::FaultBegan(fault) | WitnessKind::FaultEnded(fault) => Some(fault as usize),
        _ => None,
    };
    let step = fault.and_then(|fault| Some((fault + 1, run.faults.get(fault)?.step)));
    let step = step.map_or(String::new(), |(place, step)| match number {
        Some(number) => format!("<a class=number href=\"#run-{number}-fault-{place}\">{step}</a> "),
        None => format!("<span class=number>{step}</span> "),
    });
    let _ = write!(out, "<th scope=row>{}</th><td class=what>{step}{}</td></tr>", html(&event.who), html(&event.what));
}

/// What the line shows of the event; each kind has a shape of its own.
fn mark(run: &RunRecord, line: &Line<'_>, event: &WitnessEvent) -> &'static str {
    let own = line.who == event.who;
    match event.kind {
        WitnessKind::Client if own => "<i class=client></i>",
        WitnessKind::Node if own && !line.disk => "<i class=node></i>",
        WitnessKind::NodeUp if own && !line.disk => "<i class=up></i>",
        WitnessKind::Disk if own && line.disk => "<i class=disk></i>",
        WitnessKind::NodeDown if own => "<i class=down>✕</i>",
        WitnessKind::FaultBegan(fault)
            if !line.disk && run.faults.get(fault as usize).is_some_and(|fault| touches(fault, line.who)) =>
        {
            "<i class=fault></i>"
        }
        _ => "",
    }
}

/// The class that colours a node's marks: the same everywhere on the page.
pub(super) fn node_class(run: &RunRecord, node: &str) -> String {
    match run.timeline.nodes.iter().position(|other| other == node) {
        Some(index) => format!("n{}", index % 7),
        None => "nx".to_owned(),
    }
}
