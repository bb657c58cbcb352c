//! Several registers that are read and written together: `[["r", key, value], ["w", key, value], …]`.
//!
//! Registers that no transaction names together, directly or through others, are independent objects.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Value;

use super::{
    history::{Names, plain},
    search::{Object, mix},
    values::Values,
};

/// Registers and values by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    Read { key: u32, value: u32 },
    Write { key: u32, value: u32 },
}

impl Access {
    pub fn key(self) -> u32 {
        let (Self::Read { key, .. } | Self::Write { key, .. }) = self;
        key
    }
}

pub(super) type Action = Vec<Access>;

pub(super) struct Registers<'v> {
    pub initial: u32,
    /// What is not here is initial.
    pub written: BTreeMap<u32, u32>,
    pub fingerprint: u128,
    pub keys: &'v [String],
    pub values: &'v RefCell<Values>,
}

impl Registers<'_> {
    fn get(&self, key: u32) -> u32 {
        self.written.get(&key).copied().unwrap_or(self.initial)
    }

    fn set(&mut self, key: u32, value: u32) {
        let before = self.written.insert(key, value).unwrap_or(self.initial);
        // So that a register that is initial again counts as one that has never been written.
        for value in [before, value].into_iter().filter(|value| *value != self.initial) {
            self.fingerprint ^= mix(u64::from(key), u64::from(value));
        }
    }
}

impl Object for Registers<'_> {
    type Action = Action;
    /// What the written registers held, in order.
    type Undo = Vec<(u32, u32)>;

    fn apply(&mut self, action: &Action) -> Option<Self::Undo> {
        let mut undo = Vec::new();
        for access in action {
            match *access {
                Access::Read { key, value } if self.get(key) != value => {
                    self.undo(action, undo);
                    return None;
                }
                Access::Read { .. } => {}
                Access::Write { key, value } => {
                    undo.push((key, self.get(key)));
                    self.set(key, value);
                }
            }
        }
        Some(undo)
    }

    fn undo(&mut self, _: &Action, undo: Self::Undo) {
        for (key, before) in undo.into_iter().rev() {
            self.set(key, before);
        }
    }

    fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    fn describe(&self) -> String {
        let values = self.values.borrow();
        let shown = self.written.iter().take(6);
        let shown: Vec<String> =
            shown.map(|(key, value)| format!("{} is {}", self.keys[*key as usize], values.value(*value))).collect();
        if shown.is_empty() { "nothing has been written".to_owned() } else { shown.join(", ") }
    }
}

/// The accesses of a transaction; reads of unknown result are left out.
pub(super) fn accesses(
    value: &Value,
    known: bool,
    keys: &mut Names,
    values: &mut Values,
) -> Result<Action, &'static str> {
    const SHAPE: &str = r#"a transaction is a list of ["r", key, value] and ["w", key, value]"#;
    let mut action = Action::new();
    for access in value.as_array().ok_or(SHAPE)? {
        let [what, key, value] = access.as_array().ok_or(SHAPE)?.as_slice() else { return Err(SHAPE) };
        let key = keys.number(&plain(key));
        match what.as_str().ok_or(SHAPE)? {
            "r" | "read" if known => action.push(Access::Read { key, value: values.number(value) }),
            "r" | "read" => {}
            "w" | "write" => action.push(Access::Write { key, value: values.number(value) }),
            _ => return Err(SHAPE),
        }
    }
    Ok(action)
}

/// Numbers the groups of keys that are named together, per key.
pub(super) fn groups<'a>(actions: impl Iterator<Item = &'a Action>, keys: usize) -> Vec<u32> {
    let mut parents: Vec<u32> = (0..keys as u32).collect();
    fn root(parents: &mut [u32], mut key: u32) -> u32 {
        while parents[key as usize] != key {
            parents[key as usize] = parents[parents[key as usize] as usize];
            key = parents[key as usize];
        }
        key
    }
    for action in actions {
        for pair in action.windows(2) {
            let (a, b) = (root(&mut parents, pair[0].key()), root(&mut parents, pair[1].key()));
            parents[a.max(b) as usize] = a.min(b);
        }
    }
    (0..keys as u32).map(|key| root(&mut parents, key)).collect()
}
