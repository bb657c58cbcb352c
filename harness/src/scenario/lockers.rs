//! Lockers, and the queues that they have for themselves.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Lockers, Scenario, Spread, Take,
    check::{Checker, line_of, named},
    file::{Field, File, LockersTable},
    target::Roles,
};

impl Scenario {
    /// The queues that are used as locks, in order.
    pub fn locks(&self) -> BTreeSet<usize> {
        self.lockers.iter().map(|lockers| lockers.queue).collect()
    }
}

impl Checker<'_> {
    pub(super) fn lockers(&mut self, table: &LockersTable, queues: &[&str], roles: Roles<'_>) -> Lockers {
        let millis = |min, max| Spread { min: Duration::from_millis(min), max: Duration::from_millis(max) };
        let hour = Duration::from_secs(3_600);
        let take = named(&table.take, |name| Some(if name == "consume" { Take::Consume } else { Take::Get }));
        if take == Some(Take::Consume)
            && let Field(Some(at)) = &table.retry
        {
            let help = "write `take = \"get\"`, or leave `retry` out".to_owned();
            self.problems.add(&at.span, "only gets are tried again", "a consumer waits to be served", Some(help));
        }
        Lockers {
            name: self.name(&table.name, "a group of clients"),
            count: table.count.or(3),
            queue: self.queue(&table.queue, queues),
            take: take.unwrap_or(Take::Get),
            hold: self.times(&table.hold, millis(100, 500), (Duration::ZERO, hour)),
            // A get right after the one before would leave no time for anybody else.
            retry: self.times(&table.retry, millis(50, 200), (Duration::from_millis(1), hour)),
            node: self.placement(&table.node, roles),
        }
    }

    /// A lock's queue holds one message, and nobody but lockers takes it: anybody else would break the lock.
    pub(super) fn locks_are_alone(&mut self, file: &File) {
        let lockers = file.lockers.iter().filter_map(|table| table.value.queue.0.as_ref());
        let locks: Vec<_> = lockers.collect();
        let publishers = file.publishers.iter().map(|table| &table.value.queue);
        let consumers = file.consumers.iter().map(|table| &table.value.queue);
        let getters = file.getters.iter().map(|table| &table.value.queue);
        for at in publishers.chain(consumers).chain(getters).filter_map(|field| field.0.as_ref()) {
            if let Some(lock) = locks.iter().find(|lock| lock.value == at.value) {
                let message = format!("`{}` is used as a lock, and by others", at.value);
                let line = line_of(self.text, lock.span.start);
                let help = format!("its lockers are in line {line}; give these clients another queue");
                self.problems.add(&at.span, message, "its one message is the lock", Some(help));
            }
        }
    }
}
