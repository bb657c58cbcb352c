//! Our segments in the clothes of TCP over IPv4.
//!
//! Positions of a stream become sequence numbers behind an initial number that belongs to the end of the connection,
//! so that no two lives of a port are mistaken for each other. What our streams do not have is left out: there is no
//! congestion window, no selective acknowledgement, no timestamp. A segment may carry 32 KiB, more than any Ethernet
//! would; the SYN's maximum segment size says so. A keep-alive or window probe repeats the position before the next
//! one, as TCP's do, for ours say it with a flag.

use std::{collections::BTreeMap, net::Ipv4Addr};

use crate::sim::{MachineId, Packet, Word};

/// Where Linux begins to hand out the ports of those who dial.
const DIALLING_PORT_FIRST: u16 = 32_768;
const DIALLING_PORTS: u64 = 28_232;
/// Windows are told in units of 8 bytes: that is enough for 512 KiB.
const WINDOW_SHIFT: u8 = 3;
const SEGMENT_BYTES_MAX: u16 = 32 << 10;
const IP_BYTES: usize = 20;
const PROTOCOL_TCP: u8 = 6;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

/// The address of a machine in a capture. The simulated machines have none: they dial each other by name.
pub(super) fn address(machine: MachineId) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a00_0001 + machine.0)
}

/// All connections so far, by the end that dialled.
#[derive(Default)]
pub(super) struct Conversations {
    ports: BTreeMap<u64, Ports>,
    /// By machine: how often it has dialled.
    dials: BTreeMap<MachineId, u64>,
}

#[derive(Clone, Copy)]
struct Ports {
    dialling: u16,
    dialled: u16,
}

impl Conversations {
    pub(super) fn count(&self) -> u64 {
        self.ports.len() as u64
    }

    /// The packet from its IP header on.
    pub(super) fn datagram(&mut self, packet: &Packet) -> Vec<u8> {
        if let Word::Syn { port } = packet.word {
            self.dial(packet, port);
        }
        let mut segment = self.segment(packet);
        let (from, to) = (address(packet.from).octets(), address(packet.to).octets());
        let length = segment.len() as u16;
        let pseudo = [&from[..], &to, &[0, PROTOCOL_TCP], &length.to_be_bytes()].concat();
        let checksum = checksum(&[&pseudo, &segment]);
        segment[16..18].copy_from_slice(&checksum.to_be_bytes());
        let mut datagram = header(from, to, IP_BYTES + segment.len());
        datagram.append(&mut segment);
        datagram
    }

    fn dial(&mut self, packet: &Packet, dialled: u16) {
        let dials = &mut self.dials;
        self.ports.entry(packet.source).or_insert_with(|| {
            let dial = dials.entry(packet.from).or_default();
            let dialling = DIALLING_PORT_FIRST + (*dial % DIALLING_PORTS) as u16;
            *dial += 1;
            Ports { dialling, dialled }
        });
    }

    fn segment(&self, packet: &Packet) -> Vec<u8> {
        let (from, to) = match (self.ports.get(&packet.source), self.ports.get(&packet.destination)) {
            (Some(ports), _) => (ports.dialling, ports.dialled),
            (None, Some(ports)) => (ports.dialled, ports.dialling),
            (None, None) => unreachable!("the first packet of a connection is its SYN"),
        };
        let (sequence, acknowledged) = (sequence(packet), acknowledged(packet));
        let window = packet.window_end.saturating_sub(packet.acknowledged);
        let opening = matches!(packet.word, Word::Syn { .. } | Word::SynAck);
        let shift = if opening { 0 } else { WINDOW_SHIFT };
        let window = window.div_ceil(1 << shift).min(u16::MAX.into()) as u16;
        let options: &[u8] = if opening {
            let [high, low] = SEGMENT_BYTES_MAX.to_be_bytes();
            &[2, 4, high, low, 3, 3, WINDOW_SHIFT, 1]
        } else {
            &[]
        };
        let words = (20 + options.len() as u8) / 4;
        let mut segment = Vec::with_capacity(usize::from(words) * 4 + packet.payload.len());
        segment.extend(from.to_be_bytes());
        segment.extend(to.to_be_bytes());
        segment.extend(sequence.to_be_bytes());
        segment.extend(acknowledged.to_be_bytes());
        segment.extend([words << 4, flags(packet)]);
        segment.extend(window.to_be_bytes());
        // The checksum, which is filled in later, and the urgent pointer.
        segment.extend([0; 4]);
        segment.extend(options);
        segment.extend(&packet.payload);
        segment
    }
}

fn flags(packet: &Packet) -> u8 {
    let push = if packet.payload.is_empty() { 0 } else { PSH };
    let fin = if packet.fin { FIN } else { 0 };
    match packet.word {
        Word::Syn { .. } => SYN,
        Word::SynAck => SYN | ACK,
        Word::Data => ACK | push | fin,
        Word::Reset => RST | ACK,
    }
}

/// The sequence number of an end's SYN: another one for each end there ever is.
fn initial(end: u64) -> u32 {
    (end as u32).wrapping_mul(0x9e37_79b1)
}

/// The number of a position: the SYN comes before the first byte.
fn numbered(end: u64, position: u64) -> u32 {
    initial(end).wrapping_add(1).wrapping_add(position as u32)
}

fn sequence(packet: &Packet) -> u32 {
    match packet.word {
        Word::Syn { .. } | Word::SynAck => initial(packet.source),
        // Who refuses a dial never had a stream.
        Word::Reset if packet.source == 0 => 0,
        Word::Reset => numbered(packet.source, packet.position),
        Word::Data => numbered(packet.source, packet.position).wrapping_sub(packet.probe.into()),
    }
}

fn acknowledged(packet: &Packet) -> u32 {
    match packet.word {
        Word::Syn { .. } => 0,
        // A refused dial: what was refused is the SYN, whose own position is the port.
        Word::Reset if packet.source == 0 => numbered(packet.destination, 0),
        Word::SynAck | Word::Data | Word::Reset => numbered(packet.destination, packet.acknowledged),
    }
}

fn header(from: [u8; 4], to: [u8; 4], length: usize) -> Vec<u8> {
    let mut header = vec![0x45, 0];
    header.extend((length as u16).to_be_bytes());
    // No identification, for it is never to be fragmented; at most 64 hops.
    header.extend([0, 0, 0x40, 0, 64, PROTOCOL_TCP, 0, 0]);
    header.extend(from);
    header.extend(to);
    let checksum = checksum(&[&header]);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    header
}

/// RFC 1071, over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u64 = words.map(|word| u64::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]))).sum();
    let mut sum = sum;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{history::Nanos, sim::Fate};

    const CLIENT: (MachineId, u64) = (MachineId(3), 7);
    const NODE: (MachineId, u64) = (MachineId(0), 8);

    fn packet(from: (MachineId, u64), to: (MachineId, u64), word: Word) -> Packet {
        Packet {
            sent: Nanos(0),
            from: from.0,
            to: to.0,
            source: from.1,
            destination: to.1,
            word,
            position: 0,
            acknowledged: 0,
            window_end: 262_144,
            payload: Bytes::new(),
            fin: false,
            probe: false,
            fate: Fate::UnderWay,
            doubled: false,
        }
    }

    /// What a receiver reads of a datagram.
    #[derive(Debug, PartialEq, Eq)]
    struct Read {
        ports: (u16, u16),
        sequence: u32,
        acknowledged: u32,
        flags: u8,
        window: u16,
        payload: Vec<u8>,
    }

    fn read(datagram: &[u8]) -> Read {
        let short = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
        let long = |at: usize| u32::from(short(at)) << 16 | u32::from(short(at + 2));
        assert_eq!(usize::from(short(2)), datagram.len());
        assert_eq!(checksum(&[&datagram[..20]]), 0, "the IP header's checksum is right");
        let length = (datagram.len() as u16 - 20).to_be_bytes();
        let pseudo = [&datagram[12..20], &[0, 6], &length].concat();
        assert_eq!(checksum(&[&pseudo, &datagram[20..]]), 0, "the TCP checksum is right");
        Read {
            ports: (short(20), short(22)),
            sequence: long(24),
            acknowledged: long(28),
            flags: datagram[33],
            window: short(34),
            payload: datagram[20 + usize::from(datagram[32] >> 4) * 4..].to_vec(),
        }
    }

    /// A conversation after the client's SYN and the node's answer.
    fn opened() -> (Conversations, Read, Read) {
        let mut conversations = Conversations::default();
        let syn = packet(CLIENT, (NODE.0, 0), Word::Syn { port: 5672 });
        let syn = read(&conversations.datagram(&syn));
        let answer = read(&conversations.datagram(&packet(NODE, CLIENT, Word::SynAck)));
        (conversations, syn, answer)
    }

    #[test]
    fn a_dial_is_a_handshake_and_the_first_byte_follows_the_syn() {
        let (mut conversations, syn, answer) = opened();
        assert_eq!((syn.flags, syn.acknowledged, syn.ports.1), (SYN, 0, 5672));
        assert_eq!((answer.flags, answer.acknowledged), (SYN | ACK, syn.sequence + 1));
        assert_eq!(answer.ports, (syn.ports.1, syn.ports.0));
        let mut data = packet(CLIENT, NODE, Word::Data);
        (data.position, data.acknowledged, data.window_end) = (3, 5, 5 + 801);
        (data.payload, data.fin) = (Bytes::from_static(b"odd"), true);
        let data = read(&conversations.datagram(&data));
        assert_eq!((data.sequence, data.acknowledged), (syn.sequence + 4, answer.sequence + 6));
        assert_eq!((data.flags, &data.payload[..]), (ACK | PSH | FIN, &b"odd"[..]));
        assert_eq!(data.window, 101, "in units of 8 bytes, and never less than there is");
    }

    #[test]
    fn a_repeated_syn_keeps_its_port_and_another_dial_gets_another() {
        let (mut conversations, syn, _) = opened();
        let repeated = packet(CLIENT, (NODE.0, 0), Word::Syn { port: 5672 });
        assert_eq!(read(&conversations.datagram(&repeated)), syn);
        let other = packet((CLIENT.0, 9), (NODE.0, 0), Word::Syn { port: 5672 });
        let other = read(&conversations.datagram(&other));
        assert_ne!((other.ports, other.sequence), (syn.ports, syn.sequence));
        assert_eq!(conversations.count(), 2);
    }

    #[test]
    fn a_refused_dial_is_answered_with_a_reset_that_acknowledges_the_syn() {
        let mut conversations = Conversations::default();
        let syn = read(&conversations.datagram(&packet(CLIENT, (NODE.0, 0), Word::Syn { port: 5672 })));
        // As the stack refuses: the acknowledged position is the one of the SYN, which is the port.
        let mut reset = packet((NODE.0, 0), CLIENT, Word::Reset);
        (reset.acknowledged, reset.window_end) = (5672, 0);
        let reset = read(&conversations.datagram(&reset));
        assert_eq!((reset.flags, reset.sequence, reset.acknowledged), (RST | ACK, 0, syn.sequence + 1));
    }

    #[test]
    fn a_probe_repeats_the_position_before_the_next() {
        let (mut conversations, syn, _) = opened();
        let mut probe = packet(CLIENT, NODE, Word::Data);
        (probe.position, probe.probe) = (10, true);
        assert_eq!(read(&conversations.datagram(&probe)).sequence, syn.sequence + 10);
    }
}
