//! What clients settle takes effect, and nothing else does.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::SettleApplied;

/// The client's channel that is channel 7 of n1.
const CHANNEL: ChannelId = ChannelId(9);

/// con-1 opened channel 7 of n1 as its own channel 9, and was sent messages 1 to 3 there.
fn three() -> Story {
    let told = Observation::ChannelOpened { channel: 7, client: "con-1:51".to_owned() };
    let story = story().tell(N1, opened()).tell(N1, told).opened(2, CHANNEL, N1);
    let given: Vec<Observation> = (1..=3).map(|message| assigned(message, 7, Some(1), 0)).collect();
    let story = told_by(story, N1, &[&[&[enqueued(3)], &given[..]].concat()]);
    (1..=3).fold(story, |story, message| {
        story.put(m(message)).tell(N1, delivered(message, 7, 0, message)).fresh(CHANNEL, m(message))
    })
}

/// What the next entries of the log did.
fn then(story: Story, entries: &[&[Observation]]) -> Story {
    (2..).zip(entries).fold(story, |story, (index, facts)| {
        let story = facts.iter().fold(story, |story, fact| story.tell(N1, fact.clone()));
        story.tell(N1, applied(index, 1, index, index))
    })
}

#[test]
fn a_settle_that_a_later_one_has_overtaken_is_lost() {
    let acked = || three().ack(CHANNEL, 1).ack(CHANNEL, 2);
    let lost = "settled message 1 of orders on channel 9";
    then(acked(), &[&[settled(2)]]).rejected(SettleApplied, lost);
    then(acked(), &[&[settled(2)], &[settled(1)]]).rejected(SettleApplied, lost);
    then(acked(), &[&[settled(1)], &[settled(2)]]).accepted(SettleApplied);
    // Taken back before: the settle comes to nothing.
    then(acked(), &[&[requeued(1)], &[settled(2)]]).accepted(SettleApplied);
    // The channel went, and the acks with it.
    then(acked(), &[&[requeued(1), requeued(2)]]).is(SettleApplied, InvariantVerdict::Vacuous);
}

#[test]
fn what_is_sent_back_and_stays_where_it_is_is_reported_too() {
    let back = || three().give_back(CHANNEL, 1).ack_up_to(CHANNEL, 3);
    then(back(), &[&[settled(2), settled(3)]]).rejected(SettleApplied, "sent back message 1 of orders");
    then(back(), &[&[requeued(1)], &[settled(2), settled(3)]]).accepted(SettleApplied);
}

#[test]
fn a_message_that_is_settled_without_its_holders_word_is_reported() {
    then(three().give_back(CHANNEL, 1), &[&[settled(1)]]).rejected(SettleApplied, "had sent it back at");
    then(three().ack(CHANNEL, 1), &[&[settled(1)], &[settled(2)]]).rejected(SettleApplied, "had not settled it");
    let late = then(three().ack(CHANNEL, 1), &[&[settled(1)], &[settled(2)]]).ack(CHANNEL, 2);
    late.rejected(SettleApplied, "had not settled it");
    then(three().ack_up_to(CHANNEL, 2), &[&[settled(1), settled(2)]]).accepted(SettleApplied);
    // A channel that takes without acks says nothing.
    then(three().subscribe_without_acks(CHANNEL), &[&[settled(1)]]).is(SettleApplied, InvariantVerdict::Vacuous);
}

#[test]
fn a_message_that_is_settled_for_a_channel_without_a_word_is_reported() {
    // Its client holds what it got, and has settled nothing so far.
    then(three(), &[&[settled(1)]]).rejected(SettleApplied, "had not settled it");
    then(three(), &[&[requeued(1)]]).is(SettleApplied, InvariantVerdict::Vacuous);
    // Nor does a get without acks say anything.
    then(three().ask_without_acks(CHANNEL), &[&[settled(1)]]).is(SettleApplied, InvariantVerdict::Vacuous);
    then(three().ask(CHANNEL), &[&[settled(1)]]).rejected(SettleApplied, "had not settled it");
}
