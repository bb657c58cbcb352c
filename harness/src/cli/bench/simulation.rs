//! Whole runs, against the engine alone, and two at a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use ferret_reports::{RunRecord, Verdict, grouped};
use serde_json::{Value, json};

use super::memory;
use crate::{
    cli::{
        interrupt::Interrupt,
        pool,
        simulate::{Request, Simulate, Simulated},
        terminal,
    },
    progress::Progress,
    run::Bare,
    scenario::{ClientKind, Scenario},
};

const SAMPLE: (&str, &str) = ("scenarios/bench/sample.toml", include_str!("../../../../scenarios/bench/sample.toml"));
const SPARSE: (&str, &str) = ("scenarios/bench/sparse.toml", include_str!("../../../../scenarios/bench/sparse.toml"));
const IDLE: (&str, &str) = ("scenarios/bench/idle.toml", include_str!("../../../../scenarios/bench/idle.toml"));

/// A simulated figure: its name, its scenario, the client library.
pub(super) struct Figure {
    name: &'static str,
    scenario: Scenario,
    client: ClientKind,
}

/// In the order of the memory that they take: what the allocator keeps of one must not count for the next.
pub(super) fn figures() -> [Figure; 4] {
    [
        Figure { name: "idle", scenario: parsed(IDLE), client: ClientKind::Native },
        Figure { name: "sparse", scenario: parsed(SPARSE), client: ClientKind::Native },
        Figure { name: "sample", scenario: parsed(SAMPLE), client: ClientKind::Native },
        Figure { name: "sample", scenario: parsed(SAMPLE), client: ClientKind::Lapin },
    ]
}

fn parsed((path, text): (&str, &str)) -> Scenario {
    Scenario::parse(path, text).expect("the scenarios of the tree are valid")
}

/// A figure with one seed.
pub(super) struct Measured<'a> {
    figure: &'a Figure,
    record: RunRecord,
    peak_bytes: Option<u64>,
    bare: Option<Bare>,
}

impl Figure {
    pub(super) fn measure<S: Simulate>(&self, seed: u64, simulate: &S, interrupt: &Interrupt) -> Measured<'_> {
        let reset = memory::forget_peak();
        let record = self.run(seed, false, simulate, interrupt).record;
        Measured { figure: self, record, peak_bytes: memory::peak().filter(|_| reset), bare: None }
    }

    fn run<S: Simulate>(
        &self,
        seed: u64,
        record_trace: bool,
        simulate: &S,
        interrupt: &Interrupt,
    ) -> Simulated<S::Event> {
        let request = Request { client: Some(self.client), record_trace, ..Request::default() };
        pool::simulate_apart(simulate, &self.scenario, seed, &request, interrupt, &Progress::default()).0
    }
}

pub(super) fn head() -> String {
    format!(
        "{:<16}{:>6}{:>10}{:>9}{:>9}{:>9}{:>10}{:>12}{:>9}  verdict",
        "simulation", "tick", "virtual", "wall", "ratio", "engine", "messages", "messages/s", "memory"
    )
}

impl Measured<'_> {
    /// Runs once more for the packets, and lets the engine send those again by itself.
    pub(super) fn add_engine<S: Simulate>(&mut self, simulate: &S, interrupt: &Interrupt) {
        let run = self.figure.run(self.record.seed, true, simulate, interrupt);
        self.bare = simulate.bare(&self.figure.scenario, &run);
    }

    pub(super) fn failed(&self) -> bool {
        self.record.verdict == Verdict::Internal
    }

    /// Virtual seconds in a second of wall time.
    fn ratio(&self) -> f64 {
        self.record.virtual_seconds / self.record.wall_seconds
    }

    /// The same for the engine alone.
    fn engine_ratio(&self) -> Option<f64> {
        self.bare.map(|bare| self.record.virtual_seconds / bare.wall.as_secs_f64())
    }

    fn messages_per_second(&self) -> f64 {
        self.record.messages.published as f64 / self.record.wall_seconds
    }

    pub(super) fn row(&self) -> String {
        let RunRecord { virtual_seconds, wall_seconds, verdict, messages, .. } = &self.record;
        format!(
            "{:<16}{:>6}{virtual_seconds:>8.1} s{wall_seconds:>7.2} s{:>8.1}x{:>9}{:>10}{:>12}{:>9}  {}",
            format!("{}, {}", self.figure.name, self.figure.client.name()),
            format!("{:?}", self.figure.scenario.run.tick),
            self.ratio(),
            self.engine_ratio().map_or("unknown".to_owned(), |ratio| format!("{ratio:.1}x")),
            grouped(messages.published),
            grouped(self.messages_per_second().round() as u64),
            memory::told(self.peak_bytes),
            terminal::verdict_name(*verdict),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "figure": self.figure.name,
            "client": self.figure.client.name(),
            "seed": self.record.seed,
            "tick_seconds": self.figure.scenario.run.tick.as_secs_f64(),
            "virtual_seconds": self.record.virtual_seconds,
            "wall_seconds": self.record.wall_seconds,
            "ratio": self.ratio(),
            "engine_packets": self.bare.map(|bare| bare.packets),
            "engine_wall_seconds": self.bare.map(|bare| bare.wall.as_secs_f64()),
            "engine_ratio": self.engine_ratio(),
            "messages": self.record.messages.published,
            "messages_per_wall_second": self.messages_per_second(),
            "peak_memory_bytes": self.peak_bytes,
            "verdict": self.record.verdict,
        })
    }
}

/// The same runs one at a time and two at a time.
pub(super) struct TwoJobs {
    runs: u64,
    one: Duration,
    two: Duration,
}

const RUNS: u64 = 4;

/// Runs seeds of the sample, on one thread and then on two.
#[expect(clippy::disallowed_methods, reason = "measuring wall time is what this verb is for")]
pub(super) fn two_jobs<S: Simulate>(seed: u64, simulate: &S, interrupt: &Interrupt) -> TwoJobs {
    let sample = Figure { name: "sample", scenario: parsed(SAMPLE), client: ClientKind::Native };
    let runs = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            sample.run(seed, false, simulate, interrupt);
        }
    };
    let (half, end) = (seed + RUNS / 2, seed + RUNS);
    let began = Instant::now();
    runs(seed..end);
    let one = began.elapsed();
    let began = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| runs(seed..half));
        runs(half..end);
    });
    TwoJobs { runs: RUNS, one, two: began.elapsed() }
}

impl TwoJobs {
    fn speedup(&self) -> f64 {
        self.one.as_secs_f64() / self.two.as_secs_f64()
    }

    pub(super) fn row(&self) -> String {
        let Self { runs, one, two } = self;
        let (one, two) = (one.as_secs_f64(), two.as_secs_f64());
        format!(
            "two jobs: {runs} runs of the sample take {one:.2} s one at a time and {two:.2} s two at a time ({:.2}x)",
            self.speedup()
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "figure": "two-jobs",
            "runs": self.runs,
            "one_at_a_time_seconds": self.one.as_secs_f64(),
            "two_at_a_time_seconds": self.two.as_secs_f64(),
            "speedup": self.speedup(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scenarios_to_measure_are_valid_and_named_after_their_files() {
        for figure in figures() {
            assert!(figure.scenario.path.ends_with(&format!("/{}.toml", figure.scenario.name)));
        }
    }
}
