//! Order of the queue: linearizability and requeues.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::*;

#[test]
fn a_message_that_overtakes_an_earlier_one_is_no_fifo_queue() {
    let two = || story().put(m(1)).put(m2(1));
    two().ask(CON).got(CON, m2(1)).ask(CON_2).got(CON_2, m(1)).rejected(QueueLinearizable, "pub-1/1 was in orders");
    // The two gets overlap: either may have been first.
    two().ask(CON_2).ask(CON).got(CON, m2(1)).got(CON_2, m(1)).accepted(QueueLinearizable);
    // The two publishes overlap.
    let overlapping = story().publish(m(1)).publish(m2(1)).confirm(m(1)).confirm(m2(1));
    overlapping.ask(CON).got(CON, m2(1)).ask(CON_2).got(CON_2, m(1)).accepted(QueueLinearizable);
}

#[test]
fn a_channel_receives_in_order_of_dispatch() {
    let two = || story().subscribe(CON, 0).subscribe(CON_2, 0).put(m(1)).put(m2(1));
    // con-2's message may have been dispatched at any time since it was published.
    two().fresh(CON, m2(1)).fresh(CON_2, m(1)).accepted(QueueLinearizable);
    // A third message on that channel, published after the first receipt, shows that it was dispatched later.
    let later = two().fresh(CON, m2(1)).put(m2(2)).fresh(CON_2, m2(2)).fresh(CON_2, m(1));
    later.rejected(QueueLinearizable, "could not have been taken before");
}

#[test]
fn an_empty_get_is_legal_only_if_the_queue_was_empty_at_some_point() {
    story().put(m(1)).ask(CON).got_nothing(CON).ask(CON).got(CON, m(1)).rejected(QueueLinearizable, "reported empty");
    story().ask(CON).put(m(1)).got_nothing(CON).ask(CON).got(CON, m(1)).accepted(QueueLinearizable);
    story().put(m(1)).ask(CON).ask(CON_2).got_nothing(CON_2).got(CON, m(1)).accepted(QueueLinearizable);
}

#[test]
fn an_unremoved_publish_followed_by_an_empty_get_is_rejected() {
    story().put(m(1)).ask(CON).got_nothing(CON).drained().rejected(QueueLinearizable, "pub-1/1");
    // If the publish was never confirmed, it may never have happened.
    let unknown = story().publish(m(1)).outcome(m(1), PublishOutcome::Unknown);
    unknown.put(m(2)).ask(CON).got(CON, m(2)).ask(CON).got_nothing(CON).accepted(QueueLinearizable);
    // If someone may have taken it without our seeing it, the queue may have been empty.
    let taken = story().put(m(1)).ask(CON_2).lost(CON_2).ask(CON).got_nothing(CON);
    taken.accepted(QueueLinearizable);
    story().put(m(1)).subscribe(CON_2, 1).ask(CON).got_nothing(CON).accepted(QueueLinearizable);
}

#[test]
fn several_messages_together_keep_a_queue_from_being_empty() {
    let chain = |first: bool| {
        let story = story().put(m(1)).ask(CON);
        let story = if first { story.put(m(2)) } else { story };
        let story = story.ask(CON_2).got(CON_2, m(1));
        let story = if first { story } else { story.put(m(2)) };
        story.got_nothing(CON).ask(CON_2).got(CON_2, m(2))
    };
    chain(true).rejected(QueueLinearizable, "pub-1/1, then pub-1/2");
    chain(false).accepted(QueueLinearizable);
}

#[test]
fn messages_held_unacked_are_not_in_the_queue() {
    story().put(m(1)).ask(CON).got(CON, m(1)).ask(CON_2).got_nothing(CON_2).accepted(QueueLinearizable);
    // Given back, it is in the queue again; but when, only the broker knows.
    let back = story().put(m(1)).ask(CON).got(CON, m(1)).give_back(CON, 1).ask(CON_2).got_nothing(CON_2);
    back.ask(CON_2).got_again(CON_2, m(1)).accepted(QueueLinearizable);
}

#[test]
fn a_first_sight_that_is_flagged_redelivered_may_have_been_removed_long_before() {
    let two = || story().put(m(1)).put(m(2)).ask(CON).got(CON, m(2));
    two().ask(CON_2).got_again(CON_2, m(1)).accepted(QueueLinearizable);
    two().ask(CON_2).got(CON_2, m(1)).rejected(QueueLinearizable, "pub-1/1");
}

#[test]
fn queues_are_judged_apart() {
    let story = story().publish_to(OTHER, m(1)).confirm(m(1)).ask(CON).got_nothing(CON);
    story.accepted(QueueLinearizable);
}

fn assigned(message: u64) -> Observation {
    Observation::Assigned { group: GROUP, message, owner: N1, channel: 1, consumer: None, count: 0 }
}

fn requeued(message: u64) -> Observation {
    Observation::Requeued { group: GROUP, message }
}

fn told(observations: &[Observation]) -> Story {
    observations.iter().fold(story(), |story, observation| story.tell(N1, observation.clone()))
}

#[test]
fn a_later_message_is_never_assigned_while_a_requeued_one_is_ready() {
    told(&[assigned(1), assigned(2), requeued(1), assigned(3)]).rejected(RequeueOrder, "message 1");
    told(&[assigned(1), assigned(2), requeued(1), assigned(1), assigned(3)]).accepted(RequeueOrder);
    // Put back only after the later one was given away.
    told(&[assigned(1), assigned(2), assigned(3), requeued(1), assigned(1)]).accepted(RequeueOrder);
    told(&[assigned(1), requeued(1), Observation::Settled { group: GROUP, message: 1 }, assigned(2)])
        .accepted(RequeueOrder);
}

#[test]
fn requeued_messages_come_back_by_number() {
    let both = [assigned(1), assigned(2), requeued(2), requeued(1)];
    told(&[&both[..], &[assigned(2)]].concat()).rejected(RequeueOrder, "message 1");
    told(&[&both[..], &[assigned(1), assigned(2)]].concat()).accepted(RequeueOrder);
}

#[test]
fn first_assignments_rise() {
    told(&[assigned(1), assigned(3), assigned(2)]).rejected(RequeueOrder, "only at");
    told(&[assigned(1), assigned(3)]).accepted(RequeueOrder);
}

#[test]
fn a_replay_after_a_restart_or_a_snapshot_starts_anew() {
    let before = || told(&[assigned(1), assigned(2), requeued(1)]);
    before().down(N1, NodeDown::Killed).up(N1).tell(N1, assigned(2)).accepted(RequeueOrder);
    before().tell(N1, snapshot(9, 1, 0)).tell(N1, assigned(3)).accepted(RequeueOrder);
    // Another node's stream is another replay.
    before().tell(N2, assigned(3)).accepted(RequeueOrder);
}

/// con-1 alone takes from the queue; it has received messages 1 and 2.
fn alone() -> Story {
    story().put(m(1)).put(m(2)).put(m(3)).subscribe(CON, 2).fresh(CON, m(1)).fresh(CON, m(2))
}

#[test]
fn what_a_lone_consumer_gave_back_comes_back_in_order() {
    let back = || alone().give_back(CON, 1).give_back(CON, 2);
    back().again(CON, m(2)).again(CON, m(1)).rejected(RequeueOrder, "gave pub-1/1 back");
    back().again(CON, m(1)).again(CON, m(2)).accepted(RequeueOrder);
    // Given back in the other order, the second may have left before the first was there.
    alone().give_back(CON, 2).give_back(CON, 1).again(CON, m(2)).again(CON, m(1)).accepted(RequeueOrder);
}

#[test]
fn with_a_second_consumer_clients_cannot_tell_the_order() {
    let story = alone().subscribe(CON_2, 1).give_back(CON, 1).give_back(CON, 2).again(CON, m(2)).again(CON, m(1));
    story.is(RequeueOrder, InvariantVerdict::Vacuous);
}

#[test]
fn a_get_after_a_requeue_returns_the_requeued_message() {
    let back = || story().put(m(1)).put(m(2)).ask(CON).got(CON, m(1)).give_back(CON, 1);
    back().ask(CON).got(CON, m(2)).rejected(RequeueOrder, "received pub-1/2 first");
    back().ask(CON).got_again(CON, m(1)).accepted(RequeueOrder);
    // The get was sent before the message was given back.
    let early = story().put(m(1)).put(m(2)).subscribe(CON, 1).fresh(CON, m(1)).ask(CON).give_back(CON, 1);
    early.got(CON, m(2)).accepted(RequeueOrder);
}
