//! Waits for what the steps of a timeline wait for.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use crate::{
    history::{ClientId, Connection, EventKind, History, Settle},
    scenario::{Happening, Tally, Trigger},
};

/// What a history has shown so far, as far as triggers ask for it.
#[derive(Default)]
pub struct Watch {
    /// How many events it has looked at.
    seen: usize,
    /// Since when happenings count, as a position in the history; `None`: not yet.
    from: Option<usize>,
    counts: BTreeMap<Tally, u64>,
    happened: BTreeSet<Happening>,
    /// Queues by group, as indices.
    groups: BTreeMap<GroupId, usize>,
    /// Who led each queue last.
    leaders: BTreeMap<usize, NodeId>,
    connected: BTreeSet<ClientId>,
}

impl Watch {
    /// From the next look on, what happens counts.
    pub fn begin(&mut self, history: &History) {
        self.look(history);
        self.from = Some(self.seen);
    }

    /// Looks at what has been added to the history. Call it between ticks: what is recorded by then keeps its place.
    pub fn look(&mut self, history: &History) {
        for event in &history.events[self.seen..] {
            self.see(&event.kind, history);
            self.seen += 1;
        }
    }

    /// Whether what the trigger waits for has come.
    pub fn came(&self, trigger: &Trigger) -> bool {
        match trigger {
            Trigger::Reached(tally, count) => self.count(*tally) >= *count,
            Trigger::Happened(happening) => self.happened.contains(happening),
        }
    }

    pub fn count(&self, tally: Tally) -> u64 {
        self.counts.get(&tally).copied().unwrap_or(0)
    }

    fn see(&mut self, kind: &EventKind, history: &History) {
        match kind {
            EventKind::Publish { .. } => self.add(Tally::Published),
            EventKind::PublishOutcome { outcome: crate::history::PublishOutcome::Confirmed, .. } => {
                self.add(Tally::Confirmed);
            }
            EventKind::Deliver { queue, delivery, .. }
            | EventKind::GetReply { queue, delivery: Some(delivery), .. } => {
                self.add(Tally::Delivered);
                if delivery.redelivered {
                    self.happen(Happening::Redelivered(queue.0 as usize));
                }
            }
            EventKind::Settle { settle: Settle::Ack { .. }, .. } => self.add(Tally::Acked),
            EventKind::ChannelOpened { client, connection: Connection::New, .. } => {
                // "pub-2" is of the group "pub".
                let name = history.clients.get(client.0 as usize).and_then(|name| name.rsplit_once('-'));
                if let (false, Some((group, _))) = (self.connected.insert(*client), name) {
                    self.happen(Happening::Reconnected(group.to_owned()));
                }
            }
            EventKind::NodeDown { node, .. } => {
                self.happen(Happening::Down(Some(*node)));
                self.happen(Happening::Down(None));
            }
            EventKind::NodeUp { node } => {
                self.happen(Happening::Restarted(Some(*node)));
                self.happen(Happening::Restarted(None));
            }
            EventKind::Observed { node, observation } => self.observed(*node, observation, history),
            _ => {}
        }
    }

    fn observed(&mut self, node: NodeId, observation: &Observation, history: &History) {
        let of_queue = |group: &GroupId| self.groups.get(group).copied();
        match observation {
            Observation::GroupOpened { group, queue } => {
                let index = history.queues.iter().position(|name| name == queue);
                self.groups.extend(index.map(|index| (*group, index)));
            }
            Observation::BecameLeader { group, .. } => {
                if let Some(queue) = of_queue(group)
                    && self.leaders.insert(queue, node).is_some_and(|before| before != node)
                {
                    self.happen(Happening::LeaderChanged(queue));
                }
            }
            Observation::SnapshotInstalled { group, .. } => {
                if let Some(queue) = of_queue(group) {
                    self.happen(Happening::SnapshotInstalled(queue));
                }
            }
            Observation::Compacted { group, .. } => {
                if let Some(queue) = of_queue(group) {
                    self.happen(Happening::Compacted(queue));
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, tally: Tally) {
        *self.counts.entry(tally).or_default() += 1;
    }

    fn happen(&mut self, happening: Happening) {
        if self.from.is_some() {
            self.happened.insert(happening);
        }
    }
}

/// Why a step never began, once the run is over.
pub fn never_came(trigger: &Trigger, watch: &Watch, queue: impl Fn(usize) -> String) -> String {
    let never = match trigger {
        Trigger::Reached(tally, count) => {
            return format!(
                "its trigger never came: {} of {count} messages were {}",
                watch.count(*tally),
                tally.name()
            );
        }
        Trigger::Happened(happening) => match happening {
            Happening::LeaderChanged(of) => format!("the leader of {} did not change", queue(*of)),
            Happening::Redelivered(of) => format!("nothing of {} was redelivered", queue(*of)),
            Happening::SnapshotInstalled(of) => format!("no replica of {} received a snapshot", queue(*of)),
            Happening::Compacted(of) => format!("no log of {} was cut", queue(*of)),
            Happening::Down(Some(node)) => format!("{node} did not go down"),
            Happening::Down(None) => "no node went down".into(),
            Happening::Restarted(Some(node)) => format!("{node} was not restarted"),
            Happening::Restarted(None) => "no node was restarted".into(),
            Happening::Reconnected(group) => format!("no {group} client made another connection"),
        },
    };
    format!("its trigger never came: {never}")
}

/// The trigger as the end of a sentence: "once 1000 messages were confirmed".
pub fn once(trigger: &Trigger, queue: impl Fn(usize) -> String) -> String {
    match trigger {
        Trigger::Reached(tally, count) => format!("once {count} messages were {}", tally.name()),
        Trigger::Happened(happening) => match happening {
            Happening::LeaderChanged(of) => format!("once {} had another leader", queue(*of)),
            Happening::Redelivered(of) => format!("once a message of {} was redelivered", queue(*of)),
            Happening::SnapshotInstalled(of) => format!("once a replica of {} had received a snapshot", queue(*of)),
            Happening::Compacted(of) => format!("once a log of {} was cut", queue(*of)),
            Happening::Down(Some(node)) => format!("once {node} was down"),
            Happening::Down(None) => "once a node was down".into(),
            Happening::Restarted(Some(node)) => format!("once {node} was restarted"),
            Happening::Restarted(None) => "once a node was restarted".into(),
            Happening::Reconnected(group) => format!("once a {group} client had another connection"),
        },
    }
}
