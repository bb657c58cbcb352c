//! One simulation, one fresh thread: nothing that an earlier run left in a thread-local can reach the next.

use std::{any::Any, thread};

use super::{SimError, entropy};

/// Stack of a simulation's thread. Generous: a node's futures nest deeply in debug builds.
const STACK_BYTES: usize = 16 << 20;

/// Runs `f` on a thread of its own, whose clocks are virtual and whose entropy comes from `seed`.
///
/// # Errors
/// A panic of `f` as [`SimError::Panic`]; [`SimError::EntropyNotLinked`] if the clocks could not be replaced.
pub fn run_isolated<R: Send>(seed: u64, f: impl FnOnce() -> R + Send) -> Result<R, SimError> {
    thread::scope(|scope| {
        let body = move || {
            let _entered = entropy::enter(seed)?;
            Ok(f())
        };
        let thread = thread::Builder::new()
            .name(format!("simulation-{seed}"))
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, body)
            .map_err(|error| SimError::Engine(format!("cannot start a thread: {error}")))?;
        thread.join().unwrap_or_else(|panic| {
            Err(SimError::Panic { machine: None, task: "simulation", message: panic_message(&*panic) })
        })
    })
}

/// What a panic said.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(message) = panic.downcast_ref::<&str>() {
        (*message).to_owned()
    } else if let Some(message) = panic.downcast_ref::<String>() {
        message.clone()
    } else {
        "a panic without a message".to_owned()
    }
}
