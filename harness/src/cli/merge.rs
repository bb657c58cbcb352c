//! `ferret merge`: the parts of a sweep, made on several machines, become the whole.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use clap::Args;
use ferret_reports::{RunRecord, SweepRecord, Unmade};

use super::{
    Streams,
    artifacts::{self, Artifacts, Summary},
    exit,
    noticed::MustTell,
    reading,
    run_folder::wrong_history,
    shown::Shown,
    sometimes, sweep, terminal,
    writing::{at, make_folder},
};
use crate::search::{
    parts::{self, Part},
    results,
};

const EXAMPLES: &str = "\
Examples:
  ferret merge part-1 part-2 part-3 part-4 --out whole
      The parts that `ferret run --partition slice:1/4 … slice:4/4` left, as one run: the same
      verdicts, and the same hash of results, as one sweep on one machine.
  ferret gate --from whole
      Then judge it by a policy.

Nothing is joined that is not the whole. Refused with exit code 5: a run that no part holds (a
missing part, or one that ended early), a run that two hold, parts made by different programs,
from different texts of a scenario, with different seeds or options, and a part with a record that
was changed, a report that is not there, or a violated run's history that is not there or another
run's. The program is known by a hash of its executable file: compile once and give all machines
the same file.

What must happen at least once over all seeds is judged here, since no part can, and so is
whether a bug planted by name was noticed.

Exit codes: as in `ferret run`.";

/// Join the parts of a sweep into one run
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret merge --help` for examples and what is refused.")]
pub(super) struct MergeArgs {
    /// Folders that `ferret run --partition` left
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,

    /// The folder to leave the whole in, instead of a fresh one below target/ferret
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn merge(args: &MergeArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let refuse = |streams: &mut Streams<'_>, why: String| -> io::Result<u8> {
        writeln!(streams.err, "ferret: not merged: {why}")?;
        Ok(exit::INCOMPLETE)
    };
    let mut parts = Vec::new();
    let mut all = Vec::new();
    for folder in &args.runs {
        match read_whole(folder) {
            Ok((sweep, records)) => {
                parts.push(Part { folder: folder.shown(), sweep });
                all.push(records);
            }
            Err(why) => return refuse(streams, why),
        }
    }
    let joined = match parts::join(&parts) {
        Ok(joined) => joined,
        Err(refusal) => return refuse(streams, refusal.to_string()),
    };
    let inputs: Vec<&Path> = args.runs.iter().map(PathBuf::as_path).collect();
    let artifacts = match Artifacts::anew(args.out.as_deref(), &inputs, streams)? {
        Ok(artifacts) => artifacts,
        Err(why) => {
            writeln!(streams.err, "ferret: {why}")?;
            return Ok(exit::USAGE);
        }
    };
    let first = &parts[0].sweep;
    let names: Vec<&str> = first.scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let folders = artifacts::folder_names(&names);
    let mut records = Vec::new();
    for (part, made) in &joined {
        let position = parts[*part].sweep.runs.iter().position(|run| run == *made).expect("it is one of the part's");
        records.push(all[*part][position].clone());
        let to = artifacts.run_folder(&folders[made.scenario as usize], made.seed);
        copy(&args.runs[*part].join(&made.folder), &to)?;
    }
    sometimes::judge_all(&first.plan, &mut records, &folders, &artifacts)?;
    let must_tell = MustTell::of_request(&first.request);
    if let Some(last) = first.plan.last() {
        must_tell.judge_whole(&mut records, &folders[last.scenario as usize], &artifacts)?;
    }
    let verdict = must_tell.verdict(sweep::verdict(&records, first.plan.len(), None, false), &records);
    let record = SweepRecord {
        slice: None,
        stopped: None,
        runs: sweep::swept_runs(&records, &first.plan, &folders),
        results_hash: results::results_hash(&records),
        verdict,
        ..first.clone()
    };
    artifacts.write_sweep(&record)?;
    artifacts.write_summary(&records, (&record, &Unmade::default()), Summary::Runs)?;
    let style = streams.out_style;
    for record in records.iter().filter(|record| record.verdict != ferret_reports::Verdict::Pass) {
        writeln!(streams.out, "{}", terminal::run_line(record, 0, style))?;
        write!(streams.out, "{}", terminal::failure(record, style))?;
    }
    writeln!(streams.out, "{} parts: {}", parts.len(), terminal::summary(&records, records.len(), 0, style))?;
    writeln!(streams.out, "results: {}", record.results_hash)?;
    writeln!(streams.out, "report: {}", artifacts.report().shown())?;
    Ok(verdict.exit_code())
}

/// What a sweep left in its folder, with the records of its runs in order; or why it cannot be used.
pub(super) fn read(folder: &Path) -> Result<(SweepRecord, Vec<RunRecord>), String> {
    let sweep: SweepRecord = read_json(&folder.join(artifacts::SWEEP_FILE))?;
    if sweep.version != ferret_reports::SWEEP_VERSION {
        return Err(format!("{} has version {}, which is not known", folder.shown(), sweep.version));
    }
    sound(&sweep).map_err(|why| format!("{}: {why}", folder.join(artifacts::SWEEP_FILE).shown()))?;
    let record = |run: &ferret_reports::SweptRun| read_json(&folder.join(&run.folder).join(artifacts::RUN_FILE));
    let records: Vec<RunRecord> = sweep.runs.iter().map(record).collect::<Result<_, _>>()?;
    if results::results_hash(&records) != sweep.results_hash {
        return Err(format!("the files in {} are not those that the sweep left: its hash differs", folder.shown()));
    }
    Ok((sweep, records))
}

/// The same, if all runs still have their reports: whoever copies them links to all, and writes some anew.
pub(super) fn read_whole(folder: &Path) -> Result<(SweepRecord, Vec<RunRecord>), String> {
    let (sweep, records) = read(folder)?;
    let mut pages = sweep.runs.iter().map(|run| folder.join(&run.folder).join(artifacts::PAGE_FILE));
    if let Some(page) = pages.find(|page| !page.is_file()) {
        return Err(format!("{} is not there: copy the folder as a whole", page.shown()));
    }
    let mut made = sweep.runs.iter().zip(&records);
    match made.find_map(|(run, record)| wrong_history(&folder.join(&run.folder), record)) {
        Some(why) => Err(why),
        None => Ok((sweep, records)),
    }
}

/// Whether what the sweep says of its runs is about its own scenarios and folders.
fn sound(sweep: &SweepRecord) -> Result<(), String> {
    let numbers = sweep.runs.iter().map(|run| run.scenario).chain(sweep.plan.iter().map(|run| run.scenario));
    if let Some(number) = numbers.into_iter().find(|number| *number as usize >= sweep.scenarios.len()) {
        return Err(format!("it has no scenario {number}: there are {}, from 0 on", sweep.scenarios.len()));
    }
    let within = |folder: &str| Path::new(folder).components().all(|part| matches!(part, Component::Normal(_)));
    match sweep.runs.iter().find(|run| run.folder.is_empty() || !within(&run.folder)) {
        Some(run) => Err(format!("`{}` is no folder of its own", run.folder)),
        None => Ok(()),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = reading::read(path).map_err(|error| format!("{}: {error}", path.shown()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.shown()))
}

/// A run's files; by a second link where the file system can, since histories are large.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    make_folder(to)?;
    for entry in fs::read_dir(from).map_err(at("look into", from))? {
        let entry = entry?;
        // A run has nothing but files; to read a pipe would not end.
        if !fs::metadata(entry.path()).is_ok_and(|what| what.is_file()) {
            continue;
        }
        let target = to.join(entry.file_name());
        match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at("write", &target)(error)),
            _ => {}
        }
        // What is written anew later, must not be what the part has.
        let linked = entry.file_name() == "history.jsonl.gz" && fs::hard_link(entry.path(), &target).is_ok();
        if !linked {
            fs::copy(entry.path(), &target).map_err(at("write", &target))?;
        }
    }
    Ok(())
}
