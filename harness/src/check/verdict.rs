//! What a checker concludes, and how a witness is told.

use std::fmt::Write as _;

use ferret_reports::{InvariantResult, InvariantVerdict, WitnessEvent, WitnessKind};
use warren::platform::{GroupId, NodeId, Observation, RecoveredState};

use super::{
    Invariant,
    ledger::{Ledger, Position},
};
use crate::history::{
    ChannelId, Connection, Delivery, EventKind, MessageId, NodeDown, PublishOutcome, QueueId, Settle, Stray,
};

/// A witness is for reading: beyond this many events its middle is left out.
const WITNESS_EVENTS_MAX: usize = 40;

/// A checker's conclusion.
pub(crate) struct Judgement {
    checked: u64,
    unit: &'static str,
    outcome: Outcome,
}

enum Outcome {
    /// With a remark, if there is something worth one.
    Holds(Option<String>),
    Violated(Witness),
    Undecided(String),
    NotRecoverable(String),
}

/// Why an invariant is violated: a sentence, and the events that it speaks of.
pub(crate) struct Witness {
    pub(crate) sentence: String,
    pub(crate) events: Vec<Position>,
}

impl Judgement {
    /// Vacuous if nothing was checked.
    pub(crate) fn holds(checked: u64, unit: &'static str) -> Self {
        Self { checked, unit, outcome: Outcome::Holds(None) }
    }

    pub(crate) fn holds_with(checked: u64, unit: &'static str, remark: Option<String>) -> Self {
        Self { checked, unit, outcome: Outcome::Holds(remark) }
    }

    pub(crate) fn violated(checked: u64, unit: &'static str, witness: Witness) -> Self {
        Self { checked: checked.max(1), unit, outcome: Outcome::Violated(witness) }
    }

    /// Violated if there is a witness, else [`Judgement::holds`].
    pub(crate) fn unless(checked: u64, unit: &'static str, witness: Option<Witness>) -> Self {
        match witness {
            Some(witness) => Self::violated(checked, unit, witness),
            None => Self::holds(checked, unit),
        }
    }

    pub(crate) fn undecided(checked: u64, unit: &'static str, reason: String) -> Self {
        Self { checked, unit, outcome: Outcome::Undecided(reason) }
    }

    pub(crate) fn not_recoverable(checked: u64, unit: &'static str, reason: String) -> Self {
        Self { checked, unit, outcome: Outcome::NotRecoverable(reason) }
    }

    pub(crate) fn is_violated(&self) -> bool {
        matches!(self.outcome, Outcome::Violated(_))
    }

    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.outcome, Outcome::Undecided(_))
    }

    /// The same, but what is violated could not be kept, for this reason; nor could what may be.
    pub(crate) fn excused(self, why: &str) -> Self {
        match self.outcome {
            Outcome::Violated(Witness { sentence: what, .. }) | Outcome::Undecided(what) => {
                Self::not_recoverable(self.checked, self.unit, format!("{what}; but {why}"))
            }
            _ => self,
        }
    }

    pub(crate) fn into_result(self, name: Invariant, ledger: &Ledger<'_>) -> InvariantResult {
        let (verdict, explanation, witness) = match self.outcome {
            Outcome::Holds(_) if self.checked == 0 => (InvariantVerdict::Vacuous, None, Vec::new()),
            Outcome::Holds(remark) => (InvariantVerdict::Holds, remark, Vec::new()),
            Outcome::Violated(witness) => {
                let events = ledger.tell(&witness.events);
                (InvariantVerdict::Violated, Some(witness.sentence), events)
            }
            Outcome::Undecided(reason) => (InvariantVerdict::Undecided, Some(reason), Vec::new()),
            Outcome::NotRecoverable(reason) => (InvariantVerdict::NotRecoverable, Some(reason), Vec::new()),
        };
        InvariantResult {
            name: name.name().to_owned(),
            promise: name.describe().to_owned(),
            verdict,
            required: true,
            checked: self.checked,
            unit: self.unit.to_owned(),
            explanation,
            witness,
        }
    }
}

/// Names and sentences.
impl Ledger<'_> {
    /// The events at `positions` in order, and the faults that overlap them.
    fn tell(&self, positions: &[Position]) -> Vec<WitnessEvent> {
        let mut told = positions.to_vec();
        if let (Some(&first), Some(&last)) = (positions.iter().min(), positions.iter().max()) {
            for fault in &self.faults {
                if fault.began <= last && fault.ended.is_none_or(|ended| ended >= first) {
                    told.push(fault.began);
                    told.extend(fault.ended.filter(|&ended| ended <= last));
                }
            }
        }
        told.sort_unstable();
        told.dedup();
        if told.len() > WITNESS_EVENTS_MAX {
            let half = WITNESS_EVENTS_MAX / 2;
            told.drain(half..told.len() - half);
        }
        told.into_iter().map(|at| self.line(at)).collect()
    }

    /// The event at `at` in words.
    pub(crate) fn line(&self, at: Position) -> WitnessEvent {
        let event = &self.history.events[at];
        let (who, what) = match &event.kind {
            EventKind::ChannelOpened { client, channel, node, connection } => {
                let kept = if *connection == Connection::Kept { ", on the connection that it had" } else { "" };
                (self.client_index(client.0), format!("opened channel {} through {node}{kept}", channel.0))
            }
            EventKind::ChannelLost { channel, reason } => {
                (self.client(*channel), format!("lost channel {}: {reason}", channel.0))
            }
            EventKind::Publish { message, queue, channel } => (
                self.client(*channel),
                format!("published {} to {} on channel {}", self.message(*message), self.queue(*queue), channel.0),
            ),
            EventKind::PublishOutcome { message, outcome } => {
                let what = match outcome {
                    PublishOutcome::Confirmed => "was told that it is confirmed:",
                    PublishOutcome::Nacked => "was told that it is refused:",
                    PublishOutcome::Returned => "got back as unroutable:",
                    PublishOutcome::Unknown => "will never know what became of",
                };
                (self.client_index(message.publisher.0), format!("{what} {}", self.message(*message)))
            }
            EventKind::Blocked { channel } => {
                (self.client(*channel), format!("was asked to hold back on channel {}", channel.0))
            }
            EventKind::Unblocked { channel } => (self.client(*channel), format!("was let on on channel {}", channel.0)),
            EventKind::Stray { channel, what } => {
                let what = match what {
                    Stray::Outcome { tag, outcome } => format!("heard of tag {tag} ({outcome:?})"),
                    Stray::Return { message: Some(message) } => format!("got back {}", self.message(*message)),
                    Stray::Return { message: None } => "got back an unreadable message".to_owned(),
                };
                (self.client(*channel), format!("{what} on channel {}, which was not open there", channel.0))
            }
            EventKind::Subscribe { channel, queue, prefetch, no_ack } => {
                let acks = if *no_ack { ", without acks" } else { "" };
                let queue = self.queue(*queue);
                let what = format!("subscribed to {queue} on channel {}, prefetch {prefetch}{acks}", channel.0);
                (self.client(*channel), what)
            }
            EventKind::Deliver { channel, queue, delivery } => {
                let what = format!("received {}", self.delivery(delivery, *queue, *channel));
                (self.client(*channel), what)
            }
            EventKind::Get { channel, queue, no_ack } => {
                let acks = if *no_ack { ", without acks" } else { "" };
                let queue = self.queue(*queue);
                (self.client(*channel), format!("asked {queue} for a message on channel {}{acks}", channel.0))
            }
            EventKind::GetReply { channel, queue, delivery } => {
                let what = match delivery {
                    Some(delivery) => format!("got {}", self.delivery(delivery, *queue, *channel)),
                    None => format!("was told on channel {} that {} is empty", channel.0, self.queue(*queue)),
                };
                (self.client(*channel), what)
            }
            EventKind::Settle { channel, tag, settle } => {
                let (what, multiple) = match *settle {
                    Settle::Ack { multiple } => ("acked", multiple),
                    Settle::Reject { requeue: true } => ("rejected to the queue", false),
                    Settle::Reject { requeue: false } => ("rejected for good", false),
                    Settle::Nack { requeue: true, multiple } => ("gave back to the queue", multiple),
                    Settle::Nack { requeue: false, multiple } => ("refused for good", multiple),
                };
                let up_to = if multiple { " everything up to" } else { "" };
                (self.client(*channel), format!("{what}{up_to} tag {tag} of channel {}", channel.0))
            }
            EventKind::FaultBegan { fault } => ("faults".to_owned(), format!("began: {}", self.fault(*fault))),
            EventKind::FaultEnded { fault } => ("faults".to_owned(), format!("ended: {}", self.fault(*fault))),
            EventKind::NodeUp { node } => (node.to_string(), "started".to_owned()),
            EventKind::NodeDown { node, how } => (node.to_string(), down(*how).to_owned()),
            EventKind::SyncedDataLost { node } => (node.to_string(), "lost what its disk had synced".to_owned()),
            EventKind::Slowed { node } => {
                (node.to_string(), "could not count time as it should from here on".to_owned())
            }
            EventKind::UpToSpeed { node } => (node.to_string(), "counted time again".to_owned()),
            EventKind::Observed { node, observation } => (node.to_string(), self.observation(observation)),
            EventKind::LoadStopped => ("run".to_owned(), "the load stopped".to_owned()),
            EventKind::Healed => ("run".to_owned(), "all faults were healed".to_owned()),
            EventKind::DrainBegan => ("run".to_owned(), "the final drain went round the nodes".to_owned()),
            EventKind::Ended => ("run".to_owned(), "the run ended".to_owned()),
            EventKind::DrainEnded { complete: true, .. } => {
                ("run".to_owned(), "the final drain found every queue empty, through every node".to_owned())
            }
            EventKind::DrainEnded { complete: false, reason } => {
                ("run".to_owned(), format!("the final drain failed: {reason}"))
            }
        };
        WitnessEvent { at_ns: event.at.0, who, kind: witness_kind(&event.kind), what }
    }

    fn observation(&self, observation: &Observation) -> String {
        match observation {
            Observation::Started { incarnation } => format!("runs, with session {incarnation}"),
            Observation::Recovered(state) => {
                let RecoveredState { group, term, vote, last, .. } = &**state;
                let mut text = format!("recovered {}: term {}", self.group(*group), term.0);
                if let Some(vote) = vote {
                    let _ = write!(text, ", vote for {vote}");
                }
                let _ = write!(text, ", log up to {} (term {})", last.0.0, last.1.0);
                text
            }
            Observation::GroupOpened { group, queue } => format!("opened {group} for queue {queue}"),
            Observation::GroupClosed { group } => format!("closed {}", self.group(*group)),
            Observation::Members { group, index, voters, learners } => format!(
                "counts by the members of {} from entry {} on: voters {}, learners {}",
                self.group(*group),
                index.0,
                nodes(voters),
                nodes(learners)
            ),
            Observation::ChangeBegan { group, index, .. } => {
                format!("began a change of the members of {}, in entry {}", self.group(*group), index.0)
            }
            Observation::BecameLeader { group, term } => {
                format!("became leader of {} in term {}", self.group(*group), term.0)
            }
            Observation::SteppedDown { group, term } => {
                format!("stepped down from {} in term {}", self.group(*group), term.0)
            }
            Observation::Appended { group, index, term, hash } => {
                format!("appended entry {} of {} (term {}, {hash:016x})", index.0, self.group(*group), term.0)
            }
            Observation::Persisted { group, last } => {
                format!("believes the log of {} durable up to {}", self.group(*group), last.0)
            }
            Observation::VoteGranted { group, term, candidate } => {
                format!("voted for {candidate} in term {} of {}", term.0, self.group(*group))
            }
            Observation::AppendAcknowledged { group, term, index } => {
                format!("promised the log of {} up to {} (term {})", self.group(*group), index.0, term.0)
            }
            Observation::Committed { group, index, .. } => {
                format!("learnt that {} is committed up to {}", self.group(*group), index.0)
            }
            Observation::Applied { group, index, term, hash, state_hash } => format!(
                "applied entry {} of {} (term {}, {hash:016x}), state {state_hash:016x}",
                index.0,
                self.group(*group),
                term.0
            ),
            Observation::SnapshotInstalled { group, index, state_hash, .. } => {
                format!("took a snapshot of {} at {}, state {state_hash:016x}", self.group(*group), index.0)
            }
            Observation::Compacted { group, index, .. } => {
                format!("dropped the log of {} up to {}", self.group(*group), index.0)
            }
            Observation::Whole { group, .. } => format!("has all that it may have promised to {}", self.group(*group)),
            Observation::Settled { group, message } => format!("settled message {message} of {}", self.group(*group)),
            Observation::Assigned { group, message, owner, channel, count, .. } => format!(
                "gave message {message} of {} to channel {channel} of {owner}, count {count}",
                self.group(*group)
            ),
            Observation::Delivered { group, message, channel, count, tag } => format!(
                "sent message {message} of {} to the client of channel {channel}, count {count}, tag {tag}",
                self.group(*group)
            ),
            Observation::Enqueued { group, last } => {
                format!("numbered messages of {} up to {last}", self.group(*group))
            }
            Observation::ConsumerAttached { group, owner, channel, consumer, prefetch } => {
                let limit = prefetch.map_or("no limit".to_owned(), |prefetch| format!("prefetch {prefetch}"));
                let queue = self.group(*group);
                format!("attached consumer {consumer} of channel {channel} of {owner} to {queue}, {limit}")
            }
            Observation::ConsumerDetached { group, owner, channel, consumer } => {
                format!("detached consumer {consumer} of channel {channel} of {owner} from {}", self.group(*group))
            }
            Observation::EnteredTerm { group, term } => format!("entered term {} of {}", term.0, self.group(*group)),
            Observation::HardStatePersisted { group, term, commit } => {
                format!("believes term {} and commit index {} of {} durable", term.0, commit.0, self.group(*group))
            }
            Observation::Requeued { group, message } => {
                format!("put message {message} back into {}", self.group(*group))
            }
            Observation::ChannelOpened { channel, client } => format!("opened channel {channel} for {client}"),
            Observation::Fatal { reason } => format!("cannot go on: {reason}"),
        }
    }

    fn delivery(&self, delivery: &Delivery, queue: QueueId, channel: ChannelId) -> String {
        let message = delivery.message.map_or("an unreadable message".to_owned(), |id| self.message(id));
        let flag = if delivery.redelivered { "redelivered" } else { "fresh" };
        format!("{message} from {} on channel {}, tag {}, {flag}", self.queue(queue), channel.0, delivery.tag)
    }

    /// `14.203 s`.
    pub(crate) fn clock(&self, at: Position) -> String {
        seconds(self.time(at).0)
    }

    /// `pub-1/417`, or `pub-1/417 (attempt 2)`.
    pub(crate) fn message(&self, id: MessageId) -> String {
        let publisher = self.client_index(id.publisher.0);
        if id.attempt > 1 {
            format!("{publisher}/{} (attempt {})", id.sequence, id.attempt)
        } else {
            format!("{publisher}/{}", id.sequence)
        }
    }

    pub(crate) fn queue(&self, queue: QueueId) -> String {
        self.history.queues.get(queue.0 as usize).cloned().unwrap_or_else(|| format!("queue {}", queue.0))
    }

    pub(crate) fn group(&self, group: GroupId) -> String {
        self.groups.get(&group).cloned().unwrap_or_else(|| group.to_string())
    }

    /// The client that has `channel`.
    pub(crate) fn client(&self, channel: ChannelId) -> String {
        match self.channels.get(&channel) {
            Some(known) => self.client_index(known.client.0),
            None => format!("channel {}", channel.0),
        }
    }

    fn client_index(&self, client: u32) -> String {
        self.history.clients.get(client as usize).cloned().unwrap_or_else(|| format!("client {client}"))
    }

    fn fault(&self, fault: u32) -> String {
        self.history.faults.get(fault as usize).cloned().unwrap_or_else(|| format!("fault {fault}"))
    }
}

/// `14.203 s`.
pub(crate) fn seconds(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1_000)
}

/// How a node's process ended, as a verb.
pub(crate) fn down(how: NodeDown) -> &'static str {
    match how {
        NodeDown::Killed => "was killed",
        NodeDown::PowerLost => "lost power and its unsynced log",
        NodeDown::Exited => "exited by itself",
    }
}

/// Where the event belongs in a witness' picture.
fn witness_kind(event: &EventKind) -> WitnessKind {
    match event {
        EventKind::FaultBegan { fault } => WitnessKind::FaultBegan(*fault),
        EventKind::FaultEnded { fault } => WitnessKind::FaultEnded(*fault),
        EventKind::NodeUp { .. } => WitnessKind::NodeUp,
        EventKind::NodeDown { .. } => WitnessKind::NodeDown,
        EventKind::SyncedDataLost { .. } => WitnessKind::Disk,
        EventKind::Slowed { .. } | EventKind::UpToSpeed { .. } => WitnessKind::Node,
        EventKind::Observed { observation, .. } => match observation {
            Observation::Recovered(_) | Observation::Persisted { .. } | Observation::HardStatePersisted { .. } => {
                WitnessKind::Disk
            }
            _ => WitnessKind::Node,
        },
        EventKind::LoadStopped
        | EventKind::Healed
        | EventKind::DrainBegan
        | EventKind::DrainEnded { .. }
        | EventKind::Ended => WitnessKind::Run,
        _ => WitnessKind::Client,
    }
}

/// "n1, n3".
pub(crate) fn nodes(nodes: &[NodeId]) -> String {
    if nodes.is_empty() {
        return "none".to_owned();
    }
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
