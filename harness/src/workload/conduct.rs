//! How a publisher behaves, as faults have it: between the nemesis, who bids, and the publisher, who does and counts.
//!
//! Models: a client that closes its channel, or has it closed, behind publishes that have no answer yet, and one that
//! goes on sending when its broker asks it to hold back. Only the native client can: libraries do not let one.

use std::{cell::Cell, time::Duration};

use crate::scenario::ChannelEnd;

/// One publisher's conduct. It outlasts the client's process.
#[derive(Default)]
pub struct Conduct {
    /// Its channel is to end like this, so often.
    ends: Cell<Option<(ChannelEnd, Duration)>>,
    /// When it last ended like this, on the client's clock, since it was bidden to.
    ended: Cell<Option<Duration>>,
    floods: Cell<bool>,
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

    /// Lets the publisher heed no limit, neither the broker's nor its own.
    pub fn flood(&self, floods: bool) {
        self.floods.set(floods);
    }

    /// How many channels ended as bidden.
    pub fn channels_ended(&self) -> u64 {
        self.channels.get()
    }

    /// How many publishes were made although broker or window forbade them.
    pub fn forced(&self) -> u64 {
        self.forced.get()
    }

    /// Whether the channel is to end now, and how: asked right behind a publish, and then done.
    pub(super) fn ends_now(&self, now: Duration) -> Option<ChannelEnd> {
        let (how, every) = self.ends.get()?;
        if self.ended.get().is_some_and(|last| now.saturating_sub(last) < every) {
            return None;
        }
        self.ended.set(Some(now));
        self.channels.set(self.channels.get() + 1);
        Some(how)
    }

    /// Whether a publish may be made that broker or window forbid; it is then.
    pub(super) fn forces(&self) -> bool {
        let floods = self.floods.get();
        self.forced.set(self.forced.get() + u64::from(floods));
        floods
    }

    pub(super) fn floods(&self) -> bool {
        self.floods.get()
    }
}
