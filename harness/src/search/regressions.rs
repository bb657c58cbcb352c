//! Seeds that once failed, kept beside the scenario and run first ever after.
//!
//! `scenarios/gate/loss.toml` has its seeds in `scenarios/gate/regressions/loss.seeds`, a TOML file with one line for
//! each. It holds no dates and no order but that of the seeds, so that two branches that add to it merge by themselves.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use ferret_reports::{RunRecord, Verdict, is_reason};
use serde::Deserialize;

use crate::scenario::{Problem, Problems};

/// What a reason may take of its line.
const REASON_CHARACTERS_MAX: usize = 160;

/// A seed that once failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSeed {
    pub seed: u64,
    /// The invariant that was violated, or the verdict's name if none was.
    #[serde(default)]
    pub invariant: String,
    /// In a sentence, for people.
    #[serde(default)]
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    seeds: Vec<StoredSeed>,
}

/// Where the seeds of the scenario in `file` are kept.
pub fn path_of(file: &Path) -> PathBuf {
    let name = Path::new(file.file_stem().unwrap_or_default()).with_added_extension("seeds");
    file.parent().unwrap_or(Path::new("")).join("regressions").join(name)
}

/// Whose seeds are kept in `file`.
pub fn scenario_of(file: &Path) -> PathBuf {
    let name = Path::new(file.file_stem().unwrap_or_default()).with_added_extension("toml");
    file.parent().and_then(Path::parent).unwrap_or(Path::new("")).join(name)
}

/// # Errors
/// What is wrong with the file, with its place.
pub fn parse(path: &str, text: &str) -> Result<Vec<StoredSeed>, Problem> {
    let wrong = |span, message: String, help: &str| {
        let mut problems = Problems::new(path, text);
        problems.add(&span, "these stored seeds cannot be read", message, Some(help.to_owned()));
        problems.into_sorted().remove(0)
    };
    let line = "write `{ seed = 17, invariant = \"durability\", reason = \"…\" },`, one for each seed";
    let file: File = toml::from_str(text)
        .map_err(|error| wrong(error.span().unwrap_or(0..0), error.message().replace('\n', "; "), line))?;
    if file.version != 1 {
        return Err(wrong(0..0, format!("version {} is not known", file.version), "write `version = 1`"));
    }
    Ok(file.seeds)
}

/// The file's text with these seeds, sorted, each once.
pub fn render(seeds: &[StoredSeed]) -> String {
    let mut sorted: Vec<&StoredSeed> = seeds.iter().collect();
    sorted.sort_by_key(|stored| stored.seed);
    sorted.dedup_by_key(|stored| stored.seed);
    let mut text = String::from(
        "# Seeds that once failed. They run first, whatever other seeds are asked for. Written by --save-failures.\n\
         version = 1\n\
         seeds = [\n",
    );
    for StoredSeed { seed, invariant, reason } in sorted {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let (invariant, reason) = (quoted(invariant), quoted(reason));
        let _ = writeln!(text, "  {{ seed = {seed}, invariant = {invariant}, reason = {reason} }},");
    }
    text + "]\n"
}

/// What is kept of a run, if it failed in a way that another program may repeat or mend.
pub fn of_run(record: &RunRecord) -> Option<StoredSeed> {
    if matches!(record.verdict, Verdict::Pass | Verdict::Incomplete | Verdict::Vacuous | Verdict::Regression) {
        return None;
    }
    let reason = record.reasons.first().map_or("", String::as_str);
    // A scenario may expect another violation, which is no reason.
    let named = record.violated().find(|result| is_reason(reason, &result.name));
    let invariant = match (named.or(record.violated().next()), record.verdict) {
        (Some(result), Verdict::Violated) => result.name.clone(),
        (_, verdict) => verdict.name().to_owned(),
    };
    let reason: String = reason.lines().next().unwrap_or("").chars().take(REASON_CHARACTERS_MAX).collect();
    Some(StoredSeed { seed: record.seed, invariant, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_kept_beside_their_scenario() {
        assert_eq!(path_of(Path::new("a/b/loss.toml")), Path::new("a/b/regressions/loss.seeds"));
        assert_eq!(path_of(Path::new("loss.v2.toml")), Path::new("regressions/loss.v2.seeds"));
        for file in ["a/b/loss.toml", "loss.v2.toml"] {
            assert_eq!(scenario_of(&path_of(Path::new(file))), Path::new(file));
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let stored = |seed| StoredSeed { seed, invariant: "durability".into(), reason: "a \"b\" \\ c\td".into() };
        let text = render(&[stored(9), stored(2), stored(9)]);
        assert_eq!(parse("x.seeds", &text).expect("it is valid"), [stored(2), stored(9)]);
        assert_eq!(text.lines().filter(|line| line.contains("seed = ")).count(), 2, "one line each: {text}");
    }

    #[test]
    fn a_mistake_has_its_place() {
        let text = "version = 1\nseeds = [\n  { sede = 3 },\n]\n";
        let problem = parse("x.seeds", text).expect_err("it is invalid");
        assert_eq!(&text[problem.span()], "sede");
        assert!(parse("x.seeds", "version = 2\nseeds = []").is_err());
    }
}
