//! What may be left out: each pass proposes smaller scenarios, the boldest first.
//!
//! A proposal need not be a valid scenario, nor fail: whoever runs it finds out.

use std::time::Duration;

use warren::platform::NodeId;

use super::{
    Found, Goal, Proposal,
    size::{faults, mends},
};
use crate::scenario::{
    Action, Cluster, DiskSpeed, Errand, Invariant, Net, Partition, Placement, Publishers, Reset, Scenario, Spread,
    Step, Target,
};

/// Up to so many faults, every one and every pair is tried alone.
const FEW_FAULTS: usize = 8;
/// Other seeds that a cheap proposal is tried with.
const LUCK: u64 = 3;
/// A scenario of so few messages is small.
const FEW_MESSAGES: u64 = 20;
/// How long a log grows before it is cut, unless the file says otherwise, and the least that it may say.
const COMPACT_AFTER: u64 = 4096;
const COMPACT_AFTER_MIN: u64 = 16;
/// The least that a load may last.
const DURATION_MIN: Duration = Duration::from_millis(100);
const LIVENESS: Goal = Goal::Violates(Invariant::Liveness);
/// What the run may cost after its load, when the goal does not depend on it.
const LIVENESS_SHORT: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn propose(scenario: Scenario, seeds: u64) -> Proposal {
    Proposal { scenario, seeds }
}

/// The scenario changed by `change`.
fn with(scenario: &Scenario, change: impl FnOnce(&mut Scenario)) -> Scenario {
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

/// Fewer queues, groups of clients and clients.
pub(super) fn crowd(_: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let mut proposals = Vec::new();
    if scenario.queues.len() > 1 {
        for queue in 0..scenario.queues.len() {
            proposals.push(propose(one_each(&only_queue(scenario, queue)), 1));
        }
        for queue in 0..scenario.queues.len() {
            proposals.push(propose(only_queue(scenario, queue), 0));
        }
    }
    proposals.push(propose(one_each(scenario), 1));
    let names = scenario.publishers.iter().map(|group| &group.name);
    let names = names.chain(scenario.consumers.iter().map(|group| &group.name));
    let names = names.chain(scenario.lockers.iter().map(|group| &group.name));
    for name in names.chain(scenario.getters.iter().map(|group| &group.name)) {
        proposals.push(propose(without_client(scenario, name), 1));
    }
    let groups = scenario.publishers.len() + scenario.consumers.len() + scenario.getters.len() + scenario.lockers.len();
    for group in 0..groups {
        for fewer in [|_: u32| 1, |count: u32| count / 2, |count: u32| count - 1] {
            proposals.push(propose(
                with(scenario, |scenario| {
                    if let Some(count) = count_of(scenario, group) {
                        *count = fewer(*count).max(1);
                    }
                }),
                0,
            ));
        }
    }
    proposals
}

/// One client of each group.
fn one_each(scenario: &Scenario) -> Scenario {
    with(scenario, |scenario| {
        scenario.publishers.iter_mut().for_each(|group| group.count = 1);
        scenario.consumers.iter_mut().for_each(|group| group.count = 1);
        scenario.getters.iter_mut().for_each(|group| group.count = 1);
        scenario.lockers.iter_mut().for_each(|group| group.count = 1);
    })
}

fn count_of(scenario: &mut Scenario, group: usize) -> Option<&mut u32> {
    let publishers = scenario.publishers.iter_mut().map(|group| &mut group.count);
    let consumers = scenario.consumers.iter_mut().map(|group| &mut group.count);
    let getters = scenario.getters.iter_mut().map(|group| &mut group.count);
    let lockers = scenario.lockers.iter_mut().map(|group| &mut group.count);
    publishers.chain(consumers).chain(getters).chain(lockers).nth(group)
}

/// One queue and its clients; steps that speak of another queue's leader speak of this one's.
fn only_queue(scenario: &Scenario, queue: usize) -> Scenario {
    with(scenario, |scenario| {
        scenario.queues = vec![scenario.queues[queue].clone()];
        let of = |other: usize| other == queue;
        scenario.publishers.retain(|group| of(group.queue));
        scenario.consumers.retain(|group| of(group.queue));
        scenario.getters.retain(|group| of(group.queue));
        scenario.lockers.retain(|group| of(group.queue));
        let here = |target: &mut Target| match target {
            Target::Leader(queue)
            | Target::Followers(queue)
            | Target::OneFollower(queue)
            | Target::OneLearner(queue) => *queue = 0,
            _ => {}
        };
        for (queue, node) in connections(scenario) {
            *queue = 0;
            if let Placement::At(target) = node {
                here(target);
            }
        }
        // An operator's errand is of its queue, and so may be what a step waits for.
        scenario.steps.retain(|step| {
            let of_another = |errand: Errand| errand.queue().is_some_and(|errand| errand != queue);
            step.trigger.is_none() && !matches!(step.action, Action::Operate { errand, .. } if of_another(errand))
        });
        for step in &mut scenario.steps {
            step.action = step.action.map(|targets| {
                let mut targets = targets.clone();
                targets.iter_mut().for_each(here);
                targets
            });
            if let Action::Operate { errand, .. } = &mut step.action {
                *errand = errand.with_queue(0);
            }
        }
        drop_steps_of_strangers(scenario);
    })
}

/// Queue and placement of every group of clients.
fn connections(scenario: &mut Scenario) -> impl Iterator<Item = (&mut usize, &mut Placement)> {
    let publishers = scenario.publishers.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    let consumers = scenario.consumers.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    let getters = scenario.getters.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    let lockers = scenario.lockers.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    publishers.chain(consumers).chain(getters).chain(lockers)
}

fn without_client(scenario: &Scenario, name: &str) -> Scenario {
    with(scenario, |scenario| {
        scenario.publishers.retain(|group| group.name != name);
        scenario.consumers.retain(|group| group.name != name);
        scenario.getters.retain(|group| group.name != name);
        scenario.lockers.retain(|group| group.name != name);
        drop_steps_of_strangers(scenario);
    })
}

/// Steps against clients that are not there.
fn drop_steps_of_strangers(scenario: &mut Scenario) {
    let publishers = scenario.publishers.iter().map(|group| group.name.clone());
    let consumers = scenario.consumers.iter().map(|group| group.name.clone());
    let getters = scenario.getters.iter().map(|group| group.name.clone());
    let lockers = scenario.lockers.iter().map(|group| group.name.clone());
    let known: Vec<String> = publishers.chain(consumers).chain(getters).chain(lockers).collect();
    scenario.steps.retain(|step| match &step.action {
        Action::Client { client, .. } | Action::Reset(Reset::Client(client)) => known.contains(client),
        _ => true,
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

/// Fewer nodes.
pub(super) fn nodes(_: Goal, best: &Found) -> Vec<Proposal> {
    let Cluster { nodes, spares, .. } = best.scenario.cluster;
    // Spares are numbered after the nodes: with fewer of these, steps would speak of others.
    let fewer = (1..if spares > 0 { 1 } else { nodes })
        .map(|fewer| propose(with(&best.scenario, |scenario| only_nodes(scenario, fewer)), LUCK));
    fewer.collect()
}

/// The first `nodes` nodes; steps against one that is gone hit another.
fn only_nodes(scenario: &mut Scenario, nodes: u64) {
    scenario.cluster.nodes = nodes;
    for queue in &mut scenario.queues {
        queue.group_size = queue.group_size.min(nodes);
    }
    let inside = |target: Target| match target {
        Target::Node(node) => Target::Node(NodeId((node.0 - 1) % nodes + 1)),
        other => other,
    };
    for (_, node) in connections(scenario) {
        if let Placement::At(target) = node {
            *target = inside(*target);
        }
    }
    for step in &mut scenario.steps {
        step.action = step.action.map(|targets| {
            let mut fewer: Vec<Target> = Vec::new();
            for target in targets {
                let target = inside(*target);
                if !fewer.contains(&target) {
                    fewer.push(target);
                }
            }
            fewer
        });
        if let Action::Partition(Partition::Halves(halves)) = &mut step.action {
            let mut seen: Vec<Target> = Vec::new();
            for half in halves.iter_mut() {
                half.retain(|target| !seen.contains(target));
                seen.extend(half.iter().copied());
            }
            halves.retain(|half| !half.is_empty());
        }
    }
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
