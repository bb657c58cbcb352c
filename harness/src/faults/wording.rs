//! A step in the words of a person on call: who was hit, in which role, for how long.

use std::{collections::BTreeSet, time::Duration};

use warren::platform::NodeId;

use crate::scenario::{
    Action, ChannelEnd, ClientTrouble, DiskError, DrawnTarget, Errand, Partition, Queue, Reset, Spread, StallWhat,
    Target, Trouble, Weather,
};

/// Whom a step hits, and how to call them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Sorted, each once.
    pub nodes: Vec<NodeId>,
    /// "n2 (leader of orders)".
    pub words: String,
    /// Roles that nobody had: "orders has no leader".
    pub nobody: Vec<String>,
}

/// Names the nodes that `drawn`, which was drawn from `written`, means now.
///
/// `leader` and `followers` are asked by index of the queue; without a leader, nobody follows. `cluster` is its number
/// of nodes.
pub fn name(
    written: &[Target],
    drawn: &[DrawnTarget],
    cluster: usize,
    queue: impl Fn(usize) -> String,
    leader: impl Fn(usize) -> Option<NodeId>,
    followers: impl Fn(&DrawnTarget) -> Vec<NodeId>,
) -> Named {
    let mut nodes = BTreeSet::new();
    let mut words = Vec::new();
    let mut nobody = Vec::new();
    let mut drawn = drawn.iter();
    for target in written {
        let count = match target {
            Target::Majority => cluster / 2 + 1,
            Target::Minority => cluster - (cluster / 2 + 1),
            Target::All => cluster,
            Target::Leader(_)
            | Target::Followers(_)
            | Target::OneFollower(_)
            | Target::OneLearner(_)
            | Target::Any
            | Target::Node(_) => 1,
        };
        let mut found = Vec::new();
        for one in drawn.by_ref().take(count) {
            match one {
                DrawnTarget::Leader(queue) => found.extend(leader(*queue)),
                DrawnTarget::Followers(queue)
                | DrawnTarget::OneFollower { queue, .. }
                | DrawnTarget::OneLearner { queue, .. } => {
                    if leader(*queue).is_some() {
                        found.extend(followers(one));
                    }
                }
                DrawnTarget::Node(node) => found.push(*node),
            }
        }
        let role = match *target {
            Target::Leader(of) => Some(format!("leader of {}", queue(of))),
            Target::Followers(of) if found.len() > 1 => Some(format!("followers of {}", queue(of))),
            Target::Followers(of) | Target::OneFollower(of) => Some(format!("follower of {}", queue(of))),
            Target::OneLearner(of) => Some(format!("learner of {}", queue(of))),
            Target::Majority if found.len() > 1 => Some("a majority".into()),
            Target::Minority if found.len() > 1 => Some("a minority".into()),
            Target::Any | Target::Majority | Target::Minority => Some("drawn".into()),
            Target::All if found.len() > 1 => Some("all nodes".into()),
            Target::All | Target::Node(_) => None,
        };
        if let (Target::Leader(of) | Target::Followers(of) | Target::OneFollower(of) | Target::OneLearner(of), true) =
            (*target, found.is_empty())
        {
            let lacks = if leader(of).is_none() { "leader" } else { lacking(target) };
            nobody.push(format!("{} has no {lacks}", queue(of)));
        } else {
            words.push(match role {
                Some(role) => format!("{} ({role})", list(&found)),
                None => list(&found),
            });
        }
        nodes.extend(found);
    }
    let words = if words.is_empty() { format!("nobody ({})", nobody.join(", ")) } else { words.join(", ") };
    Named { nodes: nodes.into_iter().collect(), words, nobody }
}

/// Whom a queue with a leader can lack.
fn lacking(target: &Target) -> &'static str {
    match target {
        Target::OneLearner(_) => "learner",
        Target::Followers(_) | Target::OneFollower(_) => "other voter",
        _ => "leader",
    }
}

/// The step in words. `queues` names the queues, `cluster` lists all nodes.
pub fn describe(action: &Action<Named>, lasts: Option<Duration>, queues: &[Queue], cluster: &[NodeId]) -> String {
    let what = match action {
        Action::Partition(Partition::Isolate(inside)) => {
            let others: Vec<NodeId> = cluster.iter().copied().filter(|node| !inside.nodes.contains(node)).collect();
            format!("isolate {} from {}", inside.words, list(&others))
        }
        Action::Partition(Partition::Halves(halves)) => {
            let parts: Vec<&str> = halves.iter().map(|half| half.words.as_str()).collect();
            format!("partition {}", parts.join(" | "))
        }
        Action::OneWay { from, to } => {
            // What a node sends to itself never meets the wire.
            let alone = |node: &NodeId| from.nodes == [*node];
            let to = if to.nodes.iter().any(alone) && to.nodes.len() > 1 {
                list(&to.nodes.iter().copied().filter(|node| !alone(node)).collect::<Vec<_>>())
            } else {
                to.words.clone()
            };
            format!("cut {} → {to}, one way,", from.words)
        }
        Action::Kill { node } => format!("kill {}", node.words),
        Action::PowerLoss { node } => format!("cut the power of {}", node.words),
        Action::DiskStall { node, what: StallWhat::Sync } => format!("stall the syncs of {}", node.words),
        Action::DiskStall { node, what: StallWhat::All } => format!("stall the disk of {}", node.words),
        Action::DiskSlow { node, sync } => format!("slow each sync of {} by {}", node.words, range(sync)),
        Action::Reset(Reset::Node(node)) => format!("reset the connections of {}", node.words),
        Action::Reset(Reset::Client(name)) => format!("reset the connections of the {name} clients"),
        Action::Pause { node } => format!("pause {}", node.words),
        Action::Heal => "heal everything".into(),
        Action::Restart { node } => format!("restart {}", node.words),
        Action::Partition(Partition::Bridge(bridge)) => {
            let halves = halves(bridge, cluster);
            format!("partition {} | {} with {} as the bridge", list(&halves[0]), list(&halves[1]), bridge.words)
        }
        Action::Partition(Partition::Ring) => "let each node hear only its neighbours on a ring".into(),
        Action::Weather { from, to, weather } => {
            let link = format!("{} → {}", from.words, to.words);
            match weather {
                Weather::Latency(add) => format!("add {} of latency to {link}", range(add)),
                Weather::Loss(share) => format!("lose {} of {link}", percent(*share)),
                Weather::Duplicate(share) => format!("double {} of {link}", percent(*share)),
                Weather::Reorder { share, delay } => {
                    format!("hold back {} of {link} by {}", percent(*share), range(delay))
                }
                Weather::Bandwidth { bytes_per_second, .. } => {
                    format!("narrow {link} to {bytes_per_second} bytes per second")
                }
            }
        }
        Action::BlackHole { node } => format!("swallow all to and from {}", node.words),
        Action::Flap { isolate, period } => {
            format!("cut {} off and on, {} each,", isolate.words, length(*period / 2))
        }
        Action::RollingRestart { node, down, .. } => {
            format!("restart {} one by one, each down for {}", node.words, length(*down))
        }
        Action::Wipe { node } => format!("wipe the disk of {}", node.words),
        Action::Trouble { node, trouble } => match trouble {
            Trouble::SlowCpu { poll } => format!("slow the processor of {} to {} a step", node.words, length(*poll)),
            Trouble::DiskError(DiskError::Sync) => format!("fail the syncs of {}", node.words),
            Trouble::DiskError(DiskError::Read) => format!("fail the reads of {}", node.words),
            Trouble::DiskError(DiskError::NoSpace) => format!("fill the disk of {}", node.words),
            Trouble::BitRot { bits } => format!("rot {bits} bit{} of {}", plural(*bits), node.words),
            Trouble::Misdirect { writes } => {
                format!("misdirect {writes} write{} of {}", plural(*writes), node.words)
            }
            Trouble::ClockJump { by_nanos } => {
                let way = if *by_nanos < 0 { "back" } else { "forward" };
                let by = length(Duration::from_nanos(by_nanos.unsigned_abs()));
                format!("set the wall clock of {} {way} by {by}", node.words)
            }
            Trouble::ClockDrift { gain } => {
                format!("run the clocks of {} at {} of their rate", node.words, percent(1.0 + f64::from(*gain) / 1e6))
            }
            Trouble::ClockFreeze { wall_only: true } => format!("stop the wall clock of {}", node.words),
            Trouble::ClockFreeze { wall_only: false } => format!("stop the clocks of {}", node.words),
        },
        Action::Client { client, trouble: ClientTrouble::Slow { poll } } => {
            format!("slow the {client} clients to {} a step", length(*poll))
        }
        Action::Client { client, trouble: ClientTrouble::Crash } => format!("crash the {client} clients"),
        Action::Client { client, trouble: ClientTrouble::Churn { every } } => {
            format!("break the connections of the {client} clients every {}", length(*every))
        }
        Action::Client { client, trouble: ClientTrouble::ChannelClose { how, every } } => {
            let every = length(*every);
            match how {
                ChannelEnd::Clean => format!("close the channels of the {client} clients every {every}"),
                ChannelEnd::Error => format!("have the channels of the {client} clients closed every {every}"),
                ChannelEnd::Half => format!("break off messages of the {client} clients every {every}"),
            }
        }
        Action::Client { client, trouble: ClientTrouble::IgnoreFlow } => {
            format!("let the {client} clients send without holding back")
        }
        Action::Operate { node, errand } => match errand {
            Errand::TransferLeader { queue } => format!("let {} lead {}", node.words, queues[*queue].name),
            Errand::Grow { queue } => format!("let {} vote in {}", node.words, queues[*queue].name),
            Errand::Shrink { queue } => format!("take the vote of {} in {} away", node.words, queues[*queue].name),
            Errand::AddMember => format!("let {} join the cluster", node.words),
            Errand::RemoveMember => format!("remove {} from the cluster", node.words),
        },
    };
    match lasts {
        Some(lasts) => format!("{what} for {}", length(lasts)),
        None => what.trim_end_matches(',').to_owned(),
    }
}

/// The two halves of the nodes other than `bridge`.
pub fn halves(bridge: &Named, cluster: &[NodeId]) -> [Vec<NodeId>; 2] {
    let others: Vec<NodeId> = cluster.iter().copied().filter(|node| !bridge.nodes.contains(node)).collect();
    let (one, two) = others.split_at(others.len() / 2);
    [one.to_vec(), two.to_vec()]
}

fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// "12.5 %".
fn percent(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}

/// Nodes that an action touches, sorted, each once.
pub fn touched(action: &Action<Named>) -> Vec<NodeId> {
    let mut nodes = BTreeSet::new();
    let _ = action.map(|named| nodes.extend(&named.nodes));
    nodes.into_iter().collect()
}

/// "n1, n3".
pub fn list(nodes: &[NodeId]) -> String {
    match nodes {
        [] => "nobody".to_owned(),
        nodes => nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A length of time as a scenario writes it: "6s", "1.5s", "2min". Drawn ones are rounded to milliseconds.
pub fn length(time: Duration) -> String {
    const MILLI: u128 = 1_000_000;
    let nanos = time.as_nanos();
    let (unit, name) = match nanos {
        0 => return "0s".into(),
        _ if nanos.is_multiple_of(3_600_000 * MILLI) => (3_600_000 * MILLI, "h"),
        _ if nanos.is_multiple_of(60_000 * MILLI) => (60_000 * MILLI, "min"),
        _ => return format!("{:?}", rounded(time)),
    };
    format!("{}{name}", nanos / unit)
}

/// To milliseconds, but for what is shorter than one.
fn rounded(time: Duration) -> Duration {
    let milli = Duration::from_millis(1);
    if time < milli {
        time
    } else {
        Duration::from_millis((time + milli / 2).as_millis().try_into().unwrap_or(u64::MAX))
    }
}

fn range(spread: &Spread<Duration>) -> String {
    if spread.min == spread.max {
        length(spread.min)
    } else {
        format!("{}..{}", length(spread.min), length(spread.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(written: &[Target], drawn: &[DrawnTarget], leader: Option<u64>) -> Named {
        let followers = |_: &DrawnTarget| vec![NodeId(1), NodeId(3)];
        name(written, drawn, 3, |_| "orders".into(), |_| leader.map(NodeId), followers)
    }

    #[test]
    fn a_node_is_named_with_the_role_for_which_it_was_chosen() {
        let leader = named(&[Target::Leader(0)], &[DrawnTarget::Leader(0)], Some(2));
        assert_eq!((leader.words.as_str(), &leader.nodes[..]), ("n2 (leader of orders)", &[NodeId(2)][..]));
        let isolate = Action::Partition(Partition::Isolate(leader));
        let cluster = [1, 2, 3].map(NodeId);
        let six = Some(Duration::from_secs(6));
        assert_eq!(describe(&isolate, six, &[], &cluster), "isolate n2 (leader of orders) from n1, n3 for 6s");
        let followers = named(&[Target::Followers(0)], &[DrawnTarget::Followers(0)], Some(2));
        assert_eq!(followers.words, "n1, n3 (followers of orders)");
        let drawn = [1, 3].map(|node| DrawnTarget::Node(NodeId(node)));
        assert_eq!(named(&[Target::Majority], &drawn, None).words, "n1, n3 (a majority)");
        assert_eq!(named(&[Target::Any], &drawn[..1], None).words, "n1 (drawn)");
    }

    #[test]
    fn without_a_leader_there_are_no_followers() {
        let written = [Target::Followers(0), Target::Node(NodeId(2))];
        let drawn = [DrawnTarget::Followers(0), DrawnTarget::Node(NodeId(2))];
        let both = named(&written, &drawn, None);
        assert_eq!((both.words.as_str(), &both.nodes[..]), ("n2", &[NodeId(2)][..]));
        assert_eq!(both.nobody, ["orders has no leader"]);
        assert_eq!(named(&written[..1], &drawn[..1], None).words, "nobody (orders has no leader)");
    }

    #[test]
    fn a_one_way_cut_does_not_name_the_sender_among_the_receivers() {
        let from = named(&[Target::Leader(0)], &[DrawnTarget::Leader(0)], Some(2));
        let all: Vec<DrawnTarget> = [1, 2, 3].map(|node| DrawnTarget::Node(NodeId(node))).to_vec();
        let to = named(&[Target::All], &all, Some(2));
        let action = Action::OneWay { from, to };
        assert_eq!(describe(&action, None, &[], &[]), "cut n2 (leader of orders) → n1, n3, one way");
    }

    #[test]
    fn lengths_read_as_in_a_scenario() {
        let text = |millis: u64| length(Duration::from_millis(millis));
        assert_eq!([text(6_000), text(1_500), text(200), text(120_000)], ["6s", "1.5s", "200ms", "2min"]);
        assert_eq!(length(Duration::from_nanos(3_482_910_023)), "3.483s");
        assert_eq!(length(Duration::from_micros(250)), "250µs");
    }
}
