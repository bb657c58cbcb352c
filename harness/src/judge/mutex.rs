//! A lock: free, or held by one process, which alone can release it.

use super::search::{Object, mix};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// By a process.
    Acquire(u32),
    Release(u32),
}

pub(super) struct Mutex<'n> {
    pub holder: Option<u32>,
    /// Of processes.
    pub names: &'n [String],
}

impl Object for Mutex<'_> {
    type Action = Action;
    type Undo = Option<u32>;

    fn apply(&mut self, action: &Action) -> Option<Option<u32>> {
        let before = self.holder;
        self.holder = match (*action, before) {
            (Action::Acquire(process), None) => Some(process),
            (Action::Release(process), Some(holder)) if process == holder => None,
            _ => return None,
        };
        Some(before)
    }

    fn undo(&mut self, _: &Action, before: Option<u32>) {
        self.holder = before;
    }

    fn fingerprint(&self) -> u128 {
        mix(self.holder.map_or(0, |holder| u64::from(holder) + 1), 0)
    }

    fn describe(&self) -> String {
        match self.holder {
            Some(holder) => format!("process {} holds the lock", self.names[holder as usize]),
            None => "nobody holds the lock".to_owned(),
        }
    }
}
