//! What runs leave on disk.
//!
//! ```text
//! DIR/sweep.json                              what was planned, what was run, by which program
//! DIR/gate.json                               what a policy says of it
//! DIR/report.html                             all runs, with links to each; or the only run in full
//! DIR/junit.xml, summary.md                   all runs
//! DIR/SCENARIO/seed-N/run.json                the record
//! DIR/SCENARIO/seed-N/history.jsonl.gz        a header line, then one event per line
//! DIR/SCENARIO/seed-N/report.html             this run with all its events
//! DIR/SCENARIO/seed-N/drawn.toml              the scenario that the swarm drew for the seed, if one did
//! ```

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use ferret_reports::{
    GateRecord, LinkedRun, RunRecord, SweepRecord, SweptRun, Unmade, Verdict, rejudge_run_html, render_gate_junit,
    render_gate_markdown, render_junit, render_markdown, render_overview_html, render_run_html,
};
use flate2::{Compression, write::GzEncoder};

use super::{
    Streams,
    former::Former,
    reading::read_text,
    run_id,
    shown::Shown,
    writing::{at, create_file, make_folder, write_file},
};
use crate::{history::History, run::event_log};

pub(super) const SWEEP_FILE: &str = "sweep.json";
pub(super) const RUN_FILE: &str = "run.json";
pub(super) const HISTORY_FILE: &str = "history.jsonl.gz";
pub(super) const PAGE_FILE: &str = "report.html";
/// What a run leaves.
pub(super) const OF_RUN: &[&str] = &[RUN_FILE, HISTORY_FILE, PAGE_FILE, "drawn.toml"];
/// What all runs together leave.
pub(super) const OF_ALL_RUNS: &[&str] = &[SWEEP_FILE, "gate.json", PAGE_FILE, "junit.xml", "summary.md"];

/// Bytes of a history that are compressed in one go.
const COMPRESS_AT_ONCE: usize = 64 << 10;

/// The folder of one call of `ferret run`.
pub(super) struct Artifacts {
    folder: PathBuf,
}

impl Artifacts {
    /// `out`, or a fresh folder below `target/ferret` with `target/ferret/latest` pointing to it.
    pub(super) fn create(out: Option<&Path>) -> io::Result<Self> {
        if let Some(out) = out {
            make_folder(out)?;
            return Ok(Self { folder: out.to_owned() });
        }
        let parent = Path::new("target").join("ferret");
        let id = run_id::fresh();
        let folder = parent.join(&id);
        make_folder(&folder)?;
        // A rename replaces the old link in one step, so that `latest` never dangles.
        let link = parent.join(format!("latest-{id}"));
        std::os::unix::fs::symlink(&id, &link).map_err(at("make the link", &link))?;
        let latest = parent.join("latest");
        fs::rename(&link, &latest).map_err(at("make the link", &latest))?;
        Ok(Self { folder })
    }

    /// The same, without what a former call has left there. `inputs` are files and folders that are still to be read.
    ///
    /// # Errors
    /// Of the system's; `Ok(Err)` says that one of the inputs, or something of another's, would be replaced.
    pub(super) fn anew(
        out: Option<&Path>,
        inputs: &[&Path],
        streams: &mut Streams<'_>,
    ) -> io::Result<Result<Self, String>> {
        if let Some(out) = out {
            let former = Former::find(out).map_err(at("look into", out))?;
            if let Some(needed) = former.needed(inputs) {
                let (needed, out) = (needed.shown(), out.shown());
                return Ok(Err(format!(
                    "{needed} is still needed, and --out {out} would replace it: name another folder"
                )));
            }
            if let Some(foreign) = former.foreign() {
                return Ok(Err(format!(
                    "{} would be replaced, and is nothing that a former call left: name another folder with --out, or \
                     remove it",
                    foreign.shown()
                )));
            }
            let runs = former.remove().map_err(at("clear", out))?;
            if runs > 0 {
                let runs = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
                writeln!(streams.err, "removed {runs} of a former call from {}", out.shown())?;
            }
        }
        Self::create(out).map(Ok)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn report(&self) -> PathBuf {
        self.folder.join(PAGE_FILE)
    }

    pub(super) fn run_folder(&self, scenario: &str, seed: u64) -> PathBuf {
        self.folder.join(scenario).join(seed_folder(seed))
    }

    pub(super) fn folder_of(&self, run: &SweptRun) -> PathBuf {
        self.folder.join(&run.folder)
    }

    pub(super) fn write_sweep(&self, record: &SweepRecord) -> io::Result<()> {
        write_file(&self.folder.join(SWEEP_FILE), serde_json::to_vec_pretty(record).map_err(io::Error::other)?)
    }

    /// Writes the files of all runs together. `sweep` says where each record is, `unmade` what there is none of.
    pub(super) fn write_summary(
        &self,
        records: &[RunRecord],
        (sweep, unmade): (&SweepRecord, &Unmade),
        summary: Summary<'_>,
    ) -> io::Result<()> {
        let SweepRecord { runs, verdict, .. } = sweep;
        let (junit, markdown) = match summary {
            Summary::Runs => (render_junit(records, unmade), render_markdown(records, unmade, *verdict)),
            Summary::Gate(gate) => {
                let json = serde_json::to_vec_pretty(gate).map_err(io::Error::other)?;
                write_file(&self.folder.join("gate.json"), json)?;
                (render_gate_junit(records, unmade, gate), render_gate_markdown(records, unmade, *verdict, gate))
            }
        };
        let pages: Vec<String> = runs.iter().map(|run| format!("{}/{PAGE_FILE}", run.folder)).collect();
        // The page of the only run may stand for the whole if there should be no other, or it failed.
        if let ([page], [record]) = (&pages[..], records)
            && record.verdict == *verdict
        {
            let page = self.folder.join(page);
            write_file(&self.report(), fs::read(&page).map_err(at("read", &page))?)?;
        } else {
            let linked = records.iter().zip(&pages).map(|(record, page)| LinkedRun { record, page });
            write_file(&self.report(), render_overview_html(&linked.collect::<Vec<_>>(), unmade, *verdict))?;
        }
        write_file(&self.folder.join("junit.xml"), junit)?;
        write_file(&self.folder.join("summary.md"), markdown)
    }
}

/// What the files of all runs tell.
#[derive(Clone, Copy)]
pub(super) enum Summary<'a> {
    Runs,
    /// What a policy says of them first.
    Gate(&'a GateRecord),
}

/// Which runs leave their history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Keep {
    /// Every run
    All,
    /// Runs that did not pass
    Failed,
}

/// Writes the files of one run.
pub(super) fn write_run(folder: &Path, record: &RunRecord, history: &History, keep: Keep) -> io::Result<()> {
    write_json(folder, record)?;
    write_file(&page_in(folder), render_run_html(record, &event_log(history)))?;
    if keep == Keep::Failed && record.verdict == Verdict::Pass {
        return Ok(());
    }
    write_history(&folder.join(HISTORY_FILE), record, history)
}

/// Writes a record that was judged anew into the files of its run.
pub(super) fn write_record(folder: &Path, record: &RunRecord) -> io::Result<()> {
    write_json(folder, record)?;
    let page = read_text(&page_in(folder)).map_err(at("read", &page_in(folder)))?;
    let page = rejudge_run_html(&page, record).ok_or_else(|| io::Error::other("the run's page is not ours"))?;
    write_file(&page_in(folder), page)
}

fn page_in(folder: &Path) -> PathBuf {
    folder.join(PAGE_FILE)
}

/// Writes the scenario that a run was of: what a swarm drew, ready to be run without it.
pub(super) fn write_drawn(path: &Path, record: &RunRecord) -> io::Result<()> {
    write_file(path, &record.scenario.text)
}

fn write_json(folder: &Path, record: &RunRecord) -> io::Result<()> {
    make_folder(folder)?;
    write_file(&folder.join(RUN_FILE), serde_json::to_vec_pretty(record).map_err(io::Error::other)?)
}

pub(super) fn seed_folder(seed: u64) -> String {
    format!("seed-{seed}")
}

/// Writes a run's events. The header says of which run they are, and how many, so that no others pass for them.
fn write_history(path: &Path, record: &RunRecord, history: &History) -> io::Result<()> {
    // The encoder has a fixed cost for every write, however small, and JSON comes in crumbs.
    let gzip = GzEncoder::new(create_file(path)?, Compression::fast());
    let mut lines = BufWriter::with_capacity(COMPRESS_AT_ONCE, gzip);
    let header = serde_json::json!({
        "clients": history.clients,
        "queues": history.queues,
        "nodes": history.nodes,
        "locks": history.locks,
        "faults": history.faults,
        "trace_hash": record.trace_hash,
        "events": history.events.len(),
    });
    serde_json::to_writer(&mut lines, &header)?;
    for event in &history.events {
        lines.write_all(b"\n")?;
        serde_json::to_writer(&mut lines, event)?;
    }
    lines.write_all(b"\n")?;
    lines.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

/// Why `file` is not to be written: it is there, and is no `kind`, by what `is_one` says of its text.
pub(super) fn not_ours(file: &Path, kind: &str, is_one: impl FnOnce(&str) -> bool) -> Option<String> {
    let ours = !file.exists() || read_text(file).is_ok_and(|text| is_one(&text));
    (!ours).then(|| format!("{} exists and is no {kind}: name another file, or remove it", file.shown()))
}

/// A folder name for each scenario: its own name, numbered when two files use the same.
pub(super) fn folder_names(scenarios: &[&str]) -> Vec<String> {
    let mut used: BTreeMap<&str, u32> = BTreeMap::new();
    let names = scenarios.iter().map(|name| {
        let count = used.entry(name).or_default();
        *count += 1;
        if *count == 1 { (*name).to_owned() } else { format!("{name}~{count}") }
    });
    names.collect()
}
