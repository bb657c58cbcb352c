//! The hand that breaks things: begins, ends and records the faults of a timeline.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    mem,
    rc::Rc,
    time::Duration,
};

use ferret_reports::FaultRecord;
use warren::platform::NodeId;

use super::{
    ClusterView,
    effect::{self, Effect},
    holds::{Conducts, Holds, Thing},
    operator::Operator,
    pulse::Pulse,
    watch::{self, Watch},
    wording::{self, Named},
};
use crate::{
    history::{EventKind, Nanos, NodeDown, recorder::Recorder},
    scenario::{DrawnStep, DrawnTarget, Errand, Happening, Scenario, Target, Trigger, resolve},
    sim::{MachineId, World},
};

/// A step whose target does not exist yet (a queue between two leaders) waits at most so long. Others do not wait for
/// it.
const TARGET_WAIT: Duration = Duration::from_secs(10);

const UNDER_WAY: &str = "still under way when the run ended";

/// Walks a timeline. Call [`Nemesis::act`] between the ticks.
pub struct Nemesis {
    pub(super) world: World,
    pub(super) recorder: Rc<Recorder>,
    pub(super) view: Rc<RefCell<ClusterView>>,
    pub(super) scenario: Rc<Scenario>,
    pub(super) nodes: BTreeMap<NodeId, MachineId>,
    /// Nodes that are not to run: spares that nobody has added, and members that were removed.
    pub(super) absent: BTreeSet<NodeId>,
    /// Nodes that a heal did not start, because the operator is out to remove them.
    leaving: BTreeSet<NodeId>,
    /// Machines of each group of clients, by the group's name.
    pub(super) clients: BTreeMap<String, Vec<MachineId>>,
    /// When the load began: steps are timed from then, and none begins before.
    origin: Option<Nanos>,
    /// Steps that have not begun, in order of time.
    pending: Vec<(u32, DrawnStep)>,
    /// Steps whose trigger has not come.
    awaiting: Vec<(u32, DrawnStep)>,
    watch: Watch,
    /// How many writes of each disk went astray.
    misdirected: BTreeMap<NodeId, u64>,
    pub(super) active: Vec<Active>,
    pub(super) holds: Holds,
    pub(super) operator: Operator,
    records: Vec<FaultRecord>,
}

/// A fault under way.
pub(super) struct Active {
    pub(super) fault: u32,
    ends: Option<Nanos>,
    /// What it still holds; a fault that holds nothing, and has no more to do, is over.
    pub(super) things: Vec<Thing>,
    pub(super) pulse: Option<Pulse>,
}

impl Active {
    /// Whom the operator is out for, and what to do.
    fn errand(&self) -> Option<(NodeId, Errand)> {
        self.pulse.as_ref().and_then(Pulse::errand)
    }
}

impl Nemesis {
    /// `nodes` and `clients` are machines, those of clients by the name of their group; `conducts` bid publishers.
    pub fn new(
        (world, view): (World, Rc<RefCell<ClusterView>>),
        recorder: Rc<Recorder>,
        scenario: Rc<Scenario>,
        (nodes, clients, conducts): (BTreeMap<NodeId, MachineId>, BTreeMap<String, Vec<MachineId>>, Conducts),
        operator: Operator,
        drawn: Vec<DrawnStep>,
    ) -> Self {
        let records: Vec<FaultRecord> = drawn.iter().map(|step| blank_record(&scenario, step)).collect();
        let holds = Holds::new(world.clone(), conducts, records.len());
        let waits = |(_, step): &(u32, DrawnStep)| scenario.steps[step.step].trigger.is_some();
        let (awaiting, pending) = (0u32..).zip(drawn).partition(waits);
        let absent = scenario.cluster.spare_ids().collect();
        Self {
            world,
            recorder,
            view,
            scenario,
            nodes,
            absent,
            leaving: BTreeSet::new(),
            clients,
            origin: None,
            pending,
            awaiting,
            watch: Watch::default(),
            misdirected: BTreeMap::new(),
            active: Vec::new(),
            holds,
            operator,
            records,
        }
    }

    /// Starts the timeline's clock: steps are timed from now.
    pub fn begin(&mut self) {
        self.origin = Some(self.world.now());
        self.recorder.with(|history| self.watch.begin(history));
    }

    /// Ends what is over and begins what is due.
    pub fn act(&mut self) {
        let Some(origin) = self.origin else { return };
        self.note_misdirected();
        let now = self.world.now();
        while let Some(over) = self.active.iter().position(|active| active.ends.is_some_and(|ends| ends <= now)) {
            self.end(over);
        }
        self.beat(now);
        let since = Duration::from_nanos(now.0 - origin.0);
        self.arm(since);
        let mut next = 0;
        while let Some((_, step)) = self.pending.get(next)
            && step.at <= since
        {
            let leaderless = self.leaderless(step);
            if let Some(queue) = leaderless.first()
                && since - step.at < TARGET_WAIT
            {
                let fault = self.pending[next].0 as usize;
                self.records[fault].effect = format!("the run ended before this step began: {queue} had no leader");
                next += 1;
                continue;
            }
            let (fault, step) = self.pending.remove(next);
            self.begin_step(fault, &step, since - step.at);
        }
    }

    /// Records what misdirected writes have taken: what they should have written, and what was where they went.
    fn note_misdirected(&mut self) {
        for (node, machine) in &self.nodes {
            let astray = self.world.disk(*machine).counters().sectors_misdirected;
            if self.misdirected.insert(*node, astray).unwrap_or(0) < astray {
                self.recorder.record(EventKind::SyncedDataLost { node: *node });
            }
        }
    }

    /// Gives a time to the steps whose trigger has come.
    fn arm(&mut self, since: Duration) {
        if self.awaiting.is_empty() {
            return;
        }
        self.recorder.with(|history| self.watch.look(history));
        let (scenario, watch) = (&self.scenario, &self.watch);
        let came = |(_, step): &mut (u32, DrawnStep)| {
            scenario.steps[step.step].trigger.as_ref().is_some_and(|trigger| watch.came(trigger))
        };
        for (fault, mut step) in self.awaiting.extract_if(.., came) {
            step.at += since;
            let position = self.pending.partition_point(|(_, other)| other.at <= step.at);
            self.pending.insert(position, (fault, step));
        }
    }

    /// Ends every fault and starts every node. Who is on an errand cannot be called back: see [`Self::hear`].
    pub fn heal(&mut self) {
        self.note_misdirected();
        while let Some(over) = self.active.iter().position(|active| active.errand().is_none()) {
            self.end(over);
        }
        let errands = self.active.iter().filter_map(Active::errand);
        let leaving = errands.filter(|(_, errand)| *errand == Errand::RemoveMember).map(|(node, _)| node);
        self.leaving = leaving.filter(|node| !self.world.is_running(self.nodes[node])).collect();
        for node in self.present() {
            if !self.leaving.contains(&node) {
                self.start(node);
            }
        }
    }

    /// Takes down what the operator has to say after the last heal.
    pub fn hear(&mut self) {
        self.beat(self.world.now());
    }

    /// A node was not removed after all: it runs again, if only that kept it down.
    pub(super) fn stays(&mut self, node: NodeId) {
        if self.leaving.remove(&node) {
            self.start(node);
        }
    }

    /// A node's process has ended by itself.
    pub fn node_exited(&mut self, node: NodeId) {
        self.recorder.record(EventKind::NodeDown { node, how: NodeDown::Exited });
        self.view.borrow_mut().node_down(node);
        self.release_all(Thing::Process(node, self.nodes[&node]));
    }

    /// What every step did. Steps that never began had no effect.
    pub fn records(mut self) -> Vec<FaultRecord> {
        for (fault, step) in &self.awaiting {
            let queue = |queue: usize| self.scenario.queues[queue].name.clone();
            let trigger = self.scenario.steps[step.step].trigger.as_ref().expect("it waits for its trigger");
            self.records[*fault as usize].effect = watch::never_came(trigger, &self.watch, queue);
        }
        for (fault, _) in &self.pending {
            let record = &mut self.records[*fault as usize];
            if record.effect.is_empty() {
                record.effect = "the run ended before this step began".into();
            }
        }
        for active in mem::take(&mut self.active) {
            let is_errand = active.errand().is_some();
            let Active { fault, things, .. } = active;
            for thing in things {
                self.holds.credit(thing);
            }
            let note = if is_errand { "the operator was not back when the run ended" } else { UNDER_WAY };
            self.holds.effect(fault).notes.push(note.into());
            self.tell(fault);
        }
        self.records
    }

    /// Queues that the step's targets speak of and nobody leads.
    fn leaderless(&self, step: &DrawnStep) -> Vec<String> {
        let mut queues = BTreeSet::new();
        let _ = step.action.map(|targets| {
            queues.extend(targets.iter().filter_map(|target| match target {
                DrawnTarget::Leader(queue)
                | DrawnTarget::Followers(queue)
                | DrawnTarget::OneFollower { queue, .. }
                | DrawnTarget::OneLearner { queue, .. } => Some(*queue),
                DrawnTarget::Node(_) => None,
            }));
        });
        let without = queues.into_iter().filter(|queue| self.leader(*queue).is_none());
        without.map(|queue| self.scenario.queues[queue].name.clone()).collect()
    }

    fn leader(&self, queue: usize) -> Option<NodeId> {
        self.view.borrow().leader(&self.scenario.queues[queue].name)
    }

    /// The nodes that are to run, other than those that a fault holds down.
    pub(super) fn present(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().filter(|node| !self.absent.contains(node)).collect()
    }

    /// Who votes in a queue, and who follows it without a vote.
    fn members(&self, queue: usize) -> [Vec<NodeId>; 2] {
        let known = self.view.borrow().members(&self.scenario.queues[queue].name);
        known.unwrap_or_else(|| [self.present(), Vec::new()])
    }

    fn name(&self, written: &[Target], drawn: &[DrawnTarget]) -> Named {
        let followers =
            |target: &DrawnTarget| resolve(&[*target], |queue| self.leader(queue), |queue| self.members(queue));
        let queue = |queue: usize| self.scenario.queues[queue].name.clone();
        let cluster = self.scenario.cluster.node_ids().count();
        wording::name(written, drawn, cluster, queue, |queue| self.leader(queue), followers)
    }

    /// `any` is drawn before the run. For a step that waits until a node is down it may be that very node; then the
    /// next one that runs is meant, unless the step is for nodes that are down, or for their disks.
    fn still_up(&self, step: &DrawnStep, written: &[Target], drawn: &[DrawnTarget]) -> Vec<DrawnTarget> {
        let runs = |node: &NodeId| self.nodes.get(node).is_some_and(|machine| self.world.is_running(*machine));
        let waited = matches!(self.scenario.steps[step.step].trigger, Some(Trigger::Happened(Happening::Down(_))));
        match (written, drawn) {
            ([Target::Any], &[DrawnTarget::Node(node)]) if waited && !runs(&node) && !step.action.is_for_the_down() => {
                let up: Vec<NodeId> = self.present().into_iter().filter(runs).collect();
                let next = up.iter().find(|other| **other > node).or(up.first());
                vec![DrawnTarget::Node(*next.unwrap_or(&node))]
            }
            _ => drawn.to_vec(),
        }
    }

    fn begin_step(&mut self, fault: u32, step: &DrawnStep, waited: Duration) {
        let now = self.world.now();
        let mut written: Vec<Vec<Target>> = Vec::new();
        let _ = self.scenario.steps[step.step].action.map(|targets| written.push(targets.clone()));
        let mut written = written.iter();
        let mut nobody = BTreeSet::new();
        let action = step.action.map(|drawn| {
            let written = written.next().expect("as many as were drawn from");
            let named = self.name(written, &self.still_up(step, written, drawn));
            nobody.extend(named.nobody.iter().cloned());
            named
        });
        for nobody in nobody {
            let note = format!("{nobody}, for {} now", wording::length(waited));
            self.holds.effect(fault).notes.push(note);
        }
        let cluster = self.present();
        let record = &mut self.records[fault as usize];
        record.description = wording::describe(&action, step.lasts, &self.scenario.queues, &cluster);
        if let Some(trigger) = &self.scenario.steps[step.step].trigger {
            let queue = |queue: usize| self.scenario.queues[queue].name.clone();
            record.description += &format!(", {}", watch::once(trigger, queue));
        }
        record.nodes = wording::touched(&action).iter().map(ToString::to_string).collect();
        record.began_ns = Some(now.0);
        self.recorder.record(EventKind::FaultBegan { fault });
        self.holds.effect(fault).felt_as = effect::felt_as(step.action.kind());
        let things = self.apply(fault, &action);
        let pulse = self.pulse(fault, &action);
        let ends = step.lasts.map(|lasts| Nanos(now.0.saturating_add(nanos(lasts))));
        self.active.push(Active { fault, ends, things, pulse });
        self.end_spent();
    }

    /// How many nodes do not run.
    pub(super) fn down(&self) -> u64 {
        self.present().iter().filter(|node| !self.world.is_running(self.nodes[*node])).count() as u64
    }

    /// Starts a node; false if it runs.
    pub(super) fn start(&self, node: NodeId) -> bool {
        let machine = self.nodes[&node];
        if self.world.is_running(machine) {
            return false;
        }
        self.world.start(machine);
        self.recorder.record(EventKind::NodeUp { node });
        true
    }

    /// Takes `thing` out of the hands of every fault.
    pub(super) fn release_all(&mut self, thing: Thing) {
        for fault in self.holds.holders(thing) {
            self.holds.release(fault, thing);
        }
        for active in &mut self.active {
            active.things.retain(|held| *held != thing);
        }
    }

    /// Ends faults that hold nothing any more.
    pub(super) fn end_spent(&mut self) {
        while let Some(spent) = self.active.iter().position(|active| active.things.is_empty() && active.pulse.is_none())
        {
            self.end(spent);
        }
    }

    fn end(&mut self, position: usize) {
        let Active { fault, things, .. } = self.active.remove(position);
        self.let_go(fault, things);
        self.recorder.record(EventKind::FaultEnded { fault });
        self.records[fault as usize].ended_ns = Some(self.world.now().0);
        self.tell(fault);
    }

    pub(super) fn let_go(&mut self, fault: u32, things: Vec<Thing>) {
        for thing in things {
            let free = self.holds.release(fault, thing);
            if let (Thing::Node(node), true) = (thing, free) {
                self.start(node);
            }
        }
    }

    /// Writes what a fault has done into its record.
    fn tell(&mut self, fault: u32) {
        let covered = self.holds.was_covered(fault);
        let record = &mut self.records[fault as usize];
        let effect: &Effect = self.holds.effect(fault);
        record.bit = effect.bit();
        record.effect = effect.describe(if covered {
            "nothing: another fault did the same all the while"
        } else {
            effect::nothing(&record.kind)
        });
    }
}

fn blank_record(scenario: &Scenario, step: &DrawnStep) -> FaultRecord {
    let written = &scenario.steps[step.step];
    FaultRecord {
        step: written.number,
        line: written.line,
        kind: step.action.kind().into(),
        description: step.action.kind().into(),
        began_ns: None,
        ended_ns: None,
        nodes: Vec::new(),
        effect: String::new(),
        bit: false,
        may_miss: written.may_miss,
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
