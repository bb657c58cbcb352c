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
    effect::Effect,
    holds::{Grip, Holds, Thing, WeatherKind},
    operator::Operator,
    pulse::Pulse,
    watch::{self, Watch},
    wording::{self, Named},
};
use crate::{
    history::{EventKind, Nanos, NodeDown, recorder::Recorder},
    scenario::{
        Action, ClientTrouble, DiskError, DrawnStep, DrawnTarget, Partition, Reset, Scenario, StallWhat, Target,
        Trouble, resolve,
    },
    sim::{ClockRate, MachineId, World},
};

/// A step whose target does not exist yet (a queue between two leaders) waits at most so long. Others do not wait for
/// it.
const TARGET_WAIT: Duration = Duration::from_secs(10);

/// Walks a timeline. Call [`Nemesis::act`] between the ticks.
pub struct Nemesis {
    pub(super) world: World,
    recorder: Rc<Recorder>,
    view: Rc<RefCell<ClusterView>>,
    pub(super) scenario: Rc<Scenario>,
    pub(super) nodes: BTreeMap<NodeId, MachineId>,
    /// Nodes that are not to run: spares that nobody has added, and members that were removed.
    pub(super) absent: BTreeSet<NodeId>,
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

impl Nemesis {
    /// `nodes` and `clients` are machines, those of clients by the name of their group.
    pub fn new(
        (world, view): (World, Rc<RefCell<ClusterView>>),
        recorder: Rc<Recorder>,
        scenario: Rc<Scenario>,
        (nodes, clients): (BTreeMap<NodeId, MachineId>, BTreeMap<String, Vec<MachineId>>),
        operator: Operator,
        drawn: Vec<DrawnStep>,
    ) -> Self {
        let records: Vec<FaultRecord> = drawn.iter().map(|step| blank_record(&scenario, step)).collect();
        let holds = Holds::new(world.clone(), records.len());
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

    /// Ends every fault and starts every node.
    pub fn heal(&mut self) {
        self.note_misdirected();
        while !self.active.is_empty() {
            self.end(0);
        }
        for node in self.present() {
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
        for Active { fault, things, .. } in mem::take(&mut self.active) {
            for thing in things {
                self.holds.credit(thing);
            }
            self.holds.effect(fault).notes.push("still under way when the run ended".into());
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
    fn present(&self) -> Vec<NodeId> {
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

    fn begin_step(&mut self, fault: u32, step: &DrawnStep, waited: Duration) {
        let now = self.world.now();
        let mut written: Vec<Vec<Target>> = Vec::new();
        let _ = self.scenario.steps[step.step].action.map(|targets| written.push(targets.clone()));
        let mut written = written.iter();
        let mut nobody = BTreeSet::new();
        let action = step.action.map(|drawn| {
            let named = self.name(written.next().expect("as many as were drawn from"), drawn);
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
        self.holds.effect(fault).felt_as = felt_as(step.action.kind());
        let things = self.apply(fault, &action);
        let pulse = self.pulse(fault, &action);
        let ends = step.lasts.map(|lasts| Nanos(now.0.saturating_add(nanos(lasts))));
        self.active.push(Active { fault, ends, things, pulse });
        self.end_spent();
    }

    /// Does what the step says; gives what it holds from now on.
    fn apply(&mut self, fault: u32, action: &Action<Named>) -> Vec<Thing> {
        match action {
            Action::Partition(Partition::Isolate(inside)) => {
                let outside = self.nodes.keys().copied().filter(|node| !inside.nodes.contains(node)).collect();
                let links = self.links_between(&[inside.nodes.clone(), outside]);
                self.hold(fault, links, &Grip::Cut)
            }
            Action::Partition(Partition::Halves(halves)) => {
                let parts: Vec<Vec<NodeId>> = halves.iter().map(|half| half.nodes.clone()).collect();
                let links = self.links_between(&parts);
                self.hold(fault, links, &Grip::Cut)
            }
            Action::OneWay { from, to } => {
                let links = self.links(&from.nodes, &to.nodes);
                self.hold(fault, links, &Grip::Cut)
            }
            Action::Partition(Partition::Bridge(bridge)) => {
                let links = self.links_between(&wording::halves(bridge, &self.present()));
                self.hold(fault, links, &Grip::Cut)
            }
            Action::Partition(Partition::Ring) => {
                let links = self.links_across_the_ring();
                self.hold(fault, links, &Grip::Cut)
            }
            Action::Kill { node } => self.take_down(fault, &node.nodes, NodeDown::Killed),
            Action::PowerLoss { node } => self.take_down(fault, &node.nodes, NodeDown::PowerLost),
            Action::DiskStall { node, what: StallWhat::Sync } => self.hold_disks(fault, node, &Grip::StallSync),
            Action::DiskStall { node, what: StallWhat::All } => self.hold_disks(fault, node, &Grip::StallAll),
            Action::DiskSlow { node, sync } => self.hold_disks(fault, node, &Grip::SlowSync(sync.min..sync.max)),
            Action::Reset(reset) => {
                self.reset(fault, reset);
                Vec::new()
            }
            Action::Pause { node } => self.pause(fault, &node.nodes),
            Action::Heal => {
                let ended = self.active.len() as u64;
                let down = self.down();
                self.heal();
                let effect = self.holds.effect(fault);
                effect.faults_ended = ended;
                effect.nodes_started = down;
                Vec::new()
            }
            Action::Restart { node } => {
                self.restart(fault, &node.nodes);
                Vec::new()
            }
            Action::Weather { from, to, weather } => {
                let what = WeatherKind::of(weather);
                let of_link = |thing| match thing {
                    Thing::Link { from, to } => Thing::Weather { from, to, what },
                    other => other,
                };
                let links = self.links(&from.nodes, &to.nodes).into_iter().map(of_link).collect();
                self.hold(fault, links, &Grip::Weather(weather.clone()))
            }
            Action::BlackHole { node } => {
                let links = self.links_of(&node.nodes);
                self.hold(fault, links, &Grip::Cut)
            }
            // Its first beat follows at once.
            Action::Flap { .. } | Action::RollingRestart { .. } => Vec::new(),
            Action::Client { trouble: ClientTrouble::Churn { .. }, .. } => Vec::new(),
            Action::Wipe { node } => self.wipe(fault, &node.nodes),
            Action::Trouble { node, trouble } => self.trouble(fault, &node.nodes, trouble),
            Action::Client { client, trouble: ClientTrouble::Crash } => self.crash(fault, client),
            Action::Client { client, trouble: ClientTrouble::Slow { poll } } => {
                let machines = self.clients.get(client).into_iter().flatten();
                let processors = machines.map(|machine| Thing::Processor(*machine)).collect();
                self.hold(fault, processors, &Grip::SlowCpu(*poll))
            }
            // The answer is awaited from beat to beat.
            Action::Operate { .. } => Vec::new(),
        }
    }

    pub(super) fn hold(&mut self, fault: u32, things: Vec<Thing>, grip: &Grip) -> Vec<Thing> {
        for thing in &things {
            self.holds.take(fault, *thing, grip.clone());
        }
        things
    }

    fn hold_disks(&mut self, fault: u32, named: &Named, grip: &Grip) -> Vec<Thing> {
        let disks = named.nodes.iter().map(|node| Thing::Disk(self.nodes[node])).collect();
        self.hold(fault, disks, grip)
    }

    /// The links from each of `from` to each other node of `to`.
    fn links(&self, from: &[NodeId], to: &[NodeId]) -> Vec<Thing> {
        let pairs = from.iter().flat_map(|from| to.iter().filter(move |to| *to != from).map(move |to| (from, to)));
        pairs.map(|(from, to)| Thing::Link { from: self.nodes[from], to: self.nodes[to] }).collect()
    }

    /// All links between different parts, both ways, each once.
    pub(super) fn links_between(&self, parts: &[Vec<NodeId>]) -> Vec<Thing> {
        let mut links = BTreeSet::new();
        for (position, part) in parts.iter().enumerate() {
            for other in &parts[position + 1..] {
                links.extend(self.links(part, other));
                links.extend(self.links(other, part));
            }
        }
        links.into_iter().collect()
    }

    /// A step holds down only what it took down: a node that was down already is started by whoever did that.
    pub(super) fn take_down(&mut self, fault: u32, nodes: &[NodeId], how: NodeDown) -> Vec<Thing> {
        let mut things = Vec::new();
        for node in nodes {
            let machine = self.nodes[node];
            let was_running = self.world.is_running(machine);
            let before = self.world.disk(machine).counters();
            match how {
                NodeDown::Killed | NodeDown::Exited => self.world.kill(machine),
                NodeDown::PowerLost => self.world.power_off(machine),
            }
            let after = self.world.disk(machine).counters();
            let effect = self.holds.effect(fault);
            effect.processes_ended += u64::from(was_running);
            effect.bytes_lost += after.bytes_lost - before.bytes_lost;
            if !was_running {
                effect.notes.push(format!("{node} was down already"));
            }
            // The machine of a killed process can still lose its power, and with it the page cache.
            if was_running || after.power_losses > before.power_losses {
                self.recorder.record(EventKind::NodeDown { node: *node, how });
                self.holds.take(fault, Thing::Node(*node), Grip::Down);
                things.push(Thing::Node(*node));
            }
            if was_running {
                self.view.borrow_mut().node_down(*node);
                self.release_all(Thing::Process(*node, machine));
            }
        }
        things
    }

    /// Takes nodes down and empties their disks.
    fn wipe(&mut self, fault: u32, nodes: &[NodeId]) -> Vec<Thing> {
        let things = self.take_down(fault, nodes, NodeDown::PowerLost);
        for node in nodes {
            if self.world.disk(self.nodes[node]).wipe() > 0 {
                self.recorder.record(EventKind::SyncedDataLost { node: *node });
            }
        }
        let majority = self.present().len() / 2 + 1;
        let effect = self.holds.effect(fault);
        effect.disks_wiped += nodes.len() as u64;
        effect.notes.push(if nodes.len() >= majority {
            "a majority was wiped: what it held may be gone for good, by design".into()
        } else {
            "a wiped voter forgets what it had promised: with one more failure, what it had acknowledged may be gone"
                .into()
        });
        things
    }

    /// Ends the processes of a group of clients; those that do not run are somebody else's.
    fn crash(&mut self, fault: u32, client: &str) -> Vec<Thing> {
        let group = self.clients.get(client).cloned().unwrap_or_default();
        let running: Vec<MachineId> = group.into_iter().filter(|machine| self.world.is_running(*machine)).collect();
        for machine in &running {
            self.world.kill(*machine);
        }
        self.holds.effect(fault).felt += running.len() as u64;
        self.hold(fault, running.into_iter().map(Thing::Client).collect(), &Grip::Down)
    }

    fn trouble(&mut self, fault: u32, nodes: &[NodeId], trouble: &Trouble) -> Vec<Thing> {
        let machines: Vec<MachineId> = nodes.iter().map(|node| self.nodes[node]).collect();
        let (thing, grip): (fn(MachineId) -> Thing, Grip) = match trouble {
            Trouble::SlowCpu { poll } => (Thing::Processor, Grip::SlowCpu(*poll)),
            Trouble::DiskError(error @ (DiskError::Sync | DiskError::Read | DiskError::NoSpace)) => {
                (Thing::Disk, Grip::DiskError(*error))
            }
            Trouble::BitRot { bits } => {
                for (node, machine) in nodes.iter().zip(&machines) {
                    let flipped = self.world.disk(*machine).rot(*bits);
                    self.holds.effect(fault).felt += flipped;
                    if flipped > 0 {
                        self.recorder.record(EventKind::SyncedDataLost { node: *node });
                    }
                }
                return Vec::new();
            }
            Trouble::Misdirect { writes } => (Thing::Platter, Grip::Misdirect(*writes)),
            Trouble::ClockJump { by_nanos } => (Thing::WallClock, Grip::WallJump(*by_nanos)),
            Trouble::ClockDrift { gain } => (Thing::Clock, Grip::Rate(ClockRate::Drift(*gain))),
            Trouble::ClockFreeze { wall_only: true } => (Thing::WallClock, Grip::WallFreeze),
            Trouble::ClockFreeze { wall_only: false } => (Thing::Clock, Grip::Rate(ClockRate::Frozen)),
        };
        self.hold(fault, machines.into_iter().map(thing).collect(), &grip)
    }

    /// All links of these nodes, both ways, also those to clients.
    fn links_of(&self, nodes: &[NodeId]) -> Vec<Thing> {
        let all: Vec<MachineId> =
            self.nodes.values().copied().chain(self.clients.values().flatten().copied()).collect();
        let mut links = BTreeSet::new();
        for inside in nodes.iter().map(|node| self.nodes[node]) {
            for other in all.iter().copied().filter(|other| *other != inside) {
                links.insert(Thing::Link { from: inside, to: other });
                links.insert(Thing::Link { from: other, to: inside });
            }
        }
        links.into_iter().collect()
    }

    /// The links between nodes that are too far from each other, on a ring on which each hears a majority.
    fn links_across_the_ring(&self) -> Vec<Thing> {
        let ring: Vec<MachineId> = self.present().iter().map(|node| self.nodes[node]).collect();
        let near = (ring.len() / 2).div_ceil(2);
        let mut links = Vec::new();
        for (one, from) in ring.iter().enumerate() {
            for (two, to) in ring.iter().enumerate() {
                let apart = one.abs_diff(two);
                if apart.min(ring.len() - apart) > near {
                    links.push(Thing::Link { from: *from, to: *to });
                }
            }
        }
        links
    }

    fn pause(&mut self, fault: u32, nodes: &[NodeId]) -> Vec<Thing> {
        let mut processes = Vec::new();
        for node in nodes {
            let machine = self.nodes[node];
            if self.world.is_running(machine) {
                processes.push(Thing::Process(*node, machine));
            } else {
                self.holds.effect(fault).notes.push(format!("{node} was down"));
            }
        }
        self.hold(fault, processes, &Grip::Pause)
    }

    fn restart(&mut self, fault: u32, nodes: &[NodeId]) {
        for node in nodes {
            self.release_all(Thing::Node(*node));
            let started = self.start(*node);
            let effect = self.holds.effect(fault);
            effect.nodes_started += u64::from(started);
            if !started {
                effect.notes.push(format!("{node} was running already"));
            }
        }
    }

    fn reset(&mut self, fault: u32, reset: &Reset<Named>) {
        let chosen: Vec<MachineId> = match reset {
            Reset::Node(named) => named.nodes.iter().map(|node| self.nodes[node]).collect(),
            Reset::Client(name) => self.clients.get(name).cloned().unwrap_or_default(),
        };
        self.break_streams(fault, &chosen);
    }

    pub(super) fn break_streams(&mut self, fault: u32, chosen: &[MachineId]) {
        let all: Vec<MachineId> =
            self.nodes.values().copied().chain(self.clients.values().flatten().copied()).collect();
        let mut broken = 0;
        for one in chosen {
            for two in all.iter().filter(|two| *two != one) {
                broken += self.world.reset_streams(*one, *two) as u64;
            }
        }
        self.holds.effect(fault).streams_reset += broken;
    }

    /// How many nodes do not run.
    fn down(&self) -> u64 {
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
    fn release_all(&mut self, thing: Thing) {
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
            nothing(&record.kind)
        });
    }
}

/// What a fault of this kind is told to have done if it did nothing.
fn nothing(kind: &str) -> &'static str {
    match kind {
        "partition" | "one-way" => "nothing: no packet came that way",
        "disk-stall" => "nothing: no disk operation came meanwhile",
        "disk-slow" => "nothing: no sync took longer",
        "pause" => "nothing: no task was to run meanwhile",
        "reset" => "nothing: no connection was established",
        "black-hole" | "flap" => "nothing: no packet came that way",
        "latency" | "loss" | "duplicate" | "reorder" | "bandwidth" => "nothing: no packet fared any worse",
        "slow-cpu" | "slow-consumer" => "nothing: no task had to wait",
        "disk-error" => "nothing: no such disk operation came meanwhile",
        "bit-rot" => "nothing: no synced data was there",
        "misdirect" => "nothing: no sync came meanwhile that could land elsewhere",
        "clock-jump" | "clock-freeze" | "clock-drift" => "nothing: nobody read the clock meanwhile",
        "transfer-leader" | "grow" | "shrink" | "add-member" | "remove-member" => "nothing: there was no such node",
        "client-crash" => "nothing: no such client was running",
        "churn" => "nothing: no connection was established",
        "heal" => "nothing: no fault was under way and no node was down",
        _ => "nothing",
    }
}

/// How the one count of such a fault is told: verb and noun.
fn felt_as(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "latency" => ("delayed", "packet"),
        "loss" => ("lost", "packet"),
        "duplicate" => ("doubled", "packet"),
        "reorder" => ("held back", "packet"),
        "bandwidth" => ("squeezed", "packet"),
        "slow-cpu" | "slow-consumer" => ("delayed", "poll"),
        "disk-error" => ("failed", "disk operation"),
        "client-crash" => ("crashed", "client"),
        "bit-rot" => ("flipped", "bit"),
        "misdirect" => ("misdirected", "sector"),
        "clock-jump" | "clock-freeze" | "clock-drift" => ("falsified", "reading"),
        _ => ("did", "thing"),
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
