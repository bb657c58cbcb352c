//! Writes the history while the simulation runs, and answers the few questions that the run itself asks of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

use warren::platform::NodeId;

use super::{ChannelId, ClientId, Event, EventKind, History, MessageId, Nanos, PublishOutcome};

/// The one writer of a run's history. Shared by every client, fault and node of the simulation.
pub struct Recorder {
    /// Gone once the history is finished: the world that they belong to holds this recorder in turn.
    world: RefCell<Option<Ties>>,
    history: RefCell<History>,
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

    /// Appends an event that happened at `at`. Time never goes backwards in a history: within one tick the machines
    /// run one after another, and no machine can know what another does in the same tick, so the order of recording
    /// is the order of causes.
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
        let at = history.events.last().map_or(at, |last| last.at.max(at));
        let event = Event { at, kind };
        if !matches!(event.kind, EventKind::Observed { .. }) {
            let world = self.world.borrow();
            world.as_ref().inspect(|ties| (ties.trace)(&event));
        }
        history.events.push(event);
    }

    /// Records that `client` has a new channel through `node`, and names it.
    pub fn channel_opened(&self, client: ClientId, node: NodeId) -> ChannelId {
        let channel = ChannelId(self.channels.get());
        self.channels.set(channel.0 + 1);
        self.record(EventKind::ChannelOpened { client, channel, node });
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
