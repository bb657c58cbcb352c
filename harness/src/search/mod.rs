//! Looking for failures over many runs.
//!
//! [`hunt`] runs scenarios against planted bugs until each is caught, and against none to see that nothing is reported
//! where nothing is wrong; [`shrink`] takes away from a failing run what it does not need. What it knows nothing of:
//! terminals, files, threads.

mod effort;
pub mod hunt;
pub mod shrink;

pub use effort::thread_cpu;
