//! Which program this is.

use std::{fs, io, sync::OnceLock};

use xxhash_rust::xxh3::xxh3_128;

/// The version, and a hash of the executable file: two builds that could run a seed differently never have the same.
/// (Two that could not may still differ, as when each machine compiles for itself: compile once and hand it out.)
///
/// # Errors
/// When the executable cannot be read.
pub(super) fn id() -> io::Result<String> {
    static ID: OnceLock<String> = OnceLock::new();
    if let Some(id) = ID.get() {
        return Ok(id.clone());
    }
    let hash = xxh3_128(&fs::read("/proc/self/exe").or_else(|_| fs::read(std::env::current_exe()?))?);
    Ok(ID.get_or_init(|| format!("ferret {} {hash:032x}", env!("CARGO_PKG_VERSION"))).clone())
}
