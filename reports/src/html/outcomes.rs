//! The ledger of unknown outcomes: publishes whose publisher will never be told, and what became of each.

use std::{collections::BTreeMap, fmt::Write};

use super::names;
use crate::{
    EventLog, Outcome, RunRecord,
    escape::html,
    quantity::{count, duration, instant, some},
};

/// The table shows so many; every one of them is in the timeline.
const ROWS_MAX: usize = 100;

/// How an unknown outcome resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    /// A client received it after all.
    Received,
    /// Another attempt of the same message was confirmed; this one left no trace.
    Retried,
    /// Nobody ever saw it.
    Vanished,
}

impl Fate {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Received => ("good", "it took effect: a client received it"),
            Self::Retried => ("good", "it took no effect: a later attempt was confirmed in its place"),
            Self::Vanished => ("void", "it took no effect, or nobody was there to see it"),
        }
    }
}

pub(super) fn ledger(run: &RunRecord, log: &EventLog) -> String {
    let first_receipt = first_receipts(log);
    let mut confirmed: BTreeMap<(u32, u64), u32> = BTreeMap::new();
    for publish in &log.publishes {
        if matches!(publish.outcome, Some((Outcome::Confirmed, _))) {
            confirmed.insert((publish.client, publish.sequence), publish.attempt);
        }
    }
    let open = |outcome| matches!(outcome, None | Some((Outcome::Unknown, _)));
    let unknown: Vec<usize> = (0..log.publishes.len()).filter(|row| open(log.publishes[*row].outcome)).collect();
    if unknown.is_empty() {
        return "<section id=unknown><h3>No outcome stayed unknown</h3><p class=caption>Every publish was confirmed, \
                refused or returned.</p></section>\n"
            .to_owned();
    }
    let fate = |row: usize| {
        let publish = &log.publishes[row];
        match first_receipt[row] {
            Some(_) => Fate::Received,
            None if confirmed.contains_key(&(publish.client, publish.sequence)) => Fate::Retried,
            None => Fate::Vanished,
        }
    };
    let mut counts: BTreeMap<Fate, u64> = BTreeMap::new();
    for row in &unknown {
        *counts.entry(fate(*row)).or_default() += 1;
    }
    let mut out = format!(
        "<section id=unknown><h3>{} unknown, and how each resolved</h3><ul class=tally>",
        some(unknown.len(), "outcome")
    );
    for (fate, n) in &counts {
        let (tone, words) = fate.words();
        let _ = write!(out, "<li class={tone}><b>{}</b> {words}</li>", count(*n));
    }
    out.push_str(
        "</ul><div class=\"scroll tall\"><table><thead><tr><th scope=col>Message</th><th scope=col class=r>Published</th><th \
         scope=col>Through</th><th scope=col class=r>Given up after</th><th scope=col>Resolved</th></tr></thead><tbody>",
    );
    for row in unknown.iter().take(ROWS_MAX) {
        let publish = &log.publishes[*row];
        let name = names::message(run, publish);
        let waited = match publish.outcome {
            Some((_, at)) => duration(at.saturating_sub(publish.at_ns)),
            None => "still open".to_owned(),
        };
        let resolved = match (fate(*row), first_receipt[*row]) {
            (Fate::Received, Some(receipt)) => {
                let receipt = &log.receipts[receipt];
                format!(
                    "received by {} at {}",
                    html(names::client_of(run, log, receipt.channel)),
                    instant(receipt.at_ns)
                )
            }
            (Fate::Retried, _) => {
                let attempt = confirmed[&(publish.client, publish.sequence)];
                format!("never seen; attempt {attempt} was confirmed")
            }
            _ => "never seen".to_owned(),
        };
        let _ = write!(
            out,
            "<tr><th scope=row><a href=\"#message={name}\">{name}</a></th><td class=r>{}</td><td>{}</td><td \
             class=r>{waited}</td><td>{resolved}</td></tr>",
            instant(publish.at_ns),
            html(names::node_of(run, log, publish.channel)),
            name = html(&name),
        );
    }
    out.push_str("</tbody></table></div>");
    if let Some(more) = unknown.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        let _ = write!(
            out,
            "<p class=caption>{} more are in the timeline, marked in the publishers' lanes.</p>",
            count(more as u64)
        );
    }
    out.push_str("</section>\n");
    out
}

/// The first receipt of each publish.
fn first_receipts(log: &EventLog) -> Vec<Option<usize>> {
    let mut first = vec![None; log.publishes.len()];
    for (row, receipt) in log.receipts.iter().enumerate() {
        if let Some(slot) = receipt.publish.and_then(|publish| first.get_mut(publish as usize)) {
            slot.get_or_insert(row);
        }
    }
    first
}
