//! Observations as log events: rare turns of events at `info`, one line per log entry or message only at `trace`.

use crate::platform::{NodeId, Observation};

pub(super) fn observation(node: NodeId, observation: &Observation) {
    match observation {
        Observation::Fatal { reason } => tracing::error!(%node, reason, "cannot go on"),
        Observation::Started { .. }
        | Observation::BecameLeader { .. }
        | Observation::SteppedDown { .. }
        | Observation::Members { .. }
        | Observation::ChangeBegan { .. }
        | Observation::GroupOpened { .. }
        | Observation::GroupClosed { .. } => tracing::info!(%node, ?observation),
        Observation::Recovered(_)
        | Observation::EnteredTerm { .. }
        | Observation::ChannelOpened { .. }
        | Observation::ConsumerAttached { .. }
        | Observation::ConsumerDetached { .. }
        | Observation::VoteGranted { .. }
        | Observation::Whole { .. }
        | Observation::SnapshotInstalled { .. }
        | Observation::Compacted { .. } => tracing::debug!(%node, ?observation),
        Observation::Appended { .. }
        | Observation::Persisted { .. }
        | Observation::AppendAcknowledged { .. }
        | Observation::Committed { .. }
        | Observation::Applied { .. }
        | Observation::Settled { .. }
        | Observation::Assigned { .. }
        | Observation::Requeued { .. }
        | Observation::Delivered { .. }
        | Observation::Enqueued { .. }
        | Observation::HardStatePersisted { .. } => tracing::trace!(%node, ?observation),
    }
}
