//! A broker node, from an empty or a used disk to serving clients.

use std::{collections::BTreeMap, convert::Infallible, io, time::Duration};

use crate::{
    amqp::{self, AmqpConfig},
    cluster::{Cluster, ClusterConfig, ClusterHost},
    operator::Desk,
    platform::{GroupId, NodeId, Observation, Platform, Sabotage},
    replication::{Compaction, Driver, DriverError, DriverHandle, Links, OpenGroup, ReplicationConfig},
    session::Session,
    storage::{self, DiskId, Members, StorageError, Wal, WalConfig},
};

/// Everything that a node must be told.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: NodeId,
    /// Where AMQP clients connect, `host:port`.
    pub client_address: String,
    /// Where the other nodes connect, `host:port`.
    pub cluster_address: String,
    /// Where nodes await each other: the founders, and this node too. Of those that join later the cluster tells.
    pub peers: BTreeMap<NodeId, String>,
    /// The nodes that began the cluster: the same on every node, for ever. All peers, unless this one joins later.
    pub founders: Vec<NodeId>,
    /// How clients are served.
    pub clients: AmqpConfig,
    /// Raft's unit of time.
    pub tick: Duration,
    /// A follower that hears nothing for this many ticks, or up to twice as many, starts an election.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// A leader whose oldest sync takes longer than this steps down.
    pub stall_limit: Duration,
    pub compaction: Compaction,
    pub wal: WalConfig,
    /// Operations not applied for this long are proposed again.
    pub resend_after: Duration,
    /// A node that was silent for this long loses what its clients hold in queues.
    pub node_lost_after: Duration,
}

impl Config {
    /// A node of the cluster `peers` with the usual times and limits, and RabbitMQ's defaults towards clients.
    pub fn new(node: NodeId, client_address: impl Into<String>, peers: BTreeMap<NodeId, String>) -> Self {
        let tick = Duration::from_millis(50);
        let election_ticks = 10;
        Self {
            node,
            client_address: client_address.into(),
            cluster_address: peers.get(&node).cloned().unwrap_or_default(),
            founders: peers.keys().copied().collect(),
            peers,
            clients: AmqpConfig::default(),
            tick,
            election_ticks,
            heartbeat_ticks: 2,
            stall_limit: 2 * tick * election_ticks as u32,
            compaction: Compaction::default(),
            wal: WalConfig::default(),
            resend_after: Duration::from_millis(500),
            node_lost_after: Duration::from_secs(5),
        }
    }

    fn replication(&self, disk: DiskId) -> ReplicationConfig {
        ReplicationConfig {
            node: self.node,
            disk,
            founders: self.founders.clone(),
            tick: self.tick,
            election_ticks: self.election_ticks,
            heartbeat_ticks: self.heartbeat_ticks,
            stall_limit: self.stall_limit,
            compaction: self.compaction,
        }
    }
}

/// Why a node ended. Its disk is as a crash would leave it: a new start recovers.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("node {0} is not among the cluster's nodes")]
    NotAMember(NodeId),
    #[error("nobody says where {0}, a founder of the cluster, awaits the others")]
    FounderUnknown(NodeId),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Replication(#[from] DriverError),
}

/// Runs a node until it cannot go on.
///
/// # Errors
/// Always: there is no other end. Observers hear [`Observation::Fatal`] first.
pub async fn run<P: Platform>(platform: P, config: Config) -> Result<Infallible, NodeError> {
    let end = serve(platform.clone(), config).await;
    if let Err(error) = &end {
        platform.observe(Observation::Fatal { reason: error.to_string() });
    }
    end
}

async fn serve<P: Platform>(platform: P, config: Config) -> Result<Infallible, NodeError> {
    let (cluster, driver) = join(platform, &config).await?;
    tokio::select! {
        biased;
        error = driver.run() => Err(error.into()),
        end = amqp::serve(cluster, &config.client_address, config.clients.clone()) => {
            let address = config.client_address;
            end.map(|()| unreachable!("clients are served until the process ends"))
                .map_err(|source| NodeError::Listen { address, source })
        }
    }
}

/// Recovers a node and connects it to its cluster. It takes part as long as the driver is run.
///
/// # Errors
/// What keeps it from starting; see [`NodeError`].
pub async fn join<P: Platform>(
    platform: P,
    config: &Config,
) -> Result<(Cluster<P>, Driver<P, ClusterHost<P>>), NodeError> {
    if !config.peers.contains_key(&config.node) {
        return Err(NodeError::NotAMember(config.node));
    }
    if let Some(unknown) = config.founders.iter().find(|founder| !config.peers.contains_key(founder)) {
        return Err(NodeError::FounderUnknown(*unknown));
    }
    let start = storage::next_start(platform.disk(), config.node, platform.wall(), platform.random()).await?;
    let incarnation = match start.incarnation {
        _ if platform.sabotaged(Sabotage::ReuseIncarnation) => 1,
        _ if platform.sabotaged(Sabotage::IncarnationFromClock) => platform.wall().as_secs() / 60,
        incarnation => incarnation,
    };
    let (wal, recovered) = match Wal::open(platform.disk().clone(), config.wal).await {
        Err(StorageError::Corrupt { .. }) if platform.sabotaged(Sabotage::CorruptStartsEmpty) => {
            storage::discard(platform.disk()).await?;
            Wal::open(platform.disk().clone(), config.wal).await?
        }
        opened => opened?,
    };
    let address = config.cluster_address.clone();
    let listener = platform.listen(&address).await.map_err(|source| NodeError::Listen { address, source })?;

    let mut founders = config.founders.clone();
    founders.sort_unstable();
    let session = Session { node: config.node, incarnation };
    let (handle, inputs) = DriverHandle::channel();
    let links = Links::new(config.node, &config.peers[&config.node], fingerprint(&founders));
    let cluster_config = ClusterConfig { resend_after: config.resend_after, node_lost_after: config.node_lost_after };
    let cluster = Cluster::new(platform.clone(), cluster_config, session, &founders, handle.clone(), links.clone());
    let driver = Driver::new(
        platform.clone(),
        config.replication(start.disk),
        cluster.host(),
        links.clone(),
        (&handle, inputs),
        (wal, recovered),
    );
    platform.observe(Observation::Started { incarnation });
    let members = Members { voters: founders, learners: Vec::new() };
    handle.open(OpenGroup { group: GroupId::META, name: "meta".to_owned(), members, campaign: false });
    links.run(&platform);
    for (&peer, address) in &config.peers {
        links.admit(&platform, &handle, peer, address);
    }
    let desk = Desk::new(cluster.clone(), handle.clone(), config.peers.clone());
    let take = move |stream, request| desk.take(stream, request);
    platform.spawn("links", links.serve(platform.clone(), listener, handle, take));

    Ok((cluster, driver))
}

/// Tells clusters of different founders apart. Members come and go and addresses differ from node to node; who began
/// it, and so where its logs begin, is the same for ever.
fn fingerprint(nodes: &[NodeId]) -> u64 {
    let bytes: Vec<u8> = nodes.iter().flat_map(|node| node.0.to_le_bytes()).collect();
    xxhash_rust::xxh3::xxh3_64(&bytes)
}
