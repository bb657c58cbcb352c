//! A consumer with manual acks and a prefetch: takes, works, settles.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use rand::RngExt;
use rand_pcg::Pcg64;
use warren::platform::Platform;

use super::{
    Floor, OpenChannel, PHASE_POLL, Phase, RECONNECT_PAUSE, Role, delivery,
    link::{Link, LinkEvent},
};
use crate::{
    history::{ChannelId, EventKind, Settle},
    scenario::Spread,
};

#[derive(Clone)]
pub struct ConsumerPlan {
    pub role: Role,
    /// Deliveries count as settled when sent; the client never acks.
    pub no_ack: bool,
    /// From delivery to settle.
    pub work: Spread<Duration>,
    /// Share of first deliveries that are sent back, 0 to 1.
    pub requeue: f64,
}

/// Consumes until the drain begins.
pub async fn run<P: Platform>(platform: P, plan: ConsumerPlan, floor: Rc<Floor>) {
    let mut hop = 0;
    while let Some((mut link, channel, _)) = plan.role.connect(&platform, &floor, &mut hop, Phase::Drain).await {
        let open = OpenChannel::new(&floor, channel);
        let reason = consume_over(&platform, &plan, &floor, &mut link, channel).await;
        open.lost(reason);
        drop(link);
        platform.sleep(RECONNECT_PAUSE).await;
    }
}

async fn consume_over<P: Platform>(
    platform: &P,
    plan: &ConsumerPlan,
    floor: &Floor,
    link: &mut Link,
    channel: ChannelId,
) -> String {
    let role = &plan.role;
    floor.recorder.record(EventKind::Subscribe {
        channel,
        queue: role.queue,
        prefetch: role.setup.prefetch,
        no_ack: plan.no_ack,
    });
    link.consume(&role.setup.queue, plan.no_ack);
    let mut chance = Pcg64::new(u128::from(platform.random()), 0);
    // Work ends in the order in which it began, as in a single-threaded consumer.
    let mut work: VecDeque<(Duration, u64, Settle)> = VecDeque::new();
    loop {
        let now = platform.now();
        while work.front().is_some_and(|(until, ..)| *until <= now) {
            let (_, tag, settle) = work.pop_front().expect("just seen");
            floor.recorder.record(EventKind::Settle { channel, tag, settle });
            link.settle(tag, settle);
        }
        if floor.phase.get() >= Phase::Drain {
            link.close().await;
            return "done consuming".into();
        }
        let pause = work.front().map_or(PHASE_POLL, |(until, ..)| (*until - now).min(PHASE_POLL));
        tokio::select! {
            biased;
            event = link.next() => match event {
                LinkEvent::Delivered(incoming) => {
                    let delivery = delivery(&incoming);
                    floor.recorder.record(EventKind::Deliver { channel, queue: role.queue, delivery });
                    if !plan.no_ack {
                        let back = !incoming.redelivered && chance.random_bool(plan.requeue);
                        let settle = match back {
                            true => Settle::Nack { requeue: true, multiple: false },
                            false => Settle::Ack { multiple: false },
                        };
                        let after = plan.work.draw(&mut chance);
                        let until = work.back().map_or(now + after, |(last, ..)| (now + after).max(*last));
                        work.push_back((until, incoming.tag, settle));
                    }
                }
                LinkEvent::Closed(reason) => return reason,
                _ => {}
            },
            () = platform.sleep(pause) => {}
        }
    }
}
