//! What a connection says, and when: handshakes, bytes, repetitions, acknowledgements, probes.

use std::{io, mem};

use bytes::{Bytes, BytesMut};

use super::{
    super::{
        StreamConfig,
        segment::{Segment, SegmentKind},
    },
    Closing, Connection, InFlight, Phase,
};

/// Payload of one segment, at most.
const SEGMENT_BYTES_MAX: usize = 32 << 10;

impl Connection {
    /// Puts everything that is to be said now into `out`.
    pub(in crate::sim::net) fn flush(&mut self, now: u64, config: &StreamConfig, out: &mut Vec<Segment>) {
        if self.reset_due {
            self.reset_due = false;
            if self.error.is_none() {
                self.error = Some(io::ErrorKind::ConnectionReset);
                out.push(self.segment(SegmentKind::Reset, config));
            }
        }
        if self.error.is_some() {
            return;
        }
        if self.phase != Phase::Established {
            if self.syn_due {
                self.syn_due = false;
                let kind = if self.phase == Phase::SynSent { SegmentKind::Syn } else { SegmentKind::SynAck };
                let mut segment = self.segment(kind, config);
                if kind == SegmentKind::Syn {
                    segment.sequence = self.port.into();
                }
                out.push(segment);
                self.timeout_at = Some(now + self.current_timeout(config));
            }
            return;
        }
        for _ in 0..self.received.take_duplicate_acks() {
            out.push(self.segment(SegmentKind::Data, config));
        }
        if mem::take(&mut self.retransmit_due) {
            self.retransmit_first(now, config, out);
        }
        self.send_pending(now, config, out);
        if mem::take(&mut self.probe_due) {
            let mut segment = self.segment(SegmentKind::Data, config);
            segment.probe = true;
            out.push(segment);
        }
        if self.received.is_ack_due() {
            out.push(self.segment(SegmentKind::Data, config));
        }
        if self.timeout_at.is_none() && !self.pending.is_empty() {
            // The peer has no room: ask again later, should its word about new room be lost.
            self.timeout_at = Some(now + self.current_timeout(config));
        }
    }

    /// Repeats the oldest segment, together with as many of its successors as fit into one: after an outage, many
    /// small ones may be waiting.
    fn retransmit_first(&mut self, now: u64, config: &StreamConfig, out: &mut Vec<Segment>) {
        let mut room = SEGMENT_BYTES_MAX;
        let fits = self.in_flight.iter().take_while(|sent| {
            let fits = sent.payload.len() <= room;
            room = room.saturating_sub(sent.payload.len());
            fits
        });
        let count = fits.count();
        if count > 1 {
            let mut payload = BytesMut::with_capacity(SEGMENT_BYTES_MAX - room);
            let (sequence, mut fin, mut sent_at) = (self.in_flight[0].sequence, false, 0);
            for sent in self.in_flight.drain(..count) {
                payload.extend_from_slice(&sent.payload);
                (fin, sent_at) = (sent.fin, sent.sent_at);
            }
            let payload = payload.freeze();
            self.in_flight.push_front(InFlight { sequence, payload, fin, sent_at, retransmitted: true });
        }
        let Some(first) = self.in_flight.front_mut() else { return };
        first.retransmitted = true;
        let (sequence, payload, fin) = (first.sequence, first.payload.clone(), first.fin);
        out.push(Segment { sequence, payload, fin, ..self.segment(SegmentKind::Data, config) });
        self.timeout_at = Some(now + self.current_timeout(config));
    }

    fn send_pending(&mut self, now: u64, config: &StreamConfig, out: &mut Vec<Segment>) {
        loop {
            let room = self.peer_window_end.saturating_sub(self.send_next).min(SEGMENT_BYTES_MAX as u64) as usize;
            let count = room.min(self.pending.len());
            let fin = self.closing == Closing::FinQueued && count == self.pending.len();
            if count == 0 && !fin {
                return;
            }
            let payload = self.pending.split_to(count).freeze();
            if fin {
                self.closing = Closing::FinSent;
            }
            if self.in_flight.is_empty() {
                self.progress_at = now;
                self.timeout_at = Some(now + self.current_timeout(config));
            }
            let sequence = self.send_next;
            let segment = Segment { payload: payload.clone(), fin, ..self.segment(SegmentKind::Data, config) };
            self.send_next += segment.len();
            self.in_flight_bytes += count;
            self.in_flight.push_back(InFlight { sequence, payload, fin, sent_at: now, retransmitted: false });
            out.push(segment);
        }
    }

    /// A segment without payload. Whatever is sent carries the newest acknowledgement.
    fn segment(&mut self, kind: SegmentKind, config: &StreamConfig) -> Segment {
        let (acknowledged, window_end) = self.received.acknowledge(config);
        Segment {
            from: self.machine,
            to: self.peer,
            source: self.id,
            destination: self.peer_id,
            kind,
            sequence: self.send_next,
            acknowledged,
            window_end,
            payload: Bytes::new(),
            fin: false,
            probe: false,
        }
    }
}
