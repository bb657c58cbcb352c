//! How large a scenario is to whoever has to understand it.

use std::time::Duration;

use ferret_reports::RunRecord;

use crate::scenario::{Action, Scenario};

/// What counts first comes first: sizes are compared in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Steps that break something; what only mends is not counted.
    pub faults: usize,
    /// Publishes, retries included.
    pub messages: u64,
    pub clients: u32,
    pub queues: usize,
    pub nodes: u64,
    /// The load's end.
    pub duration: Duration,
    /// How long the whole run takes, in whole virtual seconds.
    pub simulated: u64,
    /// Bytes of the file: of two equal scenarios, the one with rounder numbers and more defaults.
    pub text: usize,
}

impl Size {
    pub fn of(scenario: &Scenario, record: &RunRecord) -> Self {
        let publishers = scenario.publishers.iter().map(|group| group.count);
        let consumers = scenario.consumers.iter().map(|group| group.count);
        let getters = scenario.getters.iter().map(|group| group.count);
        let lockers = scenario.lockers.iter().map(|group| group.count);
        Self {
            faults: faults(scenario),
            messages: record.messages.published,
            clients: publishers.chain(consumers).chain(getters).chain(lockers).sum(),
            queues: scenario.queues.len(),
            nodes: scenario.cluster.nodes,
            duration: scenario.run.duration,
            simulated: record.virtual_seconds as u64,
            text: scenario.to_toml().len(),
        }
    }

    /// What `self` has less than `before`: "9 faults → 1, 24,000 messages → 7".
    pub fn less_than(&self, before: &Self) -> String {
        let seconds = |duration: Duration| format!("{:.1}", duration.as_secs_f64());
        let mut parts = Vec::new();
        let mut part = |what: &str, old: String, new: String| {
            if old != new {
                parts.push(format!("{old} {what} → {new}"));
            }
        };
        part(plural(before.faults, "fault"), before.faults.to_string(), self.faults.to_string());
        part("messages", grouped(before.messages), grouped(self.messages));
        part("clients", before.clients.to_string(), self.clients.to_string());
        part(plural(before.queues, "queue"), before.queues.to_string(), self.queues.to_string());
        part("nodes", before.nodes.to_string(), self.nodes.to_string());
        part("s of load", seconds(before.duration), seconds(self.duration));
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    }
}

/// Steps that break something.
pub(super) fn faults(scenario: &Scenario) -> usize {
    scenario.steps.iter().filter(|step| !mends(&step.action)).count()
}

pub(super) fn mends<N>(action: &Action<N>) -> bool {
    matches!(action, Action::Heal | Action::Restart { .. })
}

fn plural(count: usize, what: &'static str) -> &'static str {
    match (count, what) {
        (1, what) => what,
        (_, "fault") => "faults",
        (_, "queue") => "queues",
        (_, other) => other,
    }
}

/// `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
