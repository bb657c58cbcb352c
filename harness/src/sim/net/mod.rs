//! The simulated network: reliable streams over turmoil's datagrams, and what can go wrong below them.
//!
//! [`wire`] carries segments between machines; [`link`] is one direction of it, which loses, delays, cuts and doubles
//! them; [`connection`] is one end of a stream
//! ([`reassembly`] its receiving half); [`stack`] is all ends of a machine; [`stream`] is what a process holds of it;
//! [`capture`] is a record of the wire for those who look at packets.

mod capture;
mod connection;
mod link;
mod reassembly;
mod segment;
mod stack;
mod stream;
mod wire;

use std::time::Duration;

pub use capture::{Fate, Packet, Word};
pub use link::{Bandwidth, LinkCounters, Reorder};
pub(super) use segment::Segment;
pub(super) use stack::{Kernel, Stack};
pub use stream::{SimListener, SimStream};
pub(super) use stream::{connect, listen};
pub(super) use wire::{Arrival, Departure, Wire};

/// One end of a connection, unique in the world and for ever. Zero is nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sim) struct ConnectionId(pub(in crate::sim) u64);

/// How the streams of all machines behave. The defaults are those of a tuned server on a local network; an untuned
/// Linux gives up on a connection only after minutes.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Retransmission timeout before the first round trip was measured.
    pub timeout_initial: Duration,
    pub timeout_min: Duration,
    /// Backoff doubles the timeout up to this.
    pub timeout_max: Duration,
    /// A dial without any answer fails with `TimedOut` after this.
    pub connect_timeout: Duration,
    /// A stream fails with `TimedOut` when sent data stays unacknowledged, or the peer silent, for this long.
    pub user_timeout: Duration,
    /// A silent peer is probed after this, then once per interval.
    pub keep_alive_idle: Duration,
    pub keep_alive_interval: Duration,
    /// How long an acknowledgement waits for data to travel with.
    pub ack_delay: Duration,
    /// Bytes that a reader may leave unread before its peer has to stop.
    pub window_bytes: usize,
    /// Bytes that a writer may have written and not yet seen acknowledged.
    pub send_buffer_bytes: usize,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            timeout_initial: Duration::from_millis(300),
            timeout_min: Duration::from_millis(200),
            timeout_max: Duration::from_secs(8),
            connect_timeout: Duration::from_secs(10),
            user_timeout: Duration::from_secs(20),
            keep_alive_idle: Duration::from_secs(10),
            keep_alive_interval: Duration::from_secs(2),
            ack_delay: Duration::from_millis(20),
            window_bytes: 256 << 10,
            send_buffer_bytes: 256 << 10,
        }
    }
}
