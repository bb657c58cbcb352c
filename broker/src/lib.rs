//! Warren: a clustered AMQP 0-9-1 broker with Raft-replicated quorum queues.
//!
//! Outside [`platform::real`], the crate never names a socket, a file, a clock, a thread or a source of chance: all of
//! them come in through [`platform::Platform`], so the same compiled broker runs on a real machine and inside a
//! simulation.

pub mod amqp;
pub mod cluster;
pub mod node;
pub mod operator;
pub mod platform;
pub mod queue;
pub mod replication;
pub mod routing;
pub mod session;
pub mod storage;
