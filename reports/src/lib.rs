//! The record of a Ferret run and its renderings: HTML, JUnit, Markdown, JSON.
//!
//! This crate runs nothing and judges nothing: it takes [`RunRecord`]s and makes them readable. Everything that comes
//! from outside (names, scenario text, explanations) passes through `escape` on its way into a document, and every
//! rendering is a pure function of its records, so equal runs give equal files.

mod annotations;
mod availability;
mod escape;
mod events;
mod finding;
mod gate;
mod history;
mod html;
mod junit;
mod markdown;
mod quantity;
mod record;
mod store;
mod sweep;
mod title;

pub use annotations::render_annotations;
pub use availability::{Attempt, Availability, Recovery, Silence};
pub use events::{
    Channel, DiskSample, EventLog, LinkSample, Outcome, Publish, Receipt, ReplicaEvent, ReplicaKind, Settled,
};
pub use gate::*;
pub use history::{HistoryOperation, HistoryRecord};
pub use html::{
    LinkedRun, POLICY as PAGE_POLICY, is_history_html, rejudge_run_html, render_calls_html, render_difference_html,
    render_history_html, render_overview_html, render_run_html, render_scenario_html, render_store_html,
};
pub use junit::{render_gate_junit, render_junit};
pub use markdown::{MARKDOWN_BYTES_MAX, render_gate_markdown, render_markdown};
pub use quantity::count as grouped;
pub use record::*;
pub use store::*;
pub use sweep::*;

/// The JSON schema of [`SweepRecord`], which is what `sweep.json` holds.
pub fn sweep_schema() -> serde_json::Value {
    schemars::schema_for!(SweepRecord).to_value()
}

/// The JSON schema of [`GateRecord`], which is what `gate.json` holds.
pub fn gate_schema() -> serde_json::Value {
    schemars::schema_for!(GateRecord).to_value()
}

/// The JSON schema of [`RunRecord`], which is what `run.json` holds.
pub fn record_schema() -> serde_json::Value {
    schemars::schema_for!(RunRecord).to_value()
}
