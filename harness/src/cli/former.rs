//! What a former call left in the folder that `--out` names.
//!
//! Runs of other seeds or scenarios must not stand beside the new ones, where they look as if they belonged to them. So
//! what Ferret wrote there is removed, file by file: the files of a run, where a `run.json` shows that they are, and
//! those of the whole, where a `sweep.json` does. Everything else stays, reproducers among it: they are finds. Links
//! are not followed. Where something of another's, be it a link, has the name of a file that Ferret is to write, the
//! call must not begin.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    artifacts::{HISTORY_FILE, OF_ALL_RUNS, OF_RUN, PAGE_FILE, RUN_FILE, SWEEP_FILE},
    reading::read,
};

/// Files that a former call left, and the folders that are empty without them, the inner ones first.
#[derive(Debug, Default)]
pub(super) struct Former {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    runs: usize,
    foreign: Option<PathBuf>,
}

impl Former {
    /// Looks at the folder of a call. Nothing is there if the folder is not.
    pub(super) fn find(folder: &Path) -> io::Result<Self> {
        let mut former = Self::default();
        if is_ours(&folder.join(SWEEP_FILE), "results_hash") {
            former.add(folder, OF_ALL_RUNS);
        }
        former.note_foreign(folder, OF_ALL_RUNS);
        for scenario in folders(folder)? {
            let seeds: Vec<PathBuf> = folders(&scenario)?.into_iter().filter(|seed| is_seed(seed)).collect();
            let (runs, others): (Vec<_>, Vec<_>) =
                seeds.into_iter().partition(|seed| is_ours(&seed.join(RUN_FILE), "trace_hash"));
            for other in others {
                // A drawn scenario stands alone where a call ended in the midst of the run.
                former.note_foreign(&other, &[RUN_FILE, HISTORY_FILE, PAGE_FILE]);
            }
            let before = former.runs;
            for run in runs {
                former.add(&run, OF_RUN);
                former.note_foreign(&run, OF_RUN);
                former.folders.push(run);
                former.runs += 1;
            }
            if former.runs > before {
                former.folders.push(scenario);
            }
        }
        Ok(former)
    }

    /// The first of what stands in the place of one of Ferret's files, and is none of a former call's.
    pub(super) fn foreign(&self) -> Option<&Path> {
        self.foreign.as_deref()
    }

    /// The first of the files that is one of those, or below one of those, that are still needed.
    pub(super) fn needed(&self, inputs: &[&Path]) -> Option<&Path> {
        let inputs: Vec<PathBuf> = inputs.iter().filter_map(|input| fs::canonicalize(input).ok()).collect();
        let needed = |file: &&PathBuf| {
            fs::canonicalize(file).is_ok_and(|file| inputs.iter().any(|input| file.starts_with(input)))
        };
        self.files.iter().find(needed).map(PathBuf::as_path)
    }

    /// Removes it all; how many runs it were.
    pub(super) fn remove(&self) -> io::Result<usize> {
        for file in &self.files {
            fs::remove_file(file)?;
        }
        for folder in &self.folders {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(error),
                _ => {}
            }
        }
        Ok(self.runs)
    }

    fn add(&mut self, folder: &Path, names: &[&str]) {
        let files = names.iter().map(|name| folder.join(name));
        self.files.extend(files.filter(|file| fs::symlink_metadata(file).is_ok_and(|about| about.is_file())));
    }

    fn note_foreign(&mut self, folder: &Path, names: &[&str]) {
        let mut places = names.iter().map(|name| folder.join(name));
        let foreign = places.find(|place| fs::symlink_metadata(place).is_ok() && !self.files.contains(place));
        self.foreign = self.foreign.take().or(foreign);
    }
}

/// The folders in a folder, by name; those that links lead to are not.
fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// `seed-17`.
fn is_seed(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix("seed-")).is_some_and(|seed| seed.parse::<u64>().is_ok())
}

/// Whether Ferret wrote that file: an object with a version, and with a key that only it has.
fn is_ours(file: &Path, key: &str) -> bool {
    let object = read(file).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    object.is_some_and(|object| object["version"].is_u64() && object[key].is_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().expect("it is in a folder")).expect("a folder is made");
            fs::write(file, text).expect("a file is written");
        }
    }

    const RUN: &str = r#"{ "version": 1, "trace_hash": "00" }"#;

    #[test]
    fn what_a_former_call_wrote_goes_and_everything_else_stays() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let here = folder.path();
        write(
            here,
            &[
                ("sweep.json", r#"{ "version": 1, "results_hash": "00" }"#),
                ("junit.xml", ""),
                ("notes.txt", "mine"),
                ("first/seed-1/run.json", RUN),
                ("first/seed-1/report.html", ""),
                ("second/seed-2/run.json", RUN),
                ("second/seed-2/second-2.repro.toml", "a find"),
                ("second/seed-x/run.json", RUN),
                ("third/seed-3/run.json", r#"{ "mine": true }"#),
                ("third/seed-3/report.html", "mine"),
            ],
        );
        let former = Former::find(here).expect("the folder can be read");
        assert_eq!(former.needed(&[&here.join("first/seed-1")]), Some(here.join("first/seed-1/run.json").as_path()));
        assert_eq!(former.needed(&[&here.join("notes.txt")]), None);
        assert_eq!(former.foreign(), Some(here.join("third/seed-3/run.json").as_path()));
        assert_eq!(former.remove().expect("it can be removed"), 2);
        for (file, stays) in [
            ("sweep.json", false),
            ("junit.xml", false),
            ("notes.txt", true),
            ("first", false),
            ("second/seed-2/run.json", false),
            ("second/seed-2/second-2.repro.toml", true),
            ("second/seed-x/run.json", true),
            ("third/seed-3/run.json", true),
            ("third/seed-3/report.html", true),
        ] {
            assert_eq!(here.join(file).exists(), stays, "{file}");
        }
    }

    #[test]
    fn files_of_the_same_names_that_another_program_wrote_stay_and_links_are_not_followed() {
        let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("another"));
        write(folder.path(), &[("junit.xml", "another program's"), ("sweep.json", "{}")]);
        write(other.path(), &[("seed-1/run.json", RUN)]);
        std::os::unix::fs::symlink(other.path(), folder.path().join("first")).expect("a link is made");
        let former = Former::find(folder.path()).expect("the folder can be read");
        assert_eq!((former.remove().expect("there is nothing to remove"), former.files.len()), (0, 0));
        assert!(other.path().join("seed-1/run.json").exists() && folder.path().join("junit.xml").exists());
        assert!(Former::find(&folder.path().join("nowhere")).expect("that is fine").files.is_empty());
    }
}
