//! The command line: one file per verb, and what they share on the way to the terminal and the disk.
//!
//! Standard output carries results, standard error carries progress and mistakes. The command line is the only part
//! of Ferret that looks at the wall clock, and nothing it finds there reaches a simulation.

mod artifacts;
mod baseline;
mod beat;
mod bench;
mod build_id;
mod check;
mod closed_pipe;
mod completions;
mod demo;
mod diff;
mod explain;
mod export;
mod faults;
mod former;
mod gate;
mod gate_table;
mod hunt;
mod hunt_table;
mod interrupt;
mod judge;
mod laboratory;
mod live;
mod man;
mod merge;
mod noticed;
mod paths;
mod planted;
mod pool;
mod reading;
mod replay;
mod run;
mod run_folder;
mod run_id;
mod schema;
mod serve;
mod shown;
mod shrink;
mod simulate;
mod simulation;
mod sometimes;
mod stored;
mod sweep;
mod terminal;
mod twice;
mod writing;

use std::{ffi::OsString, io::Write};

use clap::{CommandFactory, Parser, Subcommand};

pub use closed_pipe::UntilClosed;
pub use interrupt::Interrupt;
pub use shown::Printable;
pub use simulate::{Request, Simulate, Simulated};
pub use simulation::Simulation;
pub use terminal::{Style, render_problem};

/// How the process ends when no run decides it; runs have [`ferret_reports::Verdict::exit_code`].
pub mod exit {
    pub const PASS: u8 = 0;
    /// A bug of Ferret, or output that cannot be written where another place would be no mend: the disk is full.
    pub const INTERNAL: u8 = 1;
    /// Also a place that nothing can be written to.
    pub const USAGE: u8 = 2;
    pub const INVALID_SCENARIO: u8 = 3;
    pub const NOTHING_SELECTED: u8 = 4;
    pub const INCOMPLETE: u8 = 5;
}

/// Where output goes. Tests give buffers.
pub struct Streams<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    pub out_style: Style,
    pub err_style: Style,
    /// Whether to show progress on `err`.
    pub progress: bool,
}

const ABOUT: &str =
    "Runs a whole Warren cluster in a deterministic simulation, breaks it on a script, and proves what survived.";

const EXAMPLES: &str = "\
Examples:
  ferret demo                                a bug found, shrunk and explained, in half a minute
  ferret run scenarios/smoke                 all scenarios of a folder
  ferret run my.toml --seed 7                one scenario, one seed: the same run every time
  ferret run my.toml --seeds 1..100          a hundred seeds, 1 to 100
  ferret shrink my.toml --seed 7             the least that still fails the same way
  ferret replay my-7.repro.toml              see it fail again, or that it is mended
  ferret explain target/ferret/latest        the story of a failure, message by message
  ferret diff RUN RUN                        where two runs part, and how figures moved
  ferret export RUN --format pcap            the packets, for Wireshark
  ferret serve                               all runs so far, in a browser
  ferret gate                                what a policy asks for, one verdict
  ferret hunt                                plant bugs, and see that each is caught
  ferret check scenarios                     only look for mistakes in the files
  ferret faults                              what a timeline can break, with examples
  ferret schema > scenario.schema.json       completion and checks in your editor
  ferret bench                               how fast all this is on your machine
  ferret completions bash                    what your shell needs to complete all this
  ferret man DIR                             manual pages
  ferret judge history.edn                   is a recorded history linearizable?

Exit codes (the worst wins: 1 > 103 > 100 > 102 > 5 > 99 > 10 > 104):
    0  pass                             99  a threshold was crossed
    1  internal error                  100  an invariant was violated
    2  wrong usage                     102  undecided
    3  invalid scenario or policy      103  not deterministic
    4  nothing selected                104  vacuous: a fault had no effect, or something
    5  incomplete                           that must happen never did
   10  worse than the baseline";

#[derive(Debug, Parser)]
#[command(name = "ferret", version, about = ABOUT, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::DemoArgs),
    Run(run::RunArgs),
    Shrink(shrink::ShrinkArgs),
    Replay(replay::ReplayArgs),
    Explain(explain::ExplainArgs),
    Diff(diff::DiffArgs),
    Export(export::ExportArgs),
    Serve(serve::ServeArgs),
    Hunt(hunt::HuntArgs),
    Gate(gate::GateArgs),
    Baseline(baseline::BaselineArgs),
    Merge(merge::MergeArgs),
    Check(check::CheckArgs),
    Faults(faults::FaultsArgs),
    Judge(judge::JudgeArgs),
    Schema(schema::SchemaArgs),
    Bench(bench::BenchArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Runs the command line `args` (the program's name first) and returns the exit code.
///
/// `interrupt` tells when the user wants to stop; `simulate` is what runs scenarios.
pub fn main<S: Simulate>(
    args: impl IntoIterator<Item = OsString>,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> u8 {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let (target, style): (&mut dyn Write, Style) =
                if error.use_stderr() { (streams.err, streams.err_style) } else { (streams.out, streams.out_style) };
            let text = error.render();
            // Nothing is left to tell it to if the stream is closed.
            let _ = if style.colour { write!(target, "{}", text.ansi()) } else { write!(target, "{text}") };
            return u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
        }
    };
    // Whatever is read may come from somebody else. What is for people gives no orders to their terminals, not even by
    // way of a pipe or a CI's log; what is for programs stays as it is.
    let Streams { out, err, out_style, err_style, progress } = streams;
    let (out_style, err_style, progress) = (*out_style, *err_style, *progress);
    let printable =
        |stream| if err_style.colour || progress { Printable::new(stream) } else { Printable::plain(stream) };
    let mut err = printable(&mut **err);
    let for_people = match &cli.verb {
        Verb::Explain(_) | Verb::Diff(_) | Verb::Merge(_) | Verb::Gate(_) | Verb::Baseline(_) => true,
        Verb::Judge(args) => args.is_for_people(),
        _ => false,
    };
    let mut people;
    let out: &mut dyn Write = if for_people {
        people = if out_style.colour { Printable::new(&mut **out) } else { Printable::plain(&mut **out) };
        &mut people
    } else {
        &mut **out
    };
    let streams = &mut Streams { out, err: &mut err, out_style, err_style, progress };
    let result = match cli.verb {
        Verb::Demo(args) => demo::demo(&args, simulate, interrupt, streams),
        Verb::Run(args) => run::run(&args, simulate, interrupt, streams),
        Verb::Shrink(args) => shrink::shrink(&args, simulate, interrupt, streams),
        Verb::Replay(args) => replay::replay(&args, simulate, interrupt, streams),
        Verb::Explain(args) => explain::explain(&args, streams),
        Verb::Diff(args) => diff::diff(&args, streams),
        Verb::Export(args) => export::export(&args, simulate, interrupt, streams),
        Verb::Serve(args) => serve::serve(&args, interrupt, streams),
        Verb::Hunt(args) => hunt::hunt(&args, simulate, interrupt, streams),
        Verb::Gate(args) => gate::gate(&args, simulate, interrupt, streams),
        Verb::Baseline(args) => baseline::baseline(&args, streams),
        Verb::Merge(args) => merge::merge(&args, streams),
        Verb::Check(args) => check::check(&args, streams),
        Verb::Faults(_) => faults::faults(streams),
        Verb::Judge(args) => judge::judge(&args, interrupt, streams),
        Verb::Schema(args) => schema::schema(&args, streams),
        Verb::Completions(args) => completions::completions(&args, streams),
        Verb::Man(args) => man::man(&args, streams),
        Verb::Bench(args) => bench::bench(&args, simulate, interrupt, streams),
    };
    result.unwrap_or_else(|error| {
        let of_path = writing::is_of_the_path(&error);
        let mend = if of_path { "; name another place" } else { "" };
        let _ = writeln!(streams.err, "ferret: {error}{mend}");
        if of_path { exit::USAGE } else { exit::INTERNAL }
    })
}

/// Every verb, in the order of `ferret --help`.
pub fn verbs() -> Vec<String> {
    Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
}

/// The help text of `ferret VERB --help`, or of `ferret --help`, for tests and documentation.
pub fn help(verb: Option<&str>) -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut command = match verb {
        Some(verb) => command.find_subcommand(verb).expect("a verb of the command line").clone(),
        None => command,
    };
    command.render_long_help().to_string()
}
