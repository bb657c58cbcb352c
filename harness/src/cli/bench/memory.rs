//! The most memory that this process holds, as the kernel counts it.

use std::fs;

/// Lets the kernel count the peak anew (see `proc_pid_clear_refs(5)`); whether it does.
pub(super) fn forget_peak() -> bool {
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The most memory resident since then, in bytes.
pub(super) fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

pub(super) fn told(bytes: Option<u64>) -> String {
    bytes.map_or("unknown".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000))
}
