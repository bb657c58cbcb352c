//! One outcome for each publish.

use super::*;
use crate::history::Stray;
use Invariant::ConfirmProtocol;

#[test]
fn a_second_outcome_is_reported() {
    story().put(m(1)).outcome(m(1), PublishOutcome::Nacked).rejected(ConfirmProtocol, "and another one");
    story().put(m(1)).publish(retry(1, 2)).confirm(retry(1, 2)).accepted(ConfirmProtocol);
    let again = Stray::Outcome { tag: 1, outcome: PublishOutcome::Confirmed };
    let stray = |what| story().put(m(1)).event(EventKind::Stray { channel: PUB, what });
    stray(again).rejected(ConfirmProtocol, "an outcome for tag 1 on channel 0");
    stray(Stray::Return { message: Some(m(1)) }).rejected(ConfirmProtocol, "pub-1/1 back");
}

#[test]
fn an_outcome_of_what_was_never_published_is_reported() {
    story().put(m(1)).confirm(m(2)).rejected(ConfirmProtocol, "was not published");
}

#[test]
fn what_is_returned_is_not_delivered() {
    let returned = || story().publish(m(1)).outcome(m(1), PublishOutcome::Returned);
    returned().fresh(CON, m(1)).rejected(ConfirmProtocol, "was returned as unroutable");
    returned().accepted(ConfirmProtocol);
    // A refused message may be delivered all the same.
    story().publish(m(1)).outcome(m(1), PublishOutcome::Nacked).fresh(CON, m(1)).accepted(ConfirmProtocol);
}

#[test]
fn what_is_returned_although_its_queue_is_there_is_reported() {
    let returned = |story: Story| story.publish(m(2)).outcome(m(2), PublishOutcome::Returned);
    returned(story().put(m(1))).rejected(ConfirmProtocol, "but its queue, orders, had taken pub-1/1");
    // Nobody knows whether the queue was there: another channel's node may know more, and the first was not taken yet.
    returned(story().put(m2(1))).accepted(ConfirmProtocol);
    returned(story().publish(m(1))).confirm(m(1)).accepted(ConfirmProtocol);
    returned(story().publish_to(OTHER, m(1)).confirm(m(1))).accepted(ConfirmProtocol);
}

#[test]
fn a_publish_that_is_passed_over_is_reported() {
    let passed = |seconds| {
        let story = story().publish(m(1)).put(m(2)).wait(seconds);
        story.outcome(m(1), PublishOutcome::Unknown).lost(PUB)
    };
    passed(3).rejected(ConfirmProtocol, "pub-1/2, published later on the same channel");
    // The channel was lost before the outcome can have been expected.
    passed(0).accepted(ConfirmProtocol);
    // Out of order is allowed; another channel and another queue say nothing.
    story().publish(m(1)).put(m(2)).confirm(m(1)).wait(3).accepted(ConfirmProtocol);
    let open = || story().publish(m(1));
    open().put(m2(1)).publish_to(OTHER, m(2)).confirm(m(2)).wait(3).drained().accepted(ConfirmProtocol);
}
