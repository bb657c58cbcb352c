//! The folder that is served: which calls and runs there are, and which files may be read.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use ferret_reports::{GateRecord, StoredCall, StoredRun, SweepRecord, SweptRun, Verdict};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use crate::cli::{
    artifacts::{PAGE_FILE, RUN_FILE, SWEEP_FILE},
    reading, run_id,
    shown::Shown,
};

/// Calls are so many folders below the store's.
const DEPTH: u32 = 2;
/// What is served is read into memory as a whole.
const BYTES_MAX: u64 = 256 << 20;

/// The store, and what was read of it.
pub(super) struct Store {
    /// As the user named it.
    pub(super) name: String,
    /// Without links and dots.
    root: PathBuf,
    /// Records are written once: one of the same time and length is the same.
    read: RefCell<BTreeMap<PathBuf, (Stamp, Read)>>,
}

/// When a file was written last, and its length.
type Stamp = (Option<SystemTime>, u64);
/// A record, or why there is none.
type Read = Result<Rc<StoredRun>, String>;

impl Store {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let root = fs::canonicalize(folder)?;
        fs::read_dir(&root)?;
        Ok(Self { name: folder.shown(), root, read: RefCell::default() })
    }

    /// All calls, newest first.
    pub(super) fn calls(&self) -> Vec<StoredCall> {
        let mut calls = Vec::new();
        self.collect(&self.root, DEPTH, &mut calls);
        calls.sort_by(|one, other| (other.time, &other.id).cmp(&(one.time, &one.id)));
        calls
    }

    fn collect(&self, folder: &Path, depth: u32, calls: &mut Vec<StoredCall>) {
        if folder != self.root && folder.join(SWEEP_FILE).is_file() {
            calls.extend(self.call(folder));
            return;
        }
        // What vanishes meanwhile, or cannot be read, is not there.
        let Some(entries) = (depth > 0).then(|| fs::read_dir(folder).ok()).flatten() else { return };
        for entry in entries.flatten() {
            // Links (`latest`) lead to what is listed anyway, or out of the store.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.collect(&entry.path(), depth - 1, calls);
            }
        }
    }

    fn call(&self, folder: &Path) -> Option<StoredCall> {
        let id = folder.strip_prefix(&self.root).ok()?.to_str()?.to_owned();
        let file = folder.join(SWEEP_FILE);
        let written = fs::metadata(&file).and_then(|file| file.modified()).ok();
        let named = id.split('/').find_map(run_id::time);
        let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_secs());
        let mut call = StoredCall {
            time: named.unwrap_or(written),
            id,
            page: self.has_page(folder),
            verdict: Verdict::Internal,
            request: String::new(),
            gate: None,
            runs: Vec::new(),
            unreadable: Vec::new(),
        };
        let sweep: SweepRecord = match self.json(&file) {
            Ok(sweep) => sweep,
            Err(error) => {
                call.unreadable.push(error);
                return Some(call);
            }
        };
        call.verdict = sweep.verdict;
        call.request = sweep.request;
        if let Ok(gate) = self.json::<GateRecord>(&folder.join("gate.json")) {
            call.verdict = gate.verdict;
            call.gate = Some(gate.name);
        }
        let planned = (0..sweep.plan.len()).filter(|place| sweep.slice.is_none_or(|slice| slice.holds(*place))).count();
        if sweep.stopped.is_none() && sweep.runs.len() < planned {
            let name = file.strip_prefix(&self.root).unwrap_or(&file).shown();
            call.unreadable.push(format!("{name}: {} of {planned} planned runs are named", sweep.runs.len()));
        }
        for run in sweep.runs {
            // The file might say anything.
            let Some(place) = self.inside(&folder.join(&run.folder)) else {
                call.unreadable.push(format!("{}: no such folder in the store", run.folder));
                continue;
            };
            match self.run_in(&place) {
                Ok(record) => {
                    if let Some(why) = differs(&run, &record) {
                        call.unreadable.push(format!("{}: {why}", record.folder));
                        call.verdict = call.verdict.max(record.verdict);
                    }
                    call.runs.push(StoredRun { page: self.has_page(&place), ..(*record).clone() });
                }
                Err(error) => call.unreadable.push(error),
            }
        }
        // What the call found then, its files do not show any more.
        if !call.unreadable.is_empty() {
            call.verdict = call.verdict.max(Verdict::Incomplete);
        }
        Some(call)
    }

    /// The run in a folder that [`Self::inside`] gave.
    fn run_in(&self, folder: &Path) -> Read {
        let file = folder.join(RUN_FILE);
        let stamp = fs::symlink_metadata(&file).map(|data| (data.modified().ok(), data.len())).unwrap_or_default();
        if let Some((known, run)) = self.read.borrow().get(&file)
            && *known == stamp
        {
            return run.clone();
        }
        let run = self.json::<StoredRun>(&file).map(|mut run| {
            run.folder = folder.strip_prefix(&self.root).unwrap_or(folder).to_string_lossy().into_owned();
            Rc::new(run)
        });
        self.read.borrow_mut().insert(file, (stamp, run.clone()));
        run
    }

    /// The folder of a run, by its name below the store.
    pub(super) fn run(&self, name: &str) -> Option<(PathBuf, StoredRun)> {
        let folder = self.below(name)?;
        let run = self.run_in(&folder).ok()?;
        let run = StoredRun { page: self.has_page(&folder), ..(*run).clone() };
        Some((folder, run))
    }

    fn has_page(&self, folder: &Path) -> bool {
        self.inside(&folder.join(PAGE_FILE)).is_some_and(|page| page.is_file())
    }

    /// The file that an address names: percent-encoded, with `/` between its parts. `None` for whatever is not a plain
    /// file within the store.
    pub(super) fn file(&self, address: &str) -> Option<(PathBuf, Vec<u8>)> {
        let name = percent_decode_str(address).decode_utf8().ok()?;
        let path = self.below(&name)?;
        let data = fs::metadata(&path).ok()?;
        let bytes = (data.is_file() && data.len() <= BYTES_MAX).then(|| fs::read(&path).ok()).flatten()?;
        Some((path, bytes))
    }

    fn below(&self, name: &str) -> Option<PathBuf> {
        let path = Path::new(name);
        // Nothing but names: no root, no `..`, no `.`.
        let plain = !name.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_)));
        let plain =
            plain && !name.contains(['\0', '\\']) && !name.split('/').any(|part| part == "." || part.is_empty());
        plain.then(|| self.inside(&self.root.join(path))).flatten()
    }

    /// Where `path` really is, if that is in the store: a link may lead anywhere.
    pub(super) fn inside(&self, path: &Path) -> Option<PathBuf> {
        fs::canonicalize(path).ok().filter(|real| real.starts_with(&self.root))
    }

    fn json<T: DeserializeOwned>(&self, file: &Path) -> Result<T, String> {
        let name = file.strip_prefix(&self.root).unwrap_or(file).shown();
        let real = self.inside(file).ok_or_else(|| format!("{name}: not in the store"))?;
        let text = reading::read(&real).map_err(|error| format!("{name}: {error}"))?;
        serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))
    }
}

/// Why a record is not the one that the call left. The hash over all results would tell more, but only the program that
/// made it can: the store holds calls of many versions.
fn differs(left: &SweptRun, found: &StoredRun) -> Option<String> {
    if left.verdict != found.verdict {
        return Some(format!(
            "it ended with `{}`, and its record says `{}`",
            left.verdict.word(),
            found.verdict.word()
        ));
    }
    let same = left.seed == found.seed && left.trace_hash == found.trace_hash;
    (!same).then(|| "its record is that of another run".to_owned())
}
