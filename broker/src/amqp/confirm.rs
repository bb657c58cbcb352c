//! Publisher confirms of one channel: which publishes are still open, and which acks to send.
//!
//! A publish is confirmed when every queue that it was routed to has applied it. Confirms may be ready in any order;
//! an ack with `multiple` covers every lower tag too, so it may only reach up to the lowest one that is still open.

use std::collections::{BTreeMap, BTreeSet};

use crate::platform::GroupId;

/// The channel's publishes since `confirm.select`.
#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// The tag of the latest publish: 1 and up.
    last: u64,
    /// Publishes that some queue has not answered yet.
    open: BTreeMap<u64, Open>,
    /// Which publish an operation belongs to.
    operations: BTreeMap<(GroupId, u64), u64>,
    acked: BTreeSet<u64>,
    nacked: BTreeSet<u64>,
}

#[derive(Debug)]
struct Open {
    queues: usize,
    /// A queue it went to is gone.
    lost: bool,
}

/// One `basic.ack` or `basic.nack` to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64 },
}

impl Confirms {
    /// For a channel whose first publish has a tag one above `last`: 0, unless a bug is planted.
    pub(super) fn after(last: u64) -> Self {
        Self { last, ..Self::default() }
    }

    /// Counts a publish that became `operations`, one for each queue. With none it is confirmed at once.
    pub(super) fn published(&mut self, operations: impl IntoIterator<Item = (GroupId, u64)>) {
        self.last += 1;
        let tag = self.last;
        let mut queues = 0;
        for operation in operations {
            self.operations.insert(operation, tag);
            queues += 1;
        }
        if queues == 0 {
            self.acked.insert(tag);
        } else {
            self.open.insert(tag, Open { queues, lost: false });
        }
    }

    /// The tag of the latest publish; 0 before the first.
    pub(super) fn latest(&self) -> u64 {
        self.last
    }

    /// An operation was applied. Whether it was one of a publish.
    pub(super) fn applied(&mut self, group: GroupId, sequence: u64) -> bool {
        let Some(tag) = self.operations.remove(&(group, sequence)) else { return false };
        self.answered(tag, false);
        true
    }

    /// The queue was deleted: what it had not answered for is not kept anywhere there.
    pub(super) fn queue_deleted(&mut self, group: GroupId) {
        let gone: Vec<_> =
            self.operations.range((group, 0)..=(group, u64::MAX)).map(|(key, tag)| (*key, *tag)).collect();
        for (operation, tag) in gone {
            self.operations.remove(&operation);
            self.answered(tag, true);
        }
    }

    fn answered(&mut self, tag: u64, lost: bool) {
        let open = self.open.get_mut(&tag).expect("an operation's publish is open until all its queues answered");
        open.queues -= 1;
        open.lost |= lost;
        if open.queues == 0 {
            let lost = open.lost;
            self.open.remove(&tag);
            if lost { &mut self.nacked } else { &mut self.acked }.insert(tag);
        }
    }

    /// What is ready to be told, in as few frames as possible. Each tag is told once.
    pub(super) fn take_ready(&mut self) -> Vec<Confirm> {
        // Nacks first: an ack that covers several tags must find the nacked ones already settled.
        let mut ready: Vec<_> = std::mem::take(&mut self.nacked).into_iter().map(|tag| Confirm::Nack { tag }).collect();
        let lowest_open = self.open.first_key_value().map_or(u64::MAX, |(tag, _)| *tag);
        let above = self.acked.split_off(&lowest_open);
        let below = std::mem::take(&mut self.acked);
        if let Some(tag) = below.last() {
            ready.push(Confirm::Ack { tag: *tag, multiple: below.len() > 1 });
        }
        ready.extend(above.into_iter().map(|tag| Confirm::Ack { tag, multiple: false }));
        ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const QUEUE: GroupId = GroupId(2);
    const OTHER: GroupId = GroupId(3);

    #[test]
    fn what_becomes_ready_together_is_acked_together() {
        let mut confirms = Confirms::default();
        for sequence in 1..=3 {
            confirms.published([(QUEUE, sequence)]);
        }
        assert_eq!(confirms.take_ready(), []);
        confirms.applied(QUEUE, 1);
        confirms.applied(QUEUE, 2);
        assert_eq!(confirms.take_ready(), [Confirm::Ack { tag: 2, multiple: true }]);
        confirms.applied(QUEUE, 3);
        assert_eq!(confirms.take_ready(), [Confirm::Ack { tag: 3, multiple: false }]);
    }

    #[test]
    fn an_unroutable_publish_is_confirmed_at_once_but_not_with_those_before_it() {
        let mut confirms = Confirms::default();
        confirms.published([(QUEUE, 1)]);
        confirms.published([]);
        assert_eq!(confirms.take_ready(), [Confirm::Ack { tag: 2, multiple: false }]);
        confirms.applied(QUEUE, 1);
        assert_eq!(confirms.take_ready(), [Confirm::Ack { tag: 1, multiple: false }]);
    }

    #[test]
    fn a_publish_to_two_queues_waits_for_both_and_a_deleted_one_makes_it_a_nack() {
        let mut confirms = Confirms::default();
        confirms.published([(QUEUE, 1), (OTHER, 1)]);
        confirms.published([(QUEUE, 2), (OTHER, 2)]);
        confirms.applied(QUEUE, 1);
        confirms.applied(QUEUE, 2);
        assert_eq!(confirms.take_ready(), []);
        confirms.applied(OTHER, 1);
        confirms.queue_deleted(OTHER);
        assert_eq!(confirms.take_ready(), [Confirm::Nack { tag: 2 }, Confirm::Ack { tag: 1, multiple: false }]);
    }

    /// The client's side of confirms: what each frame settles.
    fn receive(open: &mut BTreeSet<u64>, told: &mut BTreeMap<u64, bool>, confirm: Confirm) {
        let (tags, ack): (Vec<u64>, _) = match confirm {
            Confirm::Ack { tag, multiple: true } => (open.range(..=tag).copied().collect(), true),
            Confirm::Ack { tag, multiple: false } => (vec![tag], true),
            Confirm::Nack { tag } => (vec![tag], false),
        };
        for tag in tags {
            assert!(open.remove(&tag), "{tag} was told twice or before it was published");
            told.insert(tag, ack);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Every publish is told exactly once, as an ack exactly if all its queues applied it, whatever the order.
        #[test]
        fn a_client_hears_of_every_publish_once_and_truly(
            publishes in vec(0usize..4, 1..40),
            order in vec((any::<usize>(), 0u8..8), 0..200),
        ) {
            let mut confirms = Confirms::default();
            let (mut open, mut told) = (BTreeSet::new(), BTreeMap::new());
            let mut waiting: Vec<(GroupId, u64)> = Vec::new();
            let mut remaining: BTreeMap<u64, usize> = BTreeMap::new();
            let mut truth: BTreeMap<u64, bool> = BTreeMap::new();
            let mut publishes = publishes.into_iter().zip(1u64..);
            let mut steps = order.into_iter();
            loop {
                let (pick, action) = steps.next().unwrap_or((0, 0));
                if action < 4 && let Some((queues, tag)) = publishes.next() {
                    let operations: Vec<_> = (0..queues as u64).map(|queue| (GroupId(2 + queue), tag)).collect();
                    confirms.published(operations.clone());
                    waiting.extend(operations);
                    open.insert(tag);
                    remaining.insert(tag, queues);
                    truth.insert(tag, true);
                } else if waiting.is_empty() {
                    break;
                } else if action == 7 {
                    let (group, _) = waiting[pick % waiting.len()];
                    confirms.queue_deleted(group);
                    for (_, tag) in waiting.extract_if(.., |(other, _)| *other == group) {
                        *remaining.get_mut(&tag).unwrap() -= 1;
                        truth.insert(tag, false);
                    }
                } else {
                    let (group, tag) = waiting.swap_remove(pick % waiting.len());
                    prop_assert!(confirms.applied(group, tag));
                    *remaining.get_mut(&tag).unwrap() -= 1;
                }
                if action % 2 == 0 {
                    for confirm in confirms.take_ready() {
                        receive(&mut open, &mut told, confirm);
                    }
                    let done: Vec<_> = remaining.iter().filter(|(_, left)| **left == 0).map(|(tag, _)| *tag).collect();
                    prop_assert_eq!(told.keys().copied().collect::<Vec<_>>(), done);
                }
            }
            for confirm in confirms.take_ready() {
                receive(&mut open, &mut told, confirm);
            }
            prop_assert!(open.is_empty());
            prop_assert_eq!(told, truth);
        }
    }
}
