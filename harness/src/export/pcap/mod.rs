//! The packets of a run as a capture file (pcapng) that Wireshark, tshark and tcpdump read: every client's AMQP
//! connection on port 5672, every connection between nodes on port 25672.
//!
//! [`tcp`] dresses our segments as TCP over IPv4, [`blocks`] puts them into the file. The capture is taken where
//! packets leave their sender: one interface for each machine, lost packets included. A comment says of each packet
//! that did not simply arrive what became of it (`frame.comment` in Wireshark's filters). Times are virtual; the file's
//! epoch is the start of the run.

mod blocks;
mod tcp;

use std::io::{self, Write};

use crate::sim::{Fate, MachineId, Packet};

use self::{
    blocks::Blocks,
    tcp::{Conversations, address},
};

/// What a capture held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    pub packets: u64,
    pub connections: u64,
    /// Packets that never arrived.
    pub gone: u64,
}

/// Writes `packets`, which went between `machines`. `title` says what run that was.
///
/// # Errors
/// Those of `out`.
pub fn write(out: &mut dyn Write, title: &str, packets: &[Packet], machines: &[String]) -> io::Result<Captured> {
    let mut blocks = Blocks::begin(out, title)?;
    for name in machines {
        blocks.interface(name)?;
    }
    blocks.names((0..).zip(machines).map(|(id, name)| (address(MachineId(id)), name.as_str())))?;
    // Within a tick, machines run one after another, so their times overlap; nothing reaches another machine within the
    // tick, so that the order of times is as good an order of cause and effect.
    let mut order: Vec<&Packet> = packets.iter().collect();
    order.sort_by_key(|packet| packet.sent);
    let mut conversations = Conversations::default();
    let mut captured = Captured { packets: packets.len() as u64, ..Captured::default() };
    for packet in order {
        let datagram = conversations.datagram(packet);
        blocks.packet(packet.from.0, packet.sent.0, &datagram, comment(packet))?;
        captured.gone += u64::from(!matches!(packet.fate, Fate::Arrived(_) | Fate::UnderWay));
    }
    captured.connections = conversations.count();
    Ok(captured)
}

fn comment(packet: &Packet) -> Option<&'static str> {
    match packet.fate {
        Fate::Arrived(_) if packet.doubled => Some("doubled on its way"),
        Fate::Arrived(_) => None,
        Fate::UnderWay => Some("under way when the run ended"),
        Fate::Lost => Some("lost by chance"),
        Fate::Cut => Some("lost to a cut"),
        Fate::Overflowed => Some("dropped at a bottleneck"),
        Fate::Unheard => Some("unheard: the receiver had no power"),
    }
}
