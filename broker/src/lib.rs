//! Warren: a clustered AMQP 0-9-1 broker with Raft-replicated quorum queues.
//!
//! The crate never names a socket, a file, a clock, a thread or a source of chance: all of them come in through
//! [`platform::Platform`], so the same compiled broker runs on a real machine and inside a simulation.
//!
//! Arrows point one way: `amqp → routing → cluster → replication → {queue, storage} → platform`.

pub mod amqp;
pub mod cluster;
pub mod node;
pub mod platform;
pub mod queue;
pub mod replication;
pub mod routing;
pub mod session;
pub mod storage;
