//! The node's side: begins what was asked for, and watches until it has come about.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use bytes::Bytes;

use super::{Change, GroupMembers, Reply, Request};
use crate::{
    cluster::Cluster,
    platform::{GroupId, NodeId, Platform},
    replication::{DriverHandle, GroupStatus, MemberChange, Refusal, operator_frame},
    routing::MetaOperation,
};

/// How long a node watches for what it has begun.
pub(super) const WATCH_LIMIT: Duration = Duration::from_secs(5);
const WATCH_INTERVAL: Duration = Duration::from_millis(20);

/// Where a node takes operators' requests.
pub(crate) struct Desk<P: Platform> {
    pub(super) cluster: Cluster<P>,
    pub(super) driver: DriverHandle,
    /// Where each node that this one was told of at its start awaits the others, and operators.
    peers: BTreeMap<NodeId, String>,
}

impl<P: Platform> Desk<P> {
    pub(crate) fn new(cluster: Cluster<P>, driver: DriverHandle, peers: BTreeMap<NodeId, String>) -> Rc<Self> {
        Rc::new(Self { cluster, driver, peers })
    }

    /// Answers the request that came as the first frame of `stream`.
    pub(crate) fn take(self: &Rc<Self>, mut stream: P::Stream, request: Bytes) {
        let desk = Rc::clone(self);
        self.cluster.platform().spawn("operator", async move {
            let reply = match postcard::from_bytes::<Request>(&request) {
                Ok(request) => {
                    tracing::info!(?request, "an operator asks");
                    desk.answer(request).await
                }
                Err(_) => refused(format!("{} does not understand the request", desk.own())),
            };
            let reply = postcard::to_stdvec(&reply).expect("plain structs in memory always encode");
            // Who has hung up hears nothing.
            operator_frame(&mut stream, reply).await.ok();
        });
    }

    pub(super) fn own(&self) -> NodeId {
        self.cluster.session().node
    }

    async fn answer(&self, request: Request) -> Reply {
        match request {
            Request::Members => self.members().await,
            Request::TransferLeader { queue, to } => match self.group(&queue).await {
                Ok(group) => self.transfer(group, &queue, to).await,
                Err(reply) => reply,
            },
            Request::GrowQueue { queue, node } => self.change(&queue, MemberChange::Voter(node)).await,
            Request::ShrinkQueue { queue, node } => self.change(&queue, MemberChange::Learner(node)).await,
            Request::AddMember { node, address } => self.add_member(node, address).await,
            Request::RemoveMember { node } => self.remove_member(node).await,
        }
    }

    /// That there is no such queue is only true once this node has caught up.
    async fn group(&self, queue: &str) -> Result<GroupId, Reply> {
        let known = || self.cluster.meta().queue(queue).map(|queue| queue.group);
        if let Some(group) = known() {
            return Ok(group);
        }
        tokio::select! {
            biased;
            _ = self.cluster.change_meta(MetaOperation::Barrier) => {
                known().ok_or_else(|| refused(format!("there is no queue called '{queue}'")))
            }
            () = self.cluster.platform().sleep(WATCH_LIMIT) => {
                Err(Reply::Later(format!("{} does not know whether there is a queue called '{queue}'", self.own())))
            }
        }
    }

    async fn members(&self) -> Reply {
        let queues: Vec<(String, GroupId)> =
            self.cluster.meta().queues().map(|(name, queue)| (name.to_owned(), queue.group)).collect();
        let named = queues.into_iter().map(|(name, group)| (Some(name), group));
        let mut groups = Vec::new();
        for (queue, group) in std::iter::once((None, GroupId::META)).chain(named) {
            if let Some(GroupStatus { leader, term, members, .. }) = self.driver.status(group).await {
                groups.push(GroupMembers { queue, leader, term, members });
            }
        }
        Reply::Members(groups)
    }

    async fn transfer(&self, group: GroupId, queue: &str, to: NodeId) -> Reply {
        match self.driver.transfer_leader(group, to).await {
            Ok(()) => {}
            Err(refusal) => return self.refused(group, queue, refusal).await,
        }
        let own = self.own();
        let seen = self
            .watch(group, |status| match status.leader {
                Some(leader) if leader == to => Some(true),
                Some(leader) if leader == own && status.transferring => None,
                Some(_) => Some(false),
                None => None,
            })
            .await;
        match seen {
            Some(true) => Reply::Done(Change::Leader { from: Some(own), to }),
            Some(false) | None => Reply::Later(format!("{to} did not take '{queue}' over in time")),
        }
    }

    async fn change(&self, queue: &str, change: MemberChange) -> Reply {
        let group = match self.group(queue).await {
            Ok(group) => group,
            Err(reply) => return reply,
        };
        let Some(before) = self.driver.status(group).await else {
            return Reply::Later(format!("{} is about to open '{queue}'", self.own()));
        };
        let demoted = matches!(change, MemberChange::Learner(node) if node == self.own());
        if demoted && before.leader == Some(self.own()) && before.members.voters.len() > 1 {
            return self.hand_over(group, queue, &before).await;
        }
        if let Err(refusal) = self.driver.change_members(group, change).await {
            return self.refused(group, queue, refusal).await;
        }
        let node = change.node();
        let after = self
            .watch(group, |status| {
                let votes = status.members.voters.contains(&node);
                let done = votes == matches!(change, MemberChange::Voter(_));
                done.then(|| status.members.voters.clone())
            })
            .await;
        match after {
            Some(after) => Reply::Done(Change::Voters { before: Some(before.members.voters), after }),
            None => Reply::Later(format!("the change of '{queue}' was begun, and not committed in time")),
        }
    }

    /// Lets another voter lead, so that this one can lose its vote. The new leader is to be asked then.
    async fn hand_over(&self, group: GroupId, queue: &str, before: &GroupStatus) -> Reply {
        let own = self.own();
        let mut last = Reply::Later(format!("nobody can take '{queue}' over"));
        for &to in before.members.voters.iter().filter(|voter| **voter != own) {
            last = self.transfer(group, queue, to).await;
            if let Reply::Done(_) = last {
                return self.elsewhere(to);
            }
        }
        last
    }

    async fn refused(&self, group: GroupId, queue: &str, refusal: Refusal) -> Reply {
        let status = self.driver.status(group).await;
        if refusal == Refusal::NotLeader {
            let leader = status.and_then(|status| status.leader);
            return match leader.filter(|leader| *leader != self.own()) {
                Some(leader) => self.elsewhere(leader),
                None => Reply::Later(format!("{} knows of no leader of '{queue}'", self.own())),
            };
        }
        let already = match refusal {
            Refusal::LeadsAlready(to) => Some(Change::Leader { from: None, to }),
            Refusal::VotesAlready(_) | Refusal::FollowsAlready(_) => {
                status.map(|status| Change::Voters { before: None, after: status.members.voters })
            }
            _ => None,
        };
        let reason = format!("'{queue}': {refusal}");
        if refusal.passes() { Reply::Later(reason) } else { Reply::Refused { reason, already } }
    }

    pub(super) fn elsewhere(&self, node: NodeId) -> Reply {
        let joined =
            self.cluster.meta().joined().find(|(other, _)| *other == node).map(|(_, address)| address.to_owned());
        match self.peers.get(&node).cloned().or(joined) {
            Some(address) => Reply::Elsewhere { node, address },
            None => Reply::Later(format!("{node} leads, and {} does not know where it is", self.own())),
        }
    }

    /// Looks until `holds`; false if that takes too long.
    pub(super) async fn watch_all(&self, holds: impl AsyncFn() -> bool) -> bool {
        let platform = self.cluster.platform();
        let deadline = platform.now() + WATCH_LIMIT;
        while platform.now() < deadline {
            if holds().await {
                return true;
            }
            platform.sleep(WATCH_INTERVAL).await;
        }
        false
    }

    /// Looks at a group until `seen` has something to say, or too long.
    async fn watch<T>(&self, group: GroupId, seen: impl Fn(&GroupStatus) -> Option<T>) -> Option<T> {
        let platform = self.cluster.platform();
        let deadline = platform.now() + WATCH_LIMIT;
        while platform.now() < deadline {
            if let Some(found) = self.driver.status(group).await.as_ref().and_then(&seen) {
                return Some(found);
            }
            platform.sleep(WATCH_INTERVAL).await;
        }
        None
    }
}

pub(super) fn refused(reason: String) -> Reply {
    Reply::Refused { reason, already: None }
}
