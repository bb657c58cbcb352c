//! The cluster's metadata as a pure state machine: exchanges, queues, bindings, and where a message goes.
//!
//! Every node applies the same commands in the same order and reaches the same state, so routing is a local read.
//! Nothing here knows of Raft, sockets, disks or time.

mod command;
mod exchange;
mod placement;
mod queue;
mod refusal;
mod state;

pub use command::{MetaCommand, MetaEffect, MetaOperation, MetaOutcome};
pub use exchange::{Exchange, ExchangeKind, ExchangeSpec};
pub use placement::{DEFAULT_GROUP_SIZE, Placement, place};
pub use queue::{QueueRecord, QueueSpec};
pub use refusal::{Refusal, RefusalCode};
pub use state::{MetaState, RestoreError};
