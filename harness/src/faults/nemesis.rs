//! The hand that breaks things: begins, ends and records the faults of a timeline.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use ferret_reports::FaultRecord;
use warren::platform::NodeId;

use super::{ClusterView, effect::Effect};
use crate::{
    history::{EventKind, Nanos, NodeDown, recorder::Recorder},
    scenario::{Action, DrawnStep, DrawnTarget, Partition, Reset, Scenario, StallWhat, resolve},
    sim::{DiskFault, MachineId, World},
};

/// A step whose target does not exist yet (a queue between two leaders) waits at most so long.
const TARGET_WAIT: Duration = Duration::from_secs(10);

/// Walks a timeline. Call [`Nemesis::act`] between the ticks.
pub struct Nemesis {
    world: World,
    recorder: Rc<Recorder>,
    view: Rc<RefCell<ClusterView>>,
    scenario: Rc<Scenario>,
    nodes: BTreeMap<NodeId, MachineId>,
    /// Machines of each group of clients, by the group's name.
    clients: BTreeMap<String, Vec<MachineId>>,
    /// When the load began: steps are timed from then.
    origin: Nanos,
    /// Steps that have not begun, in order of time.
    pending: Vec<(u32, DrawnStep)>,
    active: Vec<Active>,
    /// How many active faults cut each direction.
    cuts: BTreeMap<(MachineId, MachineId), u32>,
    records: Vec<FaultRecord>,
}

/// A fault under way.
struct Active {
    fault: u32,
    ends: Option<Nanos>,
    work: Work,
    effect: Effect,
}

/// What has to be undone, with the world's counters as they were at the beginning.
enum Work {
    Cuts(Vec<Cut>),
    Down(Vec<NodeId>),
    Disk(Vec<(MachineId, DiskBaseline)>),
    Pause(Vec<(MachineId, u64)>),
}

struct Cut {
    from: MachineId,
    to: MachineId,
    dropped_before: u64,
}

#[derive(Clone, Copy)]
struct DiskBaseline {
    held: u64,
    slowed: u64,
}

impl Nemesis {
    pub fn new(
        world: World,
        recorder: Rc<Recorder>,
        view: Rc<RefCell<ClusterView>>,
        scenario: Rc<Scenario>,
        nodes: BTreeMap<NodeId, MachineId>,
        clients: BTreeMap<String, Vec<MachineId>>,
        drawn: Vec<DrawnStep>,
    ) -> Self {
        let records = drawn.iter().map(|step| blank_record(&scenario, step)).collect();
        let pending = (0u32..).zip(drawn).collect();
        Self {
            world,
            recorder,
            view,
            scenario,
            nodes,
            clients,
            origin: Nanos(0),
            pending,
            active: Vec::new(),
            cuts: BTreeMap::new(),
            records,
        }
    }

    /// Starts the timeline's clock: steps are timed from now.
    pub fn begin(&mut self) {
        self.origin = self.world.now();
    }

    /// Ends what is over and begins what is due.
    pub fn act(&mut self) {
        let now = self.world.now();
        while let Some(over) = self.active.iter().position(|active| active.ends.is_some_and(|ends| ends <= now)) {
            self.end(over);
        }
        let since = Duration::from_nanos(now.0 - self.origin.0);
        while let Some((_, step)) = self.pending.first()
            && step.at <= since
        {
            let overdue = since - step.at;
            if !self.targets_exist(step) && overdue < TARGET_WAIT {
                break;
            }
            let (fault, step) = self.pending.remove(0);
            self.begin_step(fault, &step);
        }
    }

    /// Ends every fault and starts every node.
    pub fn heal(&mut self) {
        while !self.active.is_empty() {
            self.end(0);
        }
        let stopped: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.start_nodes(&stopped);
    }

    /// What every step did. Steps that never began had no effect.
    pub fn records(mut self) -> Vec<FaultRecord> {
        for (fault, _) in &self.pending {
            self.records[*fault as usize].effect = "the run ended before this step began".into();
        }
        self.records
    }

    fn targets_exist(&self, step: &DrawnStep) -> bool {
        let mut exist = true;
        let _ = step.action.map(|targets| {
            exist &= !self.resolve(targets).is_empty() || targets.is_empty();
            exist &= targets.iter().all(|target| match target {
                DrawnTarget::Followers(queue) | DrawnTarget::OneFollower { queue, .. } => {
                    self.view.borrow().leader(&self.scenario.queues[*queue].name).is_some()
                }
                DrawnTarget::Leader(_) | DrawnTarget::Node(_) => true,
            });
        });
        exist
    }

    fn resolve(&self, targets: &[DrawnTarget]) -> Vec<NodeId> {
        let view = self.view.borrow();
        resolve(
            targets,
            |queue| view.leader(&self.scenario.queues[queue].name),
            |_| self.nodes.keys().copied().collect(),
        )
    }

    fn begin_step(&mut self, fault: u32, step: &DrawnStep) {
        let now = self.world.now();
        let action = step.action.map(|targets| self.resolve(targets));
        let (description, touched) = describe(&action, step.lasts);
        let record = &mut self.records[fault as usize];
        record.description = description;
        record.nodes = touched.iter().map(ToString::to_string).collect();
        record.began_ns = Some(now.0);
        self.recorder.record(EventKind::FaultBegan { fault });
        let (work, effect) = self.apply(&action);
        match work {
            Some(work) => {
                let ends = step.lasts.map(|lasts| Nanos(now.0 + nanos(lasts)));
                self.active.push(Active { fault, ends, work, effect });
            }
            None => self.close(fault, &effect),
        }
    }

    /// Does what the step says. Faults that last give what must be undone.
    fn apply(&mut self, action: &Action<Vec<NodeId>>) -> (Option<Work>, Effect) {
        let mut effect = Effect::default();
        let work = match action {
            Action::Partition(Partition::Isolate(inside)) => {
                let outside: Vec<NodeId> = self.nodes.keys().copied().filter(|node| !inside.contains(node)).collect();
                Some(Work::Cuts(self.cut_between(&[inside.clone(), outside])))
            }
            Action::Partition(Partition::Halves(halves)) => Some(Work::Cuts(self.cut_between(halves))),
            Action::OneWay { from, to } => {
                let mut cuts = Vec::new();
                for from in from {
                    for to in to.iter().filter(|to| *to != from) {
                        cuts.push(self.cut(self.nodes[from], self.nodes[to]));
                    }
                }
                Some(Work::Cuts(cuts))
            }
            Action::Kill { node } => Some(self.take_down(node, NodeDown::Killed, &mut effect)),
            Action::PowerLoss { node } => Some(self.take_down(node, NodeDown::PowerLost, &mut effect)),
            Action::DiskStall { node, what: StallWhat::Sync } => Some(self.disk_fault(node, &DiskFault::StallSync)),
            Action::DiskStall { node, what: StallWhat::All } => Some(self.disk_fault(node, &DiskFault::StallAll)),
            Action::DiskSlow { node, sync } => Some(self.disk_fault(node, &DiskFault::Slow(sync.min..sync.max))),
            Action::Reset(reset) => {
                self.reset(reset, &mut effect);
                None
            }
            Action::Pause { node } => {
                let machines: Vec<MachineId> = node.iter().map(|node| self.nodes[node]).collect();
                let held = machines
                    .iter()
                    .map(|machine| (*machine, self.world.machine_counters(*machine).polls_held))
                    .collect();
                for machine in machines {
                    self.world.pause(machine);
                }
                Some(Work::Pause(held))
            }
            Action::Heal => {
                effect.faults_ended = self.active.len() as u64;
                if effect.faults_ended == 0 {
                    effect.missed = Some("nothing was left to heal".into());
                }
                self.heal();
                None
            }
            Action::Restart { node } => {
                effect.nodes_started = self.start_nodes(node);
                None
            }
        };
        (work, effect)
    }

    fn take_down(&mut self, nodes: &[NodeId], how: NodeDown, effect: &mut Effect) -> Work {
        for node in nodes {
            let machine = self.nodes[node];
            if !self.world.is_running(machine) {
                continue;
            }
            effect.processes_ended += 1;
            match how {
                NodeDown::Killed | NodeDown::Exited => self.world.kill(machine),
                NodeDown::PowerLost => {
                    let lost_before = self.world.disk(machine).counters().bytes_lost;
                    self.world.power_off(machine);
                    effect.bytes_lost += self.world.disk(machine).counters().bytes_lost - lost_before;
                }
            }
            self.view.borrow_mut().node_down(*node);
            self.recorder.record(EventKind::NodeDown { node: *node, how });
        }
        Work::Down(nodes.to_vec())
    }

    /// Starts those of `nodes` that do not run; how many that were.
    fn start_nodes(&self, nodes: &[NodeId]) -> u64 {
        let mut started = 0;
        for node in nodes {
            let machine = self.nodes[node];
            if !self.world.is_running(machine) {
                self.world.start(machine);
                self.recorder.record(EventKind::NodeUp { node: *node });
                started += 1;
            }
        }
        started
    }

    fn cut_between(&mut self, parts: &[Vec<NodeId>]) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for (position, part) in parts.iter().enumerate() {
            for other in parts.iter().skip(position + 1) {
                for one in part {
                    for two in other.iter().filter(|two| *two != one) {
                        let (one, two) = (self.nodes[one], self.nodes[two]);
                        cuts.push(self.cut(one, two));
                        cuts.push(self.cut(two, one));
                    }
                }
            }
        }
        cuts
    }

    fn cut(&mut self, from: MachineId, to: MachineId) -> Cut {
        let count = self.cuts.entry((from, to)).or_default();
        *count += 1;
        if *count == 1 {
            self.world.cut(from, to);
        }
        Cut { from, to, dropped_before: self.world.packets_dropped(from, to) }
    }

    fn uncut(&mut self, from: MachineId, to: MachineId) {
        let count = self.cuts.get_mut(&(from, to)).expect("only what was cut is joined again");
        *count -= 1;
        if *count == 0 {
            self.world.uncut(from, to);
        }
    }

    fn disk_fault(&self, nodes: &[NodeId], fault: &DiskFault) -> Work {
        let machines = nodes.iter().map(|node| self.nodes[node]);
        let work = machines.map(|machine| {
            let disk = self.world.disk(machine);
            let counters = disk.counters();
            disk.set_fault(fault.clone());
            (machine, DiskBaseline { held: counters.operations_held, slowed: counters.syncs_slowed })
        });
        Work::Disk(work.collect())
    }

    fn reset(&self, reset: &Reset<Vec<NodeId>>, effect: &mut Effect) {
        let all: Vec<MachineId> =
            self.nodes.values().copied().chain(self.clients.values().flatten().copied()).collect();
        let chosen: Vec<MachineId> = match reset {
            Reset::Node(nodes) => nodes.iter().map(|node| self.nodes[node]).collect(),
            Reset::Client(name) => self.clients.get(name).cloned().unwrap_or_default(),
        };
        for one in &chosen {
            for two in all.iter().filter(|two| *two != one) {
                effect.streams_reset += self.world.reset_streams(*one, *two) as u64;
            }
        }
    }

    fn end(&mut self, position: usize) {
        let Active { fault, work, mut effect, .. } = self.active.remove(position);
        match work {
            Work::Cuts(cuts) => {
                for cut in cuts {
                    effect.packets_dropped += self.world.packets_dropped(cut.from, cut.to) - cut.dropped_before;
                    self.uncut(cut.from, cut.to);
                }
            }
            Work::Down(nodes) => {
                self.start_nodes(&nodes);
            }
            Work::Disk(machines) => {
                for (machine, before) in machines {
                    let disk = self.world.disk(machine);
                    disk.set_fault(DiskFault::None);
                    let counters = disk.counters();
                    effect.operations_held += counters.operations_held - before.held;
                    effect.operations_slowed += counters.syncs_slowed - before.slowed;
                }
            }
            Work::Pause(machines) => {
                for (machine, before) in machines {
                    self.world.resume(machine);
                    effect.polls_held += self.world.machine_counters(machine).polls_held - before;
                }
            }
        }
        self.close(fault, &effect);
    }

    fn close(&mut self, fault: u32, effect: &Effect) {
        self.recorder.record(EventKind::FaultEnded { fault });
        let record = &mut self.records[fault as usize];
        record.ended_ns = Some(self.world.now().0);
        record.bit = effect.bit() || record.kind == "heal";
        record.effect = effect.describe();
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

/// The step in words, and the nodes it touches.
fn describe(action: &Action<Vec<NodeId>>, lasts: Option<Duration>) -> (String, Vec<NodeId>) {
    let names = |nodes: &[NodeId]| match nodes {
        [] => "no node".to_owned(),
        nodes => nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    };
    let (what, nodes) = match action {
        Action::Partition(Partition::Isolate(nodes)) => {
            (format!("isolate {} from the other nodes", names(nodes)), nodes.clone())
        }
        Action::Partition(Partition::Halves(halves)) => {
            let parts: Vec<String> = halves.iter().map(|half| names(half)).collect();
            (format!("partition {}", parts.join(" | ")), halves.concat())
        }
        Action::OneWay { from, to } => {
            (format!("cut {} → {}, one way", names(from), names(to)), [from.clone(), to.clone()].concat())
        }
        Action::Kill { node } => (format!("kill {}", names(node)), node.clone()),
        Action::PowerLoss { node } => (format!("power loss at {}", names(node)), node.clone()),
        Action::DiskStall { node, what: StallWhat::Sync } => (format!("stall syncs of {}", names(node)), node.clone()),
        Action::DiskStall { node, what: StallWhat::All } => {
            (format!("stall the disk of {}", names(node)), node.clone())
        }
        Action::DiskSlow { node, sync } => {
            (format!("slow syncs of {} to {:?}..{:?}", names(node), sync.min, sync.max), node.clone())
        }
        Action::Reset(Reset::Node(nodes)) => (format!("reset the connections of {}", names(nodes)), nodes.clone()),
        Action::Reset(Reset::Client(name)) => (format!("reset the connections of {name}"), Vec::new()),
        Action::Pause { node } => (format!("pause {}", names(node)), node.clone()),
        Action::Heal => ("heal everything".into(), Vec::new()),
        Action::Restart { node } => (format!("restart {}", names(node)), node.clone()),
    };
    let what = match lasts {
        Some(lasts) => format!("{what} for {lasts:?}"),
        None => what,
    };
    (what, nodes)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
