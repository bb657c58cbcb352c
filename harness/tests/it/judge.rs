//! `ferret judge`, from files to verdicts.

mod refused;

use std::{ffi::OsString, fs, sync::atomic::AtomicBool};

use ferret::{
    cli::{self, Interrupt, Request, Simulate, Simulated, Streams, Style},
    judge::{self, Format, ModelKind, Options, Verdict},
    progress::Progress,
    run::Bare,
    scenario::Scenario,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// `ferret judge` runs no simulation.
struct Nothing;

impl Simulate for Nothing {
    type Event = String;

    fn simulate(&self, _: &Scenario, _: u64, _: &Request, _: &AtomicBool, _: &Progress) -> Simulated<String> {
        unreachable!("judging simulates nothing")
    }

    fn bare(&self, _: &Scenario, _: &Simulated<String>) -> Option<Bare> {
        None
    }

    fn describe(event: &String, _: &[String]) -> String {
        event.clone()
    }
}

/// Exit code, standard output, standard error.
fn called(arguments: &[OsString]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams =
        Streams { out: &mut out, err: &mut err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
    let line = ["ferret".into()].into_iter().chain(arguments.iter().cloned());
    let code = cli::main(line, &Nothing, &Interrupt::default(), &mut streams);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (code, text(out), text(err))
}

/// The same for `ferret judge`; the paths of this machine are left out.
fn ferret(history: &str, arguments: &[&str]) -> (u8, String, String) {
    ferret_bytes(history.as_bytes(), arguments)
}

fn ferret_bytes(history: &[u8], arguments: &[&str]) -> (u8, String, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("history");
    fs::write(&path, history).expect("a history file");
    let mut line: Vec<OsString> = vec!["judge".into(), path.into()];
    line.extend(arguments.iter().map(OsString::from));
    line.extend(["--out".into(), folder.path().join("out").into()]);
    let (code, out, err) = called(&line);
    let clean = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    if [0, 100, 102, 104].contains(&code) {
        let report = fs::read_to_string(folder.path().join("out/report.html")).expect("a report");
        assert!(report.starts_with("<!doctype html>") && report.ends_with("</html>\n"));
    }
    (code, clean(out), clean(err))
}

fn line(process: u32, operation: &str, value: Value, start: u64, end: Option<u64>) -> String {
    let outcome = if end.is_some() { "ok" } else { "unknown" };
    let line = json!({
        "process": process, "operation": operation, "value": value, "start": start, "end": end, "outcome": outcome,
    });
    line.to_string() + "\n"
}

fn verdict(history: &str, options: &Options) -> Verdict {
    let read = judge::read("history", history, judge::detect(history)).expect("a history");
    judge::judge("history", history, &read, options, &AtomicBool::new(false)).expect("operations of the model").verdict
}

fn plainly(history: &str) -> Verdict {
    verdict(history, &Options::default())
}

const STALE: &str = r#"{"process": 0, "kind": "register", "operation": "write", "value": 1, "start": 0, "end": 10, "outcome": "ok"}
{"process": 1, "kind": "register", "operation": "write", "value": 2, "start": 12, "end": 20, "outcome": "ok"}
{"process": 2, "kind": "register", "operation": "read", "value": 1, "start": 21, "end": 30, "outcome": "ok"}
"#;

#[test]
fn a_stale_read_is_shown_with_what_came_before() {
    let (code, out, err) = ferret(STALE, &[]);
    assert_eq!((code, err.as_str()), (100, ""));
    insta::assert_snapshot!(out);
    // Had it begun a little earlier, it might have come before the second write.
    assert_eq!(plainly(&STALE.replace(r#""start": 21"#, r#""start": 20"#)), Verdict::Holds);
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let (code, out, _) = ferret(STALE, &["--message-format", "json"]);
    let message: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(code, 100);
    insta::assert_snapshot!(serde_json::to_string_pretty(&message).expect("JSON"));
}

#[test]
fn a_history_that_holds_exits_with_0() {
    let (code, out, _) = ferret(&STALE.replace(r#""start": 21"#, r#""start": 20"#), &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.starts_with("holds  history  register: 3 operations, 0 of unknown outcome (jsonl)\n"), "{out}");
}

#[test]
fn nothing_to_check_is_vacuous() {
    assert_eq!(ferret("", &[]).0, 104);
    assert_eq!(ferret(&STALE.replace("\"ok\"", "\"fail\""), &[]).0, 104);
}

#[test]
fn a_compare_and_set_that_was_refused_without_reason_is_rejected() {
    let history = |to: u32| {
        line(0, "write", json!(1), 0, Some(1))
            + &line(0, "cas", json!([1, to]), 2, Some(3))
            + &line(0, "cas", json!([2, 5]), 4, Some(5)).replace("\"ok\"", "\"ok\",\"result\":false")
    };
    assert_eq!(plainly(&history(2)), Verdict::Violated);
    assert_eq!(plainly(&history(3)), Verdict::Holds);
}

#[test]
fn transactions_that_saw_each_other_half_are_rejected() {
    let read = |x: u32, y: u32| json!([["r", "x", x], ["r", "y", y]]);
    let history = |x, y| {
        line(0, "txn", json!([["w", "x", 1], ["w", "y", 1]]), 0, Some(1))
            + &line(0, "txn", json!([["w", "x", 2], ["w", "y", 2]]), 2, Some(9))
            + &line(1, "txn", read(x, y), 3, Some(4))
            + &line(2, "txn", json!([["w", "z", 1]]), 3, Some(4))
    };
    assert_eq!(plainly(&history(1, 2)), Verdict::Violated);
    assert_eq!(plainly(&history(2, 2)), Verdict::Holds);
    assert_eq!(plainly(&history(1, 1)), Verdict::Holds);
}

#[test]
fn registers_of_one_name_are_apart_if_their_keys_are() {
    let of = |key: &str, history: String| history.replace("{\"end\"", &format!("{{\"key\":\"{key}\",\"end\""));
    let written = of("a", line(1, "txn", json!([["w", "x", 1]]), 0, Some(1)));
    let seen = |key: &str, value: Value| of(key, line(1, "txn", json!([["r", "x", value]]), 2, Some(3)));
    assert_eq!(plainly(&(written.clone() + &seen("b", Value::Null))), Verdict::Holds);
    assert_eq!(plainly(&(written.clone() + &seen("a", Value::Null))), Verdict::Violated);
    assert_eq!(plainly(&(written.clone() + &seen("b", json!(1)))), Verdict::Violated);
    let others = of("a", line(2, "txn", json!([["w", "y", 1]]), 0, Some(1))) + &seen("b", Value::Null);
    let (_, out, _) =
        ferret(&(written + &others + &seen("a", json!(2)).replace("\"process\":1", "\"process\":3")), &[]);
    assert!(out.contains("3 keys") && out.contains("violated: a x\n"), "{out}");
}

#[test]
fn two_holders_of_a_lock_are_rejected() {
    let history = |release: u64| {
        line(0, "acquire", Value::Null, 0, Some(1))
            + &line(1, "acquire", Value::Null, 2, Some(4))
            + &line(0, "release", Value::Null, release, Some(8))
    };
    assert_eq!(plainly(&history(5)), Verdict::Violated);
    assert_eq!(plainly(&history(3)), Verdict::Holds);
}

#[test]
fn each_key_of_a_store_is_judged_apart() {
    let put = |key: &str, value: u32, at: u64| {
        line(0, "put", json!(value), at, Some(at + 1)).replace("{\"end\"", &format!("{{\"key\":\"{key}\",\"end\""))
    };
    let get = |key: &str, value: u32, at: u64| put(key, value, at).replace("put", "get");
    let good = put("x", 1, 0) + &put("y", 2, 2) + &get("x", 1, 4) + &get("y", 2, 6);
    assert_eq!(plainly(&good), Verdict::Holds);
    let (code, out, _) = ferret(&(good + &get("x", 2, 8)), &[]);
    assert_eq!(code, 100);
    assert!(out.contains("violated: x\n") && out.contains("on x:"), "{out}");
}

#[test]
fn an_unremoved_enqueue_followed_by_an_empty_dequeue_is_rejected() {
    let history = |end| line(0, "enqueue", json!(7), 0, Some(end)) + &line(1, "dequeue", Value::Null, 3, Some(4));
    assert_eq!(plainly(&history(2)), Verdict::Violated);
    assert_eq!(plainly(&history(3)), Verdict::Holds);
    // Somebody may have taken it.
    assert_eq!(plainly(&(history(2) + &line(2, "dequeue", Value::Null, 1, None))), Verdict::Holds);
    insta::assert_snapshot!(ferret(&history(2), &[]).1);
}

#[test]
fn values_overtaken_in_a_queue_are_told_with_their_operations() {
    let history = line(0, "enqueue", json!(1), 0, Some(1))
        + &line(0, "enqueue", json!(2), 2, Some(3))
        + &line(1, "dequeue", json!(2), 4, Some(5));
    insta::assert_snapshot!(ferret(&history, &[]).1);
}

/// Two values are enqueued one after the other, and one process drains the queue.
fn drain(values: &str) -> String {
    line(0, "enqueue", json!(1), 0, Some(1))
        + &line(0, "enqueue", json!(2), 2, Some(3))
        + &line(1, "drain", serde_json::from_str(values).expect("a list"), 4, Some(9))
}

#[test]
fn a_drain_takes_everything_in_order() {
    assert_eq!(plainly(&drain("[1, 2]")), Verdict::Holds);
    for wrong in ["[2, 1]", "[1]", "[2]", "[]", "[1, 2, 3]", "[1, 1, 2]"] {
        assert_eq!(plainly(&drain(wrong)), Verdict::Violated, "{wrong}");
    }
    insta::assert_snapshot!(ferret(&drain("[2, 1]"), &[]).1 + &ferret(&drain("[1]"), &[]).1);
    // What came twice is for the search.
    let twice = |values: &str| drain(values).replacen("\"value\":2", "\"value\":1", 1);
    assert_eq!(plainly(&twice("[1, 1]")), Verdict::Holds);
    assert_eq!(plainly(&twice("[1]")), Verdict::Violated);
    insta::assert_snapshot!("a_drain_that_a_search_refutes", ferret(&twice("[1]"), &[]).1);
}

#[test]
fn others_may_come_between_the_steps_of_a_drain() {
    let other = |operation: &str, value: u32| line(2, operation, json!(value), 6, Some(7));
    assert_eq!(plainly(&(drain("[1]") + &other("dequeue", 2))), Verdict::Holds);
    assert_eq!(plainly(&(drain("[2]") + &other("dequeue", 1))), Verdict::Holds);
    assert_eq!(plainly(&(drain("[2]") + &other("drain", 1).replace(":1}", ":[1]}"))), Verdict::Holds);
    assert_eq!(plainly(&(drain("[1, 2, 3]") + &other("enqueue", 3))), Verdict::Holds);
    assert_eq!(plainly(&(drain("[1, 3, 2]") + &other("enqueue", 3))), Verdict::Violated);
    // It may have come after the drain had found nothing.
    assert_eq!(plainly(&(drain("[1, 2]") + &other("enqueue", 3))), Verdict::Holds);
}

#[test]
fn a_hundred_thousand_operations_with_drains_are_judged_within_the_budget() {
    let mut history = String::new();
    for value in 0..100_000_u64 {
        history += &line(0, "enqueue", json!(value), value * 10, Some(value * 10 + 45));
    }
    for drain in 0..10 {
        let values: Vec<u64> = (0..100_000).filter(|value| value % 10 == drain).collect();
        history += &line(drain as u32, "drain", json!(values), 2_000_000, Some(3_000_000));
    }
    assert_eq!(plainly(&history), Verdict::Holds);
}

#[test]
fn a_spent_budget_is_undecided_and_never_a_pass() {
    // Any of the open operations may have come after any other, which makes very many states. In none of them is 98
    // there to be replaced, so 99 cannot have been read.
    let pairs = (0..64).map(|pair| (pair / 8, pair % 8)).filter(|(from, to)| from != to);
    let mut history: String = pairs.map(|(from, to)| line(from, "cas", json!([from, to]), 0, None)).collect();
    history += &line(101, "cas", json!([98, 99]), 0, None);
    history += &line(100, "read", json!(99), 900, Some(901));
    let judged = |history: &str| {
        let (code, out, _) = ferret(history, &["--model", "cas-register", "--initial", "0", "--budget", "10"]);
        (code, out)
    };
    let (code, out) = judged(&history);
    assert_eq!(code, 102, "{out}");
    assert!(out.contains("--budget"), "{out}");
    // A value from nowhere needs no search.
    let (code, out) = judged(&(history + &line(100, "read", json!(77), 1000, Some(1001))));
    assert_eq!(code, 100, "{out}");
    assert!(out.contains("saw what nobody had written"), "{out}");
}

const JEPSEN: &str = r#"[{:type :invoke, :f :read, :value nil, :process 0, :time 1, :index 0}
 {:type :info, :f :start-partition, :value nil, :process :nemesis, :time 2}
 #jepsen.history.Op{:type :invoke, :f :write, :value 3, :process 1, :time 3}
 {:type :ok, :f :read, :value 3, :process 0, :time 4}
 {:type :info, :f :write, :value 3, :process 1, :time 5, :error "timed out"}
 {:type :invoke, :f :cas, :value [3 4], :process 2}
 {:type :fail, :f :cas, :value [3 4], :process 2}
 {:type :invoke, :f :read, :value nil, :process 3} ; comes last
 {:type :ok, :f :read, :value 3, :process 3}]"#;

#[test]
fn a_jepsen_history_is_recognized_and_judged() {
    assert_eq!(judge::detect(JEPSEN), Format::JepsenEdn);
    let read = judge::read("history.edn", JEPSEN, Format::JepsenEdn).expect("a history");
    let shown: Vec<String> =
        (0..read.operations.len()).map(|index| format!("{} ({})", read.describe(index), read.when(index))).collect();
    assert_eq!(
        shown,
        [
            "read → 3 (event 0 to 2)",
            "write 3 (unknown) (event 1 on)",
            "cas from 3 to 4 (failed) (event 4 to 5)",
            "read → 3 (event 6 to 7)"
        ]
    );
    assert_eq!(plainly(JEPSEN), Verdict::Holds);
    assert_eq!(
        plainly(&JEPSEN.replace(":ok, :f :read, :value 3, :process 3", ":ok, :f :read, :value 4, :process 3")),
        Verdict::Violated
    );
}

#[test]
fn values_of_independent_keys_are_told_from_plain_pairs() {
    let keyed = "{:type :invoke :f :write :value [1 5] :process 0} {:type :ok :f :write :value [1 5] :process 0}
        {:type :invoke :f :cas :value [2 [nil 6]] :process 0} {:type :ok :f :cas :value [2 [nil 6]] :process 0}
        {:type :invoke :f :read :value [1 nil] :process 0} {:type :ok :f :read :value [1 5] :process 0}";
    let read = judge::read("history.edn", keyed, Format::JepsenEdn).expect("a history");
    assert_eq!(read.keys, ["1", "2"]);
    assert_eq!(plainly(keyed), Verdict::Holds);
    let plain = "{:type :invoke :f :cas :value [nil 5] :process 0} {:type :ok :f :cas :value [nil 5] :process 0}";
    assert!(judge::read("history.edn", plain, Format::JepsenEdn).expect("a history").keys.is_empty());
}

const LOG: &str = "INFO  jepsen.core - starting\nINFO  jepsen.util - 0\t:invoke\t:read\tnil
INFO  jepsen.util - 0\t:ok\t:read\tnil
INFO  jepsen.util - 1\t:invoke\t:write\t4
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 1\t:info\t:write\t:timed-out
INFO  jepsen.util - 2\t:invoke\t:cas\t[4 2]
INFO  jepsen.util - 2\t:ok\t:cas\t[4 2]
INFO  jepsen.util - 3\t:invoke\t:cas\t[2 1]
INFO  jepsen.util - 3\t:fail\t:cas\t[2 1]
";

#[test]
fn a_compare_and_set_that_fails_in_a_log_has_found_another_value() {
    assert_eq!(judge::detect(LOG), Format::Porcupine);
    let (code, out, _) = ferret(LOG, &[]);
    assert_eq!(code, 100);
    insta::assert_snapshot!(out);
    assert_eq!(plainly(&LOG.replace(":cas\t[2 1]", ":cas\t[4 1]")), Verdict::Holds);
    assert_eq!(plainly(&LOG.replace("jepsen.util - ", "[jepsen worker 3] jepsen.util: ")), Verdict::Violated);
}

#[test]
fn a_compare_and_set_that_timed_out_in_a_log_has_found_nothing() {
    let register = |failed: &str| {
        format!(
            "INFO  jepsen.util - 0\t:invoke\t:write\t1\nINFO  jepsen.util - 0\t:ok\t:write\t1
INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:fail\t:cas\t{failed}\n"
        )
    };
    assert_eq!(plainly(&register(":timed-out")), Verdict::Holds);
    assert_eq!(plainly(&register("[1 2]")), Verdict::Violated);
}

#[test]
fn the_maps_among_porcupines_data_begin_with_empty_texts() {
    let log = "{:process 0, :type :invoke, :f :get, :key \"0\", :value nil}
{:process 0, :type :ok, :f :get, :key \"0\", :value \"\"}
{:process 1, :type :invoke, :f :append, :key \"0\", :value \"x 1 y\"}
{:process 2, :type :invoke, :f :append, :key \"0\", :value \"x 2 y\"}
{:process 1, :type :ok, :f :append, :key \"0\", :value \"x 1 y\"}
{:process 0, :type :invoke, :f :get, :key \"0\", :value nil}
{:process 0, :type :ok, :f :get, :key \"0\", :value \"x 2 yx 1 y\"}
";
    assert_eq!(judge::detect(log), Format::Porcupine);
    assert_eq!(plainly(log), Verdict::Holds);
    assert_eq!(plainly(&log.replace("\"x 2 yx 1 y\"", "\"x 2 y\"")), Verdict::Violated);
}

#[test]
fn a_history_of_two_kinds_can_be_judged_as_one_of_them() {
    let mixed = STALE.replacen("\"register\"", "\"cas-register\"", 1);
    let (code, _, err) = ferret(&mixed, &[]);
    assert_eq!(code, 3);
    assert!(err.contains("--model"), "{err}");
    let (code, out, _) = ferret(&mixed, &["--model", "cas-register"]);
    assert_eq!(code, 100, "{out}");
}

#[test]
fn a_missing_file_and_a_wrong_option_have_their_exit_codes() {
    let (code, _, err) = ferret("", &["--model", "stack"]);
    assert_eq!(code, 2);
    assert!(err.contains("multi-register"), "{err}");
    let mut streams = Streams {
        out: &mut Vec::new(),
        err: &mut Vec::new(),
        out_style: Style::PLAIN,
        err_style: Style::PLAIN,
        progress: false,
    };
    let line = ["ferret", "judge", "there/is/no/such/file"].map(OsString::from);
    assert_eq!(cli::main(line, &Nothing, &Interrupt::default(), &mut streams), 3);
}

#[test]
fn help_teaches_the_line_format() {
    insta::assert_snapshot!(cli::help(Some("judge")));
}

/// Processes that read and write registers, each operation overlapping those of its neighbours.
fn registers(operations: u64, keys: u64) -> String {
    let mut lines = String::new();
    let mut held = vec![0; keys as usize];
    for at in 0..operations {
        let key = at.wrapping_mul(2_654_435_761) % keys;
        let verb = if at % 3 == 0 { "write" } else { "read" };
        if verb == "write" {
            held[key as usize] = at;
        }
        let (process, value, start, end) = (at % 10, held[key as usize], at * 10, at * 10 + 45);
        lines += &format!(
            r#"{{"process":{process},"key":{key},"operation":"{verb}","value":{value},"start":{start},"end":{end},"outcome":"ok"}}"#
        );
        lines.push('\n');
    }
    lines
}

#[test]
fn a_hundred_thousand_operations_are_judged_within_the_budget() {
    let options = Options { initial: Some(json!(0)), ..Options::default() };
    for keys in [1000, 1] {
        assert_eq!(verdict(&registers(100_000, keys), &options), Verdict::Holds, "{keys} keys");
    }
}

#[test]
fn a_hundred_thousand_operations_on_a_queue_are_judged_within_the_budget() {
    let mut history = String::new();
    for value in 0..50_000_u64 {
        history += &line(0, "enqueue", json!(value), value * 10, Some(value * 10 + 15));
        history += &line(1, "dequeue", json!(value), value * 10 + 5, Some(value * 10 + 40));
    }
    let options = Options { model: Some(ModelKind::Queue), ..Options::default() };
    assert_eq!(verdict(&history, &options), Verdict::Holds);
}
