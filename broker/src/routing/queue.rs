//! A queue as the metadata knows it: what was declared, and which Raft group carries it.

use serde::{Deserialize, Serialize};

use super::{Placement, Refusal};
use crate::platform::GroupId;

/// What a declaration asks of a queue, as far as a quorum queue can give it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSpec {
    /// `x-quorum-initial-group-size`, if the declaration had one.
    pub group_size: Option<u32>,
}

impl QueueSpec {
    /// # Errors
    /// 406 if a redeclaration names another group size than the queue was declared with.
    pub fn equivalent(&self, name: &str, current: &Self) -> Result<(), Refusal> {
        if self.group_size == current.group_size {
            return Ok(());
        }
        let words = |size: Option<u32>| size.map_or_else(|| "none".to_owned(), |size| size.to_string());
        Err(Refusal::inequivalent(
            "x-quorum-initial-group-size",
            "queue",
            name,
            words(self.group_size),
            words(current.group_size),
        ))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecord {
    pub group: GroupId,
    pub spec: QueueSpec,
    /// Whom the queue's group was founded with: where its log begins. Who its members are now, its log tells.
    pub placement: Placement,
}
