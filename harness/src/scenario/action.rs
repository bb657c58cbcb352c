//! What a step of the timeline does, and to whom.

use std::time::Duration;

use super::Spread;

/// What a step does. `N` says to whom: [`super::Target`]s as in the file, or [`super::DrawnTarget`]s once drawn.
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

/// What an operator wants. Queues are indices into [`super::Scenario::queues`].
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
    /// The channels of publishers end this often, right behind a publish that has no answer yet.
    ChannelClose { how: ChannelEnd, every: Duration },
    /// Publishers heed neither `connection.blocked` nor their own window.
    IgnoreFlow,
}

/// How a publisher's channel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelEnd {
    /// The client closes it, and opens it again on the same connection.
    Clean,
    /// The client asks for what is not there: the broker closes it, and drops what was sent behind. The client opens it
    /// again on the same connection.
    Error,
    /// The client closes it in the middle of a message, which is no AMQP: the broker must close the connection.
    Half,
}

impl ChannelEnd {
    pub const ALL: [Self; 3] = [Self::Clean, Self::Error, Self::Half];

    /// As in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Error => "error",
            Self::Half => "half",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.name() == name)
    }
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
    /// Whether only the native client can be made to do it.
    pub fn is_native_only(&self) -> bool {
        use ClientTrouble::{ChannelClose, Crash, IgnoreFlow};
        matches!(self, Self::Client { trouble: Crash | ChannelClose { .. } | IgnoreFlow, .. })
    }

    /// Whether it does its work on a node that is down as well: it starts it, or takes from its disk.
    pub fn is_for_the_down(&self) -> bool {
        let disk = |trouble: &Trouble| matches!(trouble, Trouble::BitRot { .. } | Trouble::Misdirect { .. });
        match self {
            Self::Restart { .. } | Self::Wipe { .. } => true,
            Self::Trouble { trouble, .. } => disk(trouble),
            _ => false,
        }
    }

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
            Self::Client { trouble: ClientTrouble::ChannelClose { .. }, .. } => "channel-close",
            Self::Client { trouble: ClientTrouble::IgnoreFlow, .. } => "ignore-flow",
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
