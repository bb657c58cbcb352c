//! The task that owns the write-ahead log: one batch at a time, written, synced, reported.

use std::{fmt, time::Duration};

use tokio::sync::mpsc;

use super::inputs::Input;
use crate::{
    platform::{Chaos, Disk, GroupId, Platform, Sabotage},
    storage::{Record, StorageError, Wal},
};

/// The longest that a chaos point holds a sync: far less than a disk that stalls.
const FLUSH_DELAY_MAX: Duration = Duration::from_millis(100);

/// Why the log can take nothing more. The node must end: what its disk holds is unknown until it recovers.
#[derive(Debug)]
pub struct LogError(pub StorageError);

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the write-ahead log failed: {}", self.0)
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// What the log says after each batch.
pub(crate) struct Persisted {
    /// Groups whose old records keep segments alive: a new snapshot of each lets the log shrink.
    pub pinning: Vec<GroupId>,
}

/// Writes the batches that arrive on `batches`, and reports each one's sync, until the first error.
pub(crate) async fn run<P: Platform>(
    platform: P,
    mut wal: Wal<P::Disk>,
    mut batches: mpsc::UnboundedReceiver<Vec<Record>>,
    inputs: mpsc::UnboundedSender<Input>,
) {
    while let Some(mut records) = batches.recv().await {
        if platform.chance(Chaos::BatchSplit)
            && let Some(rest) = second_half(&mut records)
        {
            if let Err(error) = write_durably(&mut wal, &records).await {
                return report(&inputs, Input::LogFailed(LogError(error)));
            }
            records = rest;
        }
        let early = platform.sabotaged(Sabotage::ConfirmBeforeSync);
        let written = wal.write(&records).await;
        if early && written.is_ok() {
            report(&inputs, Input::Persisted(Persisted { pinning: wal.pinning_groups() }));
        }
        if platform.chance(Chaos::FlushLate) {
            platform.sleep(Chaos::spell(&platform, FLUSH_DELAY_MAX)).await;
        }
        let synced = match written {
            Ok(()) if platform.sabotaged(Sabotage::SkipSync) => Ok(()),
            Ok(()) => wal.sync().await,
            Err(error) => Err(error),
        };
        match synced {
            Ok(()) if early => {}
            Ok(()) => report(&inputs, Input::Persisted(Persisted { pinning: wal.pinning_groups() })),
            Err(error) => return report(&inputs, Input::LogFailed(LogError(error))),
        }
    }
}

async fn write_durably<D: Disk>(wal: &mut Wal<D>, records: &[Record]) -> Result<(), StorageError> {
    wal.write(records).await?;
    wal.sync().await
}

/// Cuts off what comes after the first group's records, if there is more: one group's log does not wait for another's,
/// but what one ready of a group writes belongs together.
fn second_half(records: &mut Vec<Record>) -> Option<Vec<Record>> {
    let first = records.first()?.group();
    let border = records.iter().position(|record| record.group() != first)?;
    Some(records.split_off(border))
}

/// A driver that is gone needs no report.
fn report(inputs: &mpsc::UnboundedSender<Input>, input: Input) {
    inputs.send(input).ok();
}
