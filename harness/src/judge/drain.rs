//! The order of a drain's steps, which the sweep of [`fifo`] knows nothing of: to it, they are concurrent.
//!
//! What the sweep refutes without the order is refuted. Beyond that, a drain that took values in another order than
//! that in which they were surely enqueued is refuted. To confirm a history, one order of all steps is tried: each
//! value is taken as soon as it can be, of several drains at once by the one whose next value came first. If any order
//! of drains fits the enqueues, this one does; that it also fits what others dequeued meanwhile is likely, not certain.

use std::{collections::BTreeMap, ops::Range};

use crate::check::fifo::{self, Interval, Operation, Pattern, Verdict};

/// The intervals of one drain, in the order of its steps: removals, at last one that found nothing.
pub(super) type Drain = Range<usize>;

/// Whether `intervals` are those of a queue, with the steps of `drains` in their order; `None`: a sweep cannot tell.
pub(super) fn check(intervals: &[Interval], drains: &[Drain]) -> Option<Verdict> {
    let swept = fifo::check(intervals);
    if drains.is_empty() || swept != Verdict::Linearizable {
        return Some(swept);
    }
    let mut added: BTreeMap<u64, usize> = BTreeMap::new();
    for (index, interval) in intervals.iter().enumerate() {
        if let Operation::Add(value) = interval.operation {
            added.insert(value, index);
        }
    }
    // The sweep has found an addition of everything that was removed.
    let add = |step: usize| match intervals[step].operation {
        Operation::Remove(value) => added.get(&value).copied(),
        Operation::Add(_) | Operation::Empty => None,
    };
    if let Some(pattern) = drains.iter().find_map(|drain| disordered(intervals, drain, add)) {
        return Some(Verdict::Violated(pattern));
    }
    let ordered = in_one_order(intervals, drains, add)?;
    (fifo::check(&ordered) == Verdict::Linearizable).then_some(Verdict::Linearizable)
}

/// Two values that a drain took in the wrong order.
fn disordered(intervals: &[Interval], drain: &Drain, add: impl Fn(usize) -> Option<usize>) -> Option<Pattern> {
    // The step whose value was added last so far.
    let mut last: Option<(usize, usize)> = None;
    for step in drain.clone() {
        let Some(added) = add(step) else { continue };
        match last {
            Some((later_add, later_remove)) if intervals[added].end < intervals[later_add].start => {
                return Some(Pattern::Overtaken {
                    earlier_add: added,
                    earlier_remove: Some(step),
                    later_add,
                    later_remove,
                });
            }
            Some((later, _)) if intervals[later].start >= intervals[added].start => {}
            _ => last = Some((added, step)),
        }
    }
    None
}

/// A removal in the order of all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    /// Drains that overlap, directly or through others, stand together; those before them end before they start.
    cluster: usize,
    /// The latest start of an addition among this removal's and those of the steps before it.
    came: u64,
    drain: usize,
    interval: usize,
}

/// The intervals, on another scale, with each drained removal at a point of its own.
fn in_one_order(
    intervals: &[Interval],
    drains: &[Drain],
    add: impl Fn(usize) -> Option<usize>,
) -> Option<Vec<Interval>> {
    let mut by_start: Vec<usize> = (0..drains.len()).collect();
    by_start.sort_unstable_by_key(|&drain| intervals[drains[drain].start].start);
    let mut steps: Vec<Step> = Vec::new();
    let (mut cluster, mut latest) = (0, 0);
    for drain in by_start {
        let Interval { start, end, .. } = intervals[drains[drain].start];
        cluster += usize::from(start > latest);
        latest = end.max(latest);
        let mut came = 0;
        for interval in drains[drain].clone() {
            let Some(added) = add(interval) else { continue };
            came = intervals[added].start.max(came);
            steps.push(Step { cluster, came, drain, interval });
        }
    }
    steps.sort_unstable();
    // When each is taken; at one time, in this order.
    let mut now = 0;
    let mut points: BTreeMap<u64, Vec<Step>> = BTreeMap::new();
    for step in steps {
        now = step.came.max(intervals[step.interval].start).max(now);
        if now > intervals[step.interval].end {
            return None;
        }
        points.entry(now).or_default().push(step);
    }
    // Room for the points of one time between what starts at that time and what ends at it.
    let times = intervals.iter().flat_map(|interval| [interval.start, interval.end.max(interval.start)]);
    let mut scale: BTreeMap<u64, (u64, u64)> = times.map(|time| (time, (0, 0))).collect();
    let mut ordered = intervals.to_vec();
    let mut lasts: BTreeMap<usize, u64> = BTreeMap::new();
    let mut next = 0;
    for (time, (first, last)) in &mut scale {
        *first = next;
        for step in points.get(time).into_iter().flatten() {
            next += 1;
            lasts.insert(step.drain, next);
            ordered[step.interval] = Interval { start: next, end: next, ..ordered[step.interval] };
        }
        *last = next + 1;
        next += 2;
    }
    let pointed: Vec<bool> = {
        let mut pointed = vec![false; intervals.len()];
        points.values().flatten().for_each(|step| pointed[step.interval] = true);
        pointed
    };
    for (index, interval) in ordered.iter_mut().enumerate().filter(|(index, _)| !pointed[*index]) {
        let Interval { start, end, .. } = intervals[index];
        (interval.start, interval.end) = (scale[&start].0, scale[&end.max(start)].1);
    }
    // A drain finds nothing after its last removal.
    for (drain, last) in lasts {
        let nothing = &mut ordered[drains[drain].end - 1];
        nothing.start = last.max(nothing.start);
    }
    Some(ordered)
}
