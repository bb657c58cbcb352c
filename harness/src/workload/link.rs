//! One AMQP connection with one channel, as a client of the workload uses it: the part that `native` and `lapin`
//! have in common.

use warren::platform::Platform;

use super::{lapin_link::LapinLink, native::NativeLink};
use crate::{
    history::{PublishOutcome, Settle},
    scenario::{ChannelEnd, ClientKind},
};

/// What a client needs of its channel before it starts work.
#[derive(Clone, Debug)]
pub struct LinkSetup {
    /// Declared (idempotently) as a durable quorum queue.
    pub queue: String,
    /// Asked for by `x-quorum-initial-group-size`; `None` leaves it to the broker.
    pub group_size: Option<u32>,
    /// `confirm.select`.
    pub confirms: bool,
    /// `basic.qos`; 0 is unlimited.
    pub prefetch: u16,
}

/// What a link hears from its broker.
#[derive(Debug)]
pub enum LinkEvent {
    /// The publish with this tag (1, 2, 3, … per channel) has an outcome.
    Outcome {
        tag: u64,
        outcome: PublishOutcome,
    },
    /// An unroutable publish came back, with this body; its outcome follows as a confirm.
    Returned(Vec<u8>),
    Delivered(Incoming),
    /// The reply to [`Link::get`].
    Got(Option<Incoming>),
    /// Channel and connection are gone; nothing follows.
    Closed(String),
    /// The channel that [`Link::end_channel`] was to end is gone; the connection is there, for [`Link::reopen`].
    ChannelClosed(String),
    /// The channel that [`Link::reopen`] asked for is ready.
    Reopened,
    /// The broker asks not to publish for now.
    Blocked,
    /// Publishes may come again.
    Unblocked,
}

/// A message as it arrived.
#[derive(Debug)]
pub struct Incoming {
    pub tag: u64,
    pub redelivered: bool,
    /// From the `x-delivery-count` header.
    pub delivery_count: Option<u32>,
    pub body: Vec<u8>,
}

/// A live channel. All calls but [`Link::next`] return at once; what they cause arrives as a [`LinkEvent`].
pub enum Link {
    Native(NativeLink),
    Lapin(LapinLink),
}

impl Link {
    /// Connects to `address` and prepares the channel.
    ///
    /// # Errors
    /// In words, for the history: refused, timed out, reset, or closed by the broker with its reason.
    pub async fn open<P: Platform>(
        kind: ClientKind,
        platform: &P,
        address: &str,
        setup: &LinkSetup,
    ) -> Result<Self, String> {
        match kind {
            ClientKind::Native => NativeLink::open(platform, address, setup).await.map(Self::Native),
            ClientKind::Lapin => LapinLink::open(platform, address, setup).await.map(Self::Lapin),
        }
    }

    /// Publishes to `queue` through the default exchange, persistent and mandatory; gives the publish's tag.
    pub fn publish(&mut self, queue: &str, body: Vec<u8>) -> u64 {
        match self {
            Self::Native(link) => link.publish(queue, &body),
            Self::Lapin(link) => link.publish(queue, body),
        }
    }

    pub fn consume(&mut self, queue: &str, no_ack: bool) {
        match self {
            Self::Native(link) => link.consume(queue, no_ack),
            Self::Lapin(link) => link.consume(queue, no_ack),
        }
    }

    /// Asks for one message; at most one get may be under way.
    pub fn get(&mut self, queue: &str, no_ack: bool) {
        match self {
            Self::Native(link) => link.get(queue, no_ack),
            Self::Lapin(link) => link.get(queue, no_ack),
        }
    }

    pub fn settle(&mut self, tag: u64, settle: Settle) {
        match self {
            Self::Native(link) => link.settle(tag, settle),
            Self::Lapin(link) => link.settle(tag, settle),
        }
    }

    /// Ends the channel, as faults want it; `body` is what breaks off in the middle, if anything is to. Nothing may be
    /// published behind it unless the broker is to be the one that closes.
    ///
    /// # Panics
    /// For lapin, which no scenario asks this of.
    pub fn end_channel(&mut self, how: ChannelEnd, queue: &str, body: &[u8]) {
        match self {
            Self::Native(link) => link.end_channel(how, queue, body),
            Self::Lapin(_) => unreachable!("no scenario asks lapin for this"),
        }
    }

    /// Whether the channel takes publishes.
    pub fn takes_publishes(&self) -> bool {
        match self {
            Self::Native(link) => link.takes_publishes(),
            Self::Lapin(_) => true,
        }
    }

    /// Whether the channel has ended as [`Link::end_channel`] wanted it.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Native(link) => link.has_ended(),
            Self::Lapin(_) => false,
        }
    }

    /// Opens a channel in the place of one that [`Link::end_channel`] ended.
    ///
    /// # Panics
    /// As above.
    pub fn reopen(&mut self, setup: &LinkSetup) {
        match self {
            Self::Native(link) => link.reopen(setup),
            Self::Lapin(_) => unreachable!("no scenario asks lapin for this"),
        }
    }

    pub async fn next(&mut self) -> LinkEvent {
        match self {
            Self::Native(link) => link.next().await,
            Self::Lapin(link) => link.next().await,
        }
    }

    /// Says goodbye properly and waits until the broker has answered or the connection is lost.
    pub async fn close(&mut self) {
        match self {
            Self::Native(link) => link.close().await,
            Self::Lapin(link) => link.close().await,
        }
    }
}
