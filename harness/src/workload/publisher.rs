//! A publisher with confirms: pipelined, at a steady rate, and honest about what it does not know.

use std::{
    cell::Cell,
    collections::{BTreeMap, VecDeque},
    mem,
    rc::Rc,
    time::Duration,
};

use rand_pcg::Pcg64;
use warren::platform::Platform;

use super::{
    Floor, OpenChannel, PHASE_POLL, Phase, RECONNECT_PAUSE, Role,
    body::{self, BODY_BYTES_MIN},
    conduct::Conduct,
    link::{Link, LinkEvent},
};
use crate::{
    history::{ChannelId, EventKind, MessageId, PublishOutcome, Stray},
    scenario::Spread,
};

/// A publisher that was held up sends at most this much of its arrears at once.
const ARREARS_MAX: Duration = Duration::from_millis(100);

/// A channel that is not there again by then takes its connection with it.
const REOPEN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct PublisherPlan {
    pub role: Role,
    /// Time from one publish to the next.
    pub interval: Duration,
    /// The last sequence that it begins; retries are not counted. `None` is no limit.
    pub messages: Option<u64>,
    /// Bytes per message.
    pub body: Spread<u64>,
    /// Publishes without an outcome at any time, at most.
    pub in_flight: usize,
    /// Whether a publish of unknown or negative outcome is tried again, as a new attempt.
    pub retry: bool,
    /// A publish that waits longer for its outcome counts as unknown, and the connection as broken.
    pub timeout: Duration,
    /// The last sequence published. It outlasts the process: a client that comes back does not count from 1 again.
    pub sequence_last: Rc<Cell<u64>>,
    pub conduct: Rc<Conduct>,
}

/// Publishes until the load phase ends, then waits for the last outcomes.
pub async fn run<P: Platform>(platform: P, plan: PublisherPlan, floor: Rc<Floor>) {
    let _busy = Busy::new(&floor);
    let chance = Pcg64::new(u128::from(platform.random()), 0);
    let mut publisher = Publisher { platform, plan, floor, chance, again: VecDeque::new(), blocked: false };
    publisher.run().await;
}

struct Publisher<P: Platform> {
    platform: P,
    plan: PublisherPlan,
    floor: Rc<Floor>,
    chance: Pcg64,
    /// Sequences to try again, with the number of the next attempt.
    again: VecDeque<(u64, u32)>,
    /// The broker has asked to hold back.
    blocked: bool,
}

/// How the work over a channel ended, and why.
enum Over {
    /// The channel is gone; the connection stays.
    Channel(String),
    Connection(String),
}

/// Counts among the busy for as long as it lives, which is at most as long as its process.
struct Busy(Rc<Floor>);

impl Busy {
    fn new(floor: &Rc<Floor>) -> Self {
        floor.busy.set(floor.busy.get() + 1);
        Self(Rc::clone(floor))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}

/// Publishes without an outcome, by tag. Those that a crash leaves behind are unknown.
struct Outstanding {
    floor: Rc<Floor>,
    by_tag: BTreeMap<u64, Waiting>,
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        for waiting in mem::take(&mut self.by_tag).into_values() {
            let outcome = PublishOutcome::Unknown;
            self.floor.recorder.record(EventKind::PublishOutcome { message: waiting.message, outcome });
        }
    }
}

struct Waiting {
    message: MessageId,
    since: Duration,
    /// It came back as unroutable.
    returned: bool,
}

impl<P: Platform> Publisher<P> {
    async fn run(&mut self) {
        let mut hop = 0;
        let role = self.plan.role.clone();
        let floor = self.floor.clone();
        let platform = self.platform.clone();
        while let Some((mut link, mut channel, node)) = role.connect(&platform, &floor, &mut hop, Phase::Settle).await {
            self.blocked = false;
            loop {
                let open = OpenChannel::new(&floor, channel);
                let over = self.publish_over(&mut link, channel).await;
                if link.has_ended() {
                    self.plan.conduct.channel_ended();
                }
                match over {
                    Over::Connection(reason) => {
                        open.lost(reason);
                        break;
                    }
                    Over::Channel(reason) => open.lost(reason),
                }
                if !self.reopen(&mut link, channel).await {
                    break;
                }
                channel = floor.recorder.channel_reopened(role.client, node);
            }
            drop(link);
            platform.sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Opens a channel in the place of one that ended. Whether there is one.
    async fn reopen(&mut self, link: &mut Link, ended: ChannelId) -> bool {
        link.reopen(&self.plan.role.setup);
        let late = self.platform.sleep(REOPEN_TIMEOUT);
        tokio::pin!(late);
        loop {
            let event = tokio::select! {
                biased;
                event = link.next() => event,
                () = &mut late => return false,
            };
            match event {
                LinkEvent::Reopened => return true,
                LinkEvent::Closed(_) => return false,
                LinkEvent::Blocked => self.blocked = true,
                LinkEvent::Unblocked => self.blocked = false,
                // Nothing that the channel published is open any more.
                LinkEvent::Outcome { tag, outcome } => self.stray(ended, Stray::Outcome { tag, outcome }),
                LinkEvent::Returned(body) => self.stray(ended, Stray::Return { message: body::decode(&body) }),
                LinkEvent::Delivered(_) | LinkEvent::Got(_) | LinkEvent::ChannelClosed(_) => {}
            }
        }
    }

    /// Publishes over one channel until it is lost or all is done; tells why it ended.
    async fn publish_over(&mut self, link: &mut Link, channel: ChannelId) -> Over {
        let mut left = Outstanding { floor: Rc::clone(&self.floor), by_tag: BTreeMap::new() };
        let outstanding = &mut left.by_tag;
        let mut due = self.platform.now();
        let mut ending_since = None;
        if self.blocked {
            self.floor.recorder.record(EventKind::Blocked { channel });
        }
        let over = loop {
            let now = self.platform.now();
            let loading = self.floor.phase.get() == Phase::Load;
            // Who is blocked waits to hear that it is no more, as long as anybody waits for it.
            let held_back = self.blocked && self.floor.phase.get() < Phase::Drain;
            if !loading && outstanding.is_empty() && !held_back {
                link.close().await;
                return Over::Connection("load stopped".into());
            }
            if outstanding.first_key_value().is_some_and(|(_, first)| now - first.since > self.plan.timeout) {
                break Over::Connection(format!("no outcome within {:?}", self.plan.timeout));
            }
            if ending_since.is_some_and(|since| now - since > self.plan.timeout) {
                break Over::Connection(format!("the channel was not closed within {:?}", self.plan.timeout));
            }
            due = due.max(now.saturating_sub(ARREARS_MAX));
            while loading
                && self.has_more()
                && due <= now
                && link.takes_publishes()
                && (self.may_publish(outstanding.len()) || self.plan.conduct.ignores_flow())
            {
                if !self.may_publish(outstanding.len()) {
                    self.plan.conduct.forced_one();
                }
                let (tag, message) = self.publish(link, channel);
                if self.plan.role.setup.confirms {
                    outstanding.insert(tag, Waiting { message, since: now, returned: false });
                } else {
                    self.floor.recorder.record(EventKind::PublishOutcome { message, outcome: PublishOutcome::Unknown });
                }
                due += self.plan.interval;
                if ending_since.is_none() && self.end_channel_if_bidden(link, now) {
                    ending_since = Some(now);
                }
            }
            let may = self.may_publish(outstanding.len()) || self.plan.conduct.ignores_flow();
            let free = loading && self.has_more() && may && link.takes_publishes();
            let pause = if free { due.saturating_sub(now).min(PHASE_POLL) } else { PHASE_POLL };
            tokio::select! {
                biased;
                event = link.next() => match event {
                    LinkEvent::Outcome { tag, outcome } => match outstanding.remove(&tag) {
                        Some(Waiting { message, returned: true, .. }) if outcome == PublishOutcome::Confirmed => {
                            self.settle(message, PublishOutcome::Returned);
                        }
                        Some(waiting) => self.settle(waiting.message, outcome),
                        None => self.stray(channel, Stray::Outcome { tag, outcome }),
                    },
                    LinkEvent::Returned(body) => {
                        let message = body::decode(&body);
                        match outstanding.values_mut().find(|waiting| Some(waiting.message) == message) {
                            Some(waiting) => waiting.returned = true,
                            // Without confirms nothing is outstanding.
                            None if !self.plan.role.setup.confirms => {}
                            None => self.stray(channel, Stray::Return { message }),
                        }
                    }
                    LinkEvent::Blocked => {
                        self.blocked = true;
                        self.floor.recorder.record(EventKind::Blocked { channel });
                    }
                    LinkEvent::Unblocked => {
                        self.blocked = false;
                        self.floor.recorder.record(EventKind::Unblocked { channel });
                    }
                    LinkEvent::Closed(reason) => break Over::Connection(reason),
                    LinkEvent::ChannelClosed(reason) => break Over::Channel(reason),
                    LinkEvent::Delivered(_) | LinkEvent::Got(_) | LinkEvent::Reopened => {}
                },
                () = self.platform.sleep(pause) => {}
            }
        };
        for waiting in mem::take(outstanding).into_values() {
            self.settle(waiting.message, PublishOutcome::Unknown);
        }
        over
    }

    /// Whether one more publish may be made while so many have no outcome.
    fn may_publish(&self, open: usize) -> bool {
        !self.blocked && open < self.plan.in_flight
    }

    /// Right behind a publish, so that one at least has no answer yet. Whether it is to end.
    fn end_channel_if_bidden(&self, link: &mut Link, now: Duration) -> bool {
        let Some(how) = self.plan.conduct.take_end(now) else { return false };
        // What breaks off was never published: nobody may ever receive it.
        let sequence = self.plan.sequence_last.get() + 1;
        let message = MessageId { publisher: self.plan.role.client, sequence, attempt: 0 };
        link.end_channel(how, &self.plan.role.setup.queue, &body::encode(message, BODY_BYTES_MIN));
        true
    }

    /// Whether there is anything left to publish.
    fn has_more(&self) -> bool {
        !self.again.is_empty() || self.plan.messages.is_none_or(|messages| self.plan.sequence_last.get() < messages)
    }

    fn publish(&mut self, link: &mut Link, channel: ChannelId) -> (u64, MessageId) {
        let (sequence, attempt) = self.again.pop_front().unwrap_or_else(|| {
            let sequence = self.plan.sequence_last.get() + 1;
            self.plan.sequence_last.set(sequence);
            (sequence, 1)
        });
        let role = &self.plan.role;
        let message = MessageId { publisher: role.client, sequence, attempt };
        self.floor.recorder.record(EventKind::Publish { message, queue: role.queue, channel });
        let bytes = usize::try_from(self.plan.body.draw(&mut self.chance)).expect("a body fits in memory");
        let tag = link.publish(&role.setup.queue, body::encode(message, bytes));
        (tag, message)
    }

    fn stray(&self, channel: ChannelId, what: Stray) {
        self.floor.recorder.record(EventKind::Stray { channel, what });
    }

    fn settle(&mut self, message: MessageId, outcome: PublishOutcome) {
        self.floor.recorder.record(EventKind::PublishOutcome { message, outcome });
        let again = matches!(outcome, PublishOutcome::Unknown | PublishOutcome::Nacked) && self.plan.retry;
        if again && self.floor.phase.get() == Phase::Load {
            self.again.push_back((message.sequence, message.attempt + 1));
        }
    }
}
