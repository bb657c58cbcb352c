//! From a history to the picture's lanes: leaders, down times, connections, intensity.

use std::collections::BTreeMap;

use ferret_reports::{ClientLane, ConnectionSpan, DownSpan, LeaderSpan, OperationBucket, Timeline};
use warren::platform::{GroupId, NodeId, Observation};

use crate::history::{ChannelId, ClientId, Event, EventKind, History, MessageId, Nanos, NodeDown, PublishOutcome};

/// A client's name for people, and what it does.
pub struct ClientRole {
    pub name: String,
    /// "publisher", "consumer", "getter", "locker", "seeder" or "drain".
    pub role: &'static str,
}

/// The lanes of `history`. `bucket_ns` is that of the latency chart.
pub fn timeline(history: &History, roles: &[ClientRole], bucket_ns: u64) -> Timeline {
    let end = history.events.last().map_or(Nanos(0), |last| last.at);
    let mut lanes = Lanes {
        bucket_ns,
        timeline: Timeline {
            end_ns: end.0,
            nodes: history.nodes.iter().map(ToString::to_string).collect(),
            clients: roles
                .iter()
                .map(|role| ClientLane {
                    name: role.name.clone(),
                    role: role.role.into(),
                    connections: Vec::new(),
                    operations: Vec::new(),
                })
                .collect(),
            ..Timeline::default()
        },
        groups: BTreeMap::from([(GroupId::META, "meta".to_owned())]),
        leading: BTreeMap::new(),
        down: BTreeMap::new(),
        channels: BTreeMap::new(),
    };
    for event in &history.events {
        lanes.see(event);
    }
    lanes.timeline
}

struct Lanes {
    bucket_ns: u64,
    timeline: Timeline,
    groups: BTreeMap<GroupId, String>,
    /// Open leader spans, by index.
    leading: BTreeMap<(GroupId, NodeId), usize>,
    down: BTreeMap<NodeId, usize>,
    channels: BTreeMap<ChannelId, (ClientId, usize)>,
}

impl Lanes {
    fn see(&mut self, Event { at, kind }: &Event) {
        let at = *at;
        match kind {
            EventKind::ChannelOpened { client, channel, node, .. } => {
                let lane = &mut self.timeline.clients[client.0 as usize];
                self.channels.insert(*channel, (*client, lane.connections.len()));
                lane.connections.push(ConnectionSpan { from_ns: at.0, to_ns: None, node: node.to_string() });
            }
            EventKind::ChannelLost { channel, .. } => {
                if let Some((client, span)) = self.channels.get(channel) {
                    self.timeline.clients[client.0 as usize].connections[*span].to_ns = Some(at.0);
                }
            }
            EventKind::PublishOutcome { message: MessageId { publisher, .. }, outcome } => {
                self.count(*publisher, at, *outcome == PublishOutcome::Confirmed);
            }
            EventKind::Deliver { channel, delivery, .. }
            | EventKind::GetReply { channel, delivery: Some(delivery), .. } => {
                if let Some((client, _)) = self.channels.get(channel) {
                    self.count(*client, at, !delivery.redelivered);
                }
            }
            EventKind::NodeUp { node } => {
                if let Some(span) = self.down.remove(node) {
                    self.timeline.down[span].to_ns = Some(at.0);
                }
            }
            EventKind::NodeDown { node, how } => self.node_down(*node, at, *how),
            EventKind::Observed { node, observation } => self.observed(*node, at, observation),
            EventKind::LoadStopped => self.timeline.load_stopped_ns = Some(at.0),
            EventKind::Healed => self.timeline.healed_ns = Some(at.0),
            EventKind::DrainBegan => {
                self.timeline.drain_began_ns.get_or_insert(at.0);
            }
            _ => {}
        }
    }

    fn count(&mut self, client: ClientId, at: Nanos, ok: bool) {
        let bucket = u32::try_from(at.0 / self.bucket_ns).expect("few buckets");
        let operations = &mut self.timeline.clients[client.0 as usize].operations;
        if operations.last().is_none_or(|last| last.bucket != bucket) {
            operations.push(OperationBucket { bucket, ..OperationBucket::default() });
        }
        let last = operations.last_mut().expect("just pushed");
        if ok { last.ok += 1 } else { last.other += 1 }
    }

    fn node_down(&mut self, node: NodeId, at: Nanos, how: NodeDown) {
        for ((_, _), span) in self.leading.extract_if(.., |(_, leader), _| *leader == node) {
            self.timeline.leaders[span].to_ns = Some(at.0);
        }
        if self.down.contains_key(&node) {
            return;
        }
        self.down.insert(node, self.timeline.down.len());
        let how = match how {
            NodeDown::Killed => "killed",
            NodeDown::PowerLost => "lost power",
            NodeDown::Exited => "exited by itself",
        };
        self.timeline.down.push(DownSpan { node: node.to_string(), from_ns: at.0, to_ns: None, how: how.into() });
    }

    fn observed(&mut self, node: NodeId, at: Nanos, observation: &Observation) {
        match observation {
            Observation::GroupOpened { group, queue } => {
                self.groups.insert(*group, queue.clone());
            }
            Observation::BecameLeader { group, term } => {
                self.leading.insert((*group, node), self.timeline.leaders.len());
                self.timeline.leaders.push(LeaderSpan {
                    group: self.groups.get(group).cloned().unwrap_or_else(|| group.to_string()),
                    term: term.0,
                    node: node.to_string(),
                    from_ns: at.0,
                    to_ns: None,
                });
            }
            Observation::SteppedDown { group, .. } => {
                if let Some(span) = self.leading.remove(&(*group, node)) {
                    self.timeline.leaders[span].to_ns = Some(at.0);
                }
            }
            _ => {}
        }
    }
}
