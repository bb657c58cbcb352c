//! The search, with a rule in the place of the simulation.

use ferret_reports::{InvariantResult, InvariantVerdict, RunRecord, Verdict};

use super::*;
use crate::{
    check::Invariant,
    run::blank_record,
    scenario::{Action, ClientTrouble, Target},
};

const GOAL: Goal = Goal::Violates(Invariant::Durability);

const LARGE: &str = r#"
version = 1
name = "large"
[run]
duration = "20s"
net = { latency = "2ms..20ms", loss = 0.01 }
[cluster]
nodes = 5
[[queues]]
name = "orders"
[[queues]]
name = "tasks"
[[publishers]]
name = "pub"
count = 3
queue = "orders"
rate = 100
body = "100B..2KiB"
[[publishers]]
name = "boss"
queue = "tasks"
rate = 10
[[consumers]]
name = "con"
count = 2
queue = "orders"
requeue = 0.1
[timeline]
steps = [
  { at = "1s", pause = { node = "n1" }, for = "1s" },
  { at = "2s", kill = { node = "n2" } },
  { at = "3s", restart = { node = "n2" } },
  { at = "4s", partition = { isolate = "leader:orders" }, for = "2s" },
  { at = "7123456789ns", power-loss = { node = "n3" }, for = "1234567890ns" },
  { at = "9s", client-crash = { client = "boss" }, for = "1s" },
  { at = "11s", disk-stall = { node = "all" }, for = "1s" },
  { at = "13s", reset = { node = "n4" } },
  { at = "15s", partition = { halves = [["n1", "n2"], ["n3", "n4", "n5"]] }, for = "2s" },
  { at = "17s", heal = "all" },
]
"#;

/// Fails whatever the rule says; publishes as often as rates and limits allow.
struct Rule<F> {
    fails: F,
    runs: u64,
    budget: u64,
}

impl<F: Fn(&Scenario, u64) -> bool> Rule<F> {
    fn run(&mut self, scenario: &Scenario) -> Option<Found> {
        self.runs += 1;
        let seconds = scenario.run.duration.as_secs_f64();
        let each = |group: &crate::scenario::Publishers| {
            let sent = (group.rate * seconds).ceil() as u64;
            u64::from(group.count) * group.messages.map_or(sent, |messages| messages.min(sent))
        };
        let messages = scenario.publishers.iter().map(each).sum();
        if !(self.fails)(scenario, messages) {
            return None;
        }
        let mut record: RunRecord = blank_record(scenario, scenario.run.seeds.from, &crate::run::RunOptions::default());
        record.verdict = Verdict::Violated;
        record.messages.published = messages;
        record.virtual_seconds = seconds + scenario.run.liveness.as_secs_f64();
        record.invariants.push(InvariantResult {
            name: "durability".to_owned(),
            promise: String::new(),
            verdict: InvariantVerdict::Violated,
            required: true,
            checked: 1,
            unit: String::new(),
            explanation: None,
            witness: Vec::new(),
        });
        Some(Found { scenario: scenario.clone(), record, sights: Sights::default() })
    }
}

impl<F: Fn(&Scenario, u64) -> bool> Trials for Rule<F> {
    fn first(&mut self, proposals: Vec<Scenario>, than: &Size) -> Option<Found> {
        let valid = |proposal: Scenario| Scenario::parse("large.toml", &proposal.to_toml()).ok();
        proposals.into_iter().filter_map(valid).find_map(|proposal| {
            if self.over() {
                return None;
            }
            self.run(&proposal).filter(|found| found.size() < *than)
        })
    }

    fn over(&self) -> bool {
        self.runs >= self.budget
    }

    fn better(&mut self, _: &Found) {}
}

fn shrunk(budget: u64, fails: impl Fn(&Scenario, u64) -> bool) -> (Found, Found) {
    let large = Scenario::parse("large.toml", LARGE).expect("the scenario is valid");
    let mut rule = Rule { fails, runs: 0, budget };
    let start = rule.run(&large).expect("the large scenario fails");
    let best = shrink(GOAL, start.clone(), &mut rule);
    (start, best)
}

fn kinds(scenario: &Scenario) -> Vec<&'static str> {
    scenario.steps.iter().map(|step| step.action.kind()).collect()
}

#[test]
fn one_fault_and_a_few_messages_are_found_among_many() {
    let (start, best) = shrunk(u64::MAX, |scenario, messages| messages >= 7 && kinds(scenario).contains(&"power-loss"));
    assert_eq!(kinds(&best.scenario), ["power-loss"]);
    assert_eq!(best.record.messages.published, 7);
    assert_eq!((best.scenario.queues.len(), best.scenario.consumers.len()), (1, 0));
    assert_eq!(best.scenario.run.net.loss, 0.0, "weather that does not matter is gone");
    assert!(best.size() < start.size());
    assert!(
        best.size().less_than(&start.size()).starts_with("8 faults → 1, "),
        "{}",
        best.size().less_than(&start.size())
    );
}

#[test]
fn two_faults_that_only_together_do_harm_stay_together() {
    let (_, best) = shrunk(u64::MAX, |scenario, _| {
        let kinds = kinds(scenario);
        kinds.contains(&"pause") && kinds.contains(&"disk-stall")
    });
    assert_eq!(kinds(&best.scenario), ["pause", "disk-stall"]);
}

#[test]
fn what_mends_stays_with_what_it_mends_if_both_are_needed() {
    let (_, best) = shrunk(u64::MAX, |scenario, _| {
        let kinds = kinds(scenario);
        kinds.contains(&"kill") && kinds.contains(&"restart")
    });
    assert_eq!(kinds(&best.scenario), ["kill", "restart"]);
}

#[test]
fn a_failure_that_needs_no_fault_is_left_with_none() {
    let (_, best) = shrunk(u64::MAX, |scenario, messages| messages >= 1 && !scenario.consumers.is_empty());
    assert_eq!(kinds(&best.scenario), [""; 0]);
    assert_eq!((best.record.messages.published, best.scenario.cluster.nodes), (1, 1));
}

#[test]
fn a_limit_that_is_exceeded_is_lowered_so_that_few_messages_do() {
    let large = Scenario::parse("large.toml", LARGE).expect("the scenario is valid");
    let limits = |scenario: &Scenario| scenario.consumers.iter().map(|group| u64::from(group.prefetch)).max();
    assert!(limits(&large) > Some(20));
    let fails = |scenario: &Scenario, messages| limits(scenario).is_some_and(|limit| limit > 0 && messages > limit);
    let mut rule = Rule { fails, runs: 0, budget: u64::MAX };
    let start = rule.run(&large).expect("the large scenario fails");
    let best = shrink(Goal::Violates(Invariant::Prefetch), start, &mut rule);
    assert_eq!((best.record.messages.published, limits(&best.scenario)), (2, Some(1)));
}

#[test]
fn a_fault_against_clients_goes_with_its_clients() {
    let (_, best) = shrunk(u64::MAX, |scenario, _| {
        let crashes =
            |action: &Action<Vec<Target>>| matches!(action, Action::Client { trouble: ClientTrouble::Crash, .. });
        scenario.steps.iter().any(|step| crashes(&step.action))
    });
    assert_eq!(kinds(&best.scenario), ["client-crash"]);
    assert_eq!(best.scenario.publishers.len(), 1, "its client is still there");
}

#[test]
fn a_spent_budget_keeps_the_best_so_far() {
    let (start, best) = shrunk(100, |scenario, _| kinds(scenario).contains(&"power-loss"));
    assert!(best.size() < start.size());
    assert!(kinds(&best.scenario).contains(&"power-loss"));
}

#[test]
fn the_liveness_bound_is_not_touched_when_liveness_is_what_fails() {
    let large = Scenario::parse("large.toml", LARGE).expect("the scenario is valid");
    let mut rule = Rule { fails: |_: &Scenario, _| true, runs: 0, budget: u64::MAX };
    let start = rule.run(&large).expect("the large scenario fails");
    let goal = Goal::Violates(Invariant::Liveness);
    let best = shrink(goal, start.clone(), &mut rule);
    assert_eq!(best.scenario.run.liveness, start.scenario.run.liveness);
    let best = shrink(GOAL, start.clone(), &mut rule);
    assert!(best.scenario.run.liveness < start.scenario.run.liveness, "another invariant does not need it");
}
