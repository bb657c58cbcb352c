//! From paths on the command line to scenario files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::scenario::{Problem, Scenario};

/// What the paths of a command line led to.
pub(super) struct Selection {
    /// Valid scenarios, in order: as the paths were given, folders sorted by name.
    pub(super) scenarios: Vec<Scenario>,
    /// Per invalid file, what is wrong with it.
    pub(super) invalid: Vec<(PathBuf, Vec<Problem>)>,
    /// Files that could not be read.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Selection {
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        let mut selection = Self { scenarios: Vec::new(), invalid: Vec::new(), unreadable: Vec::new() };
        let mut files = Vec::new();
        for path in paths {
            if let Err(error) = collect(path, &mut files) {
                selection.unreadable.push((path.clone(), error));
            }
        }
        for file in files {
            match fs::read_to_string(&file) {
                Ok(text) => match Scenario::parse(&file.to_string_lossy(), &text) {
                    Ok(scenario) => selection.scenarios.push(scenario),
                    Err(problems) => selection.invalid.push((file, problems)),
                },
                Err(error) => selection.unreadable.push((file, error)),
            }
        }
        selection
    }

    pub(super) fn is_empty(&self) -> bool {
        self.scenarios.is_empty() && self.invalid.is_empty() && self.unreadable.is_empty()
    }

    pub(super) fn is_valid(&self) -> bool {
        self.invalid.is_empty() && self.unreadable.is_empty()
    }
}

/// Adds `path`, or every `.toml` file below it, sorted; each file once.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        if !files.contains(&path.to_owned()) {
            files.push(path.to_owned());
        }
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == "toml") {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
