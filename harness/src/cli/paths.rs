//! From paths on the command line to scenario files.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{Streams, exit, reading::read_text};
use crate::{
    gate,
    scenario::{Problem, Scenario},
    search::{filter::Filter, regressions},
};

/// What the paths of a command line led to.
#[derive(Default)]
pub(super) struct Selection {
    /// Valid scenarios, in order: as the paths were given, folders sorted by name.
    pub(super) scenarios: Vec<Scenario>,
    /// Per scenario, the seeds that once failed.
    pub(super) stored: Vec<Vec<u64>>,
    /// Per invalid file, what is wrong with it.
    pub(super) invalid: Vec<(PathBuf, Vec<Problem>)>,
    /// Folders without a scenario, in which somebody expected one.
    pub(super) empty: Vec<PathBuf>,
    /// Files of stored seeds whose scenario is not there: they would never run again.
    pub(super) stray: Vec<PathBuf>,
    /// Files that could not be read.
    pub(super) unreadable: Vec<(PathBuf, io::Error)>,
}

impl Selection {
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        let mut selection = Self::default();
        let mut files: Vec<PathBuf> = Vec::new();
        let mut known = BTreeSet::new();
        for path in paths {
            let mut found = Vec::new();
            match collect(path, &mut found) {
                Err(error) => selection.unreadable.push((path.clone(), error)),
                Ok(()) if found.is_empty() => selection.empty.push(path.clone()),
                Ok(()) => {}
            }
            let (stored, found): (Vec<_>, Vec<_>) = found.into_iter().partition(|file| is_seeds(file));
            selection.stray.extend(stored.into_iter().filter(|file| !regressions::scenario_of(file).exists()));
            for file in found {
                if known.insert(place_of(&file)) {
                    files.push(file);
                }
            }
        }
        for file in files {
            // It stands in reports, in replay lines, in other programs' terminals.
            if file.to_string_lossy().contains(char::is_control) {
                let why = "its name has control characters, which are orders on terminals; rename it";
                selection.unreadable.push((file, io::Error::new(io::ErrorKind::InvalidInput, why)));
                continue;
            }
            match read_text(&file) {
                Ok(text) => match Scenario::parse(&file.to_string_lossy(), &text) {
                    Ok(scenario) => selection.add(scenario, &file),
                    Err(problems) => selection.invalid.push((file, problems)),
                },
                Err(error) => selection.unreadable.push((file, error)),
            }
        }
        selection
    }

    fn add(&mut self, scenario: Scenario, file: &Path) {
        let stored = regressions::path_of(file);
        let seeds = match read_text(&stored) {
            Ok(text) => match regressions::parse(&stored.to_string_lossy(), &text) {
                Ok(seeds) => seeds.into_iter().map(|one| one.seed).collect(),
                Err(problem) => return self.invalid.push((stored, vec![problem])),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return self.unreadable.push((stored, error)),
        };
        self.scenarios.push(scenario);
        self.stored.push(seeds);
    }

    /// The scenarios, each with its stored seeds.
    pub(super) fn picked(&self) -> impl Iterator<Item = (&Scenario, &[u64])> {
        self.scenarios.iter().zip(self.stored.iter().map(Vec::as_slice))
    }

    /// Leaves only what the filter picks.
    pub(super) fn keep(&mut self, filter: &Filter) {
        let both = std::mem::take(&mut self.scenarios).into_iter().zip(std::mem::take(&mut self.stored));
        (self.scenarios, self.stored) = both.filter(|(scenario, _)| filter.picks(scenario)).unzip();
    }

    /// Whether nothing was found at all, valid or not.
    pub(super) fn is_empty(&self) -> bool {
        self.scenarios.is_empty() && self.invalid.is_empty() && self.unreadable.is_empty()
    }

    pub(super) fn is_valid(&self) -> bool {
        self.invalid.is_empty() && self.unreadable.is_empty() && self.empty.is_empty() && self.stray.is_empty()
    }
}

/// Says what a filter that picks nothing could have picked.
pub(super) fn nothing_picked(filter: &str, paths: &[PathBuf], streams: &mut Streams<'_>) -> io::Result<u8> {
    let all = Selection::read(paths);
    let tags: BTreeSet<&str> = all.scenarios.iter().flat_map(|scenario| &scenario.tags).map(String::as_str).collect();
    let tags: Vec<&str> = tags.into_iter().collect();
    let count = all.scenarios.len();
    writeln!(
        streams.err,
        "ferret: the filter `{filter}` picks none of {count} scenarios; their tags: {}",
        if tags.is_empty() { "(none)".to_owned() } else { tags.join(", ") }
    )?;
    Ok(exit::NOTHING_SELECTED)
}

/// The same for all ways to write a path: `a.toml`, `./a.toml`. A link keeps its own name, and so its own stored seeds.
fn place_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (fs::canonicalize(folder), file.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => file.to_owned(),
    }
}

fn is_seeds(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "seeds")
}

/// Adds `path`, or every `.toml` file below it but policies of gates (`gate.toml`, `NAME.gate.toml`), and every file of
/// stored seeds, sorted.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::metadata(path)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for entry in entries {
        let is_toml = entry.extension().is_some_and(|extension| extension == "toml");
        if entry.is_dir() || is_seeds(&entry) || (is_toml && !gate::is_policy(&entry)) {
            collect(&entry, files)?;
        }
    }
    Ok(())
}
