//! What a fault did, in numbers and in words.

/// The effect of one fault so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    pub packets_dropped: u64,
    pub processes_ended: u64,
    pub streams_reset: u64,
    pub bytes_lost: u64,
    pub operations_held: u64,
    pub operations_slowed: u64,
    pub polls_held: u64,
    pub nodes_started: u64,
    pub faults_ended: u64,
    /// Why nothing could be done at all.
    pub missed: Option<String>,
}

impl Effect {
    /// Whether the world noticed. Losing unsynced bytes is not required of a power loss: ending the process is.
    pub fn bit(&self) -> bool {
        self.packets_dropped > 0
            || self.processes_ended > 0
            || self.streams_reset > 0
            || self.operations_held > 0
            || self.operations_slowed > 0
            || self.polls_held > 0
            || self.nodes_started > 0
            || self.faults_ended > 0
    }

    pub fn describe(&self) -> String {
        if let Some(missed) = &self.missed {
            return missed.clone();
        }
        let mut parts = Vec::new();
        let mut part = |count: u64, one: &str, many: &str| {
            if count > 0 {
                parts.push(format!("{} {}", grouped(count), if count == 1 { one } else { many }));
            }
        };
        part(self.packets_dropped, "packet dropped", "packets dropped");
        part(self.processes_ended, "process ended", "processes ended");
        part(self.streams_reset, "connection reset", "connections reset");
        part(self.bytes_lost, "unsynced byte lost", "unsynced bytes lost");
        part(self.operations_held, "disk operation held", "disk operations held");
        part(self.operations_slowed, "sync slowed", "syncs slowed");
        part(self.polls_held, "poll held", "polls held");
        part(self.nodes_started, "node started", "nodes started");
        part(self.faults_ended, "fault ended", "faults ended");
        if parts.is_empty() { "nothing happened".into() } else { parts.join(", ") }
    }
}

/// `12345` as `12,345`.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_is_told_in_words_and_none_is_told_as_none() {
        let effect = Effect { packets_dropped: 12_345, processes_ended: 1, ..Effect::default() };
        assert_eq!(effect.describe(), "12,345 packets dropped, 1 process ended");
        assert!(effect.bit());
        assert_eq!(Effect::default().describe(), "nothing happened");
        assert!(!Effect::default().bit());
    }
}
