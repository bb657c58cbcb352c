//! What faults hold in their grip, and to whose account goes what a grip does.
//!
//! Several faults may hold one thing: a link, a disk, a process, a node that is down. The thing is free again only when
//! the last of them lets go. Until then the strongest grip is in force (the earliest among equals), and only the fault
//! it belongs to is credited: a fault that another one covers all the while has done nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    ops::Range,
    rc::Rc,
    time::Duration,
};

use warren::platform::NodeId;

use super::effect::Effect;
use crate::{
    history::Nanos,
    scenario::{ChannelEnd, DiskError, Weather},
    sim::{Bandwidth, ClockRate, DiskFault, MachineId, Reorder, World},
    workload::conduct::Conduct,
};

/// What a fault can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// One direction between two machines.
    Link {
        from: MachineId,
        to: MachineId,
    },
    Disk(MachineId),
    /// The process of a node, which must run.
    Process(NodeId, MachineId),
    /// A node that is down, and stays so.
    Node(NodeId),
    /// One property of one direction between two machines.
    Weather {
        from: MachineId,
        to: MachineId,
        what: WeatherKind,
    },
    /// The process of a client, which is down.
    Client(MachineId),
    Processor(MachineId),
    /// Where a disk's writes land.
    Platter(MachineId),
    /// The rate of both clocks.
    Clock(MachineId),
    WallClock(MachineId),
    /// How a publisher's channel ends.
    Channel(MachineId),
    /// Whether a publisher holds back.
    Flow(MachineId),
}

/// How to bid publishers, by their machines.
pub type Conducts = BTreeMap<MachineId, Rc<Conduct>>;

/// A property of a link that can be worse than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WeatherKind {
    Latency,
    Loss,
    Duplicate,
    Reorder,
    Bandwidth,
}

impl WeatherKind {
    pub fn of(weather: &Weather) -> Self {
        match weather {
            Weather::Latency(_) => Self::Latency,
            Weather::Loss(_) => Self::Loss,
            Weather::Duplicate(_) => Self::Duplicate,
            Weather::Reorder { .. } => Self::Reorder,
            Weather::Bandwidth { .. } => Self::Bandwidth,
        }
    }
}

/// How a fault holds it.
#[derive(Clone, Debug, PartialEq)]
pub enum Grip {
    Cut,
    /// Each sync takes a draw from this range longer.
    SlowSync(Range<Duration>),
    StallSync,
    StallAll,
    Pause,
    Down,
    Weather(Weather),
    SlowCpu(Duration),
    DiskError(DiskError),
    Misdirect(u64),
    Rate(ClockRate),
    WallJump(i64),
    WallFreeze,
    EndChannels(ChannelEnd, Duration),
    IgnoreFlow,
}

impl Grip {
    fn strength(&self) -> u8 {
        match self {
            Self::StallAll => 2,
            Self::StallSync => 1,
            // An error comes before the wait.
            Self::DiskError(_) => 3,
            _ => 0,
        }
    }
}

/// Everything that faults hold at present, and the effects of all of them.
pub struct Holds {
    world: World,
    conducts: Conducts,
    grips: BTreeMap<Thing, Vec<Hold>>,
    effects: Vec<Effect>,
    /// Faults that others covered all the while on something they held.
    covered: BTreeSet<u32>,
}

struct Hold {
    fault: u32,
    grip: Grip,
    taken: Nanos,
    /// When this grip came in force first; `None`: it never was.
    first: Option<Nanos>,
    /// When it came in force the last time.
    latest: Nanos,
    /// The world's counters when it came in force or was last credited.
    since: Option<Counters>,
    /// Operations that it holds on for the grip before it; its own doing once time has passed.
    inherited: u64,
}

impl Hold {
    /// Whether another was in force until this one ends, at `now`: of two that end together, one is released first.
    fn was_covered(&self, now: Nanos) -> bool {
        self.first.is_none_or(|first| self.taken < first && first == now)
    }
}

/// The world's counters of one thing; those that do not concern it stay 0.
#[derive(Clone, Copy, Default)]
struct Counters {
    packets_dropped: u64,
    operations_held: u64,
    operations_held_now: u64,
    syncs_held_now: u64,
    syncs_slowed: u64,
    slowed_for: Duration,
    polls_held: u64,
    /// What the fault did, where there is one count for it.
    felt: u64,
    syncs_failed: u64,
    reads_failed: u64,
    writes_failed: u64,
}

impl Holds {
    /// For so many faults.
    pub fn new(world: World, conducts: Conducts, faults: usize) -> Self {
        let effects = vec![Effect::default(); faults];
        Self { world, conducts, grips: BTreeMap::new(), effects, covered: BTreeSet::new() }
    }

    pub fn effect(&mut self, fault: u32) -> &mut Effect {
        &mut self.effects[fault as usize]
    }

    /// Lets `fault` hold `thing` with `grip`.
    pub fn take(&mut self, fault: u32, thing: Thing, grip: Grip) {
        self.credit(thing);
        let holds = self.grips.entry(thing).or_default();
        let before = strongest(holds).map(|position| holds[position].fault);
        let now = self.world.now();
        holds.push(Hold { fault, grip, taken: now, first: None, latest: now, since: None, inherited: 0 });
        self.enforce(thing, before, Counters::default());
    }

    /// Lets `fault` let go of `thing`. Whether nobody holds it any more.
    pub fn release(&mut self, fault: u32, thing: Thing) -> bool {
        self.credit(thing);
        let Some(holds) = self.grips.get_mut(&thing) else { return true };
        let before = strongest(holds).map(|position| holds[position].fault);
        if let Some(position) = holds.iter().position(|hold| hold.fault == fault)
            && holds.remove(position).was_covered(self.world.now())
        {
            self.covered.insert(fault);
        }
        // What the grip in force held when it opened, the next one holds on.
        let inherited = if before == Some(fault) { self.counters(thing) } else { Counters::default() };
        self.enforce(thing, before, inherited);
        !self.grips.contains_key(&thing)
    }

    /// Whether another fault was in force all the while on something that `fault` held.
    pub fn was_covered(&self, fault: u32) -> bool {
        self.covered.contains(&fault)
    }

    /// Credits the grip in force with what it has done until now.
    pub fn credit(&mut self, thing: Thing) {
        let now = self.counters(thing);
        let Some(holds) = self.grips.get_mut(&thing) else { return };
        let Some(hold) = strongest(holds).map(|position| &mut holds[position]) else { return };
        let Some(before) = hold.since.replace(now) else { return };
        let effect = &mut self.effects[hold.fault as usize];
        if hold.latest < self.world.now() {
            effect.operations_held += mem::take(&mut hold.inherited);
        }
        match hold.grip {
            Grip::Cut => effect.packets_dropped += now.packets_dropped - before.packets_dropped,
            Grip::StallSync | Grip::StallAll => effect.operations_held += now.operations_held - before.operations_held,
            Grip::SlowSync(_) => {
                effect.syncs_slowed += now.syncs_slowed - before.syncs_slowed;
                effect.slowed_for += now.slowed_for - before.slowed_for;
            }
            Grip::Pause => effect.polls_held += now.polls_held - before.polls_held,
            Grip::Down => {}
            Grip::DiskError(DiskError::Sync) => effect.felt += now.syncs_failed - before.syncs_failed,
            Grip::DiskError(DiskError::Read) => effect.felt += now.reads_failed - before.reads_failed,
            Grip::DiskError(DiskError::NoSpace) => effect.felt += now.writes_failed - before.writes_failed,
            Grip::Weather(_)
            | Grip::SlowCpu(_)
            | Grip::Misdirect(_)
            | Grip::Rate(_)
            | Grip::WallJump(_)
            | Grip::WallFreeze
            | Grip::EndChannels(..)
            | Grip::IgnoreFlow => effect.felt += now.felt - before.felt,
        }
    }

    /// What holds `thing` at present.
    pub fn in_force(&self, thing: Thing) -> Option<&Grip> {
        let holds = self.grips.get(&thing)?;
        strongest(holds).map(|position| &holds[position].grip)
    }

    /// Who holds `thing`.
    pub fn holders(&self, thing: Thing) -> Vec<u32> {
        self.grips.get(&thing).map(|holds| holds.iter().map(|hold| hold.fault).collect()).unwrap_or_default()
    }

    /// Makes the world obey the grip in force; the one of the fault `before` was.
    fn enforce(&mut self, thing: Thing, before: Option<u32>, inherited: Counters) {
        let now = self.counters(thing);
        let Some(holds) = self.grips.get_mut(&thing) else { return };
        let Some(position) = strongest(holds) else {
            self.grips.remove(&thing);
            self.free(thing);
            return;
        };
        let hold = &mut holds[position];
        hold.first.get_or_insert(self.world.now());
        hold.since = Some(now);
        if before != Some(hold.fault) {
            hold.latest = self.world.now();
            hold.inherited = match hold.grip {
                Grip::StallSync => inherited.syncs_held_now,
                Grip::StallAll => inherited.operations_held_now,
                _ => 0,
            };
            let grip = hold.grip.clone();
            self.apply(thing, &grip, before.is_none());
        }
    }

    fn apply(&self, thing: Thing, grip: &Grip, first: bool) {
        let world = &self.world;
        match thing {
            // A cut drops what is under way, once.
            Thing::Link { from, to } if first => world.cut(from, to),
            Thing::Disk(machine) => set_disk(
                world,
                machine,
                match grip {
                    Grip::SlowSync(extra) => DiskFault::Slow(extra.clone()),
                    Grip::StallSync => DiskFault::StallSync,
                    Grip::StallAll => DiskFault::StallAll,
                    Grip::DiskError(DiskError::Sync) => DiskFault::FailSync,
                    Grip::DiskError(DiskError::Read) => DiskFault::ReadError,
                    Grip::DiskError(DiskError::NoSpace) => DiskFault::NoSpace,
                    _ => DiskFault::None,
                },
            ),
            Thing::Process(_, machine) => world.pause(machine),
            Thing::Link { .. } | Thing::Node(_) | Thing::Client(_) => {}
            Thing::Weather { .. }
            | Thing::Processor(_)
            | Thing::Platter(_)
            | Thing::Clock(_)
            | Thing::WallClock(_)
            | Thing::Channel(_)
            | Thing::Flow(_) => {
                // Whatever another grip did is undone first, so that the two do not add up.
                self.free(thing);
                self.trouble(thing, grip);
            }
        }
    }

    fn trouble(&self, thing: Thing, grip: &Grip) {
        let (world, usual) = (&self.world, self.world.config());
        let either = |one: f64, other: f64| 1.0 - (1.0 - one) * (1.0 - other);
        match (thing, grip) {
            (Thing::Weather { from, to, .. }, Grip::Weather(weather)) => match weather {
                Weather::Latency(extra) => world.set_extra_latency(from, to, extra.min..extra.max),
                Weather::Loss(share) => world.set_loss(from, to, either(usual.loss, *share)),
                Weather::Duplicate(share) => world.set_duplicate(from, to, either(usual.duplicate, *share)),
                Weather::Reorder { share, delay } => {
                    world.set_reorder(from, to, Some(Reorder { share: *share, delay: delay.min..delay.max }));
                }
                Weather::Bandwidth { bytes_per_second, queue_bytes } => {
                    let (bytes_per_second, queue_bytes) = (*bytes_per_second, *queue_bytes);
                    world.set_bandwidth(from, to, Some(Bandwidth { bytes_per_second, queue_bytes }));
                }
            },
            (Thing::Processor(machine), Grip::SlowCpu(poll)) => world.set_poll_cost(machine, *poll),
            (Thing::Platter(machine), Grip::Misdirect(count)) => world.disk(machine).set_misdirections(*count),
            (Thing::Clock(machine), Grip::Rate(rate)) => world.set_clock_rate(machine, *rate),
            (Thing::WallClock(machine), Grip::WallJump(by)) => world.jump_wall_clock(machine, *by),
            (Thing::WallClock(machine), Grip::WallFreeze) => world.freeze_wall_clock(machine, true),
            (Thing::Channel(machine), Grip::EndChannels(how, every)) => {
                self.conducts[&machine].end_channels(Some((*how, *every)));
            }
            (Thing::Flow(machine), Grip::IgnoreFlow) => self.conducts[&machine].ignore_flow(true),
            _ => unreachable!("{grip:?} is no grip on {thing:?}"),
        }
    }

    fn free(&self, thing: Thing) {
        let usual = self.world.config();
        match thing {
            Thing::Link { from, to } => self.world.uncut(from, to),
            Thing::Disk(machine) => set_disk(&self.world, machine, DiskFault::None),
            Thing::Process(_, machine) => self.world.resume(machine),
            // Starting a node is the nemesis's to do and to record.
            Thing::Node(_) => {}
            Thing::Weather { from, to, what } => match what {
                WeatherKind::Latency => self.world.set_extra_latency(from, to, Duration::ZERO..Duration::ZERO),
                WeatherKind::Loss => self.world.set_loss(from, to, usual.loss),
                WeatherKind::Duplicate => self.world.set_duplicate(from, to, usual.duplicate),
                WeatherKind::Reorder => self.world.set_reorder(from, to, None),
                WeatherKind::Bandwidth => self.world.set_bandwidth(from, to, None),
            },
            Thing::Client(machine) => self.world.start(machine),
            Thing::Processor(machine) => self.world.set_poll_cost(machine, Duration::ZERO),
            Thing::Platter(machine) => self.world.disk(machine).set_misdirections(0),
            Thing::Clock(machine) => self.world.set_clock_rate(machine, ClockRate::Drift(0)),
            Thing::WallClock(machine) => {
                self.world.freeze_wall_clock(machine, false);
                self.world.set_wall_clock_right(machine);
            }
            Thing::Channel(machine) => self.conducts[&machine].end_channels(None),
            Thing::Flow(machine) => self.conducts[&machine].ignore_flow(false),
        }
    }

    fn counters(&self, thing: Thing) -> Counters {
        match thing {
            Thing::Link { from, to } => {
                Counters { packets_dropped: self.world.packets_dropped(from, to), ..Counters::default() }
            }
            Thing::Disk(machine) => {
                let disk = self.world.disk(machine).counters();
                Counters {
                    operations_held: disk.operations_held,
                    operations_held_now: disk.operations_held_now,
                    syncs_held_now: disk.syncs_held_now,
                    syncs_slowed: disk.syncs_slowed,
                    slowed_for: disk.slowed_for,
                    syncs_failed: disk.syncs_failed,
                    reads_failed: disk.reads_failed,
                    writes_failed: disk.writes_failed,
                    ..Counters::default()
                }
            }
            Thing::Process(_, machine) => {
                Counters { polls_held: self.world.machine_counters(machine).polls_held, ..Counters::default() }
            }
            Thing::Node(_) | Thing::Client(_) => Counters::default(),
            Thing::Weather { .. }
            | Thing::Processor(_)
            | Thing::Platter(_)
            | Thing::Clock(_)
            | Thing::WallClock(_)
            | Thing::Channel(_)
            | Thing::Flow(_) => Counters { felt: self.felt(thing), ..Counters::default() },
        }
    }
}

impl Holds {
    /// The one count of a thing that has one.
    fn felt(&self, thing: Thing) -> u64 {
        match thing {
            Thing::Weather { from, to, what } => {
                let link = self.world.link(from, to);
                match what {
                    WeatherKind::Latency => link.delayed,
                    WeatherKind::Loss => link.lost,
                    WeatherKind::Duplicate => link.duplicated,
                    WeatherKind::Reorder => link.held_back,
                    WeatherKind::Bandwidth => link.queued + link.overflowed,
                }
            }
            Thing::Processor(machine) => self.world.machine_counters(machine).processor.polls_delayed,
            Thing::Platter(machine) => self.world.disk(machine).counters().sectors_misdirected,
            Thing::Clock(machine) => {
                let clock = self.world.machine_counters(machine).clock;
                clock.monotonic_skewed + clock.timers_skewed
            }
            Thing::WallClock(machine) => self.world.machine_counters(machine).clock.wall_skewed,
            Thing::Channel(machine) => self.conducts[&machine].channels_ended(),
            Thing::Flow(machine) => self.conducts[&machine].forced(),
            Thing::Link { .. } | Thing::Disk(_) | Thing::Process(..) | Thing::Node(_) | Thing::Client(_) => 0,
        }
    }
}

fn set_disk(world: &World, machine: MachineId, fault: DiskFault) {
    let disk = world.disk(machine);
    if disk.fault() != fault {
        disk.set_fault(fault);
    }
}

/// The grip in force.
fn strongest(holds: &[Hold]) -> Option<usize> {
    let strength = holds.iter().map(|hold| hold.grip.strength()).max()?;
    holds.iter().position(|hold| hold.grip.strength() == strength)
}
