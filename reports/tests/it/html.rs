//! The page keeps to itself, stays whole under hostile input, and says the important things first.

use std::collections::BTreeSet;

use ferret_reports::{HistoryOperation, HistoryRecord, InvariantVerdict, Verdict, render_history_html, render_html};

use crate::{degenerate, hostile, sample};

#[test]
fn equal_records_give_equal_pages() {
    assert_eq!(render_html(&sample::twelve()), render_html(&sample::twelve()));
}

#[test]
fn the_page_names_nothing_to_fetch() {
    let page = render_html(&sample::twelve());
    for forbidden in ["http:", "https:", "://", " src=", "@import", "<link", "fetch(", "url(http", "<iframe", "<img"] {
        assert_eq!(page.find(forbidden), None, "{forbidden}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn markup_in_any_text_stays_text() {
    for runs in [vec![hostile()], vec![hostile(), hostile()]] {
        let page = render_html(&runs);
        assert!(!page.contains("<script>alert"), "a script got in");
        assert_eq!(page.matches("</script>").count(), runs.len() + 1, "a script element was closed from inside");
        assert!(!page.contains("<!--"));
        assert!(!page.contains('\u{0}') && !page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;alert(1)"), "the text itself is shown");
    }
}

#[test]
fn a_record_without_anything_in_it_is_still_a_page() {
    let page = render_html(&[degenerate()]);
    assert!(!page.contains("NaN") && !page.contains("inf"), "no nonsense numbers");
    assert!(render_html(&[]).contains("Nothing was run"));
}

#[test]
fn a_crowded_figure_says_what_it_leaves_out() {
    let page = render_html(&[sample::crowded()]);
    assert!(page.contains("5 more groups, with fewer leader changes, are not drawn"));
    assert!(page.contains("8 more clients are not drawn"));
    assert!(page.contains("2 faults had no effect"));
}

#[test]
fn ids_are_unique_and_every_link_has_its_target() {
    let page = render_html(&sample::twelve());
    let words = || page.split(['<', '>', ' ']).map(|word| word.trim_matches('/'));
    let mut ids = BTreeSet::new();
    for id in words().filter_map(|word| word.strip_prefix("id=")) {
        assert!(ids.insert(id.trim_matches('"')), "{id} is there twice");
    }
    for target in words().filter_map(|word| word.strip_prefix("href=\"#")) {
        assert!(ids.contains(target.trim_matches('"')), "#{target} leads nowhere");
    }
}

#[test]
fn the_verdict_and_its_reason_come_before_everything_else() {
    let page = render_html(&[sample::violated(7)]);
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
    let order = [
        "Violated</span> no-confirmed-loss does not hold through 3 faults",
        "<p class=why>no-confirmed-loss: message pub-1/417",
        "--seed 7 --sabotage confirm-before-sync",
        "Invariants: 1 violated, 1 undecided, 11 hold, 1 vacuous",
        "no-confirmed-loss is violated",
        "What happened, in virtual time",
        "All 3 faults took effect",
        "The scenario",
    ];
    assert!(order.map(at).is_sorted());
}

#[test]
fn a_pass_says_what_it_went_through() {
    let page = render_html(&[sample::passing(1)]);
    assert!(page.contains("13 invariants hold through 3 faults"));
}

#[test]
fn a_pass_that_found_the_expected_violation_does_not_claim_that_all_hold() {
    let mut run = sample::violated(7);
    run.verdict = Verdict::Pass;
    let page = render_html(&[run]);
    assert!(page.contains("Found what the scenario expects: no-confirmed-loss violated"));
}

#[test]
fn failures_are_open_and_come_first_and_passes_are_closed() {
    let runs = sample::twelve();
    let page = render_html(&runs);
    assert_eq!(page.matches("<details class=run").count(), 12);
    let open: Vec<_> = page.match_indices(" open><summary>").collect();
    assert_eq!(open.len(), 3);
    let first_pass = page.find("<details class=run id=run-1>").expect("run 1 passes");
    assert!(open.iter().all(|(at, _)| *at < first_pass));
}

#[test]
fn a_cluster_that_could_not_recover_is_not_called_violated() {
    let mut run = sample::passing(1);
    run.invariants[11].verdict = InvariantVerdict::NotRecoverable;
    run.invariants[11].explanation = Some("two of three nodes lost their synced data".into());
    let page = render_html(&[run]);
    assert!(page.contains("liveness is not recoverable") && !page.contains("is violated"));
}

#[test]
fn a_run_of_a_minute_fits_in_a_hundred_kilobytes() {
    assert!(render_html(&[sample::violated(7)]).len() < 110_000);
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
