//! When nothing was confirmed although publishers waited, and how long after each fault's end the next confirm came.

use std::fmt::Write;

use crate::{
    Attempt, Availability, EventLog, Outcome, Recovery, RunRecord, Silence,
    escape::html,
    quantity::{duration, instant},
};

/// Only the longest silences are listed.
const SILENCES_MAX: usize = 8;
/// A silence is worth a line from this length on, and from so many times the usual confirm latency on.
const SILENCE_MIN_NS: u64 = 200_000_000;
const SILENCE_LATENCIES: u64 = 5;

/// The rule is that of the thresholds.
fn availability(run: &RunRecord, log: &EventLog) -> Availability {
    let attempts = log.publishes.iter().map(|publish| Attempt {
        client: publish.client,
        at_ns: publish.at_ns,
        outcome: publish.outcome,
    });
    let connected = (0..)
        .zip(&run.timeline.clients)
        .flat_map(|(client, lane)| lane.connections.iter().map(move |connection| (connection.from_ns, client)));
    Availability::new(attempts, connected, run.timeline.load_stopped_ns, run.timeline.end_ns)
}

/// All silences that are worth a line, in order of time.
pub(super) fn silences(run: &RunRecord, log: &EventLog) -> Vec<Silence> {
    worth_a_line(run, &availability(run, log))
}

fn worth_a_line(run: &RunRecord, availability: &Availability) -> Vec<Silence> {
    let usual = run.latency.confirm.map_or(0, |confirm| confirm.p50_ns);
    let least = SILENCE_MIN_NS.max(usual.saturating_mul(SILENCE_LATENCIES));
    availability.silences.iter().filter(|silence| silence.to_ns - silence.from_ns >= least).copied().collect()
}

pub(super) fn table(run: &RunRecord, log: &EventLog, number: usize) -> String {
    if !log.publishes.iter().any(|publish| matches!(publish.outcome, Some((Outcome::Confirmed, _)))) {
        return String::new();
    }
    let availability = availability(run, log);
    let mut longest = worth_a_line(run, &availability);
    longest.sort_by_key(|silence| std::cmp::Reverse(silence.to_ns - silence.from_ns));
    longest.truncate(SILENCES_MAX);
    longest.sort_by_key(|silence| silence.from_ns);
    let mut out = String::from("<div class=columns><section id=silences>");
    if longest.is_empty() {
        out.push_str("<h3>Always available</h3><p class=caption>Publishers never waited long without a confirm.</p>");
    } else {
        out.push_str(
            "<h3>Unavailable: publishers waited, nothing was confirmed</h3><div class=scroll><table><thead><tr><th scope=col \
             class=r>From</th><th scope=col class=r>To</th><th scope=col class=r>For</th><th scope=col>During</th></tr></thead><tbody>",
        );
        for silence in &longest {
            let _ = write!(
                out,
                "<tr><td class=r><a href=\"#at={}\">{}</a></td><td class=r>{}</td><td class=r><b>{}</b></td><td>{}</td></tr>",
                silence.from_ns,
                instant(silence.from_ns),
                instant(silence.to_ns),
                duration(silence.to_ns - silence.from_ns),
                faults_within(run, silence, number)
            );
        }
        out.push_str("</tbody></table></div>");
    }
    out.push_str("</section><section id=recoveries>");
    recoveries(&mut out, run, &availability, number);
    out.push_str("</section></div>\n");
    out
}

/// From the end of each fault to the next confirm.
fn recoveries(out: &mut String, run: &RunRecord, availability: &Availability, number: usize) {
    let ended: Vec<_> =
        (1..).zip(&run.faults).filter_map(|(place, fault)| Some((place, fault, fault.ended_ns?))).collect();
    if ended.is_empty() {
        out.push_str("<h3>No fault ended during the run</h3>");
        return;
    }
    out.push_str(
        "<h3>Recovery: from a fault's end to the next confirm</h3><div class=\"scroll tall\"><table><thead><tr><th \
         scope=col>Fault</th><th scope=col class=r>Ended</th><th scope=col class=r>Next confirm</th><th scope=col \
         class=r>Recovery</th></tr></thead><tbody>",
    );
    let moments: Vec<u64> = ended.iter().map(|(.., at)| *at).collect();
    for ((place, fault, ended), recovery) in ended.into_iter().zip(availability.recoveries(&moments)) {
        let faint = |text: &str| format!("<span class=faint>{text}</span>");
        let (next, took) = match recovery {
            Recovery::Took(took) => (instant(ended + took), format!("<b>{}</b>", duration(took))),
            Recovery::NotWithin(0) => (faint("none"), faint("nobody waited")),
            Recovery::NotWithin(waited) => (faint("none"), format!("<b>over {}</b>", duration(waited))),
            Recovery::Overtaken => (faint("none before another fault's end"), String::new()),
            Recovery::AfterLoad => (faint("after the load"), String::new()),
        };
        let _ = write!(
            out,
            "<tr><td>{} {}</td><td class=r>{}</td><td class=r>{next}</td><td class=r>{took}</td></tr>",
            step(place, fault, number),
            html(&fault.kind),
            instant(ended)
        );
    }
    out.push_str("</tbody></table></div>");
}

fn faults_within(run: &RunRecord, silence: &Silence, number: usize) -> String {
    let overlapping = (1..).zip(&run.faults).filter(|(_, fault)| {
        let ended = fault.ended_ns.unwrap_or(u64::MAX);
        fault.began_ns.is_some_and(|began| began <= silence.to_ns) && ended >= silence.from_ns
    });
    let named: Vec<String> =
        overlapping.map(|(place, fault)| format!("{} {}", step(place, fault, number), html(&fault.kind))).collect();
    if named.is_empty() { "<span class=faint>no fault</span>".to_owned() } else { named.join(", ") }
}

fn step(place: usize, fault: &crate::FaultRecord, number: usize) -> String {
    format!("<a class=number href=\"#run-{number}-fault-{place}\">{step}</a>", step = fault.step)
}
