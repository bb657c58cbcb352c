//! The scenario file: parse, check, schema, draw from ranges.

mod draw;
mod expect;
mod model;
mod target;

pub use draw::{DrawnStep, DrawnTarget, resolve};
pub use expect::{Comparison, Expect, Invariant, Limit, Metric, Quantile, Sometimes, Threshold};
pub use model::{
    AckMode, Action, ClientKind, Cluster, Consumers, DiskSpeed, Getters, Net, Partition, Placement, Publishers, Queue,
    QueueKind, Reset, Run, Scenario, Seeds, Spread, StallWhat, Step,
};
pub use target::Target;
