//! The state hash: a wrapping sum of one hash for each thing in the state.
//!
//! A sum can be maintained in O(1) for each change and does not depend on the order of changes, so equal states have
//! equal hashes however they were reached (also through a snapshot), and a replica that differs in any one thing shows
//! it. It guards against bugs, not against someone who constructs collisions.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{ChannelKey, Message};

/// What kind of thing is hashed, so that no two kinds can cancel each other out.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Ready,
    Held,
    Consumer,
    Session,
    Counter,
}

/// The sum so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StateHash(u64);

impl StateHash {
    pub(super) fn add(&mut self, item: u64) {
        self.0 = self.0.wrapping_add(item);
    }

    pub(super) fn remove(&mut self, item: u64) {
        self.0 = self.0.wrapping_sub(item);
    }

    pub(super) fn value(self) -> u64 {
        self.0
    }
}

/// The hash of one thing, given as numbers.
pub(super) fn item<const N: usize>(kind: Kind, fields: [u64; N]) -> u64 {
    // At most ten fields are used; a fixed buffer keeps this free of allocation.
    let mut bytes = [0; 8 * 11];
    let fields = std::iter::once(kind as u64).chain(fields);
    for (slot, field) in bytes.chunks_exact_mut(8).zip(fields) {
        slot.copy_from_slice(&field.to_le_bytes());
    }
    const { assert!(N <= 10) };
    xxh3_64(&bytes[..8 * (N + 1)])
}

/// A channel as hash fields.
pub(super) fn channel(key: ChannelKey) -> [u64; 3] {
    [key.session.node.0, key.session.incarnation, key.channel]
}

/// Everything that a client published, lengths included, so that no byte can move between fields unnoticed.
pub(super) fn content(message: &Message) -> u64 {
    let mut hasher = Xxh3::new();
    for part in [message.exchange.as_bytes(), message.routing_key.as_bytes(), &message.properties, &message.body] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.digest()
}
