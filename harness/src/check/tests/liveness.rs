//! After the last heal, everything works again; or it could not.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::Liveness;

/// A healthy run up to its heal: n1 leads, all replicas have applied entry 1, message 1 is confirmed and seen.
fn run() -> Story {
    let story = [N1, N2, N3].into_iter().fold(story(), |story, node| story.tell(node, opened()));
    let story = story.tell(N1, leader(1)).put(m(1)).fresh(CON, m(1));
    [N1, N2, N3].into_iter().fold(story, |story, node| story.tell(node, applied(1, 1, 10, 5)))
}

#[test]
fn a_run_that_recovers_holds() {
    run().healed().wait(20).drained().accepted(Liveness);
}

#[test]
fn a_run_that_is_never_healed_or_not_drained_decides_nothing() {
    run().wait(20).drained().is(Liveness, InvariantVerdict::Undecided);
    run().healed().wait(20).drain_failed().is(Liveness, InvariantVerdict::Undecided);
}

#[test]
fn a_run_that_ends_before_the_bound_holds_if_all_is_done_and_else_decides_nothing() {
    run().healed().wait(2).drained().accepted(Liveness);
    run().tell(N1, applied(2, 1, 11, 6)).healed().wait(2).drained().is(Liveness, InvariantVerdict::Undecided);
    run().publish(m(2)).healed().wait(2).drained().is(Liveness, InvariantVerdict::Undecided);
}

#[test]
fn a_cluster_without_a_majority_cannot_recover_and_is_not_blamed() {
    let gone = |how| run().down(N1, how).down(N2, how).healed().wait(20).drain_failed();
    gone(NodeDown::PowerLost).is(Liveness, InvariantVerdict::NotRecoverable);
    // Nodes that ended by themselves, without a reason, are no excuse.
    gone(NodeDown::Exited).rejected(Liveness, "had no leader");
    let fatal = |node| move |story: Story| story.tell(node, Observation::Fatal { reason: "fsync failed".to_owned() });
    let story = fatal(N2)(fatal(N1)(run())).down(N1, NodeDown::Exited).down(N2, NodeDown::Exited);
    story.healed().wait(20).drain_failed().is(Liveness, InvariantVerdict::NotRecoverable);
}

#[test]
fn a_publish_on_a_living_channel_must_have_an_outcome() {
    let open = || run().publish(m(2));
    open().healed().wait(20).drained().rejected(Liveness, "pub-1/2 was published");
    open().healed().confirm(m(2)).wait(20).drained().accepted(Liveness);
    open().healed().lost(PUB).wait(20).drained().accepted(Liveness);
    let unknown = |story: Story| story.outcome(m(2), PublishOutcome::Unknown);
    unknown(open().healed().wait(20)).drained().rejected(Liveness, "no outcome");
    // The publisher gave up early: the answer may have come when nobody listened any more.
    unknown(open().healed()).wait(20).drained().accepted(Liveness);
}

#[test]
fn a_queue_with_a_majority_must_have_a_leader() {
    let stepped = || run().tell(N1, Observation::SteppedDown { group: GROUP, term: Term(1) });
    stepped().healed().wait(20).drain_failed().rejected(Liveness, "orders had no leader since");
    stepped().healed().tell(N2, leader(2)).wait(20).drained().accepted(Liveness);
    let killed = || run().down(N1, NodeDown::Killed).up(N1).tell(N1, recovered(1, None, (1, 1)));
    let late = killed().tell(N1, applied(1, 1, 10, 5)).healed().wait(20).drained();
    late.rejected(Liveness, "orders had no leader since");
}

#[test]
fn running_replicas_converge() {
    let behind = || run().tell(N1, applied(2, 1, 11, 6)).tell(N2, applied(2, 1, 11, 6)).healed();
    behind().wait(20).drained().rejected(Liveness, "n3, which runs, had applied only up to 1");
    behind().tell(N3, applied(2, 1, 11, 6)).wait(20).drained().accepted(Liveness);
    behind().tell(N3, snapshot(2, 1, 6)).wait(20).drained().accepted(Liveness);
    // What was applied just before the end may still be on its way; a node that is down owes nothing.
    run().healed().wait(20).tell(N1, applied(2, 1, 11, 6)).drained().accepted(Liveness);
    behind().down(N3, NodeDown::Killed).wait(20).drained().accepted(Liveness);
}

#[test]
fn no_message_stays_assigned_to_a_process_that_is_gone() {
    let assigned = Observation::Assigned { group: GROUP, message: 1, owner: N3, channel: 1, consumer: None, count: 0 };
    let restarted = || {
        let story = run().tell(N1, assigned.clone()).down(N3, NodeDown::Killed).up(N3);
        story.tell(N3, applied(1, 1, 10, 5)).healed()
    };
    restarted().wait(20).drained().rejected(Liveness, "message 1 of orders is still assigned to a channel of n3");
    let requeued = Observation::Requeued { group: GROUP, message: 1 };
    restarted().tell(N1, requeued).wait(20).drained().accepted(Liveness);
    // Held by the new process.
    run()
        .down(N3, NodeDown::Killed)
        .up(N3)
        .tell(N3, applied(1, 1, 10, 5))
        .tell(N1, assigned.clone())
        .healed()
        .wait(20)
        .drained()
        .accepted(Liveness);
}
