//! The kinds of fault that a swarm draws, and which of them a scenario has room for.

use warren::platform::NodeId;

use super::Swarm;
use crate::scenario::{Action, ClientKind, Errand, SPARES_MAX, Scenario};

/// With fewer members a cluster cannot do without one.
pub(super) const MEMBERS_MIN: u64 = 3;

macro_rules! kinds {
    ($($kind:ident $name:literal,)+) => {
        /// A kind of fault that can be drawn; each is an action of the timeline.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind {
            $($kind,)+
        }

        impl Kind {
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$kind),+];

            /// The action's key in a scenario.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }
        }
    };
}

kinds! {
    Partition "partition",
    OneWay "one-way",
    Flap "flap",
    BlackHole "black-hole",
    Latency "latency",
    Loss "loss",
    Duplicate "duplicate",
    Reorder "reorder",
    Bandwidth "bandwidth",
    Reset "reset",
    Kill "kill",
    PowerLoss "power-loss",
    RollingRestart "rolling-restart",
    Pause "pause",
    SlowCpu "slow-cpu",
    DiskSlow "disk-slow",
    DiskStall "disk-stall",
    DiskError "disk-error",
    Wipe "wipe",
    BitRot "bit-rot",
    Misdirect "misdirect",
    ClockJump "clock-jump",
    ClockDrift "clock-drift",
    ClockFreeze "clock-freeze",
    SlowConsumer "slow-consumer",
    ClientCrash "client-crash",
    Churn "churn",
    TransferLeader "transfer-leader",
    Grow "grow",
    Shrink "shrink",
    AddMember "add-member",
    RemoveMember "remove-member",
    ChannelClose "channel-close",
    IgnoreFlow "ignore-flow",
}

impl Kind {
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it often finds nothing to do: a queue that has grown already, a clock that nobody reads.
    pub(super) fn often_idle(self) -> bool {
        let clock = matches!(self, Self::ClockJump | Self::ClockDrift | Self::ClockFreeze);
        let errand = matches!(self, Self::TransferLeader) || self.changes_members();
        clock || errand || matches!(self, Self::SlowConsumer | Self::DiskError | Self::IgnoreFlow)
    }

    /// Whether it always does something, whenever and to whomever.
    pub(super) fn never_idle(self) -> bool {
        matches!(self, Self::Kill | Self::PowerLoss | Self::RollingRestart)
    }

    /// Whether it takes from a node what the node had synced.
    pub(super) fn loses_data(self) -> bool {
        matches!(self, Self::Wipe | Self::BitRot | Self::Misdirect)
    }

    /// Whether it changes how many voters a queue has, and with it what the queue can do without.
    pub(super) fn changes_members(self) -> bool {
        matches!(self, Self::Grow | Self::Shrink) || self.changes_cluster()
    }

    /// Whether it changes who belongs to the cluster.
    pub(super) fn changes_cluster(self) -> bool {
        matches!(self, Self::AddMember | Self::RemoveMember)
    }

    /// Whether the scenario has what it takes.
    pub(super) fn fits(self, scenario: &Scenario, swarm: &Swarm) -> bool {
        let nodes = scenario.cluster.nodes;
        let clients = !groups(scenario).is_empty();
        match self {
            Self::Partition
            | Self::OneWay
            | Self::Flap
            | Self::Latency
            | Self::Loss
            | Self::Duplicate
            | Self::Reorder
            | Self::Bandwidth => nodes > 1,
            Self::SlowConsumer | Self::Churn => clients,
            Self::ClientCrash => clients && scenario.run.client == ClientKind::Native,
            Self::ChannelClose | Self::IgnoreFlow => {
                !scenario.publishers.is_empty() && scenario.run.client == ClientKind::Native
            }
            Self::Grow => nodes > 1,
            Self::TransferLeader | Self::Shrink => scenario.queues.iter().any(|queue| queue.group_size > 1),
            Self::AddMember => !free_spares(scenario, swarm).is_empty(),
            // Out of a small cluster nobody goes before another has come. Whom own steps remove nobody has counted.
            Self::RemoveMember => {
                let replaced = swarm.faults.contains(&Self::AddMember) && Self::AddMember.fits(scenario, swarm);
                (nodes > MEMBERS_MIN || nodes == MEMBERS_MIN && replaced)
                    && !keeps(scenario, swarm, Errand::RemoveMember)
            }
            // Every group can do without one voter.
            Self::Wipe | Self::BitRot | Self::Misdirect => scenario.queues.iter().all(|queue| queue.group_size > 2),
            _ => true,
        }
    }
}

/// The numbers with which drawn steps may let nodes join: each once, and none that the scenario's own steps use.
pub(super) fn free_spares(scenario: &Scenario, swarm: &Swarm) -> Vec<NodeId> {
    let cluster = scenario.cluster;
    let used = if keeps(scenario, swarm, Errand::AddMember) { cluster.spares } else { 0 };
    (cluster.nodes + used + 1..=cluster.nodes + SPARES_MAX).map(NodeId).collect()
}

/// Whether the scenario's own steps stay, with such an errand among them.
fn keeps(scenario: &Scenario, swarm: &Swarm, wanted: Errand) -> bool {
    let sends = |action: &Action<_>| matches!(action, Action::Operate { errand, .. } if *errand == wanted);
    swarm.keeps && scenario.steps.iter().any(|step| sends(&step.action))
}

/// The names of the groups of clients.
pub(super) fn groups(scenario: &Scenario) -> Vec<&str> {
    let publishers = scenario.publishers.iter().map(|group| group.name.as_str());
    let consumers = scenario.consumers.iter().map(|group| group.name.as_str());
    let getters = scenario.getters.iter().map(|group| group.name.as_str());
    publishers.chain(consumers).chain(getters).collect()
}
