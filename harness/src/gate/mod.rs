//! Whether many runs together are good enough: a policy in a file, one verdict.
//!
//! The way of a policy: [`file`] is its shape, [`policy`] checks it; the command line makes the runs; [`judge`] holds
//! them against the policy, with [`baseline`] against an earlier run. What this knows nothing of: terminals, threads,
//! and how runs are made.

use std::path::Path;

pub mod baseline;
mod file;
pub mod judge;
pub mod policy;

pub use baseline::{Baseline, Tolerance};
pub use policy::Policy;

/// Whether a file's name is that of a policy, `gate.toml` or `NAME.gate.toml`: it may stand among scenarios.
pub fn is_policy(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name == "gate.toml" || name.ends_with(".gate.toml")
}

/// The JSON schema of policy files.
pub fn schema() -> schemars::Schema {
    let mut schema = schemars::schema_for!(file::File);
    schema.insert("title".to_owned(), "Ferret gate policy".into());
    schema
}
