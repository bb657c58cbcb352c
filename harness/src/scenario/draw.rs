//! From a scenario and a seed to a concrete timeline.
//!
//! Times, `any`, `majority`, `minority` and the rank of `one-follower` are drawn here, before the run begins, from a
//! generator of their own: the timeline does not depend on what happens in the run. Who leads a queue does, so
//! `leader:Q` and its like stay open until the step begins; [`resolve`] closes them. So does when a step with a trigger
//! begins.

use std::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64;
use warren::platform::NodeId;

use super::{Action, Scenario, Spread, Target};

/// The generator's stream, so that the timeline's draws are independent of every other use of the seed.
const STREAM: u128 = 0x7469_6d65_6c69_6e65;

/// A step with its times and its chance drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnStep {
    /// Index into [`Scenario::steps`].
    pub step: usize,
    /// When it begins, since the start of the load, or since the step's trigger.
    pub at: Duration,
    /// How long it lasts; `None`: until a later step ends it, or the load does.
    pub lasts: Option<Duration>,
    pub action: Action<Vec<DrawnTarget>>,
}

/// A target with nothing left to chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawnTarget {
    Leader(usize),
    Followers(usize),
    /// The follower at position `rank % followers`, by node number.
    OneFollower {
        queue: usize,
        rank: u64,
    },
    /// The learner at position `rank % learners`, by node number.
    OneLearner {
        queue: usize,
        rank: u64,
    },
    Node(NodeId),
}

impl Scenario {
    /// The timeline for `seed`, in order of time (steps of one instant in the order of the file), those that wait for a
    /// trigger last. A repeated step is there as often as it is done.
    pub fn draw(&self, seed: u64) -> Vec<DrawnStep> {
        let mut rng = Pcg64::new(u128::from(seed), STREAM);
        let mut drawn = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let mut next = Some(step.at.draw(&mut rng));
            let mut times = 0;
            while let Some(at) = next {
                let lasts = step.lasts.map(|lasts| lasts.draw(&mut rng));
                let mut taken = Vec::new();
                let action = step.action.map(|targets| self.draw_targets(targets, &mut taken, &mut rng));
                drawn.push(DrawnStep { step: index, at, lasts, action });
                times += 1;
                next = step.repeat.filter(|repeat| repeat.count.is_none_or(|count| times < count)).and_then(|repeat| {
                    let again = at + repeat.every.draw(&mut rng);
                    (again < repeat.until).then_some(again)
                });
            }
        }
        drawn.sort_by_key(|step| (self.steps[step.step].trigger.is_some(), step.at));
        drawn
    }

    /// Nodes that one step has drawn already (`taken`) are not drawn again by it, as long as there are others.
    fn draw_targets(&self, targets: &[Target], taken: &mut Vec<NodeId>, rng: &mut Pcg64) -> Vec<DrawnTarget> {
        let nodes = self.cluster.nodes;
        let majority = nodes / 2 + 1;
        let mut drawn = Vec::new();
        for target in targets {
            match *target {
                Target::Leader(queue) => drawn.push(DrawnTarget::Leader(queue)),
                Target::Followers(queue) => drawn.push(DrawnTarget::Followers(queue)),
                Target::OneFollower(queue) => drawn.push(DrawnTarget::OneFollower { queue, rank: rng.random() }),
                Target::OneLearner(queue) => drawn.push(DrawnTarget::OneLearner { queue, rank: rng.random() }),
                Target::Node(node) => {
                    taken.push(node);
                    drawn.push(DrawnTarget::Node(node));
                }
                Target::All => drawn.extend(self.cluster.node_ids().map(DrawnTarget::Node)),
                Target::Any => drawn.extend(self.draw_nodes(1, taken, rng)),
                Target::Majority => drawn.extend(self.draw_nodes(majority, taken, rng)),
                Target::Minority => drawn.extend(self.draw_nodes(nodes - majority, taken, rng)),
            }
        }
        drawn
    }

    fn draw_nodes(&self, count: u64, taken: &mut Vec<NodeId>, rng: &mut Pcg64) -> Vec<DrawnTarget> {
        let mut drawn = Vec::new();
        for _ in 0..count {
            let mut free: Vec<NodeId> = self.cluster.node_ids().filter(|node| !taken.contains(node)).collect();
            if free.is_empty() {
                free = self.cluster.node_ids().filter(|node| !drawn.contains(node)).collect();
            }
            let node = free[rng.random_range(0..free.len())];
            taken.push(node);
            drawn.push(node);
        }
        drawn.sort();
        drawn.into_iter().map(DrawnTarget::Node).collect()
    }
}

impl Spread<Duration> {
    /// A value between the two ends, both included, to the nanosecond.
    pub fn draw(&self, rng: &mut impl rand::Rng) -> Duration {
        if self.min == self.max {
            return self.min;
        }
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rng.random_range(nanos(self.min)..=nanos(self.max)))
    }
}

impl Spread<u64> {
    /// A value between the two ends, both included.
    pub fn draw(&self, rng: &mut impl rand::Rng) -> u64 {
        if self.min == self.max { self.min } else { rng.random_range(self.min..=self.max) }
    }
}

/// The nodes that `targets` mean now, sorted, each once. A queue without a known leader has nobody at `leader:Q`, and
/// all its voters among `followers:Q`.
///
/// `leader` tells who leads a queue, `members` who votes in it and who follows without a vote, both by index into
/// [`Scenario::queues`].
pub fn resolve(
    targets: &[DrawnTarget],
    leader: impl Fn(usize) -> Option<NodeId>,
    members: impl Fn(usize) -> [Vec<NodeId>; 2],
) -> Vec<NodeId> {
    let followers = |queue: usize| -> Vec<NodeId> {
        let leader = leader(queue);
        let [voters, _] = members(queue);
        let mut followers: Vec<NodeId> = voters.into_iter().filter(|node| Some(*node) != leader).collect();
        followers.sort();
        followers
    };
    let ranked = |nodes: Vec<NodeId>, rank: u64| {
        let rank = usize::try_from(rank % nodes.len().max(1) as u64).unwrap_or(0);
        nodes.get(rank).copied()
    };
    let mut nodes = Vec::new();
    for target in targets {
        match *target {
            DrawnTarget::Leader(queue) => nodes.extend(leader(queue)),
            DrawnTarget::Followers(queue) => nodes.extend(followers(queue)),
            DrawnTarget::OneFollower { queue, rank } => {
                nodes.extend(ranked(followers(queue), rank));
            }
            DrawnTarget::OneLearner { queue, rank } => {
                let [_, mut learners] = members(queue);
                learners.sort();
                nodes.extend(ranked(learners, rank));
            }
            DrawnTarget::Node(node) => nodes.push(node),
        }
    }
    nodes.sort();
    nodes.dedup();
    nodes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TEXT: &str = r#"
version = 1
name = "drawn"
run = { duration = "60s" }
cluster = { nodes = 5 }
queues = [{ name = "orders", group-size = 5 }]
publishers = [{ name = "pub", queue = "orders", rate = 1 }]
[timeline]
steps = [
  { at = "20s..30s", pause = { node = ["any", "any", "n1"] }, for = "1s..2s" },
  { at = "10s", disk-stall = { node = "majority" }, for = "1s" },
  { at = "40s", partition = { halves = [["majority"], ["minority"]] }, for = "1s" },
  { at = "50s", kill = { node = "one-follower:orders" }, for = "1s" },
]
"#;

    fn scenario() -> Scenario {
        Scenario::parse("drawn.toml", TEXT).expect("the scenario is valid")
    }

    fn nodes(targets: &[DrawnTarget]) -> Vec<u64> {
        let node = |target: &DrawnTarget| match target {
            DrawnTarget::Node(node) => node.0,
            open => panic!("{open:?} is not a node"),
        };
        targets.iter().map(node).collect()
    }

    #[test]
    fn one_seed_draws_one_timeline() {
        let scenario = scenario();
        for seed in 0..50 {
            assert_eq!(scenario.draw(seed), scenario.draw(seed));
        }
        assert_ne!(scenario.draw(1), scenario.draw(2));
    }

    #[test]
    fn drawn_steps_are_in_order_of_time_and_within_their_ranges() {
        let scenario = scenario();
        for seed in 0..50 {
            let drawn = scenario.draw(seed);
            assert_eq!(drawn.iter().map(|step| step.step).collect::<Vec<_>>(), [1, 0, 2, 3]);
            assert!((Duration::from_secs(20)..=Duration::from_secs(30)).contains(&drawn[1].at));
            let lasts = drawn[1].lasts.expect("the step has an end");
            assert!((Duration::from_secs(1)..=Duration::from_secs(2)).contains(&lasts));
        }
    }

    #[test]
    fn a_repeated_step_is_drawn_as_often_as_it_is_done_each_time_anew() {
        let text = |begins: &str| TEXT.replace(r#"at = "10s""#, begins);
        let times = |begins: &str, seed| -> Vec<Duration> {
            let drawn = Scenario::parse("drawn.toml", &text(begins)).expect("the scenario is valid").draw(seed);
            drawn.iter().filter(|step| step.step == 1).map(|step| step.at).collect()
        };
        let seconds = |times: &[u64]| times.iter().map(|second| Duration::from_secs(*second)).collect::<Vec<_>>();
        assert_eq!(times(r#"every = "20s""#, 1), seconds(&[20, 40]));
        assert_eq!(times(r#"at = "10s", every = "20s""#, 1), seconds(&[10, 30, 50]));
        assert_eq!(times(r#"at = "10s", every = "20s", count = 2"#, 1), seconds(&[10, 30]));
        assert_eq!(times(r#"at = "0s", every = "5s", until = "11s""#, 1), seconds(&[0, 5, 10]));
        for seed in 0..50 {
            let times = times(r#"every = "1s..9s""#, seed);
            let gaps = times.windows(2).map(|pair| pair[1] - pair[0]).chain([times[0]]);
            assert!(gaps.into_iter().all(|gap| (Duration::from_secs(1)..=Duration::from_secs(9)).contains(&gap)));
            assert!(times.len() >= 6 && times[0] != times[1] - times[0], "each gap has a draw of its own");
        }
        let nodes: BTreeSet<Vec<u64>> = Scenario::parse("drawn.toml", &text(r#"every = "1s""#))
            .expect("the scenario is valid")
            .draw(1)
            .iter()
            .filter_map(|step| if let Action::DiskStall { node, .. } = &step.action { Some(nodes(node)) } else { None })
            .collect();
        assert!(nodes.len() > 1, "each time has targets of its own");
    }

    #[test]
    fn no_step_draws_a_node_twice() {
        let scenario = scenario();
        for seed in 0..50 {
            let drawn = scenario.draw(seed);
            let Action::Pause { node } = &drawn[1].action else { panic!("the second step is the pause") };
            let [first, second, third] = nodes(node)[..] else { panic!("the pause has three nodes") };
            assert_ne!(first, second);
            assert_eq!(third, 1, "a named node is not drawn");
            let Action::Partition(crate::scenario::Partition::Halves(halves)) = &drawn[2].action else {
                panic!("the third step is the partition")
            };
            let mut all: Vec<u64> = halves.iter().flat_map(|half| nodes(half)).collect();
            all.sort_unstable();
            assert_eq!((halves[0].len(), all), (3, vec![1, 2, 3, 4, 5]));
        }
    }

    #[test]
    fn roles_are_resolved_when_the_step_begins() {
        let voters = |_| [[3, 1, 2].map(NodeId).to_vec(), [5, 4].map(NodeId).to_vec()];
        let leader = |_| Some(NodeId(2));
        assert_eq!(resolve(&[DrawnTarget::Leader(0)], leader, voters), [NodeId(2)]);
        assert_eq!(resolve(&[DrawnTarget::Followers(0)], leader, voters), [NodeId(1), NodeId(3)]);
        let ranked = |rank| resolve(&[DrawnTarget::OneFollower { queue: 0, rank }], leader, voters);
        assert_eq!([ranked(0), ranked(1), ranked(2)], [[NodeId(1)], [NodeId(3)], [NodeId(1)]]);
        let learner = |rank| resolve(&[DrawnTarget::OneLearner { queue: 0, rank }], leader, voters);
        assert_eq!([learner(0), learner(1)], [[NodeId(4)], [NodeId(5)]]);
        assert!(resolve(&[DrawnTarget::Leader(0)], |_| None, voters).is_empty(), "nobody leads");
        let both = [DrawnTarget::Node(NodeId(2)), DrawnTarget::Leader(0)];
        assert_eq!(resolve(&both, leader, voters), [NodeId(2)], "each node once");
    }
}
