//! The pages keep to themselves, stay whole under hostile input, and say the important things first.

use std::collections::BTreeSet;

use ferret_reports::{
    EventLog, HistoryOperation, HistoryRecord, InvariantResult, InvariantVerdict, LinkedRun, RunRecord, Unmade,
    UnmadeRun, Verdict, WitnessEvent, WitnessKind, rejudge_run_html, render_history_html, render_overview_html,
    render_run_html,
};

use crate::{degenerate, hostile, sample};

fn page(run: &RunRecord) -> String {
    render_run_html(run, &sample::events())
}

fn overview(runs: &[RunRecord]) -> String {
    let pages: Vec<String> = (1..=runs.len()).map(|number| format!("run-{number}.html")).collect();
    let linked: Vec<_> = runs.iter().zip(&pages).map(|(record, page)| LinkedRun { record, page }).collect();
    let worst = runs.iter().map(|run| run.verdict).max().unwrap_or(Verdict::Pass);
    render_overview_html(&linked, &Unmade::default(), worst)
}

#[test]
fn equal_records_give_equal_pages() {
    assert_eq!(page(&sample::violated(7)), page(&sample::violated(7)));
    assert_eq!(overview(&sample::twelve()), overview(&sample::twelve()));
}

#[test]
fn an_overview_of_which_runs_are_missing_says_so_first() {
    let runs = [sample::passing(1), sample::passing(2)];
    let linked: Vec<_> = runs.iter().map(|record| LinkedRun { record, page: "run.html" }).collect();
    let run = UnmadeRun { scenario: "<b>".into(), path: "a.toml".into(), seed: 3 };
    let unmade = Unmade { why: "the <budget> is spent".into(), runs: vec![run] };
    let page = render_overview_html(&linked, &unmade, Verdict::Incomplete);
    assert!(page.contains("hero warn") && page.contains("2 of 3 runs pass, 1 not made"), "{page}");
    assert!(page.contains("Not made: 1 run; the &lt;budget&gt; is spent."), "{page}");
    let page = render_overview_html(&[], &Unmade::default(), Verdict::Incomplete);
    assert!(page.contains("hero warn") && page.contains("Nothing was run"), "{page}");
}

#[test]
fn an_invariant_stands_with_its_promise_and_one_of_an_earlier_version_without() {
    let mut run = sample::passing(1);
    run.invariants[0].promise = "every message arrives".into();
    assert!(page(&run).contains("</h4><p>Every message arrives</p>"));
    let mut json = serde_json::to_value(&run).expect("a record is JSON");
    json["invariants"][0].as_object_mut().expect("an object").remove("promise");
    let earlier: RunRecord = serde_json::from_value(json).expect("an earlier version's record is read");
    assert!(!page(&earlier).contains("Every message arrives") && !page(&earlier).contains("<p></p>"));
}

#[test]
fn what_was_violated_first_is_told_first_everywhere() {
    let mut run = sample::passing(1);
    run.verdict = Verdict::Violated;
    let event = |at_ns: u64, who: &str| {
        let (who, what) = (who.to_owned(), "did it".to_owned());
        WitnessEvent { at_ns, who, what, kind: WitnessKind::Node }
    };
    let [later, sooner, unasked] = [0, 1, 2].map(|index| run.invariants[index].name.clone());
    for (index, at_ns, required) in [(0, 9, true), (1, 5, true), (2, 1, false)] {
        let result = &mut run.invariants[index];
        // What the run tells at its end, and a fault that goes on, date nothing.
        let witness = vec![event(at_ns, "n1"), event(50, "faults"), event(60, "run")];
        let explanation = Some(format!("{} went wrong", result.name));
        *result =
            InvariantResult { verdict: InvariantVerdict::Violated, required, witness, explanation, ..result.clone() };
    }
    run.reasons.clear();
    let order: Vec<&str> = run.violated().map(|result| result.name.as_str()).collect();
    assert_eq!(order, [&sooner, &later, &unasked]);
    let first_of = |page: &str, from: &str| {
        let told = &page[page.find(from).unwrap_or_else(|| panic!("no {from}: {page}"))..];
        let place = |name: &String| told.find(name.as_str()).expect("each is named");
        [&sooner, &later].into_iter().min_by_key(|name| place(name)).cloned()
    };
    for (page, from) in [(page(&run), "<h1"), (page(&run), "class=why"), (page(&run), "section class=\"witness")] {
        assert_eq!(first_of(&page, from), Some(sooner.clone()), "{from}");
    }
    for from in ["<h3>", "class=why"] {
        assert_eq!(first_of(&overview(&[run.clone(), run.clone()]), from), Some(sooner.clone()), "{from}");
    }
}

#[test]
fn pages_name_nothing_to_fetch() {
    for page in [page(&sample::violated(7)), overview(&sample::twelve())] {
        let forbidden = [
            "http:", "https:", "://", " src=", "@import", "<link", "fetch(", "url(", "<iframe", "<img", "XMLHttp",
            "import(",
        ];
        for forbidden in forbidden {
            assert_eq!(page.find(forbidden), None, "{forbidden}");
        }
        assert!(page.contains("default-src 'none'"));
    }
}

#[test]
fn the_page_never_parses_text_as_markup() {
    let page = page(&sample::violated(7));
    for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn markup_in_any_text_stays_text() {
    let nasty = "</script><script>alert(1)</script>".to_owned();
    let mut events = sample::events();
    events.queues = vec![nasty.clone()];
    events.groups[1] = nasty;
    let one = render_run_html(&hostile(), &events);
    for (page, scripts) in [(one, 4), (overview(&[hostile(), hostile()]), 1)] {
        assert!(!page.contains("<script>alert"), "a script got in");
        assert_eq!(page.matches("</script>").count(), scripts, "a script element was closed from inside");
        let marks = page.matches("<!--events-->").count() + page.matches("<!--/events-->").count();
        assert_eq!(page.matches("<!--").count(), marks, "only the marks of what comes from the events");
        assert!(!page.contains('\u{0}') && !page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;alert(1)"), "the text itself is shown");
    }
}

#[test]
fn a_record_without_anything_in_it_is_still_a_page() {
    let page = render_run_html(&degenerate(), &EventLog::default());
    let body = page.split("<script>\n\"use strict\"").next().expect("a page has a beginning");
    assert!(!body.contains("NaN") && !body.contains(">inf"), "no nonsense numbers");
    assert!(overview(&[]).contains("Nothing was run"));
}

#[test]
fn ids_are_unique_and_every_link_has_its_target() {
    for page in [page(&sample::violated(7)), page(&sample::crowded()), overview(&sample::twelve())] {
        let page = page.split("<script>\n\"use strict\"").next().expect("a page has a beginning");
        let words = || page.split(['<', '>', ' ']).map(|word| word.trim_matches('/'));
        let mut ids = BTreeSet::new();
        for id in words().filter_map(|word| word.strip_prefix("id=")) {
            assert!(ids.insert(id.trim_matches('"')), "{id} is there twice");
        }
        for target in words().filter_map(|word| word.strip_prefix("href=\"#")) {
            let target = target.trim_matches('"');
            // Messages and times are found by the page's script.
            let is_search = target.starts_with("message=") || target.starts_with("at=");
            assert!(is_search || ids.contains(target), "#{target} leads nowhere");
        }
    }
}

#[test]
fn the_verdict_and_its_reason_come_before_everything_else() {
    let page = page(&sample::violated(7));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    let order = [
        "Violated</span> no-confirmed-loss does not hold through 3 faults",
        "<p class=why>no-confirmed-loss: message pub-1/417",
        "--seed 7 --sabotage confirm-before-sync",
        "no-confirmed-loss is violated",
        "What happened, in virtual time",
        "All 3 faults took effect",
        "1 message of 2 confirmed were never received",
        "1 outcome unknown, and how each resolved",
        "Invariants: 1 violated, 1 undecided, 11 hold, 1 vacuous",
        "The scenario",
    ];
    assert!(order.map(at).is_sorted(), "{:?}", order.map(at));
}

#[test]
fn a_witness_shows_the_fault_the_loss_of_the_node_and_its_disk() {
    let page = page(&sample::violated(7));
    assert!(page.contains("<small>disk</small>"), "the node that lost power has a line for its disk");
    assert!(page.contains("<i class=fault></i>") && page.contains("<i class=down>✕</i>"));
    assert!(page.contains("dead"), "its line is broken from there on");
}

#[test]
fn what_was_lost_is_placed_in_its_queue_and_its_replicas() {
    let page = page(&sample::violated(7));
    assert!(page.contains("0 lost at the beginning, 0 in the middle, 1 at the end of 2 confirmed"));
    assert!(page.contains("entry 5,561 gone after a restart, never synced"));
    assert!(page.contains("href=\"#message=pub-1/417\""));
}

#[test]
fn an_unknown_outcome_says_how_it_resolved() {
    let mut events = sample::events();
    assert!(render_run_html(&sample::violated(7), &events).contains("nobody was there to see it"));
    events.receipts[0].publish = Some(2);
    assert!(render_run_html(&sample::violated(7), &events).contains("received by con-1 at 13.995 s"));
}

#[test]
fn a_run_judged_anew_keeps_its_events() {
    let mut run = sample::violated(7);
    let old = page(&run);
    run.verdict = Verdict::Vacuous;
    run.reasons = vec!["redelivered never happened".into()];
    let fresh = rejudge_run_html(&old, &run).expect("the same kind of page");
    assert_eq!(fresh, page(&run));
    assert_eq!(rejudge_run_html("<html>", &run), None);
}

#[test]
fn a_pass_says_what_it_went_through() {
    assert!(page(&sample::passing(1)).contains("13 invariants hold through 3 faults"));
}

#[test]
fn a_pass_that_found_the_expected_violation_does_not_claim_that_all_hold() {
    let mut run = sample::violated(7);
    run.verdict = Verdict::Pass;
    assert!(page(&run).contains("Found what the scenario expects: no-confirmed-loss violated"));
}

#[test]
fn failures_are_grouped_by_cause_and_lead_to_their_runs() {
    let mut runs = sample::twelve();
    runs.push(RunRecord { seed: 99, ..sample::violated(8) });
    let page = overview(&runs);
    assert!(page.contains("Failures by cause: 3 causes"));
    let cause = page.split("<article class=\"cause").find(|part| part.contains("no-confirmed-loss is violated"));
    let cause = cause.expect("a cause of its own");
    assert!(
        cause.contains("2 runs in") && cause.contains("href=\"run-5.html\"") && cause.contains("href=\"run-13.html\"")
    );
}

#[test]
fn a_cluster_that_could_not_recover_is_not_called_violated() {
    let mut run = sample::passing(1);
    run.invariants[11].verdict = InvariantVerdict::NotRecoverable;
    run.invariants[11].explanation = Some("two of three nodes lost their synced data".into());
    let page = page(&run);
    assert!(page.contains("liveness is not recoverable") && !page.contains("is violated<"));
}

#[test]
fn the_page_without_its_events_stays_small() {
    let (one, many) = (page(&sample::violated(7)).len(), overview(&sample::twelve()).len());
    assert!(one < 160_000 && many < 80_000, "{one} {many}");
}

#[test]
fn a_judged_history_shows_what_has_no_place_and_lets_no_markup_in() {
    let operation = |process: &str, end, offending| HistoryOperation {
        process: process.to_owned(),
        label: "read → \"<b>\"".to_owned(),
        place: "line 1".to_owned(),
        start: 3,
        end,
        witness: true,
        offending,
    };
    let page = render_history_html(&HistoryRecord {
        path: "<script>.edn".to_owned(),
        summary: "register: 2 operations".to_owned(),
        verdict: InvariantVerdict::Violated,
        explanation: Some("it read <b>".to_owned()),
        total: 2,
        operations: vec![operation("1", Some(9), true), operation("<i>", None, false)],
    });
    assert!(page.contains("violated") && page.contains("✗ read"), "{page}");
    assert!(page.contains("stroke-dasharray"), "the open operation has no end");
    for markup in ["<b>\"", "<i>", "<script>.edn", "read <b>"] {
        assert!(!page.contains(markup), "{markup} got in");
    }
    assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
}
