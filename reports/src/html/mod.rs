//! The report: one self-contained page that works from `file://` and asks nothing of any network.
//!
//! The page is complete without its script, which only adds the time cursor, copying, and opening what is linked to.
//! Verdicts come first, then their witnesses, then what happened, then the numbers.

mod axis;
mod charts;
mod history;
mod overview;
mod run;
mod tables;
mod timeline;
mod witness;

pub use history::render_history_html;

use crate::{InvariantVerdict, RunRecord, Verdict, escape::html, finding, quantity::count};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Scripts and styles are the page's own; nothing is ever fetched.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// Renders runs as one HTML page: a single run in full, several under an overview, failures opened.
pub fn render_html(runs: &[RunRecord]) -> String {
    let (title, body) = match runs {
        [only] => (format!("{}: {}", finding::word(only.verdict), only.scenario.name), run::alone(only)),
        many => (finding::overall(many), many_runs(many)),
    };
    page(&title, &body)
}

/// The frame of every page. `title` is any text, `body` is markup.
fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n<meta http-equiv=Content-Security-Policy \
         content=\"{POLICY}\">\n<meta name=viewport content=\"width=device-width, initial-scale=1\">\n<meta \
         name=color-scheme content=\"light dark\">\n<title>{} · Ferret</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        html(title)
    )
}

fn many_runs(runs: &[RunRecord]) -> String {
    let mut out = overview::overview(runs);
    // What needs attention comes first; each run keeps its number.
    let (failed, passed): (Vec<_>, Vec<_>) = runs.iter().zip(1..).partition(|(run, _)| run.verdict != Verdict::Pass);
    for (run, number) in failed.into_iter().chain(passed) {
        out.push_str(&run::collapsed(run, number));
    }
    out
}

/// How a verdict looks: the class that colours it. The word and the icon always stand beside the colour.
fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "good",
        Verdict::Violated | Verdict::NotDeterministic | Verdict::Internal | Verdict::Regression => "bad",
        Verdict::Threshold | Verdict::Undecided | Verdict::Incomplete => "warn",
        Verdict::Vacuous => "void",
    }
}

fn invariant_tone(verdict: InvariantVerdict) -> &'static str {
    match verdict {
        InvariantVerdict::Holds => "good",
        InvariantVerdict::Violated => "bad",
        InvariantVerdict::Undecided | InvariantVerdict::NotRecoverable => "warn",
        InvariantVerdict::Vacuous => "void",
    }
}

/// A verdict's shape: what is known to be too much or too little gets an exclamation mark, not a question mark.
fn verdict_icon(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Threshold | Verdict::Incomplete => icon("over"),
        other => icon(tone(other)),
    }
}

/// A shape for each tone, so that colour is never alone: check, cross, question mark, empty circle.
fn icon(tone: &str) -> &'static str {
    match tone {
        "good" => "<svg class=icon viewBox=\"0 0 16 16\" aria-hidden=true><path d=\"M3 8.5l3.4 3.4L13 4.8\"/></svg>",
        "bad" => "<svg class=icon viewBox=\"0 0 16 16\" aria-hidden=true><path d=\"M4 4l8 8M12 4l-8 8\"/></svg>",
        "warn" => {
            "<svg class=icon viewBox=\"0 0 16 16\" aria-hidden=true><path d=\"M5.2 5.6a2.8 2.8 0 1 1 4.4 2.3c-1 .7-1.6 \
             1.2-1.6 2.2M8 13v.2\"/></svg>"
        }
        "over" => "<svg class=icon viewBox=\"0 0 16 16\" aria-hidden=true><path d=\"M8 3v6.2M8 12.9v.2\"/></svg>",
        _ => "<svg class=icon viewBox=\"0 0 16 16\" aria-hidden=true><circle cx=8 cy=8 r=4.6 /></svg>",
    }
}

fn badge(verdict: Verdict) -> String {
    let tone = tone(verdict);
    format!("<span class=\"badge {tone}\">{}{}</span>", verdict_icon(verdict), finding::word(verdict))
}

/// `n things`, or just the number when the thing has no name.
fn checked(n: u64, unit: &str) -> String {
    format!("<b>{}</b> {}", count(n), html(unit))
}
