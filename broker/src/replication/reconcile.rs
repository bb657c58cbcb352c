//! Every group's members follow the cluster's: who leads a group adds what joined and takes out what was removed.
//!
//! Step by step, and from what is there now: whoever leads next goes on where the one before stopped. A node joins a
//! group as a learner; the metadata gives it a vote once it is caught up. A voter that is taken out is replaced by a
//! learner first if its group is odd: an even one survives no fewer failures without it. A leader that is to go hands
//! over first. A removed node follows the metadata, without a vote, until no queue has it any more: it may be the only
//! one that can hand a queue over, and has to know that it must, and to whom. Then its links end, and it is told why
//! when it dials.

use std::collections::BTreeSet;

use super::{Driver, Host, MemberChange, Refusal, group::Group, operate::heard_lately};
use crate::{
    platform::{GroupId, NodeId, Platform},
    storage::Members,
};

/// How often to look, in ticks of the driver.
const TICKS_PER_LOOK: u64 = 10;

/// What brings a group's members closer to the cluster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Change(MemberChange),
    Transfer(NodeId),
}

/// What the leader knows of another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Silent,
    Behind,
    Ready,
}

/// The next step, if there is one to take now. `own` leads; `all_vote`: no member stays a learner; `needed`: to follow
/// though it is not wanted.
fn next_step(
    members: &Members,
    wanted: &BTreeSet<NodeId>,
    needed: &BTreeSet<NodeId>,
    own: NodeId,
    all_vote: bool,
    health: impl Fn(NodeId) -> Health,
) -> Option<Step> {
    let Members { voters, learners } = members;
    let missing = wanted.iter().find(|node| !voters.contains(node) && !learners.contains(node));
    if let Some(&node) = missing {
        return Some(Step::Change(MemberChange::Learner(node)));
    }
    let followers = || learners.iter().copied().filter(|node| wanted.contains(node));
    let ready = || followers().find(|node| health(*node) == Health::Ready);
    if all_vote && let Some(node) = ready() {
        return Some(Step::Change(MemberChange::Voter(node)));
    }
    if let Some(&node) = learners.iter().find(|node| !wanted.contains(node) && !needed.contains(node)) {
        return Some(Step::Change(MemberChange::Gone(node)));
    }
    let mut gone: Vec<NodeId> = voters.iter().copied().filter(|node| !wanted.contains(node)).collect();
    // The leader itself goes last.
    gone.sort_by_key(|node| *node == own);
    let &node = gone.first()?;
    if !voters.len().is_multiple_of(2) {
        if let Some(successor) = ready() {
            return Some(Step::Change(MemberChange::Voter(successor)));
        }
        // One that is about to catch up is worth a wait.
        if followers().any(|node| health(node) == Health::Behind) {
            return None;
        }
    }
    if node == own {
        let heir = |node: &NodeId| wanted.contains(node) && health(*node) == Health::Ready;
        return voters.iter().copied().find(heir).map(Step::Transfer);
    }
    Some(Step::Change(if needed.contains(&node) { MemberChange::Learner(node) } else { MemberChange::Gone(node) }))
}

impl<P: Platform, H: Host> Driver<P, H> {
    /// Takes the next step in every group that this node leads. To be called at each tick.
    pub(super) fn reconcile(&mut self) {
        self.ticks += 1;
        if !self.ticks.is_multiple_of(TICKS_PER_LOOK) {
            return;
        }
        let wanted = self.host.members();
        let links = self.links.clone();
        let heard = |node| heard_lately(&links, node);
        let led: Vec<GroupId> = self.groups.iter().filter(|(_, group)| group.leads()).map(|(id, _)| *id).collect();
        for id in led {
            let needed = if id == GroupId::META { self.in_queues() } else { BTreeSet::new() };
            let group = self.groups.get_mut(&id).expect("listed a moment ago");
            let all_vote = id == GroupId::META;
            let health = |node: NodeId| match group.caught_up(node, heard) {
                Ok(()) => Health::Ready,
                Err(Refusal::Behind { .. }) => Health::Behind,
                Err(_) => Health::Silent,
            };
            let Some(step) = next_step(group.members(), &wanted, &needed, self.config.node, all_vote, health) else {
                continue;
            };
            let taken = match step {
                Step::Change(change) => group.begin_change(&self.platform, change, heard),
                Step::Transfer(to) => group.transfer(to, heard),
            };
            match taken {
                Ok(()) => tracing::info!(group = %id, ?step, "follows the cluster's members"),
                Err(refusal) => {
                    tracing::debug!(group = %id, ?step, %refusal, "cannot follow the cluster's members yet")
                }
            }
            self.look(id);
        }
        self.dismiss_removed();
    }

    /// Whoever has a replica of a queue; everybody, while some queues are not open yet.
    fn in_queues(&self) -> BTreeSet<NodeId> {
        let all_open = self.dormant.is_empty();
        let queues = self.groups.iter().filter(|(id, _)| **id != GroupId::META || !all_open);
        let members = queues.map(|(_, group)| group.members());
        members.flat_map(|Members { voters, learners }| voters.iter().chain(learners)).copied().collect()
    }

    fn dismiss_removed(&self) {
        for node in self.host.removed() {
            // In the metadata it is for the sake of the queues only.
            let has = |(id, group): (&GroupId, &Group)| {
                let Members { voters, learners } = group.members();
                voters.contains(&node) || *id != GroupId::META && learners.contains(&node)
            };
            if node != self.config.node && self.dormant.is_empty() && !self.groups.iter().any(has) {
                self.links.dismiss(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u64]) -> Vec<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    /// What n1, the leader, does next; `ready` are caught up, all others silent.
    fn next(voters: &[u64], learners: &[u64], wanted: &[u64], ready: &[u64], all_vote: bool) -> Option<Step> {
        let members = Members { voters: nodes(voters), learners: nodes(learners) };
        let health = |node: NodeId| if ready.contains(&node.0) { Health::Ready } else { Health::Silent };
        next_step(&members, &nodes(wanted).into_iter().collect(), &BTreeSet::new(), NodeId(1), all_vote, health)
    }

    const fn voter(node: u64) -> Option<Step> {
        Some(Step::Change(MemberChange::Voter(NodeId(node))))
    }

    const fn gone(node: u64) -> Option<Step> {
        Some(Step::Change(MemberChange::Gone(NodeId(node))))
    }

    #[test]
    fn what_joined_becomes_a_learner_and_in_the_metadata_a_voter_when_it_is_caught_up() {
        let learner = Some(Step::Change(MemberChange::Learner(NodeId(4))));
        assert_eq!(next(&[1, 2, 3], &[], &[1, 2, 3, 4], &[], true), learner);
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3, 4], &[], true), None);
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3, 4], &[4], true), voter(4));
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3, 4], &[4], false), None);
    }

    #[test]
    fn a_voter_that_goes_is_replaced_so_that_the_group_survives_as_many_failures() {
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 4], &[2, 4], false), voter(4));
        assert_eq!(next(&[1, 2, 3, 4], &[], &[1, 2, 4], &[2, 4], false), gone(3));
        assert_eq!(next(&[1, 2, 3], &[], &[1, 2], &[2], false), gone(3));
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 4], &[2], false), gone(3), "n4 is silent: nobody to wait for");
        assert_eq!(next(&[1, 2], &[3], &[1, 3], &[3], false), gone(2), "two survive no failure, nor does one");
    }

    #[test]
    fn a_leader_that_goes_hands_over_to_one_that_stays() {
        assert_eq!(next(&[1], &[2], &[2], &[2], false), voter(2));
        assert_eq!(next(&[1, 2], &[], &[2], &[2], false), Some(Step::Transfer(NodeId(2))));
        assert_eq!(next(&[1, 2], &[], &[2], &[], false), None);
        assert_eq!(next(&[1], &[], &[], &[], false), None, "the last one stays");
        assert_eq!(next(&[1, 2, 3, 4], &[], &[2, 4], &[2, 4], false), gone(3), "others go first");
    }

    #[test]
    fn who_is_removed_and_needed_by_a_queue_follows_without_a_vote_until_it_is_not() {
        let next = |voters: &[u64], learners: &[u64], needed: &[u64]| {
            let members = Members { voters: nodes(voters), learners: nodes(learners) };
            let set = |numbers| nodes(numbers).into_iter().collect();
            next_step(&members, &set(&[1, 2, 3]), &set(needed), NodeId(1), true, |_| Health::Ready)
        };
        let learner = Some(Step::Change(MemberChange::Learner(NodeId(4))));
        assert_eq!(next(&[1, 2, 3, 4], &[], &[1, 2, 3, 4]), learner);
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3, 4]), None);
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3]), gone(4));
    }

    #[test]
    fn what_is_as_wanted_is_left_alone() {
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3, 4], &[2, 3, 4], false), None);
        assert_eq!(next(&[1, 2, 3], &[4], &[1, 2, 3], &[2, 3, 4], false), gone(4));
    }
}
