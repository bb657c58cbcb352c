//! Plainer weather, defaults and round numbers: what a reader need not wonder about.

use std::time::Duration;

use super::{
    Found, Goal, Proposal,
    passes::{COMPACT_AFTER, millis, propose, with},
};
use crate::scenario::{DiskSpeed, Net, Placement, Scenario, Spread, Step};

/// Defaults instead of weather and habits: all at once, then one by one.
pub(super) fn plain(_: Goal, best: &Found) -> Vec<Proposal> {
    type Change = fn(&mut Scenario);
    let changes: [Change; 16] = [
        |scenario| scenario.run.publish_timeout = millis(10_000),
        |scenario| scenario.run.drain = millis(20_000),
        |scenario| scenario.run.net = Net { latency: spread_of(1, 5), loss: 0.0, duplicate: 0.0 },
        |scenario| scenario.run.net.loss = 0.0,
        |scenario| scenario.run.net.duplicate = 0.0,
        |scenario| scenario.run.disk = DiskSpeed { sync: spread_of(1, 3) },
        |scenario| scenario.cluster.compact_after = COMPACT_AFTER,
        |scenario| scenario.publishers.iter_mut().for_each(|group| group.body = Spread::exactly(128)),
        |scenario| scenario.publishers.iter_mut().for_each(|group| group.in_flight = 100),
        |scenario| scenario.publishers.iter_mut().for_each(|group| group.node = Placement::Spread),
        |scenario| scenario.consumers.iter_mut().for_each(|group| group.node = Placement::Spread),
        |scenario| scenario.consumers.iter_mut().for_each(|group| group.requeue = 0.0),
        |scenario| scenario.consumers.iter_mut().for_each(|group| group.prefetch = 50),
        |scenario| scenario.consumers.iter_mut().for_each(|group| group.work = Spread::exactly(Duration::ZERO)),
        |scenario| scenario.consumers.iter_mut().for_each(|group| group.work = Spread::exactly(group.work.min)),
        |scenario| {
            let nodes = scenario.cluster.nodes;
            scenario.queues.iter_mut().for_each(|queue| queue.group_size = nodes.min(3));
        },
    ];
    let scenario = &best.scenario;
    let all = with(scenario, |scenario| changes.iter().for_each(|change| change(scenario)));
    let mut proposals = vec![propose(all, 1)];
    proposals.extend(changes.iter().map(|change| propose(with(scenario, change), 0)));
    // What had an effect need not be excused for having none.
    if best.record.faults.iter().all(|fault| fault.bit) {
        let strict = with(scenario, |scenario| scenario.steps.iter_mut().for_each(|step| step.may_miss = false));
        proposals.push(propose(strict, 0));
    }
    proposals.extend(scenario.publishers.iter().enumerate().map(|(group, publishers)| {
        let body = Spread::exactly(publishers.body.max);
        propose(with(scenario, |scenario| scenario.publishers[group].body = body), 0)
    }));
    proposals
}

fn spread_of(min: u64, max: u64) -> Spread<Duration> {
    Spread { min: millis(min), max: millis(max) }
}

/// Rounder times: all at once, then one by one; coarse first. And no `for` where the end of the load comes first.
pub(super) fn tidy(_: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let mut proposals = Vec::new();
    let endless = |step: &mut Step, end: Duration| {
        if step.lasts.is_some_and(|lasts| step.at.min + lasts.min >= end) {
            step.lasts = None;
        }
    };
    let end = scenario.run.duration;
    proposals
        .push(propose(with(scenario, |scenario| scenario.steps.iter_mut().for_each(|step| endless(step, end))), 0));
    for grain in [1_000, 100, 10, 1].map(millis) {
        proposals.push(propose(
            with(scenario, |scenario| {
                for step in &mut scenario.steps {
                    step.at = Spread::exactly(rounded(step.at.min, grain));
                    step.lasts = step.lasts.map(|lasts| Spread::exactly(rounded(lasts.min, grain).max(grain)));
                }
            }),
            0,
        ));
        for index in 0..scenario.steps.len() {
            let at = rounded(scenario.steps[index].at.min, grain);
            proposals.push(propose(with(scenario, |scenario| scenario.steps[index].at = Spread::exactly(at)), 0));
            if let Some(lasts) = scenario.steps[index].lasts {
                let lasts = Spread::exactly(rounded(lasts.min, grain).max(grain));
                proposals.push(propose(with(scenario, |scenario| scenario.steps[index].lasts = Some(lasts)), 0));
            }
        }
    }
    proposals
}

/// To the nearest multiple of `grain`.
fn rounded(time: Duration, grain: Duration) -> Duration {
    let (time, grain) = (time.as_nanos(), grain.as_nanos());
    Duration::from_nanos(u64::try_from((time + grain / 2) / grain * grain).unwrap_or(u64::MAX))
}
