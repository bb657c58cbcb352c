//! JUnit XML as CI systems read it.

use ferret_reports::{Unmade, UnmadeRun, Verdict, render_junit};

use crate::{degenerate, hostile, sample};

#[test]
fn a_suite_per_scenario_and_a_case_per_seed() {
    let mut runs = vec![sample::passing(1), sample::violated(2), sample::passing(1)];
    runs[2].scenario.name = "leader-partition".into();
    insta::assert_snapshot!(render_junit(&runs, &Unmade::default()));
}

#[test]
fn a_bug_of_the_harness_is_an_error_and_undecided_is_a_failure() {
    let mut undecided = sample::passing(2);
    undecided.verdict = Verdict::Undecided;
    let xml = render_junit(&[degenerate(), undecided], &Unmade::default());
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"1\""));
    assert!(xml.contains("<error type=\"Internal error\"") && xml.contains("<failure type=\"Undecided\""));
}

#[test]
fn no_text_breaks_the_xml() {
    let xml = render_junit(&[hostile()], &Unmade::default());
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
    assert!(render_junit(&[], &Unmade::default()).contains("<testsuites name=\"ferret\" tests=\"0\""));
}

#[test]
fn what_was_not_run_is_skipped_and_hides_no_failure() {
    let unmade = |seeds: std::ops::RangeInclusive<u64>| Unmade {
        why: "the budget is spent".into(),
        runs: seeds
            .map(|seed| {
                let info = sample::violated(seed).scenario;
                UnmadeRun { scenario: info.name, path: info.path, seed }
            })
            .collect(),
    };
    let xml = render_junit(&[sample::violated(1)], &unmade(2..=3));
    assert!(xml.contains("tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"2\""), "{xml}");
    assert_eq!(xml.matches("<skipped message=\"not run: the budget is spent\"/>").count(), 2, "{xml}");
    let xml = render_junit(&[sample::violated(1)], &unmade(2..=40));
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"1\""), "{xml}");
    assert!(xml.contains("24 of 25 seeds were not run: the budget is spent"), "{xml}");
}

#[test]
fn a_group_keeps_its_name_when_its_first_seed_is_all_there_is_of_it() {
    let names = |last: u64| {
        let runs: Vec<_> = (1..=last).map(sample::passing).collect();
        let xml = render_junit(&runs, &Unmade::default());
        let names = xml.split("<testcase ").skip(1).map(|case| case.split("name=\"").nth(2).unwrap_or_default());
        names.map(|name| name.split('"').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(26), ["seeds 1 to 25", "seeds 26 to 50"]);
    assert_eq!(names(26), names(27));
    assert_eq!(names(20).len(), 20);
}

#[test]
fn two_files_with_one_name_are_two_suites_of_two_names() {
    let mut runs = vec![sample::passing(1), sample::passing(1), sample::violated(2)];
    (runs[0].scenario.path, runs[1].scenario.path) = ("gate/a.toml".into(), "soak/a.toml".into());
    runs[2].scenario.name = "leader-partition".into();
    let name = runs[0].scenario.name.clone();
    let xml = render_junit(&runs, &Unmade::default());
    for path in ["gate/a.toml", "soak/a.toml"] {
        assert_eq!(xml.matches(&format!("<testsuite name=\"{name} ({path})\"")).count(), 1, "{xml}");
        assert_eq!(xml.matches(&format!("classname=\"{name} ({path})\" name=\"seed 1\"")).count(), 1, "{xml}");
    }
    assert!(xml.contains("<testsuite name=\"leader-partition\""), "a name of its own stands alone: {xml}");
}
