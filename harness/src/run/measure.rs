//! From a history to its figures: counts, latency over virtual time, unavailability, recovery.

use std::collections::BTreeMap;

use ferret_reports::{Latency, LatencyBucket, MessageCounts, Quantiles};
use hdrhistogram::Histogram;

use crate::history::{EventKind, History, MessageId, Nanos, PublishOutcome};

/// Buckets of a chart, at most.
const BUCKETS_MAX: u64 = 240;
/// Lengths that a bucket may have, in nanoseconds: round numbers that a reader can count with.
const BUCKET_LENGTHS: [u64; 8] = [
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
    60_000_000_000,
];

/// The length of the buckets for a run that ended at `end`, in nanoseconds.
pub fn bucket_length(end: Nanos) -> u64 {
    let [shortest, .., longest] = BUCKET_LENGTHS;
    debug_assert!(shortest < longest);
    BUCKET_LENGTHS.into_iter().find(|length| end.0 / length < BUCKETS_MAX).unwrap_or(longest)
}

pub fn messages(history: &History) -> MessageCounts {
    let mut counts = MessageCounts::default();
    let mut draining = false;
    for event in &history.events {
        match &event.kind {
            EventKind::Publish { .. } => counts.published += 1,
            EventKind::PublishOutcome { outcome, .. } => match outcome {
                PublishOutcome::Confirmed => counts.confirmed += 1,
                PublishOutcome::Nacked => counts.nacked += 1,
                PublishOutcome::Returned => counts.returned += 1,
                PublishOutcome::Unknown => counts.unknown += 1,
            },
            EventKind::Deliver { delivery, .. } | EventKind::GetReply { delivery: Some(delivery), .. } => {
                counts.delivered += 1;
                counts.redelivered += u64::from(delivery.redelivered);
                counts.drained += u64::from(draining);
            }
            EventKind::Settle { .. } => counts.settled += 1,
            EventKind::DrainBegan => draining = true,
            _ => {}
        }
    }
    counts
}

/// Latency and throughput. Unavailability is measured during the load only; recovery from the end of each fault.
pub fn latency(history: &History) -> Latency {
    let end = history.events.last().map_or(Nanos(0), |last| last.at);
    let bucket_ns = bucket_length(end);
    let bucket_of = |at: Nanos| usize::try_from(at.0 / bucket_ns).expect("few buckets");
    let mut buckets = vec![LatencyBucket::default(); bucket_of(end) + 1];
    let mut per_bucket: BTreeMap<usize, Histogram<u64>> = BTreeMap::new();
    let (mut confirm, mut end_to_end) = (histogram(), histogram());
    let mut published: BTreeMap<MessageId, Nanos> = BTreeMap::new();
    let mut undelivered: BTreeMap<MessageId, Nanos> = BTreeMap::new();
    let mut silence = Silence::default();
    for event in &history.events {
        let bucket = bucket_of(event.at);
        silence.see(event.at, &event.kind);
        match &event.kind {
            EventKind::Publish { message, .. } => {
                buckets[bucket].published += 1;
                published.insert(*message, event.at);
                undelivered.insert(*message, event.at);
            }
            EventKind::PublishOutcome { message, outcome } => {
                let Some(sent) = published.remove(message) else { continue };
                if *outcome == PublishOutcome::Confirmed {
                    buckets[bucket].confirmed += 1;
                    confirm.saturating_record(event.at.0 - sent.0);
                    per_bucket.entry(bucket).or_insert_with(histogram).saturating_record(event.at.0 - sent.0);
                }
            }
            EventKind::Deliver { delivery, .. } | EventKind::GetReply { delivery: Some(delivery), .. } => {
                buckets[bucket].delivered += 1;
                if let Some(sent) = delivery.message.and_then(|message| undelivered.remove(&message)) {
                    end_to_end.saturating_record(event.at.0 - sent.0);
                }
            }
            _ => {}
        }
    }
    for (bucket, histogram) in per_bucket {
        buckets[bucket].confirm = quantiles(&histogram);
    }
    Latency {
        bucket_ns,
        buckets,
        confirm: quantiles(&confirm),
        end_to_end: quantiles(&end_to_end),
        unavailable_max_ns: silence.unavailable_max,
        recovery_max_ns: silence.recovery_max,
    }
}

/// Watches for the times in which publishers waited and nothing was confirmed.
#[derive(Default)]
struct Silence {
    outstanding: u64,
    /// Since when publishers have been waiting without any confirm.
    waiting_since: Option<Nanos>,
    unavailable_max: u64,
    /// The end of the last fault, until the next confirm.
    fault_ended: Option<Nanos>,
    recovery_max: u64,
    load_stopped: bool,
}

impl Silence {
    fn see(&mut self, at: Nanos, kind: &EventKind) {
        match kind {
            EventKind::Publish { .. } => {
                self.outstanding += 1;
                self.waiting_since.get_or_insert(at);
            }
            EventKind::PublishOutcome { outcome, .. } => {
                self.outstanding = self.outstanding.saturating_sub(1);
                if *outcome == PublishOutcome::Confirmed {
                    self.confirmed(at);
                }
            }
            EventKind::FaultEnded { .. } if !self.load_stopped => self.fault_ended = Some(at),
            EventKind::LoadStopped => self.load_stopped = true,
            _ => {}
        }
    }

    fn confirmed(&mut self, at: Nanos) {
        if let Some(since) = self.waiting_since.take() {
            self.unavailable_max = self.unavailable_max.max(at.0 - since.0);
        }
        if self.outstanding > 0 {
            self.waiting_since = Some(at);
        }
        if let Some(ended) = self.fault_ended.take() {
            self.recovery_max = self.recovery_max.max(at.0 - ended.0);
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3).expect("constant bounds are valid")
}

fn quantiles(histogram: &Histogram<u64>) -> Option<Quantiles> {
    (!histogram.is_empty()).then(|| Quantiles {
        count: histogram.len(),
        p50_ns: histogram.value_at_quantile(0.5),
        p90_ns: histogram.value_at_quantile(0.9),
        p99_ns: histogram.value_at_quantile(0.99),
        max_ns: histogram.max(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{ChannelId, ClientId, Event, QueueId};

    fn history(events: Vec<(u64, EventKind)>) -> History {
        let events = events.into_iter().map(|(ms, kind)| Event { at: Nanos(ms * 1_000_000), kind }).collect();
        History { events, ..History::default() }
    }

    fn message(sequence: u64) -> MessageId {
        MessageId { publisher: ClientId(0), sequence, attempt: 1 }
    }

    fn publish(sequence: u64) -> EventKind {
        EventKind::Publish { message: message(sequence), queue: QueueId(0), channel: ChannelId(0) }
    }

    fn confirm(sequence: u64) -> EventKind {
        EventKind::PublishOutcome { message: message(sequence), outcome: PublishOutcome::Confirmed }
    }

    #[test]
    fn unavailability_is_the_longest_wait_without_any_confirm() {
        let figures = latency(&history(vec![
            (0, publish(1)),
            (10, confirm(1)),
            (500, publish(2)),
            (600, publish(3)),
            (1500, confirm(3)),
            (1600, confirm(2)),
        ]));
        assert_eq!(figures.unavailable_max_ns, 1_000_000_000);
        assert_eq!(figures.confirm.expect("confirms").count, 3);
    }

    #[test]
    fn recovery_counts_from_the_end_of_a_fault_to_the_next_confirm() {
        let figures =
            latency(&history(vec![(0, publish(1)), (100, EventKind::FaultEnded { fault: 0 }), (350, confirm(1))]));
        assert_eq!(figures.recovery_max_ns, 250_000_000);
    }
}
