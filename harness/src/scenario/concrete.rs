//! From a seed's draws to a scenario that has none left.
//!
//! [`Scenario::concrete`] replaces what a timeline left to chance by what came of it in one run. Roles that are not a
//! matter of chance (`leader:Q`, `followers:Q`) stay: they are resolved when the step begins, in every run anew.

use std::{collections::BTreeMap, time::Duration};

use warren::platform::NodeId;

use super::{Scenario, Seeds, Spread, Step, Target, resolve};
use crate::{
    faults::ClusterView,
    history::{Event, EventKind, History, Nanos},
};

impl Scenario {
    /// The scenario with the timeline that `seed` drew, as it took place in `history`, and with no other seed. Steps
    /// that never began are gone.
    pub fn concrete(&self, seed: u64, history: &History) -> Self {
        let begun = begun(self, history);
        let first = history.events.iter().find(|event| matches!(event.kind, EventKind::Publish { .. }));
        // The load begins with the tick that follows the first publish; that, or the end of waiting for it.
        let tick = u64::try_from(self.run.tick.as_nanos()).unwrap_or(u64::MAX);
        let origin = Nanos(first.map_or(0, |event| (event.at.0 / tick + 1) * tick));
        let mut concrete = self.clone();
        concrete.steps.clear();
        for (fault, drawn) in self.draw(seed).into_iter().enumerate() {
            let Some(Begun { at, leaders, members }) = begun.get(&fault).cloned() else { continue };
            let written = &self.steps[drawn.step];
            let members = |queue: usize| members[queue].clone();
            // A drawn follower is one node from now on, which does not wait for a leader.
            let mut waits_no_more = written.trigger.is_some();
            let mut drawn_from = Vec::new();
            let _ = written.action.map(|targets| drawn_from.push(targets.clone()));
            let mut drawn_from = drawn_from.into_iter();
            let action = drawn.action.map(|drawn| {
                let mut targets = Vec::new();
                for target in drawn_from.next().unwrap_or_default() {
                    match target {
                        Target::Leader(_) | Target::Followers(_) | Target::Node(_) | Target::All => {
                            targets.push(target);
                        }
                        Target::Any
                        | Target::Majority
                        | Target::Minority
                        | Target::OneFollower(_)
                        | Target::OneLearner(_) => {}
                    }
                }
                for one in drawn {
                    let nodes = resolve(std::slice::from_ref(one), |queue| leaders[queue], members);
                    match one {
                        super::DrawnTarget::Leader(_) | super::DrawnTarget::Followers(_) => {}
                        super::DrawnTarget::OneFollower { .. } | super::DrawnTarget::OneLearner { .. } => {
                            waits_no_more = true;
                            targets.extend(nodes.into_iter().map(Target::Node));
                        }
                        super::DrawnTarget::Node(_) => {
                            let named = |node: &NodeId| {
                                targets.contains(&Target::Node(*node)) || targets.contains(&Target::All)
                            };
                            let new: Vec<NodeId> = nodes.into_iter().filter(|node| !named(node)).collect();
                            targets.extend(new.into_iter().map(Target::Node));
                        }
                    }
                }
                targets
            });
            let since = Duration::from_nanos(at.0.saturating_sub(origin.0));
            let waited = written.trigger.is_some() || (waits_no_more && since > drawn.at + self.run.tick * 2);
            concrete.steps.push(Step {
                at: Spread::exactly(if waited { since } else { drawn.at }),
                lasts: drawn.lasts.map(Spread::exactly),
                trigger: None,
                repeat: None,
                action,
                ..written.clone()
            });
        }
        concrete.steps.sort_by_key(|step| step.at.min);
        concrete.run.seeds = Seeds { from: seed, count: 1 };
        concrete
    }
}

/// When a step began, and who led and who made up each queue then.
#[derive(Clone)]
struct Begun {
    at: Nanos,
    leaders: Vec<Option<NodeId>>,
    /// Who votes in it, and who follows without a vote.
    members: Vec<[Vec<NodeId>; 2]>,
}

/// By number of the fault; those that never began are missing.
fn begun(scenario: &Scenario, history: &History) -> BTreeMap<usize, Begun> {
    let mut view = ClusterView::default();
    let mut begun = BTreeMap::new();
    for Event { at, kind } in &history.events {
        match kind {
            EventKind::Observed { node, observation } => view.observe(*node, observation),
            EventKind::NodeDown { node, .. } => view.node_down(*node),
            EventKind::FaultBegan { fault } => {
                let leaders = scenario.queues.iter().map(|queue| view.leader(&queue.name)).collect();
                let all = || [scenario.cluster.node_ids().collect(), Vec::new()];
                let members = |queue: &super::Queue| view.members(&queue.name).unwrap_or_else(all);
                let members = scenario.queues.iter().map(members).collect();
                begun.insert(*fault as usize, Begun { at: *at, leaders, members });
            }
            _ => {}
        }
    }
    begun
}
