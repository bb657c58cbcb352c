//! The shared axis of virtual time, and the value axes of the charts.

/// Maps virtual time to the horizontal axis of a figure.
#[derive(Clone, Copy)]
pub(super) struct TimeScale {
    end_ns: u64,
    width: f64,
}

impl TimeScale {
    /// `end_ns` of 0 (a run that ended before it began) is drawn as one nanosecond.
    pub(super) fn new(end_ns: u64, width: f64) -> Self {
        Self { end_ns: end_ns.max(1), width }
    }

    pub(super) fn end_ns(self) -> u64 {
        self.end_ns
    }

    pub(super) fn width(self) -> f64 {
        self.width
    }

    /// The position of `ns`, held within the figure.
    pub(super) fn x(self, ns: u64) -> f64 {
        (ns.min(self.end_ns) as f64 / self.end_ns as f64) * self.width
    }

    /// A span from `from` to `to` (or the end): its left edge, and its width, at least `width_min`.
    pub(super) fn span(self, from: u64, to: Option<u64>, width_min: f64) -> (f64, f64) {
        let left = self.x(from);
        let width = (self.x(to.unwrap_or(self.end_ns)) - left).max(width_min);
        (left.min(self.width - width).max(0.0), width)
    }

    /// Round points in time, about `wanted` of them.
    pub(super) fn ticks(self, wanted: u64) -> Vec<u64> {
        let step = step_at_least((self.end_ns / wanted.max(1)).max(1));
        (0..).map(|i| i * step).take_while(|t| *t <= self.end_ns).collect()
    }
}

/// The smallest of 1, 2, 5 × 10ⁿ that is not below `least`.
fn step_at_least(least: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for factor in [1, 2, 5] {
            let step = power.saturating_mul(factor);
            if step >= least {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// A linear value axis from 0 up to a round number.
pub(super) struct Linear {
    pub(super) top: u64,
    pub(super) ticks: Vec<u64>,
}

impl Linear {
    pub(super) fn new(largest: u64) -> Self {
        let step = step_at_least(largest.div_ceil(3).max(1));
        let top = largest.div_ceil(step).max(1) * step;
        Self { top, ticks: (0..=top / step).map(|i| i * step).collect() }
    }

    /// The share of the axis' height, 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        (value / self.top as f64).clamp(0.0, 1.0)
    }
}

/// A logarithmic axis over whole decades, in nanoseconds.
pub(super) struct Decades {
    low: u32,
    high: u32,
}

impl Decades {
    /// Covers `smallest..=largest`, at least one decade.
    pub(super) fn new(smallest: u64, largest: u64) -> Self {
        let low = smallest.max(1).ilog10();
        let above = largest.max(1).saturating_sub(1).max(1).ilog10() + 1;
        Self { low, high: above.max(low + 1) }
    }

    pub(super) fn ticks(&self) -> impl Iterator<Item = u64> {
        (self.low..=self.high).map(|exponent| 10_u64.saturating_pow(exponent))
    }

    pub(super) fn share(&self, value: u64) -> f64 {
        let position = (value.max(1) as f64).log10() - f64::from(self.low);
        (position / f64::from(self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// A coordinate with one decimal, as short as it can be.
pub(super) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_time_are_round_and_within_the_run() {
        let second = 1_000_000_000;
        let ticks = TimeScale::new(64 * second, 1000.0).ticks(14);
        assert_eq!(ticks.len(), 13);
        assert_eq!(ticks[1], 5 * second);
    }

    #[test]
    fn a_run_of_no_length_can_be_drawn() {
        let scale = TimeScale::new(0, 1000.0);
        assert_eq!(scale.x(0), 0.0);
        assert_eq!(scale.span(0, None, 2.0), (0.0, 1000.0));
    }

    #[test]
    fn decades_cover_what_they_are_made_for() {
        let axis = Decades::new(9_000_000, 4_120_000_000);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [1, 10, 100, 1_000, 10_000].map(|ms| ms * 1_000_000));
        assert_eq!(axis.share(1_000_000), 0.0);
        assert_eq!(axis.share(10_000_000_000), 1.0);
    }

    #[test]
    fn a_linear_axis_ends_above_its_largest_value() {
        assert_eq!(Linear::new(407).ticks, [0, 200, 400, 600]);
        assert_eq!(Linear::new(0).top, 1);
    }
}
