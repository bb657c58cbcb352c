//! Each node's log of each group, rebuilt from what the node told.

use std::collections::{BTreeMap, VecDeque};

use warren::platform::{GroupId, NodeId, Observation};

/// What identifies a log entry besides its index: the term, and a hash of the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) term: u64,
    pub(crate) hash: u64,
}

/// One group's log on one node: the entries after `base`, as far as they are known.
#[derive(Clone, Default)]
pub(crate) struct Log {
    base: u64,
    /// `None`: recovered by the node, but never seen being appended.
    entries: VecDeque<Option<Entry>>,
    /// Entries up to here were the same at some earlier look and have not been replaced since.
    pub(crate) verified: u64,
    /// A snapshot was told of after entries beyond it; whether they came after it, the next append will tell.
    doubtful: bool,
}

impl Log {
    /// The log starts after this index.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    pub(crate) fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(crate) fn get(&self, index: u64) -> Option<Entry> {
        let offset = index.checked_sub(self.base + 1)?;
        self.entries.get(usize::try_from(offset).ok()?).copied().flatten()
    }

    /// Whether the log certainly ends before `index`.
    pub(crate) fn ends_before(&self, index: u64) -> bool {
        !self.doubtful && index > self.last()
    }

    /// Whether a snapshot at `index` is one of this very log: Raft installs one from elsewhere only if the log does
    /// not contain its last entry.
    pub(crate) fn contains(&self, index: u64, term: u64) -> bool {
        index <= self.base || self.get(index).is_some_and(|entry| entry.term == term)
    }

    fn append(&mut self, index: u64, entry: Entry) {
        self.doubtful = false;
        let before = index.saturating_sub(1);
        if before < self.base || before > self.last() {
            self.restart(before);
        }
        self.cut(before);
        self.entries.push_back(Some(entry));
    }

    /// Keeps the entries up to `last`.
    pub(crate) fn cut(&mut self, last: u64) {
        self.entries.truncate(usize::try_from(last.saturating_sub(self.base)).unwrap_or(usize::MAX));
        self.verified = self.verified.min(last);
    }

    /// The log is empty and starts after `base`.
    fn restart(&mut self, base: u64) {
        self.base = base;
        self.entries.clear();
        self.verified = self.verified.min(base);
    }

    fn compact(&mut self, index: u64) {
        if index >= self.last() {
            let verified = self.verified;
            self.restart(index);
            self.verified = verified;
            return;
        }
        let gone = index.saturating_sub(self.base);
        self.entries.drain(..usize::try_from(gone).unwrap_or(0));
        self.base = self.base.max(index);
    }

    /// A node tells of a snapshot when it is durable; it may have appended beyond it before.
    fn install(&mut self, index: u64, term: u64) {
        if self.contains(index, term) {
            self.compact(index);
        } else {
            self.doubtful = self.last() > index;
            self.restart(index);
        }
    }

    fn recover(&mut self, snapshot: u64, last: u64) {
        self.doubtful = false;
        let last = last.max(snapshot);
        self.compact(snapshot);
        if last < self.base {
            self.restart(last);
        }
        self.cut(last);
        // Far more than any run appends: the node speaks of a log that this history knows nothing of.
        const UNKNOWN_MAX: u64 = 1 << 20;
        if last - self.last() > UNKNOWN_MAX {
            self.restart(last);
        }
        while self.last() < last {
            self.entries.push_back(None);
        }
    }
}

#[derive(Default)]
pub(crate) struct Logs {
    logs: BTreeMap<(NodeId, GroupId), Log>,
}

impl Logs {
    pub(crate) fn of(&mut self, node: NodeId, group: GroupId) -> &mut Log {
        self.logs.entry((node, group)).or_default()
    }

    /// All logs of `node`.
    pub(crate) fn of_node(&self, node: NodeId) -> impl Iterator<Item = (GroupId, &Log)> {
        self.logs.range((node, GroupId(0))..=(node, GroupId(u64::MAX))).map(|((_, group), log)| (*group, log))
    }

    /// Takes in what `node` told about its logs.
    pub(crate) fn observe(&mut self, node: NodeId, observation: &Observation) {
        match *observation {
            Observation::Appended { group, index, term, hash } => {
                self.of(node, group).append(index.0, Entry { term: term.0, hash });
            }
            Observation::Recovered(ref state) => {
                self.of(node, state.group).recover(state.snapshot.0.0, state.last.0.0);
            }
            Observation::SnapshotInstalled { group, index, term, .. } => {
                self.of(node, group).install(index.0, term.0);
            }
            Observation::Compacted { group, index, .. } => self.of(node, group).compact(index.0),
            Observation::GroupClosed { group } => {
                self.logs.remove(&(node, group));
            }
            _ => {}
        }
    }
}
