//! Warren's parts from the outside, through their public interfaces.

mod amqp_protocol;
mod cluster;
mod memory_platform;
mod operator;
mod queue_model;
mod wal_recovery;
