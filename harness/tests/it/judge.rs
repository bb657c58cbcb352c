//! `ferret judge`, from files to verdicts.

use std::{ffi::OsString, fs, sync::atomic::AtomicBool, time::Duration};

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

/// Exit code, standard output, standard error; the paths of this machine are left out.
fn ferret(history: &str, arguments: &[&str]) -> (u8, String, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("history");
    fs::write(&path, history).expect("a history file");
    let mut line: Vec<OsString> = vec!["ferret".into(), "judge".into(), path.into()];
    line.extend(arguments.iter().map(OsString::from));
    line.extend(["--out".into(), folder.path().join("out").into()]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams =
        Streams { out: &mut out, err: &mut err, out_style: Style::PLAIN, err_style: Style::PLAIN, progress: false };
    let code = cli::main(line, &Nothing, &Interrupt::default(), &mut streams);
    let clean = |bytes: Vec<u8>| {
        let place = format!("{}/", folder.path().display());
        String::from_utf8(bytes).expect("text").replace(&place, "")
    };
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
fn a_hundred_thousand_operations_with_drains_are_judged_in_seconds() {
    let mut history = String::new();
    for value in 0..100_000_u64 {
        history += &line(0, "enqueue", json!(value), value * 10, Some(value * 10 + 45));
    }
    for drain in 0..10 {
        let values: Vec<u64> = (0..100_000).filter(|value| value % 10 == drain).collect();
        history += &line(drain as u32, "drain", json!(values), 2_000_000, Some(3_000_000));
    }
    let took = elapsed(&history, &Options::default(), Verdict::Holds);
    assert!(took < Duration::from_secs(20), "{took:?}");
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

/// The mistakes of a history, as they are shown.
fn mistakes(history: &str, arguments: &[&str]) -> String {
    let (code, out, err) = ferret(history, arguments);
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    err
}

macro_rules! mistakes {
    ($($test:ident: $history:expr;)+) => {
        $(
            #[test]
            fn $test() {
                let history: &str = &$history;
                insta::assert_snapshot!(mistakes(history, &[]));
            }
        )+
    };
}

mistakes! {
    a_misspelt_outcome_is_named_with_the_one_that_was_meant: STALE.replacen("\"outcome\": \"ok\"", "\"outcome\": \"okay\"", 1);
    a_misspelt_field_is_named_with_the_one_that_was_meant: STALE.replacen("process", "proces", 1);
    a_misspelt_operation_is_named_with_the_one_that_was_meant: STALE.replacen("write", "wirte", 1);
    an_operation_that_ends_before_it_starts_is_refused: STALE.replacen("\"end\": 20", "\"end\": 2", 1);
    an_operation_of_another_model_is_refused: STALE.replacen("\"operation\": \"read\"", "\"operation\": \"acquire\"", 1);
    a_line_that_is_cut_off_is_shown: STALE[..200];
    a_missing_end_is_refused: STALE.replacen("\"end\": 10, ", "", 1);
    a_time_that_is_no_number_is_refused: STALE.replacen("\"start\": 12", "\"start\": \"12s\"", 1);
    a_result_of_anything_but_a_compare_and_set_is_refused: line(0, "acquire", Value::Null, 0, Some(1)).replace("\"start\"", "\"result\":false,\"start\"");
    a_history_of_two_kinds_is_refused: STALE.replacen("\"register\"", "\"queue\"", 1);
    a_drain_of_unknown_outcome_is_refused: line(0, "drain", json!([1]), 0, None);
    a_compare_and_set_of_one_value_is_refused: line(0, "cas", json!(1), 0, Some(1));
    a_map_that_is_never_closed_is_shown: JEPSEN[..100];
    an_unknown_type_of_event_is_refused: JEPSEN.replacen(":ok", ":okay", 1);
    a_completion_of_nothing_is_refused: JEPSEN.replacen(":type :ok, :f :read, :value 3, :process 0", ":type :ok, :f :read, :value 3, :process 9", 1);
    a_log_line_without_its_operation_is_refused: LOG.replacen("\t:cas\t[4 2]", "", 1);
}

/// A register written and read, or a queue; `42` stands for a value.
fn numbered(written: &str, seen: &str) -> [String; 2] {
    let (begin, end) = ((0, Some(1)), (2, Some(3)));
    let history = |write: &str, read: &str| {
        line(0, write, json!(42), begin.0, begin.1).replace(":42", &format!(":{written}"))
            + &line(1, read, json!(42), end.0, end.1).replace(":42", &format!(":{seen}"))
    };
    [history("write", "read"), history("enqueue", "dequeue")]
}

#[test]
fn numbers_that_would_be_rounded_to_one_are_refused() {
    for (written, seen) in [
        ("18446744073709551617", "18446744073709551616"),
        ("99999999999999999999998", "99999999999999999999999"),
        ("0.1", "0.10000000000000000001"),
        ("[1, {\"a\": 1e-400}]", "[1, {\"a\": 0.0}]"),
    ] {
        for history in numbered(written, seen) {
            let shown = mistakes(&history, &[]);
            assert!(shown.contains("as text"), "{shown}");
        }
        let quoted = |number: &str| json!(number).to_string();
        assert!(numbered(&quoted(written), &quoted(seen)).iter().all(|history| plainly(history) == Verdict::Violated));
        assert!(numbered(&quoted(seen), &quoted(seen)).iter().all(|history| plainly(history) == Verdict::Holds));
    }
    let largest = numbered("18446744073709551615", "18446744073709551614");
    assert!(largest.iter().all(|history| plainly(history) == Verdict::Violated));
    let keyed = STALE.replace("\"kind\"", "\"key\": 18446744073709551616, \"kind\"");
    assert!(mistakes(&keyed, &[]).contains("`key`"));
    // Notes are nobody's values.
    let noted = STALE.replace("\"kind\"", "\"note\": 18446744073709551616, \"kind\"");
    assert_eq!(plainly(&noted), Verdict::Violated);
    assert_eq!(ferret(STALE, &["--initial", "18446744073709551616"]).0, 2);
    let edn = |seen: &str| {
        format!(
            "{{:type :invoke :f :write :value 0.1 :process 0}} {{:type :ok :f :write :value 0.1 :process 0}}
            {{:type :invoke :f :read :value nil :process 0}} {{:type :ok :f :read :value {seen} :process 0}}"
        )
    };
    assert!(mistakes(&edn("0.10000000000000000001"), &[]).contains("digits"));
    assert_eq!(plainly(&edn("0.10")), Verdict::Holds);
}

/// Process 1 takes a lock from 1 to `until`, and gives it back from 2 to 3.
fn taken(until: u64, outcome: &str) -> String {
    line(1, "acquire", Value::Null, 1, Some(until)).replace("\"ok\"", &format!("\"{outcome}\""))
        + &line(1, "release", Value::Null, 2, Some(3))
}

#[test]
fn a_process_that_does_two_things_at_once_is_refused() {
    let shown = mistakes(&taken(20, "ok"), &[]);
    assert!(shown.contains("process 1 is still busy with what it began at line 1"), "{shown}");
    assert!(mistakes(&taken(20, "fail"), &[]).contains("still busy"));
    assert_eq!(plainly(&taken(2, "ok")), Verdict::Holds);
    // It gave up waiting, when, nobody knows.
    assert_eq!(plainly(&taken(20, "info")), Verdict::Holds);
    // Publishers do not wait for their confirms.
    let pipelined = line(0, "enqueue", json!(1), 0, Some(9)) + &line(0, "enqueue", json!(2), 1, Some(8));
    assert_eq!(plainly(&pipelined), Verdict::Holds);
    // A coarse clock: nothing took any time.
    let quick = line(0, "write", json!(1), 5, Some(8)) + &line(0, "write", json!(2), 5, Some(5));
    assert_eq!(plainly(&quick), Verdict::Holds);
    let nested = line(0, "write", json!(1), 0, Some(9)) + &line(0, "write", json!(2), 1, Some(2));
    let shown = mistakes(&(nested + &line(0, "read", json!(1), 5, Some(6))), &[]);
    assert_eq!(shown.matches("what it began at line 1").count(), 2, "{shown}");
}

#[test]
fn what_looks_like_an_operation_in_a_log_is_never_skipped() {
    for strange in [
        "INFO  jepsen.util - x\t:invoke\t:read\tnil",
        "INFO  jepsen.util - x\t:ok\t:read\t7",
        "INFO  jepsen.util - :invoke\t:read\tnil",
        "0 :ok :read 7",
    ] {
        let shown = mistakes(&format!("{LOG}{strange}\n"), &[]);
        assert!(shown.contains("this looks like an operation"), "{shown}");
    }
    let result = " {:type :ok, :f :read}";
    let others = format!("{LOG}garbage\n\n{result}\n");
    let (code, out, _) = ferret(&others, &[]);
    assert_eq!(code, 100);
    assert!(out.contains("1 of unknown outcome, 4 skipped as not a client's (porcupine)"), "{out}");
    let (_, out, _) = ferret(&others, &["--message-format", "json"]);
    let message: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(message["skipped"], json!(4));
}

#[test]
fn an_event_is_skipped_only_if_its_process_is_a_keyword() {
    for process in ["x", "\"0\"", "nil"] {
        let strange = JEPSEN.replace(":process 3", &format!(":process {process}"));
        assert!(mistakes(&strange, &[]).contains("the :process of an event is no number"));
    }
    let (_, out, _) = ferret(JEPSEN, &[]);
    assert!(out.contains(", 1 skipped"), "{out}");
}

#[test]
fn what_is_missing_is_not_taken_for_nothing() {
    let without = |verb: &str, outcome: &str| {
        format!("{{\"process\":0,\"operation\":\"{verb}\",\"start\":0,\"end\":1,\"outcome\":\"{outcome}\"}}\n")
    };
    for (verb, outcome) in [("read", "ok"), ("write", "ok"), ("write", "info"), ("dequeue", "ok"), ("get", "ok")] {
        let shown = mistakes(&without(verb, outcome), &[]);
        assert!(shown.contains("\"value\": null"), "{shown}");
    }
    for (verb, outcome) in
        [("acquire", "ok"), ("delete", "ok"), ("read", "info"), ("write", "fail"), ("dequeue", "info")]
    {
        assert_eq!(ferret(&without(verb, outcome), &[]).2, "", "{verb} {outcome}");
    }
    let edn = |value: &str| JEPSEN.replace(":f :read, :value 3, :process 3", &format!(":f :read, {value}:process 3"));
    let shown = mistakes(&edn(""), &[]);
    assert!(shown.contains(":value nil"), "{shown}");
    assert_eq!(plainly(&edn(":value nil, ")), Verdict::Violated);
    assert_eq!(plainly(&without("read", "ok").replace("\"start\"", "\"value\":null,\"start\"")), Verdict::Holds);
}

#[test]
fn a_line_without_a_key_among_others_that_have_one_is_refused() {
    let keyed = |key: &str| {
        let first = STALE.lines().next().expect("a line");
        first.replace("\"kind\"", "\"key\": \"x\", \"kind\"")
            + "\n"
            + &first.replace("\"kind\"", &format!("{key}\"kind\"")).replace(": 0,", ": 3,")
    };
    let shown = mistakes(&keyed(""), &[]);
    assert!(shown.contains("this line has no `key`") && shown.contains(":2:"), "{shown}");
    assert_eq!(plainly(&keyed("\"key\": null, ")), Verdict::Holds);
    assert_eq!(plainly(&keyed("\"key\": \"y\", ")), Verdict::Holds);
}

#[test]
fn a_model_without_an_initial_value_refuses_one() {
    let queue = line(0, "enqueue", json!(5), 0, Some(1));
    for arguments in [&["--initial", "5"][..], &["--initial", "5", "--model", "queue"]] {
        let (code, _, err) = ferret(&queue, arguments);
        assert_eq!((code, err.as_str()), (2, "ferret: a queue has no initial value: leave --initial out\n"));
    }
    assert_eq!(ferret(&taken(2, "ok"), &["--initial", "null"]).0, 2);
    assert_eq!(ferret(&queue, &[]).0, 0);
    assert_eq!(ferret(STALE, &["--initial", "5"]).0, 100);
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

fn elapsed(history: &str, options: &Options, expected: Verdict) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "measures the judge, which is no simulation")]
    let began = std::time::Instant::now();
    assert_eq!(verdict(history, options), expected);
    began.elapsed()
}

#[test]
fn a_hundred_thousand_operations_are_judged_in_seconds() {
    let options = Options { initial: Some(json!(0)), ..Options::default() };
    for keys in [1000, 1] {
        let took = elapsed(&registers(100_000, keys), &options, Verdict::Holds);
        assert!(took < Duration::from_secs(20), "{keys} keys took {took:?}");
    }
}

#[test]
fn a_hundred_thousand_operations_on_a_queue_are_judged_in_seconds() {
    let mut history = String::new();
    for value in 0..50_000_u64 {
        history += &line(0, "enqueue", json!(value), value * 10, Some(value * 10 + 15));
        history += &line(1, "dequeue", json!(value), value * 10 + 5, Some(value * 10 + 40));
    }
    let options = Options { model: Some(ModelKind::Queue), ..Options::default() };
    let took = elapsed(&history, &options, Verdict::Holds);
    assert!(took < Duration::from_secs(20), "{took:?}");
}
