//! A step of the timeline as its line.

use std::{fmt::Write, time::Duration};

use warren::platform::NodeId;

use super::{
    super::{
        Action, ChannelEnd, ClientTrouble, DiskError, Errand, Happening, Partition, Repeat, Reset, Scenario, Spread,
        StallWhat, Step, Target, Trigger, Trouble, Weather,
    },
    quoted, time, times,
};

impl Scenario {
    /// A step as a line of the timeline.
    pub fn step(&self, step: &Step) -> String {
        let mut text = format!("{{ {}, {}", self.begins(step), self.action(&step.action));
        if let Some(lasts) = step.lasts {
            let _ = write!(text, ", for = {}", times(lasts));
        }
        if step.may_miss {
            text.push_str(", may-miss = true");
        }
        text + " }"
    }

    fn begins(&self, step: &Step) -> String {
        let delay = if step.at == Spread::exactly(Duration::ZERO) {
            String::new()
        } else {
            format!(", delay = {}", times(step.at))
        };
        match &step.trigger {
            Some(Trigger::Reached(tally, count)) => return format!("after = {{ {} = {count} }}{delay}", tally.name()),
            Some(Trigger::Happened(happening)) => return format!("when = {}{delay}", self.happening(happening)),
            None => {}
        }
        let mut text = format!("at = {}", times(step.at));
        if let Some(Repeat { every, count, until }) = step.repeat {
            let _ = write!(text, ", every = {}", times(every));
            if let Some(count) = count {
                let _ = write!(text, ", count = {count}");
            }
            if until != self.run.duration {
                let _ = write!(text, ", until = {}", time(until));
            }
        }
        text
    }

    fn happening(&self, happening: &Happening) -> String {
        let of_queue = |event: &str, queue: usize| quoted(&format!("{event}:{}", self.queues[queue].name));
        let of_node = |event: &str, node: &Option<NodeId>| {
            quoted(&node.map_or_else(|| format!("{event}:any"), |node| format!("{event}:{node}")))
        };
        match happening {
            Happening::LeaderChanged(queue) => of_queue("leader-changed", *queue),
            Happening::Redelivered(queue) => of_queue("redelivered", *queue),
            Happening::SnapshotInstalled(queue) => of_queue("snapshot-installed", *queue),
            Happening::Compacted(queue) => of_queue("compacted", *queue),
            Happening::Down(node) => of_node("down", node),
            Happening::Restarted(node) => of_node("restarted", node),
            Happening::Reconnected(client) => quoted(&format!("reconnected:{client}")),
        }
    }

    fn action(&self, action: &Action<Vec<Target>>) -> String {
        let one = |key: &str, nodes: &Vec<Target>| format!("{{ {key} = {} }}", self.targets(nodes));
        let node = |nodes: &Vec<Target>| format!("node = {}", self.targets(nodes));
        let value = match action {
            Action::Partition(Partition::Isolate(nodes)) => one("isolate", nodes),
            Action::Partition(Partition::Halves(halves)) => {
                let halves: Vec<String> = halves.iter().map(|half| self.target_list(half)).collect();
                format!("{{ halves = [{}] }}", halves.join(", "))
            }
            Action::Partition(Partition::Bridge(nodes)) => one("bridge", nodes),
            Action::Partition(Partition::Ring) => "{ ring = \"all\" }".to_owned(),
            Action::OneWay { from, to } => format!("{{ from = {}, to = {} }}", self.targets(from), self.targets(to)),
            Action::Kill { node }
            | Action::PowerLoss { node }
            | Action::Pause { node }
            | Action::Restart { node }
            | Action::BlackHole { node }
            | Action::Wipe { node }
            | Action::Reset(Reset::Node(node)) => one("node", node),
            Action::DiskStall { node, what: StallWhat::Sync } => one("node", node),
            Action::DiskStall { node: nodes, what: StallWhat::All } => format!("{{ {}, what = \"all\" }}", node(nodes)),
            Action::DiskSlow { node: nodes, sync } => format!("{{ {}, sync = {} }}", node(nodes), times(*sync)),
            Action::Reset(Reset::Client(client)) => format!("{{ client = {} }}", quoted(client)),
            Action::Heal => quoted("all"),
            Action::Weather { from, to, weather } => {
                let how = match weather {
                    Weather::Latency(add) => format!("add = {}", times(*add)),
                    Weather::Loss(share) | Weather::Duplicate(share) => format!("share = {share}"),
                    Weather::Reorder { share, delay } => format!("share = {share}, delay = {}", times(*delay)),
                    Weather::Bandwidth { bytes_per_second, queue_bytes } => {
                        format!("rate = \"{bytes_per_second}B\", queue = \"{queue_bytes}B\"")
                    }
                };
                format!("{{ from = {}, to = {}, {how} }}", self.targets(from), self.targets(to))
            }
            Action::Flap { isolate, period } => {
                format!("{{ isolate = {}, period = {} }}", self.targets(isolate), time(*period))
            }
            Action::RollingRestart { node: nodes, down, pause } => {
                format!("{{ {}, down = {}, pause = {} }}", node(nodes), time(*down), time(*pause))
            }
            Action::Trouble { node: nodes, trouble } => {
                let how = match trouble {
                    Trouble::SlowCpu { poll } => format!(", poll = {}", time(*poll)),
                    Trouble::DiskError(DiskError::Sync) => ", what = \"sync\"".to_owned(),
                    Trouble::DiskError(DiskError::Read) => ", what = \"read\"".to_owned(),
                    Trouble::DiskError(DiskError::NoSpace) => ", what = \"no-space\"".to_owned(),
                    Trouble::BitRot { bits } => format!(", bits = {bits}"),
                    Trouble::Misdirect { writes } => format!(", writes = {writes}"),
                    Trouble::ClockJump { by_nanos } => {
                        let key = if *by_nanos < 0 { "back" } else { "forward" };
                        format!(", {key} = {}", time(Duration::from_nanos(by_nanos.unsigned_abs())))
                    }
                    Trouble::ClockDrift { gain } => format!(", rate = {}", 1.0 + f64::from(*gain) / 1e6),
                    Trouble::ClockFreeze { wall_only: true } => ", what = \"wall\"".to_owned(),
                    Trouble::ClockFreeze { wall_only: false } => String::new(),
                };
                format!("{{ {}{how} }}", node(nodes))
            }
            Action::Operate { node, errand } => {
                let key = if matches!(errand, Errand::TransferLeader { .. }) { "to" } else { "node" };
                let queue = errand.queue().map(|queue| format!("queue = {}, ", quoted(&self.queues[queue].name)));
                format!("{{ {}{key} = {} }}", queue.unwrap_or_default(), self.targets(node))
            }
            Action::Client { client, trouble } => {
                let how = match trouble {
                    ClientTrouble::Slow { poll } => format!(", poll = {}", time(*poll)),
                    ClientTrouble::Crash => String::new(),
                    ClientTrouble::Churn { every } => format!(", every = {}", time(*every)),
                    ClientTrouble::ChannelClose { how: ChannelEnd::Clean, every } => {
                        format!(", every = {}", time(*every))
                    }
                    ClientTrouble::ChannelClose { how, every } => {
                        format!(", every = {}, how = {}", time(*every), quoted(how.name()))
                    }
                    ClientTrouble::IgnoreFlow => String::new(),
                };
                format!("{{ client = {}{how} }}", quoted(client))
            }
        };
        format!("{} = {value}", action.kind())
    }

    fn targets(&self, targets: &[Target]) -> String {
        if let [target] = targets { self.target(target) } else { self.target_list(targets) }
    }

    fn target_list(&self, targets: &[Target]) -> String {
        format!("[{}]", targets.iter().map(|target| self.target(target)).collect::<Vec<_>>().join(", "))
    }

    pub(super) fn target(&self, target: &Target) -> String {
        let queue = |role: &str, queue: usize| quoted(&format!("{role}:{}", self.queues[queue].name));
        match *target {
            Target::Leader(of) => queue("leader", of),
            Target::Followers(of) => queue("followers", of),
            Target::OneFollower(of) => queue("one-follower", of),
            Target::OneLearner(of) => queue("one-learner", of),
            Target::Majority => quoted("majority"),
            Target::Minority => quoted("minority"),
            Target::All => quoted("all"),
            Target::Any => quoted("any"),
            Target::Node(node) => quoted(&node.to_string()),
        }
    }
}
