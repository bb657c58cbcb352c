//! Planted bugs: what Ferret switches on to prove that its checkers can fail.
//!
//! Each is a one-line hook where the broker asks its platform. The real platform answers `false` as a constant, so a
//! production build carries none of them.

/// A bug that can be planted, by the promise it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// Appends count as durable, and are acknowledged to the leader, before the disk has synced them.
    ConfirmBeforeSync,
    /// A publish is confirmed when the leader has it, before a majority does.
    ConfirmBeforeMajority,
    /// A restarted node forgets for whom it voted in its current term.
    ForgetVote,
    /// Redelivered messages carry `redelivered = false`.
    RedeliverWithoutFlag,
}

impl Sabotage {
    pub const ALL: [Self; 4] =
        [Self::ConfirmBeforeSync, Self::ConfirmBeforeMajority, Self::ForgetVote, Self::RedeliverWithoutFlag];

    /// The name used on the command line and in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConfirmBeforeSync => "confirm-before-sync",
            Self::ConfirmBeforeMajority => "confirm-before-majority",
            Self::ForgetVote => "forget-vote",
            Self::RedeliverWithoutFlag => "redeliver-without-flag",
        }
    }

    /// What the bug does, in a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::ConfirmBeforeSync => "a node acknowledges log entries before its disk has synced them",
            Self::ConfirmBeforeMajority => "the leader's node confirms a publish before a majority has it",
            Self::ForgetVote => "a restarted node forgets whom it voted for in its current term",
            Self::RedeliverWithoutFlag => "a redelivered message is not flagged as redelivered",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sabotage| sabotage.name() == name)
    }
}
