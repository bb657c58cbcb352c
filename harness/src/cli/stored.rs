//! `--save-failures`: failing seeds go beside their scenarios.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use ferret_reports::RunRecord;

use super::{
    reading::read_text,
    shown::Shown,
    writing::{make_folder, write_file},
};
use crate::search::regressions::{self, StoredSeed};

/// Adds the failing seeds of `records` to the files beside their scenarios, and says so on `err`. A run that tested too
/// little, or was cut short, is no failure to keep.
pub(super) fn save(records: &[RunRecord], err: &mut dyn Write) -> io::Result<()> {
    let mut files: BTreeMap<PathBuf, Vec<StoredSeed>> = BTreeMap::new();
    for record in records {
        if let Some(seed) = regressions::of_run(record) {
            files.entry(regressions::path_of(Path::new(&record.scenario.path))).or_default().push(seed);
        }
    }
    for (path, fresh) in files {
        // What is there is valid: it was read before anything ran.
        let known = read_text(&path).ok();
        let mut seeds = known.and_then(|text| regressions::parse("", &text).ok()).unwrap_or_default();
        let known: Vec<u64> = seeds.iter().map(|one| one.seed).collect();
        let fresh: Vec<StoredSeed> = fresh.into_iter().filter(|one| !known.contains(&one.seed)).collect();
        if fresh.is_empty() {
            continue;
        }
        let numbers: Vec<String> = fresh.iter().map(|one| one.seed.to_string()).collect();
        seeds.extend(fresh);
        make_folder(path.parent().unwrap_or(Path::new("")))?;
        write_file(&path, regressions::render(&seeds))?;
        writeln!(err, "kept in {}: seed {}", path.shown(), numbers.join(", "))?;
    }
    Ok(())
}
