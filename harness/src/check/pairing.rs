//! Which channel of a node a client's channel is, and which message a delivery tag was.
//!
//! A client knows its channel by a name of the run, and messages by their publisher's; a node numbers both on its own.
//! The node tells where each channel's client connected from, and a client has one channel at a time: its channel is
//! the latest that it opened on that node.

use std::collections::BTreeMap;

use warren::platform::{GroupId, NodeId, Observation};

use super::ledger::{Ledger, Position};
use crate::history::{ChannelId, EventKind};

/// A message in its queue, at one of its attempts: how often it was put back before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Given {
    pub(crate) group: GroupId,
    pub(crate) message: u64,
    pub(crate) count: u32,
}

/// A client's channel as its node knows it.
pub(crate) struct Paired {
    pub(crate) node: NodeId,
    pub(crate) number: u64,
    pub(crate) opened: Position,
    /// What the node sent under each delivery tag.
    pub(crate) sent: BTreeMap<u64, Given>,
}

/// All client channels whose node told of them.
pub(crate) fn pair(ledger: &Ledger<'_>) -> BTreeMap<ChannelId, Paired> {
    let mut told: Vec<Paired> = Vec::new();
    // By the node's number for it, in the node's present life; and the latest of each client.
    let mut numbered: BTreeMap<(NodeId, u64), usize> = BTreeMap::new();
    let mut latest: BTreeMap<(NodeId, &str), usize> = BTreeMap::new();
    let mut pairs: BTreeMap<ChannelId, usize> = BTreeMap::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        match &event.kind {
            EventKind::Observed { node, observation: Observation::ChannelOpened { channel, client } } => {
                let client = client.rsplit_once(':').map_or(client.as_str(), |(host, _)| host);
                numbered.insert((*node, *channel), told.len());
                latest.insert((*node, client), told.len());
                told.push(Paired { node: *node, number: *channel, opened: at, sent: BTreeMap::new() });
            }
            EventKind::Observed {
                node,
                observation: Observation::Delivered { group, message, channel, count, tag },
            } => {
                if let Some(&index) = numbered.get(&(*node, *channel)) {
                    let given = Given { group: *group, message: *message, count: *count };
                    told[index].sent.insert(*tag, given);
                }
            }
            EventKind::ChannelOpened { client, channel, node, .. } => {
                let name = ledger.history.clients.get(client.0 as usize).map_or("", String::as_str);
                if let Some(index) = latest.remove(&(*node, name)) {
                    pairs.insert(*channel, index);
                }
            }
            _ => {}
        }
    }
    let mut told: Vec<Option<Paired>> = told.into_iter().map(Some).collect();
    pairs.into_iter().filter_map(|(channel, index)| Some((channel, told[index].take()?))).collect()
}
