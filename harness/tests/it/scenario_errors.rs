//! What a mistake in a scenario file looks like, one snapshot per kind of mistake.

use ferret::{
    cli::{Style, render_problem},
    scenario::Scenario,
};

const VALID: &str = r#"version = 1
name = "sample"

[run]
duration = "60s"

[cluster]
nodes = 3

[[queues]]
name = "orders"

[[publishers]]
name = "pub"
queue = "orders"
rate = 100

[[consumers]]
name = "con"
queue = "orders"

[timeline]
steps = [
  { at = "5s", partition = { isolate = "leader:orders" }, for = "6s" },
]

[expect]
invariants = ["all"]
"#;

/// All messages about the valid scenario with `good` replaced by `bad`.
fn broken(good: &str, bad: &str) -> String {
    assert!(VALID.contains(good), "the valid scenario has no {good:?}");
    messages(&VALID.replacen(good, bad, 1))
}

fn messages(text: &str) -> String {
    let problems = Scenario::parse("sample.toml", text).expect_err("the scenario is invalid");
    let texts: Vec<String> = problems.iter().map(|problem| render_problem(problem, Style::PLAIN)).collect();
    texts.join("\n")
}

#[test]
fn the_scenario_that_the_mistakes_are_made_in_is_valid() {
    assert!(Scenario::parse("sample.toml", VALID).is_ok());
}

macro_rules! mistakes {
    ($($test:ident: $good:expr => $bad:expr;)+) => {
        $(
            #[test]
            fn $test() {
                insta::assert_snapshot!(broken($good, $bad));
            }
        )+
    };
}

mistakes! {
    a_body_without_room_for_a_name_is_refused: "rate = 100" => "rate = 100\nbody = \"32B..1KiB\"";
    a_misspelt_key_is_named_with_the_key_that_was_meant: "rate = 100" => "raet = 100";
    a_misspelt_table_is_named_with_the_table_that_was_meant: "[[publishers]]" => "[[publisher]]";
    a_misspelt_action_is_named_once: "partition =" => "partitoin =";
    an_unknown_key_lists_what_is_known: "nodes = 3" => "nodes = 3\nzebra = true";
    a_wrong_duration_is_shown_as_it_should_be_written: "at = \"5s\"" => "at = \"5 sec\"";
    a_duration_without_a_unit_is_refused: "duration = \"60s\"" => "duration = \"60\"";
    a_number_where_a_duration_belongs_is_refused: "duration = \"60s\"" => "duration = 60";
    a_range_that_ends_before_it_begins_is_refused: "at = \"5s\"" => "at = \"5s..3s\"";
    an_unknown_target_is_named_with_the_target_that_was_meant: "leader:orders" => "leder:orders";
    a_target_without_its_queue_is_completed: "leader:orders" => "leader";
    a_node_beyond_the_cluster_is_refused: "leader:orders" => "n4";
    an_unknown_queue_in_a_target_is_refused: "leader:orders" => "leader:ordres";
    an_unknown_queue_of_a_client_is_refused: "queue = \"orders\"" => "queue = \"order\"";
    two_actions_in_one_step_are_refused: "for = \"6s\"" => "for = \"6s\", kill = { node = \"n1\" }";
    a_step_without_an_action_is_refused: ", partition = { isolate = \"leader:orders\" }" => "";
    a_partition_without_its_kind_is_refused: "{ isolate = \"leader:orders\" }" => "{}";
    overlapping_parts_of_a_partition_are_refused:
        "{ isolate = \"leader:orders\" }" => "{ halves = [[\"n1\", \"n2\"], [\"n2\", \"n3\"]] }";
    two_groups_of_clients_of_one_name_are_refused: "name = \"con\"" => "name = \"pub\"";
    two_queues_of_one_name_are_refused:
        "[[publishers]]" => "[[queues]]\nname = \"orders\"\n\n[[publishers]]";
    a_number_out_of_range_is_refused: "nodes = 3" => "nodes = 9";
    a_group_larger_than_the_cluster_is_refused: "name = \"orders\"" => "name = \"orders\"\ngroup-size = 5";
    a_negative_rate_is_refused: "rate = 100" => "rate = -5";
    a_heal_cannot_last: "partition = { isolate = \"leader:orders\" }" => "heal = \"all\"";
    an_unknown_invariant_is_named_with_the_one_that_was_meant: "[\"all\"]" => "[\"no-confirmed-los\"]";
    a_step_after_the_end_of_the_run_is_refused: "at = \"5s\"" => "at = \"75s\"";
    a_restart_of_nothing_is_refused:
        "partition = { isolate = \"leader:orders\" }, for = \"6s\"" => "restart = { node = \"n1\" }";
    a_wrong_type_is_refused: "nodes = 3" => "nodes = \"three\"";
    a_missing_key_is_named_with_an_example: "rate = 100\n" => "";
    an_unknown_planted_bug_is_refused: "name = \"sample\"" => "name = \"sample\"\nsabotage = \"confirm-before-sink\"";
    an_unknown_version_is_refused: "version = 1" => "version = 2";
    a_threshold_without_a_comparison_is_refused:
        "invariants = [\"all\"]" => "thresholds = { \"confirm.p99\" = \"400ms\" }";
    an_unknown_metric_is_named_with_the_one_that_was_meant:
        "invariants = [\"all\"]" => "thresholds = { \"confirm.p98\" = \"< 400ms\" }";
    a_reset_of_an_unknown_client_is_refused:
        "partition = { isolate = \"leader:orders\" }, for = \"6s\"" => "reset = { client = \"pubs\" }";
    what_is_expected_to_hold_cannot_be_expected_to_be_violated:
        "invariants = [\"all\"]" => "invariants = [\"prefetch\"]\nviolated = [\"prefetch\"]";
    a_step_that_never_begins_is_refused: "at = \"5s\", " => "";
    a_step_with_two_beginnings_is_refused: "at = \"5s\"" => "at = \"5s\", when = \"leader-changed:orders\"";
    an_unknown_event_is_named_with_the_one_that_was_meant: "at = \"5s\"" => "when = \"leader-chnged:orders\"";
    an_event_without_whom_it_happens_to_is_completed: "at = \"5s\"" => "when = \"redelivered\"";
    an_event_of_an_unknown_queue_is_refused: "at = \"5s\"" => "when = \"leader-changed:ordres\"";
    an_event_of_a_node_beyond_the_cluster_is_refused: "at = \"5s\"" => "when = \"restarted:n5\"";
    an_event_of_an_unknown_client_is_refused: "at = \"5s\"" => "when = \"reconnected:cno\"";
    a_count_of_nothing_is_refused: "at = \"5s\"" => "after = {}";
    a_count_of_two_things_is_refused: "at = \"5s\"" => "after = { confirmed = 5, acked = 5 }";
    a_count_of_something_unknown_is_named_with_what_was_meant: "at = \"5s\"" => "after = { confirms = 5 }";
    a_trigger_is_not_repeated: "at = \"5s\"" => "after = { confirmed = 5 }, every = \"5s\"";
    a_time_has_no_delay: "at = \"5s\"" => "at = \"5s\", delay = \"1s\"";
    a_count_without_every_is_refused: "at = \"5s\"" => "at = \"5s\", count = 3";
    more_repetitions_than_fit_are_refused: "at = \"5s\"" => "at = \"5s\", every = \"10s\", count = 7";
    a_step_repeated_all_the_time_is_refused: "at = \"5s\"" => "every = \"1ms\"";
    a_repetition_that_ends_before_it_begins_is_refused:
        "at = \"5s\"" => "at = \"5s\", every = \"1s\", until = \"4s\"";
    a_lock_that_others_use_is_refused:
        "[timeline]" => "[[lockers]]\nname = \"locker\"\nqueue = \"orders\"\n\n[timeline]";
    a_consumer_of_a_lock_does_not_try_again:
        "[[publishers]]" => "[[queues]]\nname = \"lock\"\n[[lockers]]\nname = \"locker\"\nqueue = \"lock\"\ntake = \"consume\"\nretry = \"1s\"\n\n[[publishers]]";
    an_unknown_way_to_take_a_lock_is_named_with_the_one_that_was_meant:
        "[[publishers]]" => "[[queues]]\nname = \"lock\"\n[[lockers]]\nname = \"locker\"\nqueue = \"lock\"\ntake = \"cosume\"\n\n[[publishers]]";
    an_unknown_matching_bug_is_named_with_the_one_that_was_meant:
        "name = \"sample\"" => "name = \"sample\"\nmatching-sabotage = \"commit-alne\"";
    an_unknown_fault_of_the_swarm_is_named_with_the_one_that_was_meant:
        "[timeline]" => "[swarm]\nfaults = [\"partition\", \"power-los\"]\n[timeline]";
    a_swarm_that_can_draw_nothing_beside_own_steps_is_refused:
        "[timeline]" => "[swarm]\nfaults = [\"bit-rot\"]\n[timeline]";
    a_swarm_that_can_draw_nothing_of_small_queues_is_refused:
        "name = \"orders\"" => "name = \"orders\"\ngroup-size = 1\n[swarm]\nfaults = [\"wipe\"]";
    a_swarm_without_faults_is_refused: "[timeline]" => "[swarm]\nfaults = [\"kill\"]\nwithout = [\"kill\"]\n[timeline]";
    a_mistake_of_syntax_has_its_place: "name = \"sample\"" => "name = \"sample";
}

#[test]
fn an_empty_file_is_answered_with_the_least_scenario() {
    insta::assert_snapshot!(messages("# nothing yet\n"));
}

#[test]
fn the_least_scenario_that_is_suggested_is_valid() {
    let text = messages("");
    let start = text.find("version = 1").expect("the suggestion begins with its version");
    let lines: Vec<&str> = text[start..].lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(Scenario::parse("least.toml", &lines.join("\n")).is_ok(), "{lines:?}");
}

#[test]
fn a_scenario_without_queues_or_clients_says_so() {
    insta::assert_snapshot!(messages(
        "version = 1\nname = \"bare\"\nrun = { duration = \"10s\" }\ncluster = { nodes = 3 }\n"
    ));
}

#[test]
fn all_mistakes_of_a_file_are_reported_in_its_order() {
    let text = VALID
        .replace("rate = 100", "raet = 100")
        .replace("at = \"5s\"", "at = \"5 sec\"")
        .replace("leader:orders", "leder:orders")
        .replace("nodes = 3", "nodes = 9");
    insta::assert_snapshot!(messages(&text));
}

#[test]
fn what_a_mistake_quotes_gives_no_orders_to_a_terminal() {
    let orders = "ev\\u001b[31mil\\u001b]0;pwn\\u0007\\u009b2J\\u202E\\nnext";
    let shown = r"ev\u{1b}[31mil\u{1b}]0;pwn\u{7}\u{9b}2J\u{202e}\nnext";
    for (good, bad) in [
        ("name = \"sample\"", format!("name = \"{orders}\"")),
        ("name = \"orders\"", format!("name = \"{orders}\"")),
        ("name = \"pub\"", format!("name = \"{orders}\"")),
        ("rate = 100", format!("rate = 100\n\"{orders}\" = 1")),
        ("at = \"5s\"", format!("at = \"5{orders}\"")),
        ("[\"all\"]", format!("[\"{orders}\"]")),
        ("[\"all\"]", format!("[\"all\"]\nsometimes = [\"{orders}\"]")),
    ] {
        let told = broken(good, &bad);
        assert!(told.contains(shown), "{bad}: {told}");
        assert!(!told.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "{bad}: {told:?}");
    }
    for raw in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}'] {
        let told = broken("nodes = 3", &format!("nodes = 9 # {raw} a comment\nzebra = true"));
        assert!(told.contains("zebra") && !told.contains(raw), "the line is shown too: {told:?}");
    }
}

#[test]
fn no_size_is_suggested_that_would_be_refused_in_turn() {
    for (bad, refused) in [("-5", "-5B"), ("0", "0B"), ("\"0\"", "0B"), ("\"-5B\"", "`\"-5")] {
        let told = broken("nodes = 3", &format!("nodes = 3\nbacklog = {bad}"));
        assert!(told.contains("1KiB") && !told.contains(refused), "{bad}: {told}");
    }
    for (bad, meant) in [("5", "\"5KiB\""), ("\"5\"", "\"5KiB\"")] {
        let told = broken("nodes = 3", &format!("nodes = 3\nbacklog = {bad}"));
        assert!(told.contains(meant), "{bad}: {told}");
    }
    let told = broken("nodes = 3", "nodes = 3\nbacklog = [1]");
    assert!(told.contains("expected a size, found a list"), "{told}");
}
