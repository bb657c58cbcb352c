//! The receiving half of a connection: reassembly, flow control, and when to acknowledge.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use bytes::Bytes;
use tokio::io::ReadBuf;

use super::{StreamConfig, connection::nanos, segment::Segment};

/// An acknowledgement waits no longer once this much has arrived since the last.
const ACK_AT_ONCE_BYTES: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckDue {
    No,
    By(u64),
    Now,
}

pub(super) struct Reassembly {
    /// Everything before this position has arrived.
    next: u64,
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// By position: payload, and whether the stream ends after it.
    out_of_order: BTreeMap<u64, (Bytes, bool)>,
    finished: bool,
    /// The edge of the window that the peer was told last.
    advertised: u64,
    acknowledged: u64,
    due: AckDue,
    /// Segments that arrived out of order, each of which the peer is to learn of at once: three make it repeat what is
    /// missing.
    duplicate_acks_due: u32,
}

impl Reassembly {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            unread: VecDeque::new(),
            unread_bytes: 0,
            out_of_order: BTreeMap::new(),
            finished: false,
            advertised: 0,
            acknowledged: 0,
            due: AckDue::No,
            duplicate_acks_due: 0,
        }
    }

    /// The position that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Whether the peer's last byte has arrived.
    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread_bytes > 0
    }

    /// Takes in a segment with payload or end; whether that gave the reader something new.
    pub(super) fn take(&mut self, now: u64, segment: Segment, config: &StreamConfig) -> bool {
        if segment.sequence + segment.len() <= self.next {
            // The peer must have missed our acknowledgement.
            self.due = AckDue::Now;
            return false;
        }
        if segment.sequence > self.next {
            let known = self.out_of_order.entry(segment.sequence).or_default();
            if known.0.len() <= segment.payload.len() {
                *known = (segment.payload, segment.fin);
            }
            self.duplicate_acks_due += 1;
            return false;
        }
        self.take_in_order(segment.sequence, segment.payload, segment.fin);
        let repaired = !self.out_of_order.is_empty();
        while let Some(next) = self.out_of_order.first_entry().filter(|next| *next.key() <= self.next) {
            let (sequence, (payload, fin)) = next.remove_entry();
            self.take_in_order(sequence, payload, fin);
        }
        if repaired || self.finished || self.next - self.acknowledged >= ACK_AT_ONCE_BYTES {
            self.due = AckDue::Now;
        } else if self.due == AckDue::No {
            self.due = AckDue::By(now + nanos(config.ack_delay));
        }
        true
    }

    /// Takes what is new of a segment that begins at or before what comes next.
    fn take_in_order(&mut self, sequence: u64, payload: Bytes, fin: bool) {
        let end = sequence + payload.len() as u64 + u64::from(fin);
        if end <= self.next {
            return;
        }
        let known = (self.next - sequence) as usize;
        let payload = payload.slice(known.min(payload.len())..);
        self.next = end;
        self.unread_bytes += payload.len();
        if !payload.is_empty() {
            self.unread.push_back(payload);
        }
        self.finished |= fin;
    }

    /// Moves what has arrived into `buffer`; how much.
    pub(super) fn read(&mut self, buffer: &mut ReadBuf<'_>, config: &StreamConfig) -> usize {
        let mut count = 0;
        while let Some(first) = self.unread.front_mut() {
            let taken = first.split_to(first.len().min(buffer.remaining()));
            buffer.put_slice(&taken);
            count += taken.len();
            if !first.is_empty() {
                break;
            }
            self.unread.pop_front();
        }
        self.unread_bytes -= count;
        // The peer may be waiting for room. Telling it of every byte would be the silly window.
        if count > 0 && self.window_end(config) >= self.advertised + config.window_bytes as u64 / 2 {
            self.due = AckDue::Now;
        }
        count
    }

    fn window_end(&self, config: &StreamConfig) -> u64 {
        self.next + config.window_bytes.saturating_sub(self.unread_bytes) as u64
    }

    /// What a segment that is sent now tells the peer: the position acknowledged, and the edge of the window.
    pub(super) fn acknowledge(&mut self, config: &StreamConfig) -> (u64, u64) {
        self.advertised = self.advertised.max(self.window_end(config));
        self.acknowledged = self.next;
        self.due = AckDue::No;
        (self.next, self.advertised)
    }

    /// The next segment sent is to be sent now.
    pub(super) fn demand_ack(&mut self) {
        self.due = AckDue::Now;
    }

    pub(super) fn is_ack_due(&self) -> bool {
        self.due == AckDue::Now
    }

    pub(super) fn is_ack_owed(&self) -> bool {
        self.due != AckDue::No
    }

    /// Duplicate acknowledgements to be sent now, before anything else.
    pub(super) fn take_duplicate_acks(&mut self) -> u32 {
        mem::take(&mut self.duplicate_acks_due)
    }

    /// When a delayed acknowledgement can wait no longer.
    pub(super) fn deadline(&self) -> Option<u64> {
        if let AckDue::By(at) = self.due { Some(at) } else { None }
    }

    pub(super) fn expire(&mut self, now: u64) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.due = AckDue::Now;
        }
    }

    /// What is missing will not come any more; what has arrived can still be read.
    pub(super) fn give_up(&mut self) {
        self.out_of_order.clear();
    }

    /// Nobody will read the rest.
    pub(super) fn discard(&mut self) {
        self.unread.clear();
        self.unread_bytes = 0;
    }
}
