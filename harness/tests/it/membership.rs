//! What an operator's steps do to the members of a queue, and what mistakes in them look like.

use std::collections::BTreeSet;

use ferret::{
    history::EventKind,
    run::{self, RunOptions, RunOutput},
    scenario::Scenario,
};
use ferret_reports::{FaultRecord, Verdict};
use warren::platform::{GroupId, NodeId, Observation, Sabotage};

use super::play::{SECOND, began, ended, leader, parse};

const ORDERS: GroupId = GroupId(2);

/// A cluster of four and a spare, a queue whose group has `size` voters, and `steps`.
fn text(size: u64, steps: &str) -> String {
    format!(
        r#"
version = 1
name = "members"
[run]
duration = "4s"
liveness = "4s"
publish-timeout = "2s"
net = {{ latency = "1ms..3ms" }}
disk = {{ sync = "1ms..3ms" }}
[cluster]
nodes = 4
spares = 1
[[queues]]
name = "orders"
group-size = {size}
[[publishers]]
name = "pub"
count = 2
queue = "orders"
rate = 30
[[consumers]]
name = "con"
queue = "orders"
[timeline]
steps = [{steps}]
"#
    )
}

fn play(size: u64, steps: &str) -> RunOutput {
    super::play::run(&parse(&text(size, steps)), 1)
}

fn passed(output: &RunOutput) {
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?} {:?}", output.record.reasons, output.record.faults);
}

/// The steps of that kind, each of which must have changed something.
fn bitten<'a>(output: &'a RunOutput, kind: &str, effect: &str) -> &'a FaultRecord {
    let fault = output.record.faults.iter().find(|fault| fault.kind == kind).expect("there is such a step");
    assert!(fault.bit && fault.effect.starts_with(effect), "{fault:?}");
    fault
}

/// By whom each node counts at that time.
fn voters(output: &RunOutput, at: u64) -> BTreeSet<Vec<NodeId>> {
    let mut counted = std::collections::BTreeMap::new();
    for event in output.history.events.iter().take_while(|event| event.at.0 <= at) {
        if let EventKind::Observed { node, observation: Observation::Members { group: ORDERS, voters, .. } } =
            &event.kind
        {
            counted.insert(*node, voters.to_vec());
        }
    }
    counted.into_values().collect()
}

#[test]
fn a_transfer_makes_the_named_follower_the_leader() {
    let step = r#"{ at = "1s", transfer-leader = { queue = "orders", to = "one-follower:orders" } }"#;
    let output = play(3, step);
    let fault = bitten(&output, "transfer-leader", "changed 1 leader; ");
    let (before, after) = (leader(&output, began(fault)), leader(&output, ended(fault)));
    assert_ne!(before, after);
    assert!(fault.description.starts_with(&format!("let {after} (follower of orders) lead orders")), "{fault:?}");
    assert!(fault.effect.ends_with(&format!("{before} led, {after} leads")), "{fault:?}");
    assert!(ended(fault) - began(fault) < SECOND, "nobody had to wait for an election timeout");
    passed(&output);
}

#[test]
fn a_queue_grows_by_a_learner_on_every_replica() {
    let output = play(3, r#"{ at = "1s", grow = { queue = "orders", node = "one-learner:orders" } }"#);
    let fault = bitten(&output, "grow", "changed 1 group; ");
    let before = voters(&output, began(fault));
    assert!(before.len() == 1 && before.first().is_some_and(|voters| voters.len() == 3), "{before:?}");
    assert!(fault.effect.ends_with("voted, n1, n2, n3, n4 vote"), "{fault:?}");
    assert_eq!(voters(&output, ended(fault) + SECOND), BTreeSet::from([[1, 2, 3, 4].map(NodeId).to_vec()]));
    passed(&output);
}

#[test]
fn a_queue_that_shrinks_by_its_leader_gets_another_one_first() {
    let output = play(3, r#"{ at = "1s", shrink = { queue = "orders", node = "leader:orders" } }"#);
    let fault = bitten(&output, "shrink", "changed 1 group; ");
    let (before, after) = (leader(&output, began(fault)), leader(&output, ended(fault)));
    assert_ne!(before, after);
    let voters = voters(&output, ended(fault) + SECOND);
    let [left] = &voters.iter().collect::<Vec<_>>()[..] else { panic!("all count by the same voters: {voters:?}") };
    assert_eq!(left.len(), 2);
    assert!(!left.iter().any(|node| node.to_string() == before), "{before} does not vote any more: {left:?}");
    passed(&output);
}

#[test]
fn members_outlive_the_power_loss_of_all_nodes() {
    let steps = r#"{ at = "500ms", grow = { queue = "orders", node = "one-learner:orders" } },
                   { at = "1s", power-loss = { node = "all" }, for = "500ms" }"#;
    let output = play(1, steps);
    bitten(&output, "grow", "changed 1 group; ");
    let at_the_end = voters(&output, u64::MAX);
    assert!(at_the_end.len() == 1 && at_the_end.first().is_some_and(|voters| voters.len() == 2), "{at_the_end:?}");
    passed(&output);
}

#[test]
fn a_request_that_the_cluster_refuses_had_no_effect_and_says_why() {
    for (size, step, why) in [
        (3, r#"transfer-leader = { queue = "orders", to = "leader:orders" }"#, "leads it already"),
        (3, r#"transfer-leader = { queue = "orders", to = "one-learner:orders" }"#, "has no vote in it"),
        (3, r#"grow = { queue = "orders", node = "leader:orders" }"#, "votes in it already"),
        (3, r#"shrink = { queue = "orders", node = "one-learner:orders" }"#, "follows it without a vote already"),
        (1, r#"shrink = { queue = "orders", node = "leader:orders" }"#, "is its last voter"),
        (4, r#"grow = { queue = "orders", node = "one-learner:orders" }"#, "orders has no learner, for 0s now"),
    ] {
        let output = play(size, &format!(r#"{{ at = "1s", {step} }}"#));
        let [fault] = &output.record.faults[..] else { panic!("the timeline has one step") };
        assert!(!fault.bit && fault.effect.contains(why), "{step}: {fault:?}");
        assert_eq!(output.record.verdict, Verdict::Vacuous, "a step without effect fails the run");
    }
}

#[test]
fn a_cut_off_voter_can_still_be_taken_out_and_the_rest_decides() {
    let steps = r#"{ at = "1s", partition = { isolate = "n1" }, for = "3s" },
                   { at = "1200ms", shrink = { queue = "orders", node = "n1" } }"#;
    let output = play(4, steps);
    bitten(&output, "shrink", "changed 1 group; ");
    passed(&output);
}

/// The members that count in the metadata at the end, by the nodes that still tell.
fn cluster(output: &RunOutput) -> [Vec<NodeId>; 2] {
    let newest = output.history.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Observed {
            observation: Observation::Members { group: GroupId::META, voters, learners, .. },
            ..
        } => Some([voters.to_vec(), learners.to_vec()]),
        _ => None,
    });
    newest.expect("somebody counts")
}

#[test]
fn a_spare_joins_the_metadata_as_a_voter_and_the_queue_as_a_learner() {
    let output = play(3, r#"{ at = "1s", add-member = { node = "spare" } }"#);
    let fault = bitten(&output, "add-member", "changed 1 cluster; ");
    assert_eq!(fault.description, "let n5 join the cluster");
    assert!(fault.effect.ends_with("n1, n2, n3, n4 were the cluster, n1, n2, n3, n4, n5 are"), "{fault:?}");
    assert_eq!(cluster(&output), [[1, 2, 3, 4, 5].map(NodeId).to_vec(), Vec::new()]);
    let follows = output.history.events.iter().any(|event| {
        matches!(&event.kind, EventKind::Observed {
            node: NodeId(5),
            observation: Observation::Members { group: ORDERS, learners, .. },
        } if learners.contains(&NodeId(5)))
    });
    assert!(follows, "n5 has a replica of the queue");
    passed(&output);
}

#[test]
fn a_spare_that_nobody_adds_does_nothing_and_owes_nothing() {
    let output = play(3, r#"{ at = "1s", transfer-leader = { queue = "orders", to = "one-follower:orders" } }"#);
    let told =
        output.history.events.iter().any(|event| matches!(event.kind, EventKind::Observed { node: NodeId(5), .. }));
    assert!(!told);
    passed(&output);
}

#[test]
fn a_leader_that_leaves_is_replaced_by_a_learner_and_ends_and_what_it_held_comes_back() {
    let output = play(3, r#"{ at = "1s", remove-member = { node = "leader:orders" } }"#);
    let fault = bitten(&output, "remove-member", "changed 1 cluster; ");
    let left = leader(&output, began(fault)).to_owned();
    let [voters, learners] = cluster(&output);
    assert!(voters.len() == 3 && learners.is_empty() && !voters.iter().any(|node| node.to_string() == left));
    let newest = output.history.events.iter().rev().find_map(|event| match &event.kind {
        EventKind::Observed { observation: Observation::Members { group: ORDERS, voters, .. }, .. } => Some(voters),
        _ => None,
    });
    assert_eq!(
        newest.map(|newest| &**newest),
        Some(&*voters),
        "three vote as before: {left} does not, the learner does"
    );
    let down = output.record.timeline.down.iter().filter(|span| span.node == left).collect::<Vec<_>>();
    assert!(down.len() == 1 && down[0].how == "exited by itself" && down[0].to_ns.is_none(), "{down:?}");
    passed(&output);
}

#[test]
fn an_errand_under_way_when_the_load_stops_is_still_told() {
    // The answer takes some round trips.
    let output = play(3, r#"{ at = "3998ms", remove-member = { node = "n4" } }"#);
    let fault = bitten(&output, "remove-member", "changed 1 cluster; ");
    let stopped = output.history.events.iter().find(|event| event.kind == EventKind::LoadStopped).expect("it ends");
    assert!(began(fault) < stopped.at.0 && stopped.at.0 < ended(fault), "{fault:?}");
    passed(&output);
}

#[test]
fn a_heal_does_not_call_the_operator_back_nor_start_who_was_removed() {
    let steps = r#"{ at = "1s", remove-member = { node = "n4" } }, { at = "1002ms", heal = "all", may-miss = true }"#;
    let output = play(3, steps);
    let fault = bitten(&output, "remove-member", "changed 1 cluster; ");
    let [_, heal] = &output.record.faults[..] else { panic!("two steps: {:?}", output.record.faults) };
    assert!(began(heal) < ended(fault), "{heal:?}");
    assert!(!heal.bit, "there was nothing to heal: {heal:?}");
    let starts = |event: &&ferret::history::Event| event.kind == EventKind::NodeUp { node: NodeId(4) };
    assert_eq!(output.history.events.iter().filter(starts).count(), 1, "n4 began once, and left");
    passed(&output);
}

#[test]
fn a_removed_node_that_comes_back_is_told_so_and_ends() {
    let steps = r#"{ at = "500ms", remove-member = { node = "n2" } },
                   { at = "3500ms", restart = { node = "n2" } }"#;
    let output = play(3, steps);
    bitten(&output, "remove-member", "changed 1 cluster; ");
    bitten(&output, "restart", "started 1 node");
    let ends = output.record.timeline.down.iter().filter(|span| span.node == "n2" && span.how == "exited by itself");
    assert_eq!(ends.count(), 2, "{:?}", output.record.timeline.down);
    passed(&output);
}

#[test]
fn mistakes_in_an_operators_steps_are_told() {
    for (step, message, help) in [
        (r#"grow = { queue = "order", node = "n1" }"#, "unknown queue `order`", Some("did you mean `orders`?")),
        (
            r#"transfer-leader = { queue = "orders", to = "all" }"#,
            "an operator asks for one node at a time",
            Some("name one node, such as `one-follower:Q`, `one-learner:Q`, `any` or `n1`"),
        ),
        (r#"shrink = { queue = "orders", node = "n9" }"#, "unknown node `n9`", None),
        (
            r#"shrink = { queue = "orders", node = "one-lerner:orders" }"#,
            "unknown target `one-lerner:orders`",
            Some("did you mean `one-learner:orders`?"),
        ),
        (r#"grow = { queue = "orders" }"#, "`grow` lacks `node`", None),
        (
            r#"transfer-leader = { queue = "orders", to = "n1" }, for = "1s""#,
            "`transfer-leader` has its own end",
            Some("leave `for` out"),
        ),
        (r#"add-member = { node = "n1" }"#, "only a spare can join", Some("name a spare, such as `spare` or `n5`")),
        (r#"remove-member = { node = "minority" }"#, "an operator asks for one node at a time", None),
        (r#"transfer-leder = { queue = "orders", to = "n1" }"#, "unknown key `transfer-leder`", None),
    ] {
        let text = text(3, &format!(r#"{{ at = "1s", {step} }}"#));
        let problems = Scenario::parse("members.toml", &text).expect_err(step);
        assert_eq!(problems[0].message, message, "{step}");
        if help.is_some() {
            assert_eq!(problems[0].help.as_deref(), help, "{step}");
        }
    }
}

#[test]
fn without_a_spare_nobody_can_join() {
    let text = text(3, r#"{ at = "1s", add-member = { node = "spare" } }"#).replace("spares = 1\n", "");
    let problems = Scenario::parse("members.toml", &text).expect_err("there is no spare");
    assert_eq!(problems[0].message, "there is no spare");
    assert_eq!(problems[0].help.as_deref(), Some("write `spares = 1` under `[cluster]`"));
}

#[test]
fn planted_bugs_of_membership_are_caught_and_their_weather_alone_is_not_reported() {
    for (weather, bugs) in [
        ("membership", &["learners-count", "forget-membership", "members-from-declaration", "changes-overlap"][..]),
        ("turnover", &["removed-keeps-held"][..]),
    ] {
        let path = format!("../scenarios/hunt/{weather}.toml");
        let file = std::fs::read_to_string(&path).expect("the weather is there");
        let scenario = Scenario::parse(&path, &file).expect("it is valid");
        let violated = |sabotage: Option<Sabotage>, seed| {
            let options = RunOptions { sabotage, ..RunOptions::default() };
            let output = run::run(&scenario, seed, &options, &false.into(), &ferret::progress::Progress::default());
            output.record.verdict == Verdict::Violated
        };
        assert!(!violated(None, 1), "{weather}");
        for bug in bugs {
            assert!((1..=6).any(|seed| violated(Sabotage::from_name(bug), seed)), "{bug}");
        }
    }
}
