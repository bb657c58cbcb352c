//! The summary of a CI step.

use ferret_reports::{
    MARKDOWN_BYTES_MAX, RunRecord, Unmade, UnmadeRun, Verdict, WitnessEvent, WitnessKind, render_markdown,
};

use crate::{degenerate, hostile, sample};

#[test]
fn a_table_of_all_runs_and_the_details_of_the_failed() {
    insta::assert_snapshot!(render_markdown(&sample::twelve(), &Unmade::default(), Verdict::Violated));
}

#[test]
fn a_failure_in_hostile_words_stays_within_its_line() {
    let summary = render_markdown(&[hostile()], &Unmade::default(), Verdict::Violated);
    // Within a code block, where the replay line is, any text is text.
    let outside: String = summary.split("```").step_by(2).collect();
    assert!(!outside.contains("<script"), "markup got in");
    let row = summary.lines().nth(4).expect("the run's row");
    assert_eq!(row.replace("\\|", "").matches('|').count(), 9, "{row}");
}

#[test]
fn whatever_the_input_the_summary_stays_below_its_limit_and_says_what_is_missing() {
    let mut run = sample::violated(1);
    run.scenario.name = "é|".repeat(5_000);
    run.replay = "`".repeat(5_000);
    run.reasons = vec!["<".repeat(5_000); 20];
    let event =
        WitnessEvent { at_ns: u64::MAX, who: "<".repeat(3_000), kind: WitnessKind::Client, what: "|".repeat(3_000) };
    run.invariants[0].witness = vec![event; 100];
    for runs in [vec![run.clone()], vec![run; 150], vec![sample::violated(1); 2_000]] {
        let summary = render_markdown(&runs, &Unmade::default(), Verdict::Violated);
        assert!(summary.len() <= MARKDOWN_BYTES_MAX, "{} bytes", summary.len());
        assert!(runs.len() == 1 || summary.contains("are not shown here"));
        assert!(summary.contains("Replay"), "the first failure has its details");
    }
}

#[test]
fn nothing_run_is_said() {
    for verdict in [Verdict::Pass, Verdict::Incomplete] {
        assert!(render_markdown(&[], &Unmade::default(), verdict).starts_with("## ⚠️ Nothing was run\n"));
    }
    assert!(
        render_markdown(&[degenerate()], &Unmade::default(), Verdict::Internal)
            .contains("the harness failed, not the broker")
    );
}

#[test]
fn the_verdict_of_the_whole_is_its_heading_whatever_the_runs_that_were_made() {
    let heading = |runs: &[RunRecord], verdict| {
        let unmade = Unmade::default();
        render_markdown(runs, &unmade, verdict).lines().next().expect("it has one").to_owned()
    };
    let passing = [sample::passing(1), sample::passing(2)];
    assert_eq!(heading(&passing, Verdict::Pass), "## ✅ Pass: all 2 runs");
    assert_eq!(heading(&passing, Verdict::Incomplete), "## ⚠️ Incomplete: 2 runs made, none failed");
    assert_eq!(heading(&passing[..1], Verdict::Incomplete), "## ⚠️ Incomplete: 1 run made, none failed");
}

#[test]
fn what_was_not_run_is_listed_by_ranges_of_seeds() {
    let run = |(scenario, seed): (&str, u64)| UnmadeRun { scenario: scenario.into(), path: "a.toml".into(), seed };
    let runs = [("a|b", 1), ("a|b", 5), ("a|b", 4), ("c", u64::MAX)].map(run).to_vec();
    let summary = render_markdown(&[], &Unmade { why: "interrupted".into(), runs }, Verdict::Incomplete);
    assert!(summary.starts_with("## ⚠️ Incomplete: 0 of 4 runs pass, 4 not made\n"), "{summary}");
    assert!(summary.contains("4 runs not made: interrupted"), "{summary}");
    assert!(summary.contains("| 1, 4 to 5 |") && summary.contains(&format!("| {} |", u64::MAX)), "{summary}");
    assert!(!summary.contains("| a|b |"), "a name does not break the table: {summary}");
    let many = Unmade { why: "interrupted".into(), runs: (0..200_000).map(|seed| run(("c", 2 * seed))).collect() };
    assert!(render_markdown(&[], &many, Verdict::Incomplete).len() < 10_000);
}

#[test]
fn two_files_with_one_name_are_told_apart_by_their_paths() {
    let mut runs = vec![sample::violated(1), sample::passing(1)];
    runs[0].scenario.name = "same".into();
    runs[1].scenario.name = "same".into();
    (runs[0].scenario.path, runs[1].scenario.path) = ("gate/a.toml".into(), "soak/a.toml".into());
    let unmade = Unmade {
        why: "interrupted".into(),
        runs: vec![UnmadeRun { scenario: "same".into(), path: "soak/a.toml".into(), seed: 2 }],
    };
    let summary = render_markdown(&runs, &unmade, Verdict::Violated);
    let times = |text: &str| summary.matches(text).count();
    assert_eq!((times("same (gate/a.toml)"), times("same (soak/a.toml)")), (2, 2), "{summary}");
}
