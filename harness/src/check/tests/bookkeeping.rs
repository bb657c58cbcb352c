//! Raft's bookkeeping: logs that match, numbers that only rise.

use warren::platform::{Observation, RecoveredState};

use super::*;
use Invariant::{LogMatching, Monotonic};

#[test]
fn entries_of_one_index_and_term_are_the_same() {
    let two = |hash| story().tell(N1, appended(1, 1, 10)).tell(N2, appended(1, 1, hash));
    two(11).rejected(LogMatching, "has other contents in the log of n2");
    two(10).accepted(LogMatching);
    // Another term is another entry.
    two(10).tell(N3, appended(1, 2, 12)).accepted(LogMatching);
}

#[test]
fn entries_of_one_index_and_term_follow_the_same() {
    let other = |term| {
        let story = story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 3, 30));
        story.tell(N2, appended(1, term, 20)).tell(N2, appended(2, 3, 30))
    };
    other(2).rejected(LogMatching, "follows an entry of term 1 in the log of n1");
    // n2 had replaced its first entry by then.
    let story = story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 3, 30));
    let story = story.tell(N2, appended(1, 2, 20)).tell(N2, appended(1, 1, 10));
    story.tell(N2, appended(2, 3, 30)).accepted(LogMatching);
    // What a snapshot hides, nobody can compare.
    let story = super::story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 3, 30));
    story.tell(N2, snapshot(1, 1, 5)).tell(N2, appended(2, 3, 30)).accepted(LogMatching);
}

#[test]
fn what_was_neither_synced_nor_acknowledged_is_in_no_log_after_a_power_loss() {
    // n1, alone, writes an entry, loses power before anything is synced, and writes another one in the same term.
    let anew = |story: Story, how, found: &[Observation]| {
        let story = story.down(N1, how).up(N1);
        let story = found.iter().fold(story, |story, found| story.tell(N1, found.clone()));
        story.tell(N1, Observation::Started { incarnation: 2 }).tell(N1, appended(1, 1, 11))
    };
    let written = || story().tell(N1, appended(1, 1, 10));
    let persisted = Observation::Persisted { group: GROUP, last: LogIndex(1) };
    let acknowledged = Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(1) };
    let gone = || anew(written(), NodeDown::PowerLost, &[]);
    gone().tell(N2, appended(1, 1, 11)).accepted(LogMatching);
    gone().tell(N2, appended(1, 1, 10)).rejected(LogMatching, "has other contents in the log of n2");
    // It was synced, or promised, or found again, or never lost, or another log has it.
    let other = "has other contents in the log of n1";
    anew(written().tell(N1, persisted), NodeDown::PowerLost, &[]).rejected(LogMatching, other);
    anew(written().tell(N1, acknowledged), NodeDown::PowerLost, &[]).rejected(LogMatching, other);
    anew(written(), NodeDown::PowerLost, &[recovered(1, None, (1, 1))]).rejected(LogMatching, other);
    anew(written(), NodeDown::Killed, &[]).rejected(LogMatching, other);
    anew(written().tell(N2, appended(1, 1, 10)), NodeDown::PowerLost, &[]).rejected(LogMatching, other);
}

fn entered(term: u64) -> Observation {
    Observation::EnteredTerm { group: GROUP, term: Term(term) }
}

fn durable(term: u64, commit: u64) -> Observation {
    Observation::HardStatePersisted { group: GROUP, term: Term(term), commit: LogIndex(commit) }
}

fn found(term: u64, commit: u64) -> Observation {
    let (vote, nothing) = (None, (LogIndex(0), Term(0)));
    Observation::Recovered(Box::new(RecoveredState {
        group: GROUP,
        term: Term(term),
        vote,
        commit: LogIndex(commit),
        snapshot: nothing,
        last: nothing,
    }))
}

#[test]
fn a_term_never_falls() {
    let then = |next| story().tell(N1, entered(4)).tell(N1, next);
    then(entered(3)).rejected(Monotonic, "n1's term of g2 was 4 at");
    then(leader(3)).rejected(Monotonic, "and 3 at");
    then(leader(4)).accepted(Monotonic);
    story().tell(N1, entered(4)).tell(N2, entered(3)).accepted(Monotonic);
}

#[test]
fn a_commit_index_never_falls() {
    story().tell(N1, committed(5, 1)).tell(N1, committed(4, 1)).rejected(Monotonic, "n1's commit index of g2 was 5");
    story().tell(N1, committed(5, 1)).tell(N1, committed(9, 1)).accepted(Monotonic);
}

#[test]
fn entries_are_applied_one_after_the_other() {
    let story = || story().tell(N1, opened()).tell(N1, applied(1, 1, 10, 1)).tell(N1, applied(2, 1, 11, 2));
    story().tell(N1, applied(2, 1, 11, 2)).rejected(Monotonic, "applied index of orders was 2");
    story().tell(N1, applied(4, 1, 13, 4)).rejected(Monotonic, "and 4 at");
    story().tell(N1, applied(3, 1, 12, 3)).accepted(Monotonic);
    story().tell(N1, snapshot(7, 1, 7)).tell(N1, applied(8, 1, 17, 8)).accepted(Monotonic);
    story().tell(N1, snapshot(1, 1, 1)).rejected(Monotonic, "and 1 at");
}

#[test]
fn a_restart_goes_back_to_what_was_durable_and_not_beyond() {
    let restarted = |found| {
        let story = story().tell(N1, opened()).tell(N1, entered(3)).tell(N1, durable(3, 5)).tell(N1, entered(4));
        let story = story.tell(N1, committed(6, 3)).tell(N1, applied(1, 1, 10, 1)).down(N1, NodeDown::PowerLost).up(N1);
        story.tell(N1, found).tell(N1, opened()).tell(N1, applied(1, 1, 10, 1)).tell(N1, committed(6, 3))
    };
    restarted(found(2, 5)).rejected(Monotonic, "durable term of orders was 3");
    restarted(found(3, 4)).rejected(Monotonic, "durable commit index of orders was 5");
    restarted(found(3, 5)).accepted(Monotonic);
}

#[test]
fn a_node_that_was_given_another_disk_starts_anew() {
    let story = story().tell(N1, durable(3, 5)).down(N1, NodeDown::Killed);
    let story = story.event(EventKind::SyncedDataLost { node: N1 }).up(N1);
    story.tell(N1, found(0, 0)).tell(N1, entered(1)).accepted(Monotonic);
}

#[test]
fn in_a_term_a_node_takes_entries_of_that_terms_leader_only() {
    // n2 leads term 3 with entries 1 and 2 of term 1 in its log; n3 has entry 1, and is in term 3.
    let elected = || {
        let story = story().tell(N2, appended(1, 1, 10)).tell(N2, appended(2, 1, 11)).tell(N3, appended(1, 1, 10));
        let story = story.tell(N3, entered(3)).tell(N3, durable(3, 0)).tell(N2, entered(3)).tell(N2, leader(3));
        story.tell(N2, appended(3, 3, 30))
    };
    elected().tell(N3, appended(2, 2, 12)).rejected(LogMatching, "in term 3 of g2, appended entry 2 of term 2");
    elected().tell(N3, appended(2, 1, 11)).tell(N3, appended(3, 3, 30)).accepted(LogMatching);
    let longer = elected().tell(N3, appended(2, 1, 11)).tell(N3, appended(3, 1, 13));
    longer.rejected(LogMatching, "the log of n2, its leader, ended at 2");
    // Term 3 is not on its disk yet, or it has moved on: it may have been sent the entry in another term.
    let between = |stand: Observation| {
        let story = story().tell(N2, appended(1, 1, 10)).tell(N3, durable(1, 0)).tell(N3, entered(1));
        story.tell(N3, stand).tell(N3, appended(1, 1, 10))
    };
    between(entered(3)).accepted(LogMatching);
    between(durable(1, 1)).accepted(LogMatching);
    let nobody = story().tell(N2, appended(1, 1, 10)).tell(N3, entered(3)).tell(N3, durable(3, 0));
    nobody.tell(N3, appended(1, 1, 10)).rejected(LogMatching, "that term had no leader");
}
