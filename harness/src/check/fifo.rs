//! Is a concurrent history that of one FIFO queue? Decided by a sweep over sorted intervals, O(n log n).
//!
//! Input: one interval per operation on one queue, values distinct. The operation took effect at one point within
//! its interval. For complete histories, Henzinger, Sezgin and Vafeiadis (arXiv 1502.07639) show that no linearization
//! exists exactly if one of these patterns does:
//! - a value is removed that was never added, or whose removal ends before its addition begins;
//! - a value is removed twice;
//! - `a` was added wholly before `b`, `b` was removed, and `a` was removed wholly after `b` or never;
//! - a removal that found the queue empty, although at each point of its interval some value was certainly there. A
//!   value is certainly there strictly between the end of its addition and the start of its removal (for ever, if it
//!   is never removed); the value need not be the same at every point.
//!
//! An addition that may or may not have happened does not belong here: leave it out, or close its interval at the
//! point that proves it.

/// One operation. `start` and `end` are in any unit of time, both ends included. An end before its start is read as
/// a point at `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    pub start: u64,
    pub end: u64,
    pub operation: Operation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Add(u64),
    Remove(u64),
    /// A removal that found the queue empty.
    Empty,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    Violated(Pattern),
}

/// Why there is no linearization. Numbers are indices into the checked slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// Two additions of one value: the input is not one that this algorithm decides.
    AddedTwice {
        first: usize,
        second: usize,
    },
    NeverAdded {
        remove: usize,
    },
    RemovedBeforeAdded {
        add: usize,
        remove: usize,
    },
    RemovedTwice {
        first: usize,
        second: usize,
    },
    /// `earlier` was added wholly before `later`, and removed wholly after it (`None`: never).
    Overtaken {
        earlier_add: usize,
        earlier_remove: Option<usize>,
        later_add: usize,
        later_remove: usize,
    },
    /// `chain`: additions whose values, one after the other, were certainly there all the time.
    NotEmpty {
        empty: usize,
        chain: Vec<usize>,
    },
}

/// Decides whether `intervals`, in any order, are those of a FIFO queue that starts empty.
pub fn check(intervals: &[Interval]) -> Verdict {
    match find(intervals) {
        Ok(()) => Verdict::Linearizable,
        Err(pattern) => Verdict::Violated(pattern),
    }
}

/// A value's life. Indices are `u32` so that a million operations stay within the caches' reach.
#[derive(Clone, Copy)]
struct Life {
    add_start: u64,
    add_end: u64,
    /// `u64::MAX` twice if it was never removed.
    remove_start: u64,
    remove_end: u64,
    add: u32,
    remove: Option<u32>,
}

fn find(intervals: &[Interval]) -> Result<(), Pattern> {
    let mut lives = lives(intervals)?;
    overtaken(&mut lives)?;
    empties(intervals, lives)
}

/// Joins additions and removals by value.
fn lives(intervals: &[Interval]) -> Result<Vec<Life>, Pattern> {
    let mut adds: Vec<(u64, u32)> = Vec::new();
    let mut removes: Vec<(u64, u32)> = Vec::new();
    for (index, interval) in intervals.iter().enumerate() {
        match interval.operation {
            Operation::Add(value) => adds.push((value, index as u32)),
            Operation::Remove(value) => removes.push((value, index as u32)),
            Operation::Empty => {}
        }
    }
    adds.sort_unstable();
    removes.sort_unstable();
    if let Some(pair) = adds.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Pattern::AddedTwice { first: pair[0].1 as usize, second: pair[1].1 as usize });
    }
    if let Some(pair) = removes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Pattern::RemovedTwice { first: pair[0].1 as usize, second: pair[1].1 as usize });
    }
    let mut lives = Vec::with_capacity(adds.len());
    let mut removes = removes.into_iter().peekable();
    for (value, add) in adds {
        if let Some(&(other, remove)) = removes.peek().filter(|(other, _)| *other < value) {
            debug_assert!(other < value, "removals of smaller values have no addition");
            return Err(Pattern::NeverAdded { remove: remove as usize });
        }
        let remove = removes.next_if(|(other, _)| *other == value).map(|(_, remove)| remove);
        let (add_start, add_end) = ends(&intervals[add as usize]);
        let (remove_start, remove_end) = remove.map_or((u64::MAX, u64::MAX), |index| ends(&intervals[index as usize]));
        if let Some(remove) = remove.filter(|_| remove_end < add_start) {
            return Err(Pattern::RemovedBeforeAdded { add: add as usize, remove: remove as usize });
        }
        lives.push(Life { add_start, add_end, remove_start, remove_end, add, remove });
    }
    match removes.next() {
        Some((_, remove)) => Err(Pattern::NeverAdded { remove: remove as usize }),
        None => Ok(lives),
    }
}

fn ends(interval: &Interval) -> (u64, u64) {
    (interval.start, interval.end.max(interval.start))
}

/// Looks for `a` added wholly before `b`, with `b` removed and `a` removed wholly later or never: for each `b` in
/// order of the start of its addition, the latest start of removal among all that were added by then is enough.
/// Leaves `lives` in order of the end of addition.
fn overtaken(lives: &mut [Life]) -> Result<(), Pattern> {
    lives.sort_unstable_by_key(|life| life.add_end);
    let mut later: Vec<u32> = (0..lives.len() as u32).filter(|&index| lives[index as usize].remove.is_some()).collect();
    later.sort_unstable_by_key(|&index| lives[index as usize].add_start);
    let mut added = 0;
    let mut slowest: Option<usize> = None;
    for later in later {
        let later = lives[later as usize];
        while added < lives.len() && lives[added].add_end < later.add_start {
            // A value that is never removed is slower than one whose removal starts at the last possible instant.
            let key = |index: usize| (lives[index].remove_start, lives[index].remove.is_none());
            if slowest.is_none_or(|slowest| key(slowest) < key(added)) {
                slowest = Some(added);
            }
            added += 1;
        }
        let Some(earlier) = slowest.map(|index| lives[index]) else { continue };
        if let Some(later_remove) = later.remove
            && (earlier.remove.is_none() || later.remove_end < earlier.remove_start)
        {
            return Err(Pattern::Overtaken {
                earlier_add: earlier.add as usize,
                earlier_remove: earlier.remove.map(|index| index as usize),
                later_add: later.add as usize,
                later_remove: later_remove as usize,
            });
        }
    }
    Ok(())
}

/// Looks for an empty removal whose interval is covered by the times in which some value was certainly there.
/// `lives` come in order of the end of addition, which is the order in which those times begin.
fn empties(intervals: &[Interval], lives: Vec<Life>) -> Result<(), Pattern> {
    let mut empties: Vec<u32> =
        (0..intervals.len() as u32).filter(|&i| intervals[i as usize].operation == Operation::Empty).collect();
    empties.sort_unstable_by_key(|&index| intervals[index as usize].start);
    // Open intervals (begin, end, first life of the run): the union of certain presences, in runs that leave no
    // point between them. Two runs that only touch leave the point where they touch.
    let mut lives = lives;
    lives.retain(|life| life.add_end < until(life));
    let mut runs: Vec<(u64, u64, usize)> = Vec::new();
    for (index, life) in lives.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if life.add_end < run.1 => run.1 = run.1.max(until(life)),
            _ => runs.push((life.add_end, until(life), index)),
        }
    }
    let mut next = 0;
    for empty in empties {
        let (start, end) = ends(&intervals[empty as usize]);
        while next < runs.len() && runs[next].1 <= start {
            next += 1;
        }
        if let Some(&(begin, until, first)) = runs.get(next)
            && begin < start
            && end < until
        {
            return Err(Pattern::NotEmpty { empty: empty as usize, chain: chain(&lives[first..], start, end) });
        }
    }
    Ok(())
}

/// When a value's certain presence ends. Nothing removes an unremoved value, not even the last instant.
fn until(life: &Life) -> u64 {
    life.remove_start
}

/// The fewest values that cover `start..=end` without a gap: always the one that stays longest.
fn chain(lives: &[Life], start: u64, end: u64) -> Vec<usize> {
    let mut chain = Vec::new();
    let mut reached = start;
    let mut begins_by = start;
    let mut candidates = lives.iter().peekable();
    while reached <= end {
        let mut best: Option<&Life> = None;
        while let Some(life) = candidates.next_if(|life| life.add_end < begins_by) {
            if best.is_none_or(|best| until(best) < until(life)) {
                best = Some(life);
            }
        }
        let Some(best) = best else { break };
        if until(best) > reached || chain.is_empty() {
            chain.push(best.add as usize);
            reached = until(best);
        }
        begins_by = reached;
        if reached == u64::MAX {
            break;
        }
    }
    chain
}
