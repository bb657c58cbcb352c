//! Planted bugs on the command line: runs that must notice theirs, and hunts.

use ferret::cli::exit;
use ferret_reports::Verdict;

use super::cli::{Script, ferret, named};

const MATCHING: [&str; 4] = ["--sabotage", "matching", "--jobs", "1"];

fn with_matching(name: &str, bug: &str) -> String {
    named(name).replacen("version = 1", &format!("version = 1\nmatching-sabotage = \"{bug}\""), 1)
}

#[test]
fn a_run_with_each_scenarios_own_bug_must_catch_them_all() {
    let caught = Script { bad: Some((1, Verdict::Violated)), planted: true, ..Script::default() };
    let files = [("a.toml", with_matching("first", "forget-vote")), ("b.toml", with_matching("second", "no-resend"))];
    let files: Vec<(&str, &str)> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
    let call = ferret("run", &files, &[&MATCHING[..], &["--seed", "1"]].concat(), &caught);
    assert_eq!((call.code, call.err.as_str()), (100, ""));
    // Of two seeds, only one tells.
    let call = ferret("run", &files, &[&MATCHING[..], &["--seeds", "1..2"]].concat(), &caught);
    assert_eq!(call.code, 104, "{}", call.out);
    for told in [
        "  because nothing told of the planted bug forget-vote\n",
        "  because nothing told of the planted bug no-resend\n",
    ] {
        assert_eq!(call.out.matches(told).count(), 1, "{}", call.out);
    }
}

#[test]
fn a_bug_of_its_own_that_no_scenario_notices_is_no_pass() {
    for (script, code) in [
        (Script::default(), 104),
        (Script { bad: Some((1, Verdict::Vacuous)), ..Script::default() }, 104),
        (Script { bad: Some((1, Verdict::Threshold)), ..Script::default() }, 99),
    ] {
        let call = ferret("run", &[("a.toml", &with_matching("first", "forget-vote"))], &MATCHING, &script);
        assert_eq!(call.code, code, "{}", call.out);
        assert!(call.out.contains("  because nothing told of the planted bug forget-vote\n"), "{}", call.out);
    }
}

#[test]
fn a_bug_planted_by_name_that_nothing_notices_makes_the_last_run_vacuous() {
    let run = |options: &[&str], script: Script| {
        let options = [&["--sabotage", "forget-vote", "--jobs", "1"], options].concat();
        ferret("run", &[("a.toml", &named("first"))], &options, &script)
    };
    let told = "  because the planted bug forget-vote was not noticed: nothing is violated in 2 runs; ";
    let call = run(&[], Script::default());
    assert!(call.code == 104 && call.out.contains(told), "{}", call.out);
    assert!(call.out.contains("\n2 runs: 1 pass, 1 vacuous;"), "{}", call.out);
    let call = run(&["--message-format", "json"], Script::default());
    let last = call.out.lines().last().expect("a line per run");
    assert!(call.code == 104 && last.contains("\"verdict\":\"vacuous\""), "{}", call.out);
    let call = run(
        &["--seeds", "1..", "--budget", "1s", "--max-fail", "1"],
        Script { bad: Some((2, Verdict::Threshold)), ..Script::default() },
    );
    assert_eq!(call.code, 99, "{}", call.out);
    assert!(
        call.out.contains("threshold crossed, after all: first seed 2: the planted bug forget-vote was not noticed"),
        "{}",
        call.out
    );
    for verdict in [Verdict::Violated, Verdict::NotDeterministic, Verdict::Internal] {
        let call = run(&[], Script { bad: Some((2, verdict)), ..Script::default() });
        assert!(!call.out.contains("was not noticed"), "{verdict:?}: {}", call.out);
    }
}

#[test]
fn a_scenario_without_a_bug_of_its_own_cannot_run_with_it() {
    let call = ferret("run", &[("a.toml", &named("first"))], &MATCHING, &Script::default());
    assert_eq!(call.code, 2);
    assert!(call.err.contains("no `matching-sabotage` in "), "{}", call.err);
}

const HUNT: [&str; 8] = ["--only", "forget-vote", "--seeds", "3", "--jobs", "1", "--message-format", "json"];

fn hunt(script: &Script) -> (u8, Vec<serde_json::Value>) {
    let call = ferret("hunt", &[("a.toml", &named("first"))], &HUNT, script);
    (call.code, call.out.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect())
}

#[test]
fn a_bug_is_hunted_until_an_invariant_tells_and_the_control_is_silent() {
    let script = Script { bad: Some((2, Verdict::Violated)), planted: true, ..Script::default() };
    let (code, told) = hunt(&script);
    assert_eq!((code, told.len()), (exit::PASS, 2), "{told:?}");
    assert_eq!((told[0]["bug"].as_str(), told[0]["seeds"].as_u64()), (Some("forget-vote"), Some(2)));
    assert_eq!(told[0]["catch"]["by"][0].as_str(), Some("no-confirmed-loss"));
    assert_eq!((told[1]["control"]["runs"].as_u64(), &told[1]["control"]["alarms"]), (Some(3), &serde_json::json!([])));
}

#[test]
fn a_bug_that_nothing_catches_fails_the_hunt() {
    let (code, told) = hunt(&Script::default());
    assert_eq!((code, &told[1]["missed"]), (104, &serde_json::json!(["forget-vote"])));
}

#[test]
fn a_miss_is_a_hole_only_after_many_seeds_and_no_control_is_no_silent_one() {
    let hunt = |options: &[&str]| {
        let all = [&["--only", "forget-vote", "--jobs", "1"], options].concat();
        ferret("hunt", &[("a.toml", &named("first"))], &all, &Script::default()).out
    };
    let few = hunt(&["--seeds", "3", "--no-control"]);
    assert!(few.contains("control: none was asked for"), "{few}");
    assert!(few.contains("not caught within 3 seeds: forget-vote\n  more seeds may do (--seeds 200)"), "{few}");
    let many = hunt(&["--seeds", "200"]);
    assert!(many.contains("control: 200 runs") && many.contains("\n  a hole in the checkers"), "{many}");
}

#[test]
fn a_bug_of_determinism_has_each_seed_run_twice_and_is_caught_by_the_first_difference() {
    let hunt = |wavers| {
        let script = Script { wavers, ..Script::default() };
        let options = ["--only", "unseeded-election", "--seeds", "3", "--message-format", "json", "--no-control"];
        let call = ferret("hunt", &[("a.toml", &named("first"))], &options, &script);
        let seeds = script.ran.into_inner().expect("no thread panicked");
        let told = call.out.lines().next().expect("the bug is told of");
        (call.code, serde_json::from_str::<serde_json::Value>(told).expect("it is an object"), seeds)
    };
    let (code, told, seeds) = hunt(true);
    assert_eq!((code, &told["catch"]["by"]), (exit::PASS, &serde_json::json!(["determinism"])), "{told}");
    assert!(told["catch"]["replay"].as_str().is_some_and(|replay| replay.ends_with(" --verify-determinism")), "{told}");
    assert_eq!(seeds, [1, 1]);
    let (code, told, seeds) = hunt(false);
    assert_eq!((code, told["catch"].is_null()), (104, true), "equal runs are no catch: {told}");
    assert_eq!(seeds, [1, 1, 2, 2, 3, 3]);
}

#[test]
fn an_alarm_with_nothing_planted_fails_the_hunt_whatever_was_caught() {
    let (code, told) = hunt(&Script { bad: Some((3, Verdict::Violated)), ..Script::default() });
    assert_eq!((code, told[1]["control"]["alarms"].as_array().map(Vec::len)), (100, Some(1)));
}
