//! What a voter that has forgotten its promises excuses, and what not.

use ferret_reports::InvariantVerdict;
use warren::platform::{LogIndex, Observation};

use super::*;
use Invariant::{Liveness, NoConfirmedLoss, NoFreshDuplicate, OneLeaderPerTerm};

/// n1 leads, n2 has acknowledged entry 1, which is confirmed; then n2 loses its disk and comes back.
fn forgetful() -> Story {
    forgets(story())
}

fn forgets(story: Story) -> Story {
    let acknowledged = Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(1) };
    let story = [N1, N2, N3].into_iter().fold(story, |story, node| story.tell(node, opened()));
    let story = story.tell(N1, leader(1)).put(m(1)).tell(N2, acknowledged).down(N2, NodeDown::PowerLost);
    story.event(EventKind::SyncedDataLost { node: N2 }).up(N2)
}

fn votes(candidate: NodeId) -> Observation {
    Observation::VoteGranted { group: GROUP, term: Term(2), candidate }
}

#[test]
fn a_leader_elected_by_a_voter_that_had_forgotten_excuses_what_is_lost() {
    let lost = |story: Story| story.healed().wait(20).drained();
    let decided = lost(forgetful().tell(N2, votes(N3)).tell(N3, leader(2)));
    let result = decided.is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
    let why = result.explanation.expect("it says why");
    assert!(why.contains("n3 was elected in term 2 of orders") && why.contains("with the vote of n2"), "{why}");
    lost(forgetful().tell(N2, leader(2))).is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
}

#[test]
fn a_node_that_sees_that_its_disk_is_empty_has_no_vote_to_give() {
    let lost = |story: Story| story.healed().wait(20).drained();
    let sessions = |first, second| {
        let started = |incarnation| Observation::Started { incarnation };
        let story = story().tell(N2, started(first));
        lost(forgets(story).tell(N2, started(second)).tell(N2, votes(N3)).tell(N3, leader(2)))
    };
    sessions(7, 8).is(NoConfirmedLoss, InvariantVerdict::NotRecoverable);
    sessions(7, 1000).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
}

#[test]
fn a_lost_disk_alone_excuses_nothing() {
    let lost = |story: Story| story.healed().wait(20).drained();
    lost(forgetful()).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
    // Others elected the leader.
    lost(forgetful().tell(N1, votes(N3)).tell(N3, leader(2))).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
    // It voted for another, who did not win.
    lost(forgetful().tell(N2, votes(N3)).tell(N1, leader(2))).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
    // It had again what it once had.
    let again = Observation::AppendAcknowledged { group: GROUP, term: Term(1), index: LogIndex(1) };
    let remembers = forgetful().tell(N2, recovered(1, None, (1, 1))).tell(N2, votes(N3)).tell(N3, leader(2));
    lost(remembers).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
    let whole = forgetful().tell(N2, again).tell(N2, votes(N3)).tell(N3, leader(2));
    lost(whole).rejected(NoConfirmedLoss, "pub-1/1 was confirmed");
}

#[test]
fn what_was_broken_before_the_forgetful_vote_is_not_excused_by_it() {
    let twice = |story: Story| story.fresh(CON, m(1)).fresh(CON_2, m(1));
    let elects = |story: Story| story.tell(N2, votes(N3)).tell(N3, leader(2));
    let end = |story: Story| story.healed().wait(20).drained();
    let again = "pub-1/1 was delivered";
    end(elects(twice(forgetful()))).rejected(NoFreshDuplicate, again);
    end(twice(elects(forgetful()))).is(NoFreshDuplicate, InvariantVerdict::NotRecoverable);
    // The first one that the checker comes to is excused, another one is not.
    let other = |story: Story| story.put(m(2)).fresh(CON, m(2)).fresh(CON, m(2));
    end(twice(elects(other(forgetful())))).rejected(NoFreshDuplicate, "pub-1/2 was delivered");
    end(other(twice(elects(forgetful())))).is(NoFreshDuplicate, InvariantVerdict::NotRecoverable);
}

#[test]
fn what_was_broken_before_a_majority_was_lost_is_not_excused_by_it() {
    let lose = |story: Story| story.wiped(N1).wiped(N2);
    let leaders = |story: Story| story.tell(N1, leader(1)).tell(N2, leader(1));
    let end = |story: Story| story.healed().wait(20).drained();
    end(lose(leaders(story()))).rejected(OneLeaderPerTerm, "n2 became its leader in the same term");
    end(leaders(lose(story()))).is(OneLeaderPerTerm, InvariantVerdict::NotRecoverable);
    // One that is whole again before the other loses its disk.
    let whole = |story: Story| {
        let whole = Observation::Whole { group: GroupId::META, index: LogIndex(3) };
        story.wiped(N1).tell(N1, whole).wiped(N2)
    };
    end(leaders(whole(story()))).rejected(OneLeaderPerTerm, "n2 became its leader in the same term");
    // What is owed after the heal must be given its time: nothing was late when the majority was lost.
    let open = |story: Story| story.healed().wait(2).publish(m(1));
    lose(open(story())).wait(20).drained().is(Liveness, InvariantVerdict::NotRecoverable);
}
