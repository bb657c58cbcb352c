//! When nothing was confirmed although publishers waited, and how long after each fault's end the next confirm came.

use std::fmt::Write;

use crate::{
    EventLog, Outcome, RunRecord,
    escape::html,
    quantity::{duration, instant},
};

/// Only the longest silences are listed.
const SILENCES_MAX: usize = 8;
/// A silence is worth a line from this length on, and from so many times the usual confirm latency on.
const SILENCE_MIN_NS: u64 = 200_000_000;
const SILENCE_LATENCIES: u64 = 5;

/// A time in which publishers waited and nothing was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

/// All silences that are worth a line, in order of time. Only of the load, as the thresholds have it.
pub(super) fn silences(run: &RunRecord, log: &EventLog) -> Vec<Silence> {
    let usual = run.latency.confirm.map_or(0, |confirm| confirm.p50_ns);
    let least = SILENCE_MIN_NS.max(usual.saturating_mul(SILENCE_LATENCIES));
    // Publishes and outcomes in one order; a publish before an outcome of the same instant.
    let mut moments: Vec<(u64, u8)> = Vec::with_capacity(2 * log.publishes.len());
    for publish in &log.publishes {
        moments.push((publish.at_ns, 0));
        if let Some((outcome, at)) = publish.outcome {
            moments.push((at, if outcome == Outcome::Confirmed { 1 } else { 2 }));
        }
    }
    moments.sort_unstable();
    let mut found = Vec::new();
    let (mut waiting, mut since) = (0_u64, None);
    for (at_ns, what) in moments {
        match what {
            0 => {
                waiting += 1;
                since.get_or_insert(at_ns);
            }
            what => {
                waiting = waiting.saturating_sub(1);
                if what == 1 {
                    if let Some(from_ns) = since.take().filter(|from| at_ns - from >= least) {
                        found.push(Silence { from_ns, to_ns: at_ns });
                    }
                    since = (waiting > 0).then_some(at_ns);
                }
            }
        }
    }
    if let Some(from_ns) =
        since.filter(|from| waiting > 0 && run.timeline.end_ns - (*from).min(run.timeline.end_ns) >= least)
    {
        found.push(Silence { from_ns, to_ns: run.timeline.end_ns });
    }
    found
}

pub(super) fn table(run: &RunRecord, log: &EventLog, number: usize) -> String {
    let mut confirms: Vec<u64> = log
        .publishes
        .iter()
        .filter_map(|publish| match publish.outcome {
            Some((Outcome::Confirmed, at)) => Some(at),
            _ => None,
        })
        .collect();
    confirms.sort_unstable();
    if confirms.is_empty() {
        return String::new();
    }
    let mut longest = silences(run, log);
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
    recoveries(&mut out, run, &confirms, number);
    out.push_str("</section></div>\n");
    out
}

/// From the end of each fault to the next confirm.
fn recoveries(out: &mut String, run: &RunRecord, confirms: &[u64], number: usize) {
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
    for (place, fault, ended) in ended {
        let next = confirms.get(confirms.partition_point(|at| *at < ended));
        let (next, took) = match next {
            Some(next) => (instant(*next), format!("<b>{}</b>", duration(next - ended))),
            None => ("<span class=faint>none</span>".to_owned(), String::new()),
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
