//! From a history to a verdict: partitions it into independent objects, and decides each.
//!
//! A history is linearizable exactly if its part for each object is (Herlihy and Wing 1990), so operations with
//! different keys are judged apart. Failed operations had no effect and are left out, and so is what is of unknown
//! outcome and would have no effect.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    cell::{self, Cell},
    history::{History, ModelKind, Names, Operation, Outcome, Verb},
    mistakes::Mistakes,
    multi::{self, Registers},
    mutex::{self, Mutex},
    queue::{self, Queue, Swept},
    search::{self, Limits, Object, Placed},
    tell::{Finding, Teller},
    values::Values,
};
use crate::scenario::suggestion;

/// What is known about one object.
pub(super) enum Decision {
    Holds,
    Violated(Finding),
    Undecided(String),
    Stopped,
}

/// Per object, in the order of their first operation: its name, how many operations were checked, the decision.
pub(super) type Decisions = Vec<(String, usize, Decision)>;

pub(super) struct Judging<'a> {
    pub history: &'a History,
    pub text: &'a str,
    pub model: ModelKind,
    pub initial: &'a serde_json::Value,
    pub limits: Limits<'a>,
}

impl Judging<'_> {
    /// Decides every object; `mistakes` are operations that the model does not have, or not with such values.
    pub fn decide(&self, mistakes: &mut Mistakes) -> Decisions {
        self.check_verbs(mistakes);
        if !mistakes.is_empty() {
            return Vec::new();
        }
        match self.model {
            ModelKind::Register | ModelKind::CasRegister | ModelKind::KeyValue => self.cells(mistakes),
            ModelKind::Mutex => self.mutexes(),
            ModelKind::Queue => self.queues(mistakes),
            ModelKind::MultiRegister => self.registers(mistakes),
        }
    }

    fn check_verbs(&self, mistakes: &mut Mistakes) {
        let known: Vec<&str> = self.model.verbs().iter().map(|verb| verb.name()).collect();
        for (index, operation) in self.history.operations.iter().enumerate() {
            if mistakes.are_enough() {
                break;
            }
            if !self.model.verbs().contains(&operation.verb) {
                let (name, model) = (operation.verb.name(), self.model.name());
                let fitting = ModelKind::ALL.into_iter().find(|model| model.verbs().contains(&operation.verb));
                let help = match fitting {
                    Some(fitting) => format!("{}; `{name}` is of --model {}", suggestion(name, &known), fitting.name()),
                    None => suggestion(name, &known),
                };
                let at = self.history.verb_span(self.text, index);
                mistakes.add(at, format!("a {model} has no operation `{name}`"), "not of this model", &help);
            }
        }
    }

    /// Everything that may have had an effect, by key.
    fn by_key(&self) -> Vec<(String, Vec<usize>)> {
        let mut places: BTreeMap<Option<u32>, usize> = BTreeMap::new();
        let mut parts: Vec<(String, Vec<usize>)> = Vec::new();
        for (index, operation) in self.history.operations.iter().enumerate() {
            if operation.outcome == Outcome::Failed {
                continue;
            }
            let place = *places.entry(operation.key).or_insert_with(|| {
                let name = operation.key.map(|key| self.history.keys[key as usize].clone());
                parts.push((name.unwrap_or_default(), Vec::new()));
                parts.len() - 1
            });
            parts[place].1.push(index);
        }
        parts
    }

    fn operation(&self, index: usize) -> &Operation {
        &self.history.operations[index]
    }

    fn place<A>(&self, index: usize, action: A) -> Placed<A> {
        let Operation { start, end, .. } = *self.operation(index);
        Placed { action, start, end, source: index as u32 }
    }

    fn bad_value(&self, index: usize, why: &str, mistakes: &mut Mistakes) {
        let verb = self.operation(index).verb.name();
        let span = self.history.value_span(self.text, index);
        mistakes.add(span, format!("this is no value for `{verb}`"), "this value", why);
    }

    fn cells(&self, mistakes: &mut Mistakes) -> Decisions {
        let values = RefCell::new(Values::default());
        let initial = values.borrow_mut().number(self.initial);
        let mut decisions = Decisions::new();
        for (name, indices) in self.by_key() {
            let mut operations = Vec::with_capacity(indices.len());
            for index in indices {
                match cell::action(self.operation(index), initial, &values) {
                    Ok(action) => operations.extend(action.map(|action| self.place(index, action))),
                    Err(why) => self.bad_value(index, why, mistakes),
                }
            }
            let checked = operations.len();
            cell::leave_out_unseen(&mut operations);
            let mut decision = self.search(&name, &operations, || Cell { value: initial, values: &values });
            if let (Decision::Undecided(_), Some(strange)) = (&decision, cell::from_nowhere(&operations, initial)) {
                decision = Decision::Violated(self.teller(&name).unwritten(strange.source as usize));
            }
            decisions.push((name, checked, decision));
        }
        decisions
    }

    fn mutexes(&self) -> Decisions {
        let decide = |(name, indices): (String, Vec<usize>)| {
            let action = |index: usize| match self.operation(index) {
                Operation { verb: Verb::Acquire, process, .. } => mutex::Action::Acquire(*process),
                Operation { process, .. } => mutex::Action::Release(*process),
            };
            let operations: Vec<_> = indices.into_iter().map(|index| self.place(index, action(index))).collect();
            let decision = self.search(&name, &operations, || Mutex { holder: None, names: &self.history.processes });
            (name, operations.len(), decision)
        };
        self.by_key().into_iter().map(decide).collect()
    }

    fn queues(&self, mistakes: &mut Mistakes) -> Decisions {
        let mut values = Values::default();
        let mut decisions = Decisions::new();
        for (name, indices) in self.by_key() {
            let checked = indices.len();
            let mut operations = Vec::with_capacity(checked);
            for index in indices {
                let operation = self.operation(index);
                let known = operation.outcome == Outcome::Ok;
                match operation.verb {
                    Verb::Enqueue if operation.value.is_null() => {
                        self.bad_value(index, "null is what an empty queue answers: enqueue something else", mistakes);
                    }
                    Verb::Enqueue => {
                        let value = values.number(&operation.value);
                        operations.push(self.place(index, queue::Action::Enqueue(value)));
                    }
                    Verb::Dequeue if known => {
                        let value = (!operation.value.is_null()).then(|| values.number(&operation.value));
                        operations.push(self.place(index, queue::Action::Dequeue(value)));
                    }
                    Verb::Dequeue => operations.push(self.place(index, queue::Action::Blind)),
                    _ => match queue::drained(operation) {
                        Ok(drained) => {
                            let taken = drained.iter().map(|value| Some(values.number(value)));
                            let steps = taken.chain([None]).map(queue::Action::Dequeue);
                            operations.extend(steps.map(|step| self.place(index, step)));
                        }
                        Err(why) => self.bad_value(index, why, mistakes),
                    },
                }
            }
            let decision = match queue::sweep(&operations) {
                Swept::Linearizable => Decision::Holds,
                Swept::Violated { pattern, sources } => {
                    Decision::Violated(self.teller(&name).pattern(&pattern, &sources))
                }
                Swept::Undecided => {
                    queue::leave_out_unseen(&mut operations);
                    self.search(&name, &operations, Queue::default)
                }
            };
            decisions.push((name, checked, decision));
        }
        decisions
    }

    fn registers(&self, mistakes: &mut Mistakes) -> Decisions {
        let values = RefCell::new(Values::default());
        let initial = values.borrow_mut().number(self.initial);
        let mut decisions = Decisions::new();
        let parts = self.by_key();
        let several = parts.len() > 1;
        for (of_key, indices) in parts {
            let mut registers = Names::default();
            let mut operations = Vec::new();
            for index in indices {
                let Operation { value, outcome, .. } = self.operation(index);
                let known = *outcome == Outcome::Ok;
                match multi::accesses(value, known, &mut registers, &mut values.borrow_mut()) {
                    Ok(action) if action.is_empty() => {}
                    Ok(action) => operations.push(self.place(index, action)),
                    Err(why) => self.bad_value(index, why, mistakes),
                }
            }
            let named = registers.names;
            let groups = multi::groups(operations.iter().map(|operation| &operation.action), named.len());
            let mut objects: BTreeMap<u32, Vec<Placed<multi::Action>>> = BTreeMap::new();
            for operation in operations {
                objects.entry(groups[operation.action[0].key() as usize]).or_default().push(operation);
            }
            let together = objects.len() <= 1;
            for (group, operations) in objects {
                // Registers that are named together are called by the first of them, if there are others.
                let register = &named[group as usize];
                let name = match (of_key.as_str(), together) {
                    ("", true) if !several => String::new(),
                    ("", _) => register.clone(),
                    (key, true) => key.to_owned(),
                    (key, false) => format!("{key} {register}"),
                };
                let decision = self.search(&name, &operations, || Registers {
                    initial,
                    written: BTreeMap::new(),
                    fingerprint: 0,
                    keys: &named,
                    values: &values,
                });
                decisions.push((name, operations.len(), decision));
            }
        }
        decisions
    }

    fn teller<'t>(&'t self, object: &'t str) -> Teller<'t> {
        Teller { history: self.history, model: self.model, object }
    }

    fn search<O: Object>(&self, name: &str, operations: &[Placed<O::Action>], initial: impl Fn() -> O) -> Decision {
        match search::search(operations, &initial, &self.limits) {
            search::Outcome::Linearizable { .. } => Decision::Holds,
            search::Outcome::Stopped => Decision::Stopped,
            search::Outcome::Spent { stuck } => {
                let unknown = operations.iter().filter(|operation| operation.end.is_none()).count();
                let stuck = stuck.map(|stuck| operations[stuck].source as usize);
                Decision::Undecided(self.teller(name).undecided(operations.len(), unknown, self.limits.budget, stuck))
            }
            search::Outcome::Violated { stuck, order } => {
                let mut object = initial();
                for &index in &order {
                    let allowed = object.apply(&operations[index].action).is_some();
                    debug_assert!(allowed, "the order has just been found");
                }
                let stuck = operations[stuck].source as usize;
                let mut order: Vec<usize> = order.into_iter().map(|index| operations[index].source as usize).collect();
                // Of an operation in steps, some may have had a place.
                let mut told = BTreeSet::from([stuck]);
                order.retain(|&source| told.insert(source));
                Decision::Violated(self.teller(name).stuck(stuck, &order, &object.describe()))
            }
        }
    }
}
