//! Faults that do something again and again until they end.

use std::{collections::VecDeque, mem, time::Duration};

use warren::platform::NodeId;

use super::{
    Nemesis,
    holds::{Grip, Thing},
    wording::Named,
};
use crate::{
    history::{Nanos, NodeDown},
    scenario::{Action, ClientTrouble, Errand},
};

/// What an active fault does at its next beat.
pub(super) struct Pulse {
    next: Nanos,
    beat: Beat,
}

enum Beat {
    /// Cuts these links, or joins them again.
    Flap {
        links: Vec<Thing>,
        half: Duration,
    },
    Churn {
        client: String,
        every: Duration,
    },
    /// Takes the next node down, or starts the one that is down.
    Rolling {
        left: VecDeque<NodeId>,
        down: Duration,
        pause: Duration,
    },
    /// Looks whether the operator is back.
    Errand {
        node: NodeId,
        errand: Errand,
    },
}

impl Pulse {
    /// Whom the operator is out for, and what to do.
    pub(super) fn errand(&self) -> Option<(NodeId, Errand)> {
        match self.beat {
            Beat::Errand { node, errand } => Some((node, errand)),
            Beat::Flap { .. } | Beat::Churn { .. } | Beat::Rolling { .. } => None,
        }
    }
}

impl Nemesis {
    /// What an action that has begun goes on to do, beginning now.
    pub(super) fn pulse(&mut self, fault: u32, action: &Action<Named>) -> Option<Pulse> {
        let beat = match action {
            Action::Flap { isolate, period } => {
                let outside = self.nodes.keys().copied().filter(|node| !isolate.nodes.contains(node)).collect();
                let links = self.links_between(&[isolate.nodes.clone(), outside]);
                Beat::Flap { links, half: (*period / 2).max(Duration::from_nanos(1)) }
            }
            Action::Client { client, trouble: ClientTrouble::Churn { every } } => {
                Beat::Churn { client: client.clone(), every: *every }
            }
            Action::RollingRestart { node, down, pause } => {
                Beat::Rolling { left: node.nodes.iter().copied().collect(), down: *down, pause: *pause }
            }
            Action::Operate { node, errand } if self.operate(fault, node, *errand) => {
                Beat::Errand { node: node.nodes[0], errand: *errand }
            }
            _ => return None,
        };
        Some(Pulse { next: self.world.now(), beat })
    }

    /// Does what is due of all active faults, and ends those that have no more to do.
    pub(super) fn beat(&mut self, now: Nanos) {
        for position in 0..self.active.len() {
            let fault = self.active[position].fault;
            let Some(Pulse { next, mut beat }) = self.active[position].pulse.take_if(|pulse| pulse.next <= now) else {
                continue;
            };
            let things = mem::take(&mut self.active[position].things);
            let was_idle = things.is_empty();
            self.let_go(fault, things);
            let (things, after) = match &mut beat {
                Beat::Flap { links, half } if was_idle => (self.hold(fault, links.clone(), &Grip::Cut), Some(*half)),
                Beat::Flap { half, .. } => (Vec::new(), Some(*half)),
                Beat::Churn { client, every } => {
                    let machines = self.clients.get(client).cloned().unwrap_or_default();
                    self.break_streams(fault, &machines);
                    (Vec::new(), Some(*every))
                }
                Beat::Errand { node, errand } => {
                    let back = self.answered(fault, *node, *errand);
                    (Vec::new(), (!back).then_some(self.scenario.run.tick))
                }
                Beat::Rolling { left, pause, .. } if !was_idle => (Vec::new(), (!left.is_empty()).then_some(*pause)),
                Beat::Rolling { left, down, .. } => match left.pop_front() {
                    Some(node) => (self.take_down(fault, &[node], NodeDown::Killed), Some(*down)),
                    None => (Vec::new(), None),
                },
            };
            self.active[position].things = things;
            self.active[position].pulse =
                after.map(|after| Pulse { next: Nanos(next.0.max(now.0) + after.as_nanos() as u64), beat });
        }
        self.end_spent();
    }
}
