//! The invariants, one file per family.
//!
//! A checker reads a [`History`] and nothing else. It never reports what a correct broker may do: where the history
//! does not say enough, the verdict is *undecided* or the case is left out of the count. Every checker is linear in
//! the length of the history, or linear after one sort.
//!
//! Client side: `loss`, `delivery`, `order`, `prefetch`, `confirms`, `linearizability` (on top of the bare algorithm
//! in [`fifo`]), and the second halves of `requeue` and `count`. White-box: their first halves, `ownership`,
//! `replication`, `quorum`, `progress` (with `leadership`), `durability`. Both: `settles`, `lock`, and `liveness` with
//! `starvation`, `stalled`, `gone`, `fallen` and `forgotten`. What they share: `ledger` (the history, indexed),
//! `drained` (what the final drain shows), `pairing` (clients' channels as their nodes know them), `tape` (what
//! happened to each queue, in log order), `logs` (each node's log, rebuilt), `verdict` (what is concluded, and how a
//! witness is told).

mod amnesia;
mod blocked;
mod confirms;
mod count;
mod delivery;
mod drained;
mod durability;
mod fallen;
pub mod fifo;
mod forgotten;
mod gone;
mod leadership;
pub(crate) mod ledger;
pub(crate) mod linearizability;
mod liveness;
mod lock;
mod logs;
pub(crate) mod loss;
mod order;
mod ownership;
pub(crate) mod pairing;
mod prefetch;
mod progress;
mod quorum;
mod replication;
mod requeue;
pub mod sample;
mod settles;
mod stalled;
mod starvation;
pub(crate) mod tape;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;

use std::time::Duration;

use ferret_reports::InvariantResult;
use ledger::{Ledger, Position};
use serde::{Deserialize, Serialize};
use verdict::Judgement;

use crate::history::{History, Samples};

/// How often a client was given a lock while another believed to have it.
pub(crate) fn lock_overlaps(history: &History) -> u64 {
    lock::overlap(history).times
}

/// What the checkers need to know besides the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckConfig {
    /// How long after the last heal the cluster may take until everything works again (virtual time).
    pub liveness_bound: Duration,
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self { liveness_bound: Duration::from_secs(10) }
    }
}

/// A promise that the broker makes, by the name used in scenarios and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    NoConfirmedLoss,
    NoPhantom,
    NoFreshDuplicate,
    AttemptsBound,
    NoAckResurrection,
    SingleOwner,
    PublisherOrder,
    RequeueOrder,
    DeliveryCount,
    SettleApplied,
    Prefetch,
    ConfirmProtocol,
    QueueLinearizable,
    OneLeaderPerTerm,
    LogMatching,
    CommittedStays,
    ReplicaAgreement,
    Quorum,
    Monotonic,
    Durability,
    Lock,
    Liveness,
}

impl Invariant {
    pub const ALL: [Self; 22] = [
        Self::NoConfirmedLoss,
        Self::NoPhantom,
        Self::NoFreshDuplicate,
        Self::AttemptsBound,
        Self::NoAckResurrection,
        Self::SingleOwner,
        Self::PublisherOrder,
        Self::RequeueOrder,
        Self::DeliveryCount,
        Self::SettleApplied,
        Self::Prefetch,
        Self::ConfirmProtocol,
        Self::QueueLinearizable,
        Self::OneLeaderPerTerm,
        Self::LogMatching,
        Self::CommittedStays,
        Self::ReplicaAgreement,
        Self::Quorum,
        Self::Monotonic,
        Self::Durability,
        Self::Lock,
        Self::Liveness,
    ];

    /// The name used in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoConfirmedLoss => "no-confirmed-loss",
            Self::NoPhantom => "no-phantom",
            Self::NoFreshDuplicate => "no-fresh-duplicate",
            Self::AttemptsBound => "attempts-bound",
            Self::NoAckResurrection => "no-ack-resurrection",
            Self::SingleOwner => "single-owner",
            Self::DeliveryCount => "delivery-count",
            Self::SettleApplied => "settle-applied",
            Self::ConfirmProtocol => "confirm-protocol",
            Self::LogMatching => "log-matching",
            Self::Monotonic => "monotonic",
            Self::PublisherOrder => "publisher-order",
            Self::RequeueOrder => "requeue-order",
            Self::Prefetch => "prefetch",
            Self::QueueLinearizable => "queue-linearizable",
            Self::OneLeaderPerTerm => "one-leader-per-term",
            Self::CommittedStays => "committed-stays",
            Self::ReplicaAgreement => "replica-agreement",
            Self::Quorum => "quorum",
            Self::Durability => "durability",
            Self::Lock => "lock",
            Self::Liveness => "liveness",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|invariant| invariant.name() == name)
    }

    /// What is promised, in a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoConfirmedLoss => "every confirmed message is seen at least once by the end of the final drain",
            Self::NoPhantom => "every delivered message was published before, to that queue, with that body",
            Self::NoFreshDuplicate => "no message is delivered again without being flagged as redelivered",
            Self::AttemptsBound => "a sequence enters its queue at most once per attempt to publish it",
            Self::NoAckResurrection => "no message goes to anyone after its settle has committed",
            Self::SingleOwner => "no message belongs to two consumers at once",
            Self::DeliveryCount => "each requeue raises a message's delivery count by one, and nothing resets it",
            Self::SettleApplied => "what a client settles its queue settles, the same way, and nothing else",
            Self::ConfirmProtocol => "each publish has one outcome, and nothing else does",
            Self::LogMatching => "log entries of one index and term are the same, and follow the same",
            Self::Monotonic => "a node's term, commit index and applied index never go backwards",
            Self::PublisherOrder => "first deliveries keep each publisher's order, per pair of channels",
            Self::RequeueOrder => "requeued messages are served from their original position",
            Self::Prefetch => "no consumer holds more unsettled deliveries than its prefetch",
            Self::QueueLinearizable => "publishes and first removals are those of one FIFO queue",
            Self::OneLeaderPerTerm => "no two nodes lead one group in the same term",
            Self::CommittedStays => "a committed entry is in the log of every later leader, unchanged",
            Self::ReplicaAgreement => "replicas that have applied the same entries have the same state",
            Self::Quorum => "a majority of the voters has what is committed, and they change one at a time",
            Self::Durability => "a restarted node remembers every vote and log entry that it promised",
            Self::Lock => "no two clients hold the lock at once: the one message of its queue",
            Self::Liveness => "after the last heal everything works again within the bound",
        }
    }
}

/// Judges `history` under each of `names`, in their order. Every result counts as required.
///
/// Where something happened that no broker can make up for (see [`Ledger::beyond_recovery`]), what breaks from then on
/// is *not recoverable*, and so is what cannot be decided from then on: at worst it is broken. What was broken before
/// stays a violation, and what was open before and is still open stays undecided: both are looked for in the history up
/// to there.
pub fn check(history: &History, config: &CheckConfig, names: &[Invariant]) -> Vec<InvariantResult> {
    let ledger = Ledger::new(history);
    let beyond = ledger.beyond_recovery();
    let before = beyond.as_ref().map(|beyond| up_to(history, beyond.at));
    let before = before.as_ref().map(Ledger::new);
    let judge = |&name: &Invariant| {
        let owed = before.as_ref().filter(|_| is_excused(name));
        let mut open = false;
        if let Some(owed) = owed {
            let judgement = sentence_of_a_part(owed, config, name);
            if judgement.is_violated() {
                return judgement.into_result(name, owed);
            }
            open = judgement.is_undecided();
        }
        let judgement = sentence(&ledger, config, name);
        let judgement = match &beyond {
            Some(beyond) if is_excused(name) && !(open && judgement.is_undecided()) => judgement.excused(&beyond.why),
            _ => judgement,
        };
        judgement.into_result(name, &ledger)
    };
    names.iter().map(judge).collect()
}

/// What one node owes to one client or to itself, it owes whatever the others have lost.
fn is_excused(name: Invariant) -> bool {
    !matches!(name, Invariant::ConfirmProtocol | Invariant::NoPhantom | Invariant::Prefetch | Invariant::Durability)
}

/// The history before `at`.
fn up_to(history: &History, at: Position) -> History {
    History {
        clients: history.clients.clone(),
        queues: history.queues.clone(),
        nodes: history.nodes.clone(),
        locks: history.locks.clone(),
        faults: history.faults.clone(),
        events: history.events[..at].to_vec(),
        samples: Samples::default(),
    }
}

/// What a history shows that goes on afterwards. What is owed after the heal must be given its time, and is none of it.
fn sentence_of_a_part(ledger: &Ledger<'_>, config: &CheckConfig, name: Invariant) -> Judgement {
    match name {
        Invariant::Liveness => liveness::owed_during_faults(ledger, config),
        _ => sentence(ledger, config, name),
    }
}

fn sentence(ledger: &Ledger<'_>, config: &CheckConfig, name: Invariant) -> Judgement {
    match name {
        Invariant::NoConfirmedLoss => loss::no_confirmed_loss(ledger),
        Invariant::NoPhantom => delivery::no_phantom(ledger),
        Invariant::NoFreshDuplicate => delivery::no_fresh_duplicate(ledger),
        Invariant::AttemptsBound => delivery::attempts_bound(ledger),
        Invariant::NoAckResurrection => ownership::no_ack_resurrection(ledger),
        Invariant::SingleOwner => ownership::single_owner(ledger),
        Invariant::DeliveryCount => count::delivery_count(ledger),
        Invariant::SettleApplied => settles::settle_applied(ledger),
        Invariant::ConfirmProtocol => confirms::confirm_protocol(ledger),
        Invariant::LogMatching => progress::log_matching(ledger),
        Invariant::Monotonic => progress::monotonic(ledger),
        Invariant::PublisherOrder => order::publisher_order(ledger),
        Invariant::RequeueOrder => requeue::requeue_order(ledger),
        Invariant::Prefetch => prefetch::prefetch(ledger),
        Invariant::QueueLinearizable => linearizability::queue_linearizable(ledger),
        Invariant::OneLeaderPerTerm => replication::one_leader_per_term(ledger),
        Invariant::CommittedStays => replication::committed_stays(ledger),
        Invariant::ReplicaAgreement => replication::replica_agreement(ledger),
        Invariant::Quorum => quorum::quorum(ledger),
        Invariant::Durability => durability::durability(ledger),
        Invariant::Lock => lock::lock(ledger),
        Invariant::Liveness => liveness::liveness(ledger, config),
    }
}
