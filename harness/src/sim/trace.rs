//! Everything that happened, folded into one number: two runs are the same run when their trace hashes agree.
//!
//! Packets, disk operations, process events, observations and client operations each leave a record of fixed size.
//! Contents are not hashed, only their shape (lengths, positions, numbers); what differs in content soon differs in
//! shape.

use std::{
    cell::{Cell, RefCell},
    fmt::{self, Write},
};

use xxhash_rust::xxh3::Xxh3;

use super::MachineId;
use crate::history::Nanos;

/// Whether the events themselves are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMode {
    /// Only the rolling hash and the count.
    #[default]
    HashOnly,
    /// Every event too, 40 bytes each, for comparing two runs.
    Record,
}

/// What kind of event it was, and what its two arguments mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum TraceKind {
    /// `a`: receiver and connection, `b`: sequence number and length.
    PacketSent,
    PacketReceived,
    /// Dropped by a cut, at either end of its way.
    PacketCut,
    /// Lost by chance.
    PacketLost,
    PacketDuplicated,
    /// Held up by latency, a bottleneck or to be overtaken.
    PacketHeldUp,
    /// Found no room at a bottleneck.
    PacketOverflowed,
    /// It reached a machine without power.
    PacketUnheard,
    /// `a`: file, `b`: length.
    DiskRead,
    DiskWrite,
    /// `a`: file (or 0 for names), `b`: bytes made durable.
    DiskSynced,
    /// `a`: file (or 0 for names), `b`: errno.
    DiskFailed,
    /// `a`: operation, `b`: hash of the name.
    DiskName,
    /// `a`: bytes lost, `b`: bytes that survived although unsynced.
    DiskPowerLoss,
    /// A bit of synced data has flipped. `a`: file, `b`: position.
    DiskRotted,
    /// A sector landed in the place of another one. `a`: file, `b`: the two sectors.
    DiskMisdirected,
    /// `a`: bytes that were on the old disk.
    DiskWiped,
    /// `a`: how many times the process has started.
    ProcessStarted,
    ProcessExited,
    ProcessKilled,
    PowerLost,
    Paused,
    Resumed,
    /// `a`: nanoseconds that a poll costs.
    ProcessorSlowed,
    /// `a`: what has changed, `b`: how.
    ClockChanged,
    /// `a`: the other machine.
    Cut,
    Uncut,
    StreamsReset,
    /// Another property of a link has changed. `a`: the other machine, `b`: a hash of the new value.
    LinkChanged,
    /// The broker took a rare turn. `a`: the chaos point.
    ChaosPoint,
    /// `a`: hash of the observation.
    Observation,
    /// Whatever the workload records: `a` and `b` are its own.
    Client,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    pub at: Nanos,
    /// `None`: the world itself.
    pub machine: Option<MachineId>,
    pub kind: TraceKind,
    pub a: u64,
    pub b: u64,
}

impl TraceEvent {
    /// The number of the machine that a packet goes to, as `Segment::trace_a` packs it.
    pub(super) fn receiver(&self) -> usize {
        (self.a >> 48) as usize
    }

    /// The event in words: when, where, what. `machines` are the names of the world's machines, see
    /// [`World::machine_names`](super::World::machine_names).
    pub fn describe(&self, machines: &[String]) -> String {
        let name = |id: u64| usize::try_from(id).ok().and_then(|id| machines.get(id)).map_or("?", String::as_str);
        let (seconds, nanos) = (self.at.0 / 1_000_000_000, self.at.0 % 1_000_000_000);
        let place = self.machine.map_or("world", |machine| name(machine.0.into()));
        let mut text = format!("{seconds}.{nanos:09} s  {place:<8} {}", self.kind.verb());
        let (a, b) = (self.a, self.b);
        // A string takes everything.
        let _ = match self.kind.arguments() {
            Arguments::None => Ok(()),
            Arguments::Packet => {
                let (to, connection) = (name(self.receiver() as u64), a >> 8 & 0xff_ffff_ffff);
                write!(text, " to {to}, connection {connection}, shape {b:#x}")
            }
            Arguments::File(what) => write!(text, " file {a}, {what} {b:#x}"),
            Arguments::Other => write!(text, " {}", name(a)),
            Arguments::Number(what) => write!(text, " ({what} {a})"),
            Arguments::Hash => write!(text, " {a:#x} {b:#x}"),
        };
        text
    }
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(&[]))
    }
}

/// What the two arguments of an event are.
enum Arguments {
    None,
    /// A segment: whom it goes to on which connection, and the shape of what it says.
    Packet,
    /// A file and something about it.
    File(&'static str),
    /// Another machine.
    Other,
    /// One number.
    Number(&'static str),
    Hash,
}

impl TraceKind {
    fn verb(self) -> &'static str {
        match self {
            Self::PacketSent => "sends a packet",
            Self::PacketReceived => "receives a packet",
            Self::PacketCut => "loses a packet to a cut",
            Self::PacketLost => "loses a packet by chance",
            Self::PacketDuplicated => "sends a packet twice",
            Self::PacketHeldUp => "holds a packet up",
            Self::PacketOverflowed => "drops a packet at a bottleneck",
            Self::PacketUnheard => "is dark and misses a packet",
            Self::DiskRead => "reads",
            Self::DiskWrite => "writes",
            Self::DiskSynced => "has synced",
            Self::DiskFailed => "cannot sync",
            Self::DiskName => "changes a file's name",
            Self::DiskPowerLoss => "loses unsynced bytes",
            Self::DiskRotted => "has a bit flip in",
            Self::DiskMisdirected => "misdirects a sector of",
            Self::DiskWiped => "gets an empty disk",
            Self::ProcessStarted => "starts",
            Self::ProcessExited => "ends by itself",
            Self::ProcessKilled => "is killed",
            Self::PowerLost => "loses power",
            Self::Paused => "is paused",
            Self::Resumed => "goes on",
            Self::ProcessorSlowed => "gets a slow processor",
            Self::ClockChanged => "has its clock changed",
            Self::Cut => "no longer reaches",
            Self::Uncut => "reaches again",
            Self::StreamsReset => "has its connections reset with",
            Self::LinkChanged => "has its link changed to",
            Self::ChaosPoint => "takes a rare turn at",
            Self::Observation => "observes",
            Self::Client => "records",
        }
    }

    fn arguments(self) -> Arguments {
        match self {
            Self::PacketSent
            | Self::PacketReceived
            | Self::PacketCut
            | Self::PacketLost
            | Self::PacketDuplicated
            | Self::PacketHeldUp
            | Self::PacketOverflowed
            | Self::PacketUnheard => Arguments::Packet,
            Self::DiskRead | Self::DiskSynced => Arguments::File("bytes"),
            Self::DiskWrite => Arguments::File("place and bytes"),
            Self::DiskFailed => Arguments::File("errno"),
            Self::DiskRotted | Self::DiskMisdirected => Arguments::File("at"),
            Self::DiskPowerLoss => Arguments::Number("bytes lost"),
            Self::DiskWiped => Arguments::Number("bytes gone"),
            Self::ChaosPoint => Arguments::Number("chaos point"),
            Self::ProcessStarted => Arguments::Number("start"),
            Self::Resumed => Arguments::Number("polls held"),
            Self::ProcessorSlowed => Arguments::Number("nanoseconds a poll"),
            Self::Cut | Self::Uncut | Self::StreamsReset | Self::LinkChanged => Arguments::Other,
            Self::ProcessExited | Self::ProcessKilled | Self::PowerLost | Self::Paused => Arguments::None,
            Self::DiskName | Self::ClockChanged | Self::Observation | Self::Client => Arguments::Hash,
        }
    }
}

/// Where two runs part: the position of the first difference, and the event of each (`None`: it had ended).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    pub position: usize,
    pub first: Option<TraceEvent>,
    pub second: Option<TraceEvent>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |event: Option<TraceEvent>| event.map_or("nothing more".to_owned(), |event| event.to_string());
        write!(f, "event {}: first run {}; second run {}", self.position, show(self.first), show(self.second))
    }
}

/// The first event that differs between two recorded runs; `None` if they are the same.
pub fn first_difference(first: &[TraceEvent], second: &[TraceEvent]) -> Option<Divergence> {
    let position = first.iter().zip(second).position(|(a, b)| a != b).unwrap_or(first.len().min(second.len()));
    let (a, b) = (first.get(position).copied(), second.get(position).copied());
    (a != b).then_some(Divergence { position, first: a, second: b })
}

/// The rolling record of one simulation.
pub(super) struct Trace {
    hash: RefCell<Xxh3>,
    events: Cell<u64>,
    recorded: Option<RefCell<Vec<TraceEvent>>>,
}

impl Trace {
    pub(super) fn new(mode: TraceMode) -> Self {
        Self {
            hash: RefCell::new(Xxh3::new()),
            events: Cell::new(0),
            recorded: (mode == TraceMode::Record).then(RefCell::default),
        }
    }

    pub(super) fn add(&self, event: TraceEvent) {
        let mut record = [0; 32];
        record[..8].copy_from_slice(&event.at.0.to_le_bytes());
        let machine = event.machine.map_or(u32::MAX, |machine| machine.0);
        record[8..12].copy_from_slice(&machine.to_le_bytes());
        record[12..14].copy_from_slice(&(event.kind as u16).to_le_bytes());
        record[16..24].copy_from_slice(&event.a.to_le_bytes());
        record[24..].copy_from_slice(&event.b.to_le_bytes());
        self.hash.borrow_mut().update(&record);
        self.events.set(self.events.get() + 1);
        if let Some(recorded) = &self.recorded {
            recorded.borrow_mut().push(event);
        }
    }

    /// The hash over all events so far, and their number.
    pub(super) fn hash(&self) -> (u64, u64) {
        (self.hash.borrow().digest(), self.events.get())
    }

    /// Takes what was recorded; empty with [`TraceMode::HashOnly`].
    pub(super) fn take(&self) -> Vec<TraceEvent> {
        self.recorded.as_ref().map(RefCell::take).unwrap_or_default()
    }
}
