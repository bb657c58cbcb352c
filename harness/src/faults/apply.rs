//! What each action does to the simulated world, and what it holds from then on.

use std::collections::BTreeSet;

use warren::platform::NodeId;

use super::{
    holds::{Grip, Thing, WeatherKind},
    nemesis::Nemesis,
    wording::{self, Named},
};
use crate::{
    history::{EventKind, NodeDown},
    scenario::{Action, ClientTrouble, DiskError, Partition, Reset, StallWhat, Trouble},
    sim::{ClockRate, MachineId},
};

impl Nemesis {
    /// Does what the step says; gives what it holds from now on.
    pub(super) fn apply(&mut self, fault: u32, action: &Action<Named>) -> Vec<Thing> {
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
                let (under_way, down) = (self.active.len(), self.down());
                self.heal();
                let (still, left_down) = (self.active.len(), self.down());
                let effect = self.holds.effect(fault);
                effect.faults_ended = (under_way - still) as u64;
                effect.nodes_started = down.saturating_sub(left_down);
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
                let processors = self.machines_of(client).map(Thing::Processor).collect();
                self.hold(fault, processors, &Grip::SlowCpu(*poll))
            }
            Action::Client { client, trouble: ClientTrouble::ChannelClose { how, every } } => {
                let channels = self.machines_of(client).map(Thing::Channel).collect();
                self.hold(fault, channels, &Grip::EndChannels(*how, *every))
            }
            Action::Client { client, trouble: ClientTrouble::IgnoreFlow } => {
                let flows = self.machines_of(client).map(Thing::Flow).collect();
                self.hold(fault, flows, &Grip::IgnoreFlow)
            }
            // The answer is awaited from beat to beat.
            Action::Operate { .. } => Vec::new(),
        }
    }

    fn machines_of(&self, client: &str) -> impl Iterator<Item = MachineId> {
        self.clients.get(client).into_iter().flatten().copied()
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
        let mut wiped = 0;
        for node in nodes {
            if self.world.disk(self.nodes[node]).wipe() > 0 {
                self.recorder.record(EventKind::SyncedDataLost { node: *node });
                wiped += 1;
            } else {
                self.holds.effect(fault).notes.push(format!("{node}'s disk was empty already"));
            }
        }
        let majority = self.present().len() / 2 + 1;
        let effect = self.holds.effect(fault);
        effect.disks_wiped += wiped as u64;
        if wiped >= majority {
            effect.notes.push("a majority was wiped: what it held may be gone for good, by design".into());
        } else if wiped > 0 {
            let note = "a wiped voter does not count until it is whole: with one more failure before that, its groups \
                        stand still";
            effect.notes.push(note.into());
        }
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
}
