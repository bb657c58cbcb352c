//! Raft's promises and what survives a restart.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::*;

#[test]
fn two_leaders_of_one_group_in_one_term_are_reported() {
    let voted = |candidate| Observation::VoteGranted { group: GROUP, term: Term(3), candidate };
    let story = story().tell(N1, opened()).tell(N3, voted(N1)).tell(N1, leader(3)).down(N3, NodeDown::Killed).up(N3);
    let result = story.tell(N3, voted(N2)).tell(N2, leader(3)).rejected(OneLeaderPerTerm, "n2 became its leader in");
    // Both votes, the crash between them, both elections.
    assert_eq!(result.witness.len(), 5);
}

#[test]
fn other_terms_and_other_groups_have_their_own_leaders() {
    let other = Observation::BecameLeader { group: GroupId(3), term: Term(3) };
    story().tell(N1, leader(3)).tell(N2, leader(4)).tell(N2, other).tell(N1, leader(3)).accepted(OneLeaderPerTerm);
}

/// n1 leads term 1; entry 1 is on n1 and n2 and committed, entry 2 is on n1 alone.
fn one_committed() -> Story {
    let story = story().tell(N1, leader(1)).tell(N1, appended(1, 1, 10)).tell(N2, appended(1, 1, 10));
    story.tell(N1, appended(2, 1, 11)).tell(N1, committed(1, 1))
}

#[test]
fn a_leader_without_a_committed_entry_is_reported() {
    one_committed().tell(N3, leader(2)).rejected(CommittedStays, "n3 became leader in term 2 at 0.013 s without it");
    one_committed().tell(N2, leader(2)).accepted(CommittedStays);
}

#[test]
fn a_leader_with_another_entry_in_the_place_of_a_committed_one_is_reported() {
    let replaced = one_committed().tell(N2, appended(1, 1, 99)).tell(N2, leader(2));
    replaced.rejected(CommittedStays, "with another entry in its place");
    // An entry that was not committed may be replaced.
    let story = one_committed().tell(N2, leader(2)).tell(N2, appended(2, 2, 20)).tell(N1, appended(2, 2, 20));
    story.tell(N2, committed(2, 2)).tell(N1, leader(3)).accepted(CommittedStays);
}

#[test]
fn a_node_that_learns_late_of_its_old_election_owes_nothing_to_later_terms() {
    let late = one_committed().tell(N2, leader(3)).tell(N2, appended(2, 3, 30)).tell(N2, committed(2, 3));
    late.tell(N1, appended(2, 1, 11)).tell(N1, leader(2)).accepted(CommittedStays);
    let story = one_committed().tell(N2, leader(3)).tell(N2, appended(2, 3, 30)).tell(N2, committed(2, 3));
    story.tell(N1, leader(4)).rejected(CommittedStays, "with another entry in its place");
}

#[test]
fn compaction_and_snapshots_do_not_make_entries_missing() {
    let compacted = Observation::Compacted { group: GROUP, index: LogIndex(1), term: Term(1) };
    one_committed().tell(N2, compacted).tell(N2, leader(2)).accepted(CommittedStays);
    one_committed().tell(N3, snapshot(1, 1, 0)).tell(N3, leader(2)).accepted(CommittedStays);
}

#[test]
fn a_snapshot_that_is_told_of_after_entries_beyond_it_takes_none_of_them_away() {
    // n3's own log was another; it appends behind the snapshot before the snapshot is durable.
    let story = one_committed().tell(N3, appended(1, 0, 90)).tell(N3, appended(2, 1, 11)).tell(N3, snapshot(1, 1, 0));
    story.tell(N1, committed(2, 1)).tell(N3, leader(2)).accepted(CommittedStays);
}

#[test]
fn what_a_snapshot_under_way_is_about_to_replace_is_not_committed() {
    // n3 led an older term alone. The snapshot raises its commit index at once, and its log is replaced a sync later.
    let stale = || one_committed().tell(N3, appended(1, 0, 90)).tell(N3, appended(2, 0, 91));
    stale().tell(N3, committed(2, 1)).tell(N3, snapshot(2, 1, 0)).accepted(CommittedStays);
    stale().tell(N3, committed(3, 1)).tell(N3, snapshot(3, 1, 0)).accepted(CommittedStays);
    stale().tell(N3, committed(2, 0)).rejected(CommittedStays, "with other contents");
}

#[test]
fn a_restart_that_cuts_the_log_below_a_committed_entry_is_seen_at_the_next_election() {
    let restarted = |last| {
        let story = one_committed().down(N2, NodeDown::PowerLost).up(N2);
        story.tell(N2, recovered(1, None, last)).tell(N2, leader(2))
    };
    restarted((0, 0)).rejected(CommittedStays, "without it");
    restarted((1, 1)).accepted(CommittedStays);
}

#[test]
fn two_nodes_that_apply_different_entries_at_one_index_are_reported() {
    let story = |hash| story().tell(N1, applied(1, 1, 10, 5)).tell(N2, applied(1, 1, hash, 5));
    story(11).rejected(CommittedStays, "with other contents");
    story(10).accepted(CommittedStays);
}

#[test]
fn replicas_that_disagree_at_one_index_are_reported() {
    let story = |state| story().tell(N1, applied(1, 1, 10, 5)).tell(N2, applied(1, 1, 10, state));
    story(6).rejected(ReplicaAgreement, "n2 had 0000000000000006");
    story(5).accepted(ReplicaAgreement);
    story(5).tell(N3, snapshot(1, 1, 7)).rejected(ReplicaAgreement, "n3 had");
}

#[test]
fn replicas_at_different_indices_may_differ() {
    let story = story().tell(N1, applied(1, 1, 10, 5)).tell(N2, applied(2, 1, 11, 6));
    story.is(ReplicaAgreement, InvariantVerdict::Vacuous);
}

fn restart(story: Story, how: NodeDown, found: Observation) -> Story {
    story.down(N1, how).up(N1).tell(N1, found)
}

#[test]
fn a_vote_must_survive_a_restart() {
    let voted = || story().tell(N1, Observation::VoteGranted { group: GROUP, term: Term(3), candidate: N2 });
    let lost = |found| restart(voted(), NodeDown::PowerLost, found);
    lost(recovered(3, None, (0, 0))).rejected(Durability, "having forgotten its vote for n2 in term 3");
    lost(recovered(3, Some(N3), (0, 0))).rejected(Durability, "vote for n2");
    lost(recovered(2, None, (0, 0))).rejected(Durability, "vote for n2");
    lost(recovered(3, Some(N2), (0, 0))).accepted(Durability);
    lost(recovered(4, None, (0, 0))).accepted(Durability);
}

#[test]
fn an_acknowledged_log_must_survive_a_restart_and_an_unacknowledged_one_need_not() {
    let acknowledged = |index| Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(index) };
    let two = || story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 1, 11));
    let lost =
        |promised, last| restart(two().tell(N1, acknowledged(promised)), NodeDown::PowerLost, recovered(1, None, last));
    lost(2, (1, 1)).rejected(Durability, "its log beyond 1 (promised up to 2)");
    lost(1, (1, 1)).accepted(Durability);
    lost(2, (2, 1)).accepted(Durability);
    lost(2, (2, 0)).rejected(Durability, "entry 2 of its log");
}

#[test]
fn what_a_leader_counted_as_durable_must_survive_a_kill() {
    let persisted = Observation::Persisted { group: GROUP, last: LogIndex(1) };
    let story = |last| {
        let story = story().tell(N1, appended(1, 1, 10)).tell(N1, persisted.clone());
        restart(story, NodeDown::Killed, recovered(1, None, last))
    };
    story((0, 0)).rejected(Durability, "was killed at");
    story((1, 1)).accepted(Durability);
}

#[test]
fn a_promise_ends_when_its_entries_are_replaced() {
    let acknowledged = Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(2) };
    let story = story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 1, 11)).tell(N1, acknowledged);
    let replaced = story.tell(N1, appended(2, 2, 20));
    restart(replaced, NodeDown::PowerLost, recovered(1, None, (1, 1))).accepted(Durability);
}

#[test]
fn what_was_replaced_while_it_was_written_is_not_promised() {
    let persisted = |last| Observation::Persisted { group: GROUP, last: LogIndex(last) };
    let story = || {
        let story = story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 1, 11)).tell(N1, appended(3, 1, 12));
        let story = story.tell(N1, appended(2, 2, 21)).tell(N1, appended(3, 2, 22));
        story.tell(N1, persisted(3))
    };
    let cut = |story: Story| restart(story, NodeDown::PowerLost, recovered(2, None, (2, 2)));
    cut(story()).accepted(Durability);
    cut(story().tell(N1, persisted(3))).rejected(Durability, "its log beyond 2");
}

#[test]
fn the_snapshot_that_a_node_starts_from_does_not_end_its_promises() {
    let persisted = Observation::Persisted { group: GROUP, last: LogIndex(2) };
    let story = |last| {
        let story = story().tell(N1, appended(1, 1, 10)).tell(N1, appended(2, 1, 11)).tell(N1, persisted.clone());
        let story = story.down(N1, NodeDown::PowerLost).up(N1).tell(N1, opened()).tell(N1, snapshot(1, 1, 0));
        story.tell(N1, recovered(1, None, last))
    };
    story((1, 1)).rejected(Durability, "its log beyond 1 (promised up to 2)");
    story((2, 1)).accepted(Durability);
}

#[test]
fn a_node_that_comes_back_without_a_trace_of_a_group_has_forgotten_it() {
    let voted = |term| Observation::VoteGranted { group: GROUP, term: Term(term), candidate: N2 };
    let story = |found: Option<Observation>| {
        let story = story().tell(N1, voted(3)).down(N1, NodeDown::PowerLost).up(N1);
        let story = found.into_iter().fold(story, |story, found| story.tell(N1, found));
        story.tell(N1, voted(4))
    };
    story(None).rejected(Durability, "everything about the group");
    story(Some(recovered(3, Some(N2), (0, 0)))).accepted(Durability);
}

#[test]
fn a_group_that_had_promised_nothing_before_a_restart_promises_anew_after_it() {
    let persisted = || Observation::Persisted { group: GROUP, last: LogIndex(1) };
    let story = |promised: bool| {
        let story = story().tell(N1, appended(1, 1, 10));
        let story = if promised { story.tell(N1, persisted()) } else { story };
        let story = story.down(N1, NodeDown::PowerLost).up(N1).tell(N1, opened());
        story.tell(N1, appended(1, 1, 20)).tell(N1, persisted()).tell(N1, appended(2, 1, 21))
    };
    story(true).rejected(Durability, "everything about the group");
    story(false).is(Durability, InvariantVerdict::Vacuous);
}

#[test]
fn without_a_restart_there_is_nothing_to_remember() {
    let voted = Observation::VoteGranted { group: GROUP, term: Term(3), candidate: N2 };
    let first = story().tell(N1, recovered(0, None, (0, 0))).tell(N1, voted);
    first.is(Durability, InvariantVerdict::Vacuous);
}

fn closed() -> Observation {
    Observation::GroupClosed { group: GROUP }
}

#[test]
fn a_group_that_one_node_closes_alone_is_forgotten() {
    let acknowledged = Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(1) };
    let voters = |voters: &[NodeId]| Observation::Members {
        group: GROUP,
        index: LogIndex(0),
        voters: voters.into(),
        learners: [].into(),
    };
    let promised = |members: &[NodeId]| {
        let story = [N1, N2, N3].into_iter().fold(story(), |story, node| story.tell(node, opened()));
        let story = story.tell(N1, voters(members)).tell(N1, leader(1)).tell(N2, appended(1, 1, 10));
        story.tell(N2, acknowledged.clone())
    };
    let all = [N1, N2, N3];
    let goes_on = |story: Story| story.tell(N1, committed(2, 1));
    let forgot = "n2 made a promise for orders at 0.014 s, and forgot the group at 0.015 s";
    goes_on(promised(&all).tell(N2, closed())).rejected(Durability, forgot);
    // The queue was deleted: the others close it too, sooner or later.
    goes_on(promised(&all).tell(N2, closed())).tell(N1, closed()).is(Durability, InvariantVerdict::Vacuous);
    promised(&all).tell(N1, closed()).tell(N2, closed()).is(Durability, InvariantVerdict::Vacuous);
    // It is no member any more, or was the only one.
    goes_on(promised(&[N1, N3]).tell(N2, closed())).is(Durability, InvariantVerdict::Vacuous);
    promised(&[N2]).tell(N2, closed()).is(Durability, InvariantVerdict::Vacuous);
}
