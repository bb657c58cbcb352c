//! Which entry of the log carried a message, as `explain` tells it: the one that did, or what can be known.

use super::*;

#[test]
fn a_message_is_not_said_to_be_in_an_entry_whose_message_was_another() {
    let told = |received: bool, agreed: bool| {
        let mut tape = Tape::new();
        // The first publish is dropped, and confirmed all the same; the entry is the second's.
        tape.begin().publish(1_000, 1).publish(1_001, 2).appended(1_002, 1, 1, 1).given(1_010, 1);
        tape.confirmed(1_012, 1).confirmed(1_012, 2).given(1_013, 2);
        tape.node(1_013, 2, Observation::Delivered { group: GROUP, message: 1, channel: 4, count: 0, tag: 1 });
        if received {
            let delivery = Delivery { message: Some(message(2)), redelivered: false, delivery_count: None, tag: 1 };
            tape.at(1_016, EventKind::Deliver { channel: ChannelId(1), queue: QueueId(0), delivery });
        }
        if !agreed {
            let (index, term) = (LogIndex(1), Term(1));
            tape.node(1_017, 3, Observation::Applied { group: GROUP, index, term, hash: 8, state_hash: 9 });
        }
        let runs = Told::of(vec![tape.end()]);
        ["pub-1/1", "pub-1/2"].map(|name| runs.call("explain", &["run-1"], &["--message", name]).1.replace('\n', " "))
    };
    let [dropped, carried] = told(true, true);
    assert!(dropped.contains("no entry of the log of orders gave it a number"), "{dropped}");
    assert!(!dropped.contains("Entry 1") && !dropped.contains("entry 1 on each node"), "{dropped}");
    assert!(carried.contains("Entry 1 of the log of orders, which n1 led, carried it as message 1"), "{carried}");
    for (received, agreed) in [(false, true), (true, false)] {
        let [either, _] = told(received, agreed);
        assert!(either.contains("carried it, as far as the order of events tells"), "it may be this one: {either}");
    }
}

#[test]
fn a_lost_entry_and_the_one_that_took_its_place_are_two() {
    let mut tape = Tape::new();
    // n1 confirms what only its memory holds; the next leader puts the second message in that place.
    tape.begin().publish(1_000, 1).appended(1_002, 1, 1, 1).confirmed(1_003, 1);
    tape.node(2_000, 3, Observation::BecameLeader { group: GROUP, term: Term(2) });
    tape.publish(2_005, 2).appended(2_010, 3, 1, 2).appended(2_020, 1, 1, 2).applied(2_030, 2, 1, 2);
    tape.node(2_031, 2, Observation::Delivered { group: GROUP, message: 1, channel: 4, count: 0, tag: 1 });
    let delivery = Delivery { message: Some(message(2)), redelivered: false, delivery_count: None, tag: 1 };
    tape.at(2_040, EventKind::Deliver { channel: ChannelId(1), queue: QueueId(0), delivery });
    tape.at(2_050, EventKind::NodeDown { node: NodeId(1), how: NodeDown::Killed });
    tape.at(2_060, EventKind::NodeUp { node: NodeId(1) }).node(2_070, 1, recovered((1, 2)));
    let history = tape.end();
    let narrator = Narrator::new(&history);
    let named = |text: &str| narrator.messages_in(text).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(named("entry 1 of orders (term 2, hash)"), ["pub-1/2"]);
    for either in ["entry 1 of orders", "entry 1 of orders (term 1, hash)"] {
        assert!(named(either).is_empty(), "{either}");
    }
    let (_, told) = Told::of(vec![history.clone()]).call("explain", &["run-1"], &["--message", "pub-1/1"]);
    let told = told.replace('\n', " ");
    assert!(told.contains("Entry 1 of the log of orders, which n1 led, carried it, as far as"), "{told}");
    assert!(told.contains("At 2.020 s n1 put another entry in its place, of term 2"), "{told}");
    assert!(told.contains("At 2.070 s n1 came back without it") && !told.contains("back with it"), "{told}");
}

#[test]
fn an_entry_that_is_appended_after_an_early_confirm_is_found() {
    let mut tape = Tape::new();
    tape.begin().publish(1_000, 1).publish(1_001, 2).appended(1_002, 1, 1, 1).confirmed(1_003, 1);
    tape.appended(1_005, 1, 2, 1).given(1_010, 1).confirmed(1_012, 2).given(1_013, 2);
    tape.node(1_013, 2, Observation::Delivered { group: GROUP, message: 1, channel: 4, count: 0, tag: 1 });
    let delivery = Delivery { message: Some(message(2)), redelivered: false, delivery_count: None, tag: 1 };
    tape.at(1_016, EventKind::Deliver { channel: ChannelId(1), queue: QueueId(0), delivery });
    let (_, told) = Told::of(vec![tape.end()]).call("explain", &["run-1"], &["--message", "pub-1/1"]);
    let told = told.replace('\n', " ");
    assert!(told.contains("Entry 2 of the log of orders, which n1 led, carried it, as far as"), "{told}");
}

#[test]
fn what_stood_in_a_place_before_the_entry_is_no_part_of_its_life() {
    let mut tape = Tape::new();
    tape.begin().publish(1_000, 1).appended(1_001, 3, 1, 1);
    tape.node(1_500, 1, Observation::BecameLeader { group: GROUP, term: Term(2) });
    tape.appended(1_502, 1, 1, 2).appended(1_504, 3, 1, 2).applied(1_510, 1, 1, 2).confirmed(1_512, 1);
    let (_, told) = Told::of(vec![tape.end()]).call("explain", &["run-1"], &["--message", "pub-1/1"]);
    let told = told.replace('\n', " ");
    assert!(told.contains("Entry 1 of the log of orders, which n1 led"), "{told}");
    assert!(!told.contains("another entry") && !told.contains("appended it again"), "{told}");
}

#[test]
fn what_a_witness_calls_by_its_number_or_its_entry_has_a_name() {
    let history = delivery();
    let narrator = Narrator::new(&history);
    let named = |text: &str| narrator.messages_in(text).iter().map(ToString::to_string).collect::<Vec<_>>();
    for text in
        ["n3 settled message 1 of orders, too late", "after entry 1 of orders: n1", "pub-1/1 and message 1 of orders"]
    {
        assert_eq!(named(text), ["pub-1/1"], "{text}");
    }
    for text in ["message 2 of orders", "entry 2 of orders", "message 1 of others", "message 1", "tag 1 of orders"] {
        assert!(named(text).is_empty(), "{text}");
    }
}
