//! `ferret demo`: the first five minutes. A planted bug is found, made small, explained and reported.
//!
//! Each stage prints a command line and then does what that line asks for, through the same door as the user's own
//! command line, so that what is shown is what works. Where a verb says more than a newcomer needs, its output is left
//! out, and what it left on disk is told instead.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ferret_reports::{RunRecord, Verdict};
use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::{Artifacts, PAGE_FILE},
    exit,
    interrupt::Interrupt,
    main,
    run::budget_parser,
    run_folder::RunFolder,
    shown::Shown,
    simulate::Simulate,
    terminal::{failure, run_line, wrapped},
    writing::write_file,
};
use crate::run::quoted;

const EXAMPLES: &str = "\
Examples:
  ferret demo
      Plants a bug in a cluster of three brokers, finds it, shrinks it, explains it, writes the
      report, and shows that the same seed without the bug passes. Takes half a minute.
  ferret demo --out my-demo
      The same, with everything in the folder my-demo.

Each stage prints the command that it runs. They all go on working: type them, or change the
scenario, which the demo leaves beside its results.

Exit codes: 0 all went as it should · 1 it did not · 2 the folder is in use · 5 interrupted";

/// Show in half a minute what all this is for: a bug found, shrunk and explained
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret demo --help` for examples and exit codes.")]
pub(super) struct DemoArgs {
    /// A new folder to leave everything in, instead of a fresh one below target/ferret
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// How long to shrink at most; it needs half of the default on two cores
    #[arg(long, value_name = "TIME", default_value = "35s", value_parser = budget_parser)]
    budget: Duration,

    /// How many runs at a time; the default is the number of processor cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

/// The program brings it along, so that the demo works in any folder.
const SCENARIO: &str = include_str!("../../../scenarios/demo/power-cut.toml");
const BUG: Sabotage = Sabotage::ConfirmBeforeMajority;
const SEEDS: &str = "1..50";

pub(super) fn demo<S: Simulate>(
    args: &DemoArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    if let Some(out) = &args.out
        && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some())
    {
        let out = out.shown();
        writeln!(streams.err, "ferret: there is something in {out} already; name a new folder, or leave out --out")?;
        return Ok(exit::USAGE);
    }
    let folder = Artifacts::create(args.out.as_deref())?.folder().to_owned();
    let mut demo = Demo { folder, args, simulate, interrupt, streams, stage: 0 };
    match demo.play() {
        Ok(()) => Ok(exit::PASS),
        Err(End::Interrupted) => {
            writeln!(demo.streams.out, "\nstopped; what there is so far is in {}", demo.folder.shown())?;
            Ok(exit::INCOMPLETE)
        }
        Err(End::Unexpected(what)) => {
            writeln!(demo.streams.err, "ferret: the demo went wrong: {what}")?;
            Ok(exit::INTERNAL)
        }
        Err(End::Output(error)) => Err(error),
    }
}

/// Why a demo ends early.
enum End {
    Interrupted,
    /// Something is not as the demo tells it.
    Unexpected(String),
    Output(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Whether what a verb prints is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    All,
    /// The demo tells of it itself.
    Nothing,
}

struct Demo<'a, 'b, S> {
    folder: PathBuf,
    args: &'a DemoArgs,
    simulate: &'a S,
    interrupt: &'a Interrupt,
    streams: &'a mut Streams<'b>,
    stage: u32,
}

impl<S: Simulate> Demo<'_, '_, S> {
    fn play(&mut self) -> Result<(), End> {
        let scenario = self.place("power-cut.toml");
        write_file(&scenario, SCENARIO)?;
        let scenario = text(&scenario);
        let program = env::current_exe().map_or("ferret".to_owned(), |path| path.shown());
        let faint = self.streams.out_style.faint(&format!("(in the commands below, `ferret` is {program})"));
        writeln!(self.streams.out, "{faint}")?;

        let seed = self.find(&scenario)?;
        let minimal = self.shrink(&scenario, &seed)?;
        self.explain(&minimal)?;
        self.pass(&scenario, &seed)?;
        self.end(&scenario)?;
        Ok(())
    }

    /// Tries seeds with the bug planted; gives the first that fails.
    fn find(&mut self, scenario: &str) -> Result<String, End> {
        self.tell(&format!(
            "Find. Three brokers, a shop that has each order confirmed, and a rough day: a node is cut off, one is \
             killed, a disk is slow, then the power goes. A bug is planted: {}. Each seed is another such day; we try \
             seeds until one fails.",
            BUG.describe()
        ))?;
        let found = self.place("found");
        let args = ["run", scenario, "--sabotage", BUG.name(), "--seeds", SEEDS, "--max-fail", "1"];
        self.step(&[&args[..], &["--out", &text(&found)]].concat(), Show::Nothing, Verdict::Violated)?;
        let style = self.streams.out_style;
        writeln!(self.streams.out)?;
        for record in runs(&found)? {
            writeln!(self.streams.out, "{}", run_line(&record, 0, style))?;
            if record.verdict != Verdict::Pass {
                write!(self.streams.out, "{}", failure(&record, style))?;
                return Ok(record.seed.to_string());
            }
        }
        Err(End::Unexpected(format!("there is no failing run in {}", found.shown())))
    }

    /// Takes away what the failure does not need; gives the scenario that is left.
    fn shrink(&mut self, scenario: &str, seed: &str) -> Result<String, End> {
        self.tell(
            "Shrink. Four faults and hundreds of messages: which of them matter? Whatever the failure does not need is \
             taken away, one run after the other, until nothing more can go.",
        )?;
        let minimal = self.place("minimal.repro.toml");
        let path = text(&minimal);
        let budget = format!("{}s", self.args.budget.as_secs_f64());
        let args = ["shrink", scenario, "--seed", seed, "--sabotage", BUG.name(), "--budget", &budget];
        self.step(&[&args[..], &["--out", &path]].concat(), Show::All, Verdict::Violated)?;
        writeln!(self.streams.out)?;
        for line in fs::read_to_string(&minimal)?.lines().skip_while(|line| line.starts_with('#') || line.is_empty()) {
            let line = if line.is_empty() { line.to_owned() } else { format!("    {line}") };
            writeln!(self.streams.out, "{}", self.streams.out_style.faint(&line))?;
        }
        Ok(path)
    }

    fn explain(&mut self, minimal: &str) -> Result<(), End> {
        self.tell("Explain. We run what is left, which also writes its report, and have the story told.")?;
        let run = self.place("minimal");
        self.step(&["run", minimal, "--out", &text(&run)], Show::Nothing, Verdict::Violated)?;
        self.step(&["explain", &text(&run)], Show::All, Verdict::Pass)
    }

    fn pass(&mut self, scenario: &str, seed: &str) -> Result<(), End> {
        self.tell("And without the bug? The same scenario, the same seed, the same rough day:")?;
        let healthy = self.place("without-bug");
        self.step(&["run", scenario, "--seed", seed, "--out", &text(&healthy)], Show::Nothing, Verdict::Pass)?;
        writeln!(self.streams.out)?;
        for record in runs(&healthy)? {
            writeln!(self.streams.out, "{}", run_line(&record, 0, self.streams.out_style))?;
        }
        Ok(())
    }

    fn end(&mut self, scenario: &str) -> io::Result<()> {
        let report = |folder: &str| self.place(folder).join(PAGE_FILE);
        let rows = [
            ("the report of the failure", report("minimal")),
            ("of the day it was found on", report("found")),
            ("the scenario, for you to change", PathBuf::from(scenario)),
        ];
        writeln!(self.streams.out)?;
        for (what, path) in rows {
            writeln!(self.streams.out, "{what:<32} {}", path.shown())?;
        }
        Ok(())
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Begins the next stage.
    fn tell(&mut self, words: &str) -> Result<(), End> {
        self.stage += 1;
        let style = self.streams.out_style;
        let (title, rest) = words.split_at(words.find(['.', '?']).map_or(0, |end| end + 1));
        let told = wrapped(&format!("{}. ", self.stage), words, style.width);
        writeln!(self.streams.out, "\n{}", told.replacen(title, &style.strong(title), usize::from(!rest.is_empty())))?;
        Ok(())
    }

    /// Shows a command line and runs it.
    fn step(&mut self, args: &[&str], show: Show, expected: Verdict) -> Result<(), End> {
        let jobs = self.args.jobs.map(|jobs| jobs.to_string());
        let mut line = vec!["ferret"];
        line.extend(args);
        if let Some(jobs) = jobs.as_deref().filter(|_| args[0] != "explain") {
            line.extend(["--jobs", jobs]);
        }
        let shown: Vec<String> = line.iter().map(|word| quoted(word)).collect();
        let command = self.streams.out_style.good(&format!("$ {}", shown.join(" ")));
        writeln!(self.streams.out, "\n{command}")?;
        if show == Show::All {
            writeln!(self.streams.out)?;
        }
        self.streams.out.flush()?;
        let mut nowhere = io::sink();
        let Streams { out, err, out_style, err_style, progress } = &mut *self.streams;
        let out: &mut dyn Write = if show == Show::All { *out } else { &mut nowhere };
        let mut streams = Streams { out, err: *err, out_style: *out_style, err_style: *err_style, progress: *progress };
        let code = main(line.iter().map(OsString::from), self.simulate, self.interrupt, &mut streams);
        if self.interrupt.asked() {
            return Err(End::Interrupted);
        }
        if code != expected.exit_code() {
            let wanted = expected.exit_code();
            return Err(End::Unexpected(format!("`{}` gave exit code {code}, not {wanted}", shown.join(" "))));
        }
        Ok(())
    }
}

/// What a run left, in the order of its seeds.
fn runs(folder: &Path) -> Result<Vec<RunRecord>, End> {
    let runs = RunFolder::all(folder).map_err(|error| End::Unexpected(error.to_string()))?;
    Ok(runs.into_iter().map(|run| run.record).collect())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
