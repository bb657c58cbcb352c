//! The bare FIFO sweep: known cases, and agreement with a search over all linearizations.

use proptest::prelude::*;

use crate::check::fifo::{
    Interval,
    Operation::{self, *},
    Pattern, Verdict, check,
};

fn intervals(list: &[(u64, u64, Operation)]) -> Vec<Interval> {
    list.iter().map(|&(start, end, operation)| Interval { start, end, operation }).collect()
}

fn linearizable(list: &[(u64, u64, Operation)]) -> bool {
    check(&intervals(list)) == Verdict::Linearizable
}

#[test]
fn an_unremoved_enqueue_followed_by_an_empty_dequeue_is_rejected() {
    assert_eq!(
        check(&intervals(&[(1, 2, Add(7)), (3, 4, Empty)])),
        Verdict::Violated(Pattern::NotEmpty { empty: 1, chain: vec![0] })
    );
    assert!(linearizable(&[(1, 3, Add(7)), (3, 4, Empty)]));
}

#[test]
fn values_are_removed_in_the_order_of_their_addition() {
    assert!(linearizable(&[(1, 2, Add(1)), (3, 4, Add(2)), (5, 6, Remove(1)), (7, 8, Remove(2))]));
    assert!(!linearizable(&[(1, 2, Add(1)), (3, 4, Add(2)), (5, 6, Remove(2)), (7, 8, Remove(1))]));
    assert!(linearizable(&[(1, 2, Add(1)), (3, 4, Add(2)), (5, 7, Remove(2)), (7, 8, Remove(1))]));
    assert!(linearizable(&[(1, 3, Add(1)), (3, 4, Add(2)), (5, 6, Remove(2)), (7, 8, Remove(1))]));
}

#[test]
fn a_value_that_is_never_removed_stops_all_that_come_after_it() {
    assert!(!linearizable(&[(1, 2, Add(1)), (3, 4, Add(2)), (5, 6, Remove(2))]));
    assert!(linearizable(&[(1, 3, Add(1)), (3, 4, Add(2)), (5, 6, Remove(2))]));
    // A removal at an unknown time is no such stop.
    assert!(linearizable(&[(1, 2, Add(1)), (3, 4, Add(2)), (5, 6, Remove(2)), (3, u64::MAX, Remove(1))]));
}

#[test]
fn strange_values_are_rejected() {
    assert_eq!(check(&intervals(&[(1, 2, Remove(1))])), Verdict::Violated(Pattern::NeverAdded { remove: 0 }));
    assert_eq!(
        check(&intervals(&[(3, 4, Add(1)), (1, 2, Remove(1))])),
        Verdict::Violated(Pattern::RemovedBeforeAdded { add: 0, remove: 1 })
    );
    assert_eq!(
        check(&intervals(&[(1, 2, Add(1)), (3, 4, Remove(1)), (5, 6, Remove(1))])),
        Verdict::Violated(Pattern::RemovedTwice { first: 1, second: 2 })
    );
    assert_eq!(
        check(&intervals(&[(1, 2, Add(1)), (3, 4, Add(1))])),
        Verdict::Violated(Pattern::AddedTwice { first: 0, second: 1 })
    );
}

#[test]
fn an_empty_removal_is_rejected_if_a_chain_of_values_covers_it() {
    let chain = |second: u64| {
        check(&intervals(&[
            (1, 2, Add(1)),
            (3, second, Add(2)),
            (5, 20, Empty),
            (9, 10, Remove(1)),
            (30, 31, Remove(2)),
        ]))
    };
    assert_eq!(chain(8), Verdict::Violated(Pattern::NotEmpty { empty: 2, chain: vec![0, 1] }));
    // At 9 the first may go, the second may come: the point between is enough.
    assert_eq!(chain(9), Verdict::Linearizable);
}

#[test]
fn an_empty_history_is_linearizable() {
    assert!(linearizable(&[]));
    assert!(linearizable(&[(1, 2, Empty), (1, 2, Empty)]));
}

/// Whether some order of the operations respects both their intervals and the queue: a plain search.
fn search(left: &mut Vec<Interval>, queue: &mut Vec<u64>) -> bool {
    if left.is_empty() {
        return true;
    }
    let first_end = left.iter().map(|interval| interval.end).min().unwrap_or(0);
    for index in 0..left.len() {
        // Whatever ends before another starts comes before it.
        if left[index].start > first_end {
            continue;
        }
        let interval = left[index];
        let before = queue.clone();
        let fits = match interval.operation {
            Add(value) => {
                queue.push(value);
                true
            }
            Remove(value) => queue.first() == Some(&value) && queue.remove(0) == value,
            Empty => queue.is_empty(),
        };
        if fits {
            left.remove(index);
            let found = search(left, queue);
            left.insert(index, interval);
            if found {
                return true;
            }
        }
        *queue = before;
    }
    false
}

/// Up to seven operations with distinct additions, ends within a short span so that all kinds of overlap happen.
fn small_histories() -> impl Strategy<Value = Vec<Interval>> {
    let span = || (0_u64..14, 0_u64..7);
    let value = (span(), proptest::option::weighted(0.85, span()));
    let empties = proptest::collection::vec(span(), 0..=2);
    (proptest::collection::vec(value, 0..=3), empties, any::<bool>()).prop_map(|(values, empties, distinct)| {
        let mut all = Vec::new();
        for (value, (add, remove)) in values.into_iter().enumerate() {
            all.push((add, Add(value as u64)));
            all.extend(remove.map(|remove| (remove, Remove(value as u64))));
        }
        all.extend(empties.into_iter().map(|span| (span, Empty)));
        let place = |index: usize, at: u64| if distinct { at * 16 + index as u64 } else { at };
        let all = all.into_iter().enumerate();
        all.map(|(index, ((start, length), operation))| Interval {
            start: place(index * 2, start),
            end: place(index * 2 + 1, start + length),
            operation,
        })
        .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sweep_agrees_with_a_search_over_all_linearizations(history in small_histories()) {
        let exists = search(&mut history.clone(), &mut Vec::new());
        let verdict = check(&history);
        prop_assert_eq!(verdict == Verdict::Linearizable, exists, "{:?}", verdict);
    }

    #[test]
    fn a_chain_of_values_covers_the_empty_removal_that_it_refutes(history in small_histories()) {
        if let Verdict::Violated(Pattern::NotEmpty { empty, chain }) = check(&history) {
            let certain: Vec<(u64, u64)> = chain.iter().map(|&add| {
                let removed = history.iter().find(|other| {
                    matches!((history[add].operation, other.operation), (Add(a), Remove(b)) if a == b)
                });
                (history[add].end, removed.map_or(u64::MAX, |removed| removed.start))
            }).collect();
            prop_assert!(certain[0].0 < history[empty].start);
            prop_assert!(certain.windows(2).all(|pair| pair[1].0 < pair[0].1));
            prop_assert!(certain.last().is_some_and(|last| history[empty].end < last.1));
        }
    }
}
