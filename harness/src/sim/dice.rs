//! Seeded chance of the simulated world: one stream of numbers per concern, so that a draw more in one place does not
//! shift all others.

use std::{ops::Range, time::Duration};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// One stream of random numbers.
pub(super) struct Dice(Pcg64Mcg);

impl Dice {
    /// The stream named `concern` of the run with `seed`.
    pub(super) fn new(seed: u64, concern: u64) -> Self {
        let mixed = xxhash_rust::xxh3::xxh3_128_with_seed(&concern.to_le_bytes(), seed);
        Self(Pcg64Mcg::from_seed(mixed.to_le_bytes()))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Whether something with that probability happens. Draws nothing when it is certain or impossible.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        // 53 bits are what a float between 0 and 1 holds.
        probability >= 1.0 || ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// A number below `bound`; 0 for a bound of 0. The bias is below 2⁻³² for bounds below 2³².
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A duration in the range, which may be empty: then its start.
    pub(super) fn duration(&mut self, range: &Range<Duration>) -> Duration {
        let width = range.end.saturating_sub(range.start).as_nanos() as u64;
        range.start + Duration::from_nanos(self.below(width))
    }
}
