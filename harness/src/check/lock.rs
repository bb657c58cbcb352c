//! `lock`: of the clients that use a queue of one message as a lock, no two hold it at once in broker state.
//!
//! Broker state is what the queue's log says: between an assignment and the requeue or settle that ends it, the lock
//! has its holder, and no other channel may be assigned a message of that queue, be it the same one or a second one
//! that should not exist. Where replicas applied different entries there is more than one log; then two of those
//! replicas may not have different holders at the same time.
//!
//! What clients believe is another matter. One that is cut off goes on believing that it holds what the cluster took
//! from it long ago; a queue gives no fencing token, so nothing can tell it. That is overlap: counted, told, and no
//! violation. It is also why the search of [`crate::judge`] for a linearization as a mutex, which knows only what
//! clients see, is not what decides here: it would refuse what is allowed.

use std::collections::{BTreeMap, BTreeSet};

use warren::platform::{GroupId, NodeId, Observation};

use super::{
    ledger::{Ledger, Position},
    logs::Entry,
    prefetch::take,
    tape::QueueTape,
    verdict::{Judgement, Witness, seconds},
};
use crate::history::{ChannelId, EventKind, History, Nanos, QueueId};

const UNIT: &str = "times that the lock was taken";

pub(crate) fn lock(ledger: &Ledger<'_>) -> Judgement {
    let mut taken = 0;
    let mut broken = None;
    for (&group, tape) in ledger.tape().queues.iter().filter(|(group, _)| is_lock(ledger, **group)) {
        let (here, shared) = replay(ledger, group, tape);
        taken += here;
        let witness = shared.or_else(|| tape.broken.is_some().then(|| split(ledger, group)).flatten());
        if let Some(witness) = witness {
            return Judgement::violated(taken, UNIT, witness);
        }
        broken = broken.or_else(|| tape.broken.as_ref().map(|reason| format!("{}: {reason}", ledger.group(group))));
    }
    if let Some(reason) = broken {
        return Judgement::undecided(taken, UNIT, reason);
    }
    let Overlap { times, total } = overlap(ledger.history);
    let remark = (times > 0).then(|| {
        let total = seconds(total.0);
        format!("{times} times a client had the lock while another still believed to have it ({total} in all): allowed")
    });
    Judgement::holds_with(taken, UNIT, remark)
}

fn is_lock(ledger: &Ledger<'_>, group: GroupId) -> bool {
    let name = ledger.groups.get(&group);
    ledger.history.locks.iter().any(|queue| name == Some(&ledger.queue(*queue)))
}

/// Who has the lock, since when.
#[derive(Clone, Copy)]
struct Holder {
    node: NodeId,
    channel: u64,
    /// How often the node had started by then: each life numbers its channels anew.
    life: usize,
    since: Position,
}

impl Holder {
    fn is_other(self, than: Self) -> bool {
        (self.node, self.channel, self.life) != (than.node, than.channel, than.life)
    }
}

/// The holders by the message that each of them has: one of one, if all is well.
#[derive(Default)]
struct State(BTreeMap<u64, Holder>);

impl State {
    /// Gives whoever had the lock before, if an assignment goes to somebody else. `life`: that of a node now.
    fn follow(&mut self, at: Position, what: &Observation, life: impl Fn(NodeId) -> usize) -> Option<Holder> {
        match *what {
            Observation::Assigned { message, owner, channel, .. } => {
                let holder = Holder { node: owner, channel, life: life(owner), since: at };
                let before = self.0.values().copied().find(|before| before.is_other(holder));
                self.0.insert(message, holder);
                return before;
            }
            Observation::Requeued { message, .. } | Observation::Settled { message, .. } => {
                self.0.remove(&message);
            }
            _ => {}
        }
        None
    }

    fn holder(&self) -> Option<Holder> {
        self.0.values().next().copied()
    }
}

/// Follows the queue's log; gives how often the lock was taken, and the first time that it was taken from nobody.
fn replay(ledger: &Ledger<'_>, group: GroupId, tape: &QueueTape<'_>) -> (u64, Option<Witness>) {
    let mut lives: BTreeMap<NodeId, Vec<Position>> = BTreeMap::new();
    for (at, node, observation) in ledger.observations() {
        if let Observation::Started { .. } = observation {
            lives.entry(node).or_default().push(at);
        }
    }
    let mut state = State::default();
    let mut taken = 0;
    for fact in &tape.facts {
        taken += u64::from(matches!(fact.what, Observation::Assigned { .. }));
        let life = |node| lives.get(&node).map_or(0, |starts| starts.partition_point(|start| *start < fact.at));
        let before = state.follow(fact.at, fact.what, life);
        if let (Some(before), &Observation::Assigned { owner, channel, .. }) = (before, fact.what) {
            let same = (before.node, before.channel) == (owner, channel);
            let restarted = if same { ", which had restarted," } else { "" };
            let sentence = format!(
                "channel {} of {} held the lock {} since {}, and channel {channel} of {owner}{restarted} was given it \
                 at {} as well",
                before.channel,
                before.node,
                ledger.group(group),
                ledger.clock(before.since),
                ledger.clock(fact.at)
            );
            return (taken, Some(Witness { sentence, events: vec![before.since, fact.at] }));
        }
    }
    (taken, None)
}

/// One replica as it tells itself, since its state was last unknown.
#[derive(Default)]
struct Replica {
    state: State,
    entries: BTreeMap<u64, Entry>,
    /// The replicas that applied another entry somewhere.
    differs: BTreeSet<NodeId>,
}

/// Two replicas of different logs that have different holders at the same time.
fn split(ledger: &Ledger<'_>, group: GroupId) -> Option<Witness> {
    let mut replicas: BTreeMap<NodeId, Replica> = BTreeMap::new();
    for (at, event) in ledger.history.events.iter().enumerate() {
        let (node, what) = match &event.kind {
            EventKind::Observed { node, observation } => (*node, observation),
            EventKind::NodeUp { node } | EventKind::NodeDown { node, .. } => {
                forget(&mut replicas, *node);
                continue;
            }
            _ => continue,
        };
        match *what {
            Observation::SnapshotInstalled { group: of, .. } if of == group => forget(&mut replicas, node),
            Observation::Assigned { group: of, .. }
            | Observation::Requeued { group: of, .. }
            | Observation::Settled { group: of, .. }
                if of == group =>
            {
                // Each replica tells of an assignment in its own time, and so in different lives of the holder.
                replicas.entry(node).or_default().state.follow(at, what, |_| 0);
            }
            Observation::Applied { group: of, index, term, hash, .. } if of == group => {
                let entry = Entry { term: term.0, hash };
                let other = |(_, replica): &(&NodeId, &Replica)| {
                    replica.entries.get(&index.0).is_some_and(|applied| *applied != entry)
                };
                let others: Vec<NodeId> = replicas.iter().filter(other).map(|(other, _)| *other).collect();
                for other in others.into_iter().filter(|other| *other != node) {
                    replicas.entry(other).or_default().differs.insert(node);
                    replicas.entry(node).or_default().differs.insert(other);
                }
                let replica = replicas.entry(node).or_default();
                replica.entries.insert(index.0, entry);
                let differs = replica.differs.clone();
                let here = replica.state.holder();
                for other in differs {
                    let there = replicas[&other].state.holder();
                    if let (Some(here), Some(there)) = (here, there)
                        && here.is_other(there)
                    {
                        let ((first, one), (second, two)) = if here.since < there.since {
                            ((here, node), (there, other))
                        } else {
                            ((there, other), (here, node))
                        };
                        let sentence = format!(
                            "{one} had given the lock {} to channel {} of {} at {}, and {two}, which had applied other \
                             entries, gave it to channel {} of {} at {}",
                            ledger.group(group),
                            first.channel,
                            first.node,
                            ledger.clock(first.since),
                            second.channel,
                            second.node,
                            ledger.clock(second.since)
                        );
                        return Some(Witness { sentence, events: vec![first.since, second.since, at] });
                    }
                }
            }
            _ => {}
        }
    }
    None
}

fn forget(replicas: &mut BTreeMap<NodeId, Replica>, node: NodeId) {
    replicas.remove(&node);
    for replica in replicas.values_mut() {
        replica.differs.remove(&node);
    }
}

/// How clients' beliefs in having a lock overlapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// How often a client was given the lock while another believed to have it.
    pub(crate) times: u64,
    /// How long more than one believed so.
    pub(crate) total: Nanos,
}

/// A client believes to have what it received until it gives it back or finds its channel lost.
pub(crate) fn overlap(history: &History) -> Overlap {
    let locks: BTreeSet<QueueId> = history.locks.iter().copied().collect();
    let mut beliefs: BTreeMap<ChannelId, (QueueId, BTreeMap<u64, ()>)> = BTreeMap::new();
    let mut shared: BTreeMap<QueueId, Nanos> = BTreeMap::new();
    let mut overlap = Overlap::default();
    for event in &history.events {
        match &event.kind {
            EventKind::Deliver { channel, queue, delivery }
            | EventKind::GetReply { channel, queue, delivery: Some(delivery) }
                if locks.contains(queue) =>
            {
                beliefs.insert(*channel, (*queue, BTreeMap::from([(delivery.tag, ())])));
                overlap.times += u64::from(believers(&beliefs, *queue) > 1);
            }
            EventKind::Settle { channel, tag, settle } => {
                if let Some((_, tags)) = beliefs.get_mut(channel) {
                    take(tags, *tag, *settle);
                }
                beliefs.retain(|_, (_, tags)| !tags.is_empty());
            }
            EventKind::ChannelLost { channel, .. } => drop(beliefs.remove(channel)),
            _ => continue,
        }
        for queue in &locks {
            let more_than_one = believers(&beliefs, *queue) > 1;
            match shared.get(queue) {
                None if more_than_one => drop(shared.insert(*queue, event.at)),
                Some(since) if !more_than_one => {
                    overlap.total.0 += event.at.0 - since.0;
                    shared.remove(queue);
                }
                _ => {}
            }
        }
    }
    overlap
}

fn believers(beliefs: &BTreeMap<ChannelId, (QueueId, BTreeMap<u64, ()>)>, queue: QueueId) -> usize {
    beliefs.values().filter(|(of, _)| *of == queue).count()
}
