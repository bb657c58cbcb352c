//! What a channel has delivered and its client has not settled yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::{platform::GroupId, queue::MessageNumber};

/// Deliveries by tag. Tags run from 1 in the order of delivery.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    last: u64,
    held: BTreeMap<u64, Held>,
    /// The same, by message: a delivery that the cluster repeats is recognised.
    messages: BTreeSet<(GroupId, MessageNumber)>,
    /// Tags whose messages the cluster took back, with their consumers. The client cannot know, so settling them is no
    /// error.
    revoked: BTreeMap<u64, Option<u64>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    group: GroupId,
    number: MessageNumber,
    /// `None`: it was got.
    consumer: Option<u64>,
}

/// Messages to settle, by queue, in the order of delivery.
pub(super) type Settled = BTreeMap<GroupId, Vec<MessageNumber>>;

/// The client settled something it does not hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownTag;

impl Unacked {
    /// The tag for a delivery that needs no ack.
    pub(super) fn next_tag(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The tag for a delivery that the client must settle, to `consumer` or to a get.
    pub(super) fn hold(&mut self, group: GroupId, number: MessageNumber, consumer: Option<u64>) -> u64 {
        let tag = self.next_tag();
        self.held.insert(tag, Held { group, number, consumer });
        self.messages.insert((group, number));
        tag
    }

    pub(super) fn holds(&self, group: GroupId, number: MessageNumber) -> bool {
        self.messages.contains(&(group, number))
    }

    /// Takes out `tag`, or with `multiple` everything up to `tag` (all, if it is 0).
    ///
    /// # Errors
    /// If `tag` is not held, as RabbitMQ does: nothing is taken then.
    pub(super) fn take(&mut self, tag: u64, multiple: bool) -> Result<Settled, UnknownTag> {
        let known = |tag| self.held.contains_key(&tag) || self.revoked.contains_key(&tag);
        let (first, last) = match (tag, multiple) {
            (0, true) => (0, u64::MAX),
            (_, _) if !known(tag) => return Err(UnknownTag),
            (_, true) => (0, tag),
            (_, false) => (tag, tag),
        };
        self.revoked.retain(|tag, _| !(first..=last).contains(tag));
        let tags: Vec<u64> = self.held.range(first..=last).map(|(tag, _)| *tag).collect();
        let mut settled = Settled::new();
        for tag in tags {
            let Held { group, number, .. } = self.held.remove(&tag).expect("just listed");
            self.messages.remove(&(group, number));
            settled.entry(group).or_default().push(number);
        }
        Ok(settled)
    }

    /// Forgets what was delivered from `group`: it will go to someone else.
    pub(super) fn revoke(&mut self, group: GroupId) {
        let Self { held, messages, revoked, .. } = self;
        held.retain(|tag, message| {
            let keep = message.group != group;
            if !keep {
                messages.remove(&(group, message.number));
                revoked.insert(*tag, message.consumer);
            }
            keep
        });
    }

    /// How many messages `consumer`'s client still believes to hold, although the cluster took them back.
    pub(super) fn revoked_of(&self, consumer: u64) -> u32 {
        let count = self.revoked.values().filter(|of| **of == Some(consumer)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: GroupId = GroupId(2);
    const OTHER: GroupId = GroupId(3);

    fn numbers(numbers: &[u64]) -> Vec<MessageNumber> {
        numbers.iter().copied().map(MessageNumber).collect()
    }

    /// Tags 1 to 4, of messages 11 to 14 in alternating queues.
    fn four() -> Unacked {
        let mut unacked = Unacked::default();
        for (group, number) in [(QUEUE, 11), (OTHER, 12), (QUEUE, 13), (OTHER, 14)] {
            unacked.hold(group, MessageNumber(number), Some(7));
        }
        unacked
    }

    #[test]
    fn a_single_tag_settles_its_message_once() {
        let mut unacked = four();
        assert_eq!(unacked.take(3, false), Ok(Settled::from([(QUEUE, numbers(&[13]))])));
        assert_eq!(unacked.take(3, false), Err(UnknownTag));
        assert!(!unacked.holds(QUEUE, MessageNumber(13)));
        assert!(unacked.holds(QUEUE, MessageNumber(11)));
    }

    #[test]
    fn multiple_settles_everything_up_to_the_tag_and_zero_settles_all() {
        let mut unacked = four();
        assert_eq!(unacked.take(3, true), Ok(Settled::from([(QUEUE, numbers(&[11, 13])), (OTHER, numbers(&[12]))])));
        assert_eq!(unacked.take(0, true), Ok(Settled::from([(OTHER, numbers(&[14]))])));
        assert_eq!(unacked.take(0, true), Ok(Settled::new()));
        assert_eq!(unacked.take(0, false), Err(UnknownTag));
    }

    #[test]
    fn tags_of_revoked_messages_may_be_settled_without_effect() {
        let mut unacked = four();
        unacked.revoke(QUEUE);
        assert_eq!((unacked.revoked_of(7), unacked.revoked_of(8)), (2, 0));
        assert!(!unacked.holds(QUEUE, MessageNumber(11)));
        assert_eq!(unacked.take(1, false), Ok(Settled::new()));
        assert_eq!(unacked.revoked_of(7), 1);
        assert_eq!(unacked.take(1, false), Err(UnknownTag));
        assert_eq!(unacked.take(3, true), Ok(Settled::from([(OTHER, numbers(&[12]))])));
        assert_eq!(unacked.hold(QUEUE, MessageNumber(11), None), 5);
        assert_eq!(unacked.take(4, true), Ok(Settled::from([(OTHER, numbers(&[14]))])));
    }
}
