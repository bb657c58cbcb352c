//! JUnit XML: one suite per scenario, one case per seed.
//!
//! The dialect is the one that CI systems read in common (the Ant schema with properties in cases). A run that did
//! not pass is a `failure`; a bug of the harness is an `error`. Nothing is ever `skipped`: undecided is not a pass.

use std::fmt::Write;

use crate::{InvariantVerdict, RunRecord, Verdict, escape::xml, finding};

/// Renders runs as JUnit XML, suites in order of first appearance. Times are seconds of wall time.
pub fn render_junit(runs: &[RunRecord]) -> String {
    let mut suites: Vec<Vec<&RunRecord>> = Vec::new();
    for run in runs {
        let same = |suite: &&mut Vec<&RunRecord>| {
            suite[0].scenario.name == run.scenario.name && suite[0].scenario.path == run.scenario.path
        };
        match suites.iter_mut().find(same) {
            Some(suite) => suite.push(run),
            None => suites.push(vec![run]),
        }
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let all: Vec<&RunRecord> = runs.iter().collect();
    let _ = writeln!(out, "<testsuites name=\"ferret\" {}>", totals(&all));
    for suite in &suites {
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", xml(&suite[0].scenario.name), totals(suite));
        for run in suite {
            case(&mut out, run);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(out: &mut String, run: &RunRecord) {
    let _ = writeln!(
        out,
        "    <testcase classname=\"{}\" name=\"seed {}\" file=\"{}\" time=\"{}\">",
        xml(&run.scenario.name),
        run.seed,
        xml(&run.scenario.path),
        time(run.wall_seconds)
    );
    out.push_str("      <properties>\n");
    let mut property = |name: &str, value: &str| {
        let _ = writeln!(out, "        <property name=\"{name}\" value=\"{}\"/>", xml(value));
    };
    property("verdict", finding::word(run.verdict));
    property("trace_hash", &run.trace_hash);
    property("replay", &run.replay);
    property("virtual_seconds", &time(run.virtual_seconds));
    if let Some(sabotage) = &run.sabotage {
        property("sabotage", sabotage);
    }
    out.push_str("      </properties>\n");
    let element = match run.verdict {
        Verdict::Pass => None,
        Verdict::Internal => Some("error"),
        _ => Some("failure"),
    };
    if let Some(element) = element {
        let _ = writeln!(
            out,
            "      <{element} type=\"{}\" message=\"{}\">{}</{element}>",
            finding::word(run.verdict),
            xml(&format!("{}: {}", finding::word(run.verdict), finding::headline(run))),
            xml(&details(run)).replace("&#10;", "\n")
        );
    }
    out.push_str("    </testcase>\n");
}

/// The body of a failure: the reasons, each invariant that did not hold with its witness, and how to see it again.
fn details(run: &RunRecord) -> String {
    let mut out = finding::reasons(run).join("\n");
    for invariant in finding::by_urgency(&run.invariants) {
        if matches!(invariant.verdict, InvariantVerdict::Holds | InvariantVerdict::Vacuous) {
            continue;
        }
        let _ = write!(out, "\n\n{}: {}", invariant.name, finding::invariant_word(invariant.verdict));
        if let Some(explanation) = &invariant.explanation {
            let _ = write!(out, "\n{explanation}");
        }
        for event in &invariant.witness {
            let _ = write!(out, "\n  {:>9.3} s  {:<8} {}", event.at_ns as f64 / 1e9, event.who, event.what);
        }
    }
    let _ = write!(out, "\n\nReplay: {}", run.replay);
    out
}

fn totals(runs: &[&RunRecord]) -> String {
    let errors = runs.iter().filter(|run| run.verdict == Verdict::Internal).count();
    let failures = runs.iter().filter(|run| run.verdict != Verdict::Pass).count() - errors;
    let wall: f64 = runs.iter().map(|run| run.wall_seconds).filter(|s| s.is_finite()).sum();
    format!("tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{}\"", runs.len(), time(wall))
}

fn time(seconds: f64) -> String {
    format!("{:.3}", if seconds.is_finite() { seconds.max(0.0) } else { 0.0 })
}
