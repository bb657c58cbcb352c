//! Which invariants a scenario gives something to check: what `invariants = ["all"]` stands for.

use std::collections::BTreeSet;

use super::{AckMode, Action, Invariant, Scenario, Take, Trouble};

/// Every invariant whose checker cannot be vacuous in this scenario.
pub(super) fn checkable(scenario: &Scenario) -> BTreeSet<Invariant> {
    let locks = !scenario.lockers.is_empty();
    let publishes = locks || !scenario.publishers.is_empty();
    let confirms = locks || scenario.publishers.iter().any(|publishers| publishers.confirms);
    let manual = || scenario.consumers.iter().filter(|consumers| consumers.ack == AckMode::Manual);
    let requeues = publishes && manual().any(|consumers| consumers.requeue > 0.0);
    let consuming_lockers = scenario.lockers.iter().any(|lockers| lockers.take == Take::Consume);
    let prefetch = consuming_lockers || publishes && manual().any(|consumers| consumers.prefetch > 0);
    // A step that may miss need not take anything down; and who lost synced data owes nothing, or never starts again.
    let takes_down = |action: &Action<_>| matches!(action, Action::Kill { .. } | Action::PowerLoss { .. });
    let takes_data = |action: &Action<_>| {
        let trouble = |trouble: &Trouble| matches!(trouble, Trouble::BitRot { .. } | Trouble::Misdirect { .. });
        matches!(action, Action::Wipe { .. })
            || matches!(action, Action::Trouble { trouble: what, .. } if trouble(what))
    };
    let restarts = scenario.steps.iter().any(|step| !step.may_miss && takes_down(&step.action))
        && !scenario.steps.iter().any(|step| takes_data(&step.action));
    let replicas = scenario.cluster.nodes > 1;
    Invariant::ALL
        .into_iter()
        .filter(|invariant| match invariant {
            Invariant::NoConfirmedLoss | Invariant::ConfirmProtocol => confirms,
            Invariant::NoPhantom
            | Invariant::NoFreshDuplicate
            | Invariant::AttemptsBound
            | Invariant::NoAckResurrection
            | Invariant::SingleOwner
            | Invariant::DeliveryCount
            | Invariant::QueueLinearizable => publishes,
            Invariant::SettleApplied => publishes && manual().next().is_some(),
            // A lock's one message has no order.
            Invariant::PublisherOrder => !scenario.publishers.is_empty(),
            Invariant::RequeueOrder => requeues,
            Invariant::Prefetch => prefetch,
            Invariant::Lock => locks,
            Invariant::ReplicaAgreement | Invariant::LogMatching => replicas,
            Invariant::Durability => restarts,
            Invariant::OneLeaderPerTerm
            | Invariant::CommittedStays
            | Invariant::Quorum
            | Invariant::Monotonic
            | Invariant::Liveness => true,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required(invariants: &str) -> BTreeSet<Invariant> {
        required_with("", invariants)
    }

    fn required_with(timeline: &str, invariants: &str) -> BTreeSet<Invariant> {
        let text = format!(
            "version = 1\nname = \"a\"\nrun = {{ duration = \"1s\" }}\ncluster = {{ nodes = 1 }}\n\
             queues = [{{ name = \"q\" }}]\npublishers = [{{ name = \"p\", queue = \"q\", rate = 1 }}]\n\
             timeline = {{ steps = [{timeline}] }}\nexpect = {{ invariants = {invariants} }}\n"
        );
        Scenario::parse("a.toml", &text).expect("the scenario is valid").expect.invariants
    }

    #[test]
    fn a_restart_owes_what_was_promised_unless_the_disk_may_have_lost_it() {
        let kill = r#"{ at = "100ms", kill = { node = "n1" }, for = "100ms" }"#;
        let rot = r#"{ at = "50ms", bit-rot = { node = "n1", bits = 3 } }"#;
        let asks = |timeline: &str| required_with(timeline, r#"["all"]"#).contains(&Invariant::Durability);
        assert!(asks(kill) && !asks(rot) && !asks(&format!("{rot}, {kill}")));
        let named = required_with(&format!("{rot}, {kill}"), r#"["all", "durability"]"#);
        assert!(named.contains(&Invariant::Durability));
    }

    #[test]
    fn who_names_an_invariant_beside_all_means_it() {
        let all = required(r#"["all"]"#);
        assert!(all.contains(&Invariant::Liveness) && !all.contains(&Invariant::Lock));
        let named: BTreeSet<Invariant> = &all | &BTreeSet::from([Invariant::Lock]);
        assert_eq!(required(r#"["all", "lock"]"#), named);
    }
}
