//! After the last heal, everything works again; or it could not.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::Liveness;

/// A healthy run up to its heal: n1 leads, all replicas have applied entry 1, message 1 is confirmed and seen.
fn run() -> Story {
    let story = [N1, N2, N3].into_iter().fold(story(), |story, node| story.tell(node, opened()));
    let story = story.tell(N1, leader(1)).put(m(1)).fresh(CON, m(1));
    [N1, N2, N3].into_iter().fold(story, |story, node| story.tell(node, applied(1, 1, 10, 5)))
}

#[test]
fn a_run_that_recovers_holds() {
    run().healed().wait(20).drained().accepted(Liveness);
}

#[test]
fn a_run_that_is_never_healed_or_not_drained_decides_nothing() {
    run().wait(20).drained().is(Liveness, InvariantVerdict::Undecided);
    run().healed().wait(20).drain_failed().is(Liveness, InvariantVerdict::Undecided);
}

#[test]
fn a_run_that_ends_before_the_bound_holds_if_all_is_done_and_else_decides_nothing() {
    run().healed().wait(2).drained().accepted(Liveness);
    run().tell(N1, applied(2, 1, 11, 6)).healed().wait(2).drained().is(Liveness, InvariantVerdict::Undecided);
    run().publish(m(2)).healed().wait(2).drained().is(Liveness, InvariantVerdict::Undecided);
}

#[test]
fn a_cluster_without_a_majority_cannot_recover_and_is_not_blamed() {
    let gone = |how| run().down(N1, how).down(N2, how).healed().wait(20).drain_failed();
    gone(NodeDown::PowerLost).is(Liveness, InvariantVerdict::NotRecoverable);
    // Nodes that ended by themselves are no excuse.
    gone(NodeDown::Exited).rejected(Liveness, "n1 ended by itself at 0.018 s and did not run at the end");
}

/// `node` ends with a reason.
fn ends(story: Story, node: NodeId) -> Story {
    let reason = "g2's snapshot cannot be restored".to_owned();
    story.tell(node, Observation::Fatal { reason }).down(node, NodeDown::Exited)
}

#[test]
fn a_node_that_ends_by_itself_is_excused_only_by_what_its_disk_has_lost() {
    let end = |story: Story| story.wait(20).drained();
    let lost = |story: Story, node| story.event(EventKind::SyncedDataLost { node });
    let reason = "n1 ended by itself at 0.019 s (g2's snapshot cannot be restored)";
    // A majority does not start again. Its consumers had seen everything.
    let two = |story: Story| ends(ends(story, N1), N2);
    end(two(run()).healed()).rejected(Liveness, reason);
    end(two(lost(lost(run(), N1), N2)).healed()).is(Liveness, InvariantVerdict::NotRecoverable);
    // One is enough, although the others go on.
    end(ends(run(), N1).healed()).rejected(Liveness, reason);
    end(ends(run(), N1).up(N1).tell(N1, leader(2)).tell(N1, applied(1, 1, 10, 5)).healed()).accepted(Liveness);
    let n2_leads = |story: Story| story.tell(N2, leader(2));
    end(n2_leads(ends(lost(run(), N1), N1).healed())).accepted(Liveness);
    // What it lost afterwards is no reason.
    end(n2_leads(lost(ends(run(), N1), N1).healed())).rejected(Liveness, reason);
}

/// The drain asks through n1 and n3, which run, and cannot through n2; n3's answer is as `empty` says.
fn drained_but_for_n2(story: Story, empty: bool) -> Story {
    let story = story.wait(20).event(EventKind::DrainBegan).opened(2, ChannelId(20), N1);
    let story = story.ask(ChannelId(20)).got_nothing(ChannelId(20)).opened(2, ChannelId(21), N3).ask(ChannelId(21));
    if empty { story.got_nothing(ChannelId(21)).drain_failed() } else { story.drain_failed() }
}

#[test]
fn a_drain_through_all_but_a_node_that_lost_its_disk_is_enough() {
    let lost = |story: Story| ends(story.event(EventKind::SyncedDataLost { node: N2 }), N2).healed();
    let with = |queues: &[&str], empty| {
        let mut story = drained_but_for_n2(lost(run()), empty);
        story.history.queues = queues.iter().map(|&name| name.to_owned()).collect();
        story
    };
    let told = with(&["orders"], true).is(Liveness, InvariantVerdict::Holds).explanation.unwrap_or_default();
    assert!(told.contains("n2 does not run at the end: it exited"), "{told}");
    assert!(told.contains("g2's snapshot cannot be restored") && told.contains("a step `wipe`"), "{told}");
    // A node that runs did not answer, or a queue was not asked for.
    for undecided in [with(&["orders"], false), with(&["orders", "other"], true)] {
        let told = undecided.is(Liveness, InvariantVerdict::Undecided).explanation.unwrap_or_default();
        assert!(told.contains("the final drain failed: n3 did not answer; n2 does not run at the end"), "{told}");
    }
    // What was found empty in an earlier round counts no more, if the last one could not ask.
    let mut refused = with(&["orders"], true);
    let ended = refused.history.events.pop().expect("the drain ended");
    refused = refused.event(EventKind::DrainBegan);
    refused.history.events.push(ended);
    refused.is(Liveness, InvariantVerdict::Undecided);
    // A message that nobody has seen is lost, then; and may be anywhere, if the drain shows too little.
    let missing = |empty| {
        let mut story = drained_but_for_n2(lost(run().put(m(2))), empty);
        story.history.queues.truncate(1);
        story
    };
    missing(true).rejected(Invariant::NoConfirmedLoss, "but those that are down (n2 does not run at the end");
    missing(false).is(Invariant::NoConfirmedLoss, InvariantVerdict::Undecided);
    // Nor is a majority of those who know it left.
    let mut two = drained_but_for_n2(ends(lost(run().put(m(2))), N1), true);
    two.history.queues.truncate(1);
    two.is(Invariant::NoConfirmedLoss, InvariantVerdict::Undecided);
}

#[test]
fn a_publisher_that_is_asked_to_hold_back_is_let_on_in_time() {
    let (blocked, unblocked) = (EventKind::Blocked { channel: PUB }, EventKind::Unblocked { channel: PUB });
    let held = || run().event(blocked.clone()).healed();
    let never = "pub-1 was asked by n1 to hold back at 0.018 s and was not let on for ";
    held().wait(20).drained().rejected(Liveness, never);
    held().wait(20).event(unblocked.clone()).drained().rejected(Liveness, never);
    held().wait(3).event(unblocked.clone()).wait(20).drained().accepted(Liveness);
    // Its connection may have been lost, and late blocks may still be lifted.
    held().wait(3).lost(PUB).wait(20).drained().accepted(Liveness);
    run().healed().wait(18).event(blocked.clone()).wait(2).drained().accepted(Liveness);
    run().healed().wait(8).event(blocked).wait(12).drained().rejected(Liveness, "pub-1 was asked by n1 to hold back");
}

#[test]
fn the_error_that_a_node_had_in_hand_at_the_heal_may_end_it() {
    let ended = |seconds| ends(run().healed().wait(seconds), N1).tell(N2, leader(2)).wait(20).drained();
    ended(0).accepted(Liveness);
    ended(3).rejected(Liveness, "n1 ended by itself");
    // What is started by the heal has met no fault.
    let mut started = run().down(N1, NodeDown::Killed).up(N1);
    started.now -= 1_000_000;
    let ended = ends(started.healed(), N1).tell(N2, leader(2)).wait(20).drained();
    ended.rejected(Liveness, "n1 ended by itself");
}

#[test]
fn a_publish_on_a_living_channel_must_have_an_outcome() {
    let open = || run().publish(m(2));
    open().healed().wait(20).drained().rejected(Liveness, "pub-1/2 was published");
    open().healed().confirm(m(2)).wait(20).drained().accepted(Liveness);
    open().healed().lost(PUB).wait(20).drained().accepted(Liveness);
    let unknown = |story: Story| story.outcome(m(2), PublishOutcome::Unknown);
    unknown(open().healed().wait(20)).drained().rejected(Liveness, "no outcome");
    // The publisher gave up early: the answer may have come when nobody listened any more.
    unknown(open().healed()).wait(20).drained().accepted(Liveness);
}

#[test]
fn a_queue_with_a_majority_must_have_a_leader() {
    let stepped = || run().tell(N1, Observation::SteppedDown { group: GROUP, term: Term(1) });
    stepped().healed().wait(20).drain_failed().rejected(Liveness, "orders had no leader since");
    stepped().healed().tell(N2, leader(2)).wait(20).drained().accepted(Liveness);
    let killed = || run().down(N1, NodeDown::Killed).up(N1).tell(N1, recovered(1, None, (1, 1)));
    let late = killed().tell(N1, applied(1, 1, 10, 5)).healed().wait(20).drained();
    late.rejected(Liveness, "orders had no leader since");
}

#[test]
fn running_replicas_converge() {
    let behind = || run().tell(N1, applied(2, 1, 11, 6)).tell(N2, applied(2, 1, 11, 6)).healed();
    behind().wait(20).drained().rejected(Liveness, "n3, which runs, had applied only up to 1");
    behind().tell(N3, applied(2, 1, 11, 6)).wait(20).drained().accepted(Liveness);
    behind().tell(N3, snapshot(2, 1, 6)).wait(20).drained().accepted(Liveness);
    // What was applied just before the end may still be on its way; a node that is down owes nothing.
    run().healed().wait(20).tell(N1, applied(2, 1, 11, 6)).drained().accepted(Liveness);
    behind().down(N3, NodeDown::Killed).wait(20).drained().accepted(Liveness);
}

#[test]
fn no_message_stays_assigned_to_a_process_that_is_gone() {
    let assigned = Observation::Assigned { group: GROUP, message: 1, owner: N3, channel: 1, consumer: None, count: 0 };
    let restarted = || {
        let story = run().tell(N1, assigned.clone()).down(N3, NodeDown::Killed).up(N3);
        story.tell(N3, applied(1, 1, 10, 5)).healed()
    };
    restarted().wait(20).drained().rejected(Liveness, "message 1 of orders is still assigned to a channel of n3");
    let requeued = Observation::Requeued { group: GROUP, message: 1 };
    restarted().tell(N1, requeued).wait(20).drained().accepted(Liveness);
    // Held by the new process.
    run()
        .down(N3, NodeDown::Killed)
        .up(N3)
        .tell(N3, applied(1, 1, 10, 5))
        .tell(N1, assigned.clone())
        .healed()
        .wait(20)
        .drained()
        .accepted(Liveness);
}

/// n3 is down from now on, and holds message 1; n1 leads, and has something committed half a minute later.
fn exiled(given_back: &[Observation]) -> Story {
    let assigned = Observation::Assigned { group: GROUP, message: 1, owner: N3, channel: 1, consumer: None, count: 0 };
    let first: &[Observation] = &[enqueued(1), assigned];
    let story = told_by(story().tell(N1, opened()).tell(N1, leader(1)).put(m(1)), N1, &[first]);
    let story =
        given_back.iter().fold(story.down(N3, NodeDown::PowerLost).wait(6), |story, fact| story.tell(N1, fact.clone()));
    story.tell(N1, applied(2, 1, 2, 2))
}

#[test]
fn what_a_node_holds_that_is_gone_goes_back_while_another_one_leads() {
    let much_later = |story: Story| story.wait(30).tell(N1, committed(3, 1)).healed();
    let kept = "message 1 of orders still belonged to n3";
    much_later(exiled(&[])).rejected(Liveness, kept);
    much_later(exiled(&[requeued(1)])).is(Liveness, InvariantVerdict::Undecided);
    // It was not gone for long enough, or is back, or nobody led all the time.
    exiled(&[]).tell(N1, committed(3, 1)).healed().is(Liveness, InvariantVerdict::Undecided);
    much_later(exiled(&[]).up(N3)).is(Liveness, InvariantVerdict::Undecided);
    let stepped = Observation::SteppedDown { group: GROUP, term: Term(1) };
    much_later(exiled(&[]).tell(N1, stepped.clone())).is(Liveness, InvariantVerdict::Undecided);
    let elected_late = exiled(&[]).tell(N1, stepped).wait(25).tell(N2, leader(2));
    elected_late.tell(N2, committed(3, 2)).healed().is(Liveness, InvariantVerdict::Undecided);
}

#[test]
fn a_leader_that_could_not_count_the_time_owes_nothing_for_it() {
    let kept = "message 1 of orders still belonged to n3";
    let commit = |story: Story, index| story.tell(N1, committed(index, 1));
    let slowed = |story: Story, node| story.event(EventKind::Slowed { node });
    let up_to_speed = |story: Story, node| story.event(EventKind::UpToSpeed { node });
    let held = |node| commit(slowed(exiled(&[]), node).wait(16), 3);
    // Its process was paused, or its clock stood; and it commits something right after, or meanwhile.
    let free = commit(up_to_speed(held(N1), N1), 4);
    free.healed().is(Liveness, InvariantVerdict::Undecided);
    commit(up_to_speed(held(N1), N1).wait(12), 4).healed().rejected(Liveness, kept);
    // Another node's time is another matter.
    held(N2).healed().rejected(Liveness, kept);
}

/// con-1 consumes through channel 7 of n1, and has acked all it had; what its queue then did is `dropped`.
fn consuming(dropped: &[Observation], credit_back: bool) -> Story {
    let told = Observation::ChannelOpened { channel: 7, client: "con-1:51".to_owned() };
    let channel = ChannelId(9);
    let attached =
        Observation::ConsumerAttached { group: GROUP, owner: N1, channel: 7, consumer: 1, prefetch: Some(1) };
    let story = [N1, N2, N3].into_iter().fold(story(), |story, node| story.tell(node, opened()));
    let story = story.tell(N1, leader(1)).tell(N1, told).opened(2, channel, N1).subscribe(channel, 1);
    let first: &[Observation] = &[attached, enqueued(1), assigned(1, 7, Some(1), 0)];
    let story = told_by(story, N1, &[first]).put(m(1)).tell(N1, delivered(1, 7, 0, 1)).fresh(channel, m(1));
    let story = if credit_back { story.ack(channel, 1) } else { story };
    let story = dropped.iter().fold(story.tell(N1, settled(1)), |story, fact| story.tell(N1, fact.clone()));
    let story = story.tell(N1, applied(2, 1, 2, 2));
    let story = [N2, N3].into_iter().fold(story, |story, node| story.tell(node, snapshot(2, 1, 2)));
    story.healed().wait(20)
}

#[test]
fn a_consumer_that_lives_and_has_credit_is_not_forgotten() {
    let detached = Observation::ConsumerDetached { group: GROUP, owner: N1, channel: 7, consumer: 1 };
    let again = Observation::ConsumerAttached { group: GROUP, owner: N1, channel: 7, consumer: 1, prefetch: None };
    let dropped = [detached.clone()];
    consuming(&dropped, true).drained().rejected(Liveness, "con-1 consumed from orders on channel 9 of n1");
    consuming(&[], true).drained().accepted(Liveness);
    consuming(&[detached, again], true).drained().accepted(Liveness);
    // It still holds what it may hold.
    consuming(&dropped, false).drained().accepted(Liveness);
}

#[test]
fn a_group_that_one_node_has_closed_must_still_have_a_leader_and_be_kept() {
    let closed = |story: Story, node| story.tell(node, Observation::GroupClosed { group: GROUP });
    let stepped = || run().tell(N1, Observation::SteppedDown { group: GROUP, term: Term(1) });
    let end = |story: Story| story.healed().wait(20).drained();
    end(closed(stepped(), N2)).rejected(Liveness, "orders had no leader since");
    // Its leader closed it.
    end(closed(run(), N1)).rejected(Liveness, "orders had no leader since");
    end(closed(run(), N2)).rejected(Liveness, "n2, which runs, had applied only up to 0");
    // It was deleted.
    end([N1, N2, N3].into_iter().fold(stepped(), closed)).accepted(Liveness);
}
