//! `--format openmetrics`: the rules of the text format that a scraper stumbles over, and the figures.
//!
//! `harness/tests/exports/run.sh` gives the same to the strict parser of Prometheus's own client.

use std::collections::{BTreeMap, BTreeSet};

use super::{Exported, ROUGH};

/// A sample: name with labels, and value.
type Samples = BTreeMap<String, f64>;

/// All samples of a text, or the first rule that it breaks.
fn read(text: &str) -> Result<Samples, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind, mut unit) = (String::new(), String::new(), String::new());
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let (what, rest) = meta.split_once(' ').ok_or(format!("half a comment: {line}"))?;
            let (name, rest) = rest.split_once(' ').ok_or(format!("half a comment: {line}"))?;
            if what == "TYPE" {
                if !families.insert(name.to_owned()) {
                    return Err(format!("a family comes twice: {name}"));
                }
                (family, kind, unit) = (name.to_owned(), rest.to_owned(), String::new());
            } else if name != family {
                return Err(format!("a comment on another family: {line}"));
            } else if what == "UNIT" {
                rest.clone_into(&mut unit);
            } else if what != "HELP" {
                return Err(format!("unknown comment: {line}"));
            }
            if !unit.is_empty() && !family.ends_with(&format!("_{unit}")) {
                return Err(format!("{family} does not end with its unit, {unit}"));
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').ok_or(format!("no value: {line}"))?;
        let (name, _) = series.split_once('{').ok_or(format!("no labels: {line}"))?;
        let suffix = name.strip_prefix(&family).ok_or(format!("a sample outside of its family: {line}"))?;
        let suffixes: &[&str] = match &*kind {
            "counter" => &["_total"],
            "gauge" | "stateset" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => return Err(format!("unknown type: {kind}")),
        };
        if !suffixes.contains(&suffix) {
            return Err(format!("a {kind} has no sample called {name}"));
        }
        let value: f64 = value.parse().map_err(|_| format!("no number: {line}"))?;
        if samples.insert(series.to_owned(), value).is_some() {
            return Err(format!("a sample comes twice: {series}"));
        }
        if suffix == "_count" {
            let buckets = buckets(&samples, &family);
            if buckets.last() != Some(&("+Inf".to_owned(), value)) {
                return Err(format!("{family} has not all in its last bucket"));
            }
        }
    }
    Ok(samples)
}

/// The buckets of a histogram in the order of their edges.
fn buckets(samples: &Samples, family: &str) -> Vec<(String, f64)> {
    let of_family = samples.iter().filter(|(series, _)| series.starts_with(&format!("{family}_bucket{{")));
    let mut buckets: Vec<(String, f64)> = of_family
        .filter_map(|(series, value)| Some((series.split_once("le=\"")?.1.split_once('"')?.0.to_owned(), *value)))
        .collect();
    buckets.sort_by(|a, b| a.0.parse::<f64>().unwrap_or(0.0).total_cmp(&b.0.parse().unwrap_or(0.0)));
    buckets
}

#[test]
fn what_a_scraper_would_refuse_is_refused() {
    let good = "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# HELP a_seconds What.\n\
                a_seconds_bucket{le=\"1.0\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\na_seconds_count{} 2\n\
                # TYPE b counter\nb_total{} 3\n# EOF\n";
    assert!(read(good).is_ok());
    for (from, to, why) in [
        ("# EOF\n", "", "EOF"),
        ("b_total", "b", "has no sample"),
        ("a_seconds_count{} 2", "a_seconds_count{} 3", "last bucket"),
        ("UNIT a_seconds seconds", "UNIT a_seconds bytes", "unit"),
        ("# TYPE b counter\n", "", "outside"),
        ("# TYPE b counter", "# TYPE a_seconds counter", "twice"),
        ("b_total{} 3\n", "b_total{} 3\nb_total{} 3\n", "twice"),
        ("b_total{} 3", "b_total{} three", "number"),
    ] {
        let bad = good.replace(from, to);
        assert!(read(&bad).is_err_and(|found| found.contains(why)), "{why}: {:?}", read(&bad));
    }
}

/// Where no fault ended, there was nothing to recover from: 0 s would be the best figure of all.
#[test]
fn what_was_not_measured_has_no_figure() {
    let quiet = ROUGH.split("[timeline]").next().expect("it begins without a fault");
    let (measured, without) = (Exported::run(ROUGH, &[]), Exported::run(quiet, &[]));
    for (run, wanted) in [(measured, true), (without, false)] {
        assert_eq!(run.read().latency.recovery_measured, wanted);
        let text = String::from_utf8(run.export("openmetrics", &[])).expect("it is text");
        let samples = read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        assert_eq!(samples.keys().any(|series| series.starts_with("ferret_recovery_max_seconds")), wanted, "{text}");
    }
}

#[test]
fn the_figures_are_those_of_the_record() {
    let run = Exported::run(ROUGH, &[]);
    let record = run.read();
    let text = String::from_utf8(run.export("openmetrics", &[])).expect("it is text");
    let samples = read(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    let label = r#"scenario="rough",seed="1""#;
    assert!(samples.keys().all(|series| series.contains(label)), "{text}");
    let sample = |name: &str, more: &str| {
        let series = format!("{name}{{{label}{more}}}");
        *samples.get(&series).unwrap_or_else(|| panic!("there is no {series}:\n{text}")) as u64
    };
    let counts = &record.messages;
    assert_eq!(sample("ferret_publishes_total", ""), counts.published);
    assert_eq!(sample("ferret_publish_outcomes_total", r#",outcome="confirmed""#), counts.confirmed);
    assert_eq!(sample("ferret_deliveries_total", r#",redelivered="true""#), counts.redelivered);
    assert_eq!(sample("ferret_confirm_latency_seconds_count", ""), counts.confirmed);
    assert_eq!(sample("ferret_faults_total", r#",kind="kill",effect="true""#), 1);
    assert_eq!(sample("ferret_invariant", r#",invariant="prefetch",ferret_invariant="holds""#), 1);
    assert_eq!(sample("ferret_invariant", r#",invariant="prefetch",ferret_invariant="violated""#), 0);
    let buckets = buckets(&samples, "ferret_confirm_latency_seconds");
    assert_eq!(buckets.len(), 15);
    assert!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "buckets count from the lowest on: {buckets:?}");
    let confirm = record.latency.confirm.expect("something was confirmed");
    let below = |nanos: u64| {
        let seconds = nanos as f64 / 1e9;
        buckets.iter().find(|(edge, _)| edge.parse::<f64>().is_ok_and(|edge| edge >= seconds)).map_or(0.0, |it| it.1)
    };
    assert!(below(confirm.p50_ns) >= counts.confirmed as f64 * 0.5, "{confirm:?} {buckets:?}");
    assert!(below(confirm.max_ns) >= counts.confirmed as f64, "{confirm:?} {buckets:?}");
}
