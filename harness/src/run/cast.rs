//! Who plays: broker nodes and clients, as machines of the world.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use warren::{
    node::{self, Config},
    platform::NodeId,
};

use super::timeline::ClientRole;
use crate::{
    faults::{ClusterView, Conducts, Operator},
    history::{ClientId, History, QueueId},
    scenario::{AckMode, Action, Cluster, Placement, Scenario, Target},
    sim::{MachineId, SimPlatform, World},
    workload::{
        Floor, Role,
        conduct::Conduct,
        consumer::{self, ConsumerPlan},
        drain::{self, DrainPlan},
        getter::{self, GetterPlan},
        link::LinkSetup,
        lock::{self, LockerPlan},
        publisher::{self, PublisherPlan},
    },
};

const CLIENT_PORT: u16 = 5672;
const CLUSTER_PORT: u16 = 25672;
/// Small, so that even a short run begins new segments of the log and drops old ones, and that many runs at once do not
/// fill the memory with them.
const SEGMENT_BYTES: u64 = 1 << 20;
/// The drain's prefetch: it is in a hurry.
const DRAIN_PREFETCH: u16 = 500;
/// A get without an answer for so long is unknown.
const GET_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of clients and queues, in the order of their ids, as the history lists them.
pub fn names(scenario: &Scenario) -> (History, Vec<ClientRole>) {
    let mut roles = Vec::new();
    let mut group = |name: &str, count: u32, role: &'static str| {
        roles.extend((1..=count).map(|number| ClientRole { name: format!("{name}-{number}"), role }));
    };
    for publishers in &scenario.publishers {
        group(&publishers.name, publishers.count, "publisher");
    }
    for consumers in &scenario.consumers {
        group(&consumers.name, consumers.count, "consumer");
    }
    for getters in &scenario.getters {
        group(&getters.name, getters.count, "getter");
    }
    for lockers in &scenario.lockers {
        group(&lockers.name, lockers.count, "locker");
    }
    let locks = scenario.locks();
    for queue in &locks {
        roles.push(ClientRole { name: format!("{}-seeder", scenario.queues[*queue].name), role: "seeder" });
    }
    roles.push(ClientRole { name: "drain".into(), role: "drain" });
    let history = History {
        clients: roles.iter().map(|role| role.name.clone()).collect(),
        queues: scenario.queues.iter().map(|queue| queue.name.clone()).collect(),
        nodes: scenario.cluster.node_ids().chain(scenario.cluster.spare_ids()).collect(),
        locks: locks.into_iter().map(queue_id).collect(),
        ..History::default()
    };
    (history, roles)
}

/// Where a node awaits the others, and operators.
pub(crate) fn cluster_address(node: NodeId) -> String {
    format!("{node}:{CLUSTER_PORT}")
}

/// Adds the broker nodes to the world. Spares do not run.
pub fn add_nodes(world: &World, scenario: &Scenario) -> BTreeMap<NodeId, MachineId> {
    let peers: BTreeMap<NodeId, String> =
        scenario.cluster.node_ids().map(|node| (node, cluster_address(node))).collect();
    let Cluster { compact_after, backlog, .. } = scenario.cluster;
    let boot = |node: NodeId| {
        let (founders, mut peers) = (peers.keys().copied().collect::<Vec<_>>(), peers.clone());
        peers.insert(node, cluster_address(node));
        move |platform: SimPlatform| {
            let mut config = Config::new(node, format!("{node}:{CLIENT_PORT}"), peers.clone());
            config.founders.clone_from(&founders);
            config.compaction.entries = compact_after;
            config.compaction.tail = compact_after / 4;
            config.wal.segment_bytes = SEGMENT_BYTES;
            config.clients.backlog_max = usize::try_from(backlog).expect("a backlog fits in memory");
            let running = async move {
                let Err(error) = node::run(platform, config).await;
                tracing::warn!(%node, %error, "the node ended");
            };
            Box::pin(running) as crate::sim::LocalBoxFuture<'static, ()>
        }
    };
    let add = |node: NodeId| (node, world.add_machine(&node.to_string(), node, boot(node)));
    let mut machines: BTreeMap<NodeId, MachineId> = scenario.cluster.node_ids().map(add).collect();
    for spare in scenario.cluster.spare_ids() {
        let (node, machine) = add(spare);
        world.kill(machine);
        machines.insert(node, machine);
    }
    machines
}

/// Adds the operator's machine to the world, if a step needs one.
pub fn add_operator(world: &World, scenario: &Scenario) -> (Operator, Option<MachineId>) {
    let operator = Operator::default();
    let addresses = scenario.cluster.node_ids().chain(scenario.cluster.spare_ids()).map(cluster_address).collect();
    let wanted = scenario.steps.iter().any(|step| matches!(step.action, Action::Operate { .. }));
    let machine = wanted.then(|| operator.add(world, addresses));
    (operator, machine)
}

/// Adds the clients to the world; gives the machines of each group by its name, and how to bid the publishers.
pub fn add_clients(
    world: &World,
    scenario: &Rc<Scenario>,
    floor: &Rc<Floor>,
    view: &Rc<RefCell<ClusterView>>,
) -> (BTreeMap<String, Vec<MachineId>>, Conducts) {
    let mut conducts = Conducts::new();
    let mut cast = Cast { world, scenario, floor, view, client_next: 0, machines: BTreeMap::new() };
    for group in &scenario.publishers {
        for member in 0..group.count {
            let conduct = Rc::<Conduct>::default();
            let plan = PublisherPlan {
                role: cast.role(group.queue, group.node, member, group.confirms, 0),
                interval: interval(group.rate),
                messages: group.messages,
                body: group.body,
                in_flight: group.in_flight as usize,
                retry: group.retry,
                timeout: scenario.run.publish_timeout,
                sequence_last: Rc::default(),
                conduct: Rc::clone(&conduct),
            };
            let machine = cast.add(&group.name, move |platform, floor| publisher::run(platform, plan.clone(), floor));
            conducts.insert(machine, conduct);
        }
    }
    for group in &scenario.consumers {
        for member in 0..group.count {
            let plan = ConsumerPlan {
                role: cast.role(group.queue, group.node, member, false, group.prefetch),
                no_ack: group.ack == AckMode::Auto,
                work: group.work,
                requeue: group.requeue,
            };
            cast.add(&group.name, move |platform, floor| consumer::run(platform, plan.clone(), floor));
        }
    }
    for group in &scenario.getters {
        for member in 0..group.count {
            let plan = GetterPlan {
                role: cast.role(group.queue, group.node, member, false, 0),
                no_ack: group.ack == AckMode::Auto,
                interval: interval(group.rate),
                timeout: GET_TIMEOUT,
            };
            cast.add(&group.name, move |platform, floor| getter::run(platform, plan.clone(), floor));
        }
    }
    for group in &scenario.lockers {
        for member in 0..group.count {
            let plan = LockerPlan {
                role: cast.role(group.queue, group.node, member, false, 1),
                take: group.take,
                hold: group.hold,
                retry: group.retry,
                timeout: GET_TIMEOUT,
            };
            cast.add(&group.name, move |platform, floor| lock::run(platform, plan.clone(), floor));
        }
    }
    for queue in scenario.locks() {
        let role = cast.role(queue, Placement::Spread, 0, true, 0);
        cast.add("seeder", move |platform, floor| lock::seed(platform, role.clone(), floor));
    }
    let plan = DrainPlan {
        roles: (0..scenario.queues.len())
            .map(|queue| cast.role(queue, Placement::Spread, 0, false, DRAIN_PREFETCH))
            .collect(),
        nodes: {
            let (view, scenario) = (view.clone(), scenario.clone());
            Rc::new(move || members(&view, &scenario).len())
        },
        limit: scenario.run.drain,
    };
    cast.add("drain", move |platform, floor| drain::run(platform, plan.clone(), floor));
    (cast.machines, conducts)
}

struct Cast<'a> {
    world: &'a World,
    scenario: &'a Rc<Scenario>,
    floor: &'a Rc<Floor>,
    view: &'a Rc<RefCell<ClusterView>>,
    client_next: u32,
    machines: BTreeMap<String, Vec<MachineId>>,
}

impl Cast<'_> {
    /// The next client's role. `member` is its position within its group.
    fn role(&self, queue: usize, placement: Placement, member: u32, confirms: bool, prefetch: u16) -> Role {
        let wanted = &self.scenario.queues[queue];
        Role {
            client: ClientId(self.client_next),
            queue: queue_id(queue),
            setup: LinkSetup {
                queue: wanted.name.clone(),
                group_size: Some(u32::try_from(wanted.group_size).expect("at most 7")),
                confirms,
                prefetch,
            },
            choose: self.choose(placement, member),
        }
    }

    fn choose(&self, placement: Placement, member: u32) -> Rc<dyn Fn(usize) -> (NodeId, String)> {
        let scenario = self.scenario.clone();
        let view = self.view.clone();
        Rc::new(move |hop| {
            let nodes = members(&view, &scenario);
            let leader = |queue: usize| view.borrow().leader(&scenario.queues[queue].name);
            let spread = nodes[(member as usize + hop) % nodes.len()];
            let node = match placement {
                Placement::At(Target::Node(node)) => node,
                Placement::At(Target::Leader(queue)) => leader(queue).unwrap_or(spread),
                Placement::At(Target::Followers(queue) | Target::OneFollower(queue)) => {
                    let leader = leader(queue);
                    let followers: Vec<NodeId> = nodes.iter().copied().filter(|node| Some(*node) != leader).collect();
                    followers.get((member as usize + hop) % followers.len().max(1)).copied().unwrap_or(spread)
                }
                Placement::At(Target::OneLearner(queue)) => {
                    let members = view.borrow().members(&scenario.queues[queue].name);
                    let learners = members.map(|[_, learners]| learners).unwrap_or_default();
                    learners.get((member as usize + hop) % learners.len().max(1)).copied().unwrap_or(spread)
                }
                Placement::Spread | Placement::At(Target::Majority | Target::Minority | Target::All | Target::Any) => {
                    spread
                }
            };
            (node, format!("{node}:{CLIENT_PORT}"))
        })
    }

    fn add<F>(&mut self, group: &str, play: impl Fn(SimPlatform, Rc<Floor>) -> F + 'static) -> MachineId
    where
        F: Future<Output = ()> + 'static,
    {
        let floor = self.floor.clone();
        let name = floor.recorder.with(|history| history.clients[self.client_next as usize].clone());
        self.client_next += 1;
        let boot = move |platform: SimPlatform| {
            Box::pin(play(platform, floor.clone())) as crate::sim::LocalBoxFuture<'static, ()>
        };
        let machine = self.world.add_machine(&name, NodeId(0), boot);
        self.machines.entry(group.to_owned()).or_default().push(machine);
        machine
    }
}

fn queue_id(queue: usize) -> QueueId {
    QueueId(u32::try_from(queue).expect("few queues"))
}

/// The cluster's members, as far as known.
fn members(view: &Rc<RefCell<ClusterView>>, scenario: &Scenario) -> Vec<NodeId> {
    view.borrow().cluster().unwrap_or_else(|| scenario.cluster.node_ids().collect())
}

fn interval(rate: f64) -> Duration {
    Duration::from_secs_f64(1.0 / rate)
}
