//! Registers, compare-and-set registers, and the values of a key-value store: one value that is read and written.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use super::{
    history::{Operation, Outcome, Verb},
    search::{Object, Placed, mix},
    values::Values,
};

/// Values by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    Read(u32),
    Write(u32),
    Append(u32),
    /// `done`: what it answered, if it did.
    Cas {
        from: u32,
        to: u32,
        done: Option<bool>,
    },
}

pub(super) struct Cell<'v> {
    pub value: u32,
    pub values: &'v RefCell<Values>,
}

impl Object for Cell<'_> {
    type Action = Action;
    type Undo = u32;

    fn apply(&mut self, action: &Action) -> Option<u32> {
        let before = self.value;
        match *action {
            Action::Read(seen) if seen != before => return None,
            Action::Read(_) => {}
            Action::Write(value) => self.value = value,
            Action::Append(piece) => self.value = self.values.borrow_mut().append(before, piece),
            Action::Cas { from, to, done } => {
                if done.is_some_and(|done| done != (from == before)) {
                    return None;
                }
                if from == before {
                    self.value = to;
                }
            }
        }
        Some(before)
    }

    fn undo(&mut self, _: &Action, before: u32) {
        self.value = before;
    }

    fn fingerprint(&self) -> u128 {
        mix(u64::from(self.value), 0)
    }

    fn describe(&self) -> String {
        format!("its value is {}", self.values.borrow().value(self.value))
    }
}

/// What an operation does; `None` if it tells nothing. `Err`: why its value makes no sense.
pub(super) fn action(
    operation: &Operation,
    initial: u32,
    values: &RefCell<Values>,
) -> Result<Option<Action>, &'static str> {
    let mut values = values.borrow_mut();
    let known = operation.outcome == Outcome::Ok;
    Ok(match operation.verb {
        Verb::Read | Verb::Get => known.then(|| Action::Read(values.number(&operation.value))),
        Verb::Append => Some(Action::Append(values.number(&operation.value))),
        Verb::Delete => Some(Action::Write(initial)),
        Verb::Cas => {
            let Value::Array(pair) = &operation.value else { return Err("a cas has two values: [from, to]") };
            let [from, to] = pair.as_slice() else { return Err("a cas has two values: [from, to]") };
            let done = known.then_some(!operation.refused);
            Some(Action::Cas { from: values.number(from), to: values.number(to), done })
        }
        _ => Some(Action::Write(values.number(&operation.value))),
    })
}

/// Leaves out open operations whose new value nobody has seen: if they took effect, nobody could tell.
pub(super) fn leave_out_unseen(operations: &mut Vec<Placed<Action>>) {
    let mut seen = BTreeSet::new();
    for operation in operations.iter() {
        match operation.action {
            Action::Read(value) => seen.insert(value),
            Action::Cas { from, done: Some(true) | None, .. } => seen.insert(from),
            Action::Write(_) => false,
            // These see every value: that it is not theirs, or as a part of what follows.
            Action::Cas { done: Some(false), .. } | Action::Append(_) => return,
        };
    }
    operations.retain(|operation| {
        operation.end.is_some()
            || match operation.action {
                Action::Write(to) | Action::Cas { to, .. } => seen.contains(&to),
                Action::Read(_) | Action::Append(_) => true,
            }
    });
}

/// The first operation that saw a value which nobody can have written by then, if there is one and nothing appends.
pub(super) fn from_nowhere(operations: &[Placed<Action>], initial: u32) -> Option<&Placed<Action>> {
    let mut written: BTreeMap<u32, u64> = BTreeMap::from([(initial, 0)]);
    for operation in operations {
        match operation.action {
            Action::Write(value) | Action::Cas { to: value, .. } => {
                written
                    .entry(value)
                    .and_modify(|first| *first = operation.start.min(*first))
                    .or_insert(operation.start);
            }
            Action::Append(_) => return None,
            Action::Read(_) => {}
        }
    }
    let strange = operations.iter().filter(|operation| match (operation.action, operation.end) {
        (Action::Read(seen) | Action::Cas { from: seen, done: Some(true), .. }, Some(end)) => {
            written.get(&seen).is_none_or(|first| end < *first)
        }
        _ => false,
    });
    strange.min_by_key(|operation| operation.end)
}
