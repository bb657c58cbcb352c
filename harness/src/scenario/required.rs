//! Which invariants a scenario gives something to check: what `invariants = ["all"]` stands for.

use std::collections::BTreeSet;

use super::{AckMode, Action, Invariant, Scenario, Take};

/// Every invariant whose checker cannot be vacuous in this scenario.
pub(super) fn checkable(scenario: &Scenario) -> BTreeSet<Invariant> {
    let locks = !scenario.lockers.is_empty();
    let publishes = locks || !scenario.publishers.is_empty();
    let confirms = locks || scenario.publishers.iter().any(|publishers| publishers.confirms);
    let manual = || scenario.consumers.iter().filter(|consumers| consumers.ack == AckMode::Manual);
    let requeues = publishes && manual().any(|consumers| consumers.requeue > 0.0);
    let consuming_lockers = scenario.lockers.iter().any(|lockers| lockers.take == Take::Consume);
    let prefetch = consuming_lockers || publishes && manual().any(|consumers| consumers.prefetch > 0);
    // A step that may miss need not take anything down.
    let takes_down = |action: &Action<_>| matches!(action, Action::Kill { .. } | Action::PowerLoss { .. });
    let restarts = scenario.steps.iter().any(|step| !step.may_miss && takes_down(&step.action));
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
        let text = format!(
            "version = 1\nname = \"a\"\nrun = {{ duration = \"1s\" }}\ncluster = {{ nodes = 1 }}\n\
             queues = [{{ name = \"q\" }}]\npublishers = [{{ name = \"p\", queue = \"q\", rate = 1 }}]\n\
             expect = {{ invariants = {invariants} }}\n"
        );
        Scenario::parse("a.toml", &text).expect("the scenario is valid").expect.invariants
    }

    #[test]
    fn who_names_an_invariant_beside_all_means_it() {
        let all = required(r#"["all"]"#);
        assert!(all.contains(&Invariant::Liveness) && !all.contains(&Invariant::Lock));
        let named: BTreeSet<Invariant> = &all | &BTreeSet::from([Invariant::Lock]);
        assert_eq!(required(r#"["all", "lock"]"#), named);
    }
}
