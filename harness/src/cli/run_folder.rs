//! Reads what a run left on disk.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use ferret_reports::{RunRecord, Verdict};
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    artifacts::{HISTORY_FILE, RUN_FILE},
    reading,
    shown::Shown,
};
use crate::history::{Event, History, QueueId};

/// The folder of one run, and what is in it.
#[derive(Debug)]
pub(super) struct RunFolder {
    pub(super) path: PathBuf,
    pub(super) record: RunRecord,
}

/// Why a path leads to no run.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoRun {
    #[error("{} has no run.json, nor has any folder below it: name a folder that `ferret run` left", .0.shown())]
    NothingThere(PathBuf),
    #[error("{}: {error}", path.shown())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is no record of a run{}: name a folder that `ferret run` left, or the run.json in it", path.shown(), why)]
    NoRecord { path: PathBuf, why: String },
    #[error("{} was written by another version of Ferret: {error}", path.shown())]
    Unknown { path: PathBuf, error: serde_json::Error },
    #[error(
        "{} has no {HISTORY_FILE}: a call with --keep failed, as every gate is, leaves none of a run that passes. Make it \
         anew: {replay} --keep all", path.shown()
    )]
    NoHistory { path: PathBuf, replay: String },
    #[error("{} is not what this run left: {why}; make it anew: {replay} --keep all", path.shown())]
    OtherHistory { path: PathBuf, why: String, replay: String },
    #[error("{} holds {} runs; name one of them, such as {}", path.shown(), runs.len(), runs[0].shown())]
    Many { path: PathBuf, runs: Vec<PathBuf> },
    #[error("{} holds {} runs, and all of them pass: name the one that you mean{}", path.shown(), runs.len(), listed(runs))]
    NoneFailed { path: PathBuf, runs: Vec<PathBuf> },
}

/// The most runs that are listed for somebody to choose from.
const LISTED_MAX: usize = 10;

/// The runs below one another, to be copied from there.
fn listed(runs: &[PathBuf]) -> String {
    let mut lines: String = runs.iter().take(LISTED_MAX).map(|run| format!("\n  {}", run.shown())).collect();
    if let Some(more) = runs.len().checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        lines += &format!("\n  and {more} more");
    }
    lines
}

impl RunFolder {
    /// Every run at or below `path`, by name; of a `run.json`, the run that it belongs to.
    pub(super) fn all(path: &Path) -> Result<Vec<Self>, NoRun> {
        below(path)?.into_iter().map(Self::read).collect()
    }

    /// The one run at or below `path`, or the worst of those that did not pass; of equals, the first.
    pub(super) fn failed(path: &Path) -> Result<Self, NoRun> {
        let mut folders = below(path)?;
        if folders.len() == 1 {
            return Self::read(folders.swap_remove(0));
        }
        // A sweep's records, with all their pictures, may be more than there is memory for.
        let verdicts = folders.iter().map(|folder| Ok(record::<Ending>(folder)?.verdict));
        let verdicts: Vec<Verdict> = verdicts.collect::<Result<_, NoRun>>()?;
        match verdicts.iter().enumerate().max_by_key(|(index, verdict)| (**verdict, usize::MAX - index)) {
            Some((index, verdict)) if *verdict > Verdict::Pass => Self::read(folders.swap_remove(index)),
            _ => Err(NoRun::NoneFailed { path: path.to_owned(), runs: folders }),
        }
    }

    /// The one run at or below `path`.
    pub(super) fn only(path: &Path) -> Result<Self, NoRun> {
        let mut folders = below(path)?;
        if folders.len() > 1 {
            return Err(NoRun::Many { path: path.to_owned(), runs: folders });
        }
        Self::read(folders.swap_remove(0))
    }

    fn read(path: PathBuf) -> Result<Self, NoRun> {
        Ok(Self { record: record(&path)?, path })
    }

    /// The run's events.
    pub(super) fn history(&self) -> Result<History, NoRun> {
        let path = self.path.join(HISTORY_FILE);
        if !path.exists() {
            return Err(NoRun::NoHistory { path: self.path.clone(), replay: self.record.replay.clone() });
        }
        let unreadable = |error| NoRun::Unreadable { path: path.clone(), error };
        let unknown = |error| NoRun::Unknown { path: path.clone(), error };
        let file = reading::open(&path).map_err(unreadable)?;
        let mut lines = BufReader::new(MultiGzDecoder::new(BufReader::new(file))).lines();
        let head = lines.next().transpose().map_err(unreadable)?.unwrap_or_default();
        let head = serde_json::from_str::<Head>(&head).map_err(unknown)?;
        let other = |why| NoRun::OtherHistory { path: path.clone(), why, replay: self.record.replay.clone() };
        if let Some(why) = head.not_of(&self.record) {
            return Err(other(why));
        }
        let told = head.events;
        let mut history = head.into_history();
        for line in lines {
            let line = line.map_err(unreadable)?;
            history.events.push(serde_json::from_str::<Event>(&line).map_err(unknown)?);
        }
        match told.filter(|told| *told != history.events.len()) {
            Some(told) => Err(other(format!("it has {} of {told} events", history.events.len()))),
            None => Ok(history),
        }
    }
}

/// Why the history in a run's folder is not the record's: it is another's, or a failure has none.
pub(super) fn wrong_history(folder: &Path, record: &RunRecord) -> Option<String> {
    let path = folder.join(HISTORY_FILE);
    if !path.exists() {
        let kept = record.verdict == Verdict::Violated;
        return kept.then(|| format!("{} is not there: copy the folder as a whole", path.shown()));
    }
    let head = || -> io::Result<Head> {
        let mut line = String::new();
        BufReader::new(MultiGzDecoder::new(BufReader::new(reading::open(&path)?))).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    let why = head().map_or_else(|error| Some(error.to_string()), |head| head.not_of(record))?;
    Some(format!("{} is not what its run left: {why}", path.shown()))
}

/// The first line of a history.
#[derive(Deserialize)]
struct Head {
    clients: Vec<String>,
    queues: Vec<String>,
    nodes: Vec<warren::platform::NodeId>,
    faults: Vec<String>,
    locks: Vec<QueueId>,
    /// Of the run, and how many events there are; earlier versions did not say.
    trace_hash: Option<String>,
    events: Option<usize>,
}

impl Head {
    fn not_of(&self, record: &RunRecord) -> Option<String> {
        let trace = self.trace_hash.as_ref().filter(|trace| **trace != record.trace_hash)?;
        Some(format!("it is of trace {trace}, not {}", record.trace_hash))
    }

    fn into_history(self) -> History {
        let Self { clients, queues, nodes, faults, locks, .. } = self;
        History { clients, queues, nodes, faults, locks, ..History::default() }
    }
}

/// How a run ended, without all else that its record says.
#[derive(Deserialize)]
struct Ending {
    verdict: Verdict,
}

/// What is of interest in the record of the run in `folder`.
fn record<T: DeserializeOwned>(folder: &Path) -> Result<T, NoRun> {
    let file = folder.join(RUN_FILE);
    match reading::read(&file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| not_read(file, &text, error)),
        Err(error) => Err(NoRun::Unreadable { path: file, error }),
    }
}

/// Why `text` cannot be read as a record: another version has written it, or it never was one.
fn not_read(path: PathBuf, text: &[u8], error: serde_json::Error) -> NoRun {
    match serde_json::from_slice::<serde_json::Value>(text) {
        Err(error) => NoRun::NoRecord { path, why: format!(" (or it is damaged: {error})") },
        Ok(object) if object["version"].is_u64() && object["trace_hash"].is_string() => NoRun::Unknown { path, error },
        Ok(_) => NoRun::NoRecord { path, why: String::new() },
    }
}

/// The folders of the runs at or below `path`, by name; there is at least one.
fn below(path: &Path) -> Result<Vec<PathBuf>, NoRun> {
    let path = path.parent().filter(|_| path.is_file() && path.ends_with(RUN_FILE)).unwrap_or(path);
    if path.is_file() {
        return Err(NoRun::NoRecord { path: path.to_owned(), why: String::new() });
    }
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut folders = Vec::new();
    collect(path, 3, &mut folders).map_err(|error| NoRun::Unreadable { path: path.to_owned(), error })?;
    if folders.is_empty() { Err(NoRun::NothingThere(path.to_owned())) } else { Ok(folders) }
}

/// Folders with a `run.json`, at most `depth` below `path`.
fn collect(path: &Path, depth: u32, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.join(RUN_FILE).is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    let mut folders: Vec<PathBuf> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.is_dir())
        .collect();
    folders.sort_by_key(|folder| natural(folder));
    folders.iter().try_for_each(|folder| collect(folder, depth - 1, found))
}

/// `seed-9` before `seed-10`.
fn natural(folder: &Path) -> (String, u64) {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (text, number) = name.split_at(name.len() - digits);
    (text.to_owned(), number.parse().unwrap_or(0))
}
