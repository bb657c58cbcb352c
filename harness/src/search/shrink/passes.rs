//! What may be left out: each pass proposes smaller scenarios, the boldest first.
//!
//! A proposal need not be a valid scenario, nor fail: whoever runs it finds out.

use std::time::Duration;

use super::{
    Found, Goal, Proposal,
    crowd::{one_each, only_queue},
    size::{faults, mends},
};
use crate::scenario::{Consumers, Invariant, Publishers, Scenario, Spread};

/// Up to so many faults, every one and every pair is tried alone.
const FEW_FAULTS: usize = 8;
/// Other seeds that a cheap proposal is tried with.
pub(super) const LUCK: u64 = 3;
/// A scenario of so few messages is small.
const FEW_MESSAGES: u64 = 20;
/// How long a log grows before it is cut, unless the file says otherwise, and the least that it may say.
pub(super) const COMPACT_AFTER: u64 = 4096;
const COMPACT_AFTER_MIN: u64 = 16;
/// The least that a load may last.
const DURATION_MIN: Duration = Duration::from_millis(100);
const PREFETCH: Goal = Goal::Violates(Invariant::Prefetch);
const LIVENESS: Goal = Goal::Violates(Invariant::Liveness);
/// What the run may cost after its load, when the goal does not depend on it.
const LIVENESS_SHORT: Duration = Duration::from_secs(1);

pub(super) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn propose(scenario: Scenario, seeds: u64) -> Proposal {
    Proposal { scenario, seeds }
}

/// The scenario changed by `change`.
pub(super) fn with(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
    let mut changed = scenario.clone();
    change(&mut changed);
    changed
}

/// One fault, one client of each kind, one queue and few messages, all at once. Most failures need no more, and these
/// runs are so short that trying them costs less than one run of a large scenario.
pub(super) fn opening(goal: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    if faults(scenario) <= 1 && best.record.messages.published <= FEW_MESSAGES {
        return Vec::new();
    }
    let mut proposals: Vec<Proposal> = Vec::new();
    for queue in 0..scenario.queues.len() {
        let of_queue = one_each(&only_queue(scenario, queue));
        // In their midst, or after them.
        proposals.extend(openings(goal, &of_queue, &[60, 600, 2_000], &[1, 2]));
        // What goes beyond a limit needs more messages than that: fewer, if the limit is low.
        if goal == PREFETCH {
            let narrow = with(&of_queue, |scenario| scenario.consumers.iter_mut().for_each(narrow_prefetch));
            proposals.extend(openings(goal, &narrow, &[60, 600], &[1]));
        }
        // Where logs are cut often, that may be what fails; few messages need it still more often.
        if of_queue.cluster.compact_after < COMPACT_AFTER {
            let short_log = with(&of_queue, |scenario| scenario.cluster.compact_after = COMPACT_AFTER_MIN);
            // A node that misses the messages needs a snapshot.
            proposals.extend(openings(goal, &short_log, &[600, 2_000], &[0, 1]));
        }
    }
    // The shortest first.
    let short_log = |proposal: &Proposal| proposal.scenario.cluster.compact_after == COMPACT_AFTER_MIN;
    proposals.sort_by_key(|proposal| (short_log(proposal), proposal.scenario.run.duration));
    proposals
}

/// One delivery at a time, where there is a limit.
fn narrow_prefetch(group: &mut Consumers) {
    group.prefetch = group.prefetch.min(1);
}

/// A few messages of one client each, over so many milliseconds, with one fault of the scenario, or none, after so many
/// halves of that.
fn openings(goal: Goal, scenario: &Scenario, spans: &[u64], halves: &[u32]) -> Vec<Proposal> {
    let publishers = scenario.publishers.len() as u64;
    if publishers == 0 {
        return Vec::new();
    }
    let each = (FEW_MESSAGES / publishers).max(1);
    let mut proposals = Vec::new();
    let breaking = scenario.steps.iter().filter(|step| !mends(&step.action)).map(Some);
    for fault in std::iter::once(None).chain(breaking) {
        for span in spans.iter().copied().map(millis) {
            for half in &halves[..if fault.is_some() { halves.len() } else { 1 }] {
                let few = capped(each, &spread(scenario, each, span));
                let first = span * *half / 2;
                let shaped = with(&few, |scenario| {
                    scenario.steps = fault.into_iter().cloned().collect();
                    let mut rest = millis(300);
                    for step in &mut scenario.steps {
                        step.at = Spread::exactly(first);
                        step.lasts = step.lasts.map(|lasts| Spread::exactly(lasts.min.min(millis(3_000))));
                        rest += step.lasts.map_or(millis(1_000), |lasts| lasts.min);
                    }
                    scenario.run.duration = rounded_up(span.max(first + rest)).min(scenario.run.duration);
                    if goal != LIVENESS {
                        scenario.run.liveness = scenario.run.liveness.min(LIVENESS_SHORT);
                    }
                });
                proposals.push(propose(shaped, 0));
            }
        }
    }
    proposals
}

/// The load ends earlier, and what follows it is shorter. Steps beyond the end go with it.
pub(super) fn end(goal: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let duration = scenario.run.duration;
    let mut ends: Vec<Duration> = Vec::new();
    // Right after what the witness tells, or as soon after the last fault as something can still come of it.
    let last_fault =
        scenario.steps.iter().map(|step| step.at.min + step.lasts.map_or(Duration::ZERO, |lasts| lasts.min));
    let last_begin = scenario.steps.iter().map(|step| step.at.min).max();
    for after in [best.sights.told_until, last_begin, last_fault.max()].into_iter().flatten() {
        ends.extend([after + millis(20), after + millis(500)]);
    }
    for parts in [1, 2, 4, 6, 7] {
        ends.push(duration * parts / 8);
    }
    let mut ends: Vec<Duration> = ends.into_iter().map(|end| rounded_up(end).max(DURATION_MIN)).collect();
    ends.retain(|end| *end < duration);
    ends.sort();
    ends.dedup();
    let shorter = |scenario: &Scenario| with(scenario, |scenario| scenario.run.liveness = LIVENESS_SHORT);
    // Liveness is a matter of the bound: with a shorter one the goal would be another.
    let bound = goal != LIVENESS && scenario.run.liveness > LIVENESS_SHORT;
    let mut proposals: Vec<Proposal> = Vec::new();
    for end in ends {
        let cut = with(scenario, |scenario| cut_at(scenario, end));
        if bound {
            proposals.push(propose(shorter(&cut), 0));
        }
        proposals.push(propose(cut, 0));
    }
    if bound {
        proposals.push(propose(shorter(scenario), 0));
    }
    proposals
}

/// To the next multiple of 10 ms.
fn rounded_up(time: Duration) -> Duration {
    millis(u64::try_from(time.as_nanos().div_ceil(10_000_000)).unwrap_or(u64::MAX / 10) * 10)
}

fn cut_at(scenario: &mut Scenario, end: Duration) {
    scenario.run.duration = end;
    scenario.steps.retain(|step| step.at.max < end);
}

/// Fewer faults.
pub(super) fn timeline(_: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let all = scenario.steps.len();
    if all == 0 {
        return Vec::new();
    }
    let keep = |wanted: &dyn Fn(usize) -> bool| {
        with(scenario, |scenario| {
            let mut index = 0;
            scenario.steps.retain(|_| {
                index += 1;
                wanted(index - 1)
            });
            drop_idle_mends(scenario);
        })
    };
    let breaking: Vec<usize> = (0..all).filter(|index| !mends(&scenario.steps[*index].action)).collect();
    let mends_too = |index: usize| mends(&scenario.steps[index].action);
    let mut proposals = vec![propose(keep(&|_| false), 1)];
    let many = faults(scenario);
    if many <= FEW_FAULTS {
        let seeds = if many > 2 { 1 } else { LUCK };
        if many > 1 {
            // With what mends, and without: a fault lasts as long as it says, or to the end.
            for one in &breaking {
                proposals.push(propose(keep(&|index| index == *one || mends_too(index)), seeds));
            }
        }
        if many > 2 {
            for (position, one) in breaking.iter().enumerate() {
                for other in &breaking[position + 1..] {
                    proposals.push(propose(keep(&|index| index == *one || index == *other || mends_too(index)), 0));
                }
            }
        }
    } else {
        // Halves, quarters, …: each chunk alone, then everything but it.
        let mut parts = 2;
        while parts <= breaking.len() {
            let chunk = breaking.len().div_ceil(parts);
            for chunk in breaking.chunks(chunk) {
                proposals.push(propose(keep(&|index| chunk.contains(&index) || mends_too(index)), 0));
            }
            for chunk in breaking.chunks(chunk) {
                proposals.push(propose(keep(&|index| !chunk.contains(&index)), 0));
            }
            parts *= 2;
        }
    }
    proposals.extend((0..all).map(|without| propose(keep(&|index| index != without), 0)));
    proposals
}

/// A `restart` before anything was taken down is no scenario; a `heal` before anything was broken heals nothing.
fn drop_idle_mends(scenario: &mut Scenario) {
    let mut broken = false;
    scenario.steps.retain(|step| {
        broken |= !mends(&step.action);
        broken
    });
}

/// Fewer messages: only the first of them, at the old rate or spread over the load; then other rates, with the first
/// fault moved into their midst.
pub(super) fn messages(_: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let clients: u64 = scenario.publishers.iter().map(|group| u64::from(group.count)).sum();
    let now = best.record.messages.published;
    if clients == 0 || now <= 1 {
        return Vec::new();
    }
    let mut proposals = Vec::new();
    let few: Vec<u64> = [1, 2, 3, 5, 8, 12, 16, FEW_MESSAGES].into_iter().filter(|few| *few < now).collect();
    let small = now <= FEW_MESSAGES;
    for total in &few {
        let each = total.div_ceil(clients);
        let few = capped(each, scenario);
        proposals.push(propose(few.clone(), if small { LUCK } else { 1 }));
        proposals.push(propose(spread(&few, each, scenario.run.duration), if small { LUCK } else { 1 }));
    }
    // Shapes: so many messages over so long a time, with the first fault at a part of it.
    let sizes: Vec<u64> = if small { few.into_iter().rev().take(2).collect() } else { vec![FEW_MESSAGES, 8] };
    for total in sizes {
        let each = (total / clients).max(1);
        for span in [20, 60, 200, 600, 2_000, 6_000].map(millis) {
            let shaped = spread(&capped(each, scenario), each, span);
            let latest = scenario.steps.iter().map(|step| step.at.min).min();
            if latest.is_none() {
                proposals.push(propose(shaped, 1));
                continue;
            }
            for eighths in [2, 4, 6, 8, 10] {
                let first = millis(u64::try_from((span * eighths / 8).as_millis()).unwrap_or(u64::MAX));
                proposals.push(propose(with(&shaped, |scenario| move_first_to(scenario, first)), 1));
            }
        }
    }
    if !small {
        // What needs a log to be cut needs fewer messages when the log is cut sooner.
        let short_log = with(scenario, |scenario| scenario.cluster.compact_after = COMPACT_AFTER_MIN);
        for total in [FEW_MESSAGES, 2 * FEW_MESSAGES] {
            let each = total.div_ceil(clients);
            let few = capped(each, &short_log);
            proposals.push(propose(few.clone(), 1));
            proposals.push(propose(spread(&few, each, scenario.run.duration), 1));
        }
        for part in [16, 8, 4, 2] {
            let each = (now / part / clients).max(1);
            proposals.push(propose(capped(each, scenario), 0));
            proposals.push(propose(spread(&capped(each, scenario), each, scenario.run.duration), 0));
            proposals.push(propose(slower(scenario, part), 0));
        }
    }
    // Without retries, a message is one publish.
    proposals.push(propose(
        with(scenario, |scenario| scenario.publishers.iter_mut().for_each(|group| group.retry = false)),
        0,
    ));
    for group in 0..scenario.publishers.len() {
        let fewer = |change: fn(u64) -> u64| {
            with(scenario, |scenario| {
                let Publishers { messages, .. } = &mut scenario.publishers[group];
                *messages = messages.map(|messages| change(messages).max(1));
            })
        };
        for change in [|_| 1, |messages| messages / 2, |messages| messages - 1] {
            proposals.push(propose(fewer(change), LUCK));
        }
    }
    proposals
}

/// At most `each` messages of every publisher.
fn capped(each: u64, scenario: &Scenario) -> Scenario {
    with(scenario, |scenario| scenario.publishers.iter_mut().for_each(|group| group.messages = Some(each)))
}

/// The publishers' messages, `each` a client, spread over `span`.
fn spread(scenario: &Scenario, each: u64, span: Duration) -> Scenario {
    let rate = each as f64 / span.as_secs_f64();
    let digits = if rate >= 10.0 { 1.0 } else { 100.0 };
    let rate = ((rate * digits).ceil() / digits).clamp(0.01, 10_000.0);
    with(scenario, |scenario| scenario.publishers.iter_mut().for_each(|group| group.rate = rate))
}

fn slower(scenario: &Scenario, times: u64) -> Scenario {
    let slow = |rate: f64| (rate / times as f64 * 100.0).ceil().max(1.0) / 100.0;
    with(scenario, |scenario| scenario.publishers.iter_mut().for_each(|group| group.rate = slow(group.rate)))
}

/// Moves the whole timeline so that its first step begins at `first`; the load ends as long after the last as before.
fn move_first_to(scenario: &mut Scenario, first: Duration) {
    let Some(old) = scenario.steps.iter().map(|step| step.at.min).min() else { return };
    let moved = |at: Duration| (at + first).saturating_sub(old);
    let rest = scenario.run.duration.saturating_sub(old);
    for step in &mut scenario.steps {
        step.at = Spread::exactly(moved(step.at.min));
    }
    scenario.run.duration = rounded_up((first + rest).min(scenario.run.duration.max(first + DURATION_MIN)));
}

/// Shorter faults, sooner, and with less time between them.
pub(super) fn lengths(_: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let mut proposals = Vec::new();
    for index in 0..scenario.steps.len() {
        let Some(lasts) = scenario.steps[index].lasts else { continue };
        let shorter = [10, 100, 300, 500, 1_000, 1_500, 2_000, 3_000].map(millis).into_iter();
        for shorter in shorter.chain([lasts.min / 2, lasts.min * 3 / 4]).filter(|shorter| *shorter < lasts.min) {
            // What follows comes sooner by as much.
            let saved = lasts.min - shorter;
            let after = scenario.steps[index].at.min + lasts.min;
            let sooner = with(scenario, |scenario| {
                scenario.steps[index].lasts = Some(Spread::exactly(shorter));
                for step in scenario.steps.iter_mut().filter(|step| step.at.min >= after) {
                    step.at = Spread::exactly(step.at.min - saved);
                }
                scenario.run.duration = scenario.run.duration.saturating_sub(saved).max(DURATION_MIN);
            });
            proposals.push(propose(sooner, 1));
        }
    }
    let mut begins: Vec<Duration> = scenario.steps.iter().map(|step| step.at.min).collect();
    begins.sort();
    begins.dedup();
    let mut before = Duration::ZERO;
    for begin in begins {
        let gap = begin - before;
        for closer in [Duration::ZERO, millis(20), millis(100), millis(500), gap / 2] {
            if closer < gap {
                let saved = gap - closer;
                let sooner = with(scenario, |scenario| {
                    for step in scenario.steps.iter_mut().filter(|step| step.at.min >= begin) {
                        step.at = Spread::exactly(step.at.min - saved);
                    }
                    scenario.run.duration = scenario.run.duration.saturating_sub(saved).max(DURATION_MIN);
                });
                proposals.push(propose(sooner, 1));
            }
        }
        before = begin;
    }
    proposals
}
