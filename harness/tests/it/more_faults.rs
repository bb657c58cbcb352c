//! What the faults do that worsen links, machines and clients without taking them away; and the list of all faults.

use std::collections::BTreeSet;

use ferret::{
    faults::{BEGINNINGS, CATALOGUE},
    history::EventKind,
    run::RunOutput,
};
use ferret_reports::{FaultRecord, Verdict};
use warren::platform::NodeId;

use super::play::{Play, SECOND, began, confirms, downs, ended, fault, leader, parse, reconnected};

/// The one fault, which must have done something that begins so.
fn bitten<'a>(output: &'a RunOutput, description: &str, effect: &str) -> &'a FaultRecord {
    let (fault, ..) = fault(output);
    assert!(fault.description.starts_with(description), "{fault:?}");
    assert!(fault.bit && fault.effect.starts_with(effect), "{fault:?}");
    fault
}

fn passed(output: &RunOutput) {
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?} {:?}", output.record.reasons, output.record.faults);
}

fn scenario_of(steps: &str) -> String {
    format!(
        r#"
version = 1
name = "listed"
run = {{ duration = "20s" }}
cluster = {{ nodes = 4, spares = 1 }}
queues = [{{ name = "orders" }}]
publishers = [{{ name = "pub", queue = "orders", rate = 1 }}]
consumers = [{{ name = "con", queue = "orders" }}]
timeline = {{ steps = [{steps}] }}
"#
    )
}

#[test]
fn every_action_of_the_format_is_listed_with_an_example_of_it() {
    for listed in CATALOGUE {
        // A restart needs something to undo.
        let steps = format!(r#"{{ at = "1s", kill = {{ node = "n1" }} }}, {}"#, listed.example);
        assert_eq!(parse(&scenario_of(&steps)).steps[1].action.kind(), listed.kind);
    }
    let schema = serde_json::to_value(ferret::scenario::schema()).unwrap();
    let steps = schema["$defs"]["StepTable"]["properties"].as_object().expect("the schema names the steps' keys");
    let about = ["delay", "count", "until", "for", "may-miss"];
    let keys: BTreeSet<&str> = steps.keys().map(String::as_str).filter(|key| !about.contains(key)).collect();
    assert_eq!(keys, CATALOGUE.iter().chain(BEGINNINGS).map(|listed| listed.kind).collect());
    for listed in BEGINNINGS {
        parse(&scenario_of(listed.example));
    }
}

#[test]
fn mistakes_in_these_steps_are_told() {
    for (step, message) in [
        (r#"partition = { ring = "all", isolate = "n1" }"#, "a partition has either `isolate`, `halves`, `bridge` or"),
        (r#"loss = { from = "n1", to = "n2", share = 1.5 }"#, "`share` is out of range"),
        (r#"loss = { from = "n1", share = 0.5 }"#, "`loss` lacks `to`"),
        (r#"bandwidth = { from = "n1", to = "n2", rate = "0B" }"#, "this must be one size"),
        (r#"flap = { isolate = "n1", period = "0s" }"#, "this duration is out of range"),
        (r#"clock-jump = { node = "n1" }"#, "a clock jump has either `forward` or `back`"),
        (r#"clock-jump = { node = "n1", back = "1s", forward = "1s" }"#, "a clock jump has either `forward` or `back`"),
        (r#"churn = { client = "pubs", every = "1s" }"#, "unknown client `pubs`"),
        (r#"ignore-flow = { client = "con" }"#, "`con` does not publish"),
        (r#"channel-close = { client = "pub" }"#, "`channel-close` lacks `every`"),
        (
            r#"channel-close = { client = "pub", every = "1s", how = "rude" }"#,
            "unknown way for a channel to end `rude`",
        ),
        (r#"bit-rot = { node = "n1" }, for = "1s""#, "`bit-rot` has its own end"),
        (r#"disk-error = { node = "n1", what = "sink" }"#, "unknown kind of disk error `sink`"),
        (r#"rolling-restat = { node = "n1" }"#, "unknown key `rolling-restat`"),
    ] {
        let text = scenario_of(&format!(r#"{{ at = "1s", {step} }}"#));
        let problems = ferret::scenario::Scenario::parse("play.toml", &text).expect_err(step);
        assert!(problems[0].message.starts_with(message), "{step}: {}", problems[0].message);
    }
    let ring = scenario_of(r#"{ at = "1s", partition = { ring = "all" } }"#).replace("nodes = 4", "nodes = 3");
    let problems = ferret::scenario::Scenario::parse("play.toml", &ring).expect_err("a ring of three");
    assert_eq!(problems[0].message, "a ring has four nodes at least");
}

#[test]
fn added_latency_delays_the_confirms() {
    let step = r#"{ at = "1s", latency = { from = "all", to = "all", add = "100ms..120ms" }, for = "2s" }"#;
    let output = Play::of(step).run();
    bitten(&output, "add 100ms..120ms of latency to n1, n2, n3 (all nodes)", "delayed ");
    let confirm = output.record.latency.confirm.expect("messages were confirmed");
    assert!(confirm.max_ns > SECOND / 10, "{confirm:?}");
    passed(&output);
}

#[test]
fn lost_doubled_and_overtaken_packets_harm_nobody() {
    for (step, description, effect) in [
        (r#"{ at = "1s", loss = { from = "all", to = "all", share = 0.1 }, for = "2s" }"#, "lose 10 % of ", "lost "),
        (
            r#"{ at = "1s", duplicate = { from = "all", to = "all", share = 0.25 }, for = "2s" }"#,
            "double 25 % of ",
            "doubled ",
        ),
        (
            r#"{ at = "1s", reorder = { from = "all", to = "n1", share = 0.3, delay = "20ms" }, for = "2s" }"#,
            "hold back 30 % of ",
            "held back ",
        ),
    ] {
        let output = Play::of(step).run();
        bitten(&output, description, effect);
        passed(&output);
    }
}

#[test]
fn a_narrow_link_squeezes_packets() {
    let step = r#"{ at = "1s", bandwidth = { from = "all", to = "all", rate = "20KiB" }, for = "2s" }"#;
    let output = Play::of(step).run();
    bitten(&output, "narrow n1, n2, n3 (all nodes) → ", "squeezed ");
    passed(&output);
}

#[test]
fn a_node_in_a_black_hole_is_lost_to_clients_too() {
    let play = Play {
        clients: "[[publishers]]\nname = \"alone\"\nqueue = \"orders\"\nrate = 40\nnode = \"n1\"\n\
                  [[publishers]]\nname = \"many\"\nqueue = \"orders\"\nrate = 40\nnode = \"n2\"",
        ..Play::of(r#"{ at = "1s", black-hole = { node = "n1" }, for = "2500ms" }"#)
    };
    let output = play.run();
    let fault = bitten(&output, "swallow all to and from n1 for 2.5s", "dropped ");
    assert_eq!(confirms(&output, "alone", began(fault) + SECOND / 50, ended(fault)), 0);
    assert!(confirms(&output, "many", began(fault) + 2 * SECOND, ended(fault)) > 5);
}

#[test]
fn a_flapping_node_is_cut_half_of_the_time() {
    let output = Play::of(r#"{ at = "1s", flap = { isolate = "n1", period = "400ms" }, for = "2s" }"#).run();
    bitten(&output, "cut n1 off and on, 200ms each, for 2s", "dropped ");
    passed(&output);
}

#[test]
fn a_bridge_hears_both_halves_and_they_do_not_hear_each_other() {
    let output = Play::of(r#"{ at = "1s", partition = { bridge = "n2" }, for = "2s" }"#).run();
    bitten(&output, "partition n1 | n3 with n2 as the bridge for 2s", "dropped ");
}

#[test]
fn a_ring_of_five_leaves_everybody_a_majority_and_cuts_the_rest() {
    let text = Play::of(r#"{ at = "1s", partition = { ring = "all" }, for = "2s" }"#).text();
    let output = super::play::run(&parse(&text.replace("nodes = 3", "nodes = 5")), 1);
    bitten(&output, "let each node hear only its neighbours on a ring for 2s", "dropped ");
}

#[test]
fn a_rolling_restart_takes_each_node_down_once_and_one_at_a_time() {
    let step = r#"{ at = "500ms", rolling-restart = { node = "all", down = "300ms", pause = "700ms" } }"#;
    let output = Play { run: "duration = \"6s\"", ..Play::of(step) }.run();
    bitten(&output, "restart n1, n2, n3 (all nodes) one by one, each down for 300ms", "ended 3 processes");
    let mut last_up = 0;
    for node in ["n1", "n2", "n3"] {
        let [(from, to, "killed")] = downs(&output, node)[..] else { panic!("{node} went down once") };
        assert!(from > last_up && (SECOND / 4..SECOND / 2).contains(&(to - from)), "{node}: {from}..{to}");
        last_up = to;
    }
    passed(&output);
}

#[test]
fn a_wiped_disk_is_told_with_what_it_means() {
    let output = Play::of(r#"{ at = "1s", wipe = { node = "majority" }, for = "1s" }"#).run();
    let fault = bitten(&output, "wipe the disk of ", "ended 2 processes");
    assert!(fault.effect.contains("wiped 2 disks") && fault.effect.contains("by design"), "{fault:?}");
    for node in &fault.nodes {
        assert_eq!(downs(&output, node)[0], (began(fault), ended(fault), "lost power"));
    }
}

#[test]
fn a_disk_that_is_empty_already_is_not_wiped_again() {
    let steps =
        r#"{ at = "1s", wipe = { node = "n3" }, for = "2s" }, { at = "2s", wipe = { node = "n3" }, for = "500ms" }"#;
    let output = Play::of(steps).run();
    let [first, second] = &output.record.faults[..] else { panic!("two steps: {:?}", output.record.faults) };
    assert!(first.bit && first.effect.contains("wiped 1 disk; "), "{first:?}");
    assert!(!second.bit && second.effect.contains("n3's disk was empty already"), "{second:?}");
}

#[test]
fn a_leader_with_a_slow_processor_delays_its_polls() {
    let output = Play::of(r#"{ at = "1s", slow-cpu = { node = "all", poll = "1ms" }, for = "2s" }"#).run();
    bitten(&output, "slow the processor of n1, n2, n3 (all nodes) to 1ms a step for 2s", "delayed ");
    passed(&output);
}

#[test]
fn a_node_whose_sync_fails_ends_itself_and_is_started_at_the_end() {
    for (step, description) in [
        (r#"{ at = "1s", disk-error = { node = "n2", what = "sync" }, for = "1s" }"#, "fail the syncs of n2 for 1s"),
        (r#"{ at = "1s", disk-error = { node = "n2", what = "no-space" }, for = "1s" }"#, "fill the disk of n2 for 1s"),
    ] {
        let output = Play::of(step).run();
        let fault = bitten(&output, description, "failed ");
        let down = downs(&output, "n2");
        assert!(down.len() == 1 && down[0].0 >= began(fault) && down[0].2 == "exited by itself", "{down:?}");
        passed(&output);
    }
}

#[test]
fn a_read_error_meets_a_node_that_starts() {
    let steps = r#"{ at = "1s", kill = { node = "n2" }, for = "500ms" },
                   { at = "1s", disk-error = { node = "n2", what = "read" }, for = "1s" },
                   { at = "3s", restart = { node = "n2" } }"#;
    let output = Play::of(steps).run();
    let error = output.record.faults.iter().find(|fault| fault.kind == "disk-error").expect("there is one");
    assert!(error.bit && error.effect.starts_with("failed "), "{:?}", output.record.faults);
    assert_eq!(downs(&output, "n2").len(), 2, "it could not read its log, and was started again");
}

#[test]
fn rot_and_misdirection_are_counted() {
    let output = Play::of(r#"{ at = "2s", bit-rot = { node = "n3", bits = 2 } }"#).run();
    bitten(&output, "rot 2 bits of n3", "flipped 2 bits");
    let output = Play::of(r#"{ at = "1s", misdirect = { node = "n3", writes = 2 }, for = "2s" }"#).run();
    bitten(&output, "misdirect 2 writes of n3 for 2s", "misdirected 2 sectors");
}

#[test]
fn a_node_with_a_wrong_clock_rate_reads_it() {
    for (step, description) in [
        (
            r#"{ at = "1s", clock-drift = { node = "n1", rate = 1.5 }, for = "2s" }"#,
            "run the clocks of n1 at 150 % of their rate",
        ),
        (r#"{ at = "1s", clock-freeze = { node = "n1" }, for = "1s" }"#, "stop the clocks of n1"),
    ] {
        let output = Play::of(step).run();
        bitten(&output, description, "falsified ");
        passed(&output);
    }
}

#[test]
fn the_history_tells_which_node_could_not_count_the_time() {
    for (step, tells) in [
        (r#"{ at = "1s", pause = { node = "n1" }, for = "1s" }"#, true),
        (r#"{ at = "1s", clock-freeze = { node = "n1" }, for = "1s" }"#, true),
        (r#"{ at = "1s", clock-drift = { node = "n1", rate = 0.2 }, for = "1s" }"#, true),
        (r#"{ at = "1s", slow-cpu = { node = "n1", poll = "5ms" }, for = "1s" }"#, true),
        // What no bound of a checker notices.
        (r#"{ at = "1s", clock-drift = { node = "n1", rate = 0.9 }, for = "1s" }"#, false),
        (r#"{ at = "1s", clock-drift = { node = "n1", rate = 1.5 }, for = "1s" }"#, false),
    ] {
        let output = Play::of(step).run();
        let (_, began, ended) = fault(&output);
        let told: Vec<_> = output
            .history
            .events
            .iter()
            .filter_map(|event| match event.kind {
                EventKind::Slowed { node } => Some((node, event.at.0, true)),
                EventKind::UpToSpeed { node } => Some((node, event.at.0, false)),
                _ => None,
            })
            .collect();
        let expected = [(NodeId(1), began, true), (NodeId(1), ended, false)];
        assert_eq!(told, if tells { &expected[..] } else { &[] }, "{step}");
    }
}

#[test]
fn a_wall_clock_that_nobody_reads_may_jump() {
    for step in [
        r#"{ at = "1s", clock-jump = { node = "n1", back = "5min" }, for = "1s" }"#,
        r#"{ at = "1s", clock-freeze = { node = "n1", what = "wall" }, for = "1s" }"#,
    ] {
        let output = Play::of(step).run();
        let (fault, ..) = fault(&output);
        let told = fault.effect.starts_with("nothing: nobody read the ") && fault.effect.contains("clock meanwhile");
        assert!(!fault.bit && told, "{fault:?}");
        assert_eq!(output.record.verdict, Verdict::Vacuous);
    }
}

#[test]
fn slow_consumers_take_less_and_lose_nothing() {
    let output = Play::of(r#"{ at = "1s", slow-consumer = { client = "con", poll = "50ms" }, for = "2s" }"#).run();
    bitten(&output, "slow the con clients to 50ms a step for 2s", "delayed ");
    passed(&output);
}

#[test]
fn clients_that_crash_leave_unknowns_behind_and_come_back() {
    for (step, crashed) in [
        (r#"{ at = "1s", client-crash = { client = "con" }, for = "1s" }"#, 2),
        (r#"{ at = "1s", client-crash = { client = "pub" }, for = "1s" }"#, 3),
    ] {
        let output = Play::of(step).run();
        let fault = bitten(&output, "crash the ", &format!("crashed {crashed} clients"));
        assert_eq!(reconnected(&output, began(fault), ended(fault)).len(), 0, "they are gone meanwhile");
        assert_eq!(reconnected(&output, ended(fault), ended(fault) + SECOND).len(), crashed, "and come back");
        passed(&output);
    }
}

#[test]
fn churning_clients_come_back_each_time() {
    let output = Play::of(r#"{ at = "1s", churn = { client = "con", every = "500ms" }, for = "2s" }"#).run();
    let fault = bitten(&output, "break the connections of the con clients every 500ms for 2s", "reset ");
    assert!(!leader(&output, began(fault)).is_empty());
    passed(&output);
}
