//! A name for one call of `ferret run`: its time, and something to tell apart two calls in one second.

use std::time::{SystemTime, UNIX_EPOCH};

/// `20260419-142501-1f3c`, in universal time: local time would need the system's zone files.
pub(super) fn fresh() -> String {
    #[expect(clippy::disallowed_methods, reason = "names a folder; no simulation sees it")]
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let suffix = since_epoch.subsec_micros() ^ std::process::id();
    name(since_epoch.as_secs(), suffix)
}

/// The time in a name that [`fresh`] gave, in seconds since 1970.
pub(super) fn time(name: &str) -> Option<u64> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = name.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    if name.len() != 20 || name.get(8..9)? != "-" || name.get(15..16)? != "-" {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil: years begin in March, so that a leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + number(9, 11)? * 3600 + number(11, 13)? * 60 + number(13, 15)?)
}

fn name(seconds: u64, suffix: u32) -> String {
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}-{:04x}", suffix & 0xffff)
}

/// The Gregorian date of a day since 1970-01-01.
fn date(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as u64 + 1, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_time() {
        for seconds in [0, 951_827_696, 951_868_799, 951_868_800, 1_582_934_400, 1_798_761_599] {
            assert_eq!(time(&name(seconds, 7)), Some(seconds));
        }
        for other in ["", "latest", "20261331-235959-0007", "2026123x-235959-0007", "found"] {
            assert_eq!(time(other), None, "{other}");
        }
    }

    #[test]
    fn a_run_is_named_by_its_time() {
        assert_eq!(name(0, 0), "19700101-000000-0000");
        assert_eq!(name(951_827_696, 0x1_2345), "20000229-123456-2345");
        assert_eq!(name(1_798_761_599, 7), "20261231-235959-0007");
    }
}
