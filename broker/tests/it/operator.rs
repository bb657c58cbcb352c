//! An operator and four nodes in memory: what it asks for comes about wherever it asks, and what it babbles harms
//! nobody.

use std::{collections::BTreeMap, future::Future, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::LocalSet,
};
use warren::{
    cluster::Cluster,
    node::{self, Config},
    operator::{AskError, Change, GroupMembers, Reply, Request, ask},
    platform::{GroupId, NodeId, Platform},
    routing::{self, MetaOperation, MetaOutcome, QueueSpec},
};

use super::cluster::memory::{MemoryDisk, MemoryPlatform, World};

const NODES: [NodeId; 4] = [NodeId(1), NodeId(2), NodeId(3), NodeId(4)];
const N1: NodeId = NodeId(1);
const N4: NodeId = NodeId(4);
/// No founder.
const N5: NodeId = NodeId(5);
const WITHIN: Duration = Duration::from_secs(10);

/// Four machines with a node each, one for a fifth, and one that only asks.
struct Machines {
    world: World,
    disks: BTreeMap<NodeId, MemoryDisk>,
    operator: MemoryPlatform,
}

fn address(node: NodeId) -> String {
    format!("{node}:25672")
}

impl Machines {
    fn new() -> Self {
        let world = World::default();
        let operator = MemoryPlatform::new(NodeId(0), world.clone(), MemoryDisk::default());
        let disks = NODES.into_iter().chain([N5]).map(|node| (node, MemoryDisk::default())).collect();
        Self { world, disks, operator }
    }

    async fn start(&self, node: NodeId) -> (MemoryPlatform, Cluster<MemoryPlatform>) {
        // One that is no founder knows where it is itself, and where those are.
        let peers = NODES.into_iter().chain([node]).map(|node| (node, address(node))).collect();
        let mut config = Config::new(node, format!("{node}:5672"), peers);
        config.founders = NODES.to_vec();
        let platform = MemoryPlatform::new(node, self.world.clone(), self.disks[&node].clone());
        let (cluster, driver) = node::join(platform.clone(), &config).await.expect("the disk is sound");
        platform.spawn("driver", async move {
            let end = driver.run().await;
            assert!(node == N5, "the driver of {node} ended: {end}");
            assert!(end.to_string().contains("was removed from its cluster"), "{end}");
        });
        (platform, cluster)
    }

    /// Asks `node`, and whoever it says.
    async fn ask(&self, node: NodeId, request: Request) -> Result<Change, AskError> {
        match ask(&self.operator, &[address(node)], &request, WITHIN).await? {
            Reply::Done(change) => Ok(change),
            other => panic!("no answer to {request:?}: {other:?}"),
        }
    }

    async fn members(&self, node: NodeId) -> GroupMembers {
        match ask(&self.operator, &[address(node)], &Request::Members, WITHIN).await {
            Ok(Reply::Members(groups)) => {
                groups.into_iter().find(|group| group.queue.is_some()).expect("the queue is known")
            }
            other => panic!("no members: {other:?}"),
        }
    }
}

/// A queue of three voters, n1 among them, on a running cluster.
async fn with_a_queue<F: Future<Output = ()>>(test: impl FnOnce(Machines, Vec<MemoryPlatform>) -> F) {
    LocalSet::new()
        .run_until(async {
            let machines = Machines::new();
            let mut platforms = Vec::new();
            let mut clusters = Vec::new();
            for node in NODES {
                let (platform, cluster) = machines.start(node).await;
                platforms.push(platform);
                clusters.push(cluster);
            }
            let placement = routing::place(&NODES, N1, 3);
            let declare = MetaOperation::DeclareQueue { name: "orders".into(), spec: QueueSpec::default(), placement };
            let MetaOutcome::Queue { group, .. } = clusters[0].change_meta(declare).await else {
                panic!("the queue was not declared")
            };
            led(&clusters[3], group).await;
            test(machines, platforms).await;
        })
        .await;
}

async fn led(cluster: &Cluster<MemoryPlatform>, group: GroupId) {
    while !cluster.has_leader(group) {
        cluster.platform().sleep(Duration::from_millis(10)).await;
    }
}

fn orders() -> String {
    "orders".to_owned()
}

fn grow(node: NodeId) -> Request {
    Request::GrowQueue { queue: orders(), node }
}

fn shrink(node: NodeId) -> Request {
    Request::ShrinkQueue { queue: orders(), node }
}

#[tokio::test(start_paused = true)]
async fn any_node_takes_a_request_and_the_leader_carries_it_out() {
    with_a_queue(async |machines, _platforms| {
        let leader = machines.members(N4).await.leader.expect("it is led");
        let other = [N1, NodeId(2), NodeId(3)].into_iter().find(|node| *node != leader).expect("three vote");
        let moved = machines.ask(N4, Request::TransferLeader { queue: orders(), to: other }).await;
        assert_eq!(moved, Ok(Change::Leader { from: Some(leader), to: other }));

        let grown = machines.ask(N4, grow(N4)).await;
        let three = vec![N1, NodeId(2), NodeId(3)];
        assert_eq!(grown, Ok(Change::Voters { before: Some(three), after: NODES.to_vec() }));

        let left: Vec<NodeId> = NODES.into_iter().filter(|node| *node != other).collect();
        let shrunk = machines.ask(N1, shrink(other)).await;
        assert_eq!(shrunk, Ok(Change::Voters { before: Some(NODES.to_vec()), after: left.clone() }));
        let after = machines.members(N4).await;
        assert_eq!((after.members.voters, after.members.learners), (left.clone(), vec![other]));
        assert!(after.leader.is_some_and(|leader| left.contains(&leader)), "its leader votes: {:?}", after.leader);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    with_a_queue(async |machines, _platforms| {
        for (request, reason) in [
            (grow(N1), "'orders': n1 votes in it already"),
            (grow(NodeId(9)), "'orders': n9 has no replica of it"),
            (shrink(N4), "'orders': n4 follows it without a vote already"),
            (
                Request::TransferLeader { queue: orders(), to: N4 },
                "'orders': n4 has no vote in it: let it grow by n4 first",
            ),
            (Request::GrowQueue { queue: "order".into(), node: N4 }, "there is no queue called 'order'"),
        ] {
            assert_eq!(machines.ask(N4, request).await, Err(AskError::Refused(reason.to_owned())));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn members_are_remembered_by_nodes_that_were_all_killed() {
    with_a_queue(async |machines, platforms| {
        machines.ask(N1, grow(N4)).await.expect("n4 is caught up");
        machines.ask(N1, shrink(N1)).await.expect("three others vote");
        for platform in &platforms {
            platform.kill();
        }
        let mut clusters = Vec::new();
        for node in NODES {
            clusters.push(machines.start(node).await.1);
        }
        led(&clusters[3], GroupId(2)).await;
        let members = machines.members(N1).await.members;
        assert_eq!((members.voters, members.learners), (vec![NodeId(2), NodeId(3), N4], vec![N1]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_majority_says_in_time_that_it_did_nothing() {
    with_a_queue(async |machines, platforms| {
        platforms[0].kill();
        platforms[1].kill();
        let error = machines.ask(N4, grow(N4)).await.expect_err("one of three voters is left");
        assert!(matches!(error, AskError::Unfinished { .. }), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_mean_nothing_end_their_stream_and_nothing_else() {
    with_a_queue(async |machines, _platforms| {
        let crc = |payload: &[u8]| crc32c::crc32c(payload).to_le_bytes();
        let framed = |payload: &[u8]| [&(payload.len() as u32).to_le_bytes(), &crc(payload)[..], payload].concat();
        let operator = |payload: &[u8]| {
            // Variant 7 of a frame: an operator's words, after the version.
            framed(&[&[7, 3][..], &[payload.len() as u8], payload].concat())
        };
        for bytes in [
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            vec![0xff; 64],
            framed(&[]),
            framed(&[0xff; 32]),
            operator(&[]),
            operator(&[0xff; 100]),
            operator(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ] {
            let mut stream = Platform::connect(&machines.operator, &address(N1)).await.expect("n1 listens");
            stream.write_all(&bytes).await.expect("n1 reads");
            stream.shutdown().await.expect("half of it can be closed");
            let mut answer = Vec::new();
            // Whether it ends with an answer or an error is all the same.
            stream.read_to_end(&mut answer).await.ok();
        }
        machines.ask(N1, grow(N4)).await.expect("n1 is as it was");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_node_joins_every_group_and_another_leaves_every_group_and_ends() {
    with_a_queue(async |machines, _platforms| {
        let (_, cluster) = machines.start(N5).await;
        let four_and_it = [&NODES[..], &[N5]].concat();
        let joined = machines.ask(N1, Request::AddMember { node: N5, address: address(N5) }).await;
        assert_eq!(joined, Ok(Change::Cluster { before: Some(NODES.to_vec()), after: four_and_it.clone() }));
        assert_eq!(cluster.nodes(), four_and_it);
        // Its own replica follows once its leader has vouched for its new disk.
        while machines.members(N5).await.members.learners != [N4, N5] {
            cluster.platform().sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(machines.members(N5).await.members.voters, [N1, NodeId(2), NodeId(3)]);

        let left = machines.ask(N5, Request::RemoveMember { node: N5 }).await;
        assert_eq!(left, Ok(Change::Cluster { before: Some(four_and_it), after: NODES.to_vec() }));
        assert_eq!(machines.members(N4).await.members.learners, [N4]);
        let again = machines.ask(N1, Request::AddMember { node: N5, address: address(N5) }).await;
        let reason = "n5 was removed from the cluster: let it join under a new number".to_owned();
        assert_eq!(again, Err(AskError::Refused(reason)));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn members_that_make_no_sense_are_refused_with_a_reason() {
    with_a_queue(async |machines, _platforms| {
        for (request, reason) in [
            (Request::AddMember { node: N5, address: "nowhere".into() }, "'nowhere' is not HOST:PORT"),
            (Request::AddMember { node: N4, address: address(N4) }, "n4 is a member already"),
            (Request::RemoveMember { node: NodeId(9) }, "n9 is no member of the cluster"),
        ] {
            assert_eq!(machines.ask(N1, request).await, Err(AskError::Refused(reason.to_owned())));
        }
    })
    .await;
}
