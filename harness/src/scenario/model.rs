//! A scenario that has been checked: every name resolved, every number in range.
//!
//! Names of queues are indices into [`Scenario::queues`] from here on; durations are virtual time; bodies are bytes.

use std::{ops::Range, time::Duration};

use warren::platform::{NodeId, Sabotage};

use super::{Expect, Repeat, Swarm, Target, Trigger};

/// A scenario, ready to be run with any seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub name: String,
    pub description: String,
    pub tags: Vec<String>,
    /// The file, as it was named on the command line.
    pub path: String,
    /// The file's text.
    pub text: String,
    /// The planted bug that the scenario itself switches on.
    pub sabotage: Option<Sabotage>,
    /// A planted bug of the kind that the scenario is about; it is off unless asked for, and the run must find it.
    pub matching_sabotage: Option<Sabotage>,
    pub run: Run,
    pub cluster: Cluster,
    /// At least one.
    pub queues: Vec<Queue>,
    pub publishers: Vec<Publishers>,
    pub consumers: Vec<Consumers>,
    pub getters: Vec<Getters>,
    pub lockers: Vec<Lockers>,
    /// In the order of the file, which need not be that of time: see [`Scenario::draw`].
    pub steps: Vec<Step>,
    /// What is drawn into the timeline, for each seed anew: see [`Scenario::drawn_by_swarm`].
    pub swarm: Option<Swarm>,
    pub expect: Expect,
    /// What the file reproduces, if it was written for that.
    pub repro: Option<Repro>,
}

/// The longest name that a scenario, a queue or a group of clients may have.
pub const NAME_BYTES_MAX: usize = 100;

/// What stands in the place of an invariant where the broker fails an assertion of its own.
pub const PANIC: &str = "panic";

/// What a reproducer must show again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repro {
    /// The name of the invariant, or [`PANIC`].
    pub violates: String,
    /// The trace hash of the run that showed it, 16 hexadecimal digits.
    pub trace: String,
    /// Which build of Ferret that was.
    pub build: String,
    /// The command that found the failure first.
    pub found_by: String,
}

/// How long, how often, and in which weather.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Clients publish for this long; then faults are healed, the queues are drained, the history is judged.
    pub duration: Duration,
    /// The most that the final drain may take.
    pub drain: Duration,
    pub seeds: Seeds,
    /// The resolution of virtual time: how far the simulation steps at once.
    pub tick: Duration,
    pub client: ClientKind,
    pub net: Net,
    pub disk: DiskSpeed,
    /// How often Warren's chaos points take their turns: a factor to their likelihoods; 0 is never.
    pub chaos: f64,
    /// After the last fault is healed, the time within which all must be well again.
    pub liveness: Duration,
    /// A publish without an answer for this long has an unknown outcome.
    pub publish_timeout: Duration,
}

/// The seeds that a scenario runs with unless the command line names others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    pub from: u64,
    /// At least 1.
    pub count: u64,
}

impl Seeds {
    pub fn iter(self) -> impl Iterator<Item = u64> {
        (0..self.count).map(move |offset| self.from.wrapping_add(offset))
    }
}

/// The client library that the workload speaks through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Ferret's own thin client: full speed, recorded at frame level.
    Native,
    /// The unmodified `lapin` crate, in lock-step.
    Lapin,
}

impl ClientKind {
    pub const ALL: [Self; 2] = [Self::Native, Self::Lapin];

    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Lapin => "lapin",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The network between any two hosts, per datagram and direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Net {
    /// Drawn for each datagram, so datagrams overtake each other.
    pub latency: Spread<Duration>,
    /// Probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// Probability that a datagram arrives twice, 0 to 1.
    pub duplicate: f64,
}

/// Every node's disk while nothing is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DiskSpeed {
    /// How long one sync takes, drawn for each.
    pub sync: Spread<Duration>,
}

/// A closed interval to draw from; a single value has both ends equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread<T> {
    pub min: T,
    pub max: T,
}

impl<T: Copy> Spread<T> {
    /// Always `value`.
    pub fn exactly(value: T) -> Self {
        Self { min: value, max: value }
    }
}

/// The most nodes that can wait to be added.
pub const SPARES_MAX: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// 1 to 7. Nodes are called `n1`, `n2`, ….
    pub nodes: u64,
    /// Nodes beyond those, which do not run and are no members until a step adds them.
    pub spares: u64,
    /// Applied entries after which a group's log is cut behind a snapshot; a quarter as many stay for slow followers.
    pub compact_after: u64,
}

impl Cluster {
    /// Those that begin the cluster.
    pub fn node_ids(self) -> impl Iterator<Item = NodeId> {
        (1..=self.nodes).map(NodeId)
    }

    pub fn spare_ids(self) -> impl Iterator<Item = NodeId> {
        (self.nodes + 1..=self.nodes + self.spares).map(NodeId)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub name: String,
    pub kind: QueueKind,
    /// Voting replicas: 1 up to the number of nodes.
    pub group_size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    Quorum,
}

/// Where a client connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Clients are dealt out over the nodes in turn; after a loss, the next node is tried.
    Spread,
    /// To a node that the target names at the moment of connecting.
    At(Target),
}

/// A group of equal publishers.
#[derive(Clone, Debug, PartialEq)]
pub struct Publishers {
    /// The clients are called `name-1`, `name-2`, ….
    pub name: String,
    pub count: u32,
    /// Index into [`Scenario::queues`].
    pub queue: usize,
    /// Whether publisher confirms are on.
    pub confirms: bool,
    /// Messages per virtual second, each.
    pub rate: f64,
    /// The most messages that each of them publishes, whatever is left of the load; `None` is no limit.
    pub messages: Option<u64>,
    /// Bytes per message, drawn for each.
    pub body: Spread<u64>,
    /// The most publishes without an outcome at a time; 1 publishes in lock-step.
    pub in_flight: u32,
    /// Whether a publish of unknown outcome is tried again, as a new attempt.
    pub retry: bool,
    pub node: Placement,
}

/// A group of equal consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumers {
    pub name: String,
    pub count: u32,
    /// Index into [`Scenario::queues`].
    pub queue: usize,
    pub ack: AckMode,
    /// Unacknowledged deliveries that the broker may have under way to one consumer; 0 is unlimited.
    pub prefetch: u16,
    /// Time from a delivery to its ack, drawn for each.
    pub work: Spread<Duration>,
    /// The fraction of first deliveries that is nacked with requeue, 0 to 1.
    pub requeue: f64,
    pub node: Placement,
}

/// A group of equal clients that poll with `basic.get`.
#[derive(Clone, Debug, PartialEq)]
pub struct Getters {
    pub name: String,
    pub count: u32,
    /// Index into [`Scenario::queues`].
    pub queue: usize,
    /// Gets per virtual second, each.
    pub rate: f64,
    pub ack: AckMode,
    pub node: Placement,
}

/// A group of equal clients that use a queue of one message as a lock.
#[derive(Clone, Debug, PartialEq)]
pub struct Lockers {
    pub name: String,
    pub count: u32,
    /// Index into [`Scenario::queues`]; nobody but lockers uses that queue.
    pub queue: usize,
    pub take: Take,
    /// From taking the lock to giving it back.
    pub hold: Spread<Duration>,
    /// The pause before the next try, for those that take it with gets.
    pub retry: Spread<Duration>,
    pub node: Placement,
}

/// How a locker takes the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// With `basic.get`, again and again until it is there.
    Get,
    /// Through a consumer with a prefetch of 1.
    Consume,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckMode {
    Manual,
    /// `no-ack`: the broker settles a message when it sends it.
    Auto,
}

/// One step of the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// 1-based position in the file.
    pub number: u32,
    /// 1-based line in the file.
    pub line: u32,
    /// The step's bytes in [`Scenario::text`].
    pub span: Range<usize>,
    /// Since the start of the load, or since the trigger.
    pub at: Spread<Duration>,
    /// What it waits for before that.
    pub trigger: Option<Trigger>,
    /// It is done again and again.
    pub repeat: Option<Repeat>,
    /// `for`: how long it lasts. Without it, until a later step (`heal`, `restart`) or the end of the load.
    pub lasts: Option<Spread<Duration>>,
    /// The step may turn out to have had no effect.
    pub may_miss: bool,
    pub action: Action<Vec<Target>>,
}

/// What a step does. `N` says to whom: [`Target`]s as in the file, or [`super::DrawnTarget`]s once drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Action<N> {
    Partition(Partition<N>),
    /// Datagrams from each `from` to each `to` are dropped; the other direction works.
    OneWay {
        from: N,
        to: N,
    },
    /// The process ends at once; its machine, and what it had not synced, live on.
    Kill {
        node: N,
    },
    /// The machine goes dark; unsynced data is lost.
    PowerLoss {
        node: N,
    },
    /// Disk operations do not return until the step ends.
    DiskStall {
        node: N,
        what: StallWhat,
    },
    /// Each sync takes a time drawn from `sync`.
    DiskSlow {
        node: N,
        sync: Spread<Duration>,
    },
    /// Established connections are reset.
    Reset(Reset<N>),
    /// The process is held, as by SIGSTOP: no task of it is polled.
    Pause {
        node: N,
    },
    /// Ends every fault under way, and starts the nodes that are down.
    Heal,
    /// Starts nodes that a kill or a power loss took down.
    Restart {
        node: N,
    },
    /// The links from each `from` to each `to` do this to datagrams; the other direction is as before.
    Weather {
        from: N,
        to: N,
        weather: Weather,
    },
    /// Nothing passes to or from these nodes, from nor to clients either, and nobody is told.
    BlackHole {
        node: N,
    },
    /// These nodes are cut from the others and joined again, half a period each.
    Flap {
        isolate: N,
        period: Duration,
    },
    /// One after the other, each node is killed, stays down for a while, and is started.
    RollingRestart {
        node: N,
        down: Duration,
        /// From one node's start to the next one's end.
        pause: Duration,
    },
    /// The machine goes dark, and comes back with an empty disk.
    Wipe {
        node: N,
    },
    /// Something is wrong with the machine.
    Trouble {
        node: N,
        trouble: Trouble,
    },
    /// Something is wrong with all clients of this group.
    Client {
        client: String,
        trouble: ClientTrouble,
    },
    /// An operator asks the cluster to change its members, or a queue's leader or voters.
    Operate {
        node: N,
        errand: Errand,
    },
}

/// What an operator wants. Queues are indices into [`Scenario::queues`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// The node is to lead the queue.
    TransferLeader { queue: usize },
    /// The node, a learner, is to vote in it.
    Grow { queue: usize },
    /// The node is to vote in it no more.
    Shrink { queue: usize },
    /// The node, a spare, is started, and to join the cluster.
    AddMember,
    /// The node is to leave the cluster for good.
    RemoveMember,
}

impl Errand {
    /// The queue that it is about, if it is about one.
    pub fn queue(self) -> Option<usize> {
        match self {
            Self::TransferLeader { queue } | Self::Grow { queue } | Self::Shrink { queue } => Some(queue),
            Self::AddMember | Self::RemoveMember => None,
        }
    }

    /// The same errand about another queue.
    #[must_use]
    pub fn with_queue(self, queue: usize) -> Self {
        match self {
            Self::TransferLeader { .. } => Self::TransferLeader { queue },
            Self::Grow { .. } => Self::Grow { queue },
            Self::Shrink { .. } => Self::Shrink { queue },
            Self::AddMember | Self::RemoveMember => self,
        }
    }
}

/// What a link does to datagrams.
#[derive(Clone, Debug, PartialEq)]
pub enum Weather {
    /// On top of the usual latency, drawn for each datagram.
    Latency(Spread<Duration>),
    /// Probability, 0 to 1, on top of the usual loss.
    Loss(f64),
    /// Probability, 0 to 1, on top of the usual doublings.
    Duplicate(f64),
    /// This share is held back so long that later ones overtake it.
    Reorder {
        share: f64,
        delay: Spread<Duration>,
    },
    Bandwidth {
        bytes_per_second: u64,
        queue_bytes: u64,
    },
}

/// What is wrong with a machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// Each poll of a task occupies the processor for so long.
    SlowCpu {
        poll: Duration,
    },
    DiskError(DiskError),
    /// So many bits of synced data flip.
    BitRot {
        bits: u64,
    },
    /// So many syncs write a sector to the wrong place.
    Misdirect {
        writes: u64,
    },
    /// The wall clock is off by so many nanoseconds.
    ClockJump {
        by_nanos: i64,
    },
    /// Both clocks and the timers gain so many parts per million.
    ClockDrift {
        gain: i32,
    },
    /// Both clocks stand still, with the timers, or the wall clock only.
    ClockFreeze {
        wall_only: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// Syncs fail with `EIO` and drop what they should have written.
    Sync,
    /// Reads fail with `EIO`.
    Read,
    /// Writes fail with `ENOSPC`.
    NoSpace,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ClientTrouble {
    /// Each poll of the client occupies its processor for so long: it reads and settles late.
    Slow { poll: Duration },
    /// The processes end at once, without a word; they start again when the step ends.
    Crash,
    /// All connections of the group break this often.
    Churn { every: Duration },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Partition<N> {
    /// These nodes, each and together, are cut from the others; clients still reach every node.
    Isolate(N),
    /// No datagram passes between nodes of different parts.
    Halves(Vec<N>),
    /// The other nodes fall into two halves that do not hear each other; these hear both.
    Bridge(N),
    /// Each node hears a majority, and no two the same: on a ring of all nodes, only near ones hear each other.
    Ring,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reset<N> {
    /// Every connection that ends at these nodes, from clients and from peers.
    Node(N),
    /// Every connection of the clients of this group: a name among publishers, consumers, getters and lockers.
    Client(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StallWhat {
    /// Only syncs.
    Sync,
    /// Reads, writes and syncs.
    All,
}

impl<N> Action<N> {
    /// The action's key in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
            Self::OneWay { .. } => "one-way",
            Self::Kill { .. } => "kill",
            Self::PowerLoss { .. } => "power-loss",
            Self::DiskStall { .. } => "disk-stall",
            Self::DiskSlow { .. } => "disk-slow",
            Self::Reset(_) => "reset",
            Self::Pause { .. } => "pause",
            Self::Heal => "heal",
            Self::Restart { .. } => "restart",
            Self::Weather { weather, .. } => match weather {
                Weather::Latency(_) => "latency",
                Weather::Loss(_) => "loss",
                Weather::Duplicate(_) => "duplicate",
                Weather::Reorder { .. } => "reorder",
                Weather::Bandwidth { .. } => "bandwidth",
            },
            Self::BlackHole { .. } => "black-hole",
            Self::Flap { .. } => "flap",
            Self::RollingRestart { .. } => "rolling-restart",
            Self::Wipe { .. } => "wipe",
            Self::Trouble { trouble, .. } => match trouble {
                Trouble::SlowCpu { .. } => "slow-cpu",
                Trouble::DiskError(_) => "disk-error",
                Trouble::BitRot { .. } => "bit-rot",
                Trouble::Misdirect { .. } => "misdirect",
                Trouble::ClockJump { .. } => "clock-jump",
                Trouble::ClockDrift { .. } => "clock-drift",
                Trouble::ClockFreeze { .. } => "clock-freeze",
            },
            Self::Client { trouble: ClientTrouble::Slow { .. }, .. } => "slow-consumer",
            Self::Client { trouble: ClientTrouble::Crash, .. } => "client-crash",
            Self::Client { trouble: ClientTrouble::Churn { .. }, .. } => "churn",
            Self::Operate { errand: Errand::TransferLeader { .. }, .. } => "transfer-leader",
            Self::Operate { errand: Errand::Grow { .. }, .. } => "grow",
            Self::Operate { errand: Errand::Shrink { .. }, .. } => "shrink",
            Self::Operate { errand: Errand::AddMember, .. } => "add-member",
            Self::Operate { errand: Errand::RemoveMember, .. } => "remove-member",
        }
    }

    /// The same action with each target replaced, in the order in which the file's format names them.
    pub fn map<M>(&self, mut replace: impl FnMut(&N) -> M) -> Action<M> {
        match self {
            Self::Partition(Partition::Isolate(nodes)) => Action::Partition(Partition::Isolate(replace(nodes))),
            Self::Partition(Partition::Halves(halves)) => {
                Action::Partition(Partition::Halves(halves.iter().map(replace).collect()))
            }
            Self::Partition(Partition::Bridge(nodes)) => Action::Partition(Partition::Bridge(replace(nodes))),
            Self::Partition(Partition::Ring) => Action::Partition(Partition::Ring),
            Self::OneWay { from, to } => {
                let from = replace(from);
                Action::OneWay { from, to: replace(to) }
            }
            Self::Kill { node } => Action::Kill { node: replace(node) },
            Self::PowerLoss { node } => Action::PowerLoss { node: replace(node) },
            Self::DiskStall { node, what } => Action::DiskStall { node: replace(node), what: *what },
            Self::DiskSlow { node, sync } => Action::DiskSlow { node: replace(node), sync: *sync },
            Self::Reset(Reset::Node(nodes)) => Action::Reset(Reset::Node(replace(nodes))),
            Self::Reset(Reset::Client(name)) => Action::Reset(Reset::Client(name.clone())),
            Self::Pause { node } => Action::Pause { node: replace(node) },
            Self::Heal => Action::Heal,
            Self::Restart { node } => Action::Restart { node: replace(node) },
            Self::Weather { from, to, weather } => {
                let from = replace(from);
                Action::Weather { from, to: replace(to), weather: weather.clone() }
            }
            Self::BlackHole { node } => Action::BlackHole { node: replace(node) },
            Self::Flap { isolate, period } => Action::Flap { isolate: replace(isolate), period: *period },
            Self::RollingRestart { node, down, pause } => {
                Action::RollingRestart { node: replace(node), down: *down, pause: *pause }
            }
            Self::Wipe { node } => Action::Wipe { node: replace(node) },
            Self::Trouble { node, trouble } => Action::Trouble { node: replace(node), trouble: trouble.clone() },
            Self::Client { client, trouble } => Action::Client { client: client.clone(), trouble: trouble.clone() },
            Self::Operate { node, errand } => Action::Operate { node: replace(node), errand: *errand },
        }
    }
}
