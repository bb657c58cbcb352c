//! Three nodes on one thread, below AMQP: what a session submits to one comes out at the others, whoever dies.

pub(super) mod memory;

use std::{collections::BTreeMap, future::Future, time::Duration};

use bytes::Bytes;
use memory::{MemoryDisk, MemoryPlatform, World};
use tokio::{sync::mpsc, task::LocalSet};
use warren::{
    cluster::{ChannelEvent, Cluster},
    node::{self, Config},
    platform::{GroupId, NodeId, Observation, Platform},
    queue::{Acks, Message, MessageNumber, Operation, Outcome, Settle},
    replication::Compaction,
    routing::{self, MetaOperation, MetaOutcome, QueueSpec},
};

const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// Three machines, and the processes that run on them.
struct Machines {
    world: World,
    disks: BTreeMap<NodeId, MemoryDisk>,
    compaction: Compaction,
}

struct Process {
    platform: MemoryPlatform,
    cluster: Cluster<MemoryPlatform>,
}

/// A client channel of one node.
struct Channel {
    cluster: Cluster<MemoryPlatform>,
    id: u64,
    events: mpsc::UnboundedReceiver<ChannelEvent>,
}

impl Machines {
    fn new(compaction: Compaction) -> Self {
        let disks = NODES.into_iter().map(|node| (node, MemoryDisk::default())).collect();
        Self { world: World::default(), disks, compaction }
    }

    async fn start(&self, node: NodeId) -> Process {
        let peers = NODES.into_iter().map(|node| (node, format!("{node}:25672"))).collect();
        let config = Config { compaction: self.compaction, ..Config::new(node, format!("{node}:5672"), peers) };
        let platform = MemoryPlatform::new(node, self.world.clone(), self.disks[&node].clone());
        let (cluster, driver) = node::join(platform.clone(), &config).await.expect("the disk is sound");
        platform.spawn("driver", async move { panic!("the driver ended: {}", driver.run().await) });
        Process { platform, cluster }
    }

    async fn start_all(&self) -> Vec<Process> {
        let mut processes = Vec::new();
        for node in NODES {
            processes.push(self.start(node).await);
        }
        processes
    }
}

impl Process {
    async fn declare(&self, name: &str) -> GroupId {
        let placement = routing::place(&NODES, self.platform.node(), 3);
        let operation = MetaOperation::DeclareQueue { name: name.to_owned(), spec: QueueSpec::default(), placement };
        match self.cluster.change_meta(operation).await {
            MetaOutcome::Queue { group, .. } => group,
            other => panic!("the queue was not declared: {other:?}"),
        }
    }

    fn channel(&self) -> Channel {
        let (id, events) = self.cluster.open_channel();
        Channel { cluster: self.cluster.clone(), id, events }
    }

    /// Waits until this replica knows the queue.
    async fn sees(&self, group: GroupId) {
        while !self.cluster.meta().queues().any(|(_, queue)| queue.group == group) {
            self.platform.sleep(Duration::from_millis(10)).await;
        }
    }

    fn kill(&self) {
        self.platform.kill();
    }

    fn observed(&self, wanted: impl Fn(&Observation) -> bool) -> usize {
        self.platform.observed.borrow().iter().filter(|observation| wanted(observation)).count()
    }
}

impl Channel {
    async fn publish(&mut self, group: GroupId, body: u32) {
        let channel = self.id;
        let sequence = self.cluster.submit(group, Operation::Publish { channel, message: message(body) });
        let event = self.events.recv().await.expect("the node lives");
        assert_eq!(event, ChannelEvent::Outcome { group, sequence, outcome: Outcome::Done });
    }

    async fn attach(&mut self, group: GroupId) {
        let attach = Operation::Attach { channel: self.id, consumer: 1, prefetch: None, acks: Acks::Manual };
        self.cluster.submit(group, attach);
    }

    /// The next `count` bodies, with their redelivered flags.
    async fn deliveries(&mut self, count: usize) -> Vec<(MessageNumber, u32, bool)> {
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            if let ChannelEvent::Deliver { delivery, .. } = self.events.recv().await.expect("the node lives") {
                let body = u32::from_le_bytes(delivery.message.body.as_ref().try_into().expect("four bytes"));
                deliveries.push((delivery.number, body, delivery.redelivered));
            }
        }
        deliveries
    }

    fn ack(&self, group: GroupId, message: MessageNumber) {
        let (channel, messages) = (self.id, vec![message]);
        self.cluster.submit(group, Operation::Settle { channel, messages, settle: Settle::Ack });
    }
}

fn message(body: u32) -> Message {
    Message {
        exchange: String::new(),
        routing_key: "orders".to_owned(),
        properties: Bytes::new(),
        body: Bytes::copy_from_slice(&body.to_le_bytes()),
    }
}

fn simulate(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn what_one_node_publishes_another_delivers_and_the_death_of_the_leader_loses_nothing() {
    simulate(async {
        let machines = Machines::new(Compaction::default());
        let nodes = machines.start_all().await;
        let group = nodes[0].declare("orders").await;
        nodes[1].sees(group).await;
        let mut publisher = nodes[1].channel();
        for body in 0..5 {
            publisher.publish(group, body).await;
        }
        // The node that declared the queue leads it.
        assert_eq!(nodes[1].cluster.leader(group), Some(NODES[0]));
        nodes[0].kill();
        for body in 5..10 {
            publisher.publish(group, body).await;
        }
        let mut consumer = nodes[2].channel();
        consumer.attach(group).await;
        let bodies: Vec<_> = consumer.deliveries(10).await.into_iter().map(|(_, body, flag)| (body, flag)).collect();
        assert_eq!(bodies, (0..10).map(|body| (body, false)).collect::<Vec<_>>());
    });
}

#[test]
fn a_killed_node_comes_back_with_what_it_had_and_its_unacked_messages_are_redelivered() {
    simulate(async {
        let machines = Machines::new(Compaction::default());
        let nodes = machines.start_all().await;
        let group = nodes[0].declare("orders").await;
        let mut publisher = nodes[0].channel();
        for body in 0..3 {
            publisher.publish(group, body).await;
        }
        nodes[2].sees(group).await;
        let mut consumer = nodes[2].channel();
        consumer.attach(group).await;
        let deliveries = consumer.deliveries(3).await;
        consumer.ack(group, deliveries[0].0);
        while nodes[0].observed(|seen| matches!(seen, Observation::Settled { .. })) == 0 {
            nodes[0].platform.sleep(Duration::from_millis(10)).await;
        }
        nodes[2].kill();
        let again = machines.start(NODES[2]).await;
        again.sees(group).await;
        let mut consumer = again.channel();
        consumer.attach(group).await;
        let bodies: Vec<_> = consumer.deliveries(2).await.into_iter().map(|(_, body, flag)| (body, flag)).collect();
        assert_eq!(bodies, [(1, true), (2, true)]);
    });
}

#[test]
fn a_silent_node_loses_what_its_clients_held() {
    simulate(async {
        let machines = Machines::new(Compaction::default());
        let nodes = machines.start_all().await;
        let group = nodes[0].declare("orders").await;
        let mut publisher = nodes[0].channel();
        publisher.publish(group, 7).await;
        nodes[2].sees(group).await;
        let mut lost = nodes[2].channel();
        lost.attach(group).await;
        lost.deliveries(1).await;
        nodes[2].kill();
        let mut consumer = nodes[1].channel();
        consumer.attach(group).await;
        let (_, body, redelivered) = consumer.deliveries(1).await[0];
        assert_eq!((body, redelivered), (7, true));
    });
}

#[test]
fn a_follower_that_missed_too_much_catches_up_by_a_snapshot_and_agrees() {
    simulate(async {
        let machines = Machines::new(Compaction { entries: 20, bytes: 1 << 20, tail: 5 });
        let nodes = machines.start_all().await;
        let group = nodes[0].declare("orders").await;
        nodes[2].sees(group).await;
        nodes[2].kill();
        let mut publisher = nodes[0].channel();
        for body in 0..100 {
            publisher.publish(group, body).await;
        }
        let again = machines.start(NODES[2]).await;
        let mut consumer = again.channel();
        again.sees(group).await;
        consumer.attach(group).await;
        let bodies: Vec<_> = consumer.deliveries(100).await.into_iter().map(|(_, body, _)| body).collect();
        assert_eq!(bodies, (0..100).collect::<Vec<_>>());
        let installed = |seen: &Observation| matches!(seen, Observation::SnapshotInstalled { group: at, index, .. } if *at == group && index.0 > 20);
        assert!(again.observed(installed) > 0, "no snapshot was needed");
        agree(&[&nodes[0], &nodes[1], &again]);
    });
}

#[test]
fn a_leader_whose_disk_stalls_steps_down_and_catches_up_later() {
    simulate(async {
        let machines = Machines::new(Compaction::default());
        let nodes = machines.start_all().await;
        let group = nodes[0].declare("orders").await;
        nodes[1].sees(group).await;
        let mut publisher = nodes[1].channel();
        publisher.publish(group, 0).await;
        assert_eq!(nodes[1].cluster.leader(group), Some(NODES[0]));
        machines.disks[&NODES[0]].stall();
        let mut slow = nodes[0].channel();
        slow.attach(group).await;
        for body in 1..5 {
            publisher.publish(group, body).await;
            nodes[1].platform.sleep(Duration::from_secs(1)).await;
        }
        let stepped_down =
            |seen: &Observation| matches!(seen, Observation::SteppedDown { group: at, .. } if *at == group);
        assert_eq!(nodes[0].observed(stepped_down), 1);
        assert_ne!(nodes[1].cluster.leader(group), Some(NODES[0]));
        machines.disks[&NODES[0]].resume();
        let bodies: Vec<_> = slow.deliveries(5).await.into_iter().map(|(_, body, _)| body).collect();
        assert_eq!(bodies, [0, 1, 2, 3, 4]);
        agree(&[&nodes[0], &nodes[1], &nodes[2]]);
    });
}

#[test]
fn whatever_dies_or_stalls_confirmed_messages_arrive_in_order_and_replicas_agree() {
    for seed in 1..=12 {
        torment(seed);
    }
}

#[test]
fn two_runs_with_the_same_chances_are_the_same() {
    assert_eq!(torment(77), torment(77));
}

/// Kills, stalls and restarts one node after another while messages are published; then drains the queue through
/// every node that is asked. Returns everything that was observed.
fn torment(seed: u64) -> Vec<Vec<Observation>> {
    let mut observed = Vec::new();
    simulate(async {
        let machines = Machines::new(Compaction { entries: 20, bytes: 1 << 20, tail: 5 });
        let mut nodes = machines.start_all().await;
        let mut dead = Vec::new();
        let group = nodes[0].declare("orders").await;
        for node in &nodes {
            node.sees(group).await;
        }
        let mut chance = seed;
        let mut draw = |bound: u64| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) % bound
        };
        let (mut next, mut confirmed) = (0, Vec::new());
        for _ in 0..12 {
            let victim = draw(3) as usize;
            let stalls = draw(3) == 0;
            if stalls {
                machines.disks[&NODES[victim]].stall();
            } else {
                nodes[victim].kill();
            }
            let publishing = (victim + 1 + draw(2) as usize) % 3;
            let mut publisher = nodes[publishing].channel();
            for _ in 0..draw(40) {
                publisher.publish(group, next).await;
                confirmed.push(next);
                next += 1;
            }
            nodes[publishing].platform.sleep(Duration::from_millis(draw(7000))).await;
            if stalls {
                machines.disks[&NODES[victim]].resume();
            } else {
                let again = machines.start(NODES[victim]).await;
                dead.push(std::mem::replace(&mut nodes[victim], again));
                nodes[victim].sees(group).await;
            }
        }
        let mut consumer = nodes[draw(3) as usize].channel();
        consumer.attach(group).await;
        let bodies: Vec<_> = consumer.deliveries(confirmed.len()).await.into_iter().map(|(_, body, _)| body).collect();
        assert_eq!(bodies, confirmed, "with seed {seed}");
        dead.extend(nodes);
        agree(&dead.iter().collect::<Vec<_>>());
        observed = dead.iter().map(|process| process.platform.observed.borrow().clone()).collect();
    });
    observed
}

/// Replicas at the same index of the same group must have had the same state.
fn agree(processes: &[&Process]) {
    let mut states = BTreeMap::new();
    for process in processes {
        for observation in process.platform.observed.borrow().iter() {
            let (group, index, state_hash) = match observation {
                Observation::Applied { group, index, state_hash, .. }
                | Observation::SnapshotInstalled { group, index, state_hash, .. } => (*group, *index, *state_hash),
                _ => continue,
            };
            let first = *states.entry((group, index)).or_insert(state_hash);
            assert_eq!(first, state_hash, "replicas of {group} differ at {index:?}");
        }
    }
}
