//! Steps in which an operator asks the cluster for something.

use super::{
    Action, Errand, Target,
    file::{At, Field, StepTable, TargetText},
    problem::{closest, suggestion},
    steps::Steps,
};

impl Steps<'_> {
    /// A step that changes a queue's leader or voters.
    pub(super) fn operator(&mut self, table: &StepTable) -> Option<Action<Vec<Target>>> {
        let (queue, node, errand) = if let Field(Some(at)) = &table.transfer_leader {
            (&at.value.queue, &at.value.to, Errand::TransferLeader)
        } else if let Field(Some(at)) = &table.grow {
            (&at.value.queue, &at.value.node, Errand::Grow)
        } else if let Field(Some(at)) = &table.shrink {
            (&at.value.queue, &at.value.node, Errand::Shrink)
        } else {
            return None;
        };
        let queue = queue.0.as_ref().and_then(|queue| self.queue(queue));
        let node = node.0.as_ref().and_then(|node| self.one_node(node));
        Some(Action::Operate { queue: queue?, node: vec![node?], errand })
    }

    /// The index of a queue.
    fn queue(&mut self, at: &At<String>) -> Option<usize> {
        let names: Vec<&str> = self.roles.queues.iter().map(|queue| queue.name.as_str()).collect();
        let found = names.iter().position(|name| *name == at.value);
        if found.is_none() {
            let help = match closest(&at.value, names.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => suggestion(&at.value, &names),
            };
            let message = format!("unknown queue `{}`", at.value);
            self.problems.add(&at.span, message, "no such `[[queues]]`", Some(help));
        }
        found
    }

    /// A target that means one node.
    fn one_node(&mut self, at: &At<TargetText>) -> Option<Target> {
        let target = self.roles.target(at.value.as_ref(), &at.span, self.problems)?;
        if matches!(target, Target::Followers(_) | Target::Majority | Target::Minority | Target::All) {
            let help = "name one node, such as `one-follower:Q`, `one-learner:Q`, `any` or `n1`".to_owned();
            self.problems.add(&at.span, "an operator asks for one node at a time", "this means several", Some(help));
            return None;
        }
        Some(target)
    }
}
