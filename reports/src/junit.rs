//! JUnit XML: one suite per scenario, one case per seed, or per group of seeds where there are many; a gate's checks
//! are a suite of their own.
//!
//! The dialect is the one that CI systems read in common (the Ant schema with properties in cases). A run that did
//! not pass is a `failure`; a bug of the harness is an `error`. What is `skipped` was planned and not run; what was run
//! never is: undecided is not a pass.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
};

use crate::{GateCheck, GateRecord, InvariantVerdict, RunRecord, Unmade, Verdict, escape::xml, finding, title::Titles};

/// A scenario with more seeds than this has one case per group.
const CASES_MAX: usize = 20;
/// Seeds per group. The groups begin at 1, 26, 51, …, so that a case keeps its name when the range of seeds changes.
const GROUP_SEEDS: u64 = 25;
/// The most failures of a group that are told in full.
const GROUP_DETAILS_MAX: usize = 5;

/// A seed of a scenario, and its run if it was made.
#[derive(Clone, Copy)]
struct Seed<'a> {
    seed: u64,
    run: Option<&'a RunRecord>,
}

/// The seeds of one scenario.
struct Suite<'a> {
    name: &'a str,
    /// The name, or more if another suite has the same: CI systems take equal ones for one.
    title: String,
    path: &'a str,
    seeds: Vec<Seed<'a>>,
}

/// Renders runs as JUnit XML, suites in order of first appearance. Times are seconds of wall time.
pub fn render_junit(runs: &[RunRecord], unmade: &Unmade) -> String {
    render(runs, unmade, None)
}

/// The same, with the checks of a gate in front.
pub fn render_gate_junit(runs: &[RunRecord], unmade: &Unmade, gate: &GateRecord) -> String {
    render(runs, unmade, Some(gate))
}

fn render(runs: &[RunRecord], unmade: &Unmade, gate: Option<&GateRecord>) -> String {
    let titles = Titles::new(runs, unmade);
    let mut suites: Vec<Suite<'_>> = Vec::new();
    let mut add = |(name, path), seed| match suites.iter_mut().find(|suite| (suite.name, suite.path) == (name, path)) {
        Some(suite) => suite.seeds.push(seed),
        None => suites.push(Suite { name, title: titles.of(name, path), path, seeds: vec![seed] }),
    };
    for run in runs {
        add((run.scenario.name.as_str(), run.scenario.path.as_str()), Seed { seed: run.seed, run: Some(run) });
    }
    for run in &unmade.runs {
        add((&run.scenario, &run.path), Seed { seed: run.seed, run: None });
    }
    let groups: Vec<Vec<Vec<Seed<'_>>>> = suites.iter().map(|suite| grouped(&suite.seeds)).collect();
    let checks = gate.map_or(&[][..], |gate| &gate.checks);
    let mut all = Totals::of_checks(checks);
    groups.iter().for_each(|groups| all.add(Totals::of_groups(groups)));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(out, "<testsuites name=\"ferret\" {all}>");
    if let Some(gate) = gate {
        let name = xml(&format!("gate {}", gate.name));
        let _ = writeln!(out, "  <testsuite name=\"{name}\" {}>", Totals::of_checks(checks));
        checks.iter().for_each(|check| check_case(&mut out, gate, check));
        out.push_str("  </testsuite>\n");
    }
    for (suite, groups) in suites.iter().zip(&groups) {
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", xml(&suite.title), Totals::of_groups(groups));
        for group in groups {
            match group[..] {
                // Of many seeds, one alone is a group, too: the next range may have more of it.
                [one] if suite.seeds.len() <= CASES_MAX => case(&mut out, suite, one, &unmade.why),
                _ => group_case(&mut out, suite, group, &unmade.why),
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// One group per seed, or per [`GROUP_SEEDS`] seeds, in order of the first of each.
fn grouped<'a>(seeds: &[Seed<'a>]) -> Vec<Vec<Seed<'a>>> {
    if seeds.len() <= CASES_MAX {
        return seeds.iter().map(|one| vec![*one]).collect();
    }
    let mut groups: BTreeMap<u64, Vec<Seed<'_>>> = BTreeMap::new();
    for one in seeds {
        groups.entry(group_of(one.seed)).or_default().push(*one);
    }
    groups.into_values().collect()
}

/// The first seed of the group that a seed belongs to, less one. Seed 0 is in the first group.
fn group_of(seed: u64) -> u64 {
    seed.saturating_sub(1) / GROUP_SEEDS * GROUP_SEEDS
}

fn group_case(out: &mut String, suite: &Suite<'_>, group: &[Seed<'_>], why: &str) {
    let from = group_of(group[0].seed);
    let made: Vec<&RunRecord> = group.iter().filter_map(|one| one.run).collect();
    let wall = made.iter().map(|run| run.wall_seconds).filter(|seconds| seconds.is_finite()).sum();
    let _ = writeln!(
        out,
        "    <testcase classname=\"{}\" name=\"seeds {} to {}\" file=\"{}\" time=\"{}\">",
        xml(&suite.title),
        from + 1,
        from.saturating_add(GROUP_SEEDS),
        xml(suite.path),
        time(wall)
    );
    let unmade = group.len() - made.len();
    let not_run = (unmade > 0).then(|| format!("{unmade} of {} seeds were not run: {why}", group.len()));
    let failed: Vec<&RunRecord> = made.iter().copied().filter(|run| run.verdict != Verdict::Pass).collect();
    if let Some(worst) = failed.iter().max_by_key(|run| run.verdict) {
        let count = format!("{} of {} seeds", failed.len(), group.len());
        let message = format!("{}: {count}; {}", finding::word(worst.verdict), finding::headline(worst));
        let mut text = String::new();
        for (index, run) in failed.iter().enumerate() {
            let _ = write!(text, "{}seed {}: ", if index > 0 { "\n\n" } else { "" }, run.seed);
            match index < GROUP_DETAILS_MAX {
                true => text.push_str(&details(run)),
                false => drop(write!(text, "{}\nReplay: {}", finding::headline(run), run.replay)),
            }
        }
        text.extend(not_run.map(|not_run| format!("\n\n{not_run}")));
        failure(out, worst.verdict, &message, &text);
    } else if let Some(not_run) = not_run {
        skipped(out, &not_run);
    }
    out.push_str("    </testcase>\n");
}

fn check_case(out: &mut String, gate: &GateRecord, check: &GateCheck) {
    let _ = writeln!(
        out,
        "    <testcase classname=\"gate {}\" name=\"{}\" file=\"{}\" time=\"0.000\">",
        xml(&gate.name),
        xml(&check.name),
        xml(&gate.policy)
    );
    if check.verdict != Verdict::Pass {
        let message = format!("{}: {}", finding::word(check.verdict), check.finding);
        let replay = check.replay.as_ref().map(|replay| format!("\n\nReplay: {replay}")).unwrap_or_default();
        let text = format!("{}\n{}, line {}{replay}", check.finding, gate.policy, check.line);
        failure(out, check.verdict, &message, &text);
    }
    out.push_str("    </testcase>\n");
}

fn failure(out: &mut String, verdict: Verdict, message: &str, text: &str) {
    let element = if verdict == Verdict::Internal { "error" } else { "failure" };
    let _ = writeln!(
        out,
        "      <{element} type=\"{}\" message=\"{}\">{}</{element}>",
        finding::word(verdict),
        xml(message),
        xml(text).replace("&#10;", "\n")
    );
}

fn skipped(out: &mut String, message: &str) {
    let _ = writeln!(out, "      <skipped message=\"{}\"/>", xml(message));
}

fn case(out: &mut String, suite: &Suite<'_>, Seed { seed, run }: Seed<'_>, why: &str) {
    let _ = writeln!(
        out,
        "    <testcase classname=\"{}\" name=\"seed {seed}\" file=\"{}\" time=\"{}\">",
        xml(&suite.title),
        xml(suite.path),
        time(run.map_or(0.0, |run| run.wall_seconds))
    );
    match run {
        Some(run) => result(out, run),
        None => skipped(out, &format!("not run: {why}")),
    }
    out.push_str("    </testcase>\n");
}

/// What a case of one run holds.
fn result(out: &mut String, run: &RunRecord) {
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
    if run.verdict != Verdict::Pass {
        let message = format!("{}: {}", finding::word(run.verdict), finding::headline(run));
        failure(out, run.verdict, &message, &details(run));
    }
}

/// The body of a failure: the reasons, each invariant that did not hold with its witness, and how to see it again.
fn details(run: &RunRecord) -> String {
    let mut out = finding::reasons(run).join("\n");
    for invariant in finding::by_urgency(&run.invariants) {
        if matches!(invariant.verdict, InvariantVerdict::Holds | InvariantVerdict::Vacuous) {
            continue;
        }
        let _ = write!(out, "\n\n{}: {}", invariant.name, invariant.verdict.word());
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

/// What a suite says of its cases.
#[derive(Default)]
struct Totals {
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
    wall: f64,
}

impl Totals {
    fn of_groups(groups: &[Vec<Seed<'_>>]) -> Self {
        let mut totals = Self::default();
        for group in groups {
            let made = || group.iter().filter_map(|one| one.run);
            let worst = made().map(|run| run.verdict).max().unwrap_or(Verdict::Pass);
            totals.count(worst);
            totals.skipped += usize::from(worst == Verdict::Pass && made().count() < group.len());
            totals.wall += made().map(|run| run.wall_seconds).filter(|s| s.is_finite()).sum::<f64>();
        }
        totals
    }

    fn of_checks(checks: &[GateCheck]) -> Self {
        let mut totals = Self::default();
        checks.iter().for_each(|check| totals.count(check.verdict));
        totals
    }

    fn count(&mut self, worst: Verdict) {
        self.tests += 1;
        match worst {
            Verdict::Pass => {}
            Verdict::Internal => self.errors += 1,
            _ => self.failures += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.tests += other.tests;
        self.failures += other.failures;
        self.errors += other.errors;
        self.skipped += other.skipped;
        self.wall += other.wall;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tests, failures, errors, skipped, wall } = self;
        write!(f, "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" ")?;
        write!(f, "time=\"{}\"", time(*wall))
    }
}

fn time(seconds: f64) -> String {
    format!("{:.3}", if seconds.is_finite() { seconds.max(0.0) } else { 0.0 })
}
