//! Faults that nobody wrote down: drawn from the seed, and written down before the run begins.
//!
//! As in swarm testing (Groce et al., ISSTA 2012), each seed has a random subset of the kinds of fault at its disposal:
//! a run with everything on at once hides what two kinds of fault do when the others are silent. How many there are, on
//! whom, when and for how long is drawn as well, and so is the weather of network and disks.
//!
//! What is drawn is text: the scenario's own file with concrete steps in it and without `[swarm]`. That text is parsed
//! and run as any other, so a run can be had again without this generator, and nothing is drawn that a person could not
//! write. ([`draw`] decides, [`text`] writes.)
//!
//! Drawn timelines are legal: whatever they do, a correct broker survives. Everything that goes down comes back, if
//! only at the end of the load. Who was removed from the cluster stays away for ever; [`members`] sees to it that
//! enough are left. Synced data is taken from one node of a run at most, in a calm of its own and with nobody's vote
//! changed: while a replica that has forgotten what it promised is not yet made whole, one more failure could lose what
//! was confirmed, whatever the broker does.

mod draw;
mod kind;
mod members;
mod text;

use std::{collections::BTreeSet, time::Duration};

pub use kind::Kind;

use super::{Scenario, Spread, check::Checker, file::SwarmTable, values::Field};

/// What may be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Swarm {
    /// Kinds of fault that seeds may have at their disposal; at least one.
    pub faults: BTreeSet<Kind>,
    /// The most faults per virtual minute. Each seed has a number of its own, from a quarter of it up.
    pub intensity: f64,
    /// How long faults last, short ones as often as long ones on a scale of doublings.
    pub lasts: Spread<Duration>,
    /// Whether the weather of network and disks is drawn.
    pub weather: bool,
    /// Whether the scenario's own timeline, thresholds and "sometimes" stay.
    pub keeps: bool,
}

impl Default for Swarm {
    /// For any scenario: whatever its timeline is for, the swarm is for something else.
    fn default() -> Self {
        let millis = Duration::from_millis;
        Self {
            faults: Kind::ALL.into_iter().collect(),
            intensity: 24.0,
            lasts: Spread { min: millis(100), max: millis(8_000) },
            weather: true,
            keeps: false,
        }
    }
}

impl Scenario {
    /// The scenario that the swarm draws for `seed`: concrete steps, no chance left but what draws targets by role.
    /// Itself, if it has no swarm.
    #[must_use]
    pub fn drawn_by_swarm(self, seed: u64) -> Self {
        let Some(swarm) = &self.swarm else { return self };
        let drawn = draw::draw(&self, swarm, seed);
        let text = text::write(&self, swarm, seed, &drawn);
        let mut concrete = Self::parse(&self.path, &text)
            .unwrap_or_else(|problems| panic!("the swarm drew an invalid scenario: {problems:?}\n{text}"));
        concrete.swarm = self.swarm;
        concrete
    }

    /// Lets every seed draw its faults, if the file does not say so already.
    pub fn let_swarm(&mut self) {
        self.swarm.get_or_insert_default();
    }
}

impl Swarm {
    /// Whether the scenario's own steps stay.
    pub fn keeps(&self) -> bool {
        self.keeps
    }
}

impl Checker<'_> {
    /// Reports a swarm that can draw nothing in this scenario, whatever the seed.
    pub(super) fn swarm_draws(&mut self, field: &Field<SwarmTable>, scenario: &Scenario) {
        let (Field(Some(at)), Some(swarm), true) = (field, &scenario.swarm, self.problems.is_empty()) else { return };
        if let Some(why) = draw::nothing(scenario, swarm) {
            self.problems.add(&at.span, "this swarm can draw no fault", "nothing here", Some(why.to_owned()));
        }
    }

    pub(super) fn swarm(&mut self, field: &Field<SwarmTable>) -> Option<Swarm> {
        let Field(Some(at)) = field else { return None };
        let SwarmTable { faults, without, intensity, lasts, weather } = &at.value;
        let usual = Swarm::default();
        let mut kinds = match faults {
            Field(None) => usual.faults,
            Field(Some(names)) => names.value.iter().filter_map(|name| Kind::from_name(&name.value.text)).collect(),
        };
        for name in without {
            kinds.retain(|kind| kind.name() != name.value.text);
        }
        let shortest = Duration::from_millis(1);
        let lasts = self.times(lasts, usual.lasts, (shortest, Duration::from_secs(3_600)));
        if kinds.is_empty() && !self.problems.any_within(&at.span) {
            let help = "name some under `faults`, or leave it out for all".to_owned();
            self.problems.add(&at.span, "no fault is left to draw", "nothing here", Some(help));
        }
        Some(Swarm {
            faults: kinds,
            intensity: intensity.or(usual.intensity),
            lasts,
            weather: weather.or(usual.weather),
            keeps: true,
        })
    }
}
