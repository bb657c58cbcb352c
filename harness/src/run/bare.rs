//! What the engine alone takes for a run's machines and packets.

use std::time::{Duration, Instant};

use crate::{
    scenario::Scenario,
    sim::{self, BareTraffic, SimError, TraceEvent},
};

/// A replay of a run's packets without brokers and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bare {
    pub packets: u64,
    /// Wall time, on one thread.
    pub wall: Duration,
}

/// Sends the packets of a recorded `trace` once more, between `machines` machines that do nothing else.
///
/// # Errors
/// What the engine says if it fails.
pub fn bare(scenario: &Scenario, trace: &[TraceEvent], machines: usize) -> Result<Bare, SimError> {
    let latency = &scenario.run.net.latency;
    let latency = latency.min..latency.max.max(latency.min + Duration::from_millis(1));
    let traffic = BareTraffic::of(trace, machines, scenario.run.tick, latency);
    #[expect(clippy::disallowed_methods, reason = "measuring wall time is what this is for")]
    let began = Instant::now();
    sim::run_isolated(1, || traffic.replay())??;
    Ok(Bare { packets: traffic.packets(), wall: began.elapsed() })
}
