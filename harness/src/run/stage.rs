//! The play: start, load, heal, settle, drain. The nemesis acts between the ticks.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use ferret_reports::{ChaosRecord, FaultRecord};
use warren::platform::{Chaos, GroupId, LogIndex, NodeId, Observation};
use xxhash_rust::xxh3::Xxh3;

use super::{RunOptions, cast, samples::Sampler, timeline::ClientRole};
use crate::{
    faults::{ClusterView, Nemesis},
    history::{Event, EventKind, History, Nanos, recorder::Recorder},
    progress::{self, Progress},
    scenario::Scenario,
    sim::{ChaosCount, LogLine, MachineId, Packet, SimError, StreamConfig, TraceEvent, TraceMode, World, WorldConfig},
    workload::{Floor, Phase},
};

/// A cluster that nobody could publish to within this time begins its load all the same.
const START_LIMIT: Duration = Duration::from_secs(10);
/// After the load, consumers get this much silence before they are sent home.
const SETTLE_SILENCE: Duration = Duration::from_secs(1);
/// The operator among the groups of clients: no name that a scenario can give.
const OPERATOR: &str = "the operator";
/// After the drain, replicas get this long to converge.
const CONVERGE_LIMIT: Duration = Duration::from_secs(10);

/// After that, the run goes on for this part of the liveness bound.
const REST_PART: u32 = 4;

/// A run before it is judged.
#[derive(Default)]
pub struct Played {
    pub history: History,
    pub roles: Vec<ClientRole>,
    pub faults: Vec<FaultRecord>,
    /// Empty without chaos.
    pub chaos: Vec<ChaosRecord>,
    pub trace_hash: u64,
    pub trace_events: u64,
    pub trace: Vec<TraceEvent>,
    /// Empty unless asked for.
    pub packets: Vec<Packet>,
    /// The names of the machines that trace and packets speak of, by number.
    pub machines: Vec<String>,
    /// What brokers said, if somebody listened.
    pub log: Vec<LogLine>,
    /// It was told to stop before its end.
    pub stopped: bool,
    /// The simulation failed: a panic in a task, by name. Everything up to then is here.
    pub failure: Option<SimError>,
}

/// Plays `scenario` on this thread, which must be one of [`crate::sim::run_isolated`].
pub fn play(scenario: &Scenario, seed: u64, options: &RunOptions, stop: &AtomicBool, progress: &Progress) -> Played {
    let mut stage = Stage::new(scenario, seed, options);
    let until = options.until.map_or(Nanos(u64::MAX), |until| Nanos(nanos(until)));
    let result = stage.play(StepLimits { stop, until, progress });
    let stopped = matches!(result, Ok(End::Stopped));
    Played { stopped, failure: result.err(), ..stage.finish() }
}

enum End {
    Complete,
    Stopped,
}

struct Stage {
    scenario: Rc<Scenario>,
    world: World,
    recorder: Rc<Recorder>,
    floor: Rc<Floor>,
    nodes: BTreeMap<NodeId, MachineId>,
    view: Rc<RefCell<ClusterView>>,
    applied: Rc<RefCell<Applied>>,
    nemesis: Nemesis,
    /// For nodes whose process ended by itself: which of its starts that was.
    exited: BTreeMap<NodeId, u64>,
    /// Nodes that cannot count time as they should.
    slowed: BTreeSet<NodeId>,
    roles: Vec<ClientRole>,
    sampler: Sampler,
}

/// The last applied index of every replica.
type Applied = BTreeMap<(GroupId, NodeId), LogIndex>;

impl Stage {
    fn new(scenario: &Scenario, seed: u64, options: &RunOptions) -> Self {
        let scenario = Rc::new(scenario.clone());
        let (history, roles) = cast::names(&scenario);
        let view = Rc::new(RefCell::new(ClusterView::default()));
        let applied = Rc::new(RefCell::new(Applied::new()));
        let recorder_cell: Rc<RefCell<Option<Rc<Recorder>>>> = Rc::default();
        let sink = {
            let (recorder, view, applied) = (recorder_cell.clone(), view.clone(), applied.clone());
            move |at: Nanos, node: NodeId, observation: Observation| {
                view.borrow_mut().observe(node, &observation);
                track_applied(&mut applied.borrow_mut(), node, &observation);
                if let Some(recorder) = &*recorder.borrow() {
                    recorder.record_at(at, EventKind::Observed { node, observation });
                }
            }
        };
        let world = World::new(world_config(&scenario, seed, options), Rc::new(sink));
        let clock = {
            let world = world.clone();
            move || world.now()
        };
        let trace = {
            let world = world.clone();
            move |event: &Event| world.trace(None, event.at.0, hash_of(&event.kind))
        };
        let recorder = Rc::new(Recorder::new(history, clock, trace));
        *recorder_cell.borrow_mut() = Some(recorder.clone());
        world.set_sabotage(scenario.sabotage);
        world.set_chaos(scenario.run.chaos);
        let floor = Rc::new(Floor {
            recorder: recorder.clone(),
            phase: Cell::new(Phase::Load),
            busy: Cell::new(0),
            client_kind: scenario.run.client,
        });
        let nodes = cast::add_nodes(&world, &scenario);
        let (mut clients, conducts) = cast::add_clients(&world, &scenario, &floor, &view);
        let (operator, its_machine) = cast::add_operator(&world, &scenario);
        // A black hole swallows the operator's packets as it does those of clients.
        clients.entry(OPERATOR.to_owned()).or_default().extend(its_machine);
        for node in scenario.cluster.node_ids() {
            recorder.record(EventKind::NodeUp { node });
        }
        let sampler = Sampler::new(&nodes, clients.values().flatten().copied());
        let drawn = scenario.draw(seed);
        let (cast, cluster) = ((nodes.clone(), clients, conducts), (world.clone(), view.clone()));
        let nemesis = Nemesis::new(cluster, recorder.clone(), scenario.clone(), cast, operator, drawn);
        Self {
            scenario,
            world,
            recorder,
            floor,
            nodes,
            view,
            applied,
            nemesis,
            exited: BTreeMap::new(),
            slowed: BTreeSet::new(),
            roles,
            sampler,
        }
    }

    fn play(&mut self, mut steps: StepLimits<'_>) -> Result<End, SimError> {
        let progress = steps.progress;
        progress.enter(progress::Phase::Starting);
        if !steps.run(self, START_LIMIT, |stage| stage.recorder.milestones().published)? {
            return Ok(End::Stopped);
        }
        progress.enter(progress::Phase::Load);
        self.nemesis.begin();
        if !steps.run(self, self.scenario.run.duration, |_| false)? {
            return Ok(End::Stopped);
        }
        self.recorder.record(EventKind::LoadStopped);
        self.floor.phase.set(Phase::Settle);
        self.nemesis.heal();
        self.recorder.record(EventKind::Healed);
        let healed = self.world.now();
        if !self.settle(&mut steps, healed)? {
            return Ok(End::Stopped);
        }
        // Consumers stay for the whole bound: those that are served must go on being served.
        let due = healed.0 + nanos(self.scenario.run.liveness);
        let rest = Duration::from_nanos(due.saturating_sub(self.world.now().0)) + self.scenario.run.tick;
        if !steps.run(self, rest, |_| false)? {
            return Ok(End::Stopped);
        }
        progress.enter(progress::Phase::Drain);
        self.floor.phase.set(Phase::Drain);
        // One more round of the drain may begin just before its limit.
        if !steps.run(self, self.scenario.run.drain * 2 + Duration::from_secs(30), |stage| {
            stage.recorder.milestones().drained
        })? {
            return Ok(End::Stopped);
        }
        if !steps.run(self, CONVERGE_LIMIT, Self::converged)? {
            return Ok(End::Stopped);
        }
        // What the last clients held is given back by then.
        if !steps.run(self, self.scenario.run.liveness / REST_PART + self.scenario.run.tick, |_| false)? {
            return Ok(End::Stopped);
        }
        self.floor.phase.set(Phase::Done);
        Ok(End::Complete)
    }

    /// Waits until publishers know their last outcomes and consumers have been idle for a while; at most as long as
    /// the scenario allows for recovery.
    fn settle(&mut self, steps: &mut StepLimits<'_>, healed: Nanos) -> Result<bool, SimError> {
        let limit = self.scenario.run.liveness.max(SETTLE_SILENCE) + self.scenario.run.publish_timeout;
        let mut last_progress = 0;
        let mut silent_since = healed;
        steps.run(self, limit, move |stage| {
            let progress = stage.recorder.progress();
            if progress != last_progress {
                last_progress = progress;
                silent_since = stage.world.now();
            }
            stage.floor.busy.get() == 0 && stage.world.now().0 - silent_since.0 >= nanos(SETTLE_SILENCE)
        })
    }

    /// Whether every replica of every group on a running node has applied equally far.
    fn converged(&self) -> bool {
        let applied = self.applied.borrow();
        let members = self.view.borrow().cluster().unwrap_or_default();
        let mut by_group: BTreeMap<GroupId, (LogIndex, usize)> = BTreeMap::new();
        for ((group, _), index) in applied.iter().filter(|((_, node), _)| members.contains(node)) {
            let (first, count) = by_group.entry(*group).or_insert((*index, 0));
            if first != index {
                return false;
            }
            *count += 1;
        }
        by_group.values().all(|(_, count)| *count == members.len())
    }

    /// One tick, the nemesis, and whoever died by itself.
    fn step(&mut self) -> Result<(), SimError> {
        self.note_slowed();
        let stepped = self.world.step();
        self.recorder.end_tick();
        self.sampler.look(&self.world, self.world.now());
        for (node, machine) in &self.nodes {
            let start = self.world.machine_counters(*machine).starts;
            if self.world.has_exited(*machine) && self.exited.insert(*node, start) != Some(start) {
                self.nemesis.node_exited(*node);
            }
        }
        stepped
    }

    fn note_slowed(&mut self) {
        let slowed = self.nemesis.slowed();
        for &node in slowed.difference(&self.slowed) {
            self.recorder.record(EventKind::Slowed { node });
        }
        for &node in self.slowed.difference(&slowed) {
            self.recorder.record(EventKind::UpToSpeed { node });
        }
        self.slowed = slowed;
    }

    fn finish(self) -> Played {
        self.recorder.record(EventKind::Ended);
        let (trace_hash, trace_events) = self.world.trace_hash();
        let faults = self.nemesis.records();
        let mut history = self.recorder.finish();
        history.samples = self.sampler.finish();
        history.faults = faults.iter().map(|fault| fault.description.clone()).collect();
        let chaos = match self.scenario.run.chaos > 0.0 {
            true => self.world.chaos().into_iter().map(chaos_record).collect(),
            false => Vec::new(),
        };
        Played {
            history,
            roles: self.roles,
            faults,
            chaos,
            trace_hash,
            trace_events,
            trace: self.world.take_trace(),
            packets: self.world.take_packets(),
            machines: self.world.machine_names(),
            ..Played::default()
        }
    }
}

fn chaos_record((point, ChaosCount { asked, fired }): (Chaos, ChaosCount)) -> ChaosRecord {
    ChaosRecord { point: point.name().into(), sentence: point.describe().into(), asked, fired }
}

/// Steps the stage under the eyes of whoever may stop it.
struct StepLimits<'a> {
    stop: &'a AtomicBool,
    /// Ends as if told to stop.
    until: Nanos,
    progress: &'a Progress,
}

impl StepLimits<'_> {
    /// Steps for `limit` of virtual time, or until `done`. False if it was told to stop.
    fn run(
        &mut self,
        stage: &mut Stage,
        limit: Duration,
        mut done: impl FnMut(&Stage) -> bool,
    ) -> Result<bool, SimError> {
        let end = Nanos(stage.world.now().0 + nanos(limit));
        let loading = stage.floor.phase.get() == Phase::Load;
        while stage.world.now() < end && !done(stage) {
            if self.stop.load(Ordering::Relaxed) || stage.world.now() >= self.until {
                return Ok(false);
            }
            if loading {
                stage.nemesis.act();
            } else {
                stage.nemesis.hear();
            }
            stage.step()?;
            self.progress.set_virtual_time(Duration::from_nanos(stage.world.now().0));
        }
        Ok(true)
    }
}

fn world_config(scenario: &Scenario, seed: u64, options: &RunOptions) -> WorldConfig {
    WorldConfig {
        seed,
        tick: scenario.run.tick,
        latency: scenario.run.net.latency.min..scenario.run.net.latency.max,
        loss: scenario.run.net.loss,
        duplicate: scenario.run.net.duplicate,
        disk_sync: scenario.run.disk.sync.min..scenario.run.disk.sync.max,
        streams: StreamConfig::default(),
        trace: if options.record_trace { TraceMode::Record } else { TraceMode::HashOnly },
        capture: options.packets,
    }
}

/// A hash that is the same in every process.
fn hash_of(kind: &EventKind) -> u64 {
    let mut hasher = Xxh3::new();
    kind.hash(&mut hasher);
    hasher.finish()
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn track_applied(applied: &mut Applied, node: NodeId, observation: &Observation) {
    match observation {
        Observation::Applied { group, index, .. } | Observation::SnapshotInstalled { group, index, .. } => {
            applied.insert((*group, node), *index);
        }
        Observation::GroupClosed { group } => {
            applied.remove(&(*group, node));
        }
        _ => {}
    }
}
