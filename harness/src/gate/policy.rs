//! A policy that has been checked: every name resolved, every file there.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use warren::platform::Sabotage;

use super::{
    Tolerance, baseline,
    file::{BaselineTable, File, PlantedTable},
    schema,
};
use crate::{
    check::Invariant,
    scenario::{At, Field, Metric, Problem, Problems, Sometimes, Threshold, budget, limit, line_of, shape},
    search::{
        filter::Filter,
        plan::{SeedRange, seed_range},
    },
};

const EXAMPLE: &str = "the least there is:\nversion = 1\nname = \"main\"\nscenarios = [\"smoke\"]";

/// The metrics that a policy may limit: what a run's record holds of them.
pub(super) fn metrics() -> impl Iterator<Item = Metric> {
    Metric::ALL.into_iter().filter(|metric| *metric != Metric::ThroughputMin)
}

/// What must run, and what it must show.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub name: String,
    /// The file, as it was named on the command line.
    pub path: String,
    pub scenarios: Vec<PathBuf>,
    /// The line that names them.
    pub scenarios_line: u32,
    /// As the policy writes it, and what it says.
    pub filter: Option<(String, Filter)>,
    /// `None`: those that each scenario names.
    pub seeds: Option<SeedRange>,
    pub budget: Option<Duration>,
    pub max_fail: Option<usize>,
    pub sometimes: Vec<Lined<Sometimes>>,
    pub thresholds: Vec<Lined<Threshold>>,
    pub planted: Vec<Lined<Planted>>,
    pub baseline: Option<Lined<BaselinePolicy>>,
}

/// Something that a line of the file asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Lined<T> {
    pub line: u32,
    pub what: T,
}

/// A bug that must be caught.
#[derive(Clone, Debug, PartialEq)]
pub struct Planted {
    pub bug: Sabotage,
    /// `None`: the gate's.
    pub scenarios: Option<Vec<PathBuf>>,
    pub seeds: SeedRange,
    /// Empty: any will do.
    pub caught_by: Vec<Invariant>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BaselinePolicy {
    pub file: PathBuf,
    pub tolerance: Tolerance,
}

impl Policy {
    /// Reads and checks a policy; paths in it begin at the folder of `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(path: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(path, text);
        let Some(file) = shape::read::<File>("policy", EXAMPLE, schema().as_value(), text, &mut problems) else {
            return Err(problems.into_sorted());
        };
        let folder = Path::new(path).parent().unwrap_or(Path::new(""));
        let policy = Checker { problems: &mut problems, text, folder }.policy(path, file);
        if problems.is_empty() { Ok(policy) } else { Err(problems.into_sorted()) }
    }
}

/// Turns tables into what they mean. What is wrong is reported; a harmless value stands in for it.
struct Checker<'a> {
    problems: &'a mut Problems,
    text: &'a str,
    folder: &'a Path,
}

impl Checker<'_> {
    fn policy(mut self, path: &str, file: File) -> Policy {
        if let Field(Some(version)) = &file.version
            && version.value != 1
        {
            let message = format!("version {} of the format is not known", version.value);
            let help = Some("write `version = 1`".to_owned());
            self.problems.add(&version.span, message, "this Ferret reads version 1", help);
        }
        if let Field(Some(name)) = &file.name
            && (name.value.trim().is_empty() || name.value.contains(char::is_control))
        {
            // It stands in annotations and on terminals, where control characters are orders.
            let help = Some("write a word or two, such as \"main\"".to_owned());
            self.problems.add(&name.span, "this is no name", "empty, or with control characters", help);
        }
        let scenarios_line = file.scenarios.0.as_ref().map_or(1, |at| self.line(&at.span));
        let thresholds = file.expect.thresholds.iter().filter_map(|(name, at)| self.threshold(name, at)).collect();
        let sometimes =
            file.expect.sometimes.iter().filter_map(|at| {
                Some(Lined { line: self.line(&at.span), what: Sometimes::from_name(&at.value.text)? })
            });
        Policy {
            name: file.name.0.as_ref().map(|at| at.value.clone()).unwrap_or_default(),
            path: path.to_owned(),
            scenarios_line,
            sometimes: sometimes.collect(),
            thresholds,
            scenarios: self.paths(&file.scenarios).unwrap_or_default(),
            filter: self.filter(&file.filter),
            seeds: self.seeds(&file.seeds),
            budget: self.budget(&file.budget),
            max_fail: file.max_fail.0.and_then(|at| usize::try_from(at.value).ok()),
            planted: file.planted.iter().filter_map(|at| self.planted(at)).collect(),
            baseline: file.baseline.0.as_ref().and_then(|at| self.baseline(at)),
        }
    }

    fn line(&self, span: &Range<usize>) -> u32 {
        line_of(self.text, span.start)
    }

    /// Paths that must lead somewhere; `None` if the key is not there.
    fn paths(&mut self, field: &Field<Vec<At<String>>>) -> Option<Vec<PathBuf>> {
        let Field(Some(at)) = field else { return None };
        let mut paths = Vec::new();
        for one in &at.value {
            let path = self.folder.join(&one.value);
            if !path.exists() {
                let help = Some(format!("paths begin at the policy's folder: {} is not there", path.display()));
                self.problems.add(&one.span, format!("no scenario at `{}`", one.value), "leads nowhere", help);
            }
            paths.push(path);
        }
        Some(paths)
    }

    fn filter(&mut self, field: &Field<String>) -> Option<(String, Filter)> {
        let Field(Some(at)) = field else { return None };
        match Filter::parse(&at.value) {
            Ok(filter) => Some((at.value.clone(), filter)),
            Err(mistake) => {
                // Within the quotes, if the text stands there as it is, without escapes.
                let raw = &self.text[at.span.clone()];
                let quote = raw.find(at.value.as_str()).unwrap_or(0);
                let span = match raw.contains(at.value.as_str()) {
                    true => at.span.start + quote + mistake.span.start..at.span.start + quote + mistake.span.end,
                    false => at.span.clone(),
                };
                self.problems.add(&span, "this filter cannot be read", mistake.what, mistake.help);
                None
            }
        }
    }

    fn seeds(&mut self, field: &Field<String>) -> Option<SeedRange> {
        let Field(Some(at)) = field else { return None };
        match seed_range(&at.value) {
            Ok(range) if !range.is_open() => Some(range),
            Ok(_) => {
                let help = Some("write both ends, as in `\"1..20\"`".to_owned());
                self.problems.add(&at.span, "these seeds have no end", "a gate must come to one", help);
                None
            }
            Err(wrong) => {
                self.problems.add(&at.span, "these are no seeds", wrong, Some("write `\"1..20\"`".to_owned()));
                None
            }
        }
    }

    fn budget(&mut self, field: &Field<String>) -> Option<Duration> {
        let Field(Some(at)) = field else { return None };
        budget(&at.value)
            .map_err(|wrong| self.problems.add(&at.span, "this is no duration", wrong.what, Some(wrong.help)))
            .ok()
    }

    fn threshold(&mut self, name: &str, at: &At<String>) -> Option<Lined<Threshold>> {
        let metric = Metric::from_name(name)?;
        match limit(metric, &at.value) {
            Ok((comparison, limit)) => {
                let what = Threshold { metric, comparison, limit, text: at.value.trim().to_owned() };
                Some(Lined { line: self.line(&at.span), what })
            }
            Err(wrong) => {
                self.problems.add(&at.span, "this is no limit", wrong.what, Some(wrong.help));
                None
            }
        }
    }

    fn planted(&mut self, at: &At<PlantedTable>) -> Option<Lined<Planted>> {
        let table = &at.value;
        let Field(Some(bug)) = &table.bug else { return None };
        let names = table.caught_by.0.iter().flat_map(|names| &names.value);
        let what = Planted {
            bug: Sabotage::from_name(&bug.value.text)?,
            scenarios: self.paths(&table.scenarios),
            seeds: self.seeds(&table.seeds).unwrap_or(SeedRange { first: 1, last: Some(5) }),
            caught_by: names.filter_map(|name| Invariant::from_name(&name.value.text)).collect(),
        };
        Some(Lined { line: self.line(&bug.span), what })
    }

    fn baseline(&mut self, at: &At<BaselineTable>) -> Option<Lined<BaselinePolicy>> {
        let table = &at.value;
        let mut tolerance = Tolerance::default();
        if let Field(Some(at)) = &table.tolerance
            && let Some(share) = self.share(at)
        {
            tolerance.usual = share;
        }
        for (metric, at) in &table.metrics {
            let share = self.share(at);
            tolerance.by_metric.extend(share.map(|share| (metric.clone(), share)));
        }
        let Field(Some(file)) = &table.file else { return None };
        let path = self.folder.join(&file.value);
        if !path.exists() {
            let help = Some(format!("make it: ferret baseline save RUN {}", path.display()));
            self.problems.add(&file.span, format!("no baseline at `{}`", file.value), "leads nowhere", help);
        }
        Some(Lined { line: self.line(&file.span), what: BaselinePolicy { file: path, tolerance } })
    }

    fn share(&mut self, at: &At<String>) -> Option<f64> {
        baseline::share(&at.value)
            .map_err(|help| self.problems.add(&at.span, "this is no share", "expected per cent", Some(help)))
            .ok()
    }
}
