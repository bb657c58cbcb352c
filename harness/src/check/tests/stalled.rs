//! A leader whose disk does not answer.

use ferret_reports::InvariantVerdict;
use warren::platform::Observation;

use super::*;
use Invariant::Liveness;

const BOUND_S: u64 = 5;

/// n1 leads from the start, of so many voters, and has appended an entry.
fn leading(voters: &[NodeId]) -> Story {
    let members = Observation::Members { group: GROUP, index: LogIndex(0), voters: voters.into(), learners: [].into() };
    story().tell(N1, opened()).tell(N1, members).tell(N1, leader(1)).tell(N1, appended(1, 1, 10))
}

/// For `seconds`, n1 hears of new entries all the time.
fn busy(mut story: Story, seconds: u64) -> Story {
    for index in 0..seconds * 4 {
        story.now += 250_000_000;
        story = story.tell(N1, appended(index + 2, 1, index));
    }
    story
}

fn persisted(last: u64) -> Observation {
    Observation::Persisted { group: GROUP, last: LogIndex(last) }
}

#[track_caller]
fn blamed(story: Story, expected: bool) {
    let result = story.healed().wait(20).drained().result(Liveness);
    let told = result.explanation.as_deref().is_some_and(|sentence| sentence.contains("its disk did not answer"));
    assert_eq!(told && result.verdict == InvariantVerdict::Violated, expected, "{:?}", result.explanation);
}

#[test]
fn a_leader_that_leads_on_without_its_disk_is_reported() {
    blamed(busy(leading(&[N1, N2, N3]), BOUND_S + 1), true);
    blamed(busy(leading(&[N1, N2, N3]), BOUND_S - 1).tell(N1, persisted(1)), false);
    // The disk answers now and then, each time for what is older than the bound allows no more.
    let slow = busy(busy(leading(&[N1, N2, N3]), 3).tell(N1, persisted(13)), 3).tell(N1, persisted(25));
    blamed(slow, false);
}

#[test]
fn a_leader_that_steps_down_or_goes_down_has_made_room() {
    let down = Observation::SteppedDown { group: GROUP, term: Term(1) };
    blamed(busy(busy(leading(&[N1, N2, N3]), 1).tell(N1, down), BOUND_S + 1), false);
    blamed(busy(busy(leading(&[N1, N2, N3]), 1).down(N1, NodeDown::Killed).up(N1), BOUND_S + 1), false);
}

#[test]
fn a_process_that_was_held_has_not_had_the_time() {
    blamed(busy(leading(&[N1, N2, N3]), 1).wait(BOUND_S + 1).tell(N1, appended(6, 1, 5)), false);
}

#[test]
fn the_only_voter_has_nobody_to_make_room_for() {
    blamed(busy(leading(&[N1]), BOUND_S + 1), false);
}

#[test]
fn a_leader_that_could_not_count_the_time_has_not_had_it() {
    let slowed = |node| leading(&[N1, N2, N3]).event(EventKind::Slowed { node });
    let right = |node| busy(slowed(node), BOUND_S + 1).event(EventKind::UpToSpeed { node });
    blamed(busy(right(N1), BOUND_S - 1), false);
    blamed(busy(right(N1), BOUND_S + 1), true);
    blamed(right(N2), true);
}
