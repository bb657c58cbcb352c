//! Warren's chaos points in whole runs: repeatable, counted, each of them reached, and no promise broken.

use std::{collections::BTreeMap, fs, path::Path};

use ferret::scenario::Scenario;
use ferret_reports::{RunRecord, Verdict};
use warren::platform::Chaos;

use crate::play::{self, Play};

fn hunt_scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/hunt");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| play::parse(&fs::read_to_string(path).unwrap())).collect()
}

fn fired(record: &RunRecord) -> BTreeMap<String, u64> {
    record.chaos.iter().map(|point| (point.point.clone(), point.fired)).collect()
}

#[test]
fn the_same_seed_takes_the_same_turns_and_another_seed_takes_others() {
    let run = |seed| Play { run: "duration = \"4s\"\nchaos = 5", seed, ..Play::default() }.run().record;
    let (first, second, other) = (run(1), run(1), run(2));
    assert_eq!((&first.chaos, &first.trace_hash), (&second.chaos, &second.trace_hash));
    assert_ne!(first.chaos, other.chaos);
    assert_eq!(first.chaos.len(), Chaos::ALL.len());
    assert!(fired(&first).values().filter(|fired| **fired > 0).count() >= 8, "{:?}", fired(&first));
    assert!(first.chaos.iter().all(|point| point.fired <= point.asked));
    assert_eq!(first.verdict, Verdict::Pass, "{:?}", first.reasons);
}

#[test]
fn without_chaos_no_turn_is_taken_and_none_is_told() {
    let record = Play::default().run().record;
    assert_eq!(record.chaos, []);
    let still = Play { run: "duration = \"4s\"\nchaos = 0", ..Play::default() }.run().record;
    assert_eq!(still.trace_hash, record.trace_hash);
}

#[test]
fn every_point_takes_its_turn_in_the_hunts_weather_and_no_promise_is_broken() {
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    let mut scenarios: Vec<Scenario> = hunt_scenarios();
    scenarios.retain(|scenario| scenario.run.chaos > 0.0);
    scenarios.sort_by(|a, b| b.run.chaos.total_cmp(&a.run.chaos));
    // The wildest first: most often one run is enough.
    for (seed, scenario) in (1..=3).flat_map(|seed| scenarios.iter().map(move |scenario| (seed, scenario))) {
        let record = play::run(scenario, seed).record;
        assert_eq!(record.verdict, Verdict::Pass, "{} seed {seed}: {:?}", scenario.name, record.reasons);
        fired(&record).into_iter().for_each(|(point, fired)| *total.entry(point).or_default() += fired);
        if total.values().all(|fired| *fired > 0) {
            break;
        }
    }
    assert!(total.values().all(|fired| *fired > 0), "{total:?}");
    assert_eq!(total.len(), Chaos::ALL.len());
}
