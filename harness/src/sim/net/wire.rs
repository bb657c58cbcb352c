//! The wire between machines: which segments get through, which are cut, lost or doubled, and the counts of each.
//!
//! Models, for each direction of each pair of machines: a cut (what is sent during it, and what was under way when it
//! began, is gone), loss by chance, duplication by chance. Latency and reordering are turmoil's: every datagram draws
//! its own latency. Does not model: bandwidth, queues in switches, corrupted payloads (TCP's checksum turns those into
//! losses).

use super::Segment;
use crate::sim::{MachineId, dice::Dice};

/// What one direction of a link has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Segments handed to the link, without doublings.
    pub sent: u64,
    /// Segments that reached a machine with power.
    pub delivered: u64,
    /// Dropped by a cut.
    pub cut: u64,
    /// Lost by chance.
    pub lost: u64,
    pub duplicated: u64,
}

struct Link {
    cut: bool,
    /// Packets with a lower number were under way when a cut began.
    barrier: u64,
    loss: f64,
    duplicate: f64,
    counters: LinkCounters,
}

/// A segment under way, with its number in the order of sending.
struct Packet {
    number: u64,
    segment: Segment,
}

/// What became of a packet that reached its destination's host.
pub(in crate::sim) enum Arrival {
    Delivered(Segment),
    /// Its link was cut while it was under way.
    Cut(Segment),
}

/// What the wire did with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Departure {
    Cut,
    Lost,
    /// To be sent as the datagram with this token.
    Once(u64),
    Twice(u64, u64),
}

/// All links, and everything under way on them.
pub(in crate::sim) struct Wire {
    dice: Dice,
    loss: f64,
    duplicate: f64,
    /// By sender, then receiver.
    links: Vec<Vec<Link>>,
    /// By token; tokens are reused.
    under_way: Vec<Option<Packet>>,
    free: Vec<u64>,
    number_next: u64,
}

impl Wire {
    pub(in crate::sim) fn new(dice: Dice, loss: f64, duplicate: f64) -> Self {
        Self { dice, loss, duplicate, links: Vec::new(), under_way: Vec::new(), free: Vec::new(), number_next: 0 }
    }

    /// Makes room for a machine more.
    pub(in crate::sim) fn add_machine(&mut self) {
        let count = self.links.len() + 1;
        self.links.push(Vec::new());
        for row in &mut self.links {
            row.resize_with(count, || Link {
                cut: false,
                barrier: 0,
                loss: self.loss,
                duplicate: self.duplicate,
                counters: LinkCounters::default(),
            });
        }
    }

    fn link(&mut self, from: MachineId, to: MachineId) -> &mut Link {
        &mut self.links[from.0 as usize][to.0 as usize]
    }

    pub(in crate::sim) fn cut(&mut self, from: MachineId, to: MachineId) {
        let barrier = self.number_next;
        let link = self.link(from, to);
        link.cut = true;
        link.barrier = barrier;
    }

    pub(in crate::sim) fn uncut(&mut self, from: MachineId, to: MachineId) {
        self.link(from, to).cut = false;
    }

    pub(in crate::sim) fn set_loss(&mut self, from: MachineId, to: MachineId, probability: f64) {
        self.link(from, to).loss = probability;
    }

    pub(in crate::sim) fn set_duplicate(&mut self, from: MachineId, to: MachineId, probability: f64) {
        self.link(from, to).duplicate = probability;
    }

    pub(in crate::sim) fn counters(&self, from: MachineId, to: MachineId) -> LinkCounters {
        self.links[from.0 as usize][to.0 as usize].counters
    }

    /// Sends a segment on its way, or not.
    pub(in crate::sim) fn depart(&mut self, segment: Segment) -> Departure {
        let link = &mut self.links[segment.from.0 as usize][segment.to.0 as usize];
        link.counters.sent += 1;
        if link.cut {
            link.counters.cut += 1;
            return Departure::Cut;
        }
        if self.dice.chance(link.loss) {
            link.counters.lost += 1;
            return Departure::Lost;
        }
        if self.dice.chance(link.duplicate) {
            link.counters.duplicated += 1;
            return Departure::Twice(self.store(segment.clone()), self.store(segment));
        }
        Departure::Once(self.store(segment))
    }

    fn store(&mut self, segment: Segment) -> u64 {
        let packet = Some(Packet { number: self.number_next, segment });
        self.number_next += 1;
        if let Some(token) = self.free.pop() {
            self.under_way[token as usize] = packet;
            return token;
        }
        self.under_way.push(packet);
        self.under_way.len() as u64 - 1
    }

    /// The datagram with `token` has reached its destination, which has power or not.
    pub(in crate::sim) fn arrive(&mut self, token: u64, powered: bool) -> Arrival {
        let packet = self.under_way[token as usize].take().expect("a datagram arrives once");
        self.free.push(token);
        let link = self.link(packet.segment.from, packet.segment.to);
        if packet.number < link.barrier {
            link.counters.cut += 1;
            return Arrival::Cut(packet.segment);
        }
        link.counters.delivered += u64::from(powered);
        Arrival::Delivered(packet.segment)
    }
}
