//! A poller with `basic.get`: asks at a steady rate, acks what it gets, records what was empty.

use std::{rc::Rc, time::Duration};

use warren::platform::Platform;

use super::{
    Floor, OpenChannel, PHASE_POLL, Phase, RECONNECT_PAUSE, Role, delivery,
    link::{Link, LinkEvent},
};
use crate::history::{ChannelId, EventKind, Settle};

#[derive(Clone)]
pub struct GetterPlan {
    pub role: Role,
    /// What it gets counts as settled when sent; the client never acks.
    pub no_ack: bool,
    /// Time from one get to the next; a slow answer delays the next one.
    pub interval: Duration,
    /// A get that waits longer counts as unknown, and the connection as broken.
    pub timeout: Duration,
}

/// Polls until the drain begins.
pub async fn run<P: Platform>(platform: P, plan: GetterPlan, floor: Rc<Floor>) {
    let mut hop = 0;
    while let Some((mut link, channel, _)) = plan.role.connect(&platform, &floor, &mut hop, Phase::Drain).await {
        let open = OpenChannel::new(&floor, channel);
        let reason = poll_over(&platform, &plan, &floor, &mut link, channel).await;
        open.lost(reason);
        drop(link);
        platform.sleep(RECONNECT_PAUSE).await;
    }
}

async fn poll_over<P: Platform>(
    platform: &P,
    plan: &GetterPlan,
    floor: &Floor,
    link: &mut Link,
    channel: ChannelId,
) -> String {
    let queue = plan.role.queue;
    let mut due = platform.now();
    let mut asked: Option<Duration> = None;
    loop {
        let now = platform.now();
        match asked {
            None if floor.phase.get() >= Phase::Drain => {
                link.close().await;
                return "done polling".into();
            }
            None if due <= now => {
                floor.recorder.record(EventKind::Get { channel, queue, no_ack: plan.no_ack });
                link.get(&plan.role.setup.queue, plan.no_ack);
                asked = Some(now);
                due = now + plan.interval;
            }
            Some(since) if now - since > plan.timeout => return format!("no answer within {:?}", plan.timeout),
            _ => {}
        }
        let pause = if asked.is_some() { PHASE_POLL } else { due.saturating_sub(now).min(PHASE_POLL) };
        tokio::select! {
            biased;
            event = link.next() => match event {
                LinkEvent::Got(got) => {
                    asked = None;
                    let delivery = got.as_ref().map(delivery);
                    floor.recorder.record(EventKind::GetReply { channel, queue, delivery });
                    if let Some(incoming) = got.filter(|_| !plan.no_ack) {
                        let settle = Settle::Ack { multiple: false };
                        floor.recorder.record(EventKind::Settle { channel, tag: incoming.tag, settle });
                        link.settle(incoming.tag, settle);
                    }
                }
                LinkEvent::Closed(reason) => return reason,
                _ => {}
            },
            () = platform.sleep(pause) => {}
        }
    }
}
