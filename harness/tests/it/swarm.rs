//! Faults that the swarm draws: concrete, legal, different for each seed, and to be had again without it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use ferret::scenario::{Action, Errand, Scenario, SwarmKind, Target, Trouble};
use ferret_reports::Verdict;

use super::play::{Play, parse, run};

/// Every scenario in the tree.
fn tree() -> Vec<Scenario> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut scenarios = Vec::new();
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "toml") {
                let text = fs::read_to_string(&file).unwrap();
                scenarios.push(Scenario::parse(&file.to_string_lossy(), &text).expect("the tree's files are valid"));
            }
        }
    }
    scenarios
}

fn swarmed(mut scenario: Scenario, seed: u64) -> Scenario {
    scenario.let_swarm();
    scenario.drawn_by_swarm(seed)
}

fn kinds(scenario: &Scenario) -> BTreeSet<&'static str> {
    scenario.steps.iter().map(|step| step.action.kind()).collect()
}

fn with_swarm(swarm: &str, steps: &'static str) -> String {
    Play::of(steps).text().replace("[timeline]", &format!("[swarm]\n{swarm}\n[timeline]"))
}

#[test]
fn every_scenario_of_the_tree_can_be_swarmed_with_steps_that_a_file_can_hold() {
    for scenario in tree() {
        for seed in 0..12 {
            let drawn = swarmed(scenario.clone(), seed);
            let concrete = Scenario::parse("drawn.toml", &drawn.text).expect("what is drawn is valid");
            assert!(concrete.swarm.is_none() && !concrete.steps.is_empty(), "{}", drawn.text);
            assert_eq!(concrete.steps, drawn.steps);
            assert_eq!(drawn.text, swarmed(scenario.clone(), seed).text, "one seed, one draw");
            for step in &concrete.steps {
                assert!(step.may_miss && step.at.min == step.at.max && step.trigger.is_none(), "{step:?}");
                assert!(step.lasts.is_none_or(|lasts| lasts.min == lasts.max), "{step:?}");
                let _ = step.action.map(|targets| {
                    let drawn = |target: &Target| matches!(target, Target::Any | Target::Majority | Target::Minority);
                    assert!(!targets.iter().any(drawn), "nothing but roles is left open: {step:?}");
                });
            }
        }
    }
}

#[test]
fn each_seed_has_a_random_part_of_all_faults_and_together_they_have_all() {
    let scenario = tree().into_iter().find(|scenario| scenario.name == "many-queues").expect("it is in the gate");
    let drawn: Vec<Scenario> = (1..=300).map(|seed| swarmed(scenario.clone(), seed)).collect();
    let all: BTreeSet<&str> = drawn.iter().flat_map(kinds).collect();
    let known: BTreeSet<&str> = SwarmKind::ALL.into_iter().map(SwarmKind::name).collect();
    assert_eq!(&known - &all, BTreeSet::new(), "every kind is drawn by some seed");
    assert!(drawn.iter().all(|one| kinds(one).len() <= 2 * SwarmKind::ALL.len() / 3), "no seed has nearly all");
    assert!(drawn.iter().any(|one| kinds(one).len() <= 3), "some seeds have few");
    let counts: BTreeSet<usize> = drawn.iter().map(|one| one.steps.len()).collect();
    assert!(counts.len() > 5, "how many there are varies: {counts:?}");
    assert!(drawn[0].run.net != drawn[1].run.net && drawn[0].run.disk != drawn[1].run.disk, "so does the weather");
}

#[test]
fn synced_data_is_taken_from_one_node_at_most_and_in_a_calm() {
    let scenario = tree().into_iter().find(|scenario| scenario.name == "many-queues").expect("it is in the gate");
    let mut losses = 0;
    for seed in 1..=300 {
        let drawn = swarmed(scenario.clone(), seed);
        let victims = |action: &Action<Vec<Target>>| match action {
            Action::Wipe { node }
            | Action::Trouble { node, trouble: Trouble::BitRot { .. } | Trouble::Misdirect { .. } } => node.clone(),
            _ => Vec::new(),
        };
        let of_loss: Vec<_> = drawn.steps.iter().filter(|step| !victims(&step.action).is_empty()).collect();
        let (Some(first), Some(last)) = (of_loss.first(), of_loss.last()) else { continue };
        losses += 1;
        let whom: Vec<Target> = of_loss.iter().flat_map(|step| victims(&step.action)).collect();
        assert!(whom.iter().all(|one| *one == whom[0] && matches!(one, Target::Node(_))), "{whom:?}");
        let ends = last.at.max + last.lasts.expect("a node comes back").max;
        let calm = first.at.min - Duration::from_secs(3)..ends + Duration::from_secs(5);
        for step in &drawn.steps {
            let own = |nodes: &Vec<Target>| nodes == &whom[..1];
            let of_victim = match &step.action {
                Action::Kill { node } | Action::PowerLoss { node } => own(node) && step.at.min > first.at.min,
                action => !victims(action).is_empty(),
            };
            let over = step.at.max + step.lasts.map_or(Duration::ZERO, |lasts| lasts.max);
            let apart = over <= calm.start || step.at.min >= calm.end;
            assert!(of_victim || apart, "seed {seed}: {step:?} breaks the calm {calm:?}");
        }
    }
    assert!(losses > 50, "it is tried often enough");
}

#[test]
fn the_cluster_changes_by_steps_that_a_correct_one_survives() {
    let (mut joins, mut leaves) = (0, 0);
    for scenario in tree() {
        let founders = scenario.cluster.nodes;
        for seed in 0..40 {
            let drawn = swarmed(scenario.clone(), seed);
            let (mut there, mut joined, mut gone) = (founders, BTreeSet::new(), BTreeSet::new());
            let mut removed = 0;
            for step in drawn.steps.iter().filter(|step| step.trigger.is_none()) {
                let Action::Operate { node, errand } = &step.action else { continue };
                match (errand, &node[..]) {
                    (Errand::AddMember, [Target::Node(node)]) => {
                        assert!(node.0 > founders && joined.insert(*node), "{node} joins once: {}", drawn.text);
                        there += 1;
                    }
                    (Errand::RemoveMember, [target]) => {
                        if let Target::Node(node) = target {
                            assert!(node.0 <= founders || joined.contains(node), "{node} is there: {}", drawn.text);
                            assert!(gone.insert(*node), "{node} leaves once: {}", drawn.text);
                        }
                        there -= 1;
                        removed += 1;
                        assert!(there >= 3, "{}", drawn.text);
                    }
                    _ => {}
                }
            }
            // Whether those who join arrive, only the run tells.
            assert!(removed == 0 || removed + 2 <= founders, "{}", drawn.text);
            let loses = drawn.steps.iter().any(|step| matches!(step.action, Action::Wipe { .. }));
            assert!(!loses || joined.is_empty() && removed == 0, "{}", drawn.text);
            (joins, leaves) = (joins + joined.len(), leaves + removed);
        }
    }
    assert!(joins > 100 && leaves > 100, "it is tried often enough: {joins} and {leaves}");
}

#[test]
fn every_errand_of_an_operator_is_drawn_and_most_bite() {
    let errands = ["transfer-leader", "grow", "shrink", "add-member", "remove-member"];
    let swarm = format!("faults = {errands:?}\nintensity = 90\nweather = false");
    // With more nodes than voters, a queue can grow.
    let scenario = parse(&with_swarm(&swarm, "").replace("nodes = 3", "nodes = 4"));
    let mut bitten: BTreeMap<String, (u32, u32)> = BTreeMap::new();
    for seed in 1..=24 {
        let output = run(&scenario, seed);
        let verdict = output.record.verdict;
        assert!(matches!(verdict, Verdict::Pass | Verdict::Vacuous), "seed {seed}: {:?}", output.record.reasons);
        for fault in &output.record.faults {
            let (bit, all) = bitten.entry(fault.kind.clone()).or_default();
            (*bit, *all) = (*bit + u32::from(fault.bit), *all + 1);
        }
    }
    for errand in errands {
        let (bit, all) = bitten.get(errand).copied().unwrap_or_default();
        assert!(bit >= 5 && 3 * bit >= all, "{errand}: {bit} of {all} had an effect; all: {bitten:?}");
    }
}

#[test]
fn a_small_cluster_loses_a_member_only_once_another_was_asked_in() {
    let drawn = |swarm| {
        let scenario = parse(&with_swarm(swarm, ""));
        (0..20).map(|seed| kinds(&scenario.clone().drawn_by_swarm(seed))).collect::<Vec<_>>()
    };
    let both = drawn("faults = [\"add-member\", \"remove-member\"]");
    assert!(both.iter().any(|kinds| kinds.contains("remove-member")));
    assert!(both.iter().all(|kinds| kinds.contains("add-member")), "{both:?}");
    assert!(drawn("faults = [\"remove-member\", \"kill\"]").iter().all(|kinds| kinds.iter().eq(["kill"].iter())));
}

#[test]
fn what_is_drawn_beside_own_steps_uses_other_spares_and_counts_nobody_out_who_may_be_gone() {
    let own = r#"{ at = "1s", add-member = { node = "spare" } }, { at = "2s", remove-member = { node = "n4" } }"#;
    let swarm = "faults = [\"add-member\", \"remove-member\"]";
    let scenario = parse(&with_swarm(swarm, own).replace("nodes = 3", "nodes = 3\nspares = 1"));
    for seed in 0..20 {
        let drawn = scenario.clone().drawn_by_swarm(seed);
        for step in &drawn.steps[2..] {
            assert!(
                matches!(&step.action, Action::Operate { node, errand: Errand::AddMember }
                    if matches!(node[..], [Target::Node(node)] if node.0 > 4)),
                "{step:?}"
            );
        }
    }
}

#[test]
fn every_fault_but_what_mends_can_be_drawn() {
    let known: BTreeSet<&str> = SwarmKind::ALL.into_iter().map(SwarmKind::name).collect();
    let listed: BTreeSet<&str> = ferret::faults::CATALOGUE.iter().map(|listed| listed.kind).collect();
    assert_eq!(&listed - &known, BTreeSet::from(["heal", "restart"]));
    assert_eq!(&known - &listed, BTreeSet::new());
}

#[test]
fn what_is_drawn_runs_again_without_the_swarm() {
    let changes = "faults = [\"add-member\", \"remove-member\", \"grow\", \"kill\"]\nintensity = 60";
    runs_again(&parse(&with_swarm("intensity = 60", "")), 3);
    let scenario = parse(&with_swarm(changes, ""));
    let replaces = |seed: &u64| kinds(&scenario.clone().drawn_by_swarm(*seed)).contains("remove-member");
    runs_again(&scenario, (0..50).find(replaces).expect("some seed replaces a member"));
}

fn runs_again(scenario: &Scenario, seed: u64) {
    let swarmed = run(scenario, seed);
    assert!(swarmed.record.replay.ends_with(&format!("--swarm --seed {seed}")), "{}", swarmed.record.replay);
    let text = &swarmed.record.scenario.text;
    let concrete = Scenario::parse("drawn.toml", text).expect("what was drawn is a scenario");
    assert_eq!(concrete.run.seeds.iter().collect::<Vec<_>>(), [seed], "the file names its seed");
    let again = run(&concrete, seed);
    assert_eq!(again.record.trace_hash, swarmed.record.trace_hash);
    assert_eq!(again.record.verdict, swarmed.record.verdict);
    assert_eq!(again.record.faults, swarmed.record.faults);
    assert!(!again.record.replay.contains("--swarm"));
    let line = |line: u32| text.lines().nth(line as usize - 1).expect("the line is there");
    let all = swarmed.record.faults.iter().all(|fault| line(fault.line).contains(&format!("{} =", fault.kind)));
    assert!(all, "each step is found at its line");
}

#[test]
fn a_seed_of_faults_that_may_find_nothing_to_do_has_one_that_always_does_something() {
    let idle = ["grow", "shrink", "transfer-leader", "clock-jump", "clock-drift", "clock-freeze", "slow-consumer"];
    let never_idle = ["kill", "power-loss", "rolling-restart"];
    let drawn = |faults: &[&str]| {
        let scenario = parse(&with_swarm(&format!("faults = {faults:?}"), "").replace("nodes = 3", "nodes = 4"));
        (0..20).map(|seed| scenario.clone().drawn_by_swarm(seed)).collect::<Vec<_>>()
    };
    let all = [&idle[..], &never_idle].concat();
    let is_sure = |drawn: &Scenario| never_idle.iter().any(|kind| kinds(drawn).contains(kind));
    assert!(drawn(&all).iter().all(is_sure));
    // A link that is cut for a moment may be quiet just then.
    let few = drawn(&[&["partition"], &never_idle[..]].concat());
    assert!(few.iter().all(|drawn| is_sure(drawn) || drawn.steps.len() >= 3));
    assert!(drawn(&idle).iter().all(|drawn| !drawn.steps.is_empty()), "what is denied is not drawn all the same");
}

#[test]
fn a_run_in_which_no_drawn_fault_bites_is_no_pass() {
    // Nothing asks for the time of day.
    let output = run(&parse(&with_swarm("faults = [\"clock-jump\"]", "")), 1);
    assert_eq!(output.record.verdict, Verdict::Vacuous, "{:?}", output.record.faults);
    let reason = &output.record.reasons[0];
    assert!(reason.ends_with(" faults had an effect; 1 must, or nothing is tested"), "{reason}");
    let output = run(&parse(&with_swarm("faults = [\"pause\"]\nfor = \"300ms\"", "")), 1);
    assert_eq!(output.record.verdict, Verdict::Pass, "{:?}", output.record.reasons);
}

#[test]
fn a_section_allows_and_denies_and_keeps_the_timeline() {
    let step = r#"{ at = "1s", kill = { node = "n1" }, for = "1s" }"#;
    let scenario = parse(&with_swarm("faults = [\"pause\", \"reset\", \"kill\"]\nwithout = [\"kill\"]", step));
    let mut seen = BTreeSet::new();
    for seed in 0..20 {
        let drawn = scenario.clone().drawn_by_swarm(seed);
        let own = &drawn.steps[0];
        assert!(own.action.kind() == "kill" && !own.may_miss, "the timeline's own steps come first: {own:?}");
        assert!(drawn.steps[1..].iter().all(|step| step.may_miss));
        seen.extend(drawn.steps[1..].iter().map(|step| step.action.kind()));
    }
    assert_eq!(seen, BTreeSet::from(["pause", "reset"]));
}

#[test]
fn without_a_section_the_timeline_and_what_it_is_for_are_replaced() {
    let scenario = tree().into_iter().find(|scenario| scenario.name == "quorum-leader-loss").expect("the gate has it");
    assert!(!scenario.expect.thresholds.is_empty() && !scenario.expect.sometimes.is_empty());
    let drawn = swarmed(scenario.clone(), 1);
    assert!(drawn.expect.thresholds.is_empty() && drawn.expect.sometimes.is_empty());
    assert!(drawn.steps.iter().all(|step| step.may_miss && step.action.kind() != "heal"));
    assert_eq!((drawn.queues, drawn.publishers), (scenario.queues, scenario.publishers));
    assert!(drawn.text.contains("# Three ways to lose a leader"), "comments stay");
}
