//! What faults do to publishers: channels that end behind open publishes, and publishers that do not hold back.

use std::collections::BTreeSet;

use ferret::{
    history::{EventKind, PublishOutcome},
    run::RunOutput,
    scenario::{Invariant, Scenario},
};
use ferret_reports::{InvariantVerdict, Verdict};
use warren::platform::{Observation, Sabotage};

use super::play::{Play, began, ended, fault, parse, run};

fn passed(output: &RunOutput) {
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?} {:?}", output.record.reasons, output.record.faults);
}

/// Why the publishers' channels ended while the fault was under way.
fn ends(output: &RunOutput) -> Vec<&str> {
    let (fault, ..) = fault(output);
    let ends = output.history.events.iter().filter(|event| (began(fault)..=ended(fault)).contains(&event.at.0));
    let reasons = ends.filter_map(|event| match &event.kind {
        EventKind::ChannelLost { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    reasons.collect()
}

/// From which sockets the first publisher's channels came, one for each channel.
fn sockets(output: &RunOutput) -> Vec<&str> {
    let opened = output.history.events.iter().filter_map(|event| match &event.kind {
        EventKind::Observed { observation: Observation::ChannelOpened { client, .. }, .. } => Some(client.as_str()),
        _ => None,
    });
    opened.filter(|client| client.starts_with("pub-1:")).collect()
}

fn with_bug(scenario: Scenario, bug: Sabotage) -> Scenario {
    Scenario { sabotage: Some(bug), ..scenario }
}

fn verdict(output: &RunOutput, invariant: Invariant) -> InvariantVerdict {
    let mut results = output.record.invariants.iter();
    results.find(|result| result.name == invariant.name()).expect("each invariant has a result").verdict
}

#[test]
fn a_channel_that_its_client_closes_comes_back_on_the_same_connection_under_the_same_number() {
    let step = r#"{ at = "1s", channel-close = { client = "pub", every = "400ms" }, for = "2s" }"#;
    let output = Play::of(step).run();
    let (fault, ..) = fault(&output);
    assert_eq!(fault.description, "close the channels of the pub clients every 400ms for 2s");
    assert_eq!(fault.effect, "ended 15 channels");
    assert_eq!(ends(&output), ["closed by its client"; 15]);
    let sockets = sockets(&output);
    assert_eq!((sockets.len(), sockets.iter().collect::<BTreeSet<_>>().len()), (6, 1), "{sockets:?}");
    assert!(!output.record.sometimes.iter().any(|one| one.name == "reconnected" && one.count > 0));
    passed(&output);
}

#[test]
fn of_two_faults_that_end_the_same_channels_side_by_side_the_second_is_told_that_the_first_did_it() {
    let step = r#"{ at = "1s", channel-close = { client = "pub", every = "400ms" }, for = "2s" },
                  { at = "1s", channel-close = { client = "pub", every = "400ms" }, for = "2s" }"#;
    let output = Play::of(step).run();
    let [first, second] = &output.record.faults[..] else { panic!("two steps") };
    assert_eq!(first.effect, "ended 15 channels");
    assert_eq!((second.bit, second.effect.as_str()), (false, "nothing: another fault did the same all the while"));
}

#[test]
fn a_channel_that_the_broker_closes_takes_the_publishes_behind_with_it_and_comes_back() {
    let step = r#"{ at = "1s", channel-close = { client = "pub", every = "400ms", how = "error" }, for = "2s" }"#;
    let play = Play {
        clients: "[[publishers]]\nname = \"pub\"\nqueue = \"orders\"\nrate = 2000\n\
                  [[consumers]]\nname = \"con\"\nqueue = \"orders\"",
        ..Play::of(step)
    };
    let output = play.run();
    let (fault, ..) = fault(&output);
    assert_eq!(fault.description, "have the channels of the pub clients closed every 400ms for 2s");
    assert!(fault.bit && fault.effect.starts_with("ended "), "{fault:?}");
    let ends = ends(&output);
    assert!(!ends.is_empty() && ends.iter().all(|reason| reason.starts_with("channel closed: 404 ")), "{ends:?}");
    assert_eq!(sockets(&output).iter().collect::<BTreeSet<_>>().len(), 1);
    // What was sent before the mistake is kept, whether confirmed or not; what was sent behind it is dropped.
    let (mut unknown, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for event in &output.history.events {
        match &event.kind {
            EventKind::PublishOutcome { message, outcome: PublishOutcome::Unknown } => drop(unknown.insert(*message)),
            EventKind::Deliver { delivery, .. } => seen.extend(delivery.message),
            _ => {}
        }
    }
    assert!(unknown.difference(&seen).count() >= ends.len(), "{} unknown, {} seen", unknown.len(), seen.len());
    passed(&output);
}

#[test]
fn a_message_that_breaks_off_costs_its_connection_and_reaches_nobody() {
    let step = r#"{ at = "1s", channel-close = { client = "pub", every = "400ms", how = "half" }, for = "2s" }"#;
    let output = Play::of(step).run();
    let (fault, ..) = fault(&output);
    assert_eq!(fault.description, "break off messages of the pub clients every 400ms for 2s");
    assert!(fault.bit && fault.effect.starts_with("ended "), "{fault:?}");
    let ends = ends(&output);
    assert!(!ends.is_empty() && ends.iter().all(|reason| reason.starts_with("connection closed: 505 ")), "{ends:?}");
    let sockets = sockets(&output);
    assert_eq!(sockets.len(), sockets.iter().collect::<BTreeSet<_>>().len(), "each time another connection");
    passed(&output);
}

#[test]
fn a_channel_that_counts_on_from_the_one_before_it_is_found_out() {
    let step = r#"{ at = "1s", channel-close = { client = "pub", every = "400ms" }, for = "2s" }"#;
    let output = run(&with_bug(Play::of(step).scenario(), Sabotage::TagsGoOn), 1);
    assert_eq!(verdict(&output, Invariant::ConfirmProtocol), InvariantVerdict::Violated);
}

/// One publisher that is quicker than the disks, which stall; the broker stops it at so many bytes.
fn behind(steps: &'static str, window: &str) -> Scenario {
    let play = Play {
        run: "duration = \"4s\"",
        clients: "[[publishers]]\nname = \"pub\"\nqueue = \"orders\"\nrate = 1000\nbody = \"1KiB\"\n\
                  [[consumers]]\nname = \"con\"\nqueue = \"orders\"",
        steps,
        ..Play::default()
    };
    let text = play.text().replace("nodes = 3", "nodes = 3\nbacklog = \"64KiB\"");
    parse(&text.replace("rate = 1000", &format!("rate = 1000\nin-flight = {window}")))
}

/// How many publishes were made in the second in which no disk synced.
fn published_meanwhile(output: &RunOutput) -> usize {
    let stall = &output.record.faults[0];
    let meanwhile = output.history.events.iter().filter(|event| (began(stall)..ended(stall)).contains(&event.at.0));
    meanwhile.filter(|event| matches!(event.kind, EventKind::Publish { .. })).count()
}

const STALL: &str = r#"{ at = "1s", disk-stall = { node = "all" }, for = "1s" }"#;
const STALL_AND_FLOOD: &str = r#"{ at = "1s", disk-stall = { node = "all" }, for = "1s" },
    { at = "1s", ignore-flow = { client = "pub" }, for = "1s" }"#;

#[test]
fn a_publisher_holds_back_when_the_broker_asks_it_to_and_goes_on_if_it_ignores_that() {
    let obedient = run(&behind(STALL, "100000"), 1);
    let meanwhile = published_meanwhile(&obedient);
    assert!((30..100).contains(&meanwhile), "64 KiB and what was under way, not {meanwhile} messages");
    passed(&obedient);
    let ignorant = run(&behind(STALL_AND_FLOOD, "100000"), 1);
    assert!(published_meanwhile(&ignorant) > 900, "a thousand a second, whatever it was told");
    let fault = &ignorant.record.faults[1];
    assert_eq!(fault.description, "let the pub clients send without holding back for 1s");
    assert!(fault.bit && fault.effect.starts_with("forced 9"), "{fault:?}");
    passed(&ignorant);
}

#[test]
fn a_publisher_that_ignores_flow_ignores_its_own_window_too() {
    let patient = run(&behind(STALL, "5"), 1);
    assert!(published_meanwhile(&patient) <= 10);
    let output = run(&behind(STALL_AND_FLOOD, "5"), 1);
    assert!(published_meanwhile(&output) > 900);
    passed(&output);
}

#[test]
fn a_publisher_that_need_not_hold_back_has_nothing_to_ignore() {
    let output = run(&behind(r#"{ at = "1s", ignore-flow = { client = "pub" }, for = "1s" }"#, "100000"), 1);
    let (fault, ..) = fault(&output);
    assert_eq!((fault.bit, fault.effect.as_str()), (false, "nothing: no such client had to hold back"));
    assert_eq!(output.record.verdict, Verdict::Vacuous);
}

#[test]
fn a_publisher_that_is_blocked_for_ever_is_missed() {
    let output = run(&with_bug(behind(STALL, "100000"), Sabotage::UnblockedSwallowed), 1);
    assert_eq!(verdict(&output, Invariant::Liveness), InvariantVerdict::Violated);
}

#[test]
fn a_broker_that_drops_what_waits_for_a_blocked_channel_is_found_out() {
    let output = run(&with_bug(behind(STALL_AND_FLOOD, "100000"), Sabotage::BlockedDropped), 1);
    assert_eq!(verdict(&output, Invariant::NoConfirmedLoss), InvariantVerdict::Violated);
}
