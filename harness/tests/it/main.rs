//! Ferret's integration tests, in one binary.

mod lapin_lockstep;
