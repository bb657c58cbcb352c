//! Chaos points: where a simulation may make the broker take a turn that is rare in reality, and legal.
//!
//! A network, a disk and a scheduler seldom show the worst order of things, and a short run never meets it. So the
//! broker asks its platform at places where it could as well act otherwise, and the simulation says yes now and then,
//! by the seed. Nothing here breaks a promise: a message that is lost, late or repeated is what Raft expects of its
//! network, a sync may take its time, a suspicion may be wrong. The real platform answers `false` as a constant from an
//! inlined method, so the compiler removes question and turn from a production build.

use std::time::Duration;

use super::Platform;

/// One list makes the enum and everything that is known of each point.
macro_rules! points {
    ($($variant:ident, $name:literal, $likelihood:literal, $sentence:literal;)+) => {
        /// A place where the broker may take a rare turn.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Chaos {
            $(#[doc = $sentence] $variant,)+
        }

        impl Chaos {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The name used in records and reports.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What happens there, in a sentence.
            pub fn describe(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)+
                }
            }

            /// How likely a turn is each time that the broker asks, at the usual rate of 1. What is asked for each
            /// message is rarer than what is asked for each election.
            pub fn likelihood(self) -> f64 {
                match self {
                    $(Self::$variant => $likelihood,)+
                }
            }
        }
    };
}

points! {
    // Log.
    FlushLate, "log.flush-late", 0.01, "the log waits for up to 100 ms before a sync";
    BatchSplit, "log.batch-split", 0.05, "a batch goes to the log in two writes, with a sync for each";
    CompactEarly, "log.compact-early", 0.002, "a log is compacted long before it is due";
    TailForgotten, "log.tail-forgotten", 0.3, "a compacted log keeps no tail: late followers need a snapshot, not entries";
    // Messages between nodes.
    MessageLost, "raft.message-lost", 0.002, "a message is lost at the link's edge, as when a stream breaks";
    MessageLate, "raft.message-late", 0.004, "a message leaves a round later, behind those that follow it";
    MessageAgain, "raft.message-again", 0.01, "a message leaves a second time, up to two seconds later";
    LinkCut, "link.cut", 0.005, "a node hangs up on a peer that lives, and dials it again";
    // Elections.
    ElectionHasty, "election.hasty", 0.3, "an election timeout is the shortest that there is";
    LeaderTired, "election.leader-tired", 0.0005, "a leader lays its role down for no reason";
    NodeSuspected, "node.suspected", 0.03, "a leader gives up a node that lives: what its clients hold goes back";
    // Sessions and channels.
    CommandLost, "session.command-lost", 0.005, "a command is lost on its way to the leader";
    CommandShort, "session.command-short", 0.05, "operations that would make one command make several";
    ResendEarly, "session.resend-early", 0.005, "operations are proposed again although none was lost";
    ChannelLate, "channel.late", 0.003, "a channel takes its time before it looks at what the cluster tells, and others overtake it";
}

impl Chaos {
    /// How long the turn lasts: something up to `most`, at least a millisecond.
    pub(crate) fn spell<P: Platform>(platform: &P, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(1 + platform.random() % millis)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_point_has_a_name_and_a_sentence_of_its_own_and_is_rare() {
        let names: BTreeSet<&str> = Chaos::ALL.iter().map(|point| point.name()).collect();
        let sentences: BTreeSet<&str> = Chaos::ALL.iter().map(|point| point.describe()).collect();
        assert_eq!((names.len(), sentences.len()), (Chaos::ALL.len(), Chaos::ALL.len()));
        assert!(Chaos::ALL.iter().all(|point| (0.0..0.5).contains(&point.likelihood())));
    }
}
