//! When steps begin that wait for something, or that are done again and again.

use ferret::history::{Event, EventKind, PublishOutcome, Settle};
use ferret_reports::Verdict;
use warren::platform::Observation;

use super::play::{Play, SECOND, began, downs, fault};

/// When the so-manieth event of this kind happened, in nanoseconds.
fn nth(events: &[Event], count: usize, of: impl Fn(&EventKind) -> bool) -> u64 {
    events.iter().filter(|event| of(&event.kind)).nth(count - 1).expect("there are so many").at.0
}

#[test]
fn a_step_begins_once_so_many_messages_are_counted() {
    type Of = fn(&EventKind) -> bool;
    let counts: [(&'static str, &str, Of); 4] = [
        (r#"{ after = { published = 80 }, reset = { client = "pub" } }"#, "once 80 messages were published", |kind| {
            matches!(kind, EventKind::Publish { .. })
        }),
        (r#"{ after = { confirmed = 80 }, reset = { client = "pub" } }"#, "once 80 messages were confirmed", |kind| {
            matches!(kind, EventKind::PublishOutcome { outcome: PublishOutcome::Confirmed, .. })
        }),
        (r#"{ after = { delivered = 80 }, reset = { client = "pub" } }"#, "once 80 messages were delivered", |kind| {
            matches!(kind, EventKind::Deliver { .. })
        }),
        (r#"{ after = { acked = 80 }, reset = { client = "pub" } }"#, "once 80 messages were acked", |kind| {
            matches!(kind, EventKind::Settle { settle: Settle::Ack { .. }, .. })
        }),
    ];
    for (step, words, of) in counts {
        let output = Play::of(step).run();
        let (fault, from, _) = fault(&output);
        assert!(fault.description.ends_with(words) && fault.bit, "{fault:?}");
        let due = nth(&output.history.events, 80, of);
        assert!((due..due + SECOND / 100).contains(&from), "{words}: begun at {from}, due at {due}");
    }
}

#[test]
fn a_step_begins_when_the_leader_has_changed_and_some_time_after() {
    let steps = r#"{ at = "1s", kill = { node = "leader:orders" }, for = "2s" },
                   { when = "leader-changed:orders", delay = "300ms", reset = { node = "leader:orders" } }"#;
    let output = Play::of(steps).run();
    let led = |kind: &EventKind| match kind {
        EventKind::Observed { observation: Observation::BecameLeader { group, .. }, .. } => group.0 > 1,
        _ => false,
    };
    let changed = nth(&output.history.events, 2, led);
    let [kill, reset] = &output.record.faults[..] else { panic!("{:?}", output.record.faults) };
    assert!(changed > began(kill), "the leader was killed first");
    let due = changed + 3 * SECOND / 10;
    assert!((due..due + SECOND / 100).contains(&began(reset)), "{reset:?}, changed at {changed}");
    assert!(reset.description.ends_with(", once orders had another leader"), "{reset:?}");
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn a_step_begins_when_a_node_goes_down_or_returns_or_a_client_comes_back() {
    let steps = r#"{ at = "500ms", kill = { node = "n3" }, for = "1s" },
                   { when = "down:n3", delay = "200ms", pause = { node = "n1" }, for = "100ms" },
                   { when = "restarted:any", delay = "100ms", kill = { node = "n3" }, for = "500ms" },
                   { when = "reconnected:con", reset = { client = "con" } },
                   { when = "redelivered:orders", reset = { client = "pub" } }"#;
    let output = Play::of(steps).run();
    let faults = &output.record.faults;
    let by_step = |step: u32| faults.iter().find(|fault| fault.step == step).expect("each step has a record");
    let [(down, up, _), (again, ..)] = downs(&output, "n3")[..] else { panic!("n3 goes down twice: {faults:?}") };
    let soon = |due: u64| due..due + SECOND / 50;
    assert!(soon(down + SECOND / 5).contains(&began(by_step(2))), "{faults:?}");
    assert!(soon(up + SECOND / 10).contains(&began(by_step(3))), "{faults:?}");
    assert_eq!(again, began(by_step(3)));
    assert!(began(by_step(4)) >= down && by_step(4).bit, "{faults:?}");
    assert!(began(by_step(5)) >= down && by_step(5).bit, "{faults:?}");
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn a_step_begins_when_a_log_is_cut_and_when_a_snapshot_arrives() {
    let steps = r#"{ at = "100ms", kill = { node = "n3" }, for = "2s" },
                   { when = "compacted:orders", reset = { client = "pub" } },
                   { when = "snapshot-installed:orders", reset = { client = "con" } }"#;
    let play = Play::of(steps);
    let text = play.text().replace("nodes = 3", "nodes = 3\ncompact-after = 40");
    let output = super::play::run(&super::play::parse(&text), 1);
    let events = &output.history.events;
    let observed = |of: fn(&Observation) -> bool| {
        nth(events, 1, |kind| matches!(kind, EventKind::Observed { observation, .. } if of(observation)))
    };
    let faults = &output.record.faults;
    let by_step = |step: u32| began(faults.iter().find(|fault| fault.step == step).expect("each step has a record"));
    // The group of the cluster's own names is never that long.
    let cut = observed(|observation| matches!(observation, Observation::Compacted { .. }));
    let installed = observed(|observation| matches!(observation, Observation::SnapshotInstalled { .. }));
    assert!((cut..cut + SECOND / 50).contains(&by_step(2)), "{faults:?}");
    assert!((installed..installed + SECOND / 50).contains(&by_step(3)), "{faults:?}");
}

#[test]
fn a_trigger_that_never_comes_is_a_fault_without_effect() {
    let never = |step| Play::of(step).run().record;
    let record = never(r#"{ after = { confirmed = 100000 }, pause = { node = "n1" }, for = "1s" }"#);
    assert_eq!(record.verdict, Verdict::Vacuous);
    let effect = &record.faults[0].effect;
    assert!(effect.starts_with("its trigger never came: ") && effect.ends_with(" of 100000 messages were confirmed"));
    assert!(!record.faults[0].bit && record.faults[0].began_ns.is_none());
    let record = never(r#"{ when = "leader-changed:orders", pause = { node = "n1" }, for = "1s" }"#);
    assert_eq!(record.verdict, Verdict::Vacuous);
    let expected = "step 1 (pause, line 25) had no effect: its trigger never came: the leader of orders did not change";
    assert_eq!(record.reasons, [expected]);
    let record = never(r#"{ when = "restarted:any", kill = { node = "n1" }, for = "1s", may-miss = true }"#);
    assert_eq!(record.faults[0].effect, "its trigger never came: no node was restarted");
    assert_eq!(record.verdict, Verdict::Pass, "{:?}", record.reasons);
}

#[test]
fn a_repeated_step_leaves_one_record_for_each_time() {
    let step = r#"{ at = "500ms", every = "1s", count = 3, kill = { node = "n2" }, for = "300ms" }"#;
    let output = Play::of(step).run();
    let faults = &output.record.faults;
    let begun: Vec<u64> = faults.iter().map(began).collect();
    assert_eq!(faults.iter().map(|fault| fault.step).collect::<Vec<_>>(), [1, 1, 1]);
    let gaps: Vec<u64> = begun.windows(2).map(|pair| (pair[1] - pair[0]).div_ceil(SECOND / 100)).collect();
    assert_eq!(gaps, [100, 100], "{begun:?}");
    assert!(faults.iter().all(|fault| fault.bit), "{faults:?}");
    assert_eq!(downs(&output, "n2").len(), 3);
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
    // One that does nothing fails the run, whatever the others did.
    let step = r#"{ at = "500ms", every = "200ms", count = 2, kill = { node = "n2" }, for = "1s" }"#;
    let output = Play::of(step).run();
    assert_eq!(output.record.verdict, Verdict::Vacuous, "{:?}", output.record.faults);
}

#[test]
fn whom_a_step_draws_once_a_node_is_down_is_one_that_runs() {
    let steps = r#"{ at = "500ms", kill = { node = "n2" }, for = "2s" },
                   { when = "down:n2", kill = { node = "any" }, for = "500ms" }"#;
    let runs: Vec<_> = (1..=6).map(|seed| Play { seed, ..Play::of(steps) }.run()).collect();
    let mut drawn: Vec<String> = Vec::new();
    for output in runs {
        let [_, again] = &output.record.faults[..] else { panic!("{:?}", output.record.faults) };
        assert!(again.bit && again.nodes != ["n2"], "{again:?}");
        drawn.extend(again.nodes.iter().cloned());
    }
    assert!(drawn.contains(&"n1".to_owned()) && drawn.contains(&"n3".to_owned()), "{drawn:?}");
}
