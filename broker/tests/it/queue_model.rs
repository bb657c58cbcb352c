//! The queue against a naive model of it, and replicas of it against each other.

mod naive;

use std::collections::BTreeMap;

use bytes::Bytes;
use naive::Naive;
use proptest::prelude::*;
use warren::{
    platform::NodeId,
    queue::{
        Acks, ChannelKey, Command, ConsumerKey, Effect, Message, MessageNumber, Operation, Outcome, QueueState, Settle,
    },
    session::Session,
};

const NODES: u64 = 2;

fn session(node: u64, incarnation: u64) -> Session {
    Session { node: NodeId(node), incarnation }
}

fn message(body: &[u8]) -> Message {
    Message {
        exchange: String::new(),
        routing_key: "orders".to_owned(),
        properties: Bytes::from_static(b"p"),
        body: Bytes::copy_from_slice(body),
    }
}

fn acks() -> impl Strategy<Value = Acks> {
    prop_oneof![4 => Just(Acks::Manual), 1 => Just(Acks::Automatic)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let channel = || 1..4_u64;
    let settle = prop_oneof![4 => Just(Settle::Ack), 1 => Just(Settle::Drop), 3 => Just(Settle::Requeue)];
    let numbers = proptest::collection::vec((1..30_u64).prop_map(MessageNumber), 0..5);
    let prefetch = proptest::option::of(0..4_u32);
    prop_oneof![
        1 => Just(Operation::Start),
        8 => (channel(), any::<u8>())
            .prop_map(|(channel, body)| Operation::Publish { channel, message: message(&[body]) }),
        3 => (channel(), 1..4_u64, prefetch, acks()).prop_map(|(channel, consumer, prefetch, acks)| {
            Operation::Attach { channel, consumer, prefetch, acks }
        }),
        1 => (channel(), 1..4_u64).prop_map(|(channel, consumer)| Operation::Cancel { channel, consumer }),
        2 => (channel(), acks()).prop_map(|(channel, acks)| Operation::Get { channel, acks }),
        6 => (channel(), numbers, settle)
            .prop_map(|(channel, messages, settle)| Operation::Settle { channel, messages, settle }),
        1 => channel().prop_map(|channel| Operation::CloseChannel { channel }),
        1 => channel().prop_map(|channel| Operation::Purge { channel }),
        1 => channel().prop_map(|channel| Operation::Count { channel }),
        1 => (1..=NODES, 1..4_u64)
            .prop_map(|(node, incarnation)| Operation::NodeLost { lost: session(node, incarnation) }),
    ]
}

/// A command that some node sends: where it begins, relative to what was applied, may be wrong in either direction.
#[derive(Clone, Debug)]
struct Sent {
    node: u64,
    restart: bool,
    outdated: bool,
    offset: i64,
    operations: Vec<Operation>,
    /// A third replica takes a snapshot of the first one here.
    snapshot: bool,
}

fn sent() -> impl Strategy<Value = Sent> {
    let offset = prop_oneof![12 => Just(0_i64), 2 => -3..0_i64, 1 => 1..3_i64];
    let operations = proptest::collection::vec(operation(), 0..6);
    let rare = || proptest::bool::weighted(0.05);
    (1..=NODES, rare(), rare(), offset, operations, proptest::bool::weighted(0.2)).prop_map(
        |(node, restart, outdated, offset, operations, snapshot)| Sent {
            node,
            restart,
            outdated,
            offset,
            operations,
            snapshot,
        },
    )
}

/// The commands as they come out of the log.
fn commands(sent: &[Sent]) -> Vec<Command> {
    let mut nodes: BTreeMap<u64, (u64, u64)> = (1..=NODES).map(|node| (node, (1, 0))).collect();
    let mut commands = Vec::new();
    for sent in sent {
        let (incarnation, applied) = nodes.get_mut(&sent.node).expect("all nodes are there");
        if sent.restart {
            (*incarnation, *applied) = (*incarnation + 1, 0);
        }
        let session = session(sent.node, *incarnation - u64::from(sent.outdated));
        let first = (*applied + 1).saturating_add_signed(sent.offset);
        let operations = sent.operations.clone();
        if sent.offset <= 0 && first > 0 && !sent.outdated {
            *applied = (*applied).max(first + operations.len() as u64 - 1);
        }
        commands.push(Command { session, first, operations });
    }
    commands
}

fn check_against(model: &Naive, state: &QueueState) -> Result<(), TestCaseError> {
    prop_assert_eq!(state.ready_count(), model.ready());
    prop_assert_eq!(state.ready_count() + state.unacked_count(), model.messages.len() as u64);
    for number in (1..=model.published).map(MessageNumber) {
        let entry = model.messages.iter().find(|entry| entry.number == number);
        prop_assert_eq!(state.holder(number), entry.and_then(|entry| entry.held).map(|(by, _)| by));
    }
    let mut consumers: Vec<ConsumerKey> = model.consumers.iter().map(|consumer| consumer.key).collect();
    consumers.sort_unstable();
    prop_assert_eq!(state.consumers().collect::<Vec<_>>(), consumers);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_naive_model_does(sent in proptest::collection::vec(sent(), 0..60)) {
        let (mut model, mut state) = (Naive::default(), QueueState::default());
        for command in commands(&sent) {
            prop_assert_eq!(state.apply(&command), model.apply(&command));
            check_against(&model, &state)?;
        }
    }

    #[test]
    fn replicas_agree_also_one_that_was_restored_from_a_snapshot_at_any_point(
        sent in proptest::collection::vec(sent(), 0..60),
    ) {
        let [mut first, mut second, mut third] = [(); 3].map(|()| QueueState::default());
        let mut hashes: BTreeMap<Bytes, u64> = BTreeMap::new();
        for (command, sent) in commands(&sent).iter().zip(&sent) {
            if sent.snapshot {
                third = QueueState::restore(&first.snapshot()).expect("it was just taken");
            }
            let effects = first.apply(command);
            prop_assert_eq!(&second.apply(command), &effects);
            prop_assert_eq!(&third.apply(command), &effects);
            let hash = first.state_hash();
            prop_assert_eq!([second.state_hash(), third.state_hash()], [hash, hash]);
            prop_assert_eq!(first.snapshot(), third.snapshot());
            hashes.insert(first.snapshot(), hash);
        }
        // Different states, different hashes.
        let distinct: std::collections::BTreeSet<u64> = hashes.values().copied().collect();
        prop_assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn a_command_that_is_sent_again_changes_nothing(sent in proptest::collection::vec(sent(), 0..40)) {
        let mut state = QueueState::default();
        for command in commands(&sent) {
            state.apply(&command);
            let before = state.state_hash();
            if state.applied(command.session).is_some_and(|applied| applied + 1 >= command.first) {
                prop_assert_eq!(state.apply(&command), []);
            }
            prop_assert_eq!(state.state_hash(), before);
        }
    }

    #[test]
    fn reconciling_tells_every_missed_outcome_and_all_that_is_held(
        sent in proptest::collection::vec(sent(), 0..60),
        missed in 0..20_u64,
    ) {
        let (mut model, mut state) = (Naive::default(), QueueState::default());
        for command in commands(&sent) {
            model.apply(&command);
            state.apply(&command);
        }
        let current: Vec<(Session, u64)> = state.sessions().iter().collect();
        for (session, applied) in current {
            let before = applied.saturating_sub(missed);
            let effects = state.reconcile(session, before);
            let sequences = effects.iter().filter_map(|effect| match effect {
                Effect::Outcome { sequence, .. } => Some(*sequence),
                _ => None,
            });
            prop_assert!(sequences.eq(before + 1..=applied));
            let deliveries: Vec<Effect> =
                effects.iter().filter(|effect| matches!(effect, Effect::Deliver { .. })).cloned().collect();
            let held = model.messages.iter().filter_map(|entry| match entry.held {
                Some((channel, Some(consumer))) if channel.session == session => {
                    Some(Effect::Deliver { to: ConsumerKey { channel, consumer }, delivery: entry.delivery() })
                }
                _ => None,
            });
            prop_assert_eq!(deliveries, held.collect::<Vec<_>>());
        }
    }

    #[test]
    fn no_bytes_make_restore_panic(bytes: Vec<u8>, flip in any::<(usize, u8)>()) {
        let _ = QueueState::restore(&bytes);
        let mut queue = Bench::default();
        queue.run(vec![publish(b"a"), publish(b"b"), attach(1, 1, Some(1))]);
        let mut snapshot = queue.state.snapshot().to_vec();
        let at = flip.0 % snapshot.len();
        snapshot[at] ^= flip.1;
        let _ = QueueState::restore(&snapshot);
    }
}

/// One session that talks to a queue.
struct Bench {
    state: QueueState,
    session: Session,
    next: u64,
}

impl Default for Bench {
    fn default() -> Self {
        Self { state: QueueState::default(), session: session(1, 1), next: 1 }
    }
}

impl Bench {
    fn run(&mut self, operations: Vec<Operation>) -> Vec<Effect> {
        let first = self.next;
        self.next += operations.len() as u64;
        self.state.apply(&Command { session: self.session, first, operations })
    }

    /// Runs the operations; tells who got which message, and whether as a redelivery.
    fn delivered(&mut self, operations: Vec<Operation>) -> Vec<(u64, u64, bool)> {
        let effects = self.run(operations);
        let deliveries = effects.iter().filter_map(|effect| match effect {
            Effect::Deliver { to, delivery } => Some((to.consumer, delivery.number.0, delivery.redelivered)),
            _ => None,
        });
        deliveries.collect()
    }
}

fn publish(body: &[u8]) -> Operation {
    Operation::Publish { channel: 1, message: message(body) }
}

fn attach(channel: u64, consumer: u64, prefetch: Option<u32>) -> Operation {
    Operation::Attach { channel, consumer, prefetch, acks: Acks::Manual }
}

fn settle(channel: u64, numbers: &[u64], settle: Settle) -> Operation {
    let messages = numbers.iter().copied().map(MessageNumber).collect();
    Operation::Settle { channel, messages, settle }
}

#[test]
fn states_that_differ_in_one_thing_only_have_different_hashes() {
    // `idle` changes nothing but how far the session is, so all histories end at the same operation.
    let idle = || Operation::Count { channel: 1 };
    let get = |channel| Operation::Get { channel, acks: Acks::Manual };
    let automatic = || Operation::Attach { channel: 1, consumer: 1, prefetch: None, acks: Acks::Automatic };
    let requeue = || settle(1, &[1], Settle::Requeue);
    let histories = [
        vec![idle(), idle(), idle(), idle()],
        vec![publish(b"a"), Operation::Purge { channel: 1 }, idle(), idle()],
        vec![publish(b"a"), idle(), idle(), idle()],
        vec![publish(b"b"), idle(), idle(), idle()],
        vec![publish(b"a"), get(1), requeue(), idle()],
        vec![publish(b"a"), get(1), requeue(), get(1)],
        vec![publish(b"a"), idle(), idle(), get(1)],
        vec![publish(b"a"), idle(), idle(), get(2)],
        vec![publish(b"a"), idle(), get(1), idle()],
        vec![attach(1, 1, None), idle(), idle(), idle()],
        vec![attach(2, 1, None), idle(), idle(), idle()],
        vec![attach(1, 2, None), idle(), idle(), idle()],
        vec![attach(1, 1, Some(1)), idle(), idle(), idle()],
        vec![automatic(), idle(), idle(), idle()],
        vec![attach(1, 1, None), attach(1, 2, None), idle(), idle()],
        vec![attach(1, 2, None), attach(1, 1, None), idle(), idle()],
    ];
    let mut hashes = BTreeMap::new();
    for (history, incarnation) in histories.into_iter().flat_map(|history| [(history.clone(), 1), (history, 2)]) {
        let mut queue = Bench { session: session(1, incarnation), ..Bench::default() };
        queue.run(history.clone());
        let same = hashes.insert(queue.state.state_hash(), history.clone());
        assert_eq!(same, None, "the same hash as {history:?}");
    }
}

#[test]
fn a_requeued_message_comes_before_all_fresh_ones_and_is_flagged() {
    let mut queue = Bench::default();
    let get = || Operation::Get { channel: 1, acks: Acks::Manual };
    queue.run(vec![publish(b"a"), publish(b"b"), publish(b"c"), get(), get()]);
    queue.run(vec![settle(1, &[2], Settle::Requeue), settle(1, &[1], Settle::Requeue)]);
    assert_eq!(queue.delivered(vec![attach(2, 1, None)]), [(1, 1, true), (1, 2, true), (1, 3, false)]);
}

#[test]
fn consumers_take_turns_and_none_exceeds_its_prefetch() {
    let mut queue = Bench::default();
    queue.run(vec![attach(1, 1, Some(1)), attach(1, 2, Some(2)), attach(1, 3, Some(1))]);
    let five = (0..5).map(|_| publish(b"m")).collect();
    assert_eq!(queue.delivered(five), [(1, 1, false), (2, 2, false), (3, 3, false), (2, 4, false)]);
    assert_eq!(queue.delivered(vec![settle(1, &[2], Settle::Ack)]), [(2, 5, false)]);
}

#[test]
fn what_a_cancelled_consumer_holds_is_settled_by_its_channel_also_after_its_name_is_used_again() {
    let mut queue = Bench::default();
    queue.run(vec![publish(b"a"), publish(b"b"), attach(1, 1, Some(1)), Operation::Cancel { channel: 1, consumer: 1 }]);
    assert_eq!(queue.delivered(vec![attach(1, 1, Some(1))]), [], "the first message still counts");
    let holder = ChannelKey { session: queue.session, channel: 1 };
    assert_eq!(queue.state.holder(MessageNumber(1)), Some(holder));
    assert_eq!(queue.delivered(vec![settle(1, &[1], Settle::Ack)]), [(1, 2, false)]);
}

#[test]
fn a_lost_node_is_revoked_and_may_go_on_under_the_same_channel() {
    let mut queue = Bench::default();
    let lost = queue.session;
    queue.run(vec![Operation::Start, attach(1, 1, None), publish(b"a")]);
    let finder = session(2, 1);
    let operations = vec![Operation::NodeLost { lost }];
    let effects = queue.state.apply(&Command { session: finder, first: 1, operations });
    let channel = ChannelKey { session: lost, channel: 1 };
    assert!(effects.contains(&Effect::Revoked { channel }));
    assert!(effects.contains(&Effect::Requeued { message: MessageNumber(1) }));
    assert_eq!(queue.delivered(vec![publish(b"b")]), []);
    assert_eq!(queue.delivered(vec![attach(1, 1, None)]), [(1, 1, true), (1, 2, false)]);
}

#[test]
fn a_new_incarnation_returns_what_the_old_one_held_and_the_old_one_is_heard_no_more() {
    let mut queue = Bench::default();
    queue.run(vec![publish(b"a"), attach(1, 1, None)]);
    let start = Command { session: session(1, 2), first: 1, operations: vec![Operation::Start] };
    assert!(queue.state.apply(&start).contains(&Effect::Requeued { message: MessageNumber(1) }));
    assert_eq!(queue.run(vec![publish(b"late")]), []);
    assert_eq!((queue.state.ready_count(), queue.state.consumer_count()), (1, 0));
}

#[test]
fn a_get_whose_result_was_missed_is_answered_again_from_the_snapshot() {
    let mut queue = Bench::default();
    queue.run(vec![publish(b"a"), Operation::Get { channel: 7, acks: Acks::Manual }]);
    let restored = QueueState::restore(&queue.state.snapshot()).expect("it was just taken");
    let effects = restored.reconcile(queue.session, 1);
    let [Effect::Outcome { sequence: 2, channel: 7, outcome: Outcome::Got { delivery: Some(delivery), .. }, .. }] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(delivery.number, MessageNumber(1));
}
