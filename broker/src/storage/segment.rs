//! The files of the log: `wal-0000000001`, `wal-0000000002`, …, without holes.

use super::StorageError;
use crate::platform::{Disk, File, OpenMode};

const PREFIX: &str = "wal-";

/// One file of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) bytes: u64,
}

pub(super) fn name(number: u64) -> String {
    format!("{PREFIX}{number:010}")
}

pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    (digits.len() >= 10 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

/// The numbers of all segments on disk, rising by one.
pub(super) async fn list<D: Disk>(disk: &D) -> Result<Vec<u64>, StorageError> {
    let names = disk.list().await.map_err(StorageError::io("list", "the data folder"))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    // Segments are removed oldest first, each removal durable before the next: a hole is never our doing.
    match numbers.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        Some(pair) => Err(StorageError::Corrupt {
            file: name(pair[0] + 1),
            offset: 0,
            detail: "the file is missing between its neighbours".to_owned(),
        }),
        None => Ok(numbers),
    }
}

/// Creates segment `number`, empty. Its name is durable when this returns, so that nothing in it can be synced and
/// then vanish with the name.
pub(super) async fn create<D: Disk>(disk: &D, number: u64) -> Result<D::File, StorageError> {
    let name = name(number);
    let file = disk.open(&name, OpenMode::New).await.map_err(StorageError::io("create", &name))?;
    disk.sync_names().await.map_err(StorageError::io("sync the folder of", &name))?;
    Ok(file)
}

/// Removes segment `number`, durably, so that a power loss cannot leave a hole among several that are removed.
pub(super) async fn remove<D: Disk>(disk: &D, number: u64) -> Result<(), StorageError> {
    let name = name(number);
    disk.remove(&name).await.map_err(StorageError::io("remove", &name))?;
    disk.sync_names().await.map_err(StorageError::io("sync the folder of", &name))
}

/// Opens segment `number` and reads all of it.
pub(super) async fn read<D: Disk>(disk: &D, number: u64) -> Result<(D::File, Vec<u8>), StorageError> {
    let name = name(number);
    let file = disk.open(&name, OpenMode::Existing).await.map_err(StorageError::io("open", &name))?;
    let size = file.size().await.map_err(StorageError::io("measure", &name))?;
    let bytes = file.read_at(0, size as usize).await.map_err(StorageError::io("read", &name))?;
    if bytes.len() as u64 != size {
        return Err(StorageError::Corrupt {
            file: name,
            offset: bytes.len() as u64,
            detail: "a short read".to_owned(),
        });
    }
    Ok((file, bytes))
}
