//! What is wrong with a scenario file: where, why, and how to mend it.

use std::{ops::Range, sync::Arc};

use miette::{Diagnostic, NamedSource, SourceSpan};

use crate::visible;

/// One mistake in a scenario file.
#[derive(Clone, Debug, thiserror::Error, Diagnostic)]
#[error("{message}")]
pub struct Problem {
    pub message: String,
    #[source_code]
    source_code: Arc<NamedSource<String>>,
    #[label("{label}")]
    span: SourceSpan,
    label: String,
    #[help]
    pub help: Option<String>,
}

impl Problem {
    /// The bytes of the file that it is about.
    pub fn span(&self) -> Range<usize> {
        self.span.offset()..self.span.offset() + self.span.len()
    }

    /// The 1-based line on which that begins.
    pub fn line(&self) -> usize {
        let before = self.source_code.inner().bytes().take(self.span().start);
        before.filter(|byte| *byte == b'\n').count() + 1
    }
}

/// The message of a mistake of TOML's own syntax.
pub(super) const NOT_TOML: &str = "this is not TOML";

/// A file with so many mistakes of syntax is written in something else.
const NOT_TOML_MANY: usize = 20;

/// Tables that only scenarios have.
const TABLES: [&str; 4] = ["run", "cluster", "queues", "timeline"];

/// Whether a file with these problems was never meant to be a scenario: it is not TOML through and through, or none of
/// a scenario's tables is there.
pub fn is_no_scenario(problems: &[Problem]) -> bool {
    let Some(first) = problems.first() else { return false };
    let syntax = problems.iter().filter(|problem| problem.message == NOT_TOML).count();
    let key = |line: &str| line.trim_start_matches([' ', '[']).split([']', ' ', '=', '.']).next().map(str::to_owned);
    let known = |line: &str| key(line).is_some_and(|key| TABLES.contains(&key.as_str()));
    syntax >= NOT_TOML_MANY || !first.source_code.inner().lines().any(known)
}

/// Collects the problems of one file.
pub(crate) struct Problems {
    source: Arc<NamedSource<String>>,
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let source = NamedSource::new(visible::line(path), visible::same_length(text));
        Self { source: Arc::new(source), found: Vec::new() }
    }

    /// Notes a problem. `label` stands under the caret; `help` says how to mend it. All three may quote the file, whose
    /// control characters then show as what they are.
    pub(crate) fn add(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.found.push(Problem {
            message: visible::line(&message.into()),
            source_code: self.source.clone(),
            span: (span.start, span.len()).into(),
            label: visible::line(&label.into()),
            help: help.map(|help| help.split('\n').map(visible::line).collect::<Vec<_>>().join("\n")),
        });
    }

    /// Whether something inside `span` is known to be wrong, so that what follows from it need not be said.
    pub(crate) fn any_within(&self, span: &Range<usize>) -> bool {
        self.found.iter().any(|problem| span.contains(&problem.span.offset()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// In the order of the file.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| (problem.span.offset(), problem.span.len()));
        self.found
    }
}

/// The known name that `wrong` was probably meant to be.
pub(super) fn closest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let wrong = plain(wrong);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&wrong, &plain(name)), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// "did you mean `x`?", or the list of what is known.
pub(crate) fn suggestion(wrong: &str, known: &[&str]) -> String {
    match closest(wrong, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "none is defined so far".into(),
        None => format!("known here: {}", known.join(", ")),
    }
}
