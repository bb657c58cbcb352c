//! Numbers that JSON and EDN can write and 64 bits cannot hold: rounded, two of them might become one value.

use std::ops::Range;

pub(super) const INEXACT: &str = "this number has more digits than can be compared";
pub(super) const INEXACT_HELP: &str =
    "write it as text, in quotes: integers of 64 bits are kept, others as the nearest double prints itself";

/// The first number in a JSON text, outside of its strings, that would be rounded.
pub fn inexact(json: &str) -> Option<Range<usize>> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let begin = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[begin..];
                let length = rest.iter().position(|byte| !b"+-.eE0123456789".contains(byte)).unwrap_or(rest.len());
                at += length;
                if !is_exact(&json[begin..at]) {
                    return Some(begin..at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// Whether a number is kept as it is written. What is no number at all is not for this to say.
pub(super) fn is_exact(number: &str) -> bool {
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    // The shortest text of a double is its own: of all numbers that round to it, that one stands for it.
    number.parse::<f64>().is_ok_and(|near| near.is_finite() && digits(number) == digits(&format!("{near:e}")))
        || number.parse::<f64>().is_err()
}

/// A decimal number as digits without zeros around them, and the power of ten to multiply them with.
fn digits(number: &str) -> Option<(bool, String, i64)> {
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |number| (true, number));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_end_matches('0');
    let power = exponent.parse::<i64>().ok()?.checked_sub(fraction.len() as i64)?;
    let power = power.checked_add((all.len() - significant.len()) as i64)?;
    let significant = significant.trim_start_matches('0');
    Some(if significant.is_empty() { (negative, String::new(), 0) } else { (negative, significant.to_owned(), power) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_be_rounded_are_found() {
        for kept in
            ["0", "-0", "1.50", "0.1", "1e20", "100000000000000000000", "18446744073709551615", "1E-7", "-2.5e+3"]
        {
            assert_eq!(inexact(kept), None, "{kept}");
        }
        for rounded in ["18446744073709551616", "0.10000000000000000001", "-9223372036854775809", "1e400", "1e-400"] {
            assert_eq!(inexact(rounded), Some(0..rounded.len()), "{rounded}");
        }
        assert_eq!(inexact(r#"{"a": "18446744073709551617 \" 0.10000000000000000001"}"#), None);
        assert_eq!(inexact(r#"["x", 18446744073709551617]"#), Some(6..26));
    }
}
