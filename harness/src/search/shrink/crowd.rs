//! Fewer queues, clients and nodes.

use warren::platform::NodeId;

use super::{
    Found, Goal, Proposal,
    passes::{LUCK, propose, with},
};
use crate::scenario::{Action, Cluster, Errand, Partition, Placement, Reset, Scenario, Target};

/// Fewer queues, groups of clients and clients.
pub(super) fn crowd(_: Goal, best: &Found) -> Vec<Proposal> {
    let scenario = &best.scenario;
    let mut proposals = Vec::new();
    if scenario.queues.len() > 1 {
        for queue in 0..scenario.queues.len() {
            proposals.push(propose(one_each(&only_queue(scenario, queue)), 1));
        }
        for queue in 0..scenario.queues.len() {
            proposals.push(propose(only_queue(scenario, queue), 0));
        }
    }
    proposals.push(propose(one_each(scenario), 1));
    let names = scenario.publishers.iter().map(|group| &group.name);
    let names = names.chain(scenario.consumers.iter().map(|group| &group.name));
    let names = names.chain(scenario.lockers.iter().map(|group| &group.name));
    for name in names.chain(scenario.getters.iter().map(|group| &group.name)) {
        proposals.push(propose(without_client(scenario, name), 1));
    }
    let groups = scenario.publishers.len() + scenario.consumers.len() + scenario.getters.len() + scenario.lockers.len();
    for group in 0..groups {
        for fewer in [|_: u32| 1, |count: u32| count / 2, |count: u32| count - 1] {
            proposals.push(propose(
                with(scenario, |scenario| {
                    if let Some(count) = count_of(scenario, group) {
                        *count = fewer(*count).max(1);
                    }
                }),
                0,
            ));
        }
    }
    proposals
}

/// One client of each group.
pub(super) fn one_each(scenario: &Scenario) -> Scenario {
    with(scenario, |scenario| {
        scenario.publishers.iter_mut().for_each(|group| group.count = 1);
        scenario.consumers.iter_mut().for_each(|group| group.count = 1);
        scenario.getters.iter_mut().for_each(|group| group.count = 1);
        scenario.lockers.iter_mut().for_each(|group| group.count = 1);
    })
}

fn count_of(scenario: &mut Scenario, group: usize) -> Option<&mut u32> {
    let publishers = scenario.publishers.iter_mut().map(|group| &mut group.count);
    let consumers = scenario.consumers.iter_mut().map(|group| &mut group.count);
    let getters = scenario.getters.iter_mut().map(|group| &mut group.count);
    let lockers = scenario.lockers.iter_mut().map(|group| &mut group.count);
    publishers.chain(consumers).chain(getters).chain(lockers).nth(group)
}

/// One queue and its clients; steps that speak of another queue's leader speak of this one's.
pub(super) fn only_queue(scenario: &Scenario, queue: usize) -> Scenario {
    with(scenario, |scenario| {
        scenario.queues = vec![scenario.queues[queue].clone()];
        let of = |other: usize| other == queue;
        scenario.publishers.retain(|group| of(group.queue));
        scenario.consumers.retain(|group| of(group.queue));
        scenario.getters.retain(|group| of(group.queue));
        scenario.lockers.retain(|group| of(group.queue));
        let here = |target: &mut Target| match target {
            Target::Leader(queue)
            | Target::Followers(queue)
            | Target::OneFollower(queue)
            | Target::OneLearner(queue) => *queue = 0,
            _ => {}
        };
        for (queue, node) in connections(scenario) {
            *queue = 0;
            if let Placement::At(target) = node {
                here(target);
            }
        }
        // An operator's errand is of its queue, and so may be what a step waits for.
        scenario.steps.retain(|step| {
            let of_another = |errand: Errand| errand.queue().is_some_and(|errand| errand != queue);
            step.trigger.is_none() && !matches!(step.action, Action::Operate { errand, .. } if of_another(errand))
        });
        for step in &mut scenario.steps {
            step.action = step.action.map(|targets| {
                let mut targets = targets.clone();
                targets.iter_mut().for_each(here);
                targets
            });
            if let Action::Operate { errand, .. } = &mut step.action {
                *errand = errand.with_queue(0);
            }
        }
        drop_steps_of_strangers(scenario);
    })
}

/// Queue and placement of every group of clients.
fn connections(scenario: &mut Scenario) -> impl Iterator<Item = (&mut usize, &mut Placement)> {
    let publishers = scenario.publishers.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    let consumers = scenario.consumers.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    let getters = scenario.getters.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    let lockers = scenario.lockers.iter_mut().map(|group| (&mut group.queue, &mut group.node));
    publishers.chain(consumers).chain(getters).chain(lockers)
}

fn without_client(scenario: &Scenario, name: &str) -> Scenario {
    with(scenario, |scenario| {
        scenario.publishers.retain(|group| group.name != name);
        scenario.consumers.retain(|group| group.name != name);
        scenario.getters.retain(|group| group.name != name);
        scenario.lockers.retain(|group| group.name != name);
        drop_steps_of_strangers(scenario);
    })
}

/// Steps against clients that are not there.
fn drop_steps_of_strangers(scenario: &mut Scenario) {
    let publishers = scenario.publishers.iter().map(|group| group.name.clone());
    let consumers = scenario.consumers.iter().map(|group| group.name.clone());
    let getters = scenario.getters.iter().map(|group| group.name.clone());
    let lockers = scenario.lockers.iter().map(|group| group.name.clone());
    let known: Vec<String> = publishers.chain(consumers).chain(getters).chain(lockers).collect();
    scenario.steps.retain(|step| match &step.action {
        Action::Client { client, .. } | Action::Reset(Reset::Client(client)) => known.contains(client),
        _ => true,
    });
}

/// Fewer nodes.
pub(super) fn nodes(_: Goal, best: &Found) -> Vec<Proposal> {
    let Cluster { nodes, spares, .. } = best.scenario.cluster;
    // Spares are numbered after the nodes: with fewer of these, steps would speak of others.
    let fewer = (1..if spares > 0 { 1 } else { nodes })
        .map(|fewer| propose(with(&best.scenario, |scenario| only_nodes(scenario, fewer)), LUCK));
    fewer.collect()
}

/// The first `nodes` nodes; steps against one that is gone hit another.
fn only_nodes(scenario: &mut Scenario, nodes: u64) {
    scenario.cluster.nodes = nodes;
    for queue in &mut scenario.queues {
        queue.group_size = queue.group_size.min(nodes);
    }
    let inside = |target: Target| match target {
        Target::Node(node) => Target::Node(NodeId((node.0 - 1) % nodes + 1)),
        other => other,
    };
    for (_, node) in connections(scenario) {
        if let Placement::At(target) = node {
            *target = inside(*target);
        }
    }
    for step in &mut scenario.steps {
        step.action = step.action.map(|targets| {
            let mut fewer: Vec<Target> = Vec::new();
            for target in targets {
                let target = inside(*target);
                if !fewer.contains(&target) {
                    fewer.push(target);
                }
            }
            fewer
        });
        if let Action::Partition(Partition::Halves(halves)) = &mut step.action {
            let mut seen: Vec<Target> = Vec::new();
            for half in halves.iter_mut() {
                half.retain(|target| !seen.contains(target));
                seen.extend(half.iter().copied());
            }
            halves.retain(|half| !half.is_empty());
        }
    }
}
