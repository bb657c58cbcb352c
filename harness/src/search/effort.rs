//! What a run costs.

use std::{fs, time::Duration};

/// The processor time that the calling thread has used, to the kernel's accuracy (nanoseconds, updated when the thread
/// is switched or a tick passes). `None` where the system does not tell, which is anywhere but on Linux.
pub fn thread_cpu() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}
