//! JUnit XML as CI systems read it.

use ferret_reports::{Verdict, render_junit};

use crate::{degenerate, hostile, sample};

#[test]
fn a_suite_per_scenario_and_a_case_per_seed() {
    let mut runs = vec![sample::passing(1), sample::violated(2), sample::passing(1)];
    runs[2].scenario.name = "leader-partition".into();
    insta::assert_snapshot!(render_junit(&runs));
}

#[test]
fn a_bug_of_the_harness_is_an_error_and_undecided_is_a_failure() {
    let mut undecided = sample::passing(2);
    undecided.verdict = Verdict::Undecided;
    let xml = render_junit(&[degenerate(), undecided]);
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"1\""));
    assert!(xml.contains("<error type=\"Internal error\"") && xml.contains("<failure type=\"Undecided\""));
}

#[test]
fn no_text_breaks_the_xml() {
    let xml = render_junit(&[hostile()]);
    assert!(xml.chars().all(|c| c == '\n' || c >= ' '), "a control character is not XML");
    assert!(!xml.contains("<script") && !xml.contains("]]>") && !xml.contains("<!--"));
    for (line, text) in xml.lines().enumerate() {
        for at in text.match_indices('&').map(|(at, _)| at) {
            let entity = text[at..].split(';').next().unwrap_or_default();
            assert!(entity.len() < 7 && text[at..].contains(';'), "line {line}: a bare ampersand");
        }
    }
}

#[test]
fn no_runs_are_an_empty_report() {
    assert!(render_junit(&[]).contains("<testsuites name=\"ferret\" tests=\"0\""));
}
