//! Planted bugs: what Ferret switches on to prove that its checkers can fail.
//!
//! Each is a one-line hook where the broker asks its platform. The real platform answers `false` as a constant from an
//! inlined method, so the compiler removes hook and bug from a production build.

use super::Platform;

/// One list makes the enum and everything that is known of each bug.
macro_rules! planted {
    ($($variant:ident, $name:literal, $sentence:literal, [$($catcher:literal),+];)+) => {
        /// A bug that can be planted, by the promise it breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Sabotage {
            $(#[doc = $sentence] $variant,)+
        }

        impl Sabotage {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name used on the command line and in scenarios.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What the bug does, in a sentence.
            pub fn describe(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)+
                }
            }

            /// The invariants that it breaks, any one of which may be the first to tell; `panic` is an assertion of the
            /// broker's own, `determinism` a second run of the same seed.
            pub fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$($catcher),+],)+
                }
            }
        }
    };
}

planted! {
    // Confirm.
    ConfirmBeforeSync, "confirm-before-sync", "a node acknowledges log entries before its disk has synced them", ["no-confirmed-loss", "durability", "committed-stays", "replica-agreement"];
    ConfirmBeforeMajority, "confirm-before-majority", "the leader's node confirms a publish before a majority has it", ["no-confirmed-loss", "queue-linearizable"];
    ConfirmAhead, "confirm-ahead", "a confirm covers everything published so far, applied or not", ["no-confirmed-loss", "confirm-protocol", "queue-linearizable"];
    ConfirmSwallowed, "confirm-swallowed", "one confirm in a hundred is never sent", ["liveness", "confirm-protocol"];
    ConfirmLostWithLeader, "confirm-lost-with-leader", "what waits for its confirm while the leader changes never gets it", ["liveness", "confirm-protocol"];
    // Append and sync.
    SkipSync, "skip-sync", "the log is written and never synced", ["no-confirmed-loss", "durability", "committed-stays", "replica-agreement"];
    PromiseBeforeWrite, "promise-before-write", "votes and acknowledgements leave before what they promise is written", ["durability", "no-confirmed-loss", "committed-stays", "panic"];
    HardStateUnwritten, "hard-state-unwritten", "the log gets an empty term and vote in place of the true ones", ["durability", "one-leader-per-term", "monotonic"];
    // Recovery.
    ForgetVote, "forget-vote", "a restarted node forgets whom it voted for in its current term", ["durability", "one-leader-per-term"];
    ForgetTail, "forget-tail", "recovery takes the last synced entries of a log for a torn tail and cuts them", ["durability", "committed-stays", "no-confirmed-loss"];
    RecoverNothing, "recover-nothing", "a restarted node has forgotten the logs of its queues", ["durability", "no-confirmed-loss", "monotonic"];
    WipedNodeVotes, "wiped-node-votes", "a node whose disk was emptied votes and acknowledges before it is whole again", ["no-confirmed-loss", "committed-stays", "one-leader-per-term", "single-vote", "replica-agreement"];
    NewIdentity, "new-identity", "a restarted node is a stranger to the other members of its queues", ["liveness"];
    RecoverCommitAhead, "recover-commit-ahead", "recovery takes every entry that it finds for a committed one", ["quorum", "committed-stays", "replica-agreement", "liveness"];
    CorruptStartsEmpty, "corrupt-starts-empty", "a node that finds its log corrupt drops it and starts without one", ["durability", "no-confirmed-loss", "committed-stays", "one-leader-per-term", "replica-agreement"];
    ReuseIncarnation, "reuse-incarnation", "every start of a node uses the session of its first one", ["no-confirmed-loss", "liveness"];
    // Election and vote.
    ElectBehind, "elect-behind", "a node votes for candidates whose log lacks what it has", ["committed-stays", "no-confirmed-loss", "replica-agreement", "panic"];
    VoteTwice, "vote-twice", "a node gives its vote of one term to everyone who asks", ["one-leader-per-term", "durability", "single-vote"];
    AcceptOldTerm, "accept-old-term", "a follower accepts entries from the leader of an earlier term", ["committed-stays", "replica-agreement", "log-matching", "panic"];
    StalledLeaderStays, "stalled-leader-stays", "a leader whose disk does not answer goes on leading", ["liveness"];
    // Commit and apply.
    CommitAlone, "commit-alone", "a leader commits what its own disk has synced, without a majority", ["quorum", "lock", "committed-stays", "no-confirmed-loss", "replica-agreement", "panic"];
    SkipEntry, "skip-entry", "a follower leaves out one committed entry in a hundred", ["replica-agreement"];
    OwnOrder, "own-order", "some replicas apply the publishes of one command in an order of their own", ["replica-agreement", "publisher-order", "attempts-bound", "no-fresh-duplicate"];
    RestampEntries, "restamp-entries", "a follower stores entries of earlier terms under the leader's term", ["committed-stays", "log-matching", "replica-agreement"];
    // Membership.
    LearnersCount, "learners-count", "a leader counts the acknowledgements of learners towards the majority", ["quorum", "committed-stays", "no-confirmed-loss", "replica-agreement", "panic"];
    ForgetMembership, "forget-membership", "a restarted node leaves out the changes of members that it finds in its log", ["replica-agreement", "committed-stays", "one-leader-per-term"];
    MembersFromDeclaration, "members-from-declaration", "a restarted node takes a group's members from its declaration, not from its snapshot", ["replica-agreement", "committed-stays", "one-leader-per-term"];
    ChangesOverlap, "changes-overlap", "a leader begins a change of members while another is under way", ["quorum", "committed-stays", "one-leader-per-term"];
    RemovedKeepsHeld, "removed-keeps-held", "what the clients of a removed node hold is never given back", ["liveness", "no-confirmed-loss", "single-owner"];
    // Snapshot and compaction.
    SnapshotEmpty, "snapshot-empty", "a compacted log leaves a snapshot of an empty queue", ["replica-agreement", "no-confirmed-loss"];
    ForgetSnapshot, "forget-snapshot", "a restarted node begins behind its snapshot without having read it", ["replica-agreement", "no-confirmed-loss"];
    RestoreIgnored, "restore-ignored", "a follower takes a snapshot's index and keeps its old state", ["replica-agreement"];
    SnapshotUnwritten, "snapshot-unwritten", "a snapshot from the leader is installed and not written to the log", ["durability", "liveness"];
    SnapshotForgetsCounts, "snapshot-forgets-counts", "a snapshot does not keep how often messages were put back", ["delivery-count", "replica-agreement", "no-fresh-duplicate"];
    // Dedup and resend.
    PublishTwice, "publish-twice", "one publish in a hundred enters the queue twice", ["attempts-bound", "no-fresh-duplicate"];
    ResendRenumbered, "resend-renumbered", "what is resent after a change of leader counts as new", ["attempts-bound", "no-fresh-duplicate"];
    FirstBatchLost, "first-batch-lost", "what a session proposes is not resent as long as nothing of it was applied", ["liveness"];
    NoResend, "no-resend", "what a dead leader was given is not proposed to the next one", ["liveness"];
    // Order.
    ReorderBatch, "reorder-batch", "publishes that travel in one command are written in reverse order", ["publisher-order", "queue-linearizable"];
    DeliverInReverse, "deliver-in-reverse", "what one command delivers reaches the consumer in reverse order", ["publisher-order", "requeue-order", "queue-linearizable"];
    // Delivery and prefetch.
    RedeliverWithoutFlag, "redeliver-without-flag", "a redelivered message is not flagged as redelivered", ["no-fresh-duplicate", "attempts-bound"];
    PrefetchIgnored, "prefetch-ignored", "a consumer gets everything at once, whatever its prefetch", ["prefetch"];
    PrefetchPlusOne, "prefetch-plus-one", "a consumer gets one message more than its prefetch allows", ["prefetch"];
    RevokedCredit, "revoked-credit", "a consumer whose messages were taken back gets its whole prefetch anew", ["prefetch"];
    RevokeUnheard, "revoke-unheard", "a node that was given up does not attach its consumers again", ["liveness"];
    NodeNeverLost, "node-never-lost", "what a silent node's clients hold is never given back", ["liveness", "single-owner"];
    // Ack, requeue, get.
    AckOnDelivery, "ack-on-delivery", "a delivery counts as acked when it is sent", ["no-confirmed-loss", "prefetch", "settle-applied"];
    GetSettles, "get-settles", "a message that was got counts as acked when it is sent", ["no-confirmed-loss", "settle-applied"];
    DropAck, "drop-ack", "one ack in twenty is not passed on to the queue", ["settle-applied"];
    NackDrops, "nack-drops", "a nack with requeue drops the message", ["settle-applied"];
    CloseForgetsHeld, "close-forgets-held", "what a closed channel held is not given back", ["no-confirmed-loss", "liveness", "single-owner"];
    CloseWithoutLeader, "close-without-leader", "what a channel holds that is closed while its queue has no leader is not given back", ["no-confirmed-loss", "liveness", "single-owner"];
    StaleEmptyGet, "stale-empty-get", "a get is answered from the node's own replica if that is empty", ["queue-linearizable"];
    // Back-pressure and channels.
    BlockedDropped, "blocked-dropped", "what waits for a blocked channel is confirmed and dropped once the channel goes on", ["no-confirmed-loss", "queue-linearizable"];
    UnblockedSwallowed, "unblocked-swallowed", "a connection that was blocked is never told that it is no more", ["liveness"];
    TagsGoOn, "tags-go-on", "a channel whose number was used before counts its publishes on from there", ["confirm-protocol", "liveness"];
    // Metadata and routing.
    RouteAroundLeaderless, "route-around-leaderless", "a publish to a queue without a leader is confirmed and kept nowhere", ["no-confirmed-loss", "confirm-protocol"];
    PublishToAll, "publish-to-all", "one publish in fifty reaches every queue", ["no-phantom"];
    // Framing.
    TruncateBody, "truncate-body", "a body of more than 1000 bytes is cut", ["no-phantom"];
    // Clock use.
    IncarnationFromClock, "incarnation-from-clock", "sessions are numbered by the minutes of the wall clock, not by starts", ["no-confirmed-loss", "liveness"];
    // Determinism.
    UnseededElection, "unseeded-election", "election timeouts come from the system's entropy, which no seed reaches", ["determinism"];
}

impl Sabotage {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sabotage| sabotage.name() == name)
    }

    /// Whether the bug is planted and this is one of the cases, one in `period` by their `number`, that it spoils. The
    /// first comes early, so that a short run can show it.
    pub(crate) fn strikes<P: Platform>(self, platform: &P, number: u64, period: u64) -> bool {
        platform.sabotaged(self) && number % period == period / 10
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_planted_bug_has_a_name_and_a_sentence_of_its_own() {
        let names: BTreeSet<&str> = Sabotage::ALL.iter().map(|sabotage| sabotage.name()).collect();
        let sentences: BTreeSet<&str> = Sabotage::ALL.iter().map(|sabotage| sabotage.describe()).collect();
        assert_eq!((names.len(), sentences.len()), (Sabotage::ALL.len(), Sabotage::ALL.len()));
        assert!(Sabotage::ALL.into_iter().all(|sabotage| Sabotage::from_name(sabotage.name()) == Some(sabotage)));
    }
}
