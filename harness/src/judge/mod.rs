//! Linearizability of recorded histories from anywhere: `ferret judge`.
//!
//! The way of a file: [`read`] recognizes its format, and `jsonl`, `jepsen` or `porcupine` make a [`History`] of it;
//! [`judge`] partitions it into objects and decides each, by a sweep (queues of distinct values) or by a search.

mod cell;
mod decide;
mod drain;
mod edn;
mod events;
mod history;
mod jepsen;
mod jsonl;
mod mistakes;
mod multi;
mod mutex;
mod numbers;
mod porcupine;
mod queue;
mod search;
mod tell;
#[cfg(test)]
mod tests;
mod values;

use std::sync::atomic::AtomicBool;

use serde_json::Value;

pub use edn::{Reader as EdnReader, Wrong as EdnWrong};
pub use history::{Format, History, ModelKind, Operation, Outcome, Verb};
pub use numbers::inexact;

use crate::scenario::Problem;
use decide::{Decision, Judging};
use mistakes::Mistakes;
use search::Limits;

/// The default of [`Options::budget`].
pub const BUDGET: u64 = 5_000_000;

/// How to judge.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to compare with; `None`: what the history says, or else the simplest model that has its operations.
    pub model: Option<ModelKind>,
    /// What registers hold before the first write; `None`: nothing (`null`), or `""` in Porcupine's maps.
    pub initial: Option<Value>,
    /// Per object: attempts to place an operation, beyond a hundred per operation.
    pub budget: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { model: None, initial: None, budget: BUDGET }
    }
}

/// What is known about a history. The worst comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Holds,
    /// There was nothing to check.
    Vacuous,
    /// The user stopped it.
    Incomplete,
    /// A budget was spent.
    Undecided,
    Violated,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Vacuous => "vacuous",
            Self::Incomplete => "incomplete",
            Self::Undecided => "undecided",
            Self::Violated => "violated",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub model: ModelKind,
    pub verdict: Verdict,
    /// How many operations were checked: all but the failed ones, and those that tell nothing.
    pub checked: usize,
    /// How many operations of the history are of unknown outcome.
    pub unknown: usize,
    /// How many objects were judged apart.
    pub objects: usize,
    /// The keys of objects that are not what the model says; one that has no key is called by the model.
    pub violated: Vec<String>,
    /// The keys of objects whose budget was spent.
    pub undecided: Vec<String>,
    /// Why it does not hold, of the first object that is to blame.
    pub explanation: Option<String>,
    /// Indices of the operations that have no place.
    pub offending: Vec<usize>,
    /// Indices of the operations that show it, among them the offending ones, in the order of time.
    pub witness: Vec<usize>,
}

/// The format of a history, by its first line that is not blank.
pub fn detect(text: &str) -> Format {
    let Some(first) = text.lines().map(str::trim_start).find(|line| !line.is_empty()) else { return Format::Jsonl };
    if text.lines().take(100).any(porcupine::is_log_line) {
        return Format::Porcupine;
    }
    let inner = first.strip_prefix('{').map(str::trim_start);
    match inner {
        Some(inner) if inner.starts_with(['"', '}']) => Format::Jsonl,
        Some(_) if edn::field(first, "key").is_some() => Format::Porcupine,
        Some(_) => Format::JepsenEdn,
        // `#jepsen.history.Op{…}`; but `# A title` is none of EDN's.
        None if first.starts_with(['[', '(', ';']) => Format::JepsenEdn,
        None if first.strip_prefix('#').is_some_and(|tag| tag.starts_with(char::is_alphabetic)) => Format::JepsenEdn,
        None => Format::Jsonl,
    }
}

/// Reads the history in `text`, which came from `path`.
///
/// # Errors
/// What is wrong with it, in the order of the file.
pub fn read(path: &str, text: &str, format: Format) -> Result<History, Vec<Problem>> {
    let mut mistakes = Mistakes::default();
    let history = match format {
        Format::Jsonl => jsonl::read(text, &mut mistakes),
        Format::JepsenEdn => jepsen::read(text, Format::JepsenEdn, &mut mistakes),
        Format::Porcupine => porcupine::read(text, &mut mistakes),
    };
    if mistakes.is_empty() { Ok(history) } else { Err(mistakes.into_problems(path, text)) }
}

/// Judges a history that was read from `text` at `path`. `stop` makes it come to its end early.
///
/// # Errors
/// Operations that the model does not have, or not with such values; lines of another kind, if no model was asked for.
pub fn judge(
    path: &str,
    text: &str,
    history: &History,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Judgement, Vec<Problem>> {
    let model = history.model(options.model);
    let porcupine_maps = history.format == Format::Porcupine && model == ModelKind::KeyValue;
    let nothing = if porcupine_maps { Value::String(String::new()) } else { Value::Null };
    let initial = options.initial.as_ref().unwrap_or(&nothing);
    let limits = Limits { budget: options.budget, stop };
    let mut mistakes = Mistakes::default();
    for (kind, at) in history.other_kinds.iter().filter(|_| options.model.is_none()) {
        if mistakes.are_enough() {
            break;
        }
        let message = format!("this is a {}, the lines before are about a {}", kind.name(), model.name());
        let help = "a history has one kind: split the file, or name the model with --model";
        mistakes.add(at.clone(), message, "another kind", help);
    }
    // The events of other formats are read so. Publishers do not wait for confirms, and a queue asks nobody who he is.
    if history.format == Format::Jsonl && model != ModelKind::Queue {
        for (index, other) in history.overlaps() {
            if mistakes.are_enough() {
                break;
            }
            let operation = &history.operations[index];
            let process = &history.processes[operation.process as usize];
            let (line, when) = (history.lines(other), history.when(other));
            let message = format!("process {process} is still busy with what it began at {line} ({when})");
            let help = "a process does one thing at a time: give whatever is done meanwhile a process of its own";
            mistakes.add(operation.span.clone(), message, "begun too early", help);
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes.into_problems(path, text));
    }
    let decisions = Judging { history, text, model, initial, limits }.decide(&mut mistakes);
    if !mistakes.is_empty() {
        return Err(mistakes.into_problems(path, text));
    }
    let unknown = history.operations.iter().filter(|operation| operation.outcome == Outcome::Unknown).count();
    let mut judgement = Judgement {
        model,
        verdict: Verdict::Holds,
        checked: decisions.iter().map(|(_, checked, _)| checked).sum(),
        unknown,
        objects: decisions.len(),
        violated: Vec::new(),
        undecided: Vec::new(),
        explanation: None,
        offending: Vec::new(),
        witness: Vec::new(),
    };
    if judgement.checked == 0 {
        judgement.verdict = Verdict::Vacuous;
    }
    for (name, _, decision) in decisions {
        let name = if name.is_empty() { model.name().to_owned() } else { name };
        match decision {
            Decision::Holds => {}
            Decision::Stopped => {
                judgement.raise(Verdict::Incomplete, "it was stopped before its end".to_owned());
            }
            Decision::Undecided(why) => {
                judgement.undecided.push(name);
                judgement.raise(Verdict::Undecided, why);
            }
            Decision::Violated(finding) => {
                judgement.violated.push(name);
                if judgement.raise(Verdict::Violated, finding.sentence) {
                    judgement.offending = finding.offending;
                    judgement.witness = finding.witness;
                    judgement.witness.sort_by_key(|&index| (history.operations[index].start, index));
                    judgement.witness.dedup();
                }
            }
        }
    }
    Ok(judgement)
}

impl Judgement {
    /// Takes over a worse verdict; whether it was worse.
    fn raise(&mut self, verdict: Verdict, why: String) -> bool {
        let worse = verdict > self.verdict;
        if worse {
            self.verdict = verdict;
            self.explanation = Some(why);
        }
        worse
    }
}
