//! A scenario that has been checked: every name resolved, every number in range.
//!
//! Names of queues are indices into [`Scenario::queues`] from here on; durations are virtual time; bodies are bytes.

use std::{ops::Range, time::Duration};

use warren::platform::{NodeId, Sabotage};

use super::{Action, Expect, Repeat, Repro, Swarm, Target, Trigger};

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
    /// Bytes that may wait for a queue at a node before the node stops the queue's publishers.
    pub backlog: u64,
}

/// The backlog of a cluster whose file names none, in bytes.
pub const BACKLOG: u64 = warren::amqp::BACKLOG_MAX as u64;

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
