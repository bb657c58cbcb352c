//! The numbers of a run: faults, quantiles, messages, thresholds, "sometimes", and the scenario's text.

use std::fmt::Write;

use super::icon;
use crate::{
    Quantiles, RunRecord,
    escape::html,
    quantity::{count, duration, instant_short, some},
};

/// More faults than this scroll in a table of their own.
const MANY: usize = 16;

/// Each step: what it was, when, and what it really did.
pub(super) fn faults(run: &RunRecord, number: usize) -> String {
    if run.faults.is_empty() {
        return "<section><h3>No faults were scripted</h3></section>\n".to_owned();
    }
    let bit = run.faults.iter().filter(|fault| fault.bit).count();
    let title = match (run.faults.len(), bit) {
        (1, 1) => "The fault took effect".to_owned(),
        (all, bit) if all == bit => format!("All {all} faults took effect"),
        (all, bit) => format!("{} of {} had no effect", all - bit, some(all, "fault")),
    };
    let tall = if run.faults.len() > MANY { " tall" } else { "" };
    let mut out = format!(
        "<section><h3>{title}</h3><div class=\"scroll{tall}\"><table><thead><tr><th scope=col>Step</th><th scope=col>What</th>\
         <th scope=col>From</th><th scope=col>To</th><th scope=col>What it did</th><th scope=col>Effect</th><th \
         scope=col>Scenario</th></tr></thead><tbody>"
    );
    // A repeated step is several faults: each is named by its place.
    for (place, fault) in (1..).zip(&run.faults) {
        let (tone, word) = match (fault.bit, fault.may_miss) {
            (true, _) => ("good", "had effect"),
            (false, true) => ("void", "none, may miss"),
            (false, false) => ("bad", "no effect"),
        };
        let at = |ns: Option<u64>, missing: &str| ns.map_or(missing.to_owned(), instant_short);
        let _ = write!(
            out,
            "<tr id=run-{number}-fault-{place}><td><button type=button class=\"number{missed}\" data-fault={place} title=\"Show in the timeline\">{step}</button></td><td class=what><b>{kind}\
             </b> {description}</td><td class=r>{from}</td><td class=r>{to}</td><td class=what>{effect}</td><td \
             class=\"state {tone}\">{icon}{word}</td><td><a href=\"#run-{number}-line-{line}\">line {line}</a></td></tr>",
            step = fault.step,
            missed = if fault.bit { "" } else { " missed" },
            kind = html(&fault.kind),
            description = html(&fault.description),
            from = at(fault.began_ns, "never"),
            to = at(fault.ended_ns, if fault.began_ns.is_some() { "end" } else { "" }),
            effect = html(&fault.effect),
            icon = icon(tone),
            line = fault.line,
        );
    }
    out.push_str("</tbody></table></div></section>\n");
    out
}

/// Each chaos point, and how often the broker took its turn there.
pub(super) fn chaos(run: &RunRecord) -> String {
    if run.chaos.is_empty() {
        return String::new();
    }
    let fired: u64 = run.chaos.iter().map(|point| point.fired).sum();
    let points = run.chaos.iter().filter(|point| point.fired > 0).count();
    let mut rows = String::new();
    for point in &run.chaos {
        let class = if point.fired == 0 { " class=faint" } else { "" };
        let _ = write!(
            rows,
            "<tr{class}><th scope=row>{}</th><td class=what>{}</td><td class=r>{}</td><td class=r>{}</td></tr>",
            html(&point.point),
            html(&point.sentence),
            count(point.fired),
            count(point.asked)
        );
    }
    format!(
        "<section><h3>Chaos: {} at {} of {}</h3><div class=scroll><table><thead><tr><th scope=col>Point</th><th \
         scope=col>Turn</th><th scope=col class=r>taken</th><th scope=col class=r>of</th></tr></thead><tbody>{rows}\
         </tbody></table></div></section>\n",
        turns(fired),
        points,
        some(run.chaos.len(), "point"),
    )
}

fn turns(fired: u64) -> String {
    if fired == 1 { "1 rare turn".to_owned() } else { format!("{} rare turns", count(fired)) }
}

/// Latency over the whole run.
pub(super) fn quantiles(run: &RunRecord) -> String {
    let latency = &run.latency;
    let mut rows = String::new();
    let mut row = |name: &str, quantiles: Option<Quantiles>| {
        let _ = write!(rows, "<tr><th scope=row>{name}</th>");
        match quantiles {
            Some(q) => {
                for value in [q.p50_ns, q.p90_ns, q.p99_ns, q.max_ns] {
                    let _ = write!(rows, "<td class=r>{}</td>", duration(value));
                }
                let _ = write!(rows, "<td class=r>{}</td></tr>", count(q.count));
            }
            None => rows.push_str("<td colspan=5 class=faint>nothing to measure</td></tr>"),
        }
    };
    row("Publish to confirm", latency.confirm);
    row("Publish to delivery", latency.end_to_end);
    format!(
        "<section><h3>Latency over the whole run</h3><div class=scroll><table><thead><tr><th></th><th scope=col \
         class=r>p50</th><th scope=col class=r>p90</th><th scope=col class=r>p99</th><th scope=col class=r>max</th><th \
         scope=col class=r>count</th></tr></thead><tbody>{rows}</tbody></table></div><p class=caption>Longest time without \
         a confirm while publishes waited: <b>{}</b>. Longest recovery after a fault: <b>{}</b>.</p></section>\n",
        duration(latency.unavailable_max_ns),
        if latency.recovery_measured { duration(latency.recovery_max_ns) } else { "not measured".to_owned() }
    )
}

/// What became of the messages.
pub(super) fn messages(run: &RunRecord) -> String {
    let m = &run.messages;
    let mut out = String::from("<section><h3>Messages</h3><table class=figures><tbody>");
    let rows: [(&str, u64, &str); 9] = [
        ("published", m.published, "attempts handed to a socket"),
        ("confirmed", m.confirmed, ""),
        ("nacked", m.nacked, ""),
        ("returned", m.returned, ""),
        ("unknown", m.unknown, "no answer before the connection was lost"),
        ("delivered", m.delivered, "gets and drain included"),
        ("redelivered", m.redelivered, ""),
        ("settled", m.settled, "acks, rejects, nacks"),
        ("drained", m.drained, "found by the final drain"),
    ];
    for (name, n, note) in rows {
        let class = if n == 0 { " class=faint" } else { "" };
        let _ = write!(
            out,
            "<tr{class}><th scope=row>{name}</th><td class=r>{}</td><td class=faint>{note}</td></tr>",
            count(n)
        );
    }
    out.push_str("</tbody></table></section>\n");
    out
}

pub(super) fn thresholds(run: &RunRecord) -> String {
    if run.thresholds.is_empty() {
        return String::new();
    }
    let crossed = run.thresholds.iter().filter(|threshold| !threshold.held).count();
    let title = match crossed {
        0 => "All thresholds held".to_owned(),
        n => format!("{} crossed", some(n, "threshold")),
    };
    let mut out = format!(
        "<section><h3>{title}</h3><div class=scroll><table><thead><tr><th scope=col>Threshold</th><th scope=col \
         class=r>Measured</th><th scope=col class=r>Limit</th><th scope=col></th></tr></thead><tbody>"
    );
    for threshold in &run.thresholds {
        let (tone, word) = if threshold.held { ("good", "held") } else { ("bad", "crossed") };
        let _ = write!(
            out,
            "<tr><th scope=row>{}</th><td class=r>{}</td><td class=r>{}</td><td class=\"state {tone}\">{}{word}</td></tr>",
            html(&threshold.name),
            threshold.measured.as_deref().map_or("nothing to measure".to_owned(), html),
            html(&threshold.limit),
            icon(tone)
        );
    }
    out.push_str("</tbody></table></div></section>\n");
    out
}

pub(super) fn sometimes(run: &RunRecord) -> String {
    if run.sometimes.is_empty() {
        return String::new();
    }
    let missing = run.sometimes.iter().filter(|s| s.required && s.count == 0).count();
    let title = match missing {
        0 => "What should happen sometimes did".to_owned(),
        n => format!("{n} of what should happen sometimes never did"),
    };
    let mut out = format!(
        "<section><h3>{title}</h3><div class=scroll><table><thead><tr><th scope=col>Sometimes</th><th scope=col \
         class=r>Times</th><th scope=col></th></tr></thead><tbody>"
    );
    for sometimes in &run.sometimes {
        let (tone, word) = match (sometimes.count, sometimes.required) {
            (0, true) => ("bad", "never, required"),
            (0, false) => ("void", "never"),
            (_, true) => ("good", "reached, required"),
            (_, false) => ("good", "reached"),
        };
        let _ = write!(
            out,
            "<tr><th scope=row>{}</th><td class=r>{}</td><td class=\"state {tone}\">{}{word}</td></tr>",
            html(&sometimes.name),
            count(sometimes.count),
            icon(tone)
        );
    }
    out.push_str("</tbody></table></div></section>\n");
    out
}

/// The file's text with its fault lines marked.
pub(super) fn scenario(run: &RunRecord, number: usize) -> String {
    let mut lines = String::new();
    for (i, line) in run.scenario.text.lines().enumerate() {
        let line_number = i as u32 + 1;
        let mut steps: Vec<_> = (1..).zip(&run.faults).filter(|(_, fault)| fault.line == line_number).collect();
        steps.dedup_by_key(|(_, fault)| fault.step);
        let mark: String = steps
            .iter()
            .map(|(place, fault)| {
                let missed = if fault.bit { "" } else { " missed" };
                format!(
                    "<a class=\"number{missed}\" href=\"#run-{number}-fault-{place}\" aria-label=\"fault {step}\">{step}</a>",
                    step = fault.step
                )
            })
            .collect();
        let id =
            if steps.is_empty() { String::new() } else { format!(" id=run-{number}-line-{line_number} class=marked") };
        let _ = write!(
            lines,
            "<tr{id}><td class=ln>{line_number}</td><td class=mk>{mark}</td><td>{}</td></tr>",
            html(line)
        );
    }
    let tags: String =
        run.scenario.tags.iter().map(|tag| format!("<span class=tagname>{}</span>", html(tag))).collect();
    format!(
        "<section class=scenario><h3>The scenario</h3><p>{} {tags}</p><p class=caption><code>{}</code></p><div \
         class=\"scroll source\" tabindex=0><table><tbody>{lines}</tbody></table></div></section>\n",
        html(&run.scenario.description),
        html(&run.scenario.path)
    )
}
