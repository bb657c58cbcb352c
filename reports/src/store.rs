//! What the pages over a store of runs are made of: less than the records, for there may be thousands.

use serde::Deserialize;

use crate::{InvariantVerdict, MessageCounts, Quantiles, Verdict, WitnessEvent, is_reason};

/// One call of `ferret run`, `ferret gate` or `ferret merge`, as its folder tells it.
#[derive(Clone, Debug)]
pub struct StoredCall {
    /// Its folder, below the store's: `20260419-142501-1f3c`, or `demo/found`.
    pub id: String,
    /// Seconds since 1970, in universal time.
    pub time: u64,
    /// Whether its report is there.
    pub page: bool,
    /// At least [`Verdict::Incomplete`] if something is unreadable.
    pub verdict: Verdict,
    /// What was asked for beyond files and seeds; empty for nothing.
    pub request: String,
    /// The gate's policy, if it was a gate.
    pub gate: Option<String>,
    pub runs: Vec<StoredRun>,
    /// Records that cannot be read, or are not what the call left, and why.
    pub unreadable: Vec<String>,
}

/// One run: what `run.json` says, without the pictures.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredRun {
    /// Its folder, below the store's. Not from the file.
    #[serde(skip)]
    pub folder: String,
    /// Whether its report is there. Not from the file, either.
    #[serde(skip)]
    pub page: bool,
    pub scenario: StoredScenario,
    pub seed: u64,
    pub sabotage: Option<String>,
    pub trace_hash: String,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub invariants: Vec<StoredInvariant>,
    pub messages: MessageCounts,
    pub virtual_seconds: f64,
    pub wall_seconds: f64,
    pub latency: StoredLatency,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StoredScenario {
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StoredInvariant {
    pub name: String,
    pub verdict: InvariantVerdict,
}

#[derive(Clone, Debug, Deserialize)]
pub struct StoredLatency {
    pub confirm: Option<Quantiles>,
    pub unavailable_max_ns: u64,
    recovery_max_ns: u64,
    #[serde(default)]
    recovery_measured: bool,
}

impl StoredLatency {
    /// `None` if no fault ended, so that there was nothing to recover from.
    pub fn recovery_max(&self) -> Option<u64> {
        self.recovery_measured.then_some(self.recovery_max_ns)
    }
}

impl StoredRun {
    /// What was violated; the first is what the verdict's first reason speaks of, the others are in no order.
    pub fn violated(&self) -> impl Iterator<Item = &str> {
        let violated = self.invariants.iter().filter(|invariant| invariant.verdict == InvariantVerdict::Violated);
        let mut names: Vec<&str> = violated.map(|invariant| invariant.name.as_str()).collect();
        let reason = self.reasons.first().map_or("", String::as_str);
        names.sort_by_key(|name| !is_reason(reason, name));
        names.into_iter()
    }
}

/// Which calls a list shows; what is empty or `None` lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreFilter {
    /// Words that must all be part of a name, a tag, a violated invariant or an option.
    pub text: String,
    pub verdict: Option<Verdict>,
    pub tag: Option<String>,
}

impl StoreFilter {
    pub fn picks(&self, call: &StoredCall) -> bool {
        let tagged = |tag: &String| call.runs.iter().any(|run| run.scenario.tags.contains(tag));
        self.verdict.is_none_or(|verdict| verdict == call.verdict)
            && self.tag.as_ref().is_none_or(tagged)
            && self.text.split_whitespace().all(|word| mentions(call, &word.to_lowercase()))
    }
}

fn mentions(call: &StoredCall, word: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(word);
    has(&call.id)
        || has(&call.request)
        || call.gate.as_deref().is_some_and(has)
        || call.runs.iter().any(|run| {
            has(&run.scenario.name)
                || run.scenario.tags.iter().any(|tag| has(tag))
                || run.sabotage.as_deref().is_some_and(has)
                || run.violated().any(has)
        })
}

/// What `ferret diff` finds between two runs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Whether the scenarios' texts differ.
    pub texts_differ: bool,
    pub parting: Parting,
    /// Name, then the first run's value and the second's; only what differs.
    pub moved: Vec<[String; 3]>,
}

/// Where two runs part.
#[derive(Clone, Debug)]
pub enum Parting {
    /// They are equal, over so many events.
    Nowhere { events: u64 },
    At {
        /// The number of the first event that differs, from 1.
        event: u64,
        /// What both have just before it.
        both: Vec<WitnessEvent>,
        /// What each has from there on; shorter than it might be where a run has ended.
        then: [Vec<WitnessEvent>; 2],
    },
}
