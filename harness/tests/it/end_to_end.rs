//! From a scenario's text to the verdict: what a run concludes, and that it concludes the same again.

use std::{sync::atomic::AtomicBool, time::Duration};

use ferret::{
    history::{EventKind, PublishOutcome},
    progress::Progress,
    run::{self, RunOptions, RunOutput},
    scenario::Scenario,
};
use ferret_reports::{InvariantResult, InvariantVerdict, RunRecord, Verdict};

use super::play::{self, Play};

const PARTITION: &str = r#"{ at = "1s..1.5s", partition = { isolate = "leader:orders" }, for = "2s" }"#;

fn without_wall_time(record: RunRecord) -> RunRecord {
    RunRecord { wall_seconds: 0.0, ..record }
}

fn invariant<'a>(output: &'a RunOutput, name: &str) -> &'a InvariantResult {
    output.record.invariants.iter().find(|result| result.name == name).expect("every invariant is judged")
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let play = Play::of(PARTITION);
    let (once, again) = (play.run(), play.run());
    assert_eq!(once.history, again.history);
    assert_eq!(without_wall_time(once.record.clone()), without_wall_time(again.record));
    let other = Play { seed: 2, ..play }.run();
    assert_ne!(once.record.trace_hash, other.record.trace_hash);
}

/// A known-bad scenario of the tree: its bug is found, and nothing is found without the bug.
fn finds_its_bug(name: &str) {
    let path = format!("{}/../scenarios/known-bad/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the scenario is in the tree");
    let shorter = text.replace("[run]", "[run]\nliveness = \"5s\"");
    let bad = play::parse(&shorter);
    let output = play::run(&bad, 1);
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
    assert_eq!(output.record.sabotage.as_deref(), Some(name));
    for expected in &bad.expect.violated {
        let result = invariant(&output, expected.name());
        assert_eq!(result.verdict, InvariantVerdict::Violated);
        assert!(!result.witness.is_empty() && result.explanation.is_some(), "{result:?}");
    }

    let good = play::run(&Scenario { sabotage: None, ..bad }, 1);
    let violated: Vec<&InvariantResult> =
        good.record.invariants.iter().filter(|result| result.verdict == InvariantVerdict::Violated).collect();
    assert!(violated.is_empty(), "{violated:?}");
    assert_eq!(good.record.verdict, Verdict::Vacuous, "the expected violation is missing, and said to be");
    assert!(good.record.reasons.iter().all(|reason| reason.ends_with("should have been violated, and was not")));
}

#[test]
fn confirming_before_a_majority_is_found() {
    finds_its_bug("confirm-before-majority");
}

#[test]
fn confirming_before_the_sync_is_found() {
    finds_its_bug("confirm-before-sync");
}

#[test]
fn forgetting_a_vote_is_found() {
    finds_its_bug("forget-vote");
}

#[test]
fn redelivering_without_the_flag_is_found() {
    finds_its_bug("redeliver-without-flag");
}

#[test]
fn a_run_told_to_stop_is_incomplete_with_what_is_known() {
    let play = Play::of(PARTITION);
    let (stop, progress) = (AtomicBool::new(true), Progress::default());
    let output = run::run(&play.scenario(), 1, &RunOptions::default(), &stop, &progress);
    assert_eq!(output.record.verdict.exit_code(), 5);
    assert_eq!(output.record.reasons, ["the run was stopped before its end"]);
    let fault = &output.record.faults[0];
    assert_eq!((fault.bit, fault.effect.as_str()), (false, "the run ended before this step began"));
    assert!(matches!(output.history.events.last(), Some(event) if event.kind == EventKind::Ended));
}

#[test]
fn a_drain_that_cannot_finish_leaves_the_run_undecided() {
    let play = Play {
        run: "duration = \"2s\"",
        clients: "[[publishers]]\nname = \"pub\"\nqueue = \"orders\"\nrate = 200\nbody = \"4KiB\"",
        ..Play::default()
    };
    let mut scenario = play.scenario();
    scenario.run.drain = Duration::ZERO;
    let output = play::run(&scenario, 1);
    assert_eq!(output.record.verdict.exit_code(), 102, "{:?}", output.record.reasons);
    let liveness = invariant(&output, "liveness");
    assert_eq!(liveness.verdict, InvariantVerdict::Undecided);
    assert!(liveness.explanation.as_deref().is_some_and(|reason| reason.contains("drain")), "{liveness:?}");
}

#[test]
fn a_crossed_threshold_fails_the_run_with_its_measure() {
    let play = Play { expect: "invariants = []\nthresholds = { \"confirm.p50\" = \"< 1ms\" }", ..Play::default() };
    let output = play.run();
    assert_eq!(output.record.verdict.exit_code(), 99);
    let [threshold] = &output.record.thresholds[..] else { panic!("one threshold was asked for") };
    let measured = threshold.measured.as_deref().expect("messages were confirmed");
    assert_eq!(output.record.reasons, [format!("confirm.p50 is {measured}, not < 1ms")]);
}

#[test]
fn a_required_invariant_with_nothing_to_check_fails_the_run() {
    let play = Play { expect: "invariants = [\"durability\"]", ..Play::default() };
    let output = play.run();
    assert_eq!(invariant(&output, "durability").verdict, InvariantVerdict::Vacuous);
    assert_eq!(output.record.verdict.exit_code(), 104);
    assert_eq!(output.record.reasons, ["durability had nothing to check"]);
}

#[test]
fn times_in_the_history_are_finer_than_the_tick() {
    let play = Play {
        run: "duration = \"2s\"\ntick = \"10ms\"",
        clients: "[[publishers]]\nname = \"pub\"\ncount = 2\nqueue = \"orders\"\nrate = 125",
        ..Play::default()
    };
    let output = play.run();
    assert!(output.history.events.is_sorted_by_key(|event| event.at));
    // Each publisher has a timer of 8 ms; whoever runs later in a tick must not be told by the clock of the earlier.
    for publisher in 0..2 {
        let mut at = Vec::new();
        for event in &output.history.events {
            if let EventKind::Publish { message, .. } = &event.kind
                && message.publisher.0 == publisher
            {
                at.push(event.at.0);
            }
        }
        let apart = at.windows(2).filter(|pair| pair[1] - pair[0] == 8_000_000).count();
        assert!(apart * 10 > at.len() * 9, "{apart} of {} publishes came 8 ms after the one before", at.len());
    }
    let confirms = output
        .history
        .events
        .iter()
        .filter(|event| matches!(event.kind, EventKind::PublishOutcome { outcome: PublishOutcome::Confirmed, .. }));
    assert!(confirms.count() > 100);
}
