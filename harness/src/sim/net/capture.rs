//! What every machine gave to the wire, with what became of it, for those who want to look at packets.
//!
//! It sees each segment once, where it leaves its sender, as a tool that captures on every sender's network card
//! would: the lost ones too, and a doubled one once. Capturing draws no dice and adds nothing to the trace, so that a
//! run does not know whether it is captured. What a machine says to itself does not go over the wire and is not here.

use bytes::Bytes;

use super::{Segment, segment::SegmentKind};
use crate::{history::Nanos, sim::MachineId};

/// A segment as it left its sender. Positions count the bytes of one direction of a stream from 0; its end is one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub sent: Nanos,
    pub from: MachineId,
    pub to: MachineId,
    /// The sender's end of the connection, unique in the world; 0: it has none.
    pub source: u64,
    /// The receiver's end; 0: the sender does not know it yet.
    pub destination: u64,
    pub word: Word,
    /// Of the first byte of the payload, or of the one that will come next.
    pub position: u64,
    /// Everything of the other direction before this position has arrived.
    pub acknowledged: u64,
    /// Up to this position of the other direction, the sender has room.
    pub window_end: u64,
    pub payload: Bytes,
    /// The direction ends after the payload.
    pub fin: bool,
    /// A keep-alive or a window probe.
    pub probe: bool,
    pub fate: Fate,
    /// The link carried it twice.
    pub doubled: bool,
}

/// What a packet says besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Opens a connection to this port.
    Syn {
        port: u16,
    },
    SynAck,
    Data,
    Reset,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The run ended first.
    UnderWay,
    Arrived(Nanos),
    Lost,
    /// By a cut, when it was sent or while it was under way.
    Cut,
    /// There was no room at a bottleneck.
    Overflowed,
    /// The receiver had no power.
    Unheard,
}

/// The position of a packet in the [`Capture`].
#[derive(Clone, Copy, Debug)]
pub(super) struct CaptureIndex(usize);

/// All packets so far.
#[derive(Default)]
pub(super) struct Capture(Vec<Packet>);

impl Capture {
    pub(super) fn departs(&mut self, now: u64, segment: &Segment) -> CaptureIndex {
        let word = match segment.kind {
            SegmentKind::Syn => Word::Syn { port: segment.sequence as u16 },
            SegmentKind::SynAck => Word::SynAck,
            SegmentKind::Data => Word::Data,
            SegmentKind::Reset => Word::Reset,
        };
        self.0.push(Packet {
            sent: Nanos(now),
            from: segment.from,
            to: segment.to,
            source: segment.source.0,
            destination: segment.destination.0,
            word,
            position: if matches!(word, Word::Syn { .. }) { 0 } else { segment.sequence },
            acknowledged: segment.acknowledged,
            window_end: segment.window_end,
            payload: segment.payload.clone(),
            fin: segment.fin,
            probe: segment.probe,
            fate: Fate::UnderWay,
            doubled: false,
        });
        CaptureIndex(self.0.len() - 1)
    }

    /// Of a doubled packet, the copy that arrives first counts, and then any that does.
    pub(super) fn fate(&mut self, index: CaptureIndex, fate: Fate) {
        let known = &mut self.0[index.0].fate;
        if !matches!(known, Fate::Arrived(_)) {
            *known = fate;
        }
    }

    pub(super) fn doubled(&mut self, index: CaptureIndex) {
        self.0[index.0].doubled = true;
    }

    pub(super) fn take(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.0)
    }
}
