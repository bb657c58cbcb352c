//! Which nodes a fault keeps from counting time as they should.

use std::collections::BTreeSet;

use warren::platform::NodeId;

use super::{
    Nemesis,
    holds::{Grip, Holds, Thing},
};
use crate::sim::{ClockRate, MachineId};

/// A clock that loses no more than this, in parts per million, still keeps every bound that leaves a node twice its
/// time.
const LOSS_MAX: i32 = 250_000;

impl Nemesis {
    /// Nodes whose process is held or polled slowly, or whose clock runs slow or stands.
    pub fn slowed(&self) -> BTreeSet<NodeId> {
        let slowed = |(node, machine): &(&NodeId, &MachineId)| is_slowed(&self.holds, **node, **machine);
        self.nodes.iter().filter(slowed).map(|(node, _)| *node).collect()
    }
}

fn is_slowed(holds: &Holds, node: NodeId, machine: MachineId) -> bool {
    let clock = match holds.in_force(Thing::Clock(machine)) {
        Some(Grip::Rate(ClockRate::Frozen)) => true,
        Some(Grip::Rate(ClockRate::Drift(gain))) => *gain < -LOSS_MAX,
        _ => false,
    };
    clock
        || holds.in_force(Thing::Process(node, machine)).is_some()
        || holds.in_force(Thing::Processor(machine)).is_some()
}
