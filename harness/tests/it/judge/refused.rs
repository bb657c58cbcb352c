//! Histories that `ferret judge` refuses, since no verdict over them would mean anything.

use super::*;

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

#[test]
fn what_cannot_be_read_or_is_malformed_is_one_object_for_programs_too() {
    let json = ["--message-format", "json"];
    let told = |history: &str| {
        let (code, out, err) = ferret(history, &json);
        assert!(code == 3 && !err.is_empty() && out.lines().count() == 1, "{out}");
        serde_json::from_str::<Value>(&out).expect("an object")
    };
    let malformed = told(&STALE.replacen("\"outcome\": \"ok\"", "\"outcome\": \"okay\"", 1));
    assert_eq!(malformed["verdict"], "malformed");
    assert!(malformed["problems"][0]["line"].as_u64() > Some(0), "{malformed}");
    assert!(malformed["problems"][0]["message"].as_str().is_some_and(|text| text.contains("okay")), "{malformed}");
    let (code, out, err) = ferret_bytes(&[0x1f, 0x8b, 8, 0, 1, 2, 3], &json);
    assert_eq!(code, 3);
    assert!(err.contains("it is compressed; write `gunzip -c | ferret judge -`"), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).expect("an object")["verdict"], "unreadable");
}

#[test]
fn a_mark_at_the_beginning_is_skipped() {
    let (code, plain, _) = ferret(STALE, &[]);
    assert_eq!(ferret(&format!("\u{feff}{STALE}"), &[]), (code, plain, String::new()));
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
fn a_page_of_anothers_is_not_replaced() {
    let folder = TempDir::new().expect("a folder");
    let (history, page) = (folder.path().join("history"), folder.path().join("report.html"));
    fs::write(&history, line(0, "enqueue", json!(5), 0, Some(1))).expect("a history file");
    let judge = || called(&["judge".into(), history.clone().into(), "--out".into(), folder.path().into()]);
    assert_eq!((judge().0, judge().0), (0, 0), "its own page is");
    for foreign in ["mine", "<!doctype html><p>Ferret run report</p>"] {
        fs::write(&page, foreign).expect("a page");
        let (code, _, err) = judge();
        assert!(code == 2 && err.contains("would be replaced"), "{err}");
        assert_eq!(fs::read_to_string(&page).expect("it is there"), foreign);
    }
}
