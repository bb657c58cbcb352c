//! One end of a reliable byte stream, as a state machine: segments and timers go in, segments and wake-ups come out.
//!
//! Models what an application can see of TCP: three-way handshake, ordered bytes, cumulative acknowledgement (delayed
//! and piggybacked), reassembly, retransmission with exponential backoff, fast retransmission after three duplicate
//! acknowledgements, flow control with zero-window probes, half-close, reset, keep-alive, connect and user timeouts.
//!
//! Does not model: congestion control, selective acknowledgement, Nagle's algorithm, TIME_WAIT, urgent data, and the
//! MTU (a segment carries up to 32 KiB, because each datagram costs the simulation time and loss per segment is what
//! matters to applications). Positions start at 0 in every connection; connection numbers are unique in the world, so
//! that a stale segment never matches a later life, as TCP's random initial numbers make all but certain.

mod sending;

use std::{collections::VecDeque, io, task::Waker, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{
    ConnectionId, StreamConfig,
    reassembly::Reassembly,
    segment::{Segment, SegmentKind},
};
use crate::sim::MachineId;

/// Duplicate acknowledgements that count as a loss.
const DUPLICATE_ACKS: u32 = 3;
/// Backoff doubles at most this often (the cap on the timeout comes first).
const BACKOFF_MAX: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    SynSent,
    SynReceived,
    Established,
}

/// Who reads and writes this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// In the backlog of a listener.
    Backlog,
    /// A stream of the process.
    Stream,
    /// Nobody any more: what is left is delivered, then it vanishes.
    Orphan,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    Open,
    /// To be sent after the last byte.
    FinQueued,
    FinSent,
}

/// A segment that was sent and not yet acknowledged.
struct InFlight {
    sequence: u64,
    payload: Bytes,
    fin: bool,
    sent_at: u64,
    /// Its acknowledgement says nothing about the round trip (Karn's rule).
    retransmitted: bool,
}

impl InFlight {
    fn end(&self) -> u64 {
        self.sequence + self.payload.len() as u64 + u64::from(self.fin)
    }
}

pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) machine: MachineId,
    pub(super) peer: MachineId,
    pub(super) peer_id: ConnectionId,
    pub(super) phase: Phase,
    pub(super) owner: Owner,
    /// The port dialled.
    pub(super) port: u16,
    /// Why the stream is dead, once it is.
    pub(super) error: Option<io::ErrorKind>,
    /// The peer is to be told of the reset, then this end vanishes.
    reset_due: bool,
    /// The time when the handshake fails, or an orphan is given up.
    give_up_at: u64,

    /// Written, not yet sent.
    pending: BytesMut,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: usize,
    send_next: u64,
    send_acknowledged: u64,
    peer_window_end: u64,
    closing: Closing,
    syn_due: bool,
    retransmit_due: bool,
    probe_due: bool,
    /// Losses up to this position are being repaired.
    recover_until: Option<u64>,
    duplicate_acks: u32,
    smoothed_rtt: Option<(u64, u64)>,
    timeout: u64,
    backoff: u32,
    /// Retransmission, or window probe when nothing is in flight.
    timeout_at: Option<u64>,
    /// The last time when the peer acknowledged something new, or when there was nothing to acknowledge.
    progress_at: u64,

    received: Reassembly,
    heard_at: u64,
    probed_at: u64,

    pub(super) read_waker: Option<Waker>,
    pub(super) write_waker: Option<Waker>,
    /// Whether the stack has it on its list of connections to flush.
    pub(super) dirty: bool,
    /// The timer that the stack holds for it.
    pub(super) scheduled: Option<u64>,
}

impl Connection {
    /// A new connection: `peer_id` is zero for the end that dials.
    pub(super) fn new(
        id: ConnectionId,
        machine: MachineId,
        peer: (MachineId, ConnectionId),
        port: u16,
        now: u64,
        config: &StreamConfig,
    ) -> Self {
        let dialling = peer.1 == ConnectionId(0);
        Self {
            id,
            machine,
            peer: peer.0,
            peer_id: peer.1,
            phase: if dialling { Phase::SynSent } else { Phase::SynReceived },
            owner: if dialling { Owner::Stream } else { Owner::Backlog },
            port,
            error: None,
            reset_due: false,
            give_up_at: now + nanos(config.connect_timeout),
            pending: BytesMut::new(),
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            send_next: 0,
            send_acknowledged: 0,
            peer_window_end: 0,
            closing: Closing::Open,
            syn_due: true,
            retransmit_due: false,
            probe_due: false,
            recover_until: None,
            duplicate_acks: 0,
            smoothed_rtt: None,
            timeout: nanos(config.timeout_initial),
            backoff: 0,
            timeout_at: None,
            progress_at: now,
            received: Reassembly::new(),
            heard_at: now,
            probed_at: now,
            read_waker: None,
            write_waker: None,
            dirty: false,
            scheduled: None,
        }
    }

    /// Takes in a segment meant for this end. What it causes to be said is said by the next [`Self::flush`].
    pub(super) fn receive(&mut self, now: u64, segment: Segment, config: &StreamConfig, wakes: &mut Vec<Waker>) {
        self.heard_at = now;
        match segment.kind {
            SegmentKind::Reset => self.receive_reset(wakes),
            // A repeated SYN: the answer was lost.
            SegmentKind::Syn => self.syn_due |= self.phase == Phase::SynReceived,
            SegmentKind::SynAck if self.phase == Phase::SynSent => {
                self.peer_id = segment.source;
                self.establish(now, &segment, config, wakes);
                self.received.demand_ack();
            }
            // A repeated SYN-ACK: our acknowledgement was lost.
            SegmentKind::SynAck => self.received.demand_ack(),
            SegmentKind::Data => {
                if self.phase == Phase::SynReceived {
                    self.establish(now, &segment, config, wakes);
                }
                self.receive_ack(now, &segment, config, wakes);
                self.receive_payload(now, segment, config, wakes);
            }
        }
    }

    fn establish(&mut self, now: u64, segment: &Segment, config: &StreamConfig, wakes: &mut Vec<Waker>) {
        self.phase = Phase::Established;
        self.syn_due = false;
        self.timeout_at = None;
        self.backoff = 0;
        self.timeout = nanos(config.timeout_initial);
        self.peer_window_end = segment.window_end;
        self.progress_at = now;
        self.probed_at = now;
        self.wake_all(wakes);
    }

    fn receive_reset(&mut self, wakes: &mut Vec<Waker>) {
        // Both sides have said goodbye, and ours was the end that forgot last: nothing was lost.
        if self.received.is_finished() && self.closing == Closing::FinSent {
            self.in_flight.clear();
            self.in_flight_bytes = 0;
            self.send_acknowledged = self.send_next;
            self.timeout_at = None;
            return;
        }
        let refused = self.phase == Phase::SynSent;
        self.fail(if refused { io::ErrorKind::ConnectionRefused } else { io::ErrorKind::ConnectionReset }, wakes);
    }

    fn receive_ack(&mut self, now: u64, segment: &Segment, config: &StreamConfig, wakes: &mut Vec<Waker>) {
        let acknowledged = segment.acknowledged;
        if acknowledged > self.send_next {
            return;
        }
        let window_grew = segment.window_end > self.peer_window_end;
        self.peer_window_end = self.peer_window_end.max(segment.window_end);
        if acknowledged > self.send_acknowledged {
            self.send_acknowledged = acknowledged;
            let mut round_trip = None;
            while let Some(first) = self.in_flight.front().filter(|first| first.end() <= acknowledged) {
                round_trip = (!first.retransmitted).then(|| now - first.sent_at);
                self.in_flight_bytes -= first.payload.len();
                self.in_flight.pop_front();
            }
            // Segments that were merged for a repetition may be acknowledged in part.
            if let Some(first) = self.in_flight.front_mut().filter(|first| first.sequence < acknowledged) {
                let known = (acknowledged - first.sequence) as usize;
                first.payload = first.payload.slice(known..);
                first.sequence = acknowledged;
                self.in_flight_bytes -= known;
            }
            if let Some(round_trip) = round_trip {
                self.measure(round_trip, config);
            }
            self.progress_at = now;
            self.backoff = 0;
            self.duplicate_acks = 0;
            self.recover_until = self.recover_until.filter(|until| acknowledged < *until);
            // More was lost than the one that has just been repaired.
            self.retransmit_due = self.recover_until.is_some();
            self.timeout_at = (!self.in_flight.is_empty()).then(|| now + self.current_timeout(config));
            wakes.extend(self.write_waker.take());
        } else if window_grew {
            if self.in_flight.is_empty() {
                self.backoff = 0;
                self.timeout_at = None;
            }
        } else if segment.len() == 0 && !segment.probe && !self.in_flight.is_empty() {
            self.duplicate_acks += 1;
            if self.duplicate_acks == DUPLICATE_ACKS && self.recover_until.is_none() {
                self.recover_until = Some(self.send_next);
                self.retransmit_due = true;
            }
        }
    }

    /// RFC 6298, with the configured floor.
    fn measure(&mut self, round_trip: u64, config: &StreamConfig) {
        let (smoothed, variance) = match self.smoothed_rtt {
            None => (round_trip, round_trip / 2),
            Some((smoothed, variance)) => {
                ((smoothed * 7 + round_trip) / 8, (variance * 3 + smoothed.abs_diff(round_trip)) / 4)
            }
        };
        self.smoothed_rtt = Some((smoothed, variance));
        self.timeout = (smoothed + 4 * variance).clamp(nanos(config.timeout_min), nanos(config.timeout_max));
    }

    fn current_timeout(&self, config: &StreamConfig) -> u64 {
        self.timeout.saturating_mul(1 << self.backoff).min(nanos(config.timeout_max))
    }

    fn receive_payload(&mut self, now: u64, segment: Segment, config: &StreamConfig, wakes: &mut Vec<Waker>) {
        if segment.probe {
            self.received.demand_ack();
        }
        if segment.len() == 0 {
            return;
        }
        if self.owner == Owner::Orphan && !segment.payload.is_empty() && segment.sequence >= self.received.next() {
            // Nobody will ever read it: the peer must know.
            self.reset_due = true;
        } else if self.received.take(now, segment, config) {
            wakes.extend(self.read_waker.take());
        }
    }

    /// Lets time pass.
    pub(super) fn expire(&mut self, now: u64, config: &StreamConfig, wakes: &mut Vec<Waker>) {
        if self.error.is_some() {
            return;
        }
        let timed_out = self.timeout_at.is_some_and(|at| at <= now);
        let unheard = now - self.heard_at;
        if self.phase != Phase::Established || self.owner == Owner::Orphan {
            if now >= self.give_up_at {
                return self.fail(io::ErrorKind::TimedOut, wakes);
            }
        } else if unheard >= nanos(config.user_timeout) {
            return self.fail(io::ErrorKind::TimedOut, wakes);
        } else if self.keep_alive_at(config) <= now {
            self.probed_at = now;
            self.probe_due = true;
        }
        self.received.expire(now);
        if !timed_out {
            return;
        }
        self.timeout_at = None;
        self.backoff = (self.backoff + 1).min(BACKOFF_MAX);
        if self.phase != Phase::Established {
            self.syn_due = true;
        } else if self.in_flight.is_empty() {
            self.probe_due = true;
        } else if now - self.progress_at >= nanos(config.user_timeout) {
            self.fail(io::ErrorKind::TimedOut, wakes);
        } else {
            self.recover_until = Some(self.send_next);
            self.duplicate_acks = 0;
            self.retransmit_due = true;
        }
    }

    fn keep_alive_at(&self, config: &StreamConfig) -> u64 {
        (self.heard_at + nanos(config.keep_alive_idle)).max(self.probed_at + nanos(config.keep_alive_interval))
    }

    /// When [`Self::expire`] has something to do, at the latest. `None`: it never will without a further event.
    pub(super) fn deadline(&self, config: &StreamConfig) -> Option<u64> {
        if self.error.is_some() {
            return None;
        }
        let standing = if self.phase != Phase::Established || self.owner == Owner::Orphan {
            self.give_up_at
        } else {
            self.keep_alive_at(config).min(self.heard_at + nanos(config.user_timeout))
        };
        let others = [self.received.deadline(), self.timeout_at];
        Some(others.into_iter().flatten().fold(standing, u64::min))
    }

    /// The stream is dead from now on, for this end. What has arrived can still be read.
    pub(super) fn fail(&mut self, error: io::ErrorKind, wakes: &mut Vec<Waker>) {
        if self.error.is_some() {
            return;
        }
        self.error = Some(error);
        self.reset_due = false;
        self.in_flight.clear();
        self.in_flight_bytes = 0;
        self.pending = BytesMut::new();
        self.received.give_up();
        self.timeout_at = None;
        self.wake_all(wakes);
    }

    fn wake_all(&mut self, wakes: &mut Vec<Waker>) {
        wakes.extend(self.read_waker.take());
        wakes.extend(self.write_waker.take());
    }

    /// Copies what has arrived into `buffer`; `None` when there is nothing yet, 0 at the end of the stream.
    pub(super) fn read(
        &mut self,
        buffer: &mut tokio::io::ReadBuf<'_>,
        config: &StreamConfig,
    ) -> Option<io::Result<usize>> {
        let count = self.received.read(buffer, config);
        if count > 0 {
            return Some(Ok(count));
        }
        if let Some(error) = self.error {
            return Some(Err(error.into()));
        }
        self.received.is_finished().then_some(Ok(0))
    }

    /// Takes as much of `bytes` as there is room for; `None` when there is none.
    pub(super) fn write(&mut self, bytes: &[u8], config: &StreamConfig) -> Option<io::Result<usize>> {
        if let Some(error) = self.error {
            return Some(Err(error.into()));
        }
        if self.closing != Closing::Open {
            return Some(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = config.send_buffer_bytes.saturating_sub(self.pending.len() + self.in_flight_bytes);
        if room == 0 && !bytes.is_empty() {
            return None;
        }
        let count = room.min(bytes.len());
        self.pending.extend_from_slice(&bytes[..count]);
        Some(Ok(count))
    }

    /// Whether a [`Self::flush`] would say something, or has a timer to start.
    pub(super) fn wants_flush(&self) -> bool {
        let sendable = self.send_next < self.peer_window_end || self.timeout_at.is_none();
        self.received.is_ack_due() || self.closing == Closing::FinQueued || (!self.pending.is_empty() && sendable)
    }

    /// No more will be written.
    pub(super) fn finish(&mut self) {
        if self.closing == Closing::Open {
            self.closing = Closing::FinQueued;
        }
    }

    /// The owner is gone: a reset if it left something unread, else a polite end.
    pub(super) fn orphan(&mut self, now: u64, config: &StreamConfig) {
        let unread = self.received.has_unread();
        self.owner = Owner::Orphan;
        self.give_up_at = now + nanos(config.user_timeout);
        (self.read_waker, self.write_waker) = (None, None);
        self.received.discard();
        match self.phase {
            Phase::Established if !unread => self.finish(),
            // A SYN without an answer needs no reset: its answer will get one.
            Phase::SynSent => self.error = Some(io::ErrorKind::ConnectionAborted),
            _ => self.reset_due = true,
        }
    }

    /// The owner is gone and wants the peer to notice: a reset in any case.
    pub(super) fn abandon(&mut self, now: u64) {
        self.owner = Owner::Orphan;
        self.give_up_at = now;
        self.reset_due = true;
    }

    /// Whether nothing is left to be done or told.
    pub(super) fn is_over(&self) -> bool {
        let closed = self.received.is_finished() && self.closing == Closing::FinSent && self.in_flight.is_empty();
        self.owner == Owner::Orphan
            && !self.reset_due
            && (self.error.is_some() || (closed && !self.received.is_ack_owed()))
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
