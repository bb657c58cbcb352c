//! The page of a judged history: the verdict, and what each process did when, with what has no place marked.

use std::fmt::Write;

use super::{
    frame::{self, Kind},
    icon, invariant_tone,
};
use crate::{
    HistoryOperation, HistoryRecord,
    escape::html,
    quantity::{count, some},
};

const WIDTH: usize = 1080;
const MARGIN: usize = 110;
const ROW: usize = 26;

/// What stands above the verdict of these pages, and of no others.
const EYEBROW: &str = "<p class=eyebrow>Ferret history report</p>";

/// Whether [`render_history_html`] made this page, in this version or another.
pub fn is_history_html(page: &[u8]) -> bool {
    page.starts_with(b"<!doctype html>") && page.windows(EYEBROW.len()).any(|text| text == EYEBROW.as_bytes())
}

/// Renders a judged history as one self-contained HTML page.
pub fn render_history_html(record: &HistoryRecord) -> String {
    let tone = invariant_tone(record.verdict);
    let word = record.verdict.word();
    let why = record.explanation.as_ref().map_or(String::new(), |why| format!("<p class=why>{}</p>", html(why)));
    let body = format!(
        "<main class=run><header class=\"hero {tone}\">{EYEBROW}<h1><span \
         class=\"badge {tone}\">{icon}{word}</span> {path}</h1>{why}</header>\n<section><h3>{summary}</h3>\n{figure}\
         <p class=caption>{caption}</p></section>\n{table}</main>\n",
        icon = icon(tone),
        path = html(&record.path),
        summary = html(&record.summary),
        figure = figure(&record.operations),
        caption = caption(record),
        table = table(&record.operations),
    );
    frame::page(&format!("{word}: {}", record.path), Kind::History, &body)
}

fn caption(record: &HistoryRecord) -> String {
    format!(
        "{} of {} shown. A bar without an end is of unknown outcome: it may take effect at any later time, or never.",
        some(record.operations.len(), "operation"),
        count(record.total)
    )
}

/// A lane per process, in the order of their first operation; operations of one process at one time share rows.
fn figure(operations: &[HistoryOperation]) -> String {
    let mut processes: Vec<&str> = Vec::new();
    for operation in operations {
        if !processes.contains(&operation.process.as_str()) {
            processes.push(&operation.process);
        }
    }
    // Positions follow the order of the ends and starts: durations may differ by orders of magnitude.
    let mut instants: Vec<u64> =
        operations.iter().flat_map(|operation| [Some(operation.start), operation.end]).flatten().collect();
    instants.sort_unstable();
    instants.dedup();
    let step = (WIDTH - MARGIN) as f64 / (instants.len() + 1) as f64;
    let x = |at: u64| MARGIN as f64 + step * instants.partition_point(|instant| *instant < at) as f64;
    let mut lanes = String::new();
    let mut row = 0;
    for process in processes {
        let mut ends: Vec<f64> = Vec::new();
        let top = row;
        let _ = write!(lanes, "<text class=name x={} y={}>{}</text>", MARGIN - 8, row * ROW + 20, html(process));
        for operation in operations.iter().filter(|operation| operation.process == process) {
            let left = x(operation.start);
            let right = operation.end.map_or(WIDTH as f64, |end| x(end) + step * 0.6);
            let lane = ends.iter().position(|end| *end <= left).unwrap_or_else(|| {
                ends.push(0.0);
                ends.len() - 1
            });
            ends[lane] = right;
            bar(&mut lanes, operation, (left, right), (top + lane) * ROW);
        }
        row += ends.len();
        let y = row * ROW + 3;
        let _ = write!(lanes, "<line class=rule x1=0 x2={WIDTH} y1={y} y2={y} />");
    }
    let height = row * ROW + 6;
    format!(
        "<div class=figure><div class=scroll><svg style=\"--w:{WIDTH};--h:{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=img \
         aria-label=\"Operations per process\">{lanes}</svg></div></div>\n"
    )
}

fn bar(out: &mut String, operation: &HistoryOperation, (left, right): (f64, f64), top: usize) {
    let fill = match operation {
        HistoryOperation { offending: true, .. } => "var(--bad)",
        HistoryOperation { witness: true, .. } => "var(--n0)",
        _ => "var(--busy)",
    };
    let open = if operation.end.is_none() { " stroke-dasharray=\"4 3\"" } else { "" };
    let mark = if operation.offending { "✗ " } else { "" };
    let (label, place) = (html(&operation.label), html(&operation.place));
    // About six units a character; what does not fit is in the title and in the table.
    let fits = ((right - left) / 6.2) as usize;
    let text: String = format!("{mark}{}", operation.label).chars().take(fits).collect();
    let _ = write!(
        out,
        "<g><title>{label} ({place})</title><rect x={left:.1} y={} width={:.1} height=19 rx=3 fill=\"{fill}\" \
         fill-opacity=.22 stroke=\"{fill}\"{open} /><text x={:.1} y={}>{}</text></g>",
        top + 6,
        (right - left).max(2.0),
        left + 4.0,
        top + 20,
        html(&text)
    );
}

/// The operations that show the verdict.
fn table(operations: &[HistoryOperation]) -> String {
    let mut rows = String::new();
    for operation in operations.iter().filter(|operation| operation.witness) {
        let end = operation.end.map_or("unknown".to_owned(), count);
        let mark = if operation.offending { icon("bad") } else { "" };
        let _ = write!(
            rows,
            "<tr><td class=r>{}</td><td class=r>{end}</td><td>{}</td><td class=what>{mark}{}</td><td>{}</td></tr>",
            count(operation.start),
            html(&operation.process),
            html(&operation.label),
            html(&operation.place)
        );
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<section class=witness><h3>Witness</h3><div class=scroll><table><thead><tr><th class=r>start</th><th \
         class=r>end</th><th>process</th><th>operation</th><th>where</th></tr></thead><tbody>{rows}</tbody></table></div>\
         </section>\n"
    )
}
