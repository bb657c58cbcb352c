//! A judged history, as far as a page shows it.

use crate::InvariantVerdict;

/// What was found out about a recorded history.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// Where it was read from.
    pub path: String,
    /// Model, size and format in a line.
    pub summary: String,
    pub verdict: InvariantVerdict,
    /// Why it does not hold.
    pub explanation: Option<String>,
    /// How many operations the history has.
    pub total: u64,
    /// The ones to show, at most a few hundred.
    pub operations: Vec<HistoryOperation>,
}

/// One operation of a process.
#[derive(Clone, Debug)]
pub struct HistoryOperation {
    pub process: String,
    pub label: String,
    /// Where it stands in the file.
    pub place: String,
    /// In the history's unit of time.
    pub start: u64,
    /// `None`: of unknown outcome.
    pub end: Option<u64>,
    /// Whether it is part of why the history does not hold.
    pub witness: bool,
    /// Whether it has no place.
    pub offending: bool,
}
