//! Clients under load: publishers, consumers, getters, lockers, and the final drain.
//!
//! Each client is a machine of the simulation with one AMQP connection and one channel. It records what it does and
//! sees, honestly: an outcome that it cannot know is recorded as unknown.

pub mod body;
pub mod conduct;
pub mod consumer;
pub mod drain;
pub mod getter;
pub mod lapin;
pub mod lapin_link;
pub mod link;
pub mod lock;
pub mod native;
pub mod publisher;

use std::{cell::Cell, rc::Rc, time::Duration};

use warren::platform::{NodeId, Platform};

use self::link::{Link, LinkSetup};
use crate::{
    history::{ChannelId, ClientId, Delivery, EventKind, QueueId, recorder::Recorder},
    scenario::ClientKind,
};

/// How long a client waits before it dials the next node.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// How often a client looks whether the phase has changed.
const PHASE_POLL: Duration = Duration::from_millis(50);

/// Where the run stands; the clients follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Load,
    /// Publishers have stopped and wait for their last outcomes; consumers go on.
    Settle,
    /// Everyone has gone home but the drain.
    Drain,
    Done,
}

/// What all clients share.
pub struct Floor {
    pub recorder: Rc<Recorder>,
    pub phase: Cell<Phase>,
    /// Publishers and drains that still have something to wait for.
    pub busy: Cell<u32>,
    pub client_kind: ClientKind,
}

/// Who a client is and where it connects.
#[derive(Clone)]
pub struct Role {
    pub client: ClientId,
    pub queue: QueueId,
    pub setup: LinkSetup,
    /// Which node to try at the given attempt (0, 1, 2, …), with its address.
    pub choose: Rc<dyn Fn(usize) -> (NodeId, String)>,
}

impl Role {
    /// Dials node after node until one takes us, or until the phase reaches `until`.
    async fn connect<P: Platform>(
        &self,
        platform: &P,
        floor: &Floor,
        hop: &mut usize,
        until: Phase,
    ) -> Option<(Link, ChannelId, NodeId)> {
        while floor.phase.get() < until {
            let (node, address) = (self.choose)(*hop);
            *hop += 1;
            match Link::open(floor.client_kind, platform, &address, &self.setup).await {
                Ok(link) => return Some((link, floor.recorder.channel_opened(self.client, node), node)),
                Err(reason) => {
                    tracing::debug!(client = self.client.0, node = node.0, reason, "could not connect");
                    platform.sleep(RECONNECT_PAUSE).await;
                }
            }
        }
        None
    }
}

/// A channel whose end is recorded in any case: by [`Self::lost`], or when its client's process ends under it.
struct OpenChannel {
    floor: Rc<Floor>,
    id: ChannelId,
    is_lost: bool,
}

impl OpenChannel {
    fn new(floor: &Rc<Floor>, id: ChannelId) -> Self {
        Self { floor: Rc::clone(floor), id, is_lost: false }
    }

    fn lost(mut self, reason: String) {
        self.is_lost = true;
        self.floor.recorder.record(EventKind::ChannelLost { channel: self.id, reason });
    }
}

impl Drop for OpenChannel {
    fn drop(&mut self) {
        if !self.is_lost {
            let reason = "the client crashed".into();
            self.floor.recorder.record(EventKind::ChannelLost { channel: self.id, reason });
        }
    }
}

/// A received message as the history keeps it.
fn delivery(incoming: &link::Incoming) -> Delivery {
    Delivery {
        message: body::decode(&incoming.body),
        redelivered: incoming.redelivered,
        delivery_count: incoming.delivery_count,
        tag: incoming.tag,
    }
}
