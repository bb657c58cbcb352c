//! From judgements and figures to one verdict: what a run must show, and whether it did.

use std::{collections::BTreeSet, time::Duration};

use ferret_reports::{
    FaultRecord, InvariantResult, InvariantVerdict, Latency, Quantiles, SometimesResult, ThresholdResult, Verdict,
    violated,
};
use warren::platform::{GroupId, Observation};

use crate::{
    check,
    history::{Connection, EventKind, History, Nanos, PublishOutcome},
    scenario::{Expect, Invariant, Limit, Metric, Quantile, Sometimes},
};

const SECOND_NS: u64 = 1_000_000_000;

/// The verdict of one run, with its reasons. What must happen *sometimes* is judged over all seeds, not here.
pub fn verdict(
    expect: &Expect,
    invariants: &[InvariantResult],
    faults: &[FaultRecord],
    thresholds: &[ThresholdResult],
) -> (Verdict, Vec<String>) {
    let mut worst = Verdict::Pass;
    let mut reasons = Vec::new();
    let mut find = |verdict: Verdict, reason: String| {
        worst = worst.max(verdict);
        reasons.push(reason);
    };
    let expected: BTreeSet<&str> = expect.violated.iter().map(|invariant| invariant.name()).collect();
    let why = |result: &InvariantResult| result.explanation.clone().unwrap_or("no explanation".to_owned());
    for result in violated(invariants).filter(|result| !expected.contains(&*result.name)) {
        find(Verdict::Violated, format!("{} is violated: {}", result.name, why(result)));
    }
    for result in invariants {
        let name = result.name.as_str();
        match result.verdict {
            InvariantVerdict::Violated => {}
            _ if expected.contains(name) => {
                find(Verdict::Vacuous, format!("{name} should have been violated, and was not"));
            }
            InvariantVerdict::Undecided if result.required => {
                find(Verdict::Undecided, format!("{name} is undecided: {}", why(result)));
            }
            InvariantVerdict::Vacuous if result.required => {
                find(Verdict::Vacuous, format!("{name} had nothing to check"));
            }
            _ => {}
        }
    }
    for fault in faults.iter().filter(|fault| !fault.bit && !fault.may_miss) {
        let FaultRecord { step, line, kind, effect, .. } = fault;
        find(Verdict::Vacuous, format!("step {step} ({kind}, line {line}) had no effect: {effect}"));
    }
    let effective = faults.iter().filter(|fault| fault.bit).count();
    if (effective as u64) < expect.effective_faults {
        let (all, least) = (faults.len(), expect.effective_faults);
        find(
            Verdict::Vacuous,
            format!("{effective} of {all} faults had an effect; {least} must, or nothing is tested"),
        );
    }
    for threshold in thresholds.iter().filter(|threshold| !threshold.held) {
        let measured = threshold.measured.as_deref().unwrap_or("nothing measured");
        find(Verdict::Threshold, format!("{} is {measured}, not {}", threshold.name, threshold.limit));
    }
    (worst, reasons)
}

/// The verdict of a run that was cut short: what is violated by then counts; what was not reached, missed or decided by
/// then says nothing.
pub fn of_a_part(expect: &Expect, invariants: &[InvariantResult]) -> (Verdict, Vec<String>) {
    let expect = Expect { effective_faults: 0, ..expect.clone() };
    let violated: Vec<InvariantResult> = violated(invariants).cloned().collect();
    verdict(&expect, &violated, &[], &[])
}

/// How often each "sometimes" was reached.
pub fn sometimes(history: &History, required: &BTreeSet<Sometimes>) -> Vec<SometimesResult> {
    let mut counts = vec![0u64; Sometimes::ALL.len()];
    let mut led: BTreeSet<GroupId> = BTreeSet::new();
    let mut connected = BTreeSet::new();
    let mut drain_began = false;
    let mut count = |what: Sometimes| {
        let position = Sometimes::ALL.iter().position(|known| *known == what).expect("ALL holds all");
        counts[position] += 1;
    };
    for event in &history.events {
        match &event.kind {
            EventKind::PublishOutcome { outcome, .. } => match outcome {
                PublishOutcome::Confirmed => {}
                PublishOutcome::Nacked => count(Sometimes::Nacked),
                PublishOutcome::Returned => count(Sometimes::Returned),
                PublishOutcome::Unknown => count(Sometimes::UnknownOutcome),
            },
            EventKind::GetReply { delivery: None, .. } if !drain_began => count(Sometimes::GetEmpty),
            EventKind::Deliver { delivery, .. } | EventKind::GetReply { delivery: Some(delivery), .. }
                if delivery.redelivered =>
            {
                count(Sometimes::Redelivered);
            }
            EventKind::DrainBegan => drain_began = true,
            EventKind::ChannelOpened { client, connection: Connection::New, .. }
                if !drain_began && !connected.insert(*client) =>
            {
                count(Sometimes::Reconnected);
            }
            EventKind::Observed { observation, .. } => match observation {
                Observation::BecameLeader { group, .. } if *group != GroupId::META && !led.insert(*group) => {
                    count(Sometimes::LeaderChanged);
                }
                Observation::SnapshotInstalled { .. } => count(Sometimes::SnapshotInstalled),
                Observation::Compacted { .. } => count(Sometimes::Compacted),
                _ => {}
            },
            _ => {}
        }
    }
    let overlaps = Sometimes::ALL.iter().position(|known| *known == Sometimes::LockOverlap).expect("ALL holds all");
    counts[overlaps] = check::lock_overlaps(history);
    Sometimes::ALL
        .iter()
        .zip(counts)
        .map(|(what, count)| SometimesResult { name: what.name().into(), required: required.contains(what), count })
        .collect()
}

/// Each threshold of the scenario against what was measured.
pub fn thresholds(expect: &Expect, latency: &Latency, history: &History) -> Vec<ThresholdResult> {
    let judge = |threshold: &crate::scenario::Threshold| {
        let (measured, held) = match (threshold.metric, threshold.limit) {
            (Metric::ThroughputMin, Limit::PerSecond(limit)) => {
                let measured = throughput_min(history);
                let held = measured.is_some_and(|measured| threshold.comparison.holds(f64::from(measured), limit));
                (measured.map(|measured| format!("{measured}/s")), held)
            }
            (metric, Limit::Time(limit)) => {
                let measured = time(metric, latency).map(Duration::from_nanos);
                let held = measured.is_some_and(|measured| threshold.comparison.holds(measured, limit));
                (measured.map(|measured| format!("{measured:.1?}")), held)
            }
            (_, Limit::PerSecond(_)) => (None, false),
        };
        ThresholdResult { name: threshold.metric.name().into(), limit: threshold.text.clone(), measured, held }
    };
    expect.thresholds.iter().map(judge).collect()
}

/// A metric of time, in nanoseconds; `None` if there was nothing to measure.
pub fn time(metric: Metric, latency: &Latency) -> Option<u64> {
    let quantile = |of: Option<Quantiles>, quantile: Quantile| {
        of.map(|of| match quantile {
            Quantile::P50 => of.p50_ns,
            Quantile::P90 => of.p90_ns,
            Quantile::P99 => of.p99_ns,
            Quantile::Max => of.max_ns,
        })
    };
    match metric {
        Metric::Confirm(of) => quantile(latency.confirm, of),
        Metric::EndToEnd(of) => quantile(latency.end_to_end, of),
        Metric::UnavailableMax => latency.confirm.map(|_| latency.unavailable_max_ns),
        Metric::RecoveryMax => latency.confirm.filter(|_| latency.recovery_measured).map(|_| latency.recovery_max_ns),
        Metric::ThroughputMin => None,
    }
}

/// Confirms in the slowest whole second between the first publish and the end of the load.
fn throughput_min(history: &History) -> Option<u32> {
    let first = history.events.iter().find(|event| matches!(event.kind, EventKind::Publish { .. }))?.at;
    let last = history.events.iter().find(|event| event.kind == EventKind::LoadStopped)?.at;
    let seconds = usize::try_from((last.0 - first.0) / SECOND_NS).expect("a run is not that long");
    let mut confirmed = vec![0u32; seconds];
    let second = |at: Nanos| usize::try_from(at.0.checked_sub(first.0)? / SECOND_NS).ok();
    for event in &history.events {
        if let EventKind::PublishOutcome { outcome: PublishOutcome::Confirmed, .. } = event.kind
            && let Some(count) = second(event.at).and_then(|second| confirmed.get_mut(second))
        {
            *count += 1;
        }
    }
    confirmed.into_iter().min()
}

/// The invariants to judge: all of them. Which are required is the scenario's to say.
pub fn required(expect: &Expect, name: &str) -> bool {
    Invariant::from_name(name)
        .is_some_and(|invariant| expect.invariants.contains(&invariant) || expect.violated.contains(&invariant))
}
