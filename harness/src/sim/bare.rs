//! The engine alone: the machines and packets of a recorded run, and nobody who thinks about them.
//!
//! It is what a simulation is measured against: whatever a run costs beyond this is ours. Models when each packet was
//! sent, and to whom. Does not model answers, contents or faults: a packet that a cut had dropped is not sent.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    rc::Rc,
    time::Duration,
};

use turmoil::net::UdpSocket;

use super::{SimError, TraceEvent, TraceKind};

const PORT: u16 = 1;

/// What each machine of a run sent, and when.
#[derive(Clone, Debug)]
pub struct BareTraffic {
    tick: Duration,
    latency: Range<Duration>,
    /// When the run ended, in virtual nanoseconds.
    end: u64,
    sent: Vec<Vec<Packet>>,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    at: u64,
    to: usize,
}

impl BareTraffic {
    /// The packets of a recorded trace between so many machines.
    pub fn of(trace: &[TraceEvent], machines: usize, tick: Duration, latency: Range<Duration>) -> Self {
        let mut sent = vec![Vec::new(); machines];
        for event in trace {
            let copies = match event.kind {
                TraceKind::PacketSent | TraceKind::PacketHeldUp => 1,
                TraceKind::PacketDuplicated => 2,
                _ => 0,
            };
            if let Some(from) = event.machine {
                let packet = Packet { at: event.at.0, to: event.receiver() };
                sent[from.0 as usize].extend(std::iter::repeat_n(packet, copies));
            }
        }
        Self { tick, latency, end: trace.last().map_or(0, |last| last.at.0), sent }
    }

    /// How many packets there are.
    pub fn packets(&self) -> u64 {
        self.sent.iter().map(|sent| sent.len() as u64).sum()
    }

    /// Sends them all once more; how many arrived. To be called inside [`run_isolated`](super::run_isolated).
    ///
    /// # Errors
    /// What the engine says if it fails.
    pub fn replay(&self) -> Result<u64, SimError> {
        let mut sim = turmoil::Builder::new()
            .rng_seed(1)
            .tick_duration(self.tick)
            .simulation_duration(Duration::MAX)
            .min_message_latency(self.latency.start)
            .max_message_latency(self.latency.end)
            .udp_capacity(self.packets() as usize + 1)
            .build();
        let arrived = Rc::new(Cell::new(0));
        let names: Vec<String> = (0..self.sent.len()).map(|number| format!("machine-{number}")).collect();
        let addresses: Rc<Vec<IpAddr>> = Rc::new(names.iter().map(|name| sim.lookup(name.as_str())).collect());
        for (name, sent) in names.iter().zip(&self.sent) {
            let (sent, addresses, arrived) = (Rc::new(sent.clone()), Rc::clone(&addresses), Rc::clone(&arrived));
            sim.host(name.as_str(), move || send_all(Rc::clone(&sent), Rc::clone(&addresses), Rc::clone(&arrived)));
        }
        while (sim.elapsed().as_nanos() as u64) < self.end {
            sim.step().map_err(|error| SimError::Engine(error.to_string()))?;
        }
        Ok(arrived.get())
    }
}

#[expect(clippy::disallowed_methods, reason = "below the platform, as the simulated machines' own kernels are")]
async fn send_all(sent: Rc<Vec<Packet>>, addresses: Rc<Vec<IpAddr>>, arrived: Rc<Cell<u64>>) -> turmoil::Result {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let began = tokio::time::Instant::now();
    let mut token = [0; 8];
    let mut due = sent.iter().peekable();
    loop {
        let next = due.peek().map_or(Duration::ZERO, |packet| Duration::from_nanos(packet.at));
        tokio::select! {
            biased;
            received = socket.recv_from(&mut token) => {
                received?;
                arrived.set(arrived.get() + 1);
            }
            () = tokio::time::sleep_until(began + next), if due.peek().is_some() => {
                let now = began.elapsed().as_nanos() as u64;
                while let Some(packet) = due.next_if(|packet| packet.at <= now) {
                    socket.try_send_to(&token, (addresses[packet.to], PORT))?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        history::Nanos,
        sim::{MachineId, run_isolated},
    };

    #[test]
    fn every_packet_that_was_sent_arrives_again_and_one_that_was_cut_is_not_sent() {
        let event = |at, kind, from, to: u64| TraceEvent {
            at: Nanos(at),
            machine: Some(MachineId(from)),
            kind,
            a: to << 48,
            b: 0,
        };
        let trace = [
            event(3_000_000, TraceKind::PacketSent, 0, 1),
            event(4_000_000, TraceKind::PacketDuplicated, 1, 0),
            event(5_000_000, TraceKind::PacketCut, 1, 0),
            event(90_000_000, TraceKind::PacketReceived, 1, 0),
        ];
        let traffic =
            BareTraffic::of(&trace, 2, Duration::from_millis(1), Duration::from_millis(1)..Duration::from_millis(5));
        assert_eq!(traffic.packets(), 3);
        assert_eq!(run_isolated(1, || traffic.replay()), Ok(Ok(3)));
    }
}
