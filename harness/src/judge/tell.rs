//! Why a history is refused, in a sentence, and the operations that show it.

use super::history::{History, ModelKind};
use crate::check::fifo::Pattern;

/// So many operations before the refused one are shown.
const SHOWN_BEFORE: usize = 8;

/// Why an object's part of the history has no linearization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub sentence: String,
    /// Indices of the operations that have no place.
    pub offending: Vec<usize>,
    /// Indices of the operations that show it, among them the offending ones.
    pub witness: Vec<usize>,
}

pub(super) struct Teller<'a> {
    pub history: &'a History,
    pub model: ModelKind,
    /// The key; empty if there is but one object.
    pub object: &'a str,
}

impl Teller<'_> {
    /// `process 2: read → 1 (time 30 to 35, line 7)`
    fn operation(&self, index: usize) -> String {
        let process = &self.history.processes[self.history.operations[index].process as usize];
        let (what, when, line) = (self.history.describe(index), self.history.when(index), self.history.lines(index));
        format!("`{what}` by process {process} ({when}, {line})")
    }

    fn within(&self) -> String {
        if self.object.is_empty() { String::new() } else { format!(" on {}", self.object) }
    }

    /// A search got as far as `order`, which leaves the object as `state` says, and found no place for `stuck`.
    pub fn stuck(&self, stuck: usize, order: &[usize], state: &str) -> Finding {
        let (what, model) = (self.operation(stuck), self.model.name());
        let sentence = match order.len() {
            0 => format!("{what} has no place{}: a new {model} does not answer so", self.within()),
            count => {
                let before = if count == 1 { "one operation".to_owned() } else { format!("{count} operations") };
                format!(
                    "{what} has no place{}: what ended before it fits a {model} ({before}; after them, in one order, \
                     {state}), but in no order can this come next",
                    self.within()
                )
            }
        };
        let mut witness = order[order.len().saturating_sub(SHOWN_BEFORE)..].to_vec();
        witness.push(stuck);
        Finding { sentence, offending: vec![stuck], witness }
    }

    /// The search was given up, but `seen` saw a value that nobody can have written.
    pub fn unwritten(&self, seen: usize) -> Finding {
        let sentence = format!("{} saw what nobody had written{}", self.operation(seen), self.within());
        Finding { sentence, offending: vec![seen], witness: vec![seen] }
    }

    pub fn undecided(&self, count: usize, unknown: usize, budget: u64, stuck: Option<usize>) -> String {
        let stuck = stuck.map(|stuck| format!("; it got as far as {}", self.operation(stuck))).unwrap_or_default();
        format!(
            "the search{} was given up after {budget} steps beyond the usual: {unknown} of {count} operations are of \
             unknown outcome{stuck}; a larger --budget may decide it",
            self.within()
        )
    }

    /// What the sweep of a queue found; `sources` are the operations behind its numbers.
    pub fn pattern(&self, pattern: &Pattern, sources: &[u32]) -> Finding {
        let source = |index: usize| sources[index] as usize;
        let say = |index: usize| self.operation(source(index));
        let (sentence, offending, witness) = match *pattern {
            Pattern::AddedTwice { first, second } | Pattern::RemovedTwice { first, second } => {
                (format!("{} took what {} had taken", say(second), say(first)), vec![second], vec![first, second])
            }
            Pattern::NeverAdded { remove } => {
                (format!("{} took what was never enqueued", say(remove)), vec![remove], vec![remove])
            }
            Pattern::RemovedBeforeAdded { add, remove } => (
                format!("{} took what was not yet enqueued: {} came later", say(remove), say(add)),
                vec![remove],
                vec![remove, add],
            ),
            Pattern::Overtaken { earlier_add, earlier_remove: Some(remove), later_add, later_remove }
                if source(remove) == source(later_remove) =>
            {
                let (drain, earlier, later) = (say(remove), say(earlier_add), say(later_add));
                (
                    format!("{drain} took what came later, of {later}, before what came of {earlier}"),
                    vec![remove],
                    vec![earlier_add, later_add, remove],
                )
            }
            Pattern::Overtaken { earlier_add, earlier_remove, later_add, later_remove } => {
                // A removal that was only supposed shows as the addition of what it would have removed.
                let earlier_remove = earlier_remove.filter(|&remove| source(remove) != source(earlier_add));
                let then = match earlier_remove {
                    Some(remove) => format!("which only {} took", say(remove)),
                    None => "which was still there".to_owned(),
                };
                (
                    format!(
                        "{} overtook {}, {then}: what it took was enqueued later, by {}",
                        say(later_remove),
                        say(earlier_add),
                        say(later_add)
                    ),
                    vec![later_remove],
                    [earlier_add, later_add, later_remove].into_iter().chain(earlier_remove).collect(),
                )
            }
            Pattern::NotEmpty { empty, ref chain } => {
                let held: Vec<String> = chain.iter().take(4).map(|&add| say(add)).collect();
                let more = if chain.len() > held.len() { ", …" } else { "" };
                (
                    format!(
                        "{} found{} nothing, but all that time there was what came of {}{more}",
                        say(empty),
                        self.within(),
                        held.join(", then of ")
                    ),
                    vec![empty],
                    chain.iter().copied().chain([empty]).collect(),
                )
            }
        };
        let all = |indices: Vec<usize>| indices.into_iter().map(source).collect();
        Finding { sentence, offending: all(offending), witness: all(witness) }
    }
}
