//! Which runs a sweep makes, and in which order: a pure function of what was asked for, so that machines that share
//! out a sweep agree on it without a word.

use std::collections::BTreeSet;

use ferret_reports::{PlannedRun, Slice};

/// A plan without an end is cut here, and a longer one is refused: days of runs.
pub const RUNS_MAX: usize = 100_000;

/// The seeds of one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seeds {
    /// Seeds that once failed.
    pub stored: Vec<u64>,
    /// The first of the seeds asked for, and how many there are.
    pub first: u64,
    /// `None`: no end.
    pub count: Option<u64>,
}

/// `A..B`, both ends included, or `A..`, which has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    pub first: u64,
    pub last: Option<u64>,
}

impl SeedRange {
    /// With these stored seeds in front.
    pub fn seeds(self, stored: &[u64]) -> Seeds {
        let count = self.last.map(|last| (last - self.first).saturating_add(1));
        Seeds { stored: stored.to_vec(), first: self.first, count }
    }

    pub fn is_open(self) -> bool {
        self.last.is_none()
    }
}

/// # Errors
/// What is wrong with the text, and how to write it.
pub fn seed_range(text: &str) -> Result<SeedRange, String> {
    let (first, last) = text.split_once("..").ok_or("write two numbers with `..` between them, such as 1..100")?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("`{text}` is no seed: seeds are numbers"));
    let first = number(first)?;
    let last = match last.trim_start_matches('=').trim() {
        "" => None,
        last => Some(number(last)?),
    };
    if let Some(last) = last.filter(|last| first > *last) {
        return Err(format!("the range ends before it begins: write {last}..{first}"));
    }
    Ok(SeedRange { first, last })
}

/// In which order the scenarios take their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All seeds of the first scenario, then all of the second.
    ByScenario,
    /// The first seed of every scenario, then the second of every one: wherever it is cut, all have had their share.
    BySeed,
}

/// How many runs were asked for, if these are more than a plan holds and not without an end.
pub fn too_many(scenarios: &[Seeds]) -> Option<u64> {
    let runs = scenarios.iter().try_fold(0u64, |runs, seeds| Some(runs.saturating_add(seeds.count?)))?;
    (runs > RUNS_MAX as u64).then_some(runs)
}

/// All stored seeds of all scenarios come first; no scenario runs a seed twice.
pub fn plan(scenarios: &[Seeds], order: Order) -> Vec<PlannedRun> {
    let mut runs = Vec::new();
    let run = |scenario: usize, seed| PlannedRun { scenario: scenario as u32, seed };
    for (index, seeds) in scenarios.iter().enumerate() {
        let stored: BTreeSet<u64> = seeds.stored.iter().copied().collect();
        runs.extend(stored.into_iter().map(|seed| run(index, seed)));
    }
    let mut seen: BTreeSet<PlannedRun> = runs.iter().copied().collect();
    let mut next = |index: usize, offset: u64| {
        let seeds = &scenarios[index];
        let inside = seeds.count.is_none_or(|count| offset < count);
        let planned = seeds.first.checked_add(offset).filter(|_| inside).map(|seed| run(index, seed));
        planned.map(|planned| seen.insert(planned).then_some(planned))
    };
    match order {
        Order::ByScenario => {
            for index in 0..scenarios.len() {
                let mut offset = 0;
                while runs.len() < RUNS_MAX
                    && let Some(fresh) = next(index, offset)
                {
                    runs.extend(fresh);
                    offset += 1;
                }
            }
        }
        Order::BySeed => {
            let mut offset = 0;
            loop {
                let mut any = false;
                for index in 0..scenarios.len() {
                    if runs.len() >= RUNS_MAX {
                        return runs;
                    }
                    if let Some(fresh) = next(index, offset) {
                        any = true;
                        runs.extend(fresh);
                    }
                }
                if !any {
                    break;
                }
                offset += 1;
            }
        }
    }
    runs
}

/// The runs of the plan that `slice` makes.
pub fn part(plan: &[PlannedRun], slice: Option<Slice>) -> Vec<PlannedRun> {
    let holds = |place: usize| slice.is_none_or(|slice| slice.holds(place));
    plan.iter().enumerate().filter(|(place, _)| holds(*place)).map(|(_, run)| *run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(plan: &[PlannedRun]) -> Vec<(u32, u64)> {
        plan.iter().map(|run| (run.scenario, run.seed)).collect()
    }

    fn seeds(stored: &[u64], first: u64, count: u64) -> Seeds {
        Seeds { stored: stored.to_vec(), first, count: Some(count) }
    }

    #[test]
    fn a_range_of_seeds_includes_both_ends() {
        assert_eq!(seed_range("1..100"), Ok(SeedRange { first: 1, last: Some(100) }));
        assert_eq!(seed_range("7..=7"), Ok(SeedRange { first: 7, last: Some(7) }));
        assert_eq!(seed_range("7.."), Ok(SeedRange { first: 7, last: None }));
        assert!(seed_range("9..1").is_err());
        assert!(seed_range("12").is_err());
        assert!(seed_range("a..b").is_err());
    }

    #[test]
    fn stored_seeds_come_first_and_run_once() {
        let scenarios = [seeds(&[], 1, 2), seeds(&[9, 2, 9], 1, 2)];
        let planned = pairs(&plan(&scenarios, Order::ByScenario));
        assert_eq!(planned, [(1, 2), (1, 9), (0, 1), (0, 2), (1, 1)]);
    }

    #[test]
    fn by_seed_every_scenario_has_its_turn() {
        let scenarios = [seeds(&[], 1, 3), seeds(&[], 5, 1)];
        assert_eq!(pairs(&plan(&scenarios, Order::BySeed)), [(0, 1), (1, 5), (0, 2), (0, 3)]);
    }

    #[test]
    fn a_plan_without_an_end_is_cut() {
        let open = Seeds { count: None, first: u64::MAX - 3, ..Seeds::default() };
        assert_eq!(plan(&[open], Order::BySeed).len(), 4, "there are no more seeds");
        let open = Seeds { count: None, ..Seeds::default() };
        assert_eq!(plan(&[open.clone(), open], Order::BySeed).len(), RUNS_MAX);
    }

    #[test]
    fn a_plan_that_would_be_cut_short_of_its_end_is_told_of() {
        let of = |counts: &[Option<u64>]| {
            let seeds: Vec<Seeds> = counts.iter().map(|count| Seeds { count: *count, ..Seeds::default() }).collect();
            too_many(&seeds)
        };
        assert_eq!(of(&[Some(60_000), Some(40_000)]), None);
        assert_eq!(of(&[Some(60_000), Some(40_001)]), Some(100_001));
        assert_eq!(of(&[Some(u64::MAX), Some(2)]), Some(u64::MAX));
        assert_eq!(of(&[Some(100_001), None]), None, "without an end it is known to be cut");
    }

    #[test]
    fn the_parts_of_a_plan_are_the_plan() {
        let whole = plan(&[seeds(&[7], 1, 10)], Order::ByScenario);
        let parts = [1, 2, 3, 4].map(|number| part(&whole, Some(Slice { part: number, of: 4 })));
        let mut together: Vec<PlannedRun> = parts.concat();
        together.sort();
        let mut sorted = whole.clone();
        sorted.sort();
        assert_eq!(together, sorted);
        assert!(parts.iter().all(|part| part.len() == 2 || part.len() == 3));
    }
}
