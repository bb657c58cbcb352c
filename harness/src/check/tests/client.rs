//! What clients can see: loss, phantoms, duplicates, order, prefetch.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::*;

#[test]
fn a_confirmed_message_that_a_complete_drain_does_not_find_is_lost() {
    let story = story().tell(N1, opened()).put(m(1)).down(N1, NodeDown::PowerLost).tell(N2, leader(2)).drained();
    let result = story.rejected(NoConfirmedLoss, "message pub-1/1 was confirmed at 0.010 s by n1; n1 lost power");
    assert!(result.explanation.is_some_and(|text| text.contains("n2 was elected at 0.012 s")));
    assert_eq!((result.checked, result.unit.as_str()), (1, "confirmed messages"));
}

#[test]
fn a_confirmed_message_that_was_seen_once_is_not_lost() {
    story().put(m(1)).fresh(CON, m(1)).drained().accepted(NoConfirmedLoss);
    story().put(m(1)).again(CON, m(1)).drained().accepted(NoConfirmedLoss);
}

#[test]
fn a_failed_or_missing_drain_leaves_loss_undecided() {
    story().put(m(1)).drain_failed().is(NoConfirmedLoss, InvariantVerdict::Undecided);
    story().put(m(1)).is(NoConfirmedLoss, InvariantVerdict::Undecided);
    // Nothing is missing: there is nothing for the drain to decide.
    story().put(m(1)).fresh(CON, m(1)).drain_failed().accepted(NoConfirmedLoss);
}

#[test]
fn loss_with_a_majority_gone_for_good_is_not_reported() {
    let gone = story().put(m(1)).down(N1, NodeDown::PowerLost).down(N2, NodeDown::PowerLost);
    gone.drained().is(NoConfirmedLoss, InvariantVerdict::Undecided);
    let back = story().put(m(1)).down(N1, NodeDown::PowerLost).down(N2, NodeDown::PowerLost).up(N1).up(N2);
    back.drained().rejected(NoConfirmedLoss, "n1 lost power and its unsynced log");
}

#[test]
fn unconfirmed_messages_may_vanish() {
    let story = story().publish(m(1)).outcome(m(1), PublishOutcome::Unknown);
    let story = story.publish(m(2)).outcome(m(2), PublishOutcome::Nacked).publish(m(3)).drained();
    story.is(NoConfirmedLoss, InvariantVerdict::Vacuous);
}

#[test]
fn a_message_on_its_way_to_a_consumer_without_acks_is_not_called_lost() {
    let story = |story: Story| story.put(m(1)).lost(CON).drained();
    story(story_with(Story::subscribe_without_acks)).is(NoConfirmedLoss, InvariantVerdict::Undecided);
    story(story_with(|s, channel| s.subscribe(channel, 0))).rejected(NoConfirmedLoss, "pub-1/1");
    // That consumer was gone before the message was published.
    story_with(Story::subscribe_without_acks).lost(CON).put(m(1)).drained().rejected(NoConfirmedLoss, "pub-1/1");
    // The same for a get that was never answered.
    story(story_with(Story::ask_without_acks)).is(NoConfirmedLoss, InvariantVerdict::Undecided);
    story(story_with(Story::ask)).rejected(NoConfirmedLoss, "pub-1/1");
    story(story_with(|story, channel| story.ask_without_acks(channel).got_nothing(channel)))
        .rejected(NoConfirmedLoss, "pub-1/1");
}

fn story_with(subscribe: impl Fn(Story, ChannelId) -> Story) -> Story {
    subscribe(story(), CON)
}

#[test]
fn a_delivery_of_what_was_never_published_is_a_phantom() {
    story().put(m(1)).fresh(CON, m(2)).rejected(NoPhantom, "pub-1/2");
    story().fresh(CON, m(1)).put(m(1)).rejected(NoPhantom, "before it was published");
    story().publish_to(OTHER, m(1)).fresh(CON, m(1)).rejected(NoPhantom, "was published to other");
    let mut story = story();
    let delivery = story.delivery(CON, None, false);
    let story = story.event(EventKind::Deliver { channel: CON, queue: ORDERS, delivery });
    story.rejected(NoPhantom, "whose body nobody published");
}

#[test]
fn refused_and_unknown_publishes_may_be_delivered_and_are_counted() {
    let story = story().publish(m(1)).outcome(m(1), PublishOutcome::Unknown).fresh(CON, m(1));
    let story = story.publish(m(2)).outcome(m(2), PublishOutcome::Nacked).fresh(CON, m(2)).put(m(3)).fresh(CON, m(3));
    let result = story.is(NoPhantom, InvariantVerdict::Holds);
    assert_eq!(result.checked, 3);
    assert!(result.explanation.is_some_and(|text| text.starts_with("1 deliveries of publishes with an unknown")));
}

#[test]
fn two_fresh_deliveries_of_one_attempt_are_a_duplicate() {
    story().put(m(1)).fresh(CON, m(1)).fresh(CON_2, m(1)).rejected(NoFreshDuplicate, "again to con-2");
    story().put(m(1)).fresh(CON, m(1)).again(CON_2, m(1)).accepted(NoFreshDuplicate);
}

#[test]
fn a_first_sight_may_be_flagged_as_redelivered() {
    story().put(m(1)).again(CON, m(1)).again(CON_2, m(1)).accepted(NoFreshDuplicate);
}

#[test]
fn a_fresh_delivery_after_a_redelivery_on_the_same_channel_is_a_duplicate() {
    story().put(m(1)).again(CON, m(1)).fresh(CON, m(1)).rejected(NoFreshDuplicate, "not flagged");
    // To another channel, the fresh copy may have been overtaken on its way ...
    story().subscribe(CON_2, 0).put(m(1)).again(CON, m(1)).fresh(CON_2, m(1)).accepted(NoFreshDuplicate);
    // ... but not if that channel came to the queue only later.
    story().put(m(1)).again(CON, m(1)).subscribe(CON_2, 0).fresh(CON_2, m(1)).rejected(NoFreshDuplicate, "not flagged");
}

#[test]
fn two_attempts_make_two_messages() {
    let two = || story().publish(m(1)).outcome(m(1), PublishOutcome::Unknown).put(retry(1, 2));
    two().fresh(CON, m(1)).fresh(CON, retry(1, 2)).accepted(NoFreshDuplicate);
    two().fresh(CON, m(1)).fresh(CON, retry(1, 2)).accepted(AttemptsBound);
    two().fresh(CON, m(1)).fresh(CON, retry(1, 2)).fresh(CON_2, m(1)).rejected(AttemptsBound, "published 2 times");
}

#[test]
fn more_entries_than_attempts_are_reported_and_redeliveries_are_not_entries() {
    story().put(m(1)).fresh(CON, m(1)).fresh(CON_2, m(1)).rejected(AttemptsBound, "at least 2 copies");
    story().put(m(1)).fresh(CON, m(1)).fresh(CON, retry(1, 2)).rejected(AttemptsBound, "at least 2 copies");
    story().put(m(1)).fresh(CON, m(1)).again(CON, m(1)).again(CON_2, m(1)).accepted(AttemptsBound);
}

#[test]
fn fresh_deliveries_to_one_channel_never_go_back() {
    let two = || story().put(m(1)).put(m(2));
    two().fresh(CON, m(2)).fresh(CON, m(1)).rejected(PublisherOrder, "pub-1/1");
    two().fresh(CON, m(1)).fresh(CON, m(2)).accepted(PublisherOrder);
}

#[test]
fn order_holds_only_per_pair_of_channels_and_for_fresh_deliveries() {
    let vacuous = |story: Story| story.is(PublisherOrder, InvariantVerdict::Vacuous);
    vacuous(story().put(m(1)).put(m(2)).fresh(CON, m(2)).fresh(CON_2, m(1)));
    vacuous(story().put(m(1)).put(m(2)).fresh(CON, m(2)).again(CON, m(1)));
    story().put(m(1)).put(m(2)).fresh(CON, m(1)).fresh(CON, m(2)).fresh(CON, m(1)).accepted(PublisherOrder);
    vacuous(story().put(m(1)).put(m2(1)).fresh(CON, m2(1)).fresh(CON, m(1)));
    // A gap: message 2 was refused.
    let gap = story().put(m(1)).publish(m(2)).outcome(m(2), PublishOutcome::Nacked).put(m(3));
    gap.fresh(CON, m(1)).fresh(CON, m(3)).accepted(PublisherOrder);
}

fn three() -> Story {
    story().put(m(1)).put(m(2)).put(m(3)).subscribe(CON, 2).fresh(CON, m(1)).fresh(CON, m(2))
}

#[test]
fn a_consumer_with_more_unsettled_deliveries_than_its_prefetch_is_reported() {
    let result = three().fresh(CON, m(3)).rejected(Prefetch, "held 3 unsettled messages of orders");
    assert_eq!(result.witness.len(), 3);
}

#[test]
fn a_settle_frees_its_place_as_soon_as_it_is_sent() {
    three().ack(CON, 1).fresh(CON, m(3)).accepted(Prefetch);
    three().ack_up_to(CON, 2).fresh(CON, m(3)).accepted(Prefetch);
    three().give_back(CON, 2).again(CON, m(2)).accepted(Prefetch);
    three().ack(CON, 7).fresh(CON, m(3)).rejected(Prefetch, "held 3");
}

#[test]
fn gets_and_other_channels_do_not_count_against_the_prefetch() {
    three().ask(CON).got(CON, m(3)).accepted(Prefetch);
    three().subscribe(CON_2, 1).fresh(CON_2, m(3)).accepted(Prefetch);
    story().put(m(1)).subscribe(CON, 0).fresh(CON, m(1)).is(Prefetch, InvariantVerdict::Vacuous);
}

#[test]
fn what_the_broker_took_back_counts_against_the_prefetch_until_its_client_settles_it() {
    // The node of con-1 was given up as lost: what it held went to con-2; then it was served again.
    let taken = || three().again(CON_2, m(1)).again(CON_2, m(2));
    taken().fresh(CON, m(3)).rejected(Prefetch, "held 3 unsettled messages of orders");
    taken().ack(CON, 1).fresh(CON, m(3)).accepted(Prefetch);
}

#[test]
fn checkers_of_clients_ignore_what_brokers_say() {
    let story = story().tell(N1, Observation::Started { incarnation: 1 }).put(m(1)).fresh(CON, m(1)).drained();
    for invariant in [NoConfirmedLoss, NoPhantom, NoFreshDuplicate, AttemptsBound, QueueLinearizable] {
        story.accepted(invariant);
    }
}
