//! How a publisher behaves, as faults have it: between the nemesis, who bids, and the publisher, who does and counts.
//!
//! Models: a client that closes its channel, or has it closed, behind publishes that have no answer yet, and one that
//! goes on sending when its broker asks it to hold back. Does not model lapin doing so: it holds publishes back by
//! itself, and our link to it does not offer its channels' close.

use std::{cell::Cell, time::Duration};

use crate::scenario::ChannelEnd;

/// One publisher's conduct. It outlasts the client's process.
#[derive(Default)]
pub struct Conduct {
    /// Its channel is to end like this, so often.
    ends: Cell<Option<(ChannelEnd, Duration)>>,
    /// When it last ended like this, on the client's clock, since it was bidden to.
    ended: Cell<Option<Duration>>,
    ignores_flow: Cell<bool>,
    /// Channels that ended so.
    channels: Cell<u64>,
    /// Publishes that it should have held back.
    forced: Cell<u64>,
}

impl Conduct {
    /// Lets the channel end like this, so often; `None` lets it be.
    pub fn end_channels(&self, how: Option<(ChannelEnd, Duration)>) {
        self.ends.set(how);
        self.ended.set(None);
    }

    /// Lets the publisher heed no limit, neither the broker's nor its own; or heed them again.
    pub fn ignore_flow(&self, ignores: bool) {
        self.ignores_flow.set(ignores);
    }

    /// How many channels ended so.
    pub fn channels_ended(&self) -> u64 {
        self.channels.get()
    }

    /// How many publishes were made although broker or window forbade them.
    pub fn forced(&self) -> u64 {
        self.forced.get()
    }

    /// How the channel is to end now, if it is: to be done right behind a publish.
    pub(super) fn take_end(&self, now: Duration) -> Option<ChannelEnd> {
        let (how, every) = self.ends.get()?;
        if self.ended.get().is_some_and(|last| now.saturating_sub(last) < every) {
            return None;
        }
        self.ended.set(Some(now));
        Some(how)
    }

    /// A channel has ended so.
    pub(super) fn channel_ended(&self) {
        self.channels.set(self.channels.get() + 1);
    }

    /// Whether publishes are made that broker or window forbid.
    pub(super) fn ignores_flow(&self) -> bool {
        self.ignores_flow.get()
    }

    /// Such a publish was made.
    pub(super) fn forced_one(&self) {
        self.forced.set(self.forced.get() + 1);
    }
}
