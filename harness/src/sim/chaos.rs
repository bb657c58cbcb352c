//! The simulation's answers at the broker's chaos points: by the seed, at a rate, counted.
//!
//! Points share one stream of chance. With a rate of zero nothing is drawn, so that a run without chaos is the same
//! run whatever points the broker has.

use std::cell::{Cell, RefCell};

use warren::platform::Chaos;

use super::dice::Dice;

/// How often a point was asked for, and how often it said yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChaosCount {
    pub asked: u64,
    pub fired: u64,
}

/// Apart from the streams of all machines and of the network.
const CONCERN: u64 = u64::MAX;

pub(super) struct ChaosPoints {
    rate: Cell<f64>,
    dice: RefCell<Dice>,
    counts: [Cell<ChaosCount>; Chaos::ALL.len()],
}

impl ChaosPoints {
    pub(super) fn new(seed: u64) -> Self {
        Self { rate: Cell::new(0.0), dice: RefCell::new(Dice::new(seed, CONCERN)), counts: Default::default() }
    }

    pub(super) fn set_rate(&self, rate: f64) {
        self.rate.set(rate);
    }

    pub(super) fn ask(&self, point: Chaos) -> bool {
        let rate = self.rate.get();
        if rate <= 0.0 {
            return false;
        }
        // No turn is taken every time: a broker whose messages are all lost is not one that has bad luck.
        let yes = self.dice.borrow_mut().chance((rate * point.likelihood()).min(LIKELIHOOD_MAX));
        let count = &self.counts[point as usize];
        let ChaosCount { asked, fired } = count.get();
        count.set(ChaosCount { asked: asked + 1, fired: fired + u64::from(yes) });
        yes
    }

    pub(super) fn counts(&self) -> Vec<(Chaos, ChaosCount)> {
        Chaos::ALL.into_iter().map(|point| (point, self.counts[point as usize].get())).collect()
    }
}

const LIKELIHOOD_MAX: f64 = 0.5;
