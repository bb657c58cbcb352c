//! Disks that are new to a group: their node does not count in it until it has again what it may have promised.
//!
//! A node that comes back with an empty disk has forgotten its votes and the entries that it acknowledged. Raft rules
//! that out: such a voter could help to elect a leader that lacks what was committed, or a second one in a term. So a
//! node is on probation in a group as long as its disk does not say that it is whole there:
//!
//! - It takes nothing and promises nothing: no vote, no entry, no candidacy. It answers heartbeats, and asks the leader
//!   that it hears of to vouch for its disk.
//! - The leader, having heard of that disk, puts an entry of its own term into the log: the *fence*. Once it is
//!   committed, a majority without the node has taken it after the old disk was gone. Whatever the old disk had helped
//!   to commit is before it, in this leader's log. Whoever the old disk has voted for in a later term cannot win: in
//!   any majority that it needs there is somebody who holds the fence, or who had left the leader's term before the
//!   fence came and so did not take it.
//! - Told of the fence, the node takes entries and acknowledges them, and votes in later terms, for candidates that
//!   have the fence. Its vote in the leader's own term is the leader's.
//! - Once it has the log up to the fence, it is whole. That is written, and does not end with the process. Until then a
//!   restart begins with a new question.
//!
//! If the cluster is new as well, there is no leader to ask. Each founder tells the others its disk; who is on
//! probation itself writes the first one that it hears of each founder, for ever. A founder whose disk all others have
//! written, and that has written all of theirs, has *met* them: it never had another disk that counted, and is whole in
//! all groups. A cluster so begins when its founders have met. From then on they know each founder's first disk, and no
//! second one can begin it again.
//!
//! Not all founders have met all others when the first leader comes about. Those who come late go on asking the others,
//! besides the leader: queues may have been placed on several of them by then, whose leaders would need them to vouch
//! for each other.
//!
//! Groups of queues are younger than the metadata. One that opens on a node that is whole in the metadata is new; one
//! that opens before may be old, and the disk then says that it is on probation there, before it is whole in the
//! metadata.
//!
//! What this cannot do: bring back what is gone. If of three voters two have lost their disks, no leader can come about
//! and the group stands still, which the nodes' logs say. A group with a single voter, or two, stands still when one
//! has lost its disk. A cluster of one founder begins at once, and again on an empty disk: it has nobody to ask.

use std::collections::{BTreeMap, BTreeSet};

use raft::StateRole;
use serde::{Deserialize, Serialize};

use super::{
    Driver, Host,
    group::Group,
    wire::{Frame, MessageKind, WireMessage},
};
use crate::{
    platform::{GroupId, LogIndex, NodeId, Observation, Platform, Sabotage, Term},
    storage::{DiskId, Record},
};

/// How often a node asks, in ticks.
const ASK_TICKS: u64 = 4;

/// How long a node waits before it complains, and how often it does, in ticks.
const COMPLAIN_TICKS: u64 = 200;

/// What nodes tell each other about disks that are new to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Word {
    /// This disk of mine is new to the group: to its leader, who may vouch for it.
    Asks { disk: DiskId },
    /// I have written that your disk is this one, and never heard of another.
    Recorded { disk: DiskId },
    /// I lead the group in `term`. Whatever your node promised before it had this disk is decided by the entry at
    /// `index`, which is committed.
    Fence { disk: DiskId, term: Term, index: LogIndex },
    /// I founded the cluster, with this disk if you never heard of another: to the other founders.
    Founded { disk: DiskId },
}

/// The state of a group on a disk that is new to it.
#[derive(Default)]
pub(crate) struct Probation {
    /// Term and index of an entry that decides all that the node may have promised.
    fence: Option<(u64, u64)>,
    ticks: u64,
}

/// What a leader does for a voter's new disk.
pub(crate) struct Vouched {
    disk: DiskId,
    term: u64,
    index: u64,
}

/// What this node knows of the disks of the cluster's founders.
pub(super) struct Founding {
    founders: BTreeSet<NodeId>,
    /// The first disk that was heard of for each other founder, and whether that is durable.
    known: BTreeMap<NodeId, (DiskId, bool)>,
    /// Who has written this node's disk.
    recorded_by: BTreeSet<NodeId>,
    /// Of the time on probation.
    ticks: u64,
}

impl Probation {
    /// Whether Raft may see the message.
    pub(crate) fn lets_pass(&self, message: &WireMessage) -> bool {
        match message.kind {
            MessageKind::RequestVote | MessageKind::RequestPreVote => {
                self.fence.is_some_and(|fence| (message.log_term, message.index) >= fence)
            }
            MessageKind::Append | MessageKind::Snapshot => self.fence.is_some(),
            MessageKind::TimeoutNow => false,
            MessageKind::AppendResponse
            | MessageKind::RequestVoteResponse
            | MessageKind::Heartbeat
            | MessageKind::HeartbeatResponse
            | MessageKind::TransferLeader
            | MessageKind::RequestPreVoteResponse => true,
        }
    }
}

impl Founding {
    pub(super) fn new(founders: &[NodeId], known: &BTreeMap<NodeId, DiskId>) -> Self {
        Self {
            founders: founders.iter().copied().collect(),
            known: known.iter().map(|(node, disk)| (*node, (*disk, true))).collect(),
            recorded_by: BTreeSet::new(),
            ticks: 0,
        }
    }

    /// The other founders; none if `node` is not one.
    fn others(&self, node: NodeId) -> Vec<NodeId> {
        let founded = self.founders.contains(&node);
        self.founders.iter().copied().filter(|other| founded && *other != node).collect()
    }

    /// Whether the founder `node` has met all others. Both ways: one that went ahead without having written the others'
    /// disks would keep them waiting, and would not know their second ones.
    fn has_met(&self, node: NodeId) -> bool {
        let met = |other: &NodeId| {
            self.recorded_by.contains(other) && self.known.get(other).is_some_and(|(_, durable)| *durable)
        };
        self.founders.contains(&node) && self.others(node).iter().all(met)
    }
}

impl Group {
    /// Vouches for the new disk of a follower, as the leader; `None` if this node does not lead, or cannot yet.
    fn vouch(&mut self, node: NodeId, disk: DiskId) -> Option<Word> {
        let raft = &mut self.node.raft;
        let term = raft.term;
        if raft.state != StateRole::Leader || raft.prs().get(node.0).is_none() {
            return None;
        }
        let known = self.vouched.get(&node).filter(|known| known.disk == disk && known.term == term);
        let index = if let Some(known) = known {
            known.index
        } else {
            // What the old disk had acknowledged is no longer there.
            let progress = raft.mut_prs().get_mut(node.0).expect("it was there a moment ago");
            (progress.matched, progress.committed_index) = (0, 0);
            progress.become_probe();
            self.node.propose(Vec::new(), Vec::new()).ok()?;
            let index = self.node.raft.raft_log.last_index();
            tracing::warn!(group = %self.id, %node, index, "{node} has a new disk: it does not count until it is whole");
            self.vouched.insert(node, Vouched { disk, term, index });
            index
        };
        if self.node.raft.raft_log.committed < index {
            return None;
        }
        // A snapshot that went out before was not taken.
        self.node.report_snapshot(node.0, raft::SnapshotStatus::Failure);
        Some(Word::Fence { disk, term: Term(term), index: LogIndex(index) })
    }

    /// The leader vouches for this node's disk.
    fn fenced(&mut self, leader: NodeId, fence: (u64, u64)) {
        let raft = &mut self.node.raft;
        let Some(probation) = &mut self.probation else { return };
        if probation.fence.is_some() || raft.term != fence.0 || raft.leader_id != leader.0 {
            return;
        }
        probation.fence = Some(fence);
        // Whom the old disk had voted for in this term is not known; that this one was elected is.
        raft.vote = leader.0;
    }

    /// Whether this disk has the log up to the fence.
    fn is_past_its_fence(&self) -> bool {
        let log = &self.node.raft.raft_log;
        let fence = self.probation.as_ref().and_then(|probation| probation.fence);
        fence.is_some_and(|(_, index)| {
            self.installing == 0 && log.persisted >= index && log.committed >= index && log.applied >= index
        })
    }

    /// Whom a node on probation asks at this tick to vouch for its disk.
    fn asks(&mut self) -> Option<NodeId> {
        let (group, leader) = (self.id, self.election.leader());
        let probation = self.probation.as_mut()?;
        probation.ticks += 1;
        if probation.ticks.is_multiple_of(COMPLAIN_TICKS) && probation.fence.is_none() {
            tracing::warn!(
                %group,
                "this node's disk is new to {group} and may lack what the node once promised, so it does not vote. Its \
                 leader needs a majority without this node in order to make it whole; a new cluster begins once its \
                 founders have met. If most voters lost their disks, what they held may be gone, and the group stands \
                 still"
            );
        }
        let due = probation.fence.is_none() && probation.ticks.is_multiple_of(ASK_TICKS);
        leader.filter(|_| due)
    }
}

impl<P: Platform, H: Host> Driver<P, H> {
    /// Whether a group that is about to be opened is on probation here. `whole`: what the disk says of it, if it knows
    /// the group.
    pub(super) fn begins_on_probation(&self, id: GroupId, whole: Option<bool>) -> bool {
        let whole = match (whole, self.groups.get(&GroupId::META)) {
            (Some(whole), _) => whole,
            (None, Some(meta)) => meta.probation.is_none(),
            (None, None) => id == GroupId::META && self.founding.has_met(self.config.node),
        };
        !whole && !self.platform.sabotaged(Sabotage::WipedNodeVotes)
    }

    pub(super) fn hear(&mut self, from: NodeId, id: GroupId, word: Word) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        match word {
            Word::Asks { disk } => {
                if let Some(word) = group.vouch(from, disk) {
                    self.links.send(from, &Frame::Probation { group: id, word });
                }
            }
            Word::Founded { disk } => self.record(from, disk),
            Word::Recorded { disk } if disk == self.config.disk => {
                self.founding.recorded_by.insert(from);
                self.meet();
            }
            Word::Fence { disk, term, index } if disk == self.config.disk => group.fenced(from, (term.0, index.0)),
            Word::Recorded { .. } | Word::Fence { .. } => {}
        }
        self.look(id);
    }

    /// Tells a founder that `disk` is the one by which this node knows it. If there is none yet, it is from now on; the
    /// answer then follows once that is durable.
    fn record(&mut self, node: NodeId, disk: DiskId) {
        if !self.founding.founders.contains(&node) {
            return;
        }
        match self.founding.known.get(&node) {
            Some((known, durable)) if *known == disk && *durable => {
                self.tell_founder(node, Word::Recorded { disk });
            }
            // Who is whole knows nothing of founders that it has not met.
            None if self.groups.values().any(|group| group.probation.is_some()) => {
                self.founding.known.insert(node, (disk, false));
                self.gathering.records.push(Record::Known(node, disk));
                self.gathering.known.push(node);
            }
            Some(_) | None => {}
        }
    }

    fn tell_founder(&self, node: NodeId, word: Word) {
        self.links.send(node, &Frame::Probation { group: GroupId::META, word });
    }

    /// It is durable which disks these founders have.
    pub(super) fn recorded(&mut self, nodes: Vec<NodeId>) {
        for node in nodes {
            let (disk, durable) = self.founding.known.get_mut(&node).expect("it was noted before it was written");
            *durable = true;
            let word = Word::Recorded { disk: *disk };
            self.tell_founder(node, word);
        }
        self.meet();
    }

    /// A founder that has met the others counts everywhere.
    fn meet(&mut self) {
        if self.founding.has_met(self.config.node) {
            for id in self.on_probation() {
                self.end_probation(id);
            }
        }
    }

    fn on_probation(&self) -> Vec<GroupId> {
        self.groups.iter().filter(|(_, group)| group.probation.is_some()).map(|(id, _)| *id).collect()
    }

    /// Asks for what is lacking, and ends probations that are over.
    pub(super) fn watch_probations(&mut self) {
        let disk = self.config.disk;
        let ids = self.on_probation();
        self.founding.ticks += u64::from(!ids.is_empty());
        if !ids.is_empty() && self.founding.ticks.is_multiple_of(ASK_TICKS) {
            for founder in self.founding.others(self.config.node) {
                self.tell_founder(founder, Word::Founded { disk });
            }
        }
        for id in ids {
            let group = self.groups.get_mut(&id).expect("listed a moment ago");
            if let Some(leader) = group.asks() {
                self.links.send(leader, &Frame::Probation { group: id, word: Word::Asks { disk } });
            }
            // Groups that the metadata opens up to the fence have to be on probation before it is whole.
            let opened = id != GroupId::META || self.host.groups().iter().all(|group| self.groups.contains_key(group));
            if opened && self.groups[&id].is_past_its_fence() {
                self.end_probation(id);
            }
        }
    }

    /// The record precedes, or comes with, the first promise that rests on it: no promise leaves without a sync.
    fn end_probation(&mut self, id: GroupId) {
        let group = self.groups.get_mut(&id).expect("only an open group is on probation");
        group.probation = None;
        let hard_state = group.hard_state();
        tracing::info!(group = %id, "whole: this disk has all that its node may have promised to {id}");
        self.gathering.records.push(Record::HardState(id, hard_state));
        self.platform.observe(Observation::Whole { group: id, index: hard_state.commit });
    }
}
