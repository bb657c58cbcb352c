//! Whoever runs the cluster: a machine of its own that asks nodes, over the same network, for what a step wants.
//!
//! It knows every node's address, walks as `warren ctl` does (from node to node until one says who leads, again and
//! again until time is up), and takes no short cut. Its links are as good as a client's: only a black hole cuts them.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    time::Duration,
};

use tokio::sync::Notify;
use warren::{
    operator::{AskError, Change, Reply, Request, ask},
    platform::{NodeId, Platform},
};

use super::{Nemesis, wording::Named};
use crate::{
    run::cluster_address,
    scenario::Errand,
    sim::{LocalBoxFuture, MachineId, SimPlatform, World},
};

/// How long the operator tries. Elections are over by then, if there can be any.
const WITHIN: Duration = Duration::from_secs(10);

/// What the nemesis and the operator's machine share.
#[derive(Clone, Default)]
pub struct Operator(Rc<Shared>);

#[derive(Default)]
struct Shared {
    errands: RefCell<VecDeque<(u32, Request)>>,
    answers: RefCell<BTreeMap<u32, Result<Reply, AskError>>>,
    come: Notify,
}

impl Operator {
    /// Adds the operator's machine to the world. `addresses`: where nodes await each other.
    pub fn add(&self, world: &World, addresses: Vec<String>) -> MachineId {
        let shared = Rc::clone(&self.0);
        let boot = move |platform: SimPlatform| {
            let running = Rc::clone(&shared).run(platform, addresses.clone());
            Box::pin(running) as LocalBoxFuture<'static, ()>
        };
        world.add_machine("operator", NodeId(0), boot)
    }

    fn send(&self, fault: u32, request: Request) {
        self.0.errands.borrow_mut().push_back((fault, request));
        self.0.come.notify_one();
    }
}

impl Shared {
    async fn run(self: Rc<Self>, platform: SimPlatform, addresses: Vec<String>) {
        loop {
            let errand = self.errands.borrow_mut().pop_front();
            let Some((fault, request)) = errand else {
                self.come.notified().await;
                continue;
            };
            let (shared, addresses, platform_) = (Rc::clone(&self), addresses.clone(), platform.clone());
            platform.spawn("errand", async move {
                let answer = ask(&platform_, &addresses, &request, WITHIN).await;
                shared.answers.borrow_mut().insert(fault, answer);
            });
        }
    }
}

impl Nemesis {
    /// Sends the operator off; false if there is nobody that the step could mean.
    pub(super) fn operate(&mut self, fault: u32, node: &Named, errand: Errand) -> bool {
        let Some(&node) = node.nodes.first() else { return false };
        let name = |queue: usize| self.scenario.queues[queue].name.clone();
        let request = match errand {
            Errand::TransferLeader { queue } => Request::TransferLeader { queue: name(queue), to: node },
            Errand::Grow { queue } => Request::GrowQueue { queue: name(queue), node },
            Errand::Shrink { queue } => Request::ShrinkQueue { queue: name(queue), node },
            Errand::AddMember => {
                self.absent.remove(&node);
                self.start(node);
                Request::AddMember { node, address: cluster_address(node) }
            }
            Errand::RemoveMember => Request::RemoveMember { node },
        };
        self.operator.send(fault, request);
        true
    }

    /// Takes the operator's answer down, if there is one by now.
    pub(super) fn answered(&mut self, fault: u32, node: NodeId, errand: Errand) -> bool {
        let Some(answer) = self.operator.0.answers.borrow_mut().remove(&fault) else { return false };
        let effect = self.holds.effect(fault);
        match answer {
            Ok(Reply::Done(change)) => {
                if errand == Errand::RemoveMember {
                    self.absent.insert(node);
                }
                effect.felt += 1;
                effect.felt_as = match change {
                    Change::Leader { .. } => ("changed", "leader"),
                    Change::Voters { .. } => ("changed", "group"),
                    Change::Cluster { .. } => ("changed", "cluster"),
                };
                effect.notes.push(change.to_string());
            }
            Ok(other) => effect.notes.push(format!("nothing: the answer was {other:?}")),
            Err(error) => effect.notes.push(format!("nothing: {error}")),
        }
        if !self.absent.contains(&node) {
            self.stays(node);
        }
        true
    }
}
