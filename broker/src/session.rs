//! Exactly-once, in-order submission of commands to a replicated group.
//!
//! A session is one run of one node's process. It numbers the operations that it submits to a group 1, 2, 3, …; the
//! group's state machine remembers the last number it applied for each node and admits only the next ones. So a node
//! may resend whatever it has not yet seen applied, across any change of leader, and nothing is applied twice or out
//! of order.
//!
//! [`Sessions`] is the part of a state machine that remembers and decides. Every replica asks it the same questions
//! in the same order, so every replica admits the same operations.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::platform::NodeId;

/// One run of a node's process. Incarnations of a node rise with each start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Session {
    pub node: NodeId,
    pub incarnation: u64,
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.node, self.incarnation)
    }
}

/// The current session of each node, and how far its operations have been applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    // One session per node: an older incarnation's process is dead, nothing of it can be waited for.
    current: BTreeMap<NodeId, Progress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    incarnation: u64,
    applied: u64,
}

/// What to do with a command's operations. See [`Sessions::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Leave out the first `skip` operations (they were applied before; possibly all) and apply the rest in order.
    Apply {
        skip: usize,
        /// The node's earlier session, which ends here: drop everything that it held *before* applying the rest.
        superseded: Option<Session>,
    },
    /// Apply nothing: operations between `expected` and the command's first are missing. The session resends.
    Gap { expected: u64 },
    /// Apply nothing: the node has a newer session, nobody waits for this one.
    Outdated,
}

impl Sessions {
    /// Decides which of the `count` operations numbered from `first` the state machine must apply now, and counts
    /// those as applied. The caller must then apply them all, or replicas differ.
    ///
    /// The first session of a node, and each newer incarnation, must begin with operation 1; before that it does not
    /// exist ([`Admission::Gap`]), and the older one stays.
    pub fn admit(&mut self, session: Session, first: u64, count: usize) -> Admission {
        let known = self.current.get(&session.node).copied();
        if known.is_some_and(|known| session.incarnation < known.incarnation) {
            return Admission::Outdated;
        }
        let same = known.filter(|known| known.incarnation == session.incarnation);
        let expected = same.map_or(0, |progress| progress.applied) + 1;
        let Some(end) = first.checked_add(count as u64).filter(|_| (1..=expected).contains(&first)) else {
            return Admission::Gap { expected };
        };
        let skip = count.min((expected - first) as usize);
        let applied = (expected - 1).max(end - 1);
        self.current.insert(session.node, Progress { incarnation: session.incarnation, applied });
        let superseded =
            known.filter(|_| same.is_none()).map(|old| Session { incarnation: old.incarnation, ..session });
        Admission::Apply { skip, superseded }
    }

    /// The number of the last operation applied for `session`; `None` when it is not its node's current session.
    pub fn applied(&self, session: Session) -> Option<u64> {
        self.current
            .get(&session.node)
            .filter(|progress| progress.incarnation == session.incarnation)
            .map(|progress| progress.applied)
    }

    /// The current session of `node`, if it ever had one.
    pub fn current(&self, node: NodeId) -> Option<Session> {
        self.current.get(&node).map(|progress| Session { node, incarnation: progress.incarnation })
    }

    /// Every current session with the number of its last applied operation, by node.
    pub fn iter(&self) -> impl Iterator<Item = (Session, u64)> {
        self.current
            .iter()
            .map(|(&node, progress)| (Session { node, incarnation: progress.incarnation }, progress.applied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Session = Session { node: NodeId(1), incarnation: 4 };
    const SECOND: Session = Session { node: NodeId(1), incarnation: 5 };

    fn apply(skip: usize) -> Admission {
        Admission::Apply { skip, superseded: None }
    }

    #[test]
    fn operations_already_applied_are_skipped() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.admit(FIRST, 1, 3), apply(0));
        assert_eq!(sessions.admit(FIRST, 1, 3), apply(3));
        assert_eq!(sessions.admit(FIRST, 2, 4), apply(2));
        assert_eq!(sessions.admit(FIRST, 3, 1), apply(1));
        assert_eq!(sessions.applied(FIRST), Some(5));
    }

    #[test]
    fn a_gap_is_refused_and_changes_nothing() {
        let mut sessions = Sessions::default();
        assert_eq!(sessions.admit(FIRST, 2, 1), Admission::Gap { expected: 1 });
        assert_eq!(sessions, Sessions::default());
        sessions.admit(FIRST, 1, 2);
        assert_eq!(sessions.admit(FIRST, 4, 1), Admission::Gap { expected: 3 });
        assert_eq!(sessions.admit(FIRST, 0, 9), Admission::Gap { expected: 3 });
        assert_eq!(sessions.admit(FIRST, u64::MAX, 9), Admission::Gap { expected: 3 });
        assert_eq!(sessions.applied(FIRST), Some(2));
    }

    #[test]
    fn a_newer_incarnation_supersedes_the_older_only_from_its_first_operation() {
        let mut sessions = Sessions::default();
        sessions.admit(FIRST, 1, 7);
        assert_eq!(sessions.admit(SECOND, 2, 1), Admission::Gap { expected: 1 });
        assert_eq!(sessions.current(NodeId(1)), Some(FIRST));
        assert_eq!(sessions.admit(SECOND, 1, 2), Admission::Apply { skip: 0, superseded: Some(FIRST) });
        assert_eq!(sessions.admit(SECOND, 1, 2), apply(2));
        assert_eq!(sessions.applied(FIRST), None);
        assert_eq!(sessions.applied(SECOND), Some(2));
    }

    #[test]
    fn an_older_incarnation_is_refused() {
        let mut sessions = Sessions::default();
        sessions.admit(SECOND, 1, 1);
        assert_eq!(sessions.admit(FIRST, 1, 1), Admission::Outdated);
        assert_eq!(sessions.iter().collect::<Vec<_>>(), [(SECOND, 1)]);
    }
}
