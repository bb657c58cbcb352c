//! Clients that use a queue of one message as a lock: who has the message has the lock.
//!
//! The seeder puts the message there, once: a second attempt could make two of it. A locker takes it, with a get or
//! through a consumer with a prefetch of 1, holds it for a while, and gives it back with a nack or a reject. It knows
//! no more than a client can: as long as its channel lives it believes that it holds what it took, whatever the broker
//! has made of it meanwhile.

use std::{rc::Rc, time::Duration};

use rand::RngExt;
use rand_pcg::Pcg64;
use warren::platform::Platform;

use super::{
    Floor, OpenChannel, PHASE_POLL, Phase, RECONNECT_PAUSE, Role, body, delivery,
    link::{Incoming, Link, LinkEvent},
};
use crate::{
    history::{ChannelId, EventKind, MessageId, PublishOutcome, Settle},
    scenario::{Spread, Take},
};

#[derive(Clone)]
pub struct LockerPlan {
    pub role: Role,
    pub take: Take,
    /// From taking the lock to giving it back.
    pub hold: Spread<Duration>,
    /// From a get that found nothing, or from giving back, to the next get.
    pub retry: Spread<Duration>,
    /// A get that waits longer counts as unknown, and the connection as broken.
    pub timeout: Duration,
}

/// The body of the message that is the lock, in bytes.
const LOCK_BYTES: usize = 80;

/// Puts the one message into the queue, and learns what became of it.
pub async fn seed<P: Platform>(platform: P, role: Role, floor: Rc<Floor>) {
    let mut hop = 0;
    let Some((mut link, channel, _)) = role.connect(&platform, &floor, &mut hop, Phase::Settle).await else { return };
    let open = OpenChannel::new(&floor, channel);
    let message = MessageId { publisher: role.client, sequence: 1, attempt: 1 };
    floor.recorder.record(EventKind::Publish { message, queue: role.queue, channel });
    link.publish(&role.setup.queue, body::encode(message, LOCK_BYTES));
    let (outcome, reason) = loop {
        match link.next().await {
            LinkEvent::Outcome { outcome, .. } => break (outcome, None),
            LinkEvent::Closed(reason) => break (PublishOutcome::Unknown, Some(reason)),
            _ => {}
        }
    };
    floor.recorder.record(EventKind::PublishOutcome { message, outcome });
    if reason.is_none() {
        link.close().await;
    }
    open.lost(reason.unwrap_or_else(|| "the lock is in its queue".into()));
}

/// Takes the lock and gives it back, over and over, until the load ends.
pub async fn run<P: Platform>(platform: P, plan: LockerPlan, floor: Rc<Floor>) {
    let mut hop = 0;
    while let Some((mut link, channel, _)) = plan.role.connect(&platform, &floor, &mut hop, Phase::Settle).await {
        let open = OpenChannel::new(&floor, channel);
        let chance = Pcg64::new(u128::from(platform.random()), 0);
        let locker = Locker { platform: &platform, plan: &plan, floor: &floor, channel, chance };
        let reason = locker.work(&mut link).await;
        open.lost(reason);
        drop(link);
        platform.sleep(RECONNECT_PAUSE).await;
    }
}

/// What a locker is about.
#[derive(Clone, Copy)]
enum State {
    /// Waits until it may ask again (with a get), or to be given the lock (as a consumer).
    Free {
        until: Duration,
    },
    Asked {
        since: Duration,
    },
    Holds {
        tag: u64,
        until: Duration,
    },
}

struct Locker<'a, P: Platform> {
    platform: &'a P,
    plan: &'a LockerPlan,
    floor: &'a Floor,
    channel: ChannelId,
    chance: Pcg64,
}

impl<P: Platform> Locker<'_, P> {
    /// Works over one channel until it is lost or the load ends; tells why it ended.
    async fn work(mut self, link: &mut Link) -> String {
        let (channel, queue) = (self.channel, self.plan.role.queue);
        let name = &self.plan.role.setup.queue;
        if self.plan.take == Take::Consume {
            let prefetch = self.plan.role.setup.prefetch;
            self.floor.recorder.record(EventKind::Subscribe { channel, queue, prefetch, no_ack: false });
            link.consume(name, false);
        }
        let mut state = State::Free { until: self.platform.now() };
        loop {
            let now = self.platform.now();
            let ending = self.floor.phase.get() >= Phase::Settle;
            match state {
                State::Holds { tag, .. } if ending => {
                    self.give_back(link, tag);
                    return self.leave(link).await;
                }
                State::Free { .. } if ending => return self.leave(link).await,
                State::Holds { tag, until } if until <= now => {
                    self.give_back(link, tag);
                    state = State::Free { until: now + self.plan.retry.draw(&mut self.chance) };
                }
                State::Free { until } if until <= now && self.plan.take == Take::Get => {
                    self.floor.recorder.record(EventKind::Get { channel, queue, no_ack: false });
                    link.get(name, false);
                    state = State::Asked { since: now };
                }
                State::Asked { since } if now - since > self.plan.timeout => {
                    return format!("no answer within {:?}", self.plan.timeout);
                }
                _ => {}
            }
            let pause = match state {
                State::Free { until } if self.plan.take == Take::Get => until.saturating_sub(now),
                State::Holds { until, .. } => until.saturating_sub(now),
                State::Free { .. } | State::Asked { .. } => PHASE_POLL,
            };
            tokio::select! {
                biased;
                event = link.next() => match event {
                    LinkEvent::Got(got) => {
                        let delivery = got.as_ref().map(delivery);
                        self.floor.recorder.record(EventKind::GetReply { channel, queue, delivery });
                        let now = self.platform.now();
                        state = match got {
                            Some(incoming) => self.taken(&incoming),
                            None => State::Free { until: now + self.plan.retry.draw(&mut self.chance) },
                        };
                    }
                    LinkEvent::Delivered(incoming) => {
                        let delivery = delivery(&incoming);
                        self.floor.recorder.record(EventKind::Deliver { channel, queue, delivery });
                        // It can have the lock twice at a time only if the broker took it back from this channel and
                        // gave it to it again: the first one is not its own any more.
                        state = self.taken(&incoming);
                    }
                    LinkEvent::Closed(reason) => return reason,
                    _ => {}
                },
                () = self.platform.sleep(pause.min(PHASE_POLL)) => {}
            }
        }
    }

    async fn leave(&self, link: &mut Link) -> String {
        link.close().await;
        "done locking".into()
    }

    fn taken(&mut self, incoming: &Incoming) -> State {
        State::Holds { tag: incoming.tag, until: self.platform.now() + self.plan.hold.draw(&mut self.chance) }
    }

    fn give_back(&mut self, link: &mut Link, tag: u64) {
        let settle = match self.chance.random_bool(0.5) {
            true => Settle::Nack { requeue: true, multiple: false },
            false => Settle::Reject { requeue: true },
        };
        self.floor.recorder.record(EventKind::Settle { channel: self.channel, tag, settle });
        link.settle(tag, settle);
    }
}
