//! Warren's parts from the outside, through their public interfaces.

mod queue_model;
mod wal_recovery;
