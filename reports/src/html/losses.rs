//! The loss map: which confirmed messages nobody received, where in the queue they were, and what each replica's log
//! lost.
//!
//! What is lost at the beginning of a queue, in its middle or at its end points to different causes: a forgotten
//! snapshot, a skipped entry, an unsynced tail.

use std::{collections::BTreeMap, fmt::Write};

use super::names;
use crate::{
    EventLog, Outcome, ReplicaKind, RunRecord,
    escape::html,
    quantity::{count, instant, some},
};

/// A strip is so many cells wide, at most.
const CELLS_MAX: usize = 240;
const STRIP_WIDTH: f64 = 960.0;
const STRIP_HEIGHT: usize = 22;
/// Lost messages that are listed by name.
const NAMED_MAX: usize = 60;

pub(super) fn map(run: &RunRecord, log: &EventLog) -> String {
    let received = log.received();
    let mut out = String::from("<section id=losses>");
    let confirmed =
        log.publishes.iter().filter(|publish| matches!(publish.outcome, Some((Outcome::Confirmed, _)))).count();
    let lost: Vec<usize> = (0..log.publishes.len()).filter(|row| log.is_lost(*row, &received)).collect();
    let until = if log.drained { "" } else { " The final drain did not finish: some may still be in their queue." };
    if lost.is_empty() {
        let _ = write!(
            out,
            "<h3>No confirmed message was lost</h3><p class=caption>{} confirmed, every one received at least once.{until}</p>",
            count(confirmed as u64)
        );
    } else {
        let _ = write!(
            out,
            "<h3>{} of {} confirmed were never received</h3>",
            some(lost.len(), "message"),
            count(confirmed as u64)
        );
        if !log.drained {
            let _ = write!(out, "<p class=caption>{until}</p>");
        }
        for (queue, name) in log.queues.iter().enumerate() {
            strip(&mut out, log, queue as u32, name, &received);
        }
        let _ = write!(out, "<p class=named>{}", names_of(run, log, &lost));
        out.push_str("</p>");
    }
    replicas(&mut out, run, log);
    out.push_str("</section>\n");
    out
}

/// One queue's confirmed messages from first to last, with what is lost marked.
fn strip(out: &mut String, log: &EventLog, queue: u32, name: &str, received: &[bool]) {
    let of_queue = |row: &usize| {
        log.publishes[*row].queue == queue && matches!(log.publishes[*row].outcome, Some((Outcome::Confirmed, _)))
    };
    let messages: Vec<usize> = (0..log.publishes.len()).filter(of_queue).collect();
    let is_lost: Vec<bool> = messages.iter().map(|row| !received[*row]).collect();
    let total = is_lost.iter().filter(|lost| **lost).count();
    if total == 0 {
        return;
    }
    let prefix = is_lost.iter().take_while(|lost| **lost).count();
    let postfix = if prefix == is_lost.len() { 0 } else { is_lost.iter().rev().take_while(|lost| **lost).count() };
    let middle = total - prefix - postfix;
    let _ = write!(
        out,
        "<p><b>{}</b>: {} lost at the beginning, {} in the middle, {} at the end of {} confirmed, in order of publishing</p>",
        html(name),
        count(prefix as u64),
        count(middle as u64),
        count(postfix as u64),
        count(messages.len() as u64)
    );
    let cells = messages.len().min(CELLS_MAX);
    let mut lost_cells = String::new();
    for cell in 0..cells {
        let (from, to) = (cell * messages.len() / cells, (cell + 1) * messages.len() / cells);
        let share = is_lost[from..to].iter().filter(|lost| **lost).count() as f64 / (to - from) as f64;
        if share > 0.0 {
            let (x, width) = (cell as f64 / cells as f64 * STRIP_WIDTH, (STRIP_WIDTH / cells as f64).max(2.0));
            let height = (share * (STRIP_HEIGHT - 4) as f64).max(4.0) + 4.0;
            let _ = write!(lost_cells, "M{x:.1} {STRIP_HEIGHT}v-{height:.1}h{width:.1}v{height:.1}z");
        }
    }
    let time = |row: Option<&usize>| row.map_or(String::new(), |row| instant(log.publishes[*row].at_ns));
    let _ = write!(
        out,
        "<div class=strip><svg viewBox=\"0 0 {STRIP_WIDTH} {STRIP_HEIGHT}\" preserveAspectRatio=none role=img \
         aria-label=\"Where in {name} the lost messages were\"><rect class=kept width={STRIP_WIDTH} height={STRIP_HEIGHT} \
         /><path class=lost d=\"{lost_cells}\"/></svg><div class=ends><span>first, {}</span><span>last, {}</span></div></div>",
        time(messages.first()),
        time(messages.last()),
        name = html(name),
    );
}

fn names_of(run: &RunRecord, log: &EventLog, lost: &[usize]) -> String {
    let mut named: Vec<String> = lost
        .iter()
        .take(NAMED_MAX)
        .map(|row| {
            let name = html(&names::message(run, &log.publishes[*row]));
            format!("<a href=\"#message={name}\">{name}</a>")
        })
        .collect();
    if let Some(more) = lost.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        named.push(format!("and {} more", count(more as u64)));
    }
    named.join(" ")
}

/// A stretch of a replica's log that is gone.
struct Cut {
    at_ns: u64,
    /// First and last index that were there before.
    from: u64,
    to: u64,
    how: &'static str,
}

/// What each replica has of each queue's log, and what of it was cut off.
fn replicas(out: &mut String, run: &RunRecord, log: &EventLog) {
    #[derive(Default)]
    struct Replica {
        last: u64,
        durable: u64,
        applied: u64,
        compacted: u64,
        cuts: Vec<Cut>,
    }
    let mut found: BTreeMap<(u32, u32), Replica> = BTreeMap::new();
    for event in &log.replicas {
        if event.group == 0 && event.kind != ReplicaKind::SyncedDataLost {
            continue;
        }
        let replica = found.entry((event.group, event.node)).or_default();
        match event.kind {
            ReplicaKind::Appended => {
                if event.what <= replica.last {
                    let cut =
                        Cut { at_ns: event.at_ns, from: event.what, to: replica.last, how: "replaced by a leader's" };
                    replica.cuts.push(cut);
                    replica.durable = replica.durable.min(event.what - 1);
                }
                replica.last = event.what;
            }
            ReplicaKind::Persisted => replica.durable = replica.durable.max(event.what.min(replica.last)),
            ReplicaKind::Applied => replica.applied = event.what,
            ReplicaKind::Compacted => replica.compacted = event.what,
            ReplicaKind::SnapshotInstalled => {
                replica.last = replica.last.max(event.what);
                replica.durable = replica.durable.max(event.what);
                replica.applied = replica.applied.max(event.what);
            }
            ReplicaKind::Recovered => {
                if event.what < replica.last {
                    let from = event.what + 1;
                    let how = if from <= replica.durable {
                        "gone after a restart, though believed durable"
                    } else {
                        "gone after a restart, never synced"
                    };
                    replica.cuts.push(Cut { at_ns: event.at_ns, from, to: replica.last, how });
                }
                replica.last = event.what;
                replica.durable = event.what;
            }
            _ => {}
        }
    }
    found.retain(|(group, _), _| *group > 0);
    if found.is_empty() {
        return;
    }
    out.push_str(
        "<h4>Per replica</h4><div class=scroll><table><thead><tr><th scope=col>Queue</th><th scope=col>Replica</th><th \
         scope=col class=r>Log reaches</th><th scope=col class=r>Durable</th><th scope=col class=r>Applied</th><th \
         scope=col>What its log lost on the way</th></tr></thead><tbody>",
    );
    for ((group, node), replica) in &found {
        let mut lost: Vec<String> = replica
            .cuts
            .iter()
            .take(4)
            .map(|cut| {
                let entries = if cut.from == cut.to {
                    format!("entry {}", count(cut.from))
                } else {
                    format!("entries {} to {}", count(cut.from), count(cut.to))
                };
                let at = instant(cut.at_ns);
                format!("<a href=\"#at={}\">{at}</a>: {entries} {}", cut.at_ns, cut.how)
            })
            .collect();
        if replica.cuts.len() > 4 {
            lost.push(format!("and {} more", some(replica.cuts.len() - 4, "time")));
        }
        let lost = if lost.is_empty() { "<span class=faint>nothing</span>".to_owned() } else { lost.join("<br>") };
        let _ = write!(
            out,
            "<tr><th scope=row>{}</th><td>{}</td><td class=r>{}</td><td class=r>{}</td><td class=r>{}</td><td>{lost}</td></tr>",
            html(log.groups.get(*group as usize).map_or("?", String::as_str)),
            html(names::node(run, *node)),
            count(replica.last),
            count(replica.durable),
            count(replica.applied)
        );
    }
    out.push_str("</tbody></table></div>");
}
