//! Writes the history while the simulation runs, and answers the few questions that the run itself asks of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use warren::platform::NodeId;

use super::{ChannelId, ClientId, Connection, Event, EventKind, History, MessageId, Nanos, PublishOutcome};

/// The one writer of a run's history. Shared by every client, fault and node of the simulation.
pub struct Recorder {
    /// Gone once the history is finished: the world that they belong to holds this recorder in turn.
    world: RefCell<Option<Ties>>,
    history: RefCell<History>,
    /// How many events are of ticks that are over.
    settled: Cell<usize>,
    channels: Cell<u32>,
    /// Outcomes and deliveries so far.
    progress: Cell<u64>,
    milestones: Cell<Milestones>,
    /// Confirmed messages that no client has received yet.
    confirmed_unseen: RefCell<BTreeSet<MessageId>>,
    seen: RefCell<BTreeSet<MessageId>>,
}

/// What a recorder asks of the world.
struct Ties {
    clock: Box<dyn Fn() -> Nanos>,
    /// Told of every client-side event, for the trace hash. (Observations are traced by the simulated world.)
    trace: Box<dyn Fn(&Event)>,
}

/// What has happened at least once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Milestones {
    pub published: bool,
    pub drained: bool,
}

impl Recorder {
    pub fn new(history: History, clock: impl Fn() -> Nanos + 'static, trace: impl Fn(&Event) + 'static) -> Self {
        Self {
            world: RefCell::new(Some(Ties { clock: Box::new(clock), trace: Box::new(trace) })),
            history: RefCell::new(history),
            settled: Cell::new(0),
            channels: Cell::new(0),
            progress: Cell::new(0),
            milestones: Cell::default(),
            confirmed_unseen: RefCell::default(),
            seen: RefCell::default(),
        }
    }

    /// Appends an event, now. Nothing once the history is finished.
    pub fn record(&self, kind: EventKind) {
        let at = self.world.borrow().as_ref().map(|ties| (ties.clock)());
        if let Some(at) = at {
            self.record_at(at, kind);
        }
    }

    /// Adds an event that happened at `at`, its machine's own virtual time.
    ///
    /// Within one tick the machines run one after another, each through the whole tick; a packet takes at least until
    /// the next tick, so no machine can know what another does in the same one. Events of one tick therefore go in
    /// order of their machines' time, whichever machine ran first, and times are as fine as timers are (1 ms), not as
    /// coarse as ticks. Across ticks, and for what concerns the run as a whole, the order is that of recording. Time
    /// never goes backwards in a history.
    pub fn record_at(&self, at: Nanos, kind: EventKind) {
        match &kind {
            EventKind::PublishOutcome { message, outcome: PublishOutcome::Confirmed }
                if !self.seen.borrow().contains(message) =>
            {
                self.confirmed_unseen.borrow_mut().insert(*message);
            }
            EventKind::Deliver { delivery, .. } | EventKind::GetReply { delivery: Some(delivery), .. } => {
                if let Some(message) = delivery.message {
                    self.seen.borrow_mut().insert(message);
                    self.confirmed_unseen.borrow_mut().remove(&message);
                }
            }
            _ => {}
        }
        self.note(&kind);
        let mut history = self.history.borrow_mut();
        if of_the_run(&kind) {
            self.settled.set(history.events.len());
        }
        let settled = self.settled.get();
        let position = settled + history.events[settled..].partition_point(|other| other.at <= at);
        let at = position.checked_sub(1).map_or(at, |before| history.events[before].at.max(at));
        let event = Event { at, kind };
        if !matches!(event.kind, EventKind::Observed { .. }) {
            let world = self.world.borrow();
            world.as_ref().inspect(|ties| (ties.trace)(&event));
        }
        if of_the_run(&event.kind) {
            self.settled.set(position + 1);
        }
        history.events.insert(position, event);
    }

    /// A tick is over: what happens from now on comes after everything recorded so far.
    pub fn end_tick(&self) {
        self.settled.set(self.history.borrow().events.len());
    }

    /// Records that `client` has a new channel through `node`, and names it.
    pub fn channel_opened(&self, client: ClientId, node: NodeId) -> ChannelId {
        self.channel_on(client, node, Connection::New)
    }

    /// A channel in the place of one that ended, on the same connection.
    pub fn channel_reopened(&self, client: ClientId, node: NodeId) -> ChannelId {
        self.channel_on(client, node, Connection::Kept)
    }

    fn channel_on(&self, client: ClientId, node: NodeId, connection: Connection) -> ChannelId {
        let channel = ChannelId(self.channels.get());
        self.channels.set(channel.0 + 1);
        self.record(EventKind::ChannelOpened { client, channel, node, connection });
        channel
    }

    /// How many confirmed messages no client has received so far.
    pub fn confirmed_unseen(&self) -> usize {
        self.confirmed_unseen.borrow().len()
    }

    fn note(&self, kind: &EventKind) {
        let mut milestones = self.milestones.get();
        match kind {
            EventKind::Publish { .. } => milestones.published = true,
            EventKind::DrainEnded { .. } => milestones.drained = true,
            EventKind::PublishOutcome { .. }
            | EventKind::Deliver { .. }
            | EventKind::GetReply { delivery: Some(_), .. } => self.progress.set(self.progress.get() + 1),
            _ => {}
        }
        self.milestones.set(milestones);
    }

    /// How many outcomes and deliveries there are: while this stands still, nothing moves.
    pub fn progress(&self) -> u64 {
        self.progress.get()
    }

    pub fn milestones(&self) -> Milestones {
        self.milestones.get()
    }

    /// Looks at the history so far.
    pub fn with<T>(&self, look: impl FnOnce(&History) -> T) -> T {
        look(&self.history.borrow())
    }

    /// The finished history; lets go of the world.
    pub fn finish(&self) -> History {
        self.world.take();
        self.history.take()
    }
}

/// What everybody did before it belongs before it, and what they do later after it.
fn of_the_run(kind: &EventKind) -> bool {
    matches!(
        kind,
        EventKind::LoadStopped
            | EventKind::Healed
            | EventKind::DrainBegan
            | EventKind::DrainEnded { .. }
            | EventKind::Ended
            | EventKind::FaultBegan { .. }
            | EventKind::FaultEnded { .. }
            | EventKind::NodeUp { .. }
            | EventKind::NodeDown { .. }
            | EventKind::Slowed { .. }
            | EventKind::UpToSpeed { .. }
    )
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    const MS: u64 = 1_000_000;

    fn up(node: u64) -> EventKind {
        EventKind::ChannelOpened {
            client: ClientId(0),
            channel: ChannelId(0),
            node: NodeId(node),
            connection: Connection::New,
        }
    }

    fn recorder(history: History) -> (Rc<Recorder>, Rc<Cell<u64>>) {
        let clock = Rc::new(Cell::new(0));
        let read = Rc::clone(&clock);
        (Rc::new(Recorder::new(history, move || Nanos(read.get() * MS), |_| {})), clock)
    }

    /// Each event as its time in milliseconds and its node; 0 for an event of the run.
    fn told(recorder: &Recorder) -> Vec<(u64, u64)> {
        let told = |Event { at, kind }: &Event| match kind {
            EventKind::ChannelOpened { node, .. } => (at.0 / MS, node.0),
            _ => (at.0 / MS, 0),
        };
        recorder.with(|history| history.events.iter().map(told).collect())
    }

    #[test]
    fn events_of_one_tick_go_in_order_of_their_machines_time() {
        let (recorder, clock) = recorder(History::default());
        for (at, node) in [(13, 1), (19, 1), (11, 2), (13, 2), (18, 2)] {
            clock.set(at);
            recorder.record(up(node));
        }
        assert_eq!(told(&recorder), [(11, 2), (13, 1), (13, 2), (18, 2), (19, 1)]);
    }

    #[test]
    fn an_event_never_goes_before_an_earlier_tick_nor_before_an_event_of_the_run() {
        let (recorder, clock) = recorder(History::default());
        clock.set(19);
        recorder.record(up(1));
        recorder.end_tick();
        clock.set(18);
        recorder.record(up(2));
        assert_eq!(told(&recorder), [(19, 1), (19, 2)], "its clock is late, but it happened after");
        clock.set(25);
        recorder.record(up(1));
        clock.set(22);
        recorder.record(EventKind::DrainEnded { complete: true, reason: String::new() });
        clock.set(23);
        recorder.record(up(3));
        assert_eq!(told(&recorder)[2..], [(25, 1), (25, 0), (25, 3)], "whoever ended the drain knew of the first");
    }
}
