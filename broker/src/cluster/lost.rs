//! Nodes that are silent for too long, or were removed: what their clients hold goes back to the queues.
//!
//! The leader of each queue decides, through the log, so that every replica takes it back at the same point. The node
//! itself learns of it when it catches up, and its channels hear [`super::ChannelEvent::Revoked`].

use super::{Inner, OPERATION_BYTES};
use crate::{
    platform::{Chaos, NodeId, Platform, Sabotage},
    queue::Operation,
};

/// How often to look, in ticks of the driver.
const TICKS_PER_LOOK: u64 = 10;

impl<P: Platform> Inner<P> {
    pub(super) fn give_up_lost_nodes(&self) {
        let ticks = self.ticks.get() + 1;
        self.ticks.set(ticks);
        if !ticks.is_multiple_of(TICKS_PER_LOOK) {
            return;
        }
        let limit = self.config.node_lost_after;
        let kept = |node| {
            self.platform.sabotaged(Sabotage::RemovedKeepsHeld) && self.meta.borrow().state.removed().contains(&node)
        };
        let suspected = self.suspect();
        let silent = |node| (self.links.silence(node) >= limit || suspected == Some(node)) && !kept(node);
        let any_silent = {
            let state = &self.meta.borrow().state;
            state.members().chain(state.removed().iter().copied()).any(silent)
        };
        if !any_silent || self.platform.sabotaged(Sabotage::NodeNeverLost) {
            return;
        }
        let mut found = false;
        for (&group, queue) in self.queues.borrow_mut().iter_mut() {
            if !self.leads(group) {
                continue;
            }
            for (lost, _) in queue.state.sessions().iter() {
                let told = |operation: &Operation| *operation == Operation::NodeLost { lost };
                if silent(lost.node) && queue.state.holds_for(lost) && !queue.pending.contains(told) {
                    tracing::info!(%group, %lost, "gave up a silent node: its messages go back to the queue");
                    queue.pending.push(Operation::NodeLost { lost }, OPERATION_BYTES);
                    found = true;
                }
            }
        }
        if found {
            self.flush();
        }
    }

    /// A node that chance makes look lost, although it is not.
    fn suspect(&self) -> Option<NodeId> {
        let members: Vec<NodeId> = self.meta.borrow().state.members().collect();
        let others: Vec<NodeId> = members.into_iter().filter(|node| *node != self.session.node).collect();
        let leads = self.queues.borrow().keys().any(|group| self.leads(*group));
        let suspected = leads && !others.is_empty() && self.platform.chance(Chaos::NodeSuspected);
        suspected.then(|| others[(self.platform.random() % others.len() as u64) as usize])
    }
}
