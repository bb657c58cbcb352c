//! What a scenario is called where its name stands alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::{RunRecord, Unmade};

/// Names that more than one file has: these are told apart by their paths.
pub(crate) struct Titles<'a>(BTreeSet<&'a str>);

impl<'a> Titles<'a> {
    pub(crate) fn new(runs: &'a [RunRecord], unmade: &'a Unmade) -> Self {
        let made = runs.iter().map(|run| (run.scenario.name.as_str(), run.scenario.path.as_str()));
        let planned = unmade.runs.iter().map(|run| (run.scenario.as_str(), run.path.as_str()));
        let mut paths: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, path) in made.chain(planned) {
            paths.entry(name).or_default().insert(path);
        }
        Self(paths.into_iter().filter(|(_, paths)| paths.len() > 1).map(|(name, _)| name).collect())
    }

    /// `leader-loss`, or `leader-loss (gate/a.toml)`.
    pub(crate) fn of(&self, name: &str, path: &str) -> String {
        if self.0.contains(name) { format!("{name} ({path})") } else { name.to_owned() }
    }
}
