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
        if let Field(Some(at)) = &table.add_member {
            let node = at.value.node.0.as_ref().and_then(|node| self.spare(node))?;
            return Some(Action::Operate { node: vec![node], errand: Errand::AddMember });
        }
        if let Field(Some(at)) = &table.remove_member {
            let node = at.value.node.0.as_ref().and_then(|node| self.one_node(node))?;
            return Some(Action::Operate { node: vec![node], errand: Errand::RemoveMember });
        }
        let (queue, node, errand): (_, _, fn(usize) -> Errand) = if let Field(Some(at)) = &table.transfer_leader {
            (&at.value.queue, &at.value.to, |queue| Errand::TransferLeader { queue })
        } else if let Field(Some(at)) = &table.grow {
            (&at.value.queue, &at.value.node, |queue| Errand::Grow { queue })
        } else if let Field(Some(at)) = &table.shrink {
            (&at.value.queue, &at.value.node, |queue| Errand::Shrink { queue })
        } else {
            return None;
        };
        let queue = queue.0.as_ref().and_then(|queue| self.queue(queue));
        let node = node.0.as_ref().and_then(|node| self.one_node(node));
        Some(Action::Operate { node: vec![node?], errand: errand(queue?) })
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

    /// A target that means a node which is no member from the start.
    fn spare(&mut self, at: &At<TargetText>) -> Option<Target> {
        let target = self.roles.target(at.value.as_ref(), &at.span, self.problems)?;
        if matches!(target, Target::Node(node) if node.0 > self.roles.nodes) {
            return Some(target);
        }
        let help = if self.roles.spares == 0 {
            "write `spares = 1` under `[cluster]`, and `node = \"spare\"` here".to_owned()
        } else {
            format!("name a spare, such as `spare` or `n{}`", self.roles.nodes + 1)
        };
        self.problems.add(&at.span, "only a spare can join", "a member from the start", Some(help));
        None
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
