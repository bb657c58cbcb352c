//! A gate's verdict in every rendering, annotations, and the cases of many seeds.

use ferret_reports::{
    GATE_VERSION, GateCheck, GateRecord, MARKDOWN_BYTES_MAX, MetricMove, RunRecord, Unmade, Verdict,
    render_annotations, render_gate_junit, render_gate_markdown, render_junit,
};

use crate::{hostile, sample};

fn gate(text: &str) -> GateRecord {
    let check = |verdict| GateCheck {
        name: text.to_owned(),
        verdict,
        finding: text.to_owned(),
        line: 7,
        replay: Some(text.to_owned()),
    };
    let moved = MetricMove {
        scenario: text.to_owned(),
        metric: text.to_owned(),
        seeds: 2,
        was: 1.0,
        now: 2.0,
        was_text: text.to_owned(),
        now_text: text.to_owned(),
        change_percent: None,
        regression: true,
        worst_seed: Some(1),
    };
    GateRecord {
        version: GATE_VERSION,
        name: text.to_owned(),
        policy: text.to_owned(),
        build: String::new(),
        verdict: Verdict::Violated,
        checks: [Verdict::Pass, Verdict::Violated, Verdict::Internal].repeat(40).into_iter().map(check).collect(),
        moves: vec![moved; 200],
        results_hash: String::new(),
    }
}

fn nasty() -> String {
    hostile().scenario.name
}

#[test]
fn a_gate_in_hostile_words_stays_within_its_lines() {
    let markdown = render_gate_markdown(&[], &Unmade::default(), Verdict::Pass, &gate(&nasty()));
    assert!(!markdown.contains("<script"), "markup got in");
    let row = markdown.lines().nth(4).expect("the first check");
    assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
    let xml = render_gate_junit(&[hostile()], &Unmade::default(), &gate(&nasty()));
    assert!(xml.chars().all(|c| c == '\n' || c >= ' ') && !xml.contains("<script") && !xml.contains("]]>"));
    let annotations = render_annotations(&[hostile()], Some(&gate(&nasty())));
    assert!(annotations.lines().all(|line| line.starts_with("::error ")), "{annotations}");
}

#[test]
fn however_large_a_gate_is_its_summary_stays_below_the_limit_and_shows_failures() {
    let runs = vec![sample::violated(1); 2_000];
    for text in ["<".repeat(10_000), "é|".repeat(5_000), "x".to_owned()] {
        let markdown = render_gate_markdown(&runs, &Unmade::default(), Verdict::Violated, &gate(&text));
        assert!(markdown.len() <= MARKDOWN_BYTES_MAX, "{} bytes", markdown.len());
        assert!(markdown.contains("70 more checks are not shown here") && markdown.contains("Replay"));
    }
}

#[test]
fn an_annotation_stands_at_the_line_that_asks_for_what_was_not_given() {
    let line = |run: &RunRecord| {
        let text = render_annotations(std::slice::from_ref(run), None);
        let line = text.split("line=").nth(1).and_then(|rest| rest.split(',').next()).expect("it has a line");
        line.parse::<usize>().expect("the line is a number")
    };
    let text_at = |run: &RunRecord| run.scenario.text.lines().nth(line(run) - 1).expect("the line is there").to_owned();
    let violated = sample::violated(1);
    assert!(text_at(&violated).starts_with("name = "), "{}", text_at(&violated));
    let mut vacuous = sample::passing(1);
    vacuous.verdict = Verdict::Vacuous;
    vacuous.faults[1].bit = false;
    assert_eq!(line(&vacuous), vacuous.faults[1].line as usize);
    let mut crossed = sample::passing(1);
    crossed.verdict = Verdict::Threshold;
    crossed.thresholds[0].held = false;
    assert!(text_at(&crossed).contains(&crossed.thresholds[0].name), "{}", text_at(&crossed));
}

#[test]
fn seeds_that_fail_alike_have_one_annotation_and_no_more_than_github_shows() {
    let runs: Vec<RunRecord> = (1..=30).map(sample::violated).collect();
    let text = render_annotations(&runs, None);
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("(and 29 more seeds)"), "{text}");
    assert_eq!(render_annotations(&runs, Some(&gate("x"))).lines().count(), 10);
    assert_eq!(render_annotations(&[sample::passing(1)], None), "");
}

#[test]
fn many_seeds_are_cases_by_the_group_which_keep_their_names() {
    let runs = |last| -> Vec<RunRecord> {
        (1..=last).map(|seed| if seed == 30 { sample::violated(seed) } else { sample::passing(seed) }).collect()
    };
    let names = |xml: &str| -> Vec<String> {
        xml.lines().filter_map(|line| Some(line.split("name=\"seed").nth(1)?.split('"').next()?.to_owned())).collect()
    };
    let xml = render_junit(&runs(60), &Unmade::default());
    assert_eq!(names(&xml), ["s 1 to 25", "s 26 to 50", "s 51 to 75"]);
    assert_eq!(names(&render_junit(&runs(100), &Unmade::default()))[..3], names(&xml)[..]);
    assert!(xml.contains("tests=\"3\" failures=\"1\""));
    let replay = sample::violated(30).replay;
    assert!(xml.contains(&format!("Replay: {replay}")) && xml.contains("1 of 25 seeds"), "{xml}");
    assert_eq!(names(&render_junit(&runs(3), &Unmade::default())).len(), 3, "few seeds have a case each");
}
