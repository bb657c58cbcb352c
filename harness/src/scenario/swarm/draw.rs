//! Which faults a seed has, how many, on whom, when, how long; and in which weather.
//!
//! All of it in whole numbers (milliseconds, thousandths), so that every machine draws the same.

use std::{ops::Range, time::Duration};

use rand::RngExt;
use rand_pcg::Pcg64;
use toml_edit::{Array, InlineTable, Value};
use warren::platform::NodeId;

use super::{
    Swarm,
    kind::{Kind, free_spares, groups},
    members::Members,
};
use crate::scenario::Scenario;

/// The generator's stream, so that the swarm's draws are independent of every other use of the seed.
const STREAM: u128 = 0x7377_6172_6d69_6e67;
/// Before synced data is taken from a node, so long nothing else is wrong, in milliseconds: all other replicas have
/// then what was committed.
const CALM_BEFORE: u64 = 4_000;
/// And so long after the node is back, in milliseconds: it has then what the others have.
const CALM_AFTER: u64 = 6_000;
/// From the first of the steps that take synced data to the return of the node, in milliseconds.
const LOSS_LASTS: u64 = 9_000;
/// Of so many faults that are seldom idle, one does something.
const SELDOM_IDLE_MIN: usize = 3;
/// How often a fault that would break a calm is drawn again before it is left out.
const TRIES: u32 = 20;

/// A step, concrete but for roles.
pub(super) struct DrawnStep {
    /// All times in milliseconds.
    pub(super) at: u64,
    pub(super) lasts: Option<u64>,
    pub(super) kind: &'static str,
    pub(super) action: Value,
}

/// Network and disks while nothing is wrong with them: times in microseconds, shares in thousandths.
pub(super) struct Weather {
    pub(super) latency: Range<u64>,
    pub(super) loss: u64,
    pub(super) duplicate: u64,
    pub(super) sync: Range<u64>,
}

pub(super) struct Drawn {
    /// In order of time.
    pub(super) steps: Vec<DrawnStep>,
    pub(super) weather: Option<Weather>,
    /// How many spares the steps need.
    pub(super) spares: u64,
}

pub(super) fn draw(scenario: &Scenario, swarm: &Swarm, seed: u64) -> Drawn {
    let nodes = scenario.cluster.nodes;
    let members = Members::new(nodes, free_spares(scenario, swarm));
    let rng = Pcg64::new(u128::from(seed), STREAM);
    let mut draw = Draw { scenario, swarm, rng, nodes: members.seen(0), members };
    let weather = swarm.weather.then(|| draw.weather());
    Drawn { steps: draw.timeline(), weather, spares: draw.members.last() - nodes }
}

/// Why no seed draws any fault, if none can.
pub(super) fn nothing(scenario: &Scenario, swarm: &Swarm) -> Option<&'static str> {
    let fitting: Vec<Kind> = swarm.faults.iter().copied().filter(|kind| kind.fits(scenario, swarm)).collect();
    let room = has_room(scenario, swarm);
    if fitting.iter().any(|kind| room || !kind.loses_data()) {
        return None;
    }
    Some(match fitting.is_empty() {
        true if swarm.faults.iter().all(|kind| kind.loses_data()) => {
            "synced data is only taken where every queue has three voters or more: name another fault, or raise \
             `group-size`"
        }
        true => "none of them fits this cluster, its queues and its clients: name another fault",
        false if has_own_steps(scenario, swarm) => {
            "synced data is only taken in a calm, which a timeline of one's own does not keep: name another fault, or \
             leave the timeline out"
        }
        false => {
            "synced data is only taken in a calm, for which a run must last 19 s or more: name another fault, or raise \
             `duration`"
        }
    })
}

/// Whether there is time for a loss of synced data and the calm around it. Own steps keep no calm.
fn has_room(scenario: &Scenario, swarm: &Swarm) -> bool {
    let load = millis(scenario.run.duration);
    CALM_BEFORE + LOSS_LASTS + CALM_AFTER <= load && !has_own_steps(scenario, swarm)
}

fn has_own_steps(scenario: &Scenario, swarm: &Swarm) -> bool {
    swarm.keeps && !scenario.steps.is_empty()
}

struct Draw<'a> {
    scenario: &'a Scenario,
    swarm: &'a Swarm,
    rng: Pcg64,
    members: Members,
    /// Whom a step can name: the nodes that are there when it begins.
    nodes: Vec<NodeId>,
}

impl Draw<'_> {
    fn weather(&mut self) -> Weather {
        let latency = self.rng.random_range(200..5_000);
        let sync = self.rng.random_range(100..5_000);
        Weather {
            latency: latency..latency + self.doubling(100, 30_000),
            loss: if self.coin() { 0 } else { self.rng.random_range(1..=30) },
            duplicate: if self.coin() { 0 } else { self.rng.random_range(1..=30) },
            sync: sync..sync + self.doubling(100, 30_000),
        }
    }

    fn timeline(&mut self) -> Vec<DrawnStep> {
        let load = millis(self.scenario.run.duration);
        let fits = |kind: &&Kind| kind.fits(self.scenario, self.swarm);
        let mut possible: Vec<Kind> = self.swarm.faults.iter().filter(fits).copied().collect();
        let room = has_room(self.scenario, self.swarm);
        possible.retain(|kind| room || !kind.loses_data());
        let mut on: Vec<Kind> = possible.iter().copied().filter(|_| self.coin()).collect();
        if let (true, Some(one)) = (on.is_empty(), self.one_of(&possible)) {
            on.push(one);
        }
        let mut steps = Vec::new();
        let mut losses: Vec<Kind> = on.extract_if(.., |kind| kind.loses_data()).collect();
        // A calm is time without anything else.
        if !on.is_empty() && self.rng.random_range(0..3) > 0 {
            losses.clear();
        }
        // A queue with fewer voters may not be able to do without one.
        on.retain(|kind| losses.is_empty() || !kind.changes_members());
        let calm = self.one_of(&losses).map(|kind| {
            let from = self.rng.random_range(CALM_BEFORE..=load - LOSS_LASTS - CALM_AFTER);
            steps.extend(self.data_loss(kind, from));
            from - CALM_BEFORE..from + LOSS_LASTS + CALM_AFTER
        });
        let (quarters, per_minute) = (self.rng.random_range(25..=100u64), self.swarm.intensity);
        let count = per_minute * quarters as f64 / 100.0 * load as f64 / 60_000.0;
        let mut kinds: Vec<Kind> = (0..(count as u64).clamp(2, 1_000)).map_while(|_| self.one_of(&on)).collect();
        // Who is there must be known before anything can happen to them.
        for kind in kinds.extract_if(.., |kind| kind.changes_cluster()) {
            let change = (0..TRIES).find_map(|_| self.change_of_cluster(kind, load));
            steps.extend(change.into_iter().flatten());
        }
        // A run in which nothing happens shows nothing. A link may be quiet just then, but hardly all of several.
        let seldom_idle = kinds.iter().filter(|kind| !kind.often_idle()).count();
        let sure = kinds.iter().any(|kind| kind.never_idle()) || seldom_idle >= SELDOM_IDLE_MIN;
        if calm.is_none() && !sure {
            let never_idle: Vec<Kind> = possible.iter().copied().filter(|kind| kind.never_idle()).collect();
            kinds.extend(self.one_of(&never_idle));
        }
        for kind in kinds {
            let broken = |fault: &[DrawnStep]| {
                let ends = fault.iter().map(DrawnStep::ends).max().unwrap_or(0);
                let begins = fault.iter().map(|step| step.at).min().unwrap_or(0);
                calm.as_ref().is_some_and(|calm| begins < calm.end && ends > calm.start)
            };
            let fault = (0..TRIES).map(|_| self.fault(kind, load)).find(|fault| !broken(fault));
            steps.extend(fault.into_iter().flatten());
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// Takes synced data from one node, and leaves it whole. Rot and misdirected writes are found at the next start; a
    /// node that refuses to go on with what it found gets an empty disk, as an operator would give it.
    fn data_loss(&mut self, kind: Kind, from: u64) -> Vec<DrawnStep> {
        let node = self.named();
        let of = |node: &str| table([("node", node.into())]);
        let wipe = |at, lasts| step(Kind::Wipe, at, Some(lasts), of(&node));
        if kind == Kind::Wipe {
            return vec![wipe(from, self.rng.random_range(3_000..=LOSS_LASTS))];
        }
        let begins = match kind {
            Kind::BitRot => {
                let bits = i64::from(self.rng.random_range(1..=16u8));
                step(kind, from, None, table([("node", node.as_str().into()), ("bits", bits.into())]))
            }
            _ => step(kind, from, Some(2_000), of(&node)),
        };
        let found = from + self.rng.random_range(2_000..4_000);
        let crash = if self.coin() { Kind::Kill } else { Kind::PowerLoss };
        // The others have a leader before the node is back, whatever it has forgotten.
        vec![begins, step(crash, found, Some(3_000), of(&node)), wipe(found + 3_500, 1_000)]
    }

    /// One fault, in more than one step if it needs somebody to clear up after it.
    fn fault(&mut self, kind: Kind, load: u64) -> Vec<DrawnStep> {
        let at = self.rng.random_range(0..load * 19 / 20);
        self.nodes = self.members.seen(at);
        let lasts = self.doubling(millis(self.swarm.lasts.min), millis(self.swarm.lasts.max));
        let until = |action: InlineTable| vec![step(kind, at, Some(lasts), action)];
        match kind {
            Kind::Partition => until(self.partition()),
            Kind::OneWay => until(self.ends([])),
            Kind::Flap => {
                let period = time(self.doubling(100, 4_000));
                until(table([("isolate", self.few()), ("period", period.into())]))
            }
            Kind::BlackHole => until(table([("node", self.few())])),
            Kind::Latency => {
                let add = self.doubling(10, 500);
                let add = format!("{}ms..{}ms", add / 2, add);
                until(self.ends([("add", add.into())]))
            }
            Kind::Loss | Kind::Duplicate => {
                let share = self.share(20, 500);
                until(self.ends([("share", share)]))
            }
            Kind::Reorder => {
                let (share, delay) = (self.share(20, 500), self.doubling(4, 200));
                let delay = format!("{}ms..{}ms", delay / 2, delay);
                until(self.ends([("share", share), ("delay", delay.into())]))
            }
            Kind::Bandwidth => {
                let rate = format!("{}KiB", self.doubling(5, 500));
                until(self.ends([("rate", rate.into())]))
            }
            Kind::Reset => {
                let client = self.client().filter(|_| self.coin());
                let whose = client.map(|client| ("client", client));
                vec![step(kind, at, None, table([whose.unwrap_or_else(|| ("node", self.any()))]))]
            }
            Kind::Kill | Kind::PowerLoss | Kind::Pause => until(table([("node", self.any())])),
            Kind::RollingRestart => {
                let (down, pause) = (self.doubling(100, 2_000), self.doubling(100, 3_000));
                let whom = [("node", "all".into()), ("down", time(down).into()), ("pause", time(pause).into())];
                let mut rolling = step(kind, at, None, table(whom));
                rolling.lasts = Some((down + pause) * self.nodes.len() as u64);
                vec![rolling]
            }
            Kind::SlowCpu => {
                let poll = format!("{}us", self.doubling(50, 10_000));
                until(table([("node", self.any()), ("poll", poll.into())]))
            }
            Kind::DiskSlow => {
                let sync = self.doubling(10, 1_000);
                let sync = format!("{}ms..{}ms", sync / 2, sync);
                until(table([("node", self.any()), ("sync", sync.into())]))
            }
            Kind::DiskStall => {
                let what = if self.coin() { "sync" } else { "all" };
                until(table([("node", self.any()), ("what", what.into())]))
            }
            Kind::DiskError => self.disk_error(at, lasts, load),
            Kind::ClockJump => {
                let (way, by) = (if self.coin() { "forward" } else { "back" }, self.doubling(1, 3_600_000));
                until(table([("node", self.any()), (way, time(by).into())]))
            }
            Kind::ClockDrift => {
                let rate = self.rng.random_range(200..=3_000) as f64 / 1_000.0;
                until(table([("node", self.any()), ("rate", rate.into())]))
            }
            Kind::ClockFreeze => {
                let what = if self.coin() { "both" } else { "wall" };
                until(table([("node", self.any()), ("what", what.into())]))
            }
            Kind::SlowConsumer => {
                let poll = time(self.doubling(1, 200));
                until(self.of_client([("poll", poll.into())]))
            }
            Kind::ClientCrash => until(self.of_client([])),
            Kind::Churn => {
                let every = time(self.doubling(100, 3_000));
                until(self.of_client([("every", every.into())]))
            }
            Kind::ChannelClose => {
                let every = time(self.doubling(100, 3_000));
                // What breaks off takes the connection with it: churn does that too.
                let how = ["clean", "clean", "error", "error", "half"][self.rng.random_range(0..5)];
                until(self.of_publisher([("every", every.into()), ("how", how.into())]))
            }
            Kind::IgnoreFlow => until(self.of_publisher([])),
            Kind::TransferLeader | Kind::Grow | Kind::Shrink => vec![step(kind, at, None, self.errand(kind))],
            Kind::Wipe | Kind::BitRot | Kind::Misdirect => unreachable!("drawn apart, in a calm"),
            Kind::AddMember | Kind::RemoveMember => unreachable!("drawn before"),
        }
    }

    /// Somebody joins or leaves, or both; `None` if that cannot be at the time that was drawn.
    fn change_of_cluster(&mut self, kind: Kind, load: u64) -> Option<Vec<DrawnStep>> {
        let latest = load * 19 / 20;
        let at = self.rng.random_range(0..latest);
        let add = |at, node: NodeId| step(Kind::AddMember, at, None, table([("node", node.to_string().into())]));
        if kind == Kind::AddMember {
            return Some(vec![add(at, self.members.join(at)?)]);
        }
        if self.members.can_leave(at) {
            return Some(vec![self.removal(at)]);
        }
        // Another takes the place, first.
        let leaves = (at + self.doubling(500, 8_000)).min(latest);
        let may_join = self.swarm.faults.contains(&Kind::AddMember);
        if !may_join || !self.members.can_be_replaced(at, leaves) {
            return None;
        }
        let replaces = add(at, self.members.join(at)?);
        Some(vec![replaces, self.removal(leaves)])
    }

    fn removal(&mut self, at: u64) -> DrawnStep {
        let (named, role) = (self.members.stay(at), self.queue_with_followers());
        let whom = self.one_of(&named);
        let (whom, node) = match (self.rng.random_range(0..4), role, whom) {
            (0, Some(queue), _) => (None, format!("leader:{queue}")),
            (1, Some(queue), _) => (None, format!("one-follower:{queue}")),
            (_, _, node) => (node, node.expect("somebody stays").to_string()),
        };
        self.members.leave(at, whom);
        step(Kind::RemoveMember, at, None, table([("node", node.into())]))
    }

    /// A node that cannot go on with its disk ends; somebody must start it again once the disk is well.
    fn disk_error(&mut self, at: u64, lasts: u64, load: u64) -> Vec<DrawnStep> {
        let node = self.named();
        let of = |more: Option<(&'static str, Value)>| table([("node", node.as_str().into())].into_iter().chain(more));
        let what = ["sync", "read", "no-space"][self.rng.random_range(0..3)];
        let mut steps = vec![step(Kind::DiskError, at, Some(lasts), of(Some(("what", what.into()))))];
        if what == "read" {
            // A log is read at the start only.
            steps.push(step(Kind::Kill, at + 1, Some((lasts / 2).max(1)), of(None)));
        }
        let mut restart = step(Kind::Kill, at + lasts + self.doubling(10, 2_000), None, of(None));
        restart.kind = "restart";
        // At the end of the load every node is started.
        steps.extend((restart.at < load).then_some(restart));
        steps
    }

    fn partition(&mut self) -> InlineTable {
        let nodes = self.nodes.len();
        match self.rng.random_range(0..6) {
            0 | 1 if nodes > 2 => {
                let mut names = self.shuffled();
                let other = names.split_off(self.rng.random_range(1..names.len()));
                let halves: Array = [names, other].into_iter().map(Value::from_iter).collect();
                table([("halves", Value::Array(halves))])
            }
            2 if nodes > 2 => table([("bridge", self.named().into())]),
            3 if self.scenario.cluster.nodes > 3 => table([("ring", "all".into())]),
            _ => table([("isolate", self.few())]),
        }
    }

    /// What an operator is asked to do with a queue.
    fn errand(&mut self, kind: Kind) -> InlineTable {
        let queues = &self.scenario.queues;
        let queue = &queues[self.rng.random_range(0..queues.len())];
        let (followers, queue) = (queue.group_size > 1, queue.name.as_str());
        let role = match (kind, self.rng.random_range(0..4)) {
            (_, 0) => self.named(),
            (Kind::Shrink, 1) => format!("leader:{queue}"),
            (Kind::Grow, _) => format!("one-learner:{queue}"),
            _ if followers => format!("one-follower:{queue}"),
            // Whoever has been given a vote.
            _ => self.named(),
        };
        let whom = if kind == Kind::TransferLeader { "to" } else { "node" };
        table([("queue", queue.into()), (whom, role.into())])
    }

    /// From whom to whom.
    fn ends(&mut self, more: impl IntoIterator<Item = (&'static str, Value)>) -> InlineTable {
        let queue = self.queue_with_followers();
        let (from, to): (Value, Value) = match (self.rng.random_range(0..8), queue) {
            (0 | 1, Some(queue)) => (format!("leader:{queue}").into(), format!("followers:{queue}").into()),
            (2 | 3, Some(queue)) => (format!("followers:{queue}").into(), format!("leader:{queue}").into()),
            (4, _) => ("all".into(), "all".into()),
            (5, _) => (self.named().into(), "all".into()),
            (6, _) => ("all".into(), self.named().into()),
            _ => {
                let mut names = self.shuffled().into_iter();
                let (one, other) = (names.next(), names.next());
                (one.expect("two nodes at least").into(), other.expect("two nodes at least").into())
            }
        };
        table([("from", from), ("to", to)].into_iter().chain(more))
    }

    /// One node or a few, but not all.
    fn few(&mut self) -> Value {
        let nodes = self.nodes.len();
        match self.rng.random_range(0..10) {
            0..5 => self.role(),
            5 if nodes > 2 => {
                let mut names = self.shuffled();
                names.truncate(self.rng.random_range(1..=nodes / 2 + 1));
                Value::from_iter(names)
            }
            _ => self.named().into(),
        }
    }

    /// One node, a few, or all.
    fn any(&mut self) -> Value {
        if self.rng.random_range(0..12) == 0 { "all".into() } else { self.few() }
    }

    /// By role: who that is shows when the step begins.
    fn role(&mut self) -> Value {
        let queues = &self.scenario.queues;
        let queue = &queues[self.rng.random_range(0..queues.len())];
        let role = if queue.group_size < 2 {
            "leader"
        } else {
            ["leader", "leader", "leader", "one-follower", "one-follower", "followers"][self.rng.random_range(0..6)]
        };
        format!("{role}:{}", queue.name).into()
    }

    fn queue_with_followers(&mut self) -> Option<String> {
        let queues = self.scenario.queues.iter().filter(|queue| queue.group_size > 1);
        let names: Vec<&str> = queues.map(|queue| queue.name.as_str()).collect();
        self.one_of(&names).map(ToOwned::to_owned)
    }

    fn named(&mut self) -> String {
        self.nodes[self.rng.random_range(0..self.nodes.len())].to_string()
    }

    /// All nodes, in any order.
    fn shuffled(&mut self) -> Vec<String> {
        let mut left = self.nodes.clone();
        let mut names = Vec::new();
        while !left.is_empty() {
            names.push(left.swap_remove(self.rng.random_range(0..left.len())).to_string());
        }
        names
    }

    fn client(&mut self) -> Option<Value> {
        let groups = groups(self.scenario);
        self.one_of(&groups).map(Value::from)
    }

    fn of_client(&mut self, more: impl IntoIterator<Item = (&'static str, Value)>) -> InlineTable {
        let client = self.client().expect("the scenario has clients");
        table([("client", client)].into_iter().chain(more))
    }

    fn of_publisher(&mut self, more: impl IntoIterator<Item = (&'static str, Value)>) -> InlineTable {
        let names: Vec<&str> = self.scenario.publishers.iter().map(|group| group.name.as_str()).collect();
        let client = self.one_of(&names).expect("the scenario has publishers");
        table([("client", client.into())].into_iter().chain(more))
    }

    fn share(&mut self, least: u64, most: u64) -> Value {
        (self.doubling(least, most) as f64 / 1_000.0).into()
    }

    fn coin(&mut self) -> bool {
        self.rng.random_range(0..2) == 0
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.rng.random_range(0..all.len())])
    }

    /// A number from `least` up to `most`: as often between one and two times `least` as between two and four times,
    /// and so on.
    fn doubling(&mut self, least: u64, most: u64) -> u64 {
        let least = least.max(1);
        let doublings = (most / least).max(1).ilog2();
        let from = least << self.rng.random_range(0..=doublings);
        self.rng.random_range(from.min(most)..=(2 * from).min(most))
    }
}

impl DrawnStep {
    fn ends(&self) -> u64 {
        self.at + self.lasts.unwrap_or(0)
    }
}

fn step(kind: Kind, at: u64, lasts: Option<u64>, action: InlineTable) -> DrawnStep {
    DrawnStep { at, lasts, kind: kind.name(), action: action.into() }
}

fn table(keys: impl IntoIterator<Item = (&'static str, Value)>) -> InlineTable {
    keys.into_iter().collect()
}

fn time(millis: u64) -> String {
    format!("{millis}ms")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
