//! The wire between machines: which segments get through, when, and which are cut, lost or doubled.
//!
//! Models each direction of each pair of machines as a [link](super::link), and what is under way: a cut takes what is
//! sent during it, and what was under way when it began, also what a link was holding up. The basic latency is
//! turmoil's: every datagram draws its own, which reorders them a little.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use super::{
    Fate, Packet as Captured, Segment,
    capture::{Capture, CaptureIndex},
    link::Link,
};
use crate::{
    history::Nanos,
    sim::{Bandwidth, LinkCounters, MachineId, Reorder, dice::Dice},
};

/// A segment under way, with its number in the order of sending.
struct Packet {
    number: u64,
    segment: Segment,
    captured: Option<CaptureIndex>,
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
    /// There was no room at a bottleneck.
    Overflowed,
    /// Held up: [`Wire::due`] yields it in time, and its double, if it has one.
    HeldUp,
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
    /// By sender, then due time and packet number: tokens that are held up, with their receivers.
    held_up: Vec<BTreeMap<(u64, u64), (u64, MachineId)>>,
    /// By token; tokens are reused.
    under_way: Vec<Option<Packet>>,
    free: Vec<u64>,
    number_next: u64,
    /// Everything that departs, if somebody wants to know.
    capture: Option<Capture>,
}

impl Wire {
    pub(in crate::sim) fn new(dice: Dice, loss: f64, duplicate: f64, capture: bool) -> Self {
        Self {
            dice,
            loss,
            duplicate,
            links: Vec::new(),
            held_up: Vec::new(),
            under_way: Vec::new(),
            free: Vec::new(),
            number_next: 0,
            capture: capture.then(Capture::default),
        }
    }

    /// Makes room for a machine more.
    pub(in crate::sim) fn add_machine(&mut self) {
        let count = self.links.len() + 1;
        self.links.push(Vec::new());
        self.held_up.push(BTreeMap::new());
        for row in &mut self.links {
            row.resize_with(count, || Link::new(self.loss, self.duplicate));
        }
    }

    fn link(&mut self, from: MachineId, to: MachineId) -> &mut Link {
        &mut self.links[from.0 as usize][to.0 as usize]
    }

    pub(in crate::sim) fn cut(&mut self, from: MachineId, to: MachineId) {
        let barrier = self.number_next;
        let link = self.link(from, to);
        link.is_cut = true;
        link.barrier = barrier;
    }

    pub(in crate::sim) fn uncut(&mut self, from: MachineId, to: MachineId) {
        self.link(from, to).is_cut = false;
    }

    pub(in crate::sim) fn set_loss(&mut self, from: MachineId, to: MachineId, probability: f64) {
        self.link(from, to).loss = probability;
    }

    pub(in crate::sim) fn set_duplicate(&mut self, from: MachineId, to: MachineId, probability: f64) {
        self.link(from, to).duplicate = probability;
    }

    pub(in crate::sim) fn set_latency(&mut self, from: MachineId, to: MachineId, extra: Range<Duration>) {
        self.link(from, to).set_latency(extra);
    }

    pub(in crate::sim) fn set_reorder(&mut self, from: MachineId, to: MachineId, reorder: Option<Reorder>) {
        self.link(from, to).set_reorder(reorder);
    }

    pub(in crate::sim) fn set_bandwidth(&mut self, from: MachineId, to: MachineId, bandwidth: Option<Bandwidth>) {
        self.link(from, to).set_bandwidth(bandwidth);
    }

    pub(in crate::sim) fn counters(&self, from: MachineId, to: MachineId) -> LinkCounters {
        self.links[from.0 as usize][to.0 as usize].counters
    }

    /// Sends a segment on its way, or not.
    pub(in crate::sim) fn depart(&mut self, now: u64, segment: Segment) -> Departure {
        let captured = self.capture.as_mut().map(|capture| capture.departs(now, &segment));
        let departure = self.send(now, segment, captured);
        let fate = match departure {
            Departure::Cut => Fate::Cut,
            Departure::Lost => Fate::Lost,
            Departure::Overflowed => Fate::Overflowed,
            Departure::HeldUp | Departure::Once(_) | Departure::Twice(..) => return departure,
        };
        self.note(captured, fate);
        departure
    }

    fn send(&mut self, now: u64, segment: Segment, captured: Option<CaptureIndex>) -> Departure {
        let (from, to) = (segment.from, segment.to);
        let link = &mut self.links[from.0 as usize][to.0 as usize];
        link.counters.sent += 1;
        if link.is_cut {
            link.counters.cut += 1;
            return Departure::Cut;
        }
        if self.dice.chance(link.loss) {
            link.counters.lost += 1;
            return Departure::Lost;
        }
        let Some(held_up) = link.hold_up(now, segment.payload.len(), &mut self.dice) else {
            return Departure::Overflowed;
        };
        let double = self.dice.chance(link.duplicate).then(|| segment.clone());
        link.counters.duplicated += u64::from(double.is_some());
        if let (Some(capture), Some(captured), true) = (&mut self.capture, captured, double.is_some()) {
            capture.doubled(captured);
        }
        // Packets take numbers in turn: what is held up is kept by its own, or one would take another's place.
        let number = self.number_next;
        let first = self.store(segment, captured);
        let second = double.map(|segment| self.store(segment, captured));
        if held_up > 0 {
            for (position, token) in (0..).zip([Some(first), second].into_iter().flatten()) {
                self.held_up[from.0 as usize].insert((now + held_up, number + position), (token, to));
            }
            return Departure::HeldUp;
        }
        second.map_or(Departure::Once(first), |second| Departure::Twice(first, second))
    }

    /// When the first of what a sender's links hold up is due.
    pub(in crate::sim) fn due_next(&self, from: MachineId) -> Option<u64> {
        self.held_up[from.0 as usize].first_key_value().map(|((due, _), _)| *due)
    }

    /// The next datagram of a sender that has been held up for long enough: its token and receiver.
    pub(in crate::sim) fn due(&mut self, from: MachineId, now: u64) -> Option<(u64, MachineId)> {
        let first = self.held_up[from.0 as usize].first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn store(&mut self, segment: Segment, captured: Option<CaptureIndex>) -> u64 {
        let packet = Some(Packet { number: self.number_next, segment, captured });
        self.number_next += 1;
        if let Some(token) = self.free.pop() {
            self.under_way[token as usize] = packet;
            return token;
        }
        self.under_way.push(packet);
        self.under_way.len() as u64 - 1
    }

    fn note(&mut self, captured: Option<CaptureIndex>, fate: Fate) {
        if let (Some(capture), Some(captured)) = (&mut self.capture, captured) {
            capture.fate(captured, fate);
        }
    }

    /// Takes what has been captured; empty if nothing was to be.
    pub(in crate::sim) fn take_captured(&mut self) -> Vec<Captured> {
        self.capture.as_mut().map(Capture::take).unwrap_or_default()
    }

    /// The datagram with `token` has reached its destination, which has power or not.
    pub(in crate::sim) fn arrive(&mut self, now: u64, token: u64, powered: bool) -> Arrival {
        let packet = self.under_way[token as usize].take().expect("a datagram arrives once");
        self.free.push(token);
        let link = self.link(packet.segment.from, packet.segment.to);
        if packet.number < link.barrier {
            link.counters.cut += 1;
            self.note(packet.captured, Fate::Cut);
            return Arrival::Cut(packet.segment);
        }
        link.counters.overtaken += u64::from(packet.number < link.arrived_next);
        link.arrived_next = link.arrived_next.max(packet.number + 1);
        link.counters.delivered += u64::from(powered);
        self.note(packet.captured, if powered { Fate::Arrived(Nanos(now)) } else { Fate::Unheard });
        Arrival::Delivered(packet.segment)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{
        super::{ConnectionId, segment::SegmentKind},
        *,
    };

    const FROM: MachineId = MachineId(0);
    const TO: MachineId = MachineId(1);

    fn segment(sequence: u64) -> Segment {
        Segment {
            from: FROM,
            to: TO,
            source: ConnectionId(1),
            destination: ConnectionId(2),
            kind: SegmentKind::Data,
            sequence,
            acknowledged: 0,
            window_end: 0,
            payload: Bytes::from_static(b"x"),
            fin: false,
            probe: false,
        }
    }

    #[test]
    fn doubles_and_what_follows_them_at_one_instant_all_arrive() {
        let mut wire = Wire::new(Dice::new(1, 0), 0.0, 0.0, false);
        wire.add_machine();
        wire.add_machine();
        let late = Duration::from_millis(100);
        wire.set_latency(FROM, TO, late..late);
        for (sequence, doubled) in [(1, 1.0), (2, 0.0), (3, 1.0), (4, 1.0), (5, 0.0)] {
            wire.set_duplicate(FROM, TO, doubled);
            assert_eq!(wire.depart(0, segment(sequence)), Departure::HeldUp);
        }
        let due = wire.due_next(FROM).expect("something is held up");
        let mut arrived = Vec::new();
        while let Some((token, _)) = wire.due(FROM, due) {
            let Arrival::Delivered(segment) = wire.arrive(due, token, true) else { panic!("nothing is cut") };
            arrived.push(segment.sequence);
        }
        assert_eq!(arrived, [1, 1, 2, 3, 3, 4, 4, 5], "in the order of sending, each as often as it was sent");
        assert!(wire.under_way.iter().all(Option::is_none), "nothing is left behind");
    }
}
