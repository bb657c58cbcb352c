//! What a fault did, in numbers and in words.

use std::time::Duration;

use ferret_reports::grouped;

/// Syncs that together took less than this longer are not slowed: timers tell milliseconds apart, and no less.
const SLOWNESS_MIN: Duration = Duration::from_millis(1);

/// The effect of one fault so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    pub packets_dropped: u64,
    pub processes_ended: u64,
    pub bytes_lost: u64,
    pub streams_reset: u64,
    pub operations_held: u64,
    pub syncs_slowed: u64,
    /// How much longer those syncs took, in all.
    pub slowed_for: Duration,
    pub polls_held: u64,
    pub faults_ended: u64,
    pub nodes_started: u64,
    pub disks_wiped: u64,
    /// What else it did, and in which words: verb and noun.
    pub felt: u64,
    pub felt_as: (&'static str, &'static str),
    /// What was not as the step expected it, in words: "n2 was down already".
    pub notes: Vec<String>,
}

impl Effect {
    /// Whether the world noticed. Losing unsynced bytes is not required of a power loss that ends a process; one that
    /// meets a machine without a process must have lost some.
    pub fn bit(&self) -> bool {
        let Self {
            packets_dropped,
            processes_ended,
            bytes_lost,
            streams_reset,
            operations_held,
            syncs_slowed: _,
            slowed_for,
            polls_held,
            faults_ended,
            nodes_started,
            disks_wiped,
            felt,
            felt_as: _,
            notes: _,
        } = self;
        *slowed_for >= SLOWNESS_MIN
            || [
                packets_dropped,
                processes_ended,
                bytes_lost,
                streams_reset,
                operations_held,
                polls_held,
                faults_ended,
                nodes_started,
                disks_wiped,
                felt,
            ]
            .into_iter()
            .any(|count| *count > 0)
    }

    /// The effect as one phrase; `nothing` if there was none and no note tells why.
    pub fn describe(&self, nothing: &str) -> String {
        let mut parts = Vec::new();
        let mut part = |verb: &str, count: u64, what: &str, plural: &str| {
            if count > 0 {
                parts.push(format!("{verb} {} {what}{}", grouped(count), if count == 1 { "" } else { plural }));
            }
        };
        part("dropped", self.packets_dropped, "packet", "s");
        part("ended", self.processes_ended, "process", "es");
        part("lost", self.bytes_lost, "unsynced byte", "s");
        part("reset", self.streams_reset, "connection", "s");
        part("held", self.operations_held, "disk operation", "s");
        part("slowed", if self.slowed_for >= SLOWNESS_MIN { self.syncs_slowed } else { 0 }, "sync", "s");
        part("held", self.polls_held, "poll", "s");
        part("ended", self.faults_ended, "fault", "s");
        part("started", self.nodes_started, "node", "s");
        part("wiped", self.disks_wiped, "disk", "s");
        part(self.felt_as.0, self.felt, self.felt_as.1, "s");
        let done = parts.join(", ");
        match (done.is_empty(), self.notes.is_empty()) {
            (true, true) => nothing.to_owned(),
            (true, false) => self.notes.join("; "),
            (false, true) => done,
            (false, false) => format!("{done}; {}", self.notes.join("; ")),
        }
    }
}

/// What a fault of this kind is told to have done if it did nothing.
pub(super) fn nothing(kind: &str) -> &'static str {
    match kind {
        "partition" | "one-way" => "nothing: no packet came that way",
        "disk-stall" => "nothing: no disk operation came meanwhile",
        "disk-slow" => "nothing: no sync took longer",
        "pause" => "nothing: no task was to run meanwhile",
        "reset" => "nothing: no connection was established",
        "black-hole" | "flap" => "nothing: no packet came that way",
        "latency" | "loss" | "duplicate" | "reorder" | "bandwidth" => "nothing: no packet fared any worse",
        "slow-cpu" | "slow-consumer" => "nothing: no task had to wait",
        "disk-error" => "nothing: no such disk operation came meanwhile",
        "bit-rot" => "nothing: no synced data was there",
        "misdirect" => "nothing: no sync came meanwhile that could land elsewhere",
        "clock-jump" => "nothing: nobody read the wall clock meanwhile, as a node does when it starts",
        "clock-freeze" | "clock-drift" => "nothing: nobody read the clock meanwhile",
        "transfer-leader" | "grow" | "shrink" | "add-member" | "remove-member" => "nothing: there was no such node",
        "client-crash" => "nothing: no such client was running",
        "churn" => "nothing: no connection was established",
        "channel-close" => "nothing: no channel ended like this meanwhile",
        "ignore-flow" => "nothing: no such client had to hold back",
        "heal" => "nothing: no fault was under way and no node was down",
        _ => "nothing",
    }
}

/// How the one count of such a fault is told: verb and noun.
pub(super) fn felt_as(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "latency" => ("delayed", "packet"),
        "loss" => ("lost", "packet"),
        "duplicate" => ("doubled", "packet"),
        "reorder" => ("held back", "packet"),
        "bandwidth" => ("squeezed", "packet"),
        "slow-cpu" | "slow-consumer" => ("delayed", "poll"),
        "disk-error" => ("failed", "disk operation"),
        "client-crash" => ("crashed", "client"),
        "channel-close" => ("ended", "channel"),
        "ignore-flow" => ("forced", "message"),
        "bit-rot" => ("flipped", "bit"),
        "misdirect" => ("misdirected", "sector"),
        "clock-jump" | "clock-freeze" | "clock-drift" => ("falsified", "reading"),
        _ => ("did", "thing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_told_in_words_and_none_is_told_as_none() {
        let mut effect = Effect { packets_dropped: 12_345, processes_ended: 1, ..Effect::default() };
        assert_eq!(effect.describe(""), "dropped 12,345 packets, ended 1 process");
        effect.notes.push("n2 was down already".into());
        assert_eq!(effect.describe(""), "dropped 12,345 packets, ended 1 process; n2 was down already");
        assert!(effect.bit());
        assert_eq!(Effect::default().describe("no packet came"), "no packet came");
        assert!(!Effect::default().bit());
    }

    #[test]
    fn a_note_is_no_effect() {
        let effect = Effect { notes: vec!["n2 was down already".into()], ..Effect::default() };
        assert!(!effect.bit());
        assert_eq!(effect.describe("nothing"), "n2 was down already");
    }
}
