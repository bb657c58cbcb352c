//! What disks and links did, read from the world's counters every so often, for the report's lanes.
//!
//! Reading counters changes nothing in the simulated world, nor in its trace.

use std::collections::BTreeMap;

use ferret_reports::{DiskSample, LinkSample};
use warren::platform::NodeId;

use crate::{
    history::{Nanos, Samples},
    sim::{DiskCounters, LinkCounters, MachineId, World},
};

/// Half a second hides a short cut, ten milliseconds hold no more than a packet or two.
const EVERY_NS: u64 = 50_000_000;

/// Turns counters that only rise into what happened between two looks.
pub struct Sampler {
    /// Per node, in the order of their ids.
    nodes: Vec<MachineId>,
    clients: Vec<MachineId>,
    due: u64,
    disks: Vec<DiskCounters>,
    links: BTreeMap<(u32, u32), Counts>,
    samples: Samples,
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Counts {
    sent: u64,
    dropped: u64,
    delayed: u64,
}

impl Sampler {
    pub fn new(nodes: &BTreeMap<NodeId, MachineId>, clients: impl IntoIterator<Item = MachineId>) -> Self {
        Self {
            nodes: nodes.values().copied().collect(),
            clients: clients.into_iter().collect(),
            due: EVERY_NS,
            disks: vec![DiskCounters::default(); nodes.len()],
            links: BTreeMap::new(),
            samples: Samples { every_ns: EVERY_NS, ..Samples::default() },
        }
    }

    /// Takes a sample if one is due.
    pub fn look(&mut self, world: &World, now: Nanos) {
        if now.0 < self.due {
            return;
        }
        let sample = now.0 / EVERY_NS - 1;
        self.due = (sample + 2) * EVERY_NS;
        for (node, before) in self.disks.iter_mut().enumerate() {
            let disk = world.disk(self.nodes[node]).counters();
            let now = DiskSample {
                sample,
                node: index(node),
                syncs: disk.syncs - before.syncs,
                held: disk.operations_held_now,
                slowed: disk.syncs_slowed - before.syncs_slowed,
                failed: disk.syncs_failed - before.syncs_failed,
            };
            *before = disk;
            if now != (DiskSample { sample, node: index(node), ..DiskSample::default() }) {
                self.samples.disks.push(now);
            }
        }
        let mut seen = Vec::new();
        for (from, &one) in self.nodes.iter().enumerate() {
            for (to, &other) in self.nodes.iter().enumerate().filter(|(to, _)| *to != from) {
                seen.push(((index(from), index(to)), counts([world.link(one, other)])));
            }
            let (out, back) = (
                counts(self.clients.iter().map(|&client| world.link(one, client))),
                counts(self.clients.iter().map(|&client| world.link(client, one))),
            );
            seen.push(((index(from), LinkSample::CLIENTS), out));
            seen.push(((LinkSample::CLIENTS, index(from)), back));
        }
        for (ends, counts) in seen {
            let before = self.links.entry(ends).or_default();
            if *before != counts {
                self.samples.links.push(LinkSample {
                    sample,
                    from: ends.0,
                    to: ends.1,
                    sent: counts.sent - before.sent,
                    dropped: counts.dropped - before.dropped,
                    delayed: counts.delayed - before.delayed,
                });
                *before = counts;
            }
        }
    }

    pub fn finish(self) -> Samples {
        self.samples
    }
}

fn counts(links: impl IntoIterator<Item = LinkCounters>) -> Counts {
    links.into_iter().fold(Counts::default(), |sum, link| Counts {
        sent: sum.sent + link.sent,
        dropped: sum.dropped + link.cut + link.lost + link.overflowed,
        delayed: sum.delayed + link.delayed + link.held_back,
    })
}

fn index(position: usize) -> u32 {
    u32::try_from(position).expect("a handful of nodes")
}
