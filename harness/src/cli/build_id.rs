//! Which build of Ferret this is: what decides whether a trace hash can be expected to come again.

use std::{env, fs, sync::OnceLock};

use xxhash_rust::xxh3::xxh3_64;

/// A hash of the program's own file, 16 hexadecimal digits; `unknown` if it cannot be read. Two builds of the same
/// source may differ in it, two builds that differ in what they do always do.
pub(super) fn build_id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        let program = env::current_exe().and_then(fs::read);
        program.map_or_else(|_| "unknown".to_owned(), |bytes| format!("{:016x}", xxh3_64(&bytes)))
    })
}

/// The program, as sweeps and baselines name it: its version, and its [`build_id`].
pub(super) fn program() -> String {
    format!("ferret {} {}", env!("CARGO_PKG_VERSION"), build_id())
}
