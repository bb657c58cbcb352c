//! Ferret's integration tests, in one binary.

mod cli;
mod lapin_lockstep;
mod scenario_errors;
