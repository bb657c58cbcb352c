//! The loop that steps all groups of a node and keeps the order of promises: written, synced, then said.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    pin::pin,
    rc::Rc,
    time::Duration,
};

use bytes::Bytes;
use raft::{
    Ready, SnapshotStatus,
    eraftpb::{Message, MessageType},
};
use tokio::sync::mpsc;

use super::{
    Host, Links, LogError, OpenGroup, Recovered, ReplicationConfig,
    detour::Detours,
    forgetful,
    group::{self, Group},
    inputs::{DriverHandle, DriverInputs, Input},
    probation::Founding,
    tamper,
    transfer::{Early, promise},
    wire::{Frame, WireMessage, snapshot_from_raft},
    writer::{self, Persisted},
};
use crate::{
    platform::{Chaos, GroupId, LogIndex, NodeId, Observation, Platform, Sabotage},
    storage::{HardState, Record, Snapshot, Wal},
};

/// Inputs taken in one round: enough to batch well, few enough that ticks are not starved.
const INPUTS_PER_ROUND_MAX: usize = 512;

/// All Raft groups of a node.
pub struct Driver<P: Platform, H: Host> {
    pub(super) platform: P,
    pub(super) config: ReplicationConfig,
    pub(super) host: Rc<H>,
    pub(super) links: Links,
    inputs: mpsc::UnboundedReceiver<Input>,
    pub(super) groups: BTreeMap<GroupId, Group>,
    /// What recovery found of groups that nobody has opened yet.
    pub(super) dormant: Recovered,
    pub(super) founding: Founding,
    /// Messages for groups that this node does not know yet.
    early: Early,
    /// Groups that may have something ready.
    touched: BTreeSet<GroupId>,
    /// Groups whose newest snapshot has other members than count now.
    pub(super) outdated: BTreeSet<GroupId>,
    pub(super) ticks: u64,
    pub(super) gathering: Batch,
    /// Batches that the log is busy with, oldest first.
    in_flight: VecDeque<InFlight>,
    batches: mpsc::UnboundedSender<Vec<Record>>,
    detours: Detours,
}

/// What one write makes durable, and what waits for it.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// Founders whose disks it writes.
    pub(super) known: Vec<NodeId>,
    waiting: Vec<Waiting>,
}

struct InFlight {
    since: Duration,
    /// Its leaders have stepped down.
    stalled: bool,
    known: Vec<NodeId>,
    waiting: Vec<Waiting>,
}

/// What happens once a ready is durable.
struct Waiting {
    group: GroupId,
    /// Raft's number of the ready.
    number: u64,
    last: Option<LogIndex>,
    hard_state: Option<HardState>,
    snapshot: Option<Snapshot>,
    messages: Vec<Message>,
}

impl<P: Platform, H: Host> Driver<P, H> {
    /// A driver over the recovered groups, none of them open yet. Spawns the task that owns the log.
    pub fn new(
        platform: P,
        config: ReplicationConfig,
        host: Rc<H>,
        links: Links,
        (handle, inputs): (&DriverHandle, DriverInputs),
        (wal, mut recovered): (Wal<P::Disk>, Recovered),
    ) -> Self {
        for (&group, recovered) in &mut recovered {
            group::recover(&platform, group, recovered);
        }
        let founding = Founding::new(&config.founders, wal.known());
        let (batches, log) = mpsc::unbounded_channel();
        platform.spawn("log", writer::run(platform.clone(), wal, log, handle.inputs.clone()));
        Self {
            platform,
            config,
            host,
            links,
            inputs: inputs.0,
            groups: BTreeMap::new(),
            dormant: recovered,
            founding,
            early: Early::default(),
            touched: BTreeSet::new(),
            outdated: BTreeSet::new(),
            ticks: 0,
            gathering: Batch::default(),
            in_flight: VecDeque::new(),
            batches,
            detours: Detours::default(),
        }
    }

    /// Runs until something happens that the node cannot go on after.
    pub async fn run(mut self) -> DriverError {
        loop {
            let mut tick = pin!(self.platform.sleep(self.config.tick));
            let mut ticked = false;
            while !ticked {
                tokio::select! {
                    biased;
                    () = &mut tick => {
                        ticked = true;
                        self.tick();
                    }
                    input = self.inputs.recv() => {
                        // The node holds a handle as long as it runs its driver.
                        let Some(input) = input else { return DriverError::Abandoned };
                        if let Err(error) = self.take(input) {
                            return error;
                        }
                    }
                }
                for _ in 1..INPUTS_PER_ROUND_MAX {
                    let Ok(input) = self.inputs.try_recv() else { break };
                    if let Err(error) = self.take(input) {
                        return error;
                    }
                }
                if let Err(error) = self.settle() {
                    return error;
                }
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<(), DriverError> {
        match input {
            Input::Peer { from, group, message } => self.receive(from, group, *message),
            Input::Probation { from, group, word } => self.hear(from, group, word),
            Input::Forwarded { group, command } => self.propose(group, command),
            Input::Connected(peer) => self.host.connected(peer),
            Input::Disconnected(peer) => self.disconnected(peer),
            Input::Open(open) => self.open(open)?,
            Input::Close(group) => self.close(group),
            Input::Flush => {
                for (group, command) in self.host.take_commands() {
                    self.submit(group, command);
                }
            }
            Input::Removed(by) => return Err(DriverError::Removed { by }),
            Input::Operate(question) => self.operate(question),
            Input::Persisted(persisted) => self.persisted(persisted)?,
            Input::LogFailed(error) => return Err(DriverError::Log(error)),
        }
        Ok(())
    }

    fn receive(&mut self, from: NodeId, id: GroupId, mut message: WireMessage) {
        if message.from != from || message.to != self.config.node || !message.is_consistent() {
            tracing::warn!(%from, group = %id, "dropped a message that contradicts itself");
            return;
        }
        let Some(group) = self.groups.get_mut(&id) else {
            self.early.keep(from, id, message);
            return;
        };
        tamper::received(&self.platform, &mut group.node, &mut message);
        if group.probation.as_ref().is_some_and(|probation| !probation.lets_pass(&message)) {
            return;
        }
        forgetful::received(&mut group.node, &mut message);
        if group.has_installed(&message) {
            group.node.report_snapshot(from.0, SnapshotStatus::Finish);
        }
        // Raft refuses what makes no sense to it (an unknown peer, say), which is as if it were lost.
        if let Err(error) = group.node.step(message.into_raft()) {
            tracing::debug!(%from, group = %id, %error, "refused a message");
        }
        tamper::stepped(&self.platform, &mut group.node);
        self.look(id);
    }

    /// Proposes a command of this node's session: here, or where the leader is. Without a leader it is dropped, and
    /// the session resends it when there is one.
    fn submit(&mut self, id: GroupId, command: Bytes) {
        let Some(group) = self.groups.get(&id) else { return };
        if group.leads() {
            self.propose(id, command);
        } else if let Some(leader) = group.election.leader()
            && !self.platform.chance(Chaos::CommandLost)
        {
            self.links.send(leader, &Frame::Propose { group: id, command });
        }
    }

    fn propose(&mut self, id: GroupId, command: Bytes) {
        let Some(group) = self.groups.get_mut(&id).filter(|group| group.leads()) else { return };
        if let Err(error) = group.node.propose(Vec::new(), command.to_vec()) {
            tracing::debug!(group = %id, %error, "a proposal was dropped");
        }
        self.look(id);
    }

    /// Messages to `peer` may be lost. Raft would find out in its own time; told, it probes again at once, and a
    /// snapshot that was under way does not block the follower.
    fn disconnected(&mut self, peer: NodeId) {
        for (&id, group) in self.groups.iter_mut().filter(|(_, group)| group.leads()) {
            group.node.report_unreachable(peer.0);
            group.node.report_snapshot(peer.0, SnapshotStatus::Failure);
            self.touched.insert(id);
        }
    }

    fn open(&mut self, open: OpenGroup) -> Result<(), DriverError> {
        let (id, campaign) = (open.group, open.campaign);
        if self.groups.contains_key(&id) {
            return Ok(());
        }
        self.platform.observe(Observation::GroupOpened { group: id, queue: open.name.clone() });
        let recovered = self.dormant.remove(&id);
        if let Some(snapshot) = recovered.as_ref().and_then(|group| group.snapshot.as_ref())
            && !self.platform.sabotaged(Sabotage::ForgetSnapshot)
        {
            self.restore(id, snapshot)?;
        }
        let on_probation = self.begins_on_probation(id, recovered.as_ref().map(|group| group.hard_state.whole));
        let mut group = Group::open(&self.platform, &self.config, open, recovered, on_probation)
            .map_err(|source| DriverError::Raft { group: id, source })?;
        // Alone it needs nobody's vote, and nobody else would ever wake it.
        if on_probation {
            // The disk knows it before it is whole in the metadata, and so takes later groups for new.
            self.gathering.records.push(Record::HardState(id, group.hard_state()));
        } else if campaign || group.is_only_voter(self.config.node) {
            group.node.campaign().ok();
        }
        let applied = LogIndex(group.node.raft.raft_log.applied);
        self.groups.insert(id, group);
        self.tell_members(id, applied);
        self.look(id);
        for (from, message) in self.early.take(id) {
            self.receive(from, id, message);
        }
        Ok(())
    }

    pub(super) fn close(&mut self, id: GroupId) {
        let dormant = self.dormant.remove(&id).is_some();
        self.early.forget(id);
        self.touched.remove(&id);
        if self.groups.remove(&id).is_some() || dormant {
            self.gathering.records.push(Record::Forget(id));
            self.platform.observe(Observation::GroupClosed { group: id });
        }
    }

    fn tick(&mut self) {
        let now = self.platform.now();
        let limit = self.config.stall_limit;
        if let Some(oldest) = self.in_flight.front_mut()
            && !oldest.stalled
            && now.saturating_sub(oldest.since) > limit
            && !self.platform.sabotaged(Sabotage::StalledLeaderStays)
        {
            oldest.stalled = true;
            let led = self.led();
            if !led.is_empty() {
                tracing::warn!(groups = led.len(), "the disk stalls: stepping down as leader");
            }
            self.step_down(led);
        }
        let tired = self.led().into_iter().filter(|_| self.platform.chance(Chaos::LeaderTired)).collect();
        self.step_down(tired);
        self.detours.tick(&self.links);
        let ids: Vec<GroupId> = self.groups.keys().copied().collect();
        for id in ids {
            let group = self.groups.get_mut(&id).expect("listed a moment ago");
            // Between a snapshot's arrival and its sync, Raft's log has a gap that an election would fall into.
            if group.installing == 0 && group.probation.is_none() && group.node.tick() {
                self.look(id);
            }
        }
        self.watch_probations();
        self.reconcile();
        self.host.tick();
    }

    /// The groups that this node leads and that can do without it.
    fn led(&self) -> Vec<GroupId> {
        let led = self.groups.iter().filter(|(_, group)| group.leads() && !group.is_only_voter(self.config.node));
        led.map(|(id, _)| *id).collect()
    }

    /// Gives up leadership. The role is laid down in the same term, as when a quorum is out of reach; the vote of the
    /// term stays spent.
    fn step_down(&mut self, led: Vec<GroupId>) {
        for id in led {
            let raft = &mut self.groups.get_mut(&id).expect("listed a moment ago").node.raft;
            let term = raft.term;
            raft.become_follower(term, raft::INVALID_ID);
            self.look(id);
        }
    }

    /// Looks at a group after something happened to it.
    pub(super) fn look(&mut self, id: GroupId) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        self.touched.insert(id);
        if let Some(change) = group.election.follow(&self.platform, id, &mut group.node) {
            self.links.forget(id);
            self.host.leader_changed(id, change.leader, change.term);
        }
    }

    /// Collects everything that is ready, and starts the next write if the log is idle.
    fn settle(&mut self) -> Result<(), DriverError> {
        while let Some(id) = self.touched.pop_first() {
            while let Some(group) = self.groups.get_mut(&id)
                && group.node.has_ready()
            {
                let ready = group.node.ready();
                self.handle(id, ready);
            }
            self.compact_if_heavy(id);
        }
        if self.in_flight.is_empty() && !self.gathering.records.is_empty() {
            let Batch { records, known, waiting } = std::mem::take(&mut self.gathering);
            self.in_flight.push_back(InFlight { since: self.platform.now(), stalled: false, known, waiting });
            self.batches.send(records).map_err(|_| DriverError::Abandoned)?;
        }
        Ok(())
    }

    fn handle(&mut self, id: GroupId, mut ready: Ready) {
        let group = self.groups.get_mut(&id).expect("only an open group gets ready");
        let number = ready.number();
        let mut immediate = ready.take_messages();
        let mut messages = ready.take_persisted_messages();
        if group.leads_unwritten() {
            messages.splice(0..0, immediate.drain(..));
        }
        if self.platform.sabotaged(Sabotage::PromiseBeforeWrite) {
            immediate.append(&mut messages);
        }
        let committed = ready.take_committed_entries();
        let records = &mut self.gathering.records;

        if let Some(hard_state) = ready.hs() {
            group.node.mut_store().hold(hard_state.clone());
            group.commit_unwritten = true;
        }
        let mut written = None;
        if group.commit_unwritten && ready.must_sync() {
            group.commit_unwritten = false;
            let hard_state = group.hard_state();
            written = Some(hard_state);
            let forgotten = self.platform.sabotaged(Sabotage::HardStateUnwritten);
            let empty = HardState { whole: hard_state.whole, ..HardState::default() };
            records.push(Record::HardState(id, if forgotten { empty } else { hard_state }));
        }
        let snapshot = (!ready.snapshot().is_empty()).then(|| snapshot_from_raft(ready.snapshot()));
        if let Some(snapshot) = &snapshot {
            group.node.mut_store().install(snapshot.clone());
            group.installed(snapshot.data.len());
            group.installing += 1;
            if !self.platform.sabotaged(Sabotage::SnapshotUnwritten) {
                records.push(Record::Snapshot(id, snapshot.clone()));
            }
        }
        let entries = ready.take_entries();
        let last = entries.last().map(|entry| LogIndex(entry.index));
        if !entries.is_empty() {
            group.node.mut_store().append(&entries);
            records.push(Record::Append(id, group::appended(&self.platform, id, &entries)));
        }
        let must_sync = ready.must_sync();
        group.node.advance_append_async(ready);
        group.tell_commit(&self.platform);

        let waiting = Waiting { group: id, number, last, hard_state: written, snapshot, messages };
        if must_sync {
            group.unsynced += 1;
            self.gathering.waiting.push(waiting);
        } else if group.unsynced > 0 {
            // Nothing of its own to write, but it must not overtake what was ready before it.
            group.unsynced += 1;
            let gathered = self.gathering.waiting.iter().any(|earlier| earlier.group == id);
            let busy = self.in_flight.back_mut().filter(|_| !gathered);
            busy.map_or(&mut self.gathering.waiting, |busy| &mut busy.waiting).push(waiting);
        } else {
            group.node.on_persist_ready(number);
            self.send(id, waiting.messages);
        }
        // A leader may replicate while its own disk works: its own copy counts only after the sync (Raft thesis,
        // 10.2.1).
        self.send(id, immediate);
        self.apply(id, &committed);
        self.look(id);
    }

    /// The log has synced its oldest batch: what it promises may be said.
    fn persisted(&mut self, persisted: Persisted) -> Result<(), DriverError> {
        let batch = self.in_flight.pop_front().expect("the log reports each batch once");
        for Waiting { group: id, number, last, hard_state, snapshot, messages } in batch.waiting {
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.unsynced -= 1;
            group.node.on_persist_ready(number);
            if self.platform.sabotaged(Sabotage::CommitAlone) && group.leads() {
                group.node.raft.raft_log.commit_to(last.map_or(0, |last| last.0));
            }
            if let Some(last) = last.or(snapshot.as_ref().map(|snapshot| snapshot.index)) {
                self.platform.observe(Observation::Persisted { group: id, last });
            }
            if let Some(HardState { term, commit, .. }) = hard_state {
                group.term_written = group.term_written.max(term.0);
                self.platform.observe(Observation::HardStatePersisted { group: id, term, commit });
            }
            if let Some(snapshot) = snapshot {
                group.installing -= 1;
                group.node.advance_apply_to(snapshot.index.0);
                self.restore(id, &snapshot)?;
                self.tell_members(id, snapshot.index);
                if id == GroupId::META {
                    self.forget_gone();
                }
            }
            self.send(id, messages);
            self.look(id);
        }
        self.recorded(batch.known);
        for id in persisted.pinning {
            self.compact(id);
        }
        Ok(())
    }

    fn send(&mut self, id: GroupId, messages: Vec<Message>) {
        for message in messages {
            let to = NodeId(message.to);
            if let Some(group) = self.groups.get_mut(&id) {
                promise(&self.platform, group, &message);
            }
            let snapshot = message.msg_type == MessageType::MsgSnapshot;
            let Some(message) = WireMessage::from_raft(message) else { continue };
            let mut frame = Frame::Raft { group: id, message: Box::new(message) };
            if !snapshot {
                let Some(direct) = self.detours.take(&self.platform, to, frame) else { continue };
                frame = direct;
            }
            let sent = self.links.send(to, &frame);
            if snapshot
                && !sent
                && let Some(group) = self.groups.get_mut(&id)
            {
                group.node.report_snapshot(to.0, SnapshotStatus::Failure);
            }
        }
    }
}

/// Why a driver ended.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("the state of group {group} at log index {} cannot be restored: {reason}", index.0)]
    Snapshot { group: GroupId, index: LogIndex, reason: String },
    #[error("group {group} cannot start: {source}")]
    Raft { group: GroupId, source: raft::Error },
    #[error("this node was removed from its cluster, says {by}: it cannot come back under its number")]
    Removed { by: NodeId },
    #[error("the node's other parts are gone")]
    Abandoned,
}
