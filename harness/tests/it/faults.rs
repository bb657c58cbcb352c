//! What each action of a timeline does, as recorded and as felt; and that what did nothing says so.

use ferret::history::EventKind;
use ferret_reports::{FaultRecord, Verdict};

use super::play::{Play, SECOND, began, confirms, connected, downs, ended, fault, leader, reconnected};

fn assert_bit(fault: &FaultRecord, effect: &str) {
    assert!(fault.bit && fault.effect.starts_with(effect), "{fault:?}");
}

/// The nodes other than `node`, as a list.
fn others(node: &str) -> String {
    ["n1", "n2", "n3"].into_iter().filter(|other| *other != node).collect::<Vec<_>>().join(", ")
}

#[test]
fn an_isolated_leader_loses_the_queue_to_the_others() {
    let output = Play::of(r#"{ at = "1s", partition = { isolate = "leader:orders" }, for = "3s" }"#).run();
    let (fault, began, ended) = fault(&output);
    let old = leader(&output, began);
    assert_eq!(fault.description, format!("isolate {old} (leader of orders) from {} for 3s", others(old)));
    assert_eq!(output.history.faults.join("; "), fault.description);
    assert_eq!((&fault.nodes[..], ended - began), (&[old.to_owned()][..], 3 * SECOND));
    assert_bit(fault, "dropped ");
    assert_ne!(leader(&output, ended), old);
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn the_smaller_part_of_a_partition_confirms_nothing() {
    let play = Play {
        clients: "[[publishers]]\nname = \"alone\"\nqueue = \"orders\"\nrate = 40\nnode = \"n1\"\n\
                  [[publishers]]\nname = \"many\"\nqueue = \"orders\"\nrate = 40\nnode = \"n2\"",
        ..Play::of(r#"{ at = "1s", partition = { halves = [["n1"], ["n2", "n3"]] }, for = "3s" }"#)
    };
    let output = play.run();
    let (fault, began, ended) = fault(&output);
    assert_eq!(fault.description, "partition n1 | n2, n3 for 3s");
    assert_eq!(fault.nodes, ["n1", "n2", "n3"]);
    assert_bit(fault, "dropped ");
    assert_eq!(confirms(&output, "alone", began + SECOND / 50, ended), 0);
    assert!(confirms(&output, "many", began + 2 * SECOND, ended) > 20);
}

#[test]
fn a_leader_that_nobody_hears_is_replaced() {
    let output = Play::of(r#"{ at = "1s", one-way = { from = "leader:orders", to = "all" }, for = "3s" }"#).run();
    let (fault, began, ended) = fault(&output);
    let old = leader(&output, began);
    assert_eq!(fault.description, format!("cut {old} (leader of orders) → {}, one way, for 3s", others(old)));
    assert_bit(fault, "dropped ");
    assert_ne!(leader(&output, ended), old);
}

#[test]
fn a_killed_node_is_down_for_so_long_and_its_clients_go_elsewhere() {
    let output = Play::of(r#"{ at = "1s", kill = { node = "n1" }, for = "2s" }"#).run();
    let (fault, began, ended) = fault(&output);
    assert_eq!((fault.description.as_str(), ended - began), ("kill n1 for 2s", 2 * SECOND));
    assert_eq!((fault.effect.as_str(), fault.bit), ("ended 1 process", true));
    assert_eq!(downs(&output, "n1"), [(began, ended, "killed")]);
    let lost = connected(&output, "n1", began);
    assert!(!lost.is_empty());
    assert_eq!(reconnected(&output, began, ended), lost);
}

#[test]
fn a_power_loss_darkens_the_node_and_takes_what_was_not_synced() {
    let output = Play::of(r#"{ at = "1s", power-loss = { node = "followers:orders" }, for = "1s" }"#).run();
    let (fault, began, ended) = fault(&output);
    assert!(fault.description.starts_with("cut the power of "), "{fault:?}");
    assert!(fault.description.ends_with(" (followers of orders) for 1s"), "{fault:?}");
    assert_bit(fault, "ended 2 processes");
    for node in &fault.nodes {
        assert_eq!(downs(&output, node), [(began, ended, "lost power")]);
    }
    assert_eq!(confirms(&output, "pub", began + SECOND / 50, ended), 0, "no majority was left");
}

#[test]
fn nothing_is_confirmed_while_a_majority_of_disks_does_not_sync() {
    let output = Play::of(r#"{ at = "1s", disk-stall = { node = "majority", what = "sync" }, for = "2s" }"#).run();
    let (fault, began, ended) = fault(&output);
    assert_eq!(fault.description, format!("stall the syncs of {} (a majority) for 2s", fault.nodes.join(", ")));
    assert_bit(fault, "held ");
    assert_eq!(confirms(&output, "pub", began + SECOND / 50, ended), 0);
    assert!(output.record.latency.unavailable_max_ns > 19 * SECOND / 10);
}

#[test]
fn a_stalled_disk_holds_writes_too() {
    let output = Play::of(r#"{ at = "1s", disk-stall = { node = "all", what = "all" }, for = "2s" }"#).run();
    let (fault, began, ended) = fault(&output);
    assert_eq!(fault.description, "stall the disk of n1, n2, n3 (all nodes) for 2s");
    assert_bit(fault, "held ");
    assert_eq!(confirms(&output, "pub", began + SECOND / 50, ended), 0);
}

#[test]
fn slow_disks_make_slow_confirms() {
    let output = Play::of(r#"{ at = "1s", disk-slow = { node = "all", sync = "200ms" }, for = "2s" }"#).run();
    let (fault, ..) = fault(&output);
    assert_eq!(fault.description, "slow each sync of n1, n2, n3 (all nodes) by 200ms for 2s");
    assert_bit(fault, "slowed ");
    let confirm = output.record.latency.confirm.expect("messages were confirmed");
    assert!(confirm.p50_ns < SECOND / 5 && confirm.max_ns > SECOND / 5, "{confirm:?}");
}

#[test]
fn a_reset_node_loses_its_connections_and_nothing_else() {
    let output = Play::of(r#"{ at = "1s", reset = { node = "n1" } }"#).run();
    let (fault, began, ended) = fault(&output);
    assert_eq!((fault.description.as_str(), began), ("reset the connections of n1", ended));
    assert_bit(fault, "reset ");
    let lost = connected(&output, "n1", began);
    assert!(!lost.is_empty());
    assert_eq!(reconnected(&output, began, began + SECOND), lost);
    assert!(output.record.timeline.down.is_empty());
}

#[test]
fn resetting_a_group_of_clients_resets_all_of_it_and_no_other() {
    let output = Play::of(r#"{ at = "1s", reset = { client = "pub" } }"#).run();
    let (fault, began, _) = fault(&output);
    assert_eq!(fault.description, "reset the connections of the pub clients");
    assert_eq!((fault.effect.as_str(), fault.bit), ("reset 3 connections", true));
    assert_eq!(reconnected(&output, began, began + SECOND), ["pub-1", "pub-2", "pub-3"]);
}

#[test]
fn a_paused_leader_is_silent_and_replaced() {
    let output = Play::of(r#"{ at = "1s", pause = { node = "leader:orders" }, for = "3s" }"#).run();
    let (fault, began, ended) = fault(&output);
    let old = leader(&output, began);
    assert_eq!(fault.description, format!("pause {old} (leader of orders) for 3s"));
    assert_bit(fault, "held ");
    assert_ne!(leader(&output, ended), old);
    let spoke = output.history.events.iter().any(|event| {
        (began + 1..ended).contains(&event.at.0)
            && matches!(&event.kind, EventKind::Observed { node, .. } if node.to_string() == old)
    });
    assert!(!spoke, "a paused process observes nothing");
}

#[test]
fn a_heal_ends_what_is_under_way_and_starts_what_is_down() {
    let output = Play::of(
        r#"{ at = "1s", partition = { isolate = "n1" } },
           { at = "1s", kill = { node = "n2" } },
           { at = "2.5s", heal = "all" }"#,
    )
    .run();
    let [partition, kill, heal] = &output.record.faults[..] else { panic!("three steps") };
    assert_eq!((ended(partition), ended(kill), ended(heal)), (began(heal), began(heal), began(heal)));
    assert_eq!((heal.effect.as_str(), heal.bit), ("ended 2 faults, started 1 node", true));
    assert_eq!(partition.description, "isolate n1 from n2, n3");
    assert_eq!(downs(&output, "n2"), [(began(kill), began(heal), "killed")]);
    assert_bit(partition, "dropped ");
}

#[test]
fn a_restart_ends_the_kill_that_it_undoes() {
    let output = Play::of(r#"{ at = "1s", kill = { node = "n3" } }, { at = "2s", restart = { node = "n3" } }"#).run();
    let [kill, restart] = &output.record.faults[..] else { panic!("two steps") };
    assert_eq!(ended(kill), began(restart));
    assert_eq!((restart.description.as_str(), restart.effect.as_str()), ("restart n3", "started 1 node"));
    assert_eq!(downs(&output, "n3"), [(began(kill), began(restart), "killed")]);
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn a_fault_under_way_when_the_load_stops_is_healed_then_and_recorded() {
    let output = Play::of(
        r#"{ at = "2s", disk-stall = { node = "one-follower:orders" }, for = "1min" },
           { at = "3.5s", pause = { node = "n2" } }"#,
    )
    .run();
    let stopped = output.record.timeline.load_stopped_ns.expect("the load stopped");
    for fault in &output.record.faults {
        assert_eq!(ended(fault), stopped);
        assert_bit(fault, "held ");
    }
    assert!(output.record.faults[0].description.ends_with(" (follower of orders) for 1min"));
}

/// Each of the last eight steps can do nothing when it comes.
const WITHOUT_EFFECT: &str = r#"
    { at = "1s", kill = { node = "n3" }, for = "3s" },
    { at = "500ms", heal = "all", MISS },
    { at = "1.5s", restart = { node = "n1" }, MISS },
    { at = "2s", kill = { node = "n3" }, for = "500ms", MISS },
    { at = "2s", pause = { node = "n3" }, for = "500ms", MISS },
    { at = "2s", disk-stall = { node = "n3", what = "all" }, for = "500ms", MISS },
    { at = "2s", reset = { node = "n3" }, MISS },
    { at = "2s", one-way = { from = ["n1", "n1"], to = "n1" }, for = "500ms", MISS },
    { at = "2s", partition = { isolate = "all" }, for = "500ms", MISS },
"#;

#[test]
fn a_fault_that_did_nothing_fails_the_run_by_name() {
    let steps: &'static str = WITHOUT_EFFECT.replace(", MISS", "").leak();
    let output = Play::of(steps).run();
    let mut faults = output.record.faults.clone();
    faults.sort_by_key(|fault| fault.step);
    let told: Vec<(bool, &str)> = faults.iter().map(|fault| (fault.bit, fault.effect.as_str())).collect();
    assert_eq!(
        told,
        [
            (true, "ended 1 process"),
            (false, "nothing: no fault was under way and no node was down"),
            (false, "n1 was running already"),
            (false, "n3 was down already"),
            (false, "n3 was down"),
            (false, "nothing: no disk operation came meanwhile"),
            (false, "nothing: no connection was established"),
            (false, "nothing: no packet came that way"),
            (false, "nothing: no packet came that way"),
        ]
    );
    assert_eq!(downs(&output, "n3"), [(began(&faults[0]), ended(&faults[0]), "killed")], "the other kill is void");
    assert_eq!(output.record.verdict.exit_code(), 104);
    assert_eq!(output.record.reasons.len(), 8);
    assert!(
        output
            .record
            .reasons
            .contains(&format!("step 3 (restart, line {}) had no effect: n1 was running already", faults[2].line))
    );
}

#[test]
fn a_fault_that_may_miss_does_not_fail_the_run() {
    let steps: &'static str = WITHOUT_EFFECT.replace("MISS", "may-miss = true").leak();
    let output = Play::of(steps).run();
    assert_eq!(output.record.faults.iter().filter(|fault| !fault.bit).count(), 8);
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn of_two_stalls_that_end_together_the_second_has_held_nothing() {
    let output = Play::of(
        r#"{ at = "1s", disk-stall = { node = "all" }, for = "2s" },
           { at = "1500ms", disk-stall = { node = "all" }, for = "1500ms" }"#,
    )
    .run();
    let [first, second] = &output.record.faults[..] else { panic!("two steps") };
    assert_bit(first, "held ");
    assert_eq!((second.bit, second.effect.as_str()), (false, "nothing: another fault did the same all the while"));
}

#[test]
fn a_disk_stays_stalled_when_another_fault_on_it_ends() {
    let output = Play::of(
        r#"{ at = "1s", disk-stall = { node = "all" }, for = "2s" },
           { at = "1.5s", disk-slow = { node = "all", sync = "50ms" }, for = "500ms" },
           { at = "2.5s", disk-stall = { node = "all" }, for = "1500ms" }"#,
    )
    .run();
    let [first, slow, second] = &output.record.faults[..] else { panic!("three steps") };
    assert_bit(first, "held ");
    assert_eq!((slow.bit, slow.effect.as_str()), (false, "nothing: another fault did the same all the while"));
    assert_bit(second, "held ");
    assert_eq!(confirms(&output, "pub", began(first) + SECOND / 50, ended(second)), 0);
}

#[test]
fn a_link_stays_cut_and_a_process_paused_until_the_last_fault_ends() {
    let output = Play::of(
        r#"{ at = "1s", partition = { isolate = "n1" }, for = "1500ms" },
           { at = "1.5s", one-way = { from = "n1", to = "n2" }, for = "500ms" },
           { at = "2s", partition = { isolate = "n1" }, for = "1500ms" },
           { at = "1s", pause = { node = "n3" }, for = "1500ms" },
           { at = "2s", pause = { node = "n3" }, for = "1500ms" }"#,
    )
    .run();
    let mut faults = output.record.faults.clone();
    faults.sort_by_key(|fault| fault.step);
    let bit: Vec<bool> = faults.iter().map(|fault| fault.bit).collect();
    assert_eq!(bit, [true, false, true, true, true], "{faults:?}");
    let applied = |node: &str| {
        let events = output.history.events.iter();
        let within = events.filter(|event| (began(&faults[0]) + SECOND / 10..ended(&faults[4])).contains(&event.at.0));
        within
            .filter(|event| matches!(&event.kind, EventKind::Observed { node: who, .. } if who.to_string() == node))
            .count()
    };
    assert_eq!(applied("n3"), 0, "paused from the first fault's beginning to the last one's end");
    assert_eq!(
        confirms(&output, "pub", began(&faults[0]) + SECOND / 10, ended(&faults[2])),
        0,
        "nobody has a majority"
    );
}

#[test]
fn a_node_that_lost_power_is_not_started_by_the_end_of_a_kill() {
    let output = Play::of(
        r#"{ at = "1s", kill = { node = "n1" }, for = "1s" },
           { at = "1.5s", power-loss = { node = "n1" }, for = "2s", may-miss = true }"#,
    )
    .run();
    let [kill, power] = &output.record.faults[..] else { panic!("two steps") };
    assert_eq!(downs(&output, "n1"), [(began(kill), ended(power), "killed")]);
    assert_eq!(ended(kill) - began(kill), SECOND);
    assert!(power.effect.contains("n1 was down already"), "{power:?}");
    assert_eq!(power.bit, power.effect.starts_with("lost "), "it bit only if there was something to lose");
}

#[test]
fn a_step_waits_for_its_leader_and_does_not_hold_up_the_next() {
    let output = Play {
        run: "duration = \"6s\"",
        ..Play::of(
            r#"{ at = "1s", kill = { node = "all" } },
               { at = "2s", pause = { node = "leader:orders" }, for = "500ms" },
               { at = "3s", restart = { node = "all" } }"#,
        )
    }
    .run();
    let [kill, pause, restart] = &output.record.faults[..] else { panic!("three steps") };
    assert_eq!(began(restart) - began(kill), 2 * SECOND);
    assert!(began(pause) > began(restart), "it waited for a leader");
    assert_bit(pause, "held ");
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn a_step_whose_leader_never_comes_had_no_effect() {
    let output = Play::of(
        r#"{ at = "1s", kill = { node = "all" } },
           { at = "2s", kill = { node = "leader:orders" } }"#,
    )
    .run();
    let missed = &output.record.faults[1];
    assert_eq!((missed.bit, missed.began_ns), (false, None));
    assert_eq!(missed.effect, "the run ended before this step began: orders had no leader");
    assert_eq!(output.record.verdict, Verdict::Vacuous);
}
