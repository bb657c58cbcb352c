//! The report: one self-contained page that works from `file://` and asks nothing of any network.
//!
//! The verdict comes first, then the witness as a picture, then what happened on zoomable lanes, then the numbers. What
//! can be read without the page's script is written here; the script (`page/*.js`) draws the lanes and charts from the
//! packed events, and finds messages in them.

mod frame;
mod history;
mod losses;
mod names;
mod outcomes;
mod overview;
mod recovery;
mod regions;
mod run;
mod store;
mod sweep;
mod tables;
mod witness;

pub use frame::POLICY;
pub use history::{is_history_html, render_history_html};
pub use store::{render_calls_html, render_difference_html, render_scenario_html, render_store_html};

use crate::{EventLog, InvariantVerdict, RunRecord, Unmade, Verdict, escape::html, finding, quantity::count};

/// A run of an overview, and where its own page is, relative to the overview's.
#[derive(Clone, Copy, Debug)]
pub struct LinkedRun<'a> {
    pub record: &'a RunRecord,
    pub page: &'a str,
}

/// The page of one run, with all its events.
pub fn render_run_html(run: &RunRecord, events: &EventLog) -> String {
    run_page(run, &run::Events::of(run, events))
}

/// `page`, which [`render_run_html`] made for the same run, with a record that was judged anew. `None` if it is no such
/// page.
pub fn rejudge_run_html(page: &str, run: &RunRecord) -> Option<String> {
    regions::refill(&run_page(run, &run::Events::default()), page)
}

/// The page over many runs: the sweep's `verdict`, what failed, why, with which seeds.
pub fn render_overview_html(runs: &[LinkedRun<'_>], unmade: &Unmade, verdict: Verdict) -> String {
    let records: Vec<&RunRecord> = runs.iter().map(|run| run.record).collect();
    let title = finding::overall(&records, unmade, verdict);
    frame::page(&title, frame::Kind::Overview, &overview::overview(runs, unmade, verdict))
}

fn run_page(run: &RunRecord, events: &run::Events) -> String {
    let title = format!("{}: {}", finding::word(run.verdict), run.scenario.name);
    frame::page(&title, frame::Kind::Run, &run::alone(run, events))
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
