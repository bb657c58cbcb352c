//! Looking for failures over many runs.
//!
//! [`hunt`] runs scenarios against planted bugs until each is caught, and against none to see that nothing is reported
//! where nothing is wrong. What it knows nothing of: terminals, files, threads.

mod effort;
pub mod hunt;

pub use effort::thread_cpu;
