//! The client channels of this node, and what each hears.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;

use super::ChannelEvent;
use crate::platform::GroupId;

#[derive(Default)]
pub(super) struct Channels {
    last: u64,
    open: BTreeMap<u64, Channel>,
}

struct Channel {
    events: mpsc::UnboundedSender<ChannelEvent>,
    /// The groups that the channel has used, which may hold something for it.
    groups: BTreeSet<GroupId>,
}

impl Channels {
    /// Opens a channel with an id that this session never used before.
    pub(super) fn open(&mut self) -> (u64, mpsc::UnboundedReceiver<ChannelEvent>) {
        let (events, receiver) = mpsc::unbounded_channel();
        self.last += 1;
        self.open.insert(self.last, Channel { events, groups: BTreeSet::new() });
        (self.last, receiver)
    }

    /// Closes a channel; returns the groups that it used.
    pub(super) fn close(&mut self, channel: u64) -> BTreeSet<GroupId> {
        self.open.remove(&channel).map(|channel| channel.groups).unwrap_or_default()
    }

    pub(super) fn uses(&mut self, channel: u64, group: GroupId) {
        if let Some(channel) = self.open.get_mut(&channel) {
            channel.groups.insert(group);
        }
    }

    /// Tells a channel; one that is closed, or whose client is gone, hears nothing.
    pub(super) fn tell(&self, channel: u64, event: ChannelEvent) {
        if let Some(channel) = self.open.get(&channel) {
            channel.events.send(event).ok();
        }
    }

    /// The group is gone: every channel that used it hears so.
    pub(super) fn queue_deleted(&mut self, group: GroupId) {
        for channel in self.open.values_mut() {
            if channel.groups.remove(&group) {
                channel.events.send(ChannelEvent::QueueDeleted { group }).ok();
            }
        }
    }
}
