//! One direction between two machines: what it does to a segment, and the counts of that.
//!
//! Models: a cut, loss and duplication by chance, added latency with jitter, a share of segments that is held back so
//! that later ones overtake it, and a bottleneck of so many bytes per second with a bounded queue in front of it, which
//! drops what finds no room. Does not model: queues that several links share, priorities, a route that changes
//! direction by direction over time, corrupted payloads (TCP's checksum turns those into losses). The streams above
//! have no congestion control: behind a bottleneck they repeat more than TCP would, and get less through.

use std::{ops::Range, time::Duration};

use crate::sim::dice::Dice;

/// What a segment needs on the wire beyond its payload: about what IP and TCP need.
const HEADER_BYTES: u64 = 40;

/// What holds a segment up for less than this is not felt, and not counted: latencies come in whole milliseconds.
const FELT: Duration = Duration::from_millis(1);

/// A share of segments that is held back.
#[derive(Clone, Debug, PartialEq)]
pub struct Reorder {
    /// Probability that a segment is held back.
    pub share: f64,
    /// How long, on top of all other latency.
    pub delay: Range<Duration>,
}

/// A bottleneck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// At least 1. Headers count, 40 bytes per segment.
    pub bytes_per_second: u64,
    /// Room for bytes that wait their turn; a segment that finds less is dropped, unless nothing waits.
    pub queue_bytes: u64,
}

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
    /// Segments with added latency of a millisecond or more, and the sum of all.
    pub delayed: u64,
    pub delayed_for: Duration,
    /// Segments held back, for a millisecond or more, so that others overtake them.
    pub held_back: u64,
    /// Segments that arrived after one that was sent later, for whatever reason.
    pub overtaken: u64,
    /// Segments that waited at the bottleneck for a millisecond or more, and the sum of all waits.
    pub queued: u64,
    pub queued_for: Duration,
    /// Dropped because the bottleneck's queue was full.
    pub overflowed: u64,
}

/// What holds segments up; most links have nothing of it.
#[derive(Default)]
struct Delays {
    latency: Range<Duration>,
    reorder: Option<Reorder>,
    bandwidth: Option<Bandwidth>,
    /// When the bottleneck will have passed on all that waits.
    busy_until: u64,
}

pub(super) struct Link {
    pub(super) is_cut: bool,
    /// Packets with a lower number were under way when a cut began.
    pub(super) barrier: u64,
    /// The highest number that has arrived, plus one.
    pub(super) arrived_next: u64,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    delays: Option<Box<Delays>>,
    pub(super) counters: LinkCounters,
}

impl Link {
    pub(super) fn new(loss: f64, duplicate: f64) -> Self {
        Self {
            is_cut: false,
            barrier: 0,
            arrived_next: 0,
            loss,
            duplicate,
            delays: None,
            counters: LinkCounters::default(),
        }
    }

    pub(super) fn set_latency(&mut self, extra: Range<Duration>) {
        self.delays.get_or_insert_default().latency = extra;
        self.tidy();
    }

    pub(super) fn set_reorder(&mut self, reorder: Option<Reorder>) {
        self.delays.get_or_insert_default().reorder = reorder;
        self.tidy();
    }

    pub(super) fn set_bandwidth(&mut self, bandwidth: Option<Bandwidth>) {
        let delays = self.delays.get_or_insert_default();
        delays.bandwidth = bandwidth;
        // What already waits keeps its time; what comes after it does not wait for it.
        delays.busy_until = 0;
        self.tidy();
    }

    fn tidy(&mut self) {
        self.delays.take_if(|it| it.latency == Range::default() && it.reorder.is_none() && it.bandwidth.is_none());
    }

    /// How many nanoseconds a segment with `payload` bytes is held up; `None`: the bottleneck drops it.
    pub(super) fn hold_up(&mut self, now: u64, payload: usize, dice: &mut Dice) -> Option<u64> {
        let Some(delays) = &mut self.delays else { return Some(0) };
        let counters = &mut self.counters;
        let mut held = Duration::ZERO;
        if let Some(Bandwidth { bytes_per_second, queue_bytes }) = delays.bandwidth {
            let bytes = payload as u64 + HEADER_BYTES;
            let begins = delays.busy_until.max(now);
            let wait = begins - now;
            let waiting_bytes = u128::from(wait) * u128::from(bytes_per_second) / 1_000_000_000;
            if wait > 0 && waiting_bytes + u128::from(bytes) > u128::from(queue_bytes) {
                counters.overflowed += 1;
                return None;
            }
            delays.busy_until = begins + (bytes * 1_000_000_000).div_ceil(bytes_per_second.max(1));
            held = Duration::from_nanos(delays.busy_until - now);
            counters.queued += u64::from(held >= FELT);
            counters.queued_for += held;
        }
        if !delays.latency.end.is_zero() {
            let extra = dice.duration(&delays.latency);
            counters.delayed += u64::from(extra >= FELT);
            counters.delayed_for += extra;
            held += extra;
        }
        if let Some(reorder) = &delays.reorder
            && dice.chance(reorder.share)
        {
            let back = dice.duration(&reorder.delay);
            counters.held_back += u64::from(back >= FELT);
            held += back;
        }
        Some(held.as_nanos() as u64)
    }
}
