//! A majority of the voters decides, and they change one at a time.

use Invariant::{Liveness, NoConfirmedLoss, Quorum};
use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;

const N4: NodeId = NodeId(4);

fn members(index: u64, voters: &[NodeId], learners: &[NodeId]) -> Observation {
    let (voters, learners) = (voters.to_vec(), learners.to_vec());
    Observation::Members { group: GROUP, index: LogIndex(index), voters: voters.into(), learners: learners.into() }
}

fn change(index: u64, term: u64) -> Observation {
    Observation::ChangeBegan { group: GROUP, index: LogIndex(index), term: Term(term) }
}

/// n1 leads with the voters n1, n2, n3; n4 only follows. All know so.
fn led() -> Story {
    let story = [N1, N2, N3, N4]
        .into_iter()
        .fold(story(), |story, node| story.tell(node, opened()).tell(node, members(0, &[N1, N2, N3], &[N4])));
    story.tell(N1, leader(1)).tell(N1, appended(1, 1, 10))
}

#[test]
fn an_entry_is_committed_when_a_majority_of_the_voters_has_it() {
    led().tell(N1, committed(1, 1)).rejected(Quorum, "n2, n3 lacked it");
    // A learner does not count.
    led().tell(N4, appended(1, 1, 10)).tell(N1, committed(1, 1)).rejected(Quorum, "of its voters n1, n2, n3");
    led().tell(N2, appended(1, 1, 10)).tell(N1, committed(1, 1)).accepted(Quorum);
    // Another entry at the same index is not it.
    led().tell(N2, appended(1, 2, 11)).tell(N1, committed(1, 1)).rejected(Quorum, "n2, n3 lacked it");
}

#[test]
fn what_is_committed_counts_by_the_members_of_that_moment() {
    let grown = |story: Story| story.tell(N1, members(1, &[N1, N2, N3, N4], &[]));
    let two =
        |story: Story| story.tell(N1, appended(2, 1, 20)).tell(N2, appended(1, 1, 10)).tell(N2, appended(2, 1, 20));
    two(led()).tell(N1, committed(2, 1)).accepted(Quorum);
    grown(two(led())).tell(N1, committed(2, 1)).rejected(Quorum, "of its voters n1, n2, n3, n4");
    grown(two(led()))
        .tell(N4, appended(1, 1, 10))
        .tell(N4, appended(2, 1, 20))
        .tell(N1, committed(2, 1))
        .accepted(Quorum);
}

#[test]
fn a_follower_that_learns_late_what_is_committed_proves_nothing() {
    let story = led().tell(N2, appended(1, 1, 10)).tell(N1, committed(1, 1));
    // n3 counts by itself alone, for all it matters here.
    story.tell(N3, members(0, &[N1, N2, N3], &[N4])).tell(N3, committed(1, 1)).accepted(Quorum);
}

#[test]
fn replicas_that_count_from_the_same_entry_count_by_the_same_members() {
    let told =
        |by_n2: &[NodeId]| led().tell(N1, members(1, &[N1, N2], &[N3, N4])).tell(N2, members(1, by_n2, &[N3, N4]));
    told(&[N1, N2]).accepted(Quorum);
    told(&[N1]).rejected(Quorum, "from entry 1 of orders on n1 counted by voters n1, n2");
}

#[test]
fn a_leader_begins_no_change_before_the_one_before_is_applied() {
    let begun = || led().tell(N1, change(2, 1)).tell(N1, appended(2, 1, 20));
    begun().tell(N1, change(3, 1)).rejected(Quorum, "another one (entry 2");
    begun().tell(N1, applied(2, 1, 20, 5)).tell(N1, change(3, 1)).accepted(Quorum);
    // A change that never got into the new leader's log does not bind it.
    begun().tell(N2, leader(2)).tell(N2, appended(1, 2, 30)).tell(N2, change(2, 2)).accepted(Quorum);
}

#[test]
fn a_group_whose_voters_are_gone_or_lost_what_they_had_is_not_blamed() {
    let run = |voters: &[NodeId]| {
        let story = [N1, N2, N3]
            .into_iter()
            .fold(story(), |story, node| story.tell(node, opened()).tell(node, members(1, voters, &[])));
        story.put(m(1))
    };
    let gone = |voters: &[NodeId]| run(voters).down(N1, NodeDown::PowerLost).healed().wait(20).drain_failed();
    gone(&[N1]).is(Liveness, InvariantVerdict::NotRecoverable);
    gone(&[N1, N2, N3]).rejected(Liveness, "had no leader");
    let wiped = |voters: &[NodeId]| run(voters).wiped(N1).healed().wait(20).drained();
    wiped(&[N1]).is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
    wiped(&[N1, N2, N3]).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
}

/// n3's disk forgets, and n3 comes back with what is left of it.
fn forgets(story: Story) -> Story {
    let story = story.down(N3, NodeDown::PowerLost).event(EventKind::SyncedDataLost { node: N3 });
    story.up(N3).tell(N3, opened()).tell(N3, recovered(1, None, (0, 0)))
}

#[test]
fn a_disk_that_is_lost_later_excuses_nothing_before() {
    let alone = || led().tell(N1, committed(1, 1));
    forgets(alone().wait(18)).rejected(Quorum, "n2, n3 lacked it");
    // What n3 had, and its leader had heard of, it may have forgotten since.
    forgets(led().tell(N3, appended(1, 1, 10))).tell(N1, committed(1, 1)).accepted(Quorum);
}

#[test]
fn a_voter_that_has_forgotten_is_not_thought_to_have_what_it_never_had() {
    let then = |story: Story| story.tell(N1, appended(2, 1, 20)).tell(N1, committed(2, 1));
    let had = |last| (1..=last).fold(led(), |story, index| story.tell(N3, appended(index, 1, index * 10)));
    then(forgets(had(1))).rejected(Quorum, "n2, n3 lacked it");
    then(forgets(had(2))).accepted(Quorum);
    // Once it is whole, it is known again.
    let whole = Observation::Whole { group: GROUP, index: LogIndex(1) };
    then(forgets(had(2)).tell(N3, whole)).rejected(Quorum, "n2, n3 lacked it");
}
