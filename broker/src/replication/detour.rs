//! Messages to peers that a chaos point sends another way: not at all, later, or twice.
//!
//! Raft takes its network for one that does all of that. Only entries, votes and answers take detours: of a lost
//! snapshot the leader must hear.

use super::{Links, wire::Frame};
use crate::platform::{Chaos, NodeId, Platform};

/// The longest that a second copy may take, in ticks of the driver: longer than any election.
const AGAIN_TICKS_MAX: u64 = 40;

/// What is on a detour, with the tick at which it leaves.
#[derive(Default)]
pub(crate) struct Detours {
    ticks: u64,
    waiting: Vec<(u64, NodeId, Frame)>,
}

impl Detours {
    /// Sends `frame` its way, if it takes a detour; gives it back otherwise.
    pub(crate) fn take<P: Platform>(&mut self, platform: &P, to: NodeId, frame: Frame) -> Option<Frame> {
        if platform.chance(Chaos::MessageLost) {
            return None;
        }
        if platform.chance(Chaos::MessageLate) {
            self.waiting.push((self.ticks + 1, to, frame));
            return None;
        }
        if platform.chance(Chaos::MessageAgain) {
            let later = 1 + platform.random() % AGAIN_TICKS_MAX;
            self.waiting.push((self.ticks + later, to, frame.clone()));
        }
        Some(frame)
    }

    /// A tick has passed: what is due leaves.
    pub(crate) fn tick(&mut self, links: &Links) {
        self.ticks += 1;
        for (_, to, frame) in self.waiting.extract_if(.., |(due, ..)| *due <= self.ticks) {
            links.send(to, &frame);
        }
    }
}
