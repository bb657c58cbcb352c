//! A run against an earlier one. Virtual time has no noise: with the same program, every metric of a seed is the same
//! to the nanosecond, so whatever moves was moved by a change of the broker, of the scenario, or of Ferret.
//!
//! A change may still shift single seeds in either direction, because it shifts what chance meets. So metrics are
//! compared as means over the seeds of a scenario, and a policy says how much worse a mean may be.

use std::collections::{BTreeMap, BTreeSet};

use ferret_reports::{MetricMove, Quantiles, RunRecord, Verdict};
use serde::{Deserialize, Serialize};

use crate::search::results::text_hash;

/// The version of [`Baseline`]'s shape.
pub const BASELINE_VERSION: u32 = 1;

/// Moves smaller than this are never regressions: one usual tick of virtual time.
const SLACK_NS: f64 = 1_000_000.0;
/// … and one message.
const SLACK_MESSAGES: f64 = 1.0;

/// Something measured in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaselineMetric {
    pub name: &'static str,
    /// Nanoseconds; messages if not.
    pub is_time: bool,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

const fn time(name: &'static str) -> BaselineMetric {
    BaselineMetric { name, is_time: true, more_is_better: false }
}

const fn messages(name: &'static str, more_is_better: bool) -> BaselineMetric {
    BaselineMetric { name, is_time: false, more_is_better }
}

pub const METRICS: [BaselineMetric; 10] = [
    time("confirm.p50"),
    time("confirm.p99"),
    time("end-to-end.p50"),
    time("end-to-end.p99"),
    time("unavailable.max"),
    time("recovery.max"),
    messages("messages.confirmed", true),
    messages("messages.nacked", false),
    messages("messages.unknown", false),
    messages("messages.redelivered", false),
];

/// Nanoseconds or messages, by metric.
type Metrics = BTreeMap<String, u64>;

/// What was measured in a run; what there was nothing of is left out.
fn measure(record: &RunRecord) -> Metrics {
    let latency = &record.latency;
    let of = |quantiles: Option<Quantiles>, pick: fn(Quantiles) -> u64| quantiles.map(pick);
    let messages = &record.messages;
    let values = [
        of(latency.confirm, |quantiles| quantiles.p50_ns),
        of(latency.confirm, |quantiles| quantiles.p99_ns),
        of(latency.end_to_end, |quantiles| quantiles.p50_ns),
        of(latency.end_to_end, |quantiles| quantiles.p99_ns),
        latency.confirm.map(|_| latency.unavailable_max_ns),
        latency.confirm.filter(|_| latency.recovery_measured).map(|_| latency.recovery_max_ns),
        Some(messages.confirmed),
        Some(messages.nacked),
        Some(messages.unknown),
        Some(messages.redelivered),
    ];
    METRICS.iter().zip(values).filter_map(|(metric, value)| Some((metric.name.to_owned(), value?))).collect()
}

/// What earlier runs measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub version: u32,
    /// The program that made the runs.
    pub build: String,
    pub runs: Vec<BaselineRun>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineRun {
    pub scenario: String,
    /// Of the scenario's text: another text is another scenario.
    pub text_hash: String,
    pub seed: u64,
    pub metrics: Metrics,
}

impl BaselineRun {
    fn name(&self) -> String {
        format!("{} seed {}", self.scenario, self.seed)
    }
}

impl Baseline {
    pub fn of(build: &str, records: &[RunRecord]) -> Self {
        let run = |record: &RunRecord| BaselineRun {
            scenario: record.scenario.name.clone(),
            text_hash: text_hash(&record.scenario.text),
            seed: record.seed,
            metrics: measure(record),
        };
        let mut runs: Vec<BaselineRun> = records.iter().map(run).collect();
        runs.sort_by(|one, other| (&one.scenario, one.seed).cmp(&(&other.scenario, other.seed)));
        Self { version: BASELINE_VERSION, build: build.to_owned(), runs }
    }

    /// Whether the text is a baseline, if perhaps one that must be saved anew.
    pub fn is_one(text: &str) -> bool {
        serde_json::from_str::<Self>(text).is_ok()
    }

    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let baseline: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if baseline.version != BASELINE_VERSION {
            return Err(format!("version {} is not known: save it anew", baseline.version));
        }
        let mut seen = BTreeSet::new();
        for run in &baseline.runs {
            let name = run.name();
            if !seen.insert((run.scenario.as_str(), run.text_hash.as_str(), run.seed)) {
                return Err(format!("{name} stands twice, perhaps after a merge of two branches: save it anew"));
            }
            let known = |metric: &String| METRICS.iter().any(|known| known.name == metric);
            if let Some(metric) = run.metrics.keys().find(|metric| !known(metric)) {
                return Err(format!("`{metric}` of {name} is no metric: save it anew"));
            }
        }
        Ok(baseline)
    }

    /// JSON with one line per run, so that a diff shows which moved.
    pub fn render(&self) -> String {
        let line = |run: &BaselineRun| serde_json::to_string(run).expect("a run is JSON");
        let lines: Vec<String> = self.runs.iter().map(line).collect();
        let build = serde_json::Value::from(self.build.as_str());
        let version = self.version;
        format!("{{\"version\":{version},\"build\":{build},\"runs\":[\n{}\n]}}\n", lines.join(",\n"))
    }
}

/// By which share a metric may be worse.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance {
    pub usual: f64,
    pub by_metric: BTreeMap<String, f64>,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { usual: 0.1, by_metric: BTreeMap::new() }
    }
}

impl Tolerance {
    fn of(&self, metric: &str) -> f64 {
        self.by_metric.get(metric).copied().unwrap_or(self.usual)
    }
}

/// `5%` as 0.05.
///
/// # Errors
/// How to write it.
pub fn share(text: &str) -> Result<f64, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(number) if number.is_finite() && number >= 0.0 => Ok(number / 100.0),
        _ => Err("write it like `5%`".to_owned()),
    }
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Runs that both have.
    pub compared: usize,
    /// What differs, regressions first, then by size.
    pub moves: Vec<MetricMove>,
    /// Runs that the baseline does not know: they are new, or their scenario's text is.
    pub unknown: Vec<String>,
    /// Runs that only the baseline has: a scenario or a seed that is made no more.
    pub absent: Vec<String>,
    /// Runs of which something was measured once and not the other time, and what.
    pub one_sided: Vec<String>,
}

impl Comparison {
    /// A run that is compared with nothing proves nothing, and one that is not made hides what it would show.
    pub fn verdict(&self) -> Verdict {
        if self.moves.iter().any(|one| one.regression) {
            Verdict::Regression
        } else if self.compared == 0
            || [&self.unknown, &self.absent, &self.one_sided].iter().any(|runs| !runs.is_empty())
        {
            Verdict::Vacuous
        } else {
            Verdict::Pass
        }
    }

    pub fn finding(&self) -> String {
        let worse = self.moves.iter().filter(|one| one.regression).count();
        let compared = if self.compared == 1 { "1 run".to_owned() } else { format!("{} runs", self.compared) };
        let mut text = match (worse, self.moves.len()) {
            (0, 0) => format!("{compared} compared, nothing moved"),
            (0, moved) => format!("{compared} compared, {moved} metrics moved, none too much"),
            (worse, moved) => format!("{compared} compared, {moved} metrics moved, {worse} too much"),
        };
        if let Some((runs, verb, first)) = told(&self.absent) {
            text += &format!("; {runs} of the baseline {verb} not here ({first})");
        }
        if let Some((runs, verb, first)) = told(&self.one_sided) {
            text += &format!("; {runs} {verb} measured in another way ({first})");
        }
        if let Some((runs, verb, first)) = told(&self.unknown) {
            text += &format!("; {runs} {verb} not in the baseline ({first}): save it anew");
        }
        text
    }
}

/// How many runs, the verb, and which is the first; `None` if there is none.
fn told(runs: &[String]) -> Option<(String, &'static str, String)> {
    let first = runs.first()?;
    Some(match runs.len() {
        1 => ("1 run".to_owned(), "is", first.clone()),
        many => (format!("{many} runs"), "are", format!("the first is {first}")),
    })
}

/// Compares what is measured in `records` with the baseline.
pub fn compare(baseline: &Baseline, records: &[RunRecord], tolerance: &Tolerance) -> Comparison {
    let known: BTreeMap<(&str, &str, u64), &BaselineRun> =
        baseline.runs.iter().map(|run| ((run.scenario.as_str(), run.text_hash.as_str(), run.seed), run)).collect();
    let mut comparison = Comparison::default();
    let mut pairs: BTreeMap<&str, Vec<(&BaselineRun, Metrics)>> = BTreeMap::new();
    for record in records {
        let hash = text_hash(&record.scenario.text);
        let name = record.scenario.name.as_str();
        match known.get(&(name, hash.as_str(), record.seed)) {
            Some(was) => {
                comparison.compared += 1;
                let now = measure(record);
                comparison.one_sided.extend(one_sided(was, &now));
                pairs.entry(name).or_default().push((was, now));
            }
            None => comparison.unknown.push(format!("{name} seed {}", record.seed)),
        }
    }
    let made: BTreeSet<(&str, u64)> =
        records.iter().map(|record| (record.scenario.name.as_str(), record.seed)).collect();
    let absent = baseline.runs.iter().filter(|run| !made.contains(&(run.scenario.as_str(), run.seed)));
    comparison.absent = absent.map(BaselineRun::name).collect();
    for (scenario, runs) in pairs {
        for metric in METRICS {
            let value = |values: &Metrics| values.get(metric.name).copied();
            let both = runs.iter().map(|(was, now)| (was.seed, value(&was.metrics), value(now)));
            comparison.moves.extend(moved(scenario, metric, &both.collect::<Vec<_>>(), tolerance.of(metric.name)));
        }
    }
    let size = |one: &MetricMove| one.change_percent.map_or(f64::INFINITY, f64::abs);
    comparison
        .moves
        .sort_by(|one, other| other.regression.cmp(&one.regression).then_with(|| size(other).total_cmp(&size(one))));
    comparison
}

/// The first metric that only one of two runs has: there was nothing to measure the other time, or somebody took it
/// out of the file. Where it cannot be compared, nothing moved is no finding.
fn one_sided(was: &BaselineRun, now: &Metrics) -> Option<String> {
    let lacks = |one: &Metrics, other: &Metrics| one.keys().find(|metric| !other.contains_key(*metric)).cloned();
    let gone = lacks(&was.metrics, now).map(|metric| format!("{} has no {metric} any more", was.name()));
    gone.or_else(|| Some(format!("{} had no {}", was.name(), lacks(now, &was.metrics)?)))
}

/// How a metric moved over the seeds that have it in both; `None` if it did not.
fn moved(
    scenario: &str,
    metric: BaselineMetric,
    seeds: &[(u64, Option<u64>, Option<u64>)],
    tolerance: f64,
) -> Option<MetricMove> {
    let both: Vec<(u64, f64, f64)> =
        seeds.iter().filter_map(|(seed, was, now)| Some((*seed, (*was)? as f64, (*now)? as f64))).collect();
    let differing: BTreeSet<u64> = both.iter().filter(|(_, was, now)| was != now).map(|(seed, ..)| *seed).collect();
    if differing.is_empty() {
        return None;
    }
    let mean = |pick: fn(&(u64, f64, f64)) -> f64| both.iter().map(pick).sum::<f64>() / both.len() as f64;
    let (was, now) = (mean(|one| one.1), mean(|one| one.2));
    let worse = |was: f64, now: f64| if metric.more_is_better { was - now } else { now - was };
    let slack = if metric.is_time { SLACK_NS } else { SLACK_MESSAGES };
    let worst = both.iter().max_by(|one, other| worse(one.1, one.2).total_cmp(&worse(other.1, other.2)));
    Some(MetricMove {
        scenario: scenario.to_owned(),
        metric: metric.name.to_owned(),
        seeds: both.len() as u64,
        was,
        now,
        was_text: metric.text(was),
        now_text: metric.text(now),
        change_percent: (was > 0.0).then(|| (now - was) / was * 100.0),
        regression: worse(was, now) > was * tolerance + slack,
        worst_seed: worst.filter(|one| worse(one.1, one.2) > 0.0).map(|one| one.0),
    })
}

impl BaselineMetric {
    fn text(self, value: f64) -> String {
        if self.is_time {
            format!("{:.1?}", std::time::Duration::from_nanos(value.round() as u64))
        } else {
            format!("{value:.1}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P99: BaselineMetric = METRICS[1];
    const CONFIRMED: BaselineMetric = METRICS[6];
    const MS: u64 = 1_000_000;

    fn one(metric: BaselineMetric, was: u64, now: u64, tolerance: f64) -> Option<MetricMove> {
        moved("s", metric, &[(1, Some(was), Some(now))], tolerance)
    }

    #[test]
    fn what_did_not_move_is_not_told() {
        assert_eq!(one(P99, 5, 5, 0.0), None);
        assert_eq!(moved("s", P99, &[(1, None, None)], 0.0), None);
    }

    #[test]
    fn worse_beyond_the_tolerance_is_a_regression_and_a_near_twin_is_none() {
        let regression = |metric, was, now, tolerance| one(metric, was, now, tolerance).expect("it moved").regression;
        assert!(regression(P99, 100 * MS, 112 * MS, 0.1));
        assert!(!regression(P99, 100 * MS, 111 * MS, 0.1), "10 % and a tick");
        assert!(!regression(P99, 100 * MS, 20 * MS, 0.0), "better");
        assert!(regression(CONFIRMED, 1000, 890, 0.1));
        assert!(!regression(CONFIRMED, 1000, 1200, 0.0), "more confirms are better");
        assert!(regression(METRICS[8], 0, 2, 0.1), "from nothing to something has no per cent");
    }

    #[test]
    fn the_mean_decides_and_the_worst_seed_is_named() {
        let seeds = [(1, Some(100 * MS), Some(150 * MS)), (2, Some(100 * MS), Some(60 * MS))];
        let both = moved("s", P99, &seeds, 0.1).expect("it moved");
        assert!(!both.regression, "{both:?}");
        assert_eq!((both.was_text.as_str(), both.now_text.as_str()), ("100.0ms", "105.0ms"));
        assert_eq!((both.worst_seed, both.seeds), (Some(1), 2));
    }

    #[test]
    fn a_comparison_with_nothing_is_no_pass() {
        assert_eq!(Comparison::default().verdict(), Verdict::Vacuous);
        let new = Comparison { compared: 3, unknown: vec!["s seed 4".into()], ..Comparison::default() };
        assert_eq!(new.verdict(), Verdict::Vacuous);
        let gone = Comparison { compared: 3, absent: vec!["s seed 4".into()], ..Comparison::default() };
        assert_eq!(gone.verdict(), Verdict::Vacuous);
        assert_eq!(Comparison { compared: 3, ..Comparison::default() }.verdict(), Verdict::Pass);
    }

    #[test]
    fn shares_are_per_cent() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share("0 %"), Ok(0.0));
        assert!(share("5").is_err() && share("-1%").is_err() && share("%").is_err());
    }

    #[test]
    fn a_baseline_survives_its_file() {
        let metrics = [("confirm.p50".to_owned(), 7)].into();
        let run = BaselineRun { scenario: "a".into(), text_hash: "b".into(), seed: 3, metrics };
        let runs = vec![run.clone(), BaselineRun { seed: 4, ..run }];
        let baseline = Baseline { version: BASELINE_VERSION, build: "ferret \"x\"".into(), runs };
        let text = baseline.render();
        assert_eq!(Baseline::parse(&text), Ok(baseline));
        assert_eq!(text.lines().count(), 4, "{text}");
    }

    #[test]
    fn a_baseline_with_a_run_twice_or_an_unknown_metric_is_refused() {
        let line = |metric: &str| format!(r#"{{"scenario":"a","text_hash":"b","seed":3,"metrics":{{"{metric}":7}}}}"#);
        let parsed = |lines: &[String]| {
            let runs = lines.join(",");
            Baseline::parse(&format!(r#"{{"version":{BASELINE_VERSION},"build":"x","runs":[{runs}]}}"#))
        };
        assert!(parsed(&[line("confirm.p99")]).is_ok());
        let twice = parsed(&[line("confirm.p99"), line("confirm.p50")]).expect_err("it stands twice");
        assert!(twice.starts_with("a seed 3 stands twice"), "{twice}");
        let unknown = parsed(&[line("confirm.p98")]).expect_err("there is no such metric");
        assert!(unknown.starts_with("`confirm.p98` of a seed 3"), "{unknown}");
    }

    #[test]
    fn what_only_one_of_two_runs_measured_is_told() {
        let run = |metrics: &[&str]| BaselineRun {
            scenario: "a".into(),
            text_hash: "b".into(),
            seed: 3,
            metrics: metrics.iter().map(|metric| ((*metric).to_owned(), 7)).collect(),
        };
        let told = |was: &[&str], now: &[&str]| one_sided(&run(was), &run(now).metrics);
        assert_eq!(told(&["confirm.p50"], &["confirm.p50"]), None);
        assert_eq!(told(&["confirm.p50"], &[]).as_deref(), Some("a seed 3 has no confirm.p50 any more"));
        assert_eq!(told(&[], &["confirm.p50"]).as_deref(), Some("a seed 3 had no confirm.p50"));
        let vacuous = Comparison { compared: 3, one_sided: vec![String::new()], ..Comparison::default() };
        assert_eq!(vacuous.verdict(), Verdict::Vacuous);
    }
}
