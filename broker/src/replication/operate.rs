//! What an operator may ask of a group: who its members are, another leader, a voter more or less.
//!
//! The driver begins what it is asked for and answers at once; whether it came about shows in the group later.

use std::time::Duration;

use raft::{INVALID_ID, ProgressState};
use tokio::sync::oneshot;

use super::{Driver, DriverHandle, Host, Links, MemberChange, Refusal, group::Group, inputs::Input};
use crate::{
    platform::{GroupId, LogIndex, NodeId, Observation, Platform, Sabotage, Term},
    storage::Members,
};

/// A replica that lacks no more entries than this is caught up: it will have them before it is asked to vote.
const LAG_MAX: u64 = 64;

/// A node that is silent for longer is not counted on.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// A group as one of its replicas knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    pub leader: Option<NodeId>,
    pub term: Term,
    pub members: Members,
    /// This node leads it and is about to hand over.
    pub transferring: bool,
}

/// A question to the driver.
pub(crate) struct Question {
    group: GroupId,
    ask: Ask,
}

enum Ask {
    Status(oneshot::Sender<Option<GroupStatus>>),
    Transfer(NodeId, oneshot::Sender<Result<(), Refusal>>),
    Change(MemberChange, oneshot::Sender<Result<(), Refusal>>),
}

impl DriverHandle {
    /// The group as this node knows it, if it has it.
    pub async fn status(&self, group: GroupId) -> Option<GroupStatus> {
        let (answer, answered) = oneshot::channel();
        self.input(Input::Operate(Question { group, ask: Ask::Status(answer) }));
        // A driver that has ended answers nothing: the node is about to end too.
        answered.await.ok().flatten()
    }

    /// Lets `to` take the leadership of the group over from this node.
    ///
    /// # Errors
    /// Why not. Granted, it may still fail: the leader goes on if `to` has not taken over within an election timeout.
    pub async fn transfer_leader(&self, group: GroupId, to: NodeId) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.input(Input::Operate(Question { group, ask: Ask::Transfer(to, answer) }));
        answered.await.unwrap_or(Err(Refusal::NoGroup))
    }

    /// Begins a change of the group's members, which this node must lead.
    ///
    /// # Errors
    /// Why not. Granted, the change may still be lost with this leader.
    pub async fn change_members(&self, group: GroupId, change: MemberChange) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        self.input(Input::Operate(Question { group, ask: Ask::Change(change, answer) }));
        answered.await.unwrap_or(Err(Refusal::NoGroup))
    }
}

impl<P: Platform, H: Host> Driver<P, H> {
    /// Who asks may have stopped waiting.
    pub(super) fn operate(&mut self, Question { group: id, ask }: Question) {
        let links = self.links.clone();
        let heard = |node| heard_lately(&links, node);
        let group = self.groups.get_mut(&id);
        match ask {
            Ask::Status(answer) => drop(answer.send(group.map(|group| group.status()))),
            Ask::Transfer(to, answer) => {
                answer.send(group.ok_or(Refusal::NoGroup).and_then(|group| group.transfer(to, heard))).ok();
                self.look(id);
            }
            Ask::Change(change, answer) => {
                let begun = group.ok_or(Refusal::NoGroup).and_then(|group| {
                    let refusal = change.refusal(group.members()).filter(|_| group.leads());
                    refusal.map_or_else(|| group.begin_change(&self.platform, change, heard), Err)
                });
                answer.send(begun).ok();
                self.look(id);
            }
        }
    }

    /// Counts by the members that a committed change leaves, from this entry on.
    pub(super) fn apply_change(&mut self, id: GroupId, index: u64, change: MemberChange) {
        let group = self.groups.get_mut(&id).expect("a group is closed between rounds only");
        if self.platform.sabotaged(Sabotage::ForgetMembership) && index <= group.recovered_last {
            return;
        }
        let Members { voters, learners } = group.members();
        let joins = !voters.contains(&change.node()) && !learners.contains(&change.node());
        group.apply_change(change);
        tracing::info!(group = %id, ?change, "changed the members");
        if joins {
            // Whoever is new takes no snapshot that does not have it among the members.
            self.outdated.insert(id);
        }
        self.tell_members(id, LogIndex(index));
        let group = self.groups.get_mut(&id).expect("it was there a moment ago");
        if group.leads() && !group.members().voters.contains(&self.config.node) {
            group.hand_over();
        }
    }

    pub(super) fn tell_members(&self, id: GroupId, index: LogIndex) {
        let Members { voters, learners } = self.groups[&id].members().clone();
        let (voters, learners) = (voters.into(), learners.into());
        self.platform.observe(Observation::Members { group: id, index, voters, learners });
    }
}

/// Whether a node is there. Raft's own note of it is wiped at each check of the quorum, and so is often out of date.
pub(super) fn heard_lately(links: &Links, node: NodeId) -> bool {
    links.silence(node) <= SILENCE_MAX
}

impl Group {
    pub(crate) fn members(&self) -> &Members {
        self.node.store().members()
    }

    fn status(&self) -> GroupStatus {
        GroupStatus {
            leader: self.election.leader(),
            term: Term(self.node.raft.term),
            members: self.members().clone(),
            transferring: self.node.raft.lead_transferee.is_some(),
        }
    }

    pub(super) fn transfer(&mut self, to: NodeId, heard: impl Fn(NodeId) -> bool) -> Result<(), Refusal> {
        if !self.leads() {
            return Err(Refusal::NotLeader);
        }
        let members = self.members();
        if members.learners.contains(&to) {
            return Err(Refusal::NotAVoter(to));
        }
        if !members.voters.contains(&to) {
            return Err(Refusal::NotAMember(to));
        }
        if to.0 == self.node.raft.id {
            return Err(Refusal::LeadsAlready(to));
        }
        if self.node.raft.lead_transferee.is_some() {
            return Err(Refusal::Busy);
        }
        self.caught_up(to, heard)?;
        self.node.transfer_leader(to.0);
        Ok(())
    }

    /// Puts a change into the log, if the group can do with it.
    pub(super) fn begin_change<P: Platform>(
        &mut self,
        platform: &P,
        change: MemberChange,
        heard: impl Fn(NodeId) -> bool,
    ) -> Result<(), Refusal> {
        if !self.leads() {
            return Err(Refusal::NotLeader);
        }
        if platform.sabotaged(Sabotage::ChangesOverlap) {
            self.node.raft.pending_conf_index = 0;
        } else if self.node.raft.has_pending_conf() || self.node.raft.lead_transferee.is_some() {
            return Err(Refusal::Busy);
        }
        if !self.node.raft.commit_to_current_term() {
            return Err(Refusal::Unsettled);
        }
        match change {
            MemberChange::Voter(node) => self.caught_up(node, heard)?,
            MemberChange::Learner(node) | MemberChange::Gone(node) => self.can_do_without(node, heard)?,
        }
        self.node.propose_conf_change(Vec::new(), change.to_raft()).map_err(|_| Refusal::Busy)?;
        let (index, term) = (LogIndex(self.node.raft.raft_log.last_index()), Term(self.node.raft.term));
        platform.observe(Observation::ChangeBegan { group: self.id, index, term });
        Ok(())
    }

    /// Whether a follower hears its leader and has nearly all that it has.
    pub(super) fn caught_up(&self, node: NodeId, heard: impl Fn(NodeId) -> bool) -> Result<(), Refusal> {
        let raft = &self.node.raft;
        let progress = raft.prs().get(node.0).ok_or(Refusal::NotAMember(node))?;
        let entries = raft.raft_log.last_index().saturating_sub(progress.matched);
        if !heard(node) {
            return Err(Refusal::Silent(node));
        }
        if progress.state != ProgressState::Replicate || entries > LAG_MAX {
            return Err(Refusal::Behind { node, entries });
        }
        Ok(())
    }

    /// Whether the voters other than `node` include a majority of themselves that hears the leader.
    fn can_do_without(&self, node: NodeId, heard: impl Fn(NodeId) -> bool) -> Result<(), Refusal> {
        let left: Vec<NodeId> = self.members().voters.iter().copied().filter(|voter| *voter != node).collect();
        let hears = |voter: &&NodeId| voter.0 == self.node.raft.id || heard(**voter);
        let enough = left.iter().filter(hears).count() * 2 > left.len();
        if enough { Ok(()) } else { Err(Refusal::NoMajorityWithout(node)) }
    }

    fn apply_change(&mut self, change: MemberChange) {
        match self.node.apply_conf_change(&change.to_raft()) {
            Ok(state) => self.node.mut_store().count_by(super::wire::members_from_raft(&state)),
            // The leader checked it; every replica refuses it alike.
            Err(error) => tracing::error!(group = %self.id, %error, "a change of members was refused"),
        }
    }

    /// Lays leadership down, and asks the voter that has most to take it up at once.
    fn hand_over(&mut self) {
        let raft = &self.node.raft;
        let voters = self.members().voters.iter();
        let best = voters.filter_map(|node| Some((raft.prs().get(node.0)?.matched, node.0))).max();
        if let Some((_, node)) = best {
            self.node.raft.send_timeout_now(node);
        }
        let term = self.node.raft.term;
        self.node.raft.become_follower(term, INVALID_ID);
    }
}
