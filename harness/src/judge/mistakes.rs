//! What is wrong with a history file, gathered until there is enough to mend.

use std::ops::Range;

use crate::scenario::{Problem, Problems};

/// After so many mistakes the rest is probably of the same kind.
const MISTAKES_MAX: usize = 10;

#[derive(Default)]
pub(super) struct Mistakes {
    found: Vec<Mistake>,
}

struct Mistake {
    span: Range<usize>,
    message: String,
    label: String,
    help: Option<String>,
}

impl Mistakes {
    /// Notes a mistake. `label` stands under the caret; `help` says how to mend it.
    pub fn add(&mut self, span: Range<usize>, message: impl Into<String>, label: impl Into<String>, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.found.push(Mistake { span, message: message.into(), label: label.into(), help });
    }

    pub fn are_enough(&self) -> bool {
        self.found.len() >= MISTAKES_MAX
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// With their places in the file at `path`, in order.
    pub fn into_problems(self, path: &str, text: &str) -> Vec<Problem> {
        let mut problems = Problems::new(path, text);
        for Mistake { span, message, label, help } in self.found {
            problems.add(&span, message, label, help);
        }
        problems.into_sorted()
    }
}
