//! What can go wrong, where, when, and what it did.
//!
//! The nemesis walks the drawn timeline between the ticks of the simulation. Each step is applied to the simulated
//! world, undone when it ends, and leaves a record of its effect in the world's own counters: a fault that dropped no
//! packet, held no sync and hit no connection did nothing, and says so.

mod apply;
mod catalogue;
mod cluster_view;
mod effect;
mod holds;
mod nemesis;
mod operator;
mod pulse;
mod slowed;
mod watch;
mod wording;

pub use catalogue::{BEGINNINGS, CATALOGUE, Listed};
pub use cluster_view::ClusterView;
pub use holds::Conducts;
pub use nemesis::Nemesis;
pub use operator::Operator;
