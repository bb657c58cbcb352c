//! Who owns a message, how often it was put back, and who starves.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::*;

/// Message 1 is numbered by entry 1; what `entries` say follows.
fn queue(entries: &[&[Observation]]) -> Story {
    let first: &[Observation] = &[enqueued(1)];
    told_by(story().tell(N1, opened()), N1, &[&[first], entries].concat())
}

#[test]
fn a_message_that_is_given_away_after_its_settle_committed_is_reported() {
    let given = |last: &[Observation]| queue(&[&[assigned(1, 7, None, 0)], &[settled(1)], last]);
    given(&[assigned(1, 8, None, 0)]).rejected(NoAckResurrection, "was settled at");
    given(&[requeued(1)]).rejected(NoAckResurrection, "and put back at");
    given(&[]).accepted(NoAckResurrection);
    // Before the settle it may come back.
    queue(&[&[assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, 1)], &[settled(1)]])
        .accepted(NoAckResurrection);
}

#[test]
fn what_another_replica_tells_of_the_same_entries_is_the_same_and_nothing_new() {
    let entries: [&[Observation]; 2] = [&[enqueued(1), assigned(1, 7, None, 0)], &[settled(1)]];
    let story = told_by(told_by(story(), N1, &entries), N2, &entries);
    for invariant in [NoAckResurrection, SingleOwner, DeliveryCount] {
        story.accepted(invariant);
    }
    // Also after a restart, from the beginning; what the crash cut off counts for nothing.
    let story = story.tell(N2, assigned(1, 8, None, 0)).down(N2, NodeDown::Killed).up(N2);
    told_by(story, N2, &entries).accepted(NoAckResurrection);
    let resurrected = told_by(told_by(super::story(), N1, &entries), N2, &entries);
    resurrected.tell(N2, assigned(1, 8, None, 0)).tell(N2, applied(3, 1, 3, 3)).rejected(NoAckResurrection, "given to");
}

#[test]
fn a_message_that_is_sent_to_a_client_again_after_its_settle_committed_is_reported() {
    let sent = |again: Option<Observation>| {
        let story = told_by(story(), N1, &[&[enqueued(1), assigned(1, 7, None, 0)]]).tell(N1, delivered(1, 7, 0, 1));
        let story = story.tell(N1, settled(1)).tell(N1, applied(2, 1, 2, 2));
        again.into_iter().fold(story, |story, again| story.tell(N1, again))
    };
    sent(Some(delivered(1, 7, 0, 2))).rejected(NoAckResurrection, "sent it again at");
    sent(Some(delivered(1, 9, 1, 1))).rejected(NoAckResurrection, "had not been given it");
    sent(None).accepted(NoAckResurrection);
}

#[test]
fn a_node_that_was_out_of_touch_may_still_send_what_it_had_been_given() {
    let entries: [&[Observation]; 4] =
        [&[enqueued(1), assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, 1)], &[settled(1)]];
    let late = told_by(story(), N1, &entries).tell(N1, delivered(1, 8, 1, 1)).tell(N1, delivered(1, 7, 0, 1));
    for invariant in [NoAckResurrection, SingleOwner, DeliveryCount] {
        late.accepted(invariant);
    }
}

#[test]
fn a_message_that_is_given_to_a_second_owner_before_the_first_is_done_is_reported() {
    let second =
        |between: &[Observation], count| queue(&[&[assigned(1, 7, None, 0)], between, &[assigned(1, 8, None, count)]]);
    second(&[], 0).rejected(SingleOwner, "belonged to channel 7 of n1");
    second(&[requeued(1)], 1).accepted(SingleOwner);
}

#[test]
fn a_client_that_is_sent_what_its_channel_was_not_given_is_reported() {
    let sent = |channel| queue(&[&[assigned(1, 7, None, 0)]]).tell(N1, delivered(1, channel, 0, 1));
    sent(8).rejected(SingleOwner, "which had not been given it");
    sent(7).accepted(SingleOwner);
}

#[test]
fn a_cut_off_client_that_still_holds_a_message_is_overlap_and_only_counted() {
    let story = queue(&[&[assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, 1)]]);
    let result = story.put(m(1)).fresh(CON, m(1)).again(CON_2, m(1)).is(SingleOwner, InvariantVerdict::Holds);
    assert!(result.explanation.is_some_and(|remark| remark.starts_with("1 times")));
}

#[test]
fn a_requeue_that_does_not_raise_the_count_is_reported() {
    let again = |count| queue(&[&[assigned(1, 7, None, 0)], &[requeued(1)], &[assigned(1, 8, None, count)]]);
    again(0).rejected(DeliveryCount, "had been put back 1 times");
    // That alone makes nobody share it.
    again(0).tell(N1, delivered(1, 8, 0, 1)).accepted(SingleOwner);
    again(2).rejected(DeliveryCount, "with a delivery count of 2");
    again(1).accepted(DeliveryCount);
}

#[test]
fn an_assignment_that_is_sent_twice_has_the_same_count_twice() {
    let twice = |count, tag| {
        let story = queue(&[&[assigned(1, 7, None, 0)]]).tell(N1, delivered(1, 7, 0, 1));
        let story = story.tell(N1, requeued(1)).tell(N1, assigned(1, 7, None, 1)).tell(N1, applied(3, 1, 3, 3));
        story.tell(N1, delivered(1, 7, count, tag))
    };
    twice(0, 2).rejected(DeliveryCount, "both times with a delivery count of 0");
    twice(1, 2).accepted(DeliveryCount);
}

#[test]
fn a_count_that_falls_or_stands_still_in_the_eyes_of_clients_is_reported() {
    let seen = || queue(&[&[assigned(1, 7, None, 0)]]).put(m(1)).subscribe(CON, 0).subscribe(CON_2, 0);
    seen().again_for(CON, m(1), 2).again_for(CON_2, m(1), 2).rejected(DeliveryCount, "with a delivery count of 2, and");
    seen().again_for(CON, m(1), 2).again_for(CON, m(1), 1).rejected(DeliveryCount, "at 0.");
    // On two channels the later one may have overtaken the earlier.
    seen().again_for(CON, m(1), 2).again_for(CON_2, m(1), 1).accepted(DeliveryCount);
    // Unless it certainly was dispatched later.
    let reset = |count| seen().again_for(CON, m(1), 2).put(m(2)).fresh(CON_2, m(2)).again_for(CON_2, m(1), count);
    reset(1).rejected(DeliveryCount, "con-2");
    reset(3).accepted(DeliveryCount);
}

#[test]
fn replicas_that_applied_different_entries_leave_ownership_undecided() {
    let story = queue(&[&[assigned(1, 7, None, 0)]]).tell(N2, applied(1, 1, 1, 1)).tell(N2, applied(2, 2, 99, 2));
    let result = story.is(SingleOwner, InvariantVerdict::Undecided);
    assert!(result.explanation.is_some_and(|reason| reason.contains("different entries at 2")));
}

#[test]
fn what_cannot_be_told_after_a_majority_lost_its_disks_is_excused_and_what_could_not_before_is_open() {
    let wiped = |story: Story| [N1, N2, N3].into_iter().fold(story, Story::wiped);
    let whole = || queue(&[&[assigned(1, 7, None, 0)], &[settled(1)]]).tell(N2, applied(1, 1, 1, 1));
    let torn = |story: Story| story.tell(N2, applied(2, 2, 99, 2));
    for invariant in [NoAckResurrection, SingleOwner, DeliveryCount] {
        let result = torn(wiped(whole())).is(invariant, InvariantVerdict::NotRecoverable);
        let why = "different entries at 2; but 2 of 3 nodes lost";
        assert!(result.explanation.as_ref().is_some_and(|told| told.contains(why)), "{result:?}");
        wiped(torn(whole())).is(invariant, InvariantVerdict::Undecided);
        torn(whole()).is(invariant, InvariantVerdict::Undecided);
    }
    // What was broken before the loss is not excused by what cannot be told after it.
    let shared = || queue(&[&[assigned(1, 7, None, 0)], &[assigned(1, 8, None, 0)]]).tell(N2, applied(1, 1, 1, 1));
    torn(wiped(shared())).rejected(SingleOwner, "message 1");
}

fn attached(consumer: u64, prefetch: Option<u32>) -> Observation {
    Observation::ConsumerAttached { group: GROUP, owner: N1, channel: 7, consumer, prefetch }
}

fn healthy(entries: &[&[Observation]]) -> Story {
    let story = told_by(story().tell(N1, opened()).tell(N1, leader(1)), N1, entries);
    [N2, N3].into_iter().fold(story, |story, node| told_by(story, node, entries)).put(m(1))
}

#[test]
fn a_ready_message_goes_to_a_consumer_with_credit() {
    let starving = |prefetch, given: &[Observation]| {
        let two: &[Observation] = &[enqueued(2), assigned(1, 7, Some(1), 0)];
        healthy(&[&[attached(1, prefetch)], &[two, given].concat()]).healed().wait(20).drained()
    };
    starving(Some(2), &[]).rejected(Liveness, "message 2 of orders was ready");
    starving(None, &[]).rejected(Liveness, "with no limit");
    starving(Some(1), &[]).accepted(Liveness);
    starving(Some(2), &[assigned(2, 7, Some(1), 0)]).accepted(Liveness);
    let settled_later = |next: &[Observation]| {
        let full: &[Observation] = &[attached(1, Some(1)), enqueued(2), assigned(1, 7, Some(1), 0)];
        healthy(&[full, &[&[settled(1)], next].concat()]).healed().wait(20).drained()
    };
    settled_later(&[]).rejected(Liveness, "message 2 of orders was ready");
    settled_later(&[assigned(2, 7, Some(1), 0)]).accepted(Liveness);
}

#[test]
fn nothing_stays_with_a_node_whose_clients_have_all_left() {
    let held = |last: &[Observation]| {
        let story = healthy(&[&[enqueued(1), assigned(1, 7, None, 0)], last]).fresh(CON, m(1)).healed();
        story.lost(PUB).lost(CON)
    };
    held(&[]).wait(20).drained().rejected(Liveness, "still belongs to channel 7 of n1");
    held(&[settled(1)]).wait(20).drained().accepted(Liveness);
    let detached = Observation::ConsumerDetached { group: GROUP, owner: N1, channel: 7, consumer: 1 };
    let consuming = [settled(1), attached(1, None)];
    held(&consuming).wait(20).drained().rejected(Liveness, "orders still serves a consumer of channel 7 of n1");
    held(&[&consuming[..], &[detached]].concat()).wait(20).drained().accepted(Liveness);
    // The clients left a moment ago.
    held(&[]).wait(6).lost(CON_2).opened(2, ChannelId(9), N1).lost(ChannelId(9)).drained().accepted(Liveness);
}

#[test]
fn what_disks_lose_under_nodes_that_run_on_excuses_nothing() {
    let rot = |story: Story, node| story.event(EventKind::SyncedDataLost { node });
    let rotten = || rot(rot(story().put(m(1)), N1), N2);
    rotten().healed().wait(20).drained().rejected(NoConfirmedLoss, "pub-1/1");
    // They have it in mind until they end.
    let end = |story: Story, node| story.down(node, NodeDown::Killed).up(node);
    end(rotten(), N1).healed().wait(20).drained().rejected(NoConfirmedLoss, "pub-1/1");
    end(end(rotten(), N1), N2).healed().wait(20).drained().is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
}

#[test]
fn a_majority_that_lost_what_it_had_synced_owes_nothing() {
    let wiped = |story: Story, node| story.wiped(node);
    let lost = || story().put(m(1));
    let both = wiped(wiped(lost(), N1), N2).healed().wait(20).drained();
    both.is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
    both.is(Liveness, InvariantVerdict::NotRecoverable);
    wiped(lost(), N1).healed().wait(20).drained().rejected(NoConfirmedLoss, "pub-1/1");
    // The first one is whole again before the second one loses its disk.
    let whole = |group| Observation::Whole { group, index: LogIndex(1) };
    let again = wiped(lost(), N1).tell(N1, whole(GroupId::META)).tell(N1, whole(GROUP));
    wiped(again, N2).healed().wait(20).drained().rejected(NoConfirmedLoss, "pub-1/1");
    // In the metadata only: of the queue's voters, two lack what they had.
    let voters = vec![N1, N2, N3];
    let counts = Observation::Members { group: GROUP, index: LogIndex(1), voters: voters.into(), learners: [].into() };
    let members = |story: Story, node| story.tell(node, opened()).tell(node, counts.clone());
    let half = wiped(members(lost(), N1), N1).tell(N1, whole(GroupId::META));
    wiped(half, N2).healed().wait(20).drained().is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
}
