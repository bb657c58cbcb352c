//! `ferret export`: a run in the formats of other tools.

use std::{
    fs,
    io::{self, BufWriter, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use ferret_reports::{RunRecord, Verdict, grouped};
use warren::platform::Sabotage;

use super::{
    Streams,
    artifacts::{OF_ALL_RUNS, OF_RUN, RUN_FILE, SWEEP_FILE},
    check::report_invalid,
    exit,
    interrupt::Interrupt,
    paths::Selection,
    pool,
    run_folder::RunFolder,
    shown::Shown,
    simulate::{Request, Simulate, Simulated},
    writing::{at, create_file, prepare},
};
use crate::{
    export::{history, openmetrics, pcap, perfetto},
    history::History,
    progress::Progress,
    scenario::{ClientKind, Scenario},
    sim::Packet,
};

const EXAMPLES: &str = "\
Examples:
  ferret export target/ferret/latest --format pcap --out run.pcapng && wireshark run.pcapng
      Every packet between clients and nodes (port 5672, AMQP) and among nodes (port 25672), as it
      left its sender; a comment says of each that was lost how. Try the filters `amqp`,
      `frame.comment`, `tcp.analysis.retransmission`, `ip.host == \"n2\"` (with names resolved), and
      switch tcp.reassemble_out_of_order on if packets were lost.
  ferret export target/ferret/latest --format perfetto --out run.json
      Open it in ui.perfetto.dev (it stays on your machine): what each node led and when it was down,
      each publish until its confirm, each delivery until its ack, each sync of a disk, faults.
  ferret export target/ferret/latest --format history --out history.jsonl && ferret judge history.jsonl
      The run's queues once more, as a history from anywhere. --format events has all events.

RUN is a folder that `ferret run` left, or the run.json in it. Of a folder above, the only run is
meant, or the worst of those that did not pass; several runs that all pass are listed, for you to
name one. RUN may also be a scenario or a reproducer: that is then run, with its first seed or
--seed. Packets are not kept by runs: for pcap, the run is simulated once more, and nothing is
written unless it turns out the same, to the byte.

All times are virtual: they count from the start of the run, and are those that `ferret explain`
tells.

Exit codes: 0 written · 2 no such run, or none that is meant · 3 invalid scenario · 5 interrupted ·
103 this program gives another run than the recorded one";

/// Write a run in a format of other tools
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret export --help` for examples and exit codes.")]
pub(super) struct ExportArgs {
    /// The run's folder or run.json, or a scenario to run
    #[arg(value_name = "RUN", default_value = "target/ferret/latest")]
    run: PathBuf,

    /// What to write
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Format,

    /// The file to write, none of those that runs left; the default is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// The seed to run a scenario with; the default is the first one that the file names
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Captured packets (pcapng) for Wireshark and tshark
    Pcap,
    /// A trace of nodes, clients, disks and faults (JSON) for ui.perfetto.dev and about:tracing
    Perfetto,
    /// Counts, latency histograms and verdicts (OpenMetrics text) for Prometheus and its kin
    Openmetrics,
    /// What clients did to the queues (JSON Lines), for `ferret judge` and other checkers
    History,
    /// Every recorded event (JSON Lines): when, who, what in words, and all its fields
    Events,
}

/// What there is to write from.
struct Source {
    record: RunRecord,
    history: History,
    /// Only for pcap.
    packets: Vec<Packet>,
    machines: Vec<String>,
}

impl<E> From<Simulated<E>> for Source {
    fn from(Simulated { record, history, packets, machines, .. }: Simulated<E>) -> Self {
        Self { record, history, packets, machines }
    }
}

/// Why there is nothing to write from; `None`: that has been said.
struct Refusal(u8, Option<String>);

impl Refusal {
    fn usage(error: impl ToString) -> Self {
        Self(exit::USAGE, Some(error.to_string()))
    }
}

pub(super) fn export<S: Simulate>(
    args: &ExportArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    if let Some(why) = args.out.as_deref().and_then(|out| kept(out, &args.run).or_else(|| has_more_names(out))) {
        writeln!(streams.err, "ferret: {why}")?;
        return Ok(exit::USAGE);
    }
    args.out.as_deref().map_or(Ok(()), prepare)?;
    let simulation =
        Runner { simulate, interrupt, request: Request { packets: args.format == Format::Pcap, ..Request::default() } };
    let found = if is_scenario(&args.run) { simulation.run_file(args, streams)? } else { simulation.stored(args) };
    let source = match found {
        Ok(source) => source,
        Err(Refusal(code, why)) => {
            if let Some(why) = why {
                writeln!(streams.err, "ferret: {why}")?;
            }
            return Ok(code);
        }
    };
    let what = match &args.out {
        Some(path) => {
            let mut out = BufWriter::new(create_file(path)?);
            let what = write(args, &source, &mut out).and_then(|what| out.flush().map(|()| what));
            let what = what.map_err(at("write", path))?;
            format!("{what} to {}", path.shown())
        }
        None => write(args, &source, streams.out)?,
    };
    writeln!(streams.err, "wrote {what}")?;
    Ok(exit::PASS)
}

/// Why `out` is not to be written: it is what is exported, or what a call of Ferret has left and goes on reading.
fn kept(out: &Path, run: &Path) -> Option<String> {
    // A link may lead there.
    let real = fs::canonicalize(out).unwrap_or_else(|_| out.to_owned());
    let stored = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let folder = path.parent().unwrap_or(Path::new(""));
        (OF_RUN.contains(&name) && folder.join(RUN_FILE).exists())
            || (OF_ALL_RUNS.contains(&name) && folder.join(SWEEP_FILE).exists())
    };
    let itself = fs::canonicalize(run).is_ok_and(|run| run == real);
    (itself || stored(out) || stored(&real))
        .then(|| format!("{} is what a run left, or its scenario: name another file", out.shown()))
}

/// Why `out` is not to be written: under another name, it may be one of those files. Nobody can tell which names there
/// are.
fn has_more_names(out: &Path) -> Option<String> {
    let names = fs::metadata(out).ok().filter(fs::Metadata::is_file)?.nlink();
    (names > 1).then(|| {
        format!("{} is one of {names} names of a file, all of which would change: name another file", out.shown())
    })
}

fn is_scenario(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// Writes the run, and says what that was.
fn write(args: &ExportArgs, source: &Source, out: &mut dyn Write) -> io::Result<String> {
    let Source { record, history: recorded, packets, machines } = source;
    match args.format {
        Format::Pcap => {
            let title = format!("{} seed {}, trace {}", record.scenario.name, record.seed, record.trace_hash);
            let captured = pcap::write(out, &title, packets, machines)?;
            Ok(format!(
                "{} packets of {} connections ({} never arrived)",
                grouped(captured.packets),
                grouped(captured.connections),
                grouped(captured.gone)
            ))
        }
        Format::History => Ok(format!("{} operations", grouped(history::write(out, recorded)?))),
        Format::Events => Ok(format!("{} events", grouped(history::write_events(out, recorded)?))),
        Format::Openmetrics => Ok(format!("{} samples", grouped(openmetrics::write(out, record, recorded)?))),
        Format::Perfetto => Ok(format!("{} events", grouped(perfetto::write(out, record, recorded)?))),
    }
}

/// Finds the run, or runs it.
struct Runner<'a, S> {
    simulate: &'a S,
    interrupt: &'a Interrupt,
    request: Request,
}

impl<S: Simulate> Runner<'_, S> {
    /// Runs the scenario that the command line names.
    fn run_file(&self, args: &ExportArgs, streams: &mut Streams<'_>) -> io::Result<Result<Source, Refusal>> {
        let selection = Selection::read(std::slice::from_ref(&args.run));
        if !selection.is_valid() {
            report_invalid(&selection, streams)?;
            return Ok(Err(Refusal(exit::INVALID_SCENARIO, None)));
        }
        let [scenario] = &selection.scenarios[..] else {
            return Ok(Err(Refusal::usage(format!("{} is not one scenario; name one file", args.run.shown()))));
        };
        Ok(self.run(scenario, args.seed.unwrap_or(scenario.run.seeds.from), &self.request))
    }

    fn run(&self, scenario: &Scenario, seed: u64, request: &Request) -> Result<Source, Refusal> {
        let progress = Progress::default();
        let (simulated, _) = pool::simulate_apart(self.simulate, scenario, seed, request, self.interrupt, &progress);
        if self.interrupt.asked() {
            return Err(Refusal(exit::INCOMPLETE, Some("interrupted; nothing was written".to_owned())));
        }
        Ok(simulated.into())
    }

    /// Reads what a run has left, and simulates it once more if that is not enough.
    fn stored(&self, args: &ExportArgs) -> Result<Source, Refusal> {
        if args.seed.is_some() {
            return Err(Refusal::usage("--seed is for a scenario; a run has its seed"));
        }
        let folder = RunFolder::failed(&args.run).map_err(Refusal::usage)?;
        if self.request.packets {
            return self.again(&folder.record);
        }
        let history = folder.history().map_err(Refusal::usage)?;
        Ok(Source { record: folder.record, history, packets: Vec::new(), machines: Vec::new() })
    }

    fn again(&self, record: &RunRecord) -> Result<Source, Refusal> {
        let another = |what: &str| {
            let text = format!("{what}; make it anew, then export that: {}", record.replay);
            Refusal(Verdict::NotDeterministic.exit_code(), Some(text))
        };
        let scenario = Scenario::parse(&record.scenario.path, &record.scenario.text)
            .map_err(|_| another("the recorded scenario is not valid for this version of Ferret"))?;
        let planted = record.sabotage.as_deref();
        let sabotage = planted.and_then(Sabotage::from_name);
        if sabotage.is_none() && planted.is_some() {
            return Err(another("this version of Ferret has no such planted bug as the recorded run"));
        }
        let client = record.client.as_deref().and_then(ClientKind::from_name);
        if client.is_none() && record.client.is_some() {
            return Err(another("this version of Ferret has no such client as the recorded run"));
        }
        let request = Request { sabotage, client, ..self.request };
        let source = self.run(&scenario, record.seed, &request)?;
        if source.record.trace_hash != record.trace_hash {
            let text = format!(
                "this program gives another run than the recorded one (trace {}, not {})",
                source.record.trace_hash, record.trace_hash
            );
            return Err(another(&text));
        }
        Ok(source)
    }
}
