//! `--format history`: what `ferret judge` says of it is what the run's own checkers said.

use std::{collections::BTreeSet, fs, path::Path};

use ferret_reports::{InvariantVerdict, RunRecord, Verdict};
use serde_json::Value;

use super::{Exported, ROUGH, ferret, text};

/// What `ferret judge` says of the run's history: exit code and output.
fn judged(run: &Exported) -> (u8, String) {
    let history = run.path("history.jsonl");
    fs::write(&history, run.export("history", &[])).expect("it can be written");
    judge(&history, &run.path("judged"))
}

fn judge(history: &Path, out: &Path) -> (u8, String) {
    let (code, said, err) = ferret(&["judge", text(history), "--out", text(out)]);
    (code, String::from_utf8_lossy(&said).into_owned() + &err)
}

/// Consumers that ack, getters, and two queues.
fn busy() -> String {
    let more = "[[queues]]\nname = \"drawer\"\n[[publishers]]\nname = \"put\"\nqueue = \"drawer\"\nrate = 20\n\
                [[getters]]\nname = \"get\"\nqueue = \"drawer\"\nrate = 30\n[timeline]";
    ROUGH.replace("[timeline]", more)
}

#[test]
fn the_history_of_a_run_that_passes_is_accepted() {
    let run = Exported::run(&busy(), &[]);
    let record = run.read();
    assert_eq!(record.verdict, Verdict::Pass, "{:?}", record.reasons);
    let (code, said) = judged(&run);
    assert_eq!(code, 0, "{said}");
    let history = String::from_utf8(run.export("history", &[])).expect("it is text");
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let count = |operation: &str, key: &str| {
        lines.iter().filter(|line| line["operation"] == operation && line["key"] == key).count() as u64
    };
    assert_eq!(count("enqueue", "orders") + count("enqueue", "drawer"), record.messages.published);
    assert!(count("dequeue", "drawer") > count("enqueue", "drawer"), "some gets found it empty");
    assert!(count("dequeue", "orders") >= count("enqueue", "orders") * 9 / 10);
}

/// Connections break so often that what a get takes with it is sometimes lost, with a bug that settles it at once.
fn breaking() -> String {
    busy().replace(
        "[timeline]\nsteps = [",
        "[timeline]\nsteps = [\n{ every = \"200ms\", reset = { node = \"all\" }, may-miss = true },",
    )
}

#[test]
fn the_history_of_a_run_that_lost_messages_is_refused_and_that_of_a_lucky_twin_is_not() {
    let mut seen = BTreeSet::new();
    for seed in ["1", "2", "3", "4"] {
        let run = Exported::run(&breaking(), &["--sabotage", "get-settles", "--seed", seed]);
        let lost = fs::read_to_string(run.path(&format!("run/rough/seed-{seed}/run.json"))).expect("a record");
        let record: RunRecord = serde_json::from_str(&lost).expect("a record is JSON");
        let lost = record
            .invariants
            .iter()
            .any(|it| it.name == "no-confirmed-loss" && it.verdict == InvariantVerdict::Violated);
        let (code, said) = judged(&run);
        assert_eq!(code, if lost { 100 } else { 0 }, "seed {seed}: {said}");
        seen.insert(lost);
        if seen.len() == 2 {
            return;
        }
    }
    panic!("no seed of each kind: {seen:?}");
}

#[test]
fn a_history_without_one_of_its_dequeues_is_refused() {
    let run = Exported::run(&busy(), &[]);
    let history = String::from_utf8(run.export("history", &[])).expect("it is text");
    let path = run.path("history.jsonl");
    let taken = |line: &&str| line.contains("\"dequeue\"") && line.contains("\"put-1/5\"");
    assert_eq!(history.lines().filter(taken).count(), 1);
    let without: Vec<&str> = history.lines().filter(|line| !taken(line)).collect();
    fs::write(&path, without.join("\n")).expect("it can be written");
    let (code, said) = judge(&path, &run.path("judged"));
    assert_eq!(code, 100, "{said}");
}

#[test]
fn every_recorded_event_is_a_line_in_words_and_with_all_its_fields() {
    let run = Exported::run(ROUGH, &[]);
    let events = String::from_utf8(run.export("events", &[])).expect("it is text");
    let lines: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let published = lines.iter().filter(|line| line["event"]["Publish"].is_object());
    assert_eq!(published.count() as u64, run.read().messages.published);
    assert!(lines.iter().all(|line| line["at"].is_u64() && line["who"].is_string() && line["what"].is_string()));
    assert!(lines.is_sorted_by_key(|line| line["at"].as_u64()));
}
