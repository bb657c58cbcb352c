//! From a history to its figures: counts, latency over virtual time, unavailability, recovery.

use std::collections::BTreeMap;

use ferret_reports::{Attempt, Availability, Latency, LatencyBucket, MessageCounts, Outcome, Quantiles};
use hdrhistogram::Histogram;

use crate::history::{Event, EventKind, History, MessageId, Nanos, PublishOutcome};

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

/// Latency and throughput. Unavailability lasts for as long as a publisher waits, recovery counts from the end of each
/// fault during the load.
pub fn latency(history: &History) -> Latency {
    let end = history.events.last().map_or(Nanos(0), |last| last.at);
    let bucket_ns = bucket_length(end);
    let bucket_of = |at: Nanos| usize::try_from(at.0 / bucket_ns).expect("few buckets");
    let mut buckets = vec![LatencyBucket::default(); bucket_of(end) + 1];
    let mut per_bucket: BTreeMap<usize, Histogram<u64>> = BTreeMap::new();
    let (mut confirm, mut end_to_end) = (histogram(), histogram());
    let mut published: BTreeMap<MessageId, Nanos> = BTreeMap::new();
    let mut undelivered: BTreeMap<MessageId, Nanos> = BTreeMap::new();
    for event in &history.events {
        let bucket = bucket_of(event.at);
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
    let (availability, ended) = availability(history, end);
    let recovery = availability.recovery_max_ns(&ended);
    Latency {
        bucket_ns,
        buckets,
        confirm: quantiles(&confirm),
        end_to_end: quantiles(&end_to_end),
        unavailable_max_ns: availability.unavailable_max_ns(),
        recovery_max_ns: recovery.unwrap_or(0),
        recovery_measured: recovery.is_some(),
    }
}

/// What publishers met, and when faults ended.
fn availability(history: &History, end: Nanos) -> (Availability, Vec<u64>) {
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut by_message: BTreeMap<MessageId, usize> = BTreeMap::new();
    let (mut connected, mut ended) = (Vec::new(), Vec::new());
    let mut load_stopped = None;
    for Event { at, kind } in &history.events {
        match kind {
            EventKind::ChannelOpened { client, .. } => connected.push((at.0, client.0)),
            EventKind::Publish { message, .. } => {
                by_message.insert(*message, attempts.len());
                attempts.push(Attempt { client: message.publisher.0, at_ns: at.0, outcome: None });
            }
            EventKind::PublishOutcome { message, outcome } => {
                if let Some(attempt) = by_message.remove(message) {
                    attempts[attempt].outcome = Some((in_report(*outcome), at.0));
                }
            }
            EventKind::FaultEnded { .. } => ended.push(at.0),
            EventKind::LoadStopped => load_stopped = Some(at.0),
            _ => {}
        }
    }
    (Availability::new(attempts, connected, load_stopped, end.0), ended)
}

/// An outcome as reports name it.
pub(super) fn in_report(outcome: PublishOutcome) -> Outcome {
    match outcome {
        PublishOutcome::Confirmed => Outcome::Confirmed,
        PublishOutcome::Nacked => Outcome::Nacked,
        PublishOutcome::Returned => Outcome::Returned,
        PublishOutcome::Unknown => Outcome::Unknown,
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
    use warren::platform::NodeId;

    use crate::history::{ChannelId, ClientId, Connection, QueueId};

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
        assert_eq!((figures.recovery_max_ns, figures.recovery_measured), (250_000_000, true));
        let figures = latency(&history(vec![(0, publish(1)), (350, confirm(1))]));
        assert_eq!(
            (figures.recovery_max_ns, figures.recovery_measured),
            (0, false),
            "there is nothing to recover from"
        );
    }

    /// All nodes are down from 5 s to 15 s and not yet up at 20 s, when the load ends; they are at 25 s.
    #[test]
    fn what_does_not_recover_by_the_end_of_the_load_counts_up_to_there() {
        let unknown = EventKind::PublishOutcome { message: message(2), outcome: PublishOutcome::Unknown };
        let run = |again: &[(u64, EventKind)]| {
            let fault = (15_000, EventKind::FaultEnded { fault: 0 });
            let stop = (20_000, EventKind::LoadStopped);
            let first = [(0, publish(1)), (10, confirm(1)), (5_000, publish(2)), (5_020, unknown.clone())];
            let events = first.into_iter().chain([fault]).chain(again.iter().cloned()).chain([stop]);
            latency(&history(events.chain([(25_000, EventKind::Ended)]).collect()))
        };
        let figures = run(&[]);
        assert_eq!((figures.unavailable_max_ns, figures.recovery_max_ns), (15_000_000_000, 5_000_000_000));
        let opened = EventKind::ChannelOpened {
            client: ClientId(0),
            channel: ChannelId(1),
            node: NodeId(1),
            connection: Connection::New,
        };
        let figures = run(&[(16_000, opened), (16_001, publish(3)), (16_010, confirm(3))]);
        assert_eq!((figures.unavailable_max_ns, figures.recovery_max_ns), (11_010_000_000, 1_010_000_000));
    }
}
