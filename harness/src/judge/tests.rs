//! Agreement with a search over all orders, for each model; converters and readers on whatever comes.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn operation(process: u32, verb: Verb, value: Value, span: (u64, u64), outcome: Outcome) -> Operation {
    Operation {
        process,
        key: None,
        verb,
        value,
        refused: false,
        start: span.0,
        end: (outcome != Outcome::Unknown).then_some(span.0 + span.1),
        outcome,
        span: 0..0,
        lines: (1, 1),
    }
}

fn history(operations: Vec<Operation>) -> History {
    let names = |prefix: &str| (0..4).map(|number| format!("{prefix}{number}")).collect();
    let (processes, keys) = (names("p"), names("k"));
    // Of lines it would be refused that a process does two things at once, which orders do not care about.
    let format = Format::JepsenEdn;
    History { format, operations, processes, keys, model: None, other_kinds: Vec::new(), skipped: 0 }
}

fn judged(history: &History, model: ModelKind) -> Judgement {
    let options = Options { model: Some(model), ..Options::default() };
    judge("test", "", history, &options, &AtomicBool::new(false)).expect("the operations fit the model")
}

/// The state of any model, as plainly as possible.
#[derive(Clone, Debug, PartialEq)]
struct Plain(Vec<Value>);

impl Plain {
    /// All states in which `operation` may leave this one, if it takes effect.
    fn after(&self, operation: &Operation) -> Vec<Plain> {
        let known = operation.outcome == Outcome::Ok;
        let value = &operation.value;
        let state = &self.0;
        let set = |value: Value| vec![Plain(vec![value])];
        let same = |fits: bool| if fits { vec![self.clone()] } else { vec![] };
        match operation.verb {
            Verb::Read | Verb::Get => same(!known || state[0] == *value),
            Verb::Write | Verb::Put => set(value.clone()),
            Verb::Delete => set(Value::Null),
            Verb::Append => set(json!(state[0].as_str().unwrap_or("").to_owned() + value.as_str().unwrap_or(""))),
            Verb::Cas => match state[0] == value[0] {
                true if !known || !operation.refused => set(value[1].clone()),
                false if !known || operation.refused => same(true),
                _ => vec![],
            },
            Verb::Enqueue => vec![Plain(state.iter().chain([value]).cloned().collect())],
            Verb::Dequeue if !known => vec![Plain(state.iter().skip(1).cloned().collect())],
            Verb::Dequeue if value.is_null() => same(state.is_empty()),
            Verb::Dequeue if state.first() == Some(value) => vec![Plain(state[1..].to_vec())],
            Verb::Dequeue => vec![],
            Verb::Drain => unreachable!("it is in steps"),
            Verb::Acquire if state[0].is_null() => set(json!(operation.process)),
            Verb::Release if state[0] == json!(operation.process) => set(Value::Null),
            Verb::Acquire | Verb::Release => vec![],
            Verb::Txn => {
                let mut next = self.clone();
                for access in value.as_array().expect("a transaction") {
                    let register = access[1].as_u64().expect("a register") as usize;
                    if access[0] == "w" {
                        next.0[register] = access[2].clone();
                    } else if known && next.0[register] != access[2] {
                        return vec![];
                    }
                }
                vec![next]
            }
        }
    }
}

/// Whether some order of the operations is allowed: each is tried next unless another ended before it began.
fn exists(left: &[Operation], state: &Plain) -> bool {
    if left.iter().all(|operation| operation.end.is_none()) {
        return true;
    }
    let first_end = left.iter().filter_map(|operation| operation.end).min().unwrap_or(u64::MAX);
    (0..left.len()).filter(|&index| left[index].start <= first_end).any(|index| {
        let rest: Vec<Operation> =
            left.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, o)| o.clone()).collect();
        match left[index].value.as_array().filter(|_| left[index].verb == Verb::Drain).map(Vec::as_slice) {
            // What is left of it is tried like any other operation.
            Some([first, more @ ..]) => {
                let more = Operation { value: json!(more), ..left[index].clone() };
                let rest: Vec<Operation> = rest.into_iter().chain([more]).collect();
                state.0.first() == Some(first) && exists(&rest, &Plain(state.0[1..].to_vec()))
            }
            Some([]) => state.0.is_empty() && exists(&rest, state),
            None => state.after(&left[index]).iter().any(|next| exists(&rest, next)),
        }
    })
}

fn agrees(mut operations: Vec<Operation>, model: ModelKind, initial: Plain) -> Result<(), TestCaseError> {
    let verdict = judged(&history(operations.clone()), model);
    operations.retain(|operation| operation.outcome != Outcome::Failed);
    let expected = exists(&operations, &initial);
    match verdict.verdict {
        Verdict::Violated => prop_assert!(!expected, "{verdict:?}"),
        Verdict::Holds | Verdict::Vacuous => prop_assert!(expected, "{verdict:?}"),
        other => prop_assert!(false, "{other:?}"),
    }
    // What ended before the operation that the witness names can be placed, with that operation it cannot. (Of several
    // objects that are to blame, the witness is about one only; the sweep of queues has witnesses of another kind.)
    if let ([stuck], [_], false) =
        (verdict.offending.as_slice(), verdict.violated.as_slice(), model == ModelKind::Queue)
    {
        let all = history(operations.clone());
        let stuck = judged(&all, model).offending.first().copied().unwrap_or(*stuck);
        let horizon = operations[stuck].end.expect("an operation that must be placed");
        // What has not ended by then may have taken effect.
        let cut = |last: bool| -> Vec<Operation> {
            let before = operations.iter().filter(|operation| operation.start <= horizon);
            let ended = |end: &u64| *end < horizon || (last && *end == horizon);
            before.map(|operation| Operation { end: operation.end.filter(ended), ..operation.clone() }).collect()
        };
        prop_assert!(exists(&cut(false), &initial), "the prefix has an order");
        prop_assert!(!exists(&cut(true), &initial), "the operation has a place");
    }
    Ok(())
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![6 => Just(Outcome::Ok), 2 => Just(Outcome::Unknown), 1 => Just(Outcome::Failed)]
}

/// Up to six operations of the given kinds, whose spans overlap in all ways.
fn operations(kinds: impl Strategy<Value = (Verb, Value, bool)>) -> impl Strategy<Value = Vec<Operation>> {
    let one = (0_u32..3, kinds, (0_u64..16, 0_u64..6), outcomes());
    let build = |(process, (verb, value, refused), span, outcome)| {
        // What a drain of unknown outcome took, nobody can judge.
        let outcome = if (verb, outcome) == (Verb::Drain, Outcome::Unknown) { Outcome::Ok } else { outcome };
        Operation { refused, ..operation(process, verb, value, span, outcome) }
    };
    proptest::collection::vec(one.prop_map(build), 0..=6)
}

fn small() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), Just(json!(1)), Just(json!(2))]
}

fn reads(verb: Verb) -> impl Strategy<Value = (Verb, Value, bool)> {
    small().prop_map(move |value| (verb, value, false))
}

fn cas() -> impl Strategy<Value = (Verb, Value, bool)> {
    (small(), small(), any::<bool>()).prop_map(|(from, to, refused)| (Verb::Cas, json!([from, to]), refused))
}

fn texts(verb: Verb, choices: &'static [&'static str]) -> impl Strategy<Value = (Verb, Value, bool)> {
    proptest::sample::select(choices).prop_map(move |text| (verb, json!(text), false))
}

fn transactions() -> impl Strategy<Value = (Verb, Value, bool)> {
    let access = (any::<bool>(), 0_u32..3, small());
    let access = access.prop_map(|(write, key, value)| json!([if write { "w" } else { "r" }, key, value]));
    proptest::collection::vec(access, 1..=2).prop_map(|list| (Verb::Txn, Value::Array(list), false))
}

fn queue_operations() -> impl Strategy<Value = (Verb, Value, bool)> {
    let value = prop_oneof![Just(json!(1)), Just(json!(2)), Just(json!(3))];
    let dequeued = prop_oneof![1 => Just(Value::Null), 4 => value.clone()];
    prop_oneof![
        value.prop_map(|value| (Verb::Enqueue, value, false)),
        dequeued.prop_map(|value| (Verb::Dequeue, value, false)),
    ]
}

fn drains() -> impl Strategy<Value = (Verb, Value, bool)> {
    proptest::collection::vec(1..=3, 0..=3).prop_map(|values| (Verb::Drain, json!(values), false))
}

/// Distinct values, dequeued at most once, some blindly, some by drains.
fn distinct_queues(drains_max: usize) -> impl Strategy<Value = Vec<Operation>> {
    let span = || (0_u64..16, 0_u64..6);
    let drains = proptest::collection::vec((0_u64..16, 0_u64..16, any::<bool>()), drains_max.min(1)..=drains_max);
    let value = (span(), proptest::option::weighted(0.6, span()), any::<bool>());
    let values = proptest::collection::vec(value, 0..=3);
    let blind = proptest::collection::vec(span(), 0..=2);
    let empties = proptest::collection::vec(span(), 0..=1);
    let to_drain = proptest::collection::vec(proptest::option::weighted(0.8, 0..drains_max.max(1)), 3);
    (values, blind, empties, drains, to_drain).prop_map(|(values, blind, empties, drains, to_drain)| {
        let mut all = Vec::new();
        let mut drained = vec![Vec::new(); drains.len()];
        for (value, (add, remove, sure)) in values.into_iter().enumerate() {
            let outcome = if sure { Outcome::Ok } else { Outcome::Unknown };
            all.push(operation(0, Verb::Enqueue, json!(value), add, outcome));
            match to_drain[value].and_then(|drain| drained.get_mut(drain)) {
                Some(drained) => drained.push(value),
                None => all.extend(remove.map(|span| operation(1, Verb::Dequeue, json!(value), span, Outcome::Ok))),
            }
        }
        for (mut values, (start, took, backwards)) in drained.into_iter().zip(drains) {
            if backwards {
                values.reverse();
            }
            all.push(operation(3, Verb::Drain, json!(values), (start, took), Outcome::Ok));
        }
        all.extend(blind.into_iter().map(|span| operation(2, Verb::Dequeue, Value::Null, span, Outcome::Unknown)));
        all.extend(empties.into_iter().map(|span| operation(2, Verb::Dequeue, Value::Null, span, Outcome::Ok)));
        all
    })
}

fn one() -> Plain {
    Plain(vec![Value::Null])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_register_is_judged_as_by_trying_all_orders(
        history in operations(prop_oneof![reads(Verb::Read), reads(Verb::Write)])
    ) {
        agrees(history, ModelKind::Register, one())?;
    }

    #[test]
    fn a_compare_and_set_register_is_judged_as_by_trying_all_orders(
        history in operations(prop_oneof![reads(Verb::Read), reads(Verb::Write), cas(), cas()])
    ) {
        agrees(history, ModelKind::CasRegister, one())?;
    }

    #[test]
    fn a_key_value_store_is_judged_as_by_trying_all_orders(
        history in operations(prop_oneof![
            texts(Verb::Get, &["", "a", "b", "ab", "aa", "ba"]),
            texts(Verb::Put, &["a", "b"]),
            texts(Verb::Append, &["a", "b"]),
            texts(Verb::Delete, &[""]),
        ])
    ) {
        agrees(history, ModelKind::KeyValue, one())?;
    }

    #[test]
    fn several_registers_are_judged_as_by_trying_all_orders(history in operations(transactions())) {
        agrees(history, ModelKind::MultiRegister, Plain(vec![Value::Null; 3]))?;
    }

    #[test]
    fn a_mutex_is_judged_as_by_trying_all_orders(
        history in operations(prop_oneof![texts(Verb::Acquire, &[""]), texts(Verb::Release, &[""])])
    ) {
        agrees(history, ModelKind::Mutex, one())?;
    }

    #[test]
    fn a_queue_is_judged_as_by_trying_all_orders(history in operations(queue_operations())) {
        agrees(history, ModelKind::Queue, Plain(vec![]))?;
    }

    #[test]
    fn a_queue_of_distinct_values_is_judged_as_by_trying_all_orders(history in distinct_queues(0)) {
        agrees(history, ModelKind::Queue, Plain(vec![]))?;
    }

    #[test]
    fn a_queue_with_drains_is_judged_as_by_trying_all_orders(
        history in operations(prop_oneof![3 => queue_operations(), 1 => drains()])
    ) {
        agrees(history, ModelKind::Queue, Plain(vec![]))?;
    }

    #[test]
    fn a_queue_of_distinct_values_with_drains_is_judged_as_by_trying_all_orders(history in distinct_queues(2)) {
        agrees(history, ModelKind::Queue, Plain(vec![]))?;
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "(\\PC|[\\[\\](){}:#_\"\\\\;, 0-9a-z\n]){0,60}") {
        let mut reader = EdnReader::new(&text);
        while let Ok(Some(_)) = reader.value() {}
        for format in Format::ALL {
            let _ = read("fuzz", &text, format);
        }
    }

    #[test]
    fn no_history_made_of_its_words_makes_a_reader_panic(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "{", "}", "[", "]", ":type", ":invoke", ":ok", ":process", "0", "nil", ":f", ":read", ":value", "\"x\"", "#_",
            "INFO jepsen.util - ", "\n", "\t", ":cas", "[1 2]", "#a", "\\a", "{\"process\":", "\"outcome\"", ":", ",", "1/2",
        ]), 0..30)
    ) {
        let text = words.join(" ");
        for format in Format::ALL {
            if let Ok(history) = read("fuzz", &text, format) {
                let _ = judge("fuzz", &text, &history, &Options::default(), &AtomicBool::new(false));
            }
        }
    }
}

#[test]
fn edn_is_read_as_the_values_it_stands_for() {
    let value = |text: &str| EdnReader::new(text).value();
    let text = r#"#x/y {:a [1 -2 +3 4N 1.5 2.0M nil true], "b" #{2 1}, c/d (\a \newline \u0041 "q\"\n") ; end
        #_ignored :e 123456789012345678901234567890 :f 1/3}"#;
    let expected = json!({
        "a": [1, -2, 3, 4, 1.5, 2.0, null, true],
        "b": [1, 2],
        "c/d": ["a", "\n", "A", "q\"\n"],
        "e": "123456789012345678901234567890",
        "f": "1/3",
    });
    assert_eq!(value(text), Ok(Some(expected)));
    for bad in ["[1", "{:a}", "}", "\"x", ":", "\"\\q\"", "12x", "#", "\\", "#_"] {
        assert!(value(bad).is_err(), "{bad}");
    }
    assert!(value(&"[".repeat(100_000)).is_err());
    assert!(value(&"#_".repeat(100_000)).is_err());
    assert!(value(&"#_ ".repeat(100_000)).is_err());
}
