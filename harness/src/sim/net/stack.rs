//! The network stack of one machine: its connections, listeners and timers. It lives in the machine's kernel, so it
//! goes on acknowledging and retransmitting while the process is paused, and outlives a killed process.
//!
//! Models: dials that are refused with a reset where nobody listens, a repeated dial that opens no second end, a
//! backlog of 128 connections per port which, once full, leaves dials unanswered (they are repeated, as on Linux), a
//! listener that resets what nobody accepted, streams that the kernel finishes for a process that is gone, and a loss
//! of power that forgets everything and tells nobody.
//!
//! Does not model: ports of dialling ends (a connection has a number of its own, so none can run out or be used again
//! too soon), TIME_WAIT (a port can be bound as soon as nobody listens on it), half-open connections in the backlog's
//! count, addresses (a machine has one), routers and firewalls, memory that all connections share.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    io, mem,
    task::Waker,
};

use bytes::Bytes;

use super::{
    ConnectionId, StreamConfig,
    connection::{Connection, Owner, Phase},
    segment::{Segment, SegmentKind},
};
use crate::sim::MachineId;

/// Connections that a listener holds for a process that does not accept them; further dials go unanswered.
const BACKLOG_MAX: usize = 128;
/// Where ports begin that nobody asked for by number.
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

/// A [`Stack`] behind a door that lets wake-ups out only after the borrow has ended.
pub(in crate::sim) struct Kernel(RefCell<Stack>);

impl Kernel {
    pub(in crate::sim) fn new(stack: Stack) -> Self {
        Self(RefCell::new(stack))
    }

    pub(in crate::sim) fn with<R>(&self, act: impl FnOnce(&mut Stack) -> R) -> R {
        let mut stack = self.0.borrow_mut();
        let result = act(&mut stack);
        let wakes = mem::take(&mut stack.wakes);
        drop(stack);
        for waker in wakes {
            waker.wake();
        }
        result
    }
}

/// A bound port.
struct Listening {
    /// Tells the listener of a restarted process from that of its predecessor.
    number: u64,
    backlog: VecDeque<ConnectionId>,
    waker: Option<Waker>,
}

pub(in crate::sim) struct Stack {
    machine: MachineId,
    pub(super) config: StreamConfig,
    connections: BTreeMap<ConnectionId, Connection>,
    /// The end that answers a dial, by the machine and the end that dialled: a repeated SYN must not open another.
    dialled: BTreeMap<(MachineId, ConnectionId), ConnectionId>,
    listening: BTreeMap<u16, Listening>,
    listeners: u64,
    timers: BTreeSet<(u64, ConnectionId)>,
    dirty: Vec<ConnectionId>,
    out: Vec<Segment>,
    wakes: Vec<Waker>,
    /// Of the task that flushes this stack.
    kernel: Option<Waker>,
}

impl Stack {
    pub(in crate::sim) fn new(machine: MachineId, config: StreamConfig) -> Self {
        Self {
            machine,
            config,
            connections: BTreeMap::new(),
            dialled: BTreeMap::new(),
            listening: BTreeMap::new(),
            listeners: 0,
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            out: Vec::new(),
            wakes: Vec::new(),
            kernel: None,
        }
    }

    /// Registers the task that calls [`Self::flush`].
    pub(in crate::sim) fn set_kernel(&mut self, waker: &Waker) {
        if !self.kernel.as_ref().is_some_and(|kernel| kernel.will_wake(waker)) {
            self.kernel = Some(waker.clone());
        }
    }

    pub(in crate::sim) fn wake_kernel(&mut self) {
        self.wakes.extend(self.kernel.clone());
    }

    /// Lets the kernel task look at a connection.
    fn touch(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if !mem::replace(&mut connection.dirty, true) {
            if self.dirty.is_empty() {
                self.wakes.extend(self.kernel.clone());
            }
            self.dirty.push(id);
        }
    }

    /// Takes in a segment from the wire.
    pub(in crate::sim) fn receive(&mut self, now: u64, segment: Segment, fresh: impl FnOnce() -> ConnectionId) {
        if segment.kind == SegmentKind::Syn {
            return self.receive_syn(now, segment, fresh);
        }
        let Some(connection) = self.connections.get_mut(&segment.destination).filter(|it| it.error.is_none()) else {
            if segment.kind != SegmentKind::Reset {
                self.refuse(&segment);
            }
            return;
        };
        let id = connection.id;
        let phase = connection.phase;
        connection.receive(now, segment, &self.config, &mut self.wakes);
        let became_established = phase == Phase::SynReceived && connection.phase == Phase::Established;
        let port = connection.port;
        if became_established {
            match self.listening.get_mut(&port) {
                Some(listening) => {
                    listening.backlog.push_back(id);
                    self.wakes.extend(listening.waker.take());
                }
                // The listener closed during the handshake.
                None => self.close(now, id),
            }
        }
        self.touch(id);
    }

    fn receive_syn(&mut self, now: u64, segment: Segment, fresh: impl FnOnce() -> ConnectionId) {
        let from = (segment.from, segment.source);
        if let Some(&id) = self.dialled.get(&from) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.receive(now, segment, &self.config, &mut self.wakes);
            }
            return self.touch(id);
        }
        let port = segment.sequence as u16;
        match self.listening.get(&port) {
            None => self.refuse(&segment),
            // As Linux: a full backlog answers nothing, and the dial is repeated.
            Some(listening) if listening.backlog.len() >= BACKLOG_MAX => {}
            Some(_) => {
                let id = fresh();
                self.dialled.insert(from, id);
                self.connections.insert(id, Connection::new(id, self.machine, from, port, now, &self.config));
                self.touch(id);
            }
        }
    }

    /// Answers a segment that belongs to no connection here.
    fn refuse(&mut self, segment: &Segment) {
        if self.out.is_empty() {
            self.wakes.extend(self.kernel.clone());
        }
        self.out.push(Segment {
            from: self.machine,
            to: segment.from,
            source: segment.destination,
            destination: segment.source,
            kind: SegmentKind::Reset,
            sequence: segment.acknowledged,
            acknowledged: segment.sequence,
            window_end: 0,
            payload: Bytes::new(),
            fin: false,
            probe: false,
        });
    }

    /// Lets time pass and collects what is to be sent now; also when the next timer is due.
    pub(in crate::sim) fn flush(&mut self, now: u64, out: &mut Vec<Segment>) -> Option<u64> {
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.scheduled = None;
                connection.expire(now, &self.config, &mut self.wakes);
                if !mem::replace(&mut connection.dirty, true) {
                    self.dirty.push(id);
                }
            }
        }
        out.append(&mut self.out);
        let mut dirty = mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            connection.dirty = false;
            connection.flush(now, &self.config, out);
            let forgotten = connection.owner == Owner::Backlog && connection.error.is_some();
            if connection.is_over() || forgotten {
                self.remove(id);
                continue;
            }
            // Timers are lazy: one that is too early looks again, so that progress costs no bookkeeping.
            let deadline = connection.deadline(&self.config).unwrap_or(u64::MAX);
            if deadline < connection.scheduled.unwrap_or(u64::MAX) {
                if let Some(scheduled) = connection.scheduled.replace(deadline) {
                    self.timers.remove(&(scheduled, id));
                }
                self.timers.insert((deadline, id));
            }
        }
        self.dirty = dirty;
        self.timers.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Some(scheduled) = connection.scheduled {
            self.timers.remove(&(scheduled, id));
        }
        self.dialled.remove(&(connection.peer, connection.peer_id));
        if let Some(listening) = self.listening.get_mut(&connection.port) {
            listening.backlog.retain(|waiting| *waiting != id);
        }
    }

    /// Begins to dial.
    pub(super) fn dial(&mut self, now: u64, id: ConnectionId, to: MachineId, port: u16) {
        let peer = (to, ConnectionId(0));
        self.connections.insert(id, Connection::new(id, self.machine, peer, port, now, &self.config));
        self.touch(id);
    }

    /// The connection, for its stream. `None`: the machine has forgotten it.
    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<(&mut Connection, &StreamConfig)> {
        self.connections.get_mut(&id).map(|connection| (connection, &self.config))
    }

    /// Has the kernel task look at a connection after its stream has changed it.
    pub(super) fn changed(&mut self, id: ConnectionId) {
        self.touch(id);
    }

    /// The stream of this connection is gone.
    pub(super) fn close(&mut self, now: u64, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id).filter(|it| it.owner != Owner::Orphan) {
            connection.orphan(now, &self.config);
            // Its end must be noticed although no timer may be set.
            if let Some(scheduled) = connection.scheduled.take() {
                self.timers.remove(&(scheduled, id));
            }
            self.touch(id);
        }
    }

    /// Binds a port, 0 for any; yields it with the listener's number.
    pub(super) fn bind(&mut self, port: u16) -> io::Result<(u16, u64)> {
        let port = match port {
            0 => (FIRST_EPHEMERAL_PORT..).find(|port| !self.listening.contains_key(port)),
            port => Some(port).filter(|port| !self.listening.contains_key(port)),
        };
        let port = port.ok_or(io::ErrorKind::AddrInUse)?;
        self.listeners += 1;
        let listening = Listening { number: self.listeners, backlog: VecDeque::new(), waker: None };
        self.listening.insert(port, listening);
        Ok((port, self.listeners))
    }

    /// The next established connection, or `None` after registering the waker. An error if the listener is gone.
    pub(super) fn accept(
        &mut self,
        port: u16,
        number: u64,
        waker: &Waker,
    ) -> io::Result<Option<(ConnectionId, MachineId)>> {
        let listening =
            self.listening.get_mut(&port).filter(|it| it.number == number).ok_or(io::ErrorKind::NotConnected)?;
        while let Some(id) = listening.backlog.pop_front() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.owner = Owner::Stream;
                return Ok(Some((id, connection.peer)));
            }
        }
        listening.waker = Some(waker.clone());
        Ok(None)
    }

    pub(super) fn unbind(&mut self, now: u64, port: u16, number: u64) {
        if self.listening.get(&port).is_some_and(|it| it.number == number) {
            let listening = self.listening.remove(&port);
            for id in listening.into_iter().flat_map(|it| it.backlog) {
                self.reset(now, id);
            }
        }
    }

    /// Closes with a reset, whether or not something is unread.
    fn reset(&mut self, now: u64, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.abandon(now);
            self.touch(id);
        }
    }

    /// The process is gone: the kernel closes everything it held.
    pub(in crate::sim) fn process_ended(&mut self, now: u64) {
        let ports: Vec<(u16, u64)> = self.listening.iter().map(|(port, it)| (*port, it.number)).collect();
        for (port, number) in ports {
            self.unbind(now, port, number);
        }
        let ids: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for id in ids {
            self.close(now, id);
        }
        self.wake_kernel();
    }

    /// The power is gone: everything is forgotten, and nobody is told.
    pub(in crate::sim) fn power_lost(&mut self) {
        self.connections.clear();
        self.dialled.clear();
        self.listening.clear();
        self.timers.clear();
        self.dirty.clear();
        self.out.clear();
    }

    /// Breaks every established stream to `peer`, at this end only; the number of those that a process held.
    pub(in crate::sim) fn break_streams(&mut self, peer: MachineId) -> usize {
        let established: Vec<ConnectionId> = self
            .connections
            .values()
            .filter(|it| it.peer == peer && it.phase == Phase::Established && it.error.is_none())
            .map(|it| it.id)
            .collect();
        let mut held = 0;
        for id in established {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            held += usize::from(connection.owner != Owner::Orphan);
            connection.fail(io::ErrorKind::ConnectionReset, &mut self.wakes);
            self.touch(id);
        }
        held
    }
}
