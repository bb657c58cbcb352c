//! A queue of one message as a lock: what lockers do, and what the run concludes.

use std::collections::BTreeSet;

use ferret::{
    history::{EventKind, Settle},
    run::RunOutput,
    scenario::Scenario,
};
use ferret_reports::{InvariantResult, InvariantVerdict, Verdict};
use warren::platform::Sabotage;

use super::play::{self, Play};

const GETTERS: &str = r#"
[[lockers]]
name = "locker"
queue = "orders"
take = "get"
hold = "50ms..150ms"
"#;

const CONSUMERS: &str = r#"
[[lockers]]
name = "locker"
queue = "orders"
take = "consume"
hold = "50ms..150ms"
"#;

/// Holders that work for longer than the cluster waits for a node.
const SLEEPERS: &str = r#"
[[lockers]]
name = "holder"
count = 3
queue = "orders"
take = "consume"
hold = "7s..8s"
"#;

fn of(output: &RunOutput, invariant: &str) -> InvariantResult {
    let found = output.record.invariants.iter().find(|result| result.name == invariant);
    found.expect("every invariant is judged").clone()
}

/// Who took the lock, and how it was given back.
fn takers(output: &RunOutput) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut takers, mut ways) = (BTreeSet::new(), BTreeSet::new());
    let mut clients = std::collections::BTreeMap::new();
    for event in &output.history.events {
        match &event.kind {
            EventKind::ChannelOpened { client, channel, .. } => {
                clients.insert(*channel, output.history.clients[client.0 as usize].clone());
            }
            EventKind::Deliver { channel, .. } | EventKind::GetReply { channel, delivery: Some(_), .. } => {
                takers.insert(clients[channel].clone());
            }
            EventKind::Settle { settle: Settle::Nack { requeue: true, .. }, .. } => {
                ways.insert("nack".to_owned());
            }
            EventKind::Settle { settle: Settle::Reject { requeue: true }, .. } => {
                ways.insert("reject".to_owned());
            }
            _ => {}
        }
    }
    (takers, ways)
}

#[test]
fn the_lock_goes_round_and_ends_where_it_began() {
    let (native, lapin) = ("duration = \"8s\"", "duration = \"8s\"\nclient = \"lapin\"");
    for (run, clients) in [(native, GETTERS), (native, CONSUMERS), (lapin, GETTERS), (lapin, CONSUMERS)] {
        let output = Play { run, clients, ..Play::default() }.run();
        assert_eq!(output.record.verdict, Verdict::Pass, "{run} {clients}: {:?}", output.record.reasons);
        let lock = of(&output, "lock");
        assert!(lock.required && lock.checked > 15, "{run} {clients}: {lock:?}");
        assert_eq!(lock.explanation, None, "nobody was cut off");
        let (takers, ways) = takers(&output);
        assert_eq!(Vec::from_iter(&takers), ["drain", "locker-1", "locker-2", "locker-3"], "{run} {clients}");
        assert_eq!(ways.len(), 2, "{run} {clients}: {ways:?}");
    }
}

/// The leader is alone for longer than the cluster waits for a node.
fn cut_off(clients: &'static str) -> Scenario {
    let step = r#"{ at = "1s", partition = { isolate = "leader:orders" }, for = "8s" }"#;
    Play { run: "duration = \"12s\"", clients, ..Play::of(step) }.scenario()
}

#[test]
fn a_holder_that_is_cut_off_believes_in_its_lock_and_that_is_no_violation() {
    let holds =
        (1..=8).map(|seed| play::run(&cut_off(SLEEPERS), seed)).find(|output| of(output, "lock").explanation.is_some());
    let output = holds.expect("the lock is with the node that is cut off now and then");
    let lock = of(&output, "lock");
    assert_eq!(lock.verdict, InvariantVerdict::Holds);
    assert!(lock.explanation.as_deref().is_some_and(|remark| remark.contains("another still believed")), "{lock:?}");
    let overlap = output.record.sometimes.iter().find(|result| result.name == "lock-overlap");
    assert!(overlap.is_some_and(|result| result.count > 0));
}

#[test]
fn two_sides_that_decide_alone_both_give_the_lock_away() {
    let alone = Scenario { sabotage: Some(Sabotage::CommitAlone), ..cut_off(GETTERS) };
    // The side that is left alone must have had the lock.
    let violated = (1..=8).map(|seed| of(&play::run(&alone, seed), "lock")).find(|lock| {
        assert_ne!(lock.verdict, InvariantVerdict::Vacuous);
        lock.verdict == InvariantVerdict::Violated
    });
    let sentence = violated.and_then(|lock| lock.explanation).expect("with some seed both sides have it");
    assert!(sentence.contains("which had applied other entries"), "{sentence}");
}
