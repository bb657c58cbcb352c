//! Who leads what, and who votes in it, as the nodes themselves tell it: what `leader:Q` and its like are resolved
//! against.

use std::collections::BTreeMap;

use warren::platform::{GroupId, LogIndex, NodeId, Observation, Term};

/// The cluster as an all-seeing observer knows it.
#[derive(Default)]
pub struct ClusterView {
    groups: BTreeMap<String, GroupId>,
    /// The newest leader of each group, until it steps down or its node goes down.
    leaders: BTreeMap<GroupId, (Term, NodeId)>,
    /// The newest members of each group that any replica counts by: the index from which on, voters, learners.
    members: BTreeMap<GroupId, (LogIndex, [Vec<NodeId>; 2])>,
}

impl ClusterView {
    pub fn observe(&mut self, node: NodeId, observation: &Observation) {
        match observation {
            Observation::GroupOpened { group, queue } => {
                self.groups.insert(queue.clone(), *group);
            }
            Observation::BecameLeader { group, term } => {
                let newest = self.leaders.get(group).is_none_or(|(known, _)| known < term);
                if newest {
                    self.leaders.insert(*group, (*term, node));
                }
            }
            Observation::SteppedDown { group, .. } => {
                self.leaders.retain(|led, (_, leader)| led != group || *leader != node);
            }
            Observation::Members { group, index, voters, learners } => {
                let newest = self.members.get(group).is_none_or(|(known, _)| known < index);
                if newest {
                    self.members.insert(*group, (*index, [voters.to_vec(), learners.to_vec()]));
                }
            }
            _ => {}
        }
    }

    pub fn node_down(&mut self, node: NodeId) {
        self.leaders.retain(|_, (_, leader)| *leader != node);
    }

    /// Who votes in the queue called `name`, and who follows it without a vote; `None` before it is declared.
    pub fn members(&self, name: &str) -> Option<[Vec<NodeId>; 2]> {
        self.members.get(self.groups.get(name)?).map(|(_, members)| members.clone())
    }

    /// The cluster's members, sorted; `None` before any node has told of them.
    pub fn cluster(&self) -> Option<Vec<NodeId>> {
        let (_, [voters, learners]) = self.members.get(&GroupId::META)?;
        let mut nodes: Vec<NodeId> = voters.iter().chain(learners).copied().collect();
        nodes.sort_unstable();
        Some(nodes)
    }

    /// The leader of the queue called `name`, if there is one now.
    pub fn leader(&self, name: &str) -> Option<NodeId> {
        self.leaders.get(self.groups.get(name)?).map(|(_, leader)| *leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_of_the_newest_term_counts_even_while_an_older_one_has_not_noticed() {
        let mut view = ClusterView::default();
        let group = GroupId(2);
        view.observe(NodeId(1), &Observation::GroupOpened { group, queue: "orders".into() });
        view.observe(NodeId(1), &Observation::BecameLeader { group, term: Term(1) });
        view.observe(NodeId(2), &Observation::BecameLeader { group, term: Term(2) });
        view.observe(NodeId(1), &Observation::SteppedDown { group, term: Term(1) });
        assert_eq!(view.leader("orders"), Some(NodeId(2)));
        view.node_down(NodeId(2));
        assert_eq!(view.leader("orders"), None);
    }
}
