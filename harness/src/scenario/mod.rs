//! The scenario file: parse, check, schema, draw from ranges.
//!
//! The way of a file: [`shape`] holds it against the JSON schema; [`file`] reads it with serde, its steps as
//! [`step_table`]s, each of its [`values`] with its place; [`check`] and [`steps`] turn it into a [`Scenario`] or into
//! [`Problem`]s with their places; [`Scenario::draw`] makes a concrete timeline of it for one seed. A scenario with a
//! [`swarm`] becomes another one first, with that seed's faults in it.

mod action;
mod check;
mod concrete;
mod draw;
mod expect;
mod file;
mod lockers;
mod model;
mod operator;
mod problem;
mod repro;
mod required;
pub(crate) mod shape;
mod step_table;
mod steps;
mod swarm;
mod target;
mod text;
mod trigger;
mod trouble;
mod values;
mod write;

pub use crate::check::Invariant;
pub use action::{Action, ChannelEnd, ClientTrouble, DiskError, Errand, Partition, Reset, StallWhat, Trouble, Weather};
pub(crate) use check::line_of;
pub use draw::{DrawnStep, DrawnTarget, resolve};
pub use expect::{Comparison, Expect, Limit, Metric, Quantile, Sometimes, Threshold};
pub use model::{
    AckMode, BACKLOG, ClientKind, Cluster, Consumers, DiskSpeed, Getters, Lockers, NAME_BYTES_MAX, Net, Placement,
    Publishers, Queue, QueueKind, Run, SPARES_MAX, Scenario, Seeds, Spread, Step, Take,
};
pub use problem::{Problem, is_no_scenario};
pub(crate) use problem::{Problems, suggestion};
pub use repro::{PANIC, Repro};
pub use swarm::{Kind as SwarmKind, Swarm};
pub use target::Target;
pub(crate) use text::{budget, limit};
pub use trigger::{HAPPENINGS, Happening, Repeat, Tally, Trigger};
pub(crate) use values::{At, Field, Name, names};

/// `5s`, `1.5ms`: a duration as scenario files write it.
///
/// # Errors
/// What is wrong with it, and how to write it.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, (String, String)> {
    text::duration(text).map_err(|wrong| (wrong.what, wrong.help))
}

/// The JSON schema of scenario files.
pub fn schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(file::File);
    schema.insert("title".to_owned(), "Ferret scenario".into());
    schema
}
