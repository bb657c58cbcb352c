//! Looking for failures over many runs.
//!
//! [`hunt`] runs scenarios against planted bugs until each is caught, and against none to see that nothing is reported
//! where nothing is wrong; [`shrink`] takes away from a failing run what it does not need. [`plan`] says which runs a
//! sweep makes and how machines share them out, [`parts`] whether what they made is the whole, [`filter`] picks
//! scenarios, [`regressions`] keeps seeds that once failed. What it knows nothing of: terminals, threads.

mod effort;
pub mod filter;
pub mod hunt;
pub mod parts;
pub mod plan;
pub mod regressions;
pub mod results;
pub mod shrink;

pub use effort::thread_cpu;
