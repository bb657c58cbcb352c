use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{platform::NodeId, routing::RefusalCode};

const SESSION: Session = Session { node: NodeId(1), incarnation: 1 };

fn command(first: u64, operations: Vec<MetaOperation>) -> MetaCommand {
    MetaCommand { session: SESSION, first, operations }
}

fn declare_queue(name: &str) -> MetaOperation {
    let placement = Placement { voters: vec![NodeId(1), NodeId(2), NodeId(3)], learners: vec![] };
    MetaOperation::DeclareQueue { name: name.into(), spec: QueueSpec::default(), placement }
}

fn declare_exchange(name: &str, kind: ExchangeKind) -> MetaOperation {
    let spec = ExchangeSpec { kind, durable: true, auto_delete: false };
    MetaOperation::DeclareExchange { name: name.into(), spec }
}

fn bind(exchange: &str, queue: &str, routing_key: &str) -> MetaOperation {
    MetaOperation::Bind { exchange: exchange.into(), queue: queue.into(), routing_key: routing_key.into() }
}

/// A state after `operations`, and their outcomes.
fn applied(operations: Vec<MetaOperation>) -> (MetaState, Vec<MetaOutcome>) {
    let mut state = MetaState::default();
    let outcomes = outcomes(state.apply(&command(1, operations)));
    (state, outcomes)
}

fn outcomes(effects: Vec<MetaEffect>) -> Vec<MetaOutcome> {
    let outcome = |effect| if let MetaEffect::Outcome { outcome, .. } = effect { Some(outcome) } else { None };
    effects.into_iter().filter_map(outcome).collect()
}

fn refused_with(outcome: &MetaOutcome) -> Option<RefusalCode> {
    if let MetaOutcome::Refused(refusal) = outcome { Some(refusal.code) } else { None }
}

#[test]
fn the_default_exchange_routes_to_the_queue_that_the_key_names() {
    let (state, outcomes) = applied(vec![declare_queue("a"), declare_queue("b")]);
    assert_eq!(outcomes[1], MetaOutcome::Queue { group: GroupId(3), created: true });
    assert_eq!(state.route("", "b"), Some(vec![GroupId(3)]));
    assert_eq!(state.route("", "c"), Some(vec![]));
}

#[test]
fn a_direct_exchange_routes_by_exact_key_and_to_each_queue_once() {
    let (mut state, _) = applied(vec![
        declare_queue("a"),
        declare_queue("b"),
        declare_exchange("x", ExchangeKind::Direct),
        bind("x", "a", "k"),
        bind("x", "b", "k"),
        bind("x", "b", "l"),
        bind("x", "b", "l"),
    ]);
    assert_eq!(state.route("x", "k"), Some(vec![GroupId(2), GroupId(3)]));
    assert_eq!(state.route("x", "l"), Some(vec![GroupId(3)]));
    assert_eq!(state.route("x", "m"), Some(vec![]));
    assert_eq!(state.route("nowhere", "k"), None);
    let unbind = MetaOperation::Unbind { exchange: "x".into(), queue: "b".into(), routing_key: "k".into() };
    state.apply(&command(8, vec![unbind]));
    assert_eq!(state.route("x", "k"), Some(vec![GroupId(2)]));
}

#[test]
fn a_fanout_exchange_routes_to_every_bound_queue_once() {
    let (state, _) = applied(vec![
        declare_queue("a"),
        declare_queue("b"),
        bind("amq.fanout", "a", ""),
        bind("amq.fanout", "b", "x"),
        bind("amq.fanout", "b", "y"),
    ]);
    assert_eq!(state.route("amq.fanout", "whatever"), Some(vec![GroupId(2), GroupId(3)]));
}

#[test]
fn a_deleted_queue_loses_its_bindings_and_its_group_id_is_not_used_again() {
    let (mut state, _) = applied(vec![declare_queue("a"), bind("amq.direct", "a", "k")]);
    let delete = MetaOperation::DeleteQueue { name: "a".into(), group: GroupId(2) };
    let effects = state.apply(&command(3, vec![delete.clone()]));
    assert!(effects.contains(&MetaEffect::QueueDeleted { group: GroupId(2) }));
    let again = state.apply(&command(4, vec![declare_queue("a"), delete]));
    assert_eq!(outcomes(again), [MetaOutcome::Queue { group: GroupId(3), created: true }, MetaOutcome::Done]);
    assert_eq!(state.queue("a").map(|queue| queue.group), Some(GroupId(3)), "a delete of the old one spares the new");
    assert_eq!(state.route("amq.direct", "k"), Some(vec![]));
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let spec = ExchangeSpec { kind: ExchangeKind::Direct, durable: true, auto_delete: true };
    let (mut state, _) = applied(vec![
        MetaOperation::DeclareExchange { name: "x".into(), spec },
        declare_queue("a"),
        bind("x", "a", "k"),
    ]);
    assert!(state.exchange("x").is_some());
    state.apply(&command(4, vec![MetaOperation::DeleteQueue { name: "a".into(), group: GroupId(2) }]));
    assert!(state.exchange("x").is_none());
}

#[test]
fn redeclaring_is_fine_if_equivalent_and_refused_otherwise() {
    let sized = MetaOperation::DeclareQueue {
        name: "a".into(),
        spec: QueueSpec { group_size: Some(5) },
        placement: Placement::default(),
    };
    let (_, outcomes) = applied(vec![
        declare_queue("a"),
        declare_queue("a"),
        sized,
        declare_exchange("x", ExchangeKind::Direct),
        declare_exchange("x", ExchangeKind::Direct),
        declare_exchange("x", ExchangeKind::Fanout),
        declare_exchange("amq.direct", ExchangeKind::Direct),
    ]);
    assert_eq!(outcomes[1], MetaOutcome::Queue { group: GroupId(2), created: false });
    assert_eq!(refused_with(&outcomes[2]), Some(RefusalCode::PreconditionFailed));
    assert_eq!(outcomes[4], MetaOutcome::Done);
    let MetaOutcome::Refused(refusal) = &outcomes[5] else { panic!("{:?}", outcomes[5]) };
    assert_eq!(
        refusal.to_string(),
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/': received 'fanout' but current \
         is 'direct'"
    );
    assert_eq!(outcomes[6], MetaOutcome::Done);
}

#[test]
fn what_is_missing_or_reserved_is_refused_with_its_own_code() {
    let (_, outcomes) = applied(vec![
        bind("nowhere", "a", "k"),
        bind("amq.direct", "a", "k"),
        bind("", "a", "k"),
        declare_exchange("amq.mine", ExchangeKind::Direct),
        MetaOperation::DeleteExchange { name: "amq.direct".into(), if_unused: false },
        MetaOperation::DeleteExchange { name: "nowhere".into(), if_unused: false },
        declare_queue("a"),
        bind("amq.direct", "a", "k"),
        declare_exchange("x", ExchangeKind::Direct),
        bind("x", "a", "k"),
        MetaOperation::DeleteExchange { name: "x".into(), if_unused: true },
    ]);
    let codes: Vec<_> = outcomes.iter().map(refused_with).collect();
    let (not_found, access, precondition) =
        (Some(RefusalCode::NotFound), Some(RefusalCode::AccessRefused), Some(RefusalCode::PreconditionFailed));
    assert_eq!(
        codes,
        [not_found, not_found, access, access, access, None, None, None, None, None, precondition],
        "{outcomes:?}"
    );
}

#[test]
fn a_snapshot_restores_the_same_state() {
    let (state, _) = applied(vec![declare_queue("a"), bind("amq.direct", "a", "k")]);
    let restored = MetaState::restore(&state.snapshot()).expect("own snapshot");
    assert_eq!(restored, state);
    assert_eq!(restored.state_hash(), state.state_hash());
    assert!(MetaState::restore(&[0xff; 3]).is_err());
}

#[test]
fn a_new_life_of_a_node_starts_over_and_its_old_life_is_ignored() {
    let (mut state, _) = applied(vec![MetaOperation::Start, declare_queue("a")]);
    let reborn = Session { incarnation: 2, ..SESSION };
    state.apply(&MetaCommand { session: reborn, first: 1, operations: vec![MetaOperation::Start] });
    let hash = state.state_hash();
    assert!(state.apply(&command(3, vec![declare_queue("b")])).is_empty());
    assert_eq!(state.state_hash(), hash);
    assert_eq!((state.last_applied(SESSION), state.last_applied(reborn)), (0, 1));
}

fn operation() -> impl Strategy<Value = MetaOperation> {
    let name = prop_oneof![Just("a"), Just("b"), Just("amq.direct"), Just("x")];
    (0..5u8, name.clone(), name).prop_map(|(kind, one, other)| match kind {
        0 => declare_queue(one),
        1 => declare_exchange(one, ExchangeKind::Direct),
        2 => bind(one, other, "k"),
        3 => MetaOperation::DeleteQueue { name: one.into(), group: GroupId(2) },
        _ => MetaOperation::DeleteExchange { name: one.into(), if_unused: true },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn resends_in_any_number_change_nothing(
        operations in vec(operation(), 1..20),
        resends in vec((0usize..20, 1usize..20), 0..40),
    ) {
        let mut once = MetaState::default();
        let expected: Vec<_> = (1u64..).zip(&operations)
            .flat_map(|(sequence, operation)| once.apply(&command(sequence, vec![operation.clone()])))
            .collect();
        let mut state = MetaState::default();
        let mut effects = Vec::new();
        let whole = (0, operations.len());
        for (start, len) in resends.into_iter().chain([whole]) {
            let start = start.min(operations.len());
            let end = (start + len).min(operations.len());
            effects.extend(state.apply(&command(start as u64 + 1, operations[start..end].to_vec())));
        }
        prop_assert_eq!(effects, expected);
        prop_assert_eq!(state.state_hash(), once.state_hash());
    }
}

#[test]
fn members_join_once_and_leave_for_good() {
    let add = |node| MetaOperation::AddMember { node: NodeId(node), address: "there:1".into() };
    let remove = |node| MetaOperation::RemoveMember { node: NodeId(node) };
    let mut state = MetaState::founded_by([1, 2, 3].map(NodeId));
    let effects =
        state.apply(&command(1, vec![add(4), add(4), remove(2), remove(2), add(2), remove(9), declare_queue("q")]));
    let added = effects.iter().filter(|effect| matches!(effect, MetaEffect::MemberAdded { node: NodeId(4), .. }));
    assert_eq!(added.count(), 1);
    let placed = effects.iter().find_map(|effect| match effect {
        MetaEffect::QueueCreated { voters, .. } => Some(voters.clone()),
        _ => None,
    });
    assert_eq!(placed, Some(vec![NodeId(1), NodeId(3)]), "a removed node gets no replica");
    let refused: Vec<_> = outcomes(effects).iter().map(|outcome| refused_with(outcome).is_some()).collect();
    assert_eq!(refused, [false, false, false, false, true, true, false]);
    assert_eq!(state.members().collect::<Vec<_>>(), [1, 3, 4].map(NodeId));
    assert_eq!(state.joined().collect::<Vec<_>>(), [(NodeId(4), "there:1")]);
    assert_eq!(MetaState::restore(&state.snapshot()).expect("its own snapshot"), state);
    let effects = state.apply(&command(8, vec![remove(1), remove(3), remove(4)]));
    let refused: Vec<_> = outcomes(effects).iter().map(|outcome| refused_with(outcome).is_some()).collect();
    assert_eq!(refused, [false, false, true], "the last one stays");
}
