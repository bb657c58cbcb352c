//! Whether the final drain found every queue empty, and what it shows where a node is down for good.
//!
//! The drain goes through every member. One that lost what its disk had synced may refuse to start for ever, and then
//! the drain fails, whatever the others do. What it found through the others is enough if, of the nodes and of each
//! group's voters, a majority runs and has what it promised: what was confirmed is on one of them, then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use warren::platform::{NodeId, Observation};

use super::{
    ledger::{Drain, Ledger, Position},
    verdict::down,
};
use crate::history::QueueId;

/// Every queue was found empty.
pub(crate) struct Emptied {
    pub(crate) at: Position,
    /// Through every node but these: which, and why they are down.
    pub(crate) without: Option<String>,
}

/// When every queue was found empty through every node that can run, or why that never was.
pub(crate) fn emptied(ledger: &Ledger<'_>) -> Result<Emptied, String> {
    let reason = match &ledger.drain {
        Drain::Complete(at) => return Ok(Emptied { at: *at, without: None }),
        Drain::Failed(reason) => format!("the final drain failed: {reason}"),
    };
    let running = ledger.running();
    let (up, down): (BTreeMap<_, _>, BTreeMap<_, _>) = running.into_iter().partition(|(_, since)| since.is_some());
    if down.is_empty() {
        return Err(reason);
    }
    let (up, down): (BTreeSet<NodeId>, BTreeSet<NodeId>) = (up.into_keys().collect(), down.into_keys().collect());
    let told = told(ledger, &down);
    let bereft = ledger.majority_of_voters_among(|node, group| down.contains(&node) || ledger.lacks(node, group));
    let majority = up.len() > down.len() && bereft.is_none();
    match found_empty(ledger, &up).filter(|_| majority) {
        Some(at) => Ok(Emptied { at, without: Some(told) }),
        None => Err(format!("{reason}; {told}")),
    }
}

/// When the last of the queues was found empty, if each was in the drain's last round, through each of `nodes`. Whoever
/// could not be asked then has told nothing, whatever it told before.
fn found_empty(ledger: &Ledger<'_>, nodes: &BTreeSet<NodeId>) -> Option<Position> {
    let round = ledger.drain_round?;
    let mut last: BTreeMap<(QueueId, NodeId), Option<Position>> = BTreeMap::new();
    for get in ledger.gets.iter().filter(|get| get.sent > round) {
        let node = ledger.channels.get(&get.channel)?.node;
        last.insert((get.queue, node), get.reply.filter(|(_, empty)| *empty).map(|(at, _)| at));
    }
    let queues = (0..).map(QueueId).take(ledger.history.queues.len());
    let answers = queues.flat_map(|queue| nodes.iter().map(move |node| (queue, *node)));
    let empty: Option<Vec<Position>> = answers.map(|asked| last.get(&asked).copied().flatten()).collect();
    empty?.into_iter().max()
}

/// Why nodes do not run at the end, and what a scenario can do about it.
fn told(ledger: &Ledger<'_>, nodes: &BTreeSet<NodeId>) -> String {
    let why = |node: &NodeId| {
        let mut text = format!("{node} does not run at the end");
        if let Some(crash) = ledger.crashes.iter().rfind(|crash| crash.node == *node) {
            let _ = write!(text, ": it {} at {}", down(crash.how), ledger.clock(crash.at));
            let fatal = ledger.observations().take_while(|(at, ..)| *at < crash.at).filter(|(_, of, _)| of == node);
            if let Some(Observation::Fatal { reason }) = fatal.last().map(|(.., observation)| observation) {
                let _ = write!(text, " ({reason})");
            }
        }
        if ledger.wiped.contains(node) {
            text += ", after its disk had lost what it had synced, and the heal did not start it again; a step `wipe` \
                     gives it an empty disk, as an operator would";
        }
        text
    };
    nodes.iter().map(why).collect::<Vec<_>>().join("; ")
}
