//! Whose folder this is, which disk of that node, and how often the node has started on it: each start is a new session
//! with every group.
//!
//! A disk gets a random identity when its folder is begun. It tells others that a node came back without what it had
//! promised: the same node, another disk.
//!
//! A count that begins anew on an empty disk must not meet sessions of the disk before it: to the groups they would be
//! the same, and what the new one does would be dropped as already applied. So it begins at the time of day.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{StorageError, segment};
use crate::platform::{Disk, File, NodeId, OpenMode};

const NAME: &str = "incarnation";
const NAME_NEW: &str = "incarnation.new";
/// The counter, the node and the disk (8 bytes each, little endian) and the CRC32C of these (4 bytes).
const LEN: usize = 28;

/// A data folder from its first start on. One that was emptied is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskId(pub u64);

/// One start of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    pub incarnation: u64,
    pub disk: DiskId,
}

/// Counts one start of `node`: never a number that an earlier call returned, and always a higher one, if the first call
/// for each disk is given a later time of day than those for the disks before it. The first call on a disk names it by
/// `random`. Both are durable before this returns.
///
/// # Errors
/// [`StorageError::Corrupt`] when the counter's file does not hold what was written to it, or is gone while there is a
/// log: to guess could give two runs the same session, and the second one's operations would be dropped as already
/// applied. [`StorageError::Foreign`] when the folder is another node's, whose promises this one would break.
pub async fn next_start<D: Disk>(
    disk: &D,
    node: NodeId,
    time_of_day: Duration,
    random: u64,
) -> Result<Start, StorageError> {
    let names = disk.list().await.map_err(StorageError::io("list", "the data folder"))?;
    let next = if names.iter().any(|name| name == NAME) {
        let last = read(disk, node).await?;
        Start { incarnation: last.incarnation + 1, ..last }
    } else if let Some(log) = names.iter().find(|name| segment::number_of(name).is_some()) {
        return Err(corrupt(format!("it is not there, though its node has written {log}")));
    } else {
        Start { incarnation: first(time_of_day), disk: DiskId(random) }
    };
    // A rename replaces the counter at once or not at all; overwriting it in place could tear.
    let file = disk.open(NAME_NEW, OpenMode::CreateIfMissing).await.map_err(StorageError::io("open", NAME_NEW))?;
    file.write_at(0, &encode(next, node)).await.map_err(StorageError::io("write", NAME_NEW))?;
    file.sync().await.map_err(StorageError::io("sync", NAME_NEW))?;
    disk.rename(NAME_NEW, NAME).await.map_err(StorageError::io("rename to", NAME))?;
    disk.sync_names().await.map_err(StorageError::io("sync the folder of", NAME))?;
    Ok(next)
}

/// In milliseconds, so that no disk sees as many starts as lie between it and the next one.
fn first(time_of_day: Duration) -> u64 {
    u64::try_from(time_of_day.as_millis()).unwrap_or(u64::MAX / 2).max(1)
}

async fn read<D: Disk>(disk: &D, node: NodeId) -> Result<Start, StorageError> {
    let file = disk.open(NAME, OpenMode::Existing).await.map_err(StorageError::io("open", NAME))?;
    let bytes = file.read_at(0, LEN).await.map_err(StorageError::io("read", NAME))?;
    let number = |at: usize| bytes[at..].first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let whole = bytes.len() == LEN;
    let [incarnation, owner, id] = if whole { [number(0), number(8), number(16)] } else { [0; 3] };
    let (start, owner) = (Start { incarnation, disk: DiskId(id) }, NodeId(owner));
    if bytes != encode(start, owner) {
        return Err(corrupt("the count of starts does not match its checksum".to_owned()));
    }
    if owner != node {
        return Err(StorageError::Foreign { node, owner });
    }
    Ok(start)
}

fn corrupt(detail: String) -> StorageError {
    StorageError::Corrupt { file: NAME.to_owned(), offset: 0, detail }
}

fn encode(start: Start, node: NodeId) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&start.incarnation.to_le_bytes());
    bytes[8..16].copy_from_slice(&node.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&start.disk.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
