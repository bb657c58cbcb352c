//! Ferret's integration tests, one binary.

mod chaos;
mod cli;
mod demo;
mod determinism;
mod disk;
mod end_to_end;
mod export;
mod faults;
mod gate;
mod judge;
mod lapin_lockstep;
mod leftovers;
mod locks;
mod machine;
mod membership;
mod more_faults;
mod planted;
mod play;
mod publisher_faults;
mod replay;
mod reproducer;
mod scenario_errors;
mod serve;
mod shells;
mod streams;
mod style;
mod swarm;
mod sweep;
mod tell;
mod triggers;
mod workspace;

use std::{cell::RefCell, future::Future, rc::Rc, time::Duration};

use ferret::sim::{LocalBoxFuture, MachineId, SimPlatform, World, WorldConfig};
use warren::platform::NodeId;

/// A world whose observations nobody reads.
fn world(config: WorldConfig) -> World {
    World::new(config, Rc::new(|_, _, _| {}))
}

/// Adds a machine whose process runs `main` at each start.
fn machine<F: Future<Output = ()> + 'static>(
    world: &World,
    name: &str,
    main: impl Fn(SimPlatform) -> F + 'static,
) -> MachineId {
    world.add_machine(name, NodeId(0), move |platform| -> LocalBoxFuture<'static, ()> { Box::pin(main(platform)) })
}

/// What a process tells the test.
struct Seen<T>(Rc<RefCell<Vec<T>>>);

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T: Clone> Seen<T> {
    fn new() -> Self {
        Self(Rc::default())
    }

    fn push(&self, value: T) {
        self.0.borrow_mut().push(value);
    }

    fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    fn last(&self) -> Option<T> {
        self.0.borrow().last().cloned()
    }

    fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

fn run(world: &World, duration: Duration) {
    world.run_for(duration).expect("no task panics");
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
