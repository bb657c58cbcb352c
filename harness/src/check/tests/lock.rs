//! A queue of one message as a lock: who has it in broker state, and who believes to.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::{Lock, SingleOwner};

fn locked(mut story: Story) -> Story {
    story.history.locks = vec![ORDERS];
    story
}

/// Message 1 is numbered by entry 1; what `entries` say follows.
fn queue(entries: &[&[Observation]]) -> Story {
    let first: &[Observation] = &[enqueued(1)];
    locked(told_by(story().tell(N1, opened()), N1, &[&[first], entries].concat()))
}

#[test]
fn two_clients_that_are_given_the_lock_at_once_are_reported() {
    let second = |between: &[Observation]| queue(&[&[assigned(1, 7, None, 0)], between, &[assigned(1, 8, None, 1)]]);
    let result = second(&[]).rejected(Lock, "channel 7 of n1 held the lock orders since");
    assert_eq!(result.witness.len(), 2);
    second(&[requeued(1)]).accepted(Lock);
    second(&[settled(1)]).accepted(Lock);
}

#[test]
fn a_second_message_in_the_queue_makes_a_second_lock() {
    let second = |given: &[Observation]| queue(&[&[enqueued(2), assigned(1, 7, None, 0)], given]);
    // Each message has one owner. The lock has two.
    let two = second(&[assigned(2, 8, None, 0)]);
    two.accepted(SingleOwner);
    two.rejected(Lock, "channel 8 of n1 was given it");
    second(&[requeued(1), assigned(2, 8, None, 0)]).accepted(Lock);
}

#[test]
fn a_queue_that_is_no_lock_may_have_many_holders() {
    let story =
        told_by(story().tell(N1, opened()), N1, &[&[enqueued(2), assigned(1, 7, None, 0), assigned(2, 8, None, 0)]]);
    story.is(Lock, InvariantVerdict::Vacuous);
    locked(story).rejected(Lock, "held the lock");
}

#[test]
fn two_halves_that_go_on_by_themselves_share_the_lock() {
    // n1 and n3 agree on the first entry; then each applies an entry of its own.
    let halves = |other: &[Observation]| {
        let story = queue(&[]).tell(N3, enqueued(1)).tell(N3, applied(1, 1, 1, 1));
        let story = story.tell(N1, assigned(1, 7, None, 0)).tell(N1, applied(2, 1, 2, 2));
        let story = other.iter().fold(story, |story, fact| story.tell(N3, fact.clone()));
        story.tell(N3, applied(2, 2, 92, 3))
    };
    halves(&[assigned(1, 8, None, 0)]).rejected(Lock, "and n3, which had applied other entries, gave it to channel 8");
    // Different logs alone are a matter of other invariants.
    halves(&[]).is(Lock, InvariantVerdict::Undecided);
    halves(&[assigned(1, 7, None, 0)]).is(Lock, InvariantVerdict::Undecided);
}

#[test]
fn a_replica_that_lags_behind_has_an_earlier_holder_and_no_other_log() {
    let entries: [&[Observation]; 3] =
        [&[enqueued(1), assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, 1)]];
    let story = told_by(story().tell(N1, opened()), N1, &entries);
    locked(told_by(story, N3, &entries[..1])).accepted(Lock);
}

#[test]
fn a_cut_off_holder_that_believes_to_have_the_lock_is_overlap_and_only_counted() {
    let story = queue(&[&[assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, 1)]]);
    let story = story.put(m(1)).fresh(CON, m(1)).again(CON_2, m(1)).wait(2).lost(CON).give_back(CON_2, 1);
    let result = story.is(Lock, InvariantVerdict::Holds);
    let remark = result.explanation.expect("the overlap is told");
    assert!(remark.starts_with("1 times a client had the lock") && remark.contains("2.001 s in all"), "{remark}");
    // One after the other.
    let story = queue(&[&[assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, 1)]]);
    let story = story.put(m(1)).fresh(CON, m(1)).give_back(CON, 1).again(CON_2, m(1)).give_back(CON_2, 1);
    assert_eq!(story.is(Lock, InvariantVerdict::Holds).explanation, None);
}

#[test]
fn a_channel_of_a_restarted_node_is_another_holder_although_it_has_the_same_number() {
    let second = |restart: bool, between: &[Observation]| {
        let started = Observation::Started { incarnation: 2 };
        let story = queue(&[&[enqueued(2), assigned(1, 7, None, 0)]]);
        let story = if restart { story.down(N1, NodeDown::Killed).up(N1).tell(N1, started) } else { story };
        let story = between.iter().fold(story, |story, fact| story.tell(N3, fact.clone()));
        story.tell(N3, assigned(2, 7, None, 0)).tell(N3, applied(3, 1, 3, 3))
    };
    second(true, &[]).rejected(Lock, "and channel 7 of n1, which had restarted, was given it");
    second(true, &[requeued(1)]).accepted(Lock);
    second(false, &[]).accepted(Lock);
}
