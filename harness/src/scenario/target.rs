//! Whom a step or a client means: by role, by chance, or by name.

use std::ops::Range;

use warren::platform::NodeId;

use super::{
    Queue,
    problem::{Problems, closest, suggestion},
};

/// A target as the scenario names it. Queues are indices into [`super::Scenario::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `leader:Q`: whoever leads the queue when the step begins.
    Leader(usize),
    /// `followers:Q`: the queue's other voters.
    Followers(usize),
    /// `one-follower:Q`: one of them, drawn.
    OneFollower(usize),
    /// `one-learner:Q`: one of the nodes that follow the queue without a vote, drawn.
    OneLearner(usize),
    /// Just more than half of the nodes, drawn.
    Majority,
    /// Just less than half of the nodes, drawn; none in a cluster of one or two.
    Minority,
    All,
    /// Any one node, drawn.
    Any,
    /// `n2`.
    Node(NodeId),
}

/// Targets that name a queue.
const OF_QUEUE: [&str; 4] = ["leader", "followers", "one-follower", "one-learner"];
/// Targets that stand alone.
const ALONE: [&str; 5] = ["majority", "minority", "all", "any", "spare"];

/// What targets can refer to in one scenario.
#[derive(Clone, Copy)]
pub(super) struct Roles<'a> {
    pub(super) queues: &'a [Queue],
    pub(super) nodes: u64,
    pub(super) spares: u64,
}

impl Roles<'_> {
    /// What `text` means; `None` after reporting that it means nothing.
    pub(super) fn target(&self, text: &str, span: &Range<usize>, problems: &mut Problems) -> Option<Target> {
        if let Some((role, queue)) = text.split_once(':') {
            return self.of_queue(text, role, queue, span, problems);
        }
        if let Some(number) = text.strip_prefix('n').and_then(|number| number.parse::<u64>().ok()) {
            if (1..=self.nodes + self.spares).contains(&number) {
                return Some(Target::Node(NodeId(number)));
            }
            let last = self.nodes + self.spares;
            let help = format!("the cluster has nodes n1 to n{last}; raise `nodes` under `[cluster]` for more");
            problems.add(span, format!("unknown node `{text}`"), "no such node", Some(help));
            return None;
        }
        match text {
            "majority" => Some(Target::Majority),
            "minority" if self.nodes < 3 => {
                let label = format!("a cluster of {} has none", self.nodes);
                problems.add(span, "`minority` is nobody", label, Some("name a node, or `any`".into()));
                None
            }
            "minority" => Some(Target::Minority),
            "all" => Some(Target::All),
            "any" => Some(Target::Any),
            "spare" if self.spares == 0 => {
                let help = "write `spares = 1` under `[cluster]`".to_owned();
                problems.add(span, "there is no spare", "all nodes are members from the start", Some(help));
                None
            }
            "spare" => Some(Target::Node(NodeId(self.nodes + 1))),
            _ => {
                problems.add(span, format!("unknown target `{text}`"), "not a target", Some(self.help(text)));
                None
            }
        }
    }

    fn of_queue(
        &self,
        text: &str,
        role: &str,
        queue: &str,
        span: &Range<usize>,
        problems: &mut Problems,
    ) -> Option<Target> {
        if !OF_QUEUE.contains(&role) {
            problems.add(span, format!("unknown target `{text}`"), "not a target", Some(self.help(text)));
            return None;
        }
        let names: Vec<&str> = self.queues.iter().map(|queue| queue.name.as_str()).collect();
        let Some(index) = names.iter().position(|name| *name == queue) else {
            let help = match closest(queue, names.iter().copied()) {
                Some(name) => format!("did you mean `{role}:{name}`?"),
                None => suggestion(queue, &names),
            };
            problems.add(span, format!("unknown queue `{queue}`"), "no such `[[queues]]`", Some(help));
            return None;
        };
        if role == "leader" {
            return Some(Target::Leader(index));
        }
        if role == "one-learner" {
            // Without one at the beginning there may be one later: a queue can shrink.
            return Some(Target::OneLearner(index));
        }
        if self.queues[index].group_size < 2 {
            let help = "raise the queue's `group-size`, or name the leader".to_owned();
            problems.add(span, format!("`{queue}` has no followers"), "its group has one replica", Some(help));
            return None;
        }
        Some(if role == "followers" { Target::Followers(index) } else { Target::OneFollower(index) })
    }

    fn help(&self, text: &str) -> String {
        let queues = self.queues.iter().map(|queue| queue.name.as_str());
        let of_queue: Vec<String> = queues.flat_map(|queue| OF_QUEUE.map(|role| format!("{role}:{queue}"))).collect();
        let nodes: Vec<String> = (1..=self.nodes).map(|number| format!("n{number}")).collect();
        let known = of_queue.iter().chain(&nodes).map(String::as_str).chain(ALONE);
        match closest(text, known) {
            Some(name) => format!("did you mean `{name}`?"),
            // The role alone is right, the queue was forgotten.
            None => match (closest(text, OF_QUEUE), self.queues.first()) {
                (Some(role), Some(queue)) => format!("did you mean `{role}:{}`?", queue.name),
                _ => "targets are leader:Q, followers:Q, one-follower:Q, one-learner:Q, majority, minority, all, any, \
                      spare, n1"
                    .to_owned(),
            },
        }
    }
}
