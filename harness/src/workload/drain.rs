//! The final drain: empties every queue, through every node, before anything is judged.
//!
//! One client goes round all nodes. Through each it consumes until the queue has been silent for a while and a
//! `basic.get` says that it is empty. It goes round again until every confirmed message has been seen by somebody, or
//! until its time is up: a message may for a while still be held by a connection that the broker has not yet given
//! up, and calling that a loss would be a false alarm.

use std::{rc::Rc, time::Duration};

use warren::platform::{NodeId, Platform};

use super::{
    Floor, PHASE_POLL, Phase, RECONNECT_PAUSE, Role, delivery,
    link::{Incoming, Link, LinkEvent},
};
use crate::history::{ChannelId, EventKind, QueueId, Settle};

/// A queue that delivers nothing for so long is taken for empty, and asked by a get.
const SILENCE: Duration = Duration::from_millis(500);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct DrainPlan {
    /// One role per queue; all with the same client.
    pub roles: Vec<Role>,
    /// How many nodes there are to go through now.
    pub nodes: Rc<dyn Fn() -> usize>,
    /// Virtual time that the drain may take.
    pub limit: Duration,
}

/// Waits for the drain phase, drains, and records how that ended.
pub async fn run<P: Platform>(platform: P, plan: DrainPlan, floor: Rc<Floor>) {
    while floor.phase.get() < Phase::Drain {
        platform.sleep(PHASE_POLL).await;
    }
    floor.busy.set(floor.busy.get() + 1);
    let began = platform.now();
    let mut troubles = Vec::new();
    let complete = loop {
        let last_round = platform.now() - began >= plan.limit;
        troubles.clear();
        floor.recorder.record(EventKind::DrainBegan);
        for role in &plan.roles {
            for hop in 0..(plan.nodes)() {
                let (node, address) = (role.choose)(hop);
                if let Err(trouble) = drain_through(&platform, role, node, &address, &floor).await {
                    troubles.push(format!("{} through {node}: {trouble}", role.setup.queue));
                }
            }
        }
        let all_seen = floor.recorder.confirmed_unseen() == 0;
        if troubles.is_empty() && (all_seen || last_round) {
            break true;
        }
        if last_round {
            break false;
        }
        platform.sleep(RECONNECT_PAUSE).await;
    };
    floor.recorder.record(EventKind::DrainEnded { complete, reason: troubles.join("; ") });
    floor.busy.set(floor.busy.get() - 1);
}

async fn drain_through<P: Platform>(
    platform: &P,
    role: &Role,
    node: NodeId,
    address: &str,
    floor: &Floor,
) -> Result<(), String> {
    let mut link = Link::open(floor.client_kind, platform, address, &role.setup).await?;
    let channel = floor.recorder.channel_opened(role.client, node);
    let result = empty(platform, role, floor, &mut link, channel).await;
    if result.is_ok() {
        link.close().await;
    }
    let reason = result.clone().err().unwrap_or_else(|| "found empty".into());
    floor.recorder.record(EventKind::ChannelLost { channel, reason });
    result
}

/// Gets first: a queue that is empty needs no consumer. Otherwise consumes until silence, then asks again on a fresh
/// channel.
async fn empty<P: Platform>(
    platform: &P,
    role: &Role,
    floor: &Floor,
    link: &mut Link,
    channel: ChannelId,
) -> Result<(), String> {
    let queue = role.queue;
    floor.recorder.record(EventKind::Get { channel, queue, no_ack: false });
    link.get(&role.setup.queue, false);
    match next(platform, link, ANSWER_TIMEOUT).await {
        Some(LinkEvent::Got(None)) => {
            floor.recorder.record(EventKind::GetReply { channel, queue, delivery: None });
            return Ok(());
        }
        Some(LinkEvent::Got(Some(incoming))) => {
            let delivery = Some(delivery(&incoming));
            floor.recorder.record(EventKind::GetReply { channel, queue, delivery });
            ack(floor, link, channel, &incoming);
        }
        Some(LinkEvent::Closed(reason)) => return Err(reason),
        Some(_) => return Err("an answer that nobody asked for".into()),
        None => return Err("no answer to a get within 5 s".into()),
    }
    let prefetch = role.setup.prefetch;
    floor.recorder.record(EventKind::Subscribe { channel, queue, prefetch, no_ack: false });
    link.consume(&role.setup.queue, false);
    loop {
        match next(platform, link, SILENCE).await {
            Some(LinkEvent::Delivered(incoming)) => take(floor, link, channel, queue, &incoming),
            Some(LinkEvent::Closed(reason)) => return Err(reason),
            Some(_) => {}
            None => return Err("not found empty yet".into()),
        }
    }
}

async fn next<P: Platform>(platform: &P, link: &mut Link, limit: Duration) -> Option<LinkEvent> {
    tokio::select! {
        biased;
        event = link.next() => Some(event),
        () = platform.sleep(limit) => None,
    }
}

fn take(floor: &Floor, link: &mut Link, channel: ChannelId, queue: QueueId, incoming: &Incoming) {
    floor.recorder.record(EventKind::Deliver { channel, queue, delivery: delivery(incoming) });
    ack(floor, link, channel, incoming);
}

fn ack(floor: &Floor, link: &mut Link, channel: ChannelId, incoming: &Incoming) {
    let settle = Settle::Ack { multiple: false };
    floor.recorder.record(EventKind::Settle { channel, tag: incoming.tag, settle });
    link.settle(incoming.tag, settle);
}
