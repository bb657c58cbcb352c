//! Exactly-once, in-order submission of commands to a replicated group.
//!
//! A session is one run of one node's process. It numbers the operations that it submits to a group 1, 2, 3, …; the
//! group's state machine remembers the last number it applied for each node and admits only the next ones. So a node
//! may resend whatever it has not yet seen applied, across any change of leader, and nothing is applied twice or out
//! of order.

use serde::{Deserialize, Serialize};

use crate::platform::NodeId;

/// One run of a node's process. Incarnations of a node rise with each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    pub node: NodeId,
    pub incarnation: u64,
}
