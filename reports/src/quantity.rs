//! Numbers as people read them.

/// 1234567 → `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 fault`, `3 faults`, `no faults`. The plural is the singular with an `s`.
pub(crate) fn some(n: usize, singular: &str) -> String {
    match n {
        0 => format!("no {singular}s"),
        1 => format!("1 {singular}"),
        n => format!("{} {singular}s", count(n as u64)),
    }
}

/// A length of time with three significant digits: `312 ms`, `6.21 s`, `85.0 µs`.
pub(crate) fn duration(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0 => "0 ms".to_owned(),
        1..1_000 => format!("{ns} ns"),
        1_000..999_500 => format!("{} µs", three_digits(value / 1e3)),
        999_500..999_500_000 => format!("{} ms", three_digits(value / 1e6)),
        _ => format!("{} s", three_digits(value / 1e9)),
    }
}

/// A point in virtual time, to the millisecond: `14.203 s`.
pub(crate) fn instant(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

/// A point in virtual time for labels, to a hundredth: `14.2 s`, `5 s`.
pub(crate) fn instant_short(ns: u64) -> String {
    let text = format!("{:.2}", ns as f64 / 1e9);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Seconds that came as a float, which may be anything.
pub(crate) fn seconds(s: f64) -> String {
    match s {
        s if !s.is_finite() || s < 0.0 => "unknown".to_owned(),
        s if s < 100.0 => format!("{s:.2} s"),
        s => format!("{} s", count(s.round() as u64)),
    }
}

/// The number of simulated seconds per second of waiting, if that makes sense.
pub(crate) fn speed(virtual_seconds: f64, wall_seconds: f64) -> Option<String> {
    let ratio = virtual_seconds / wall_seconds;
    (ratio.is_finite() && ratio > 0.0)
        .then(|| if ratio < 10.0 { format!("{ratio:.1}×") } else { format!("{ratio:.0}×") })
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list<S: AsRef<str>>(items: &[S]) -> String {
    match items {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [head @ .., last] => {
            let head: Vec<&str> = head.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", head.join(", "), last.as_ref())
        }
    }
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v if v < 999.5 => format!("{v:.0}"),
        v => count(v.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn durations_carry_three_digits_and_change_their_unit_at_its_edge() {
        let cases = [0, 17, 1_000, 85_000, 999_499, 999_500, 312_000_000, 999_499_999, 999_500_000, 6_214_000_000];
        assert_eq!(
            cases.map(duration),
            ["0 ms", "17 ns", "1.00 µs", "85.0 µs", "999 µs", "1.00 ms", "312 ms", "999 ms", "1.00 s", "6.21 s"]
        );
    }

    #[test]
    fn nonsense_seconds_are_unknown() {
        assert_eq!(seconds(f64::NAN), "unknown");
        assert_eq!(speed(60.0, 0.0), None);
        assert_eq!(speed(60.0, 2.0).as_deref(), Some("30×"));
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(list(&["a"]), "a");
    }
}
