//! Ferret: deterministic fault injection for Warren clusters.
//!
//! A scenario is run by [`run`] in a simulated world ([`sim`]), loaded by clients ([`workload`]), broken by
//! [`faults`], recorded as a [`history`], judged by [`check`]; [`gate`] says whether many
//! runs together are good enough.

pub mod check;
pub mod cli;
pub mod explain;
pub mod export;
pub mod faults;
pub mod gate;
pub mod history;
pub mod judge;
pub mod progress;
pub mod run;
pub mod scenario;
pub mod search;
pub mod sim;
mod visible;
pub mod workload;
