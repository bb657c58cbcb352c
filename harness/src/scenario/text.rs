//! Values that are written as strings: durations, sizes, ranges, limits.
//!
//! Each parser returns the value, or what is wrong with the text and how to write it.

use std::time::Duration;

use super::{Comparison, Limit, Metric, Spread};

/// Why a text is no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Stands under the caret.
    pub(crate) what: String,
    pub(crate) help: String,
}

impl Wrong {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

/// Units of time: the name, other spellings that people try, the number of nanoseconds.
const TIME_UNITS: [(&str, &[&str], u64); 6] = [
    ("ns", &["nanos", "nanosecond", "nanoseconds", "nsec"], 1),
    ("us", &["µs", "micros", "microsecond", "microseconds", "usec"], 1_000),
    ("ms", &["millis", "millisecond", "milliseconds", "msec", "msecs"], 1_000_000),
    ("s", &["sec", "secs", "second", "seconds"], 1_000_000_000),
    ("min", &["m", "mins", "minute", "minutes"], 60_000_000_000),
    ("h", &["hr", "hrs", "hour", "hours"], 3_600_000_000_000),
];

const SIZE_UNITS: [(&str, &[&str], u64); 3] = [
    ("B", &["byte", "bytes", "b"], 1),
    ("KiB", &["k", "kb", "kib", "kilobyte", "kilobytes"], 1024),
    ("MiB", &["m", "mb", "mib", "megabyte", "megabytes"], 1024 * 1024),
];

/// `5s`, `1.5ms`. At most a year.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let nanos = quantity(text, "duration", "5s", &TIME_UNITS, "ns, us, ms, s, min, h")?;
    if nanos > 365.0 * 24.0 * 3_600e9 {
        return Err(Wrong::new("more than a year", "write a shorter duration"));
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// `90s`, `10m`, `1h`: of wall time, where nobody means metres by `m`.
pub(crate) fn budget(text: &str) -> Result<Duration, Wrong> {
    let minutes = text.strip_suffix('m').filter(|number| number.parse::<f64>().is_ok());
    duration(&minutes.map_or(text.to_owned(), |minutes| format!("{minutes}min")))
}

/// `5s` or `1ms..15ms`.
pub(super) fn duration_range(text: &str) -> Result<Spread<Duration>, Wrong> {
    range(text, duration)
}

/// `1KiB` or `64B..4KiB`, in bytes.
pub(super) fn size_range(text: &str) -> Result<Spread<u64>, Wrong> {
    range(text, |text| {
        let bytes = quantity(text, "size", "1KiB", &SIZE_UNITS, "B, KiB, MiB")?;
        if bytes.fract() != 0.0 {
            return Err(Wrong::new("not a whole number of bytes", "write a whole number, such as `512B`"));
        }
        Ok(bytes as u64)
    })
}

/// `< 400ms`, or `> 100` for a throughput.
pub(crate) fn limit(metric: Metric, text: &str) -> Result<(Comparison, Limit), Wrong> {
    let operators = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let example = if metric == Metric::ThroughputMin { "> 100" } else { "< 400ms" };
    let found = operators.iter().find_map(|(sign, comparison)| Some((text.trim().strip_prefix(sign)?, *comparison)));
    let Some((value, comparison)) = found else {
        return Err(Wrong::new("a limit begins with <, <=, > or >=", format!("write `\"{example}\"`")));
    };
    let value = value.trim();
    if metric != Metric::ThroughputMin {
        return Ok((comparison, Limit::Time(duration(value)?)));
    }
    match value.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok((comparison, Limit::PerSecond(number))),
        _ => Err(Wrong::new("expected messages per second, a plain number", format!("write `\"{example}\"`"))),
    }
}

fn range<T: Copy + PartialOrd>(text: &str, one: impl Fn(&str) -> Result<T, Wrong>) -> Result<Spread<T>, Wrong> {
    let Some((min, max)) = text.split_once("..") else {
        return one(text).map(Spread::exactly);
    };
    // Rust's inclusive form means the same here.
    let spread = Spread { min: one(min.trim())?, max: one(max.trim_start_matches('=').trim())? };
    if spread.min > spread.max {
        let help = format!("write `\"{}..{}\"`", max.trim(), min.trim());
        return Err(Wrong::new("the range ends before it begins", help));
    }
    Ok(spread)
}

/// A number with a unit, as a number of the smallest unit.
fn quantity(text: &str, what: &str, example: &str, units: &[(&str, &[&str], u64)], known: &str) -> Result<f64, Wrong> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if digits.is_empty() && unit.trim_start().starts_with('-') {
        return Err(Wrong::new(format!("a {what} cannot be negative"), format!("write `\"{example}\"`")));
    }
    let Ok(number) = digits.parse::<f64>() else {
        return Err(Wrong::new(
            format!("a {what} is a number and a unit ({known})"),
            format!("write it like `\"{example}\"`"),
        ));
    };
    if let Some((_, _, factor)) = units.iter().find(|(name, _, _)| *name == unit) {
        return Ok(number * *factor as f64);
    }
    let spelled = unit.trim().to_lowercase();
    if spelled.is_empty() && what == "size" && number == 0.0 {
        return Err(Wrong::new("a size is above 0, with a unit", format!("write it like `\"{example}\"`")));
    }
    if spelled.is_empty() {
        let (small, large) = if what == "duration" { ("ms", "s") } else { ("B", "KiB") };
        return Err(Wrong::new("the unit is missing", format!("write `\"{digits}{large}\"` or `\"{digits}{small}\"`")));
    }
    let meant = units.iter().find(|(name, others, _)| spelled == name.to_lowercase() || others.contains(&&*spelled));
    match meant {
        Some((name, _, _)) => Err(Wrong::new(
            format!("not how a {what} is written here (units: {known})"),
            format!("write `\"{digits}{name}\"`"),
        )),
        None => Err(Wrong::new(
            format!("unknown unit `{}` (units: {known})", unit.trim()),
            format!("write it like `\"{example}\"`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1.5ms"), Ok(Duration::from_micros(1500)));
        assert_eq!(duration("2min"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_budget_may_be_written_in_minutes_of_one_letter() {
        assert_eq!(budget("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(budget("10min"), Ok(Duration::from_secs(600)));
        assert_eq!(budget("90s"), Ok(Duration::from_secs(90)));
        assert!(budget("10").is_err() && budget("m").is_err());
    }

    #[test]
    fn what_was_meant_by_a_wrong_duration_is_suggested() {
        for (text, help) in [
            ("5 sec", "write `\"5s\"`"),
            ("5 s", "write `\"5s\"`"),
            ("5", "write `\"5s\"` or `\"5ms\"`"),
            ("5S", "write `\"5s\"`"),
            ("3 minutes", "write `\"3min\"`"),
            ("10m", "write `\"10min\"`"),
            ("-5s", "write `\"5s\"`"),
            ("soon", "write it like `\"5s\"`"),
        ] {
            assert_eq!(duration(text).map_err(|wrong| wrong.help), Err(help.to_owned()), "{text}");
        }
    }

    #[test]
    fn ranges_have_two_ends_in_order() {
        let spread = Spread { min: Duration::from_millis(1), max: Duration::from_millis(15) };
        assert_eq!(duration_range("1ms..15ms"), Ok(spread));
        assert_eq!(duration_range("1ms ..= 15ms"), Ok(spread));
        assert_eq!(duration_range("2s..1s").map_err(|wrong| wrong.help), Err("write `\"1s..2s\"`".to_owned()));
    }

    #[test]
    fn sizes_are_whole_bytes() {
        assert_eq!(size_range("1KiB"), Ok(Spread::exactly(1024)));
        assert_eq!(size_range("0.5KiB"), Ok(Spread::exactly(512)));
        assert_eq!(size_range("1kb").map_err(|wrong| wrong.help), Err("write `\"1KiB\"`".to_owned()));
        assert_eq!(size_range("100").map_err(|wrong| wrong.help), Err("write `\"100KiB\"` or `\"100B\"`".to_owned()));
    }

    #[test]
    fn a_limit_compares_with_the_unit_of_its_metric() {
        let confirm = Metric::from_name("confirm.p99").unwrap();
        assert_eq!(limit(confirm, "< 400ms"), Ok((Comparison::Less, Limit::Time(Duration::from_millis(400)))));
        assert_eq!(limit(Metric::ThroughputMin, ">= 100"), Ok((Comparison::GreaterOrEqual, Limit::PerSecond(100.0))));
        assert!(limit(confirm, "400ms").is_err());
        assert!(limit(Metric::ThroughputMin, "> 100ms").is_err());
    }
}
