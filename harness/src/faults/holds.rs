//! What faults hold in their grip, and to whose account goes what a grip does.
//!
//! Several faults may hold one thing: a link, a disk, a process, a node that is down. The thing is free again only when
//! the last of them lets go. Until then the strongest grip is in force (the earliest among equals), and only the fault
//! it belongs to is credited: a fault that another one covers all the while has done nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use warren::platform::NodeId;

use super::effect::Effect;
use crate::sim::{DiskFault, MachineId, World};

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
}

/// How a fault holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grip {
    Cut,
    /// Each sync takes a draw from this range longer.
    SlowSync(Range<Duration>),
    StallSync,
    StallAll,
    Pause,
    Down,
}

impl Grip {
    fn strength(&self) -> u8 {
        match self {
            Self::StallAll => 2,
            Self::StallSync => 1,
            Self::Cut | Self::SlowSync(_) | Self::Pause | Self::Down => 0,
        }
    }
}

/// Everything that faults hold at present, and the effects of all of them.
pub struct Holds {
    world: World,
    grips: BTreeMap<Thing, Vec<Hold>>,
    effects: Vec<Effect>,
    /// Faults that were never in force on something they held.
    covered: BTreeSet<u32>,
}

struct Hold {
    fault: u32,
    grip: Grip,
    /// The world's counters when this grip came in force or was last credited; `None`: it never was in force.
    since: Option<Counters>,
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
}

impl Holds {
    /// For so many faults.
    pub fn new(world: World, faults: usize) -> Self {
        Self { world, grips: BTreeMap::new(), effects: vec![Effect::default(); faults], covered: BTreeSet::new() }
    }

    pub fn effect(&mut self, fault: u32) -> &mut Effect {
        &mut self.effects[fault as usize]
    }

    /// Lets `fault` hold `thing` with `grip`.
    pub fn take(&mut self, fault: u32, thing: Thing, grip: Grip) {
        self.credit(thing);
        let holds = self.grips.entry(thing).or_default();
        let before = strongest(holds).map(|position| holds[position].fault);
        holds.push(Hold { fault, grip, since: None });
        self.enforce(thing, before, Counters::default());
    }

    /// Lets `fault` let go of `thing`. Whether nobody holds it any more.
    pub fn release(&mut self, fault: u32, thing: Thing) -> bool {
        self.credit(thing);
        let Some(holds) = self.grips.get_mut(&thing) else { return true };
        let before = strongest(holds).map(|position| holds[position].fault);
        if let Some(position) = holds.iter().position(|hold| hold.fault == fault)
            && holds.remove(position).since.is_none()
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
        match hold.grip {
            Grip::Cut => effect.packets_dropped += now.packets_dropped - before.packets_dropped,
            Grip::StallSync | Grip::StallAll => effect.operations_held += now.operations_held - before.operations_held,
            Grip::SlowSync(_) => {
                effect.syncs_slowed += now.syncs_slowed - before.syncs_slowed;
                effect.slowed_for += now.slowed_for - before.slowed_for;
            }
            Grip::Pause => effect.polls_held += now.polls_held - before.polls_held,
            Grip::Down => {}
        }
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
        hold.since = Some(now);
        if before != Some(hold.fault) {
            let effect = &mut self.effects[hold.fault as usize];
            match hold.grip {
                Grip::StallSync => effect.operations_held += inherited.syncs_held_now,
                Grip::StallAll => effect.operations_held += inherited.operations_held_now,
                Grip::Cut | Grip::SlowSync(_) | Grip::Pause | Grip::Down => {}
            }
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
                    Grip::Cut | Grip::Pause | Grip::Down => DiskFault::None,
                },
            ),
            Thing::Process(_, machine) => world.pause(machine),
            Thing::Link { .. } | Thing::Node(_) => {}
        }
    }

    fn free(&self, thing: Thing) {
        match thing {
            Thing::Link { from, to } => self.world.uncut(from, to),
            Thing::Disk(machine) => set_disk(&self.world, machine, DiskFault::None),
            Thing::Process(_, machine) => self.world.resume(machine),
            // Starting a node is the nemesis's to do and to record.
            Thing::Node(_) => {}
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
                    ..Counters::default()
                }
            }
            Thing::Process(_, machine) => {
                Counters { polls_held: self.world.machine_counters(machine).polls_held, ..Counters::default() }
            }
            Thing::Node(_) => Counters::default(),
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
