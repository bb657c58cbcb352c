//! What travels in one datagram.
//!
//! Models: what TCP's header says as far as [`connection`](super::connection) needs it: both ends, position,
//! acknowledgement, window, the marks that open, end and reset. Does not model: options, checksums (nothing is ever
//! corrupted on its way, see [`link`](super::link)), urgent data, fragments; positions have 64 bits and never wrap.

use bytes::Bytes;

use super::ConnectionId;
use crate::sim::MachineId;

/// A piece of a stream, or a word about it. It is not encoded: the datagram carries only the number under which the
/// [wire](super::wire) keeps the segment, so that a payload is never copied on its way.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Segment {
    pub(in crate::sim) from: MachineId,
    pub(in crate::sim) to: MachineId,
    /// The sender's end of the connection.
    pub(super) source: ConnectionId,
    /// The receiver's end; zero in the first segment, whose sender does not know it yet.
    pub(super) destination: ConnectionId,
    pub(super) kind: SegmentKind,
    /// Position of the first payload byte in the stream.
    pub(super) sequence: u64,
    /// Everything before this position has arrived at the sender of this segment.
    pub(super) acknowledged: u64,
    /// The sender of this segment has room up to this position. An absolute edge that never moves back, where TCP
    /// sends a width.
    pub(super) window_end: u64,
    pub(super) payload: Bytes,
    /// The stream ends after the payload; the end counts as one position.
    pub(super) fin: bool,
    /// The receiver should answer at once: a keep-alive or a window probe.
    pub(super) probe: bool,
}

impl Segment {
    /// Positions that the segment covers.
    pub(super) fn len(&self) -> u64 {
        self.payload.len() as u64 + u64::from(self.fin)
    }

    /// For the trace: who talks to whom.
    pub(in crate::sim) fn trace_a(&self) -> u64 {
        u64::from(self.to.0) << 48 | (self.source.0 & 0xffff_ffff) << 8 | self.kind as u64
    }

    /// For the trace: what is said.
    pub(in crate::sim) fn trace_b(&self) -> u64 {
        self.sequence.rotate_left(32) ^ self.acknowledged.rotate_left(16) ^ self.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SegmentKind {
    /// Opens a connection; `sequence` is the port.
    Syn,
    SynAck,
    Data,
    Reset,
}
