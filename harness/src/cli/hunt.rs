//! `ferret hunt`: every planted bug against rough weather, until an invariant tells; and the same weather with nothing
//! planted, in which none may.

use std::{
    io,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use clap::Args;
use ferret_reports::Verdict;
use serde_json::json;
use warren::platform::Sabotage;

use super::{
    Streams, Style,
    check::{nothing_found, tell_invalid},
    exit, hunt_table,
    interrupt::Interrupt,
    laboratory::Silence,
    paths::Selection,
    pool,
    run::{MessageFormat, budget_parser, sabotage_parser},
    shown::{CLEAR_LINE, Shown},
    simulate::{Request, Simulate},
    twice,
};
use crate::{
    scenario::Scenario,
    search::hunt::{self, Hunted, Limits, Run, Toll},
};

const EXAMPLES: &str = "\
Examples:
  ferret hunt
      Every planted bug against scenarios/hunt, seed after seed, until an invariant catches it;
      then the same seeds with nothing planted. A bug that nothing catches within 200 seeds is
      a hole in the checkers, the faults or the load; with fewer, more may do. An alarm in the
      control is a false one, or a real bug.
  ferret hunt --only forget-vote --seeds 200 --no-control
      One bug, with patience.
  ferret hunt --seeds 200 --table README.md
      All of them with patience, and the table in README.md brought up to date: what stands
      between the lines <!-- ferret hunt: begin --> and <!-- ferret hunt: end -->.
  ferret hunt --list
      What can be planted, and which invariants it breaks.
  ferret hunt --message-format json | jq -r 'select(.catch == null) | .bug'
      For programs: one JSON object per bug, and one for the control.

Seed 1 runs the first scenario, seed 2 the second, and so on in turn. A bug that breaks determinism
and no invariant has each seed run twice, and is caught by the first difference.

Exit codes: 0 all caught and the control silent · 100 an alarm in the control · 104 a bug was
not caught · 5 interrupted · 2, 3, 4 as in `ferret run`";

/// With fewer seeds than these, a bug that was not caught says little: some need about a hundred.
const PATIENCE: u64 = 200;

/// Hunt planted bugs: prove that the checkers can fail, and that they do not cry wolf
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret hunt --help` for examples and exit codes.")]
pub(super) struct HuntArgs {
    /// Scenario files, or folders to search for `.toml` files
    #[arg(value_name = "PATH", default_value = "scenarios/hunt")]
    paths: Vec<PathBuf>,

    /// Print the planted bugs, and do nothing else
    #[arg(long)]
    list: bool,

    /// Hunt this bug only; may be given more than once
    #[arg(long, value_name = "NAME", value_parser = sabotage_parser())]
    only: Vec<Sabotage>,

    /// How many seeds to try against each bug, and how many the control runs
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,

    /// Give a bug up after so much processor time: 90s, 10m, 2h; a bare number is of seconds
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = budget_parser)]
    budget: Duration,

    /// Leave out the runs with nothing planted
    #[arg(long)]
    no_control: bool,

    /// Also write the result as a Markdown table, into its place in this file; it has all bugs, and a control
    #[arg(long, value_name = "FILE", conflicts_with_all = ["list", "only", "no_control"])]
    table: Option<PathBuf>,

    /// What to write on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = MessageFormat::Human)]
    message_format: MessageFormat,

    /// How many runs at a time; the default is the number of processor cores
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

/// What a worker does next.
#[derive(Clone, Copy)]
enum Task {
    Bug(Sabotage),
    /// A run with this seed and nothing planted.
    Control(u64),
}

pub(super) fn hunt<S: Simulate>(
    args: &HuntArgs,
    simulate: &S,
    interrupt: &Interrupt,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    if args.list {
        return list(args.message_format, streams);
    }
    if let Some(path) = &args.table
        && let Err(error) = hunt_table::find_place(path)
    {
        writeln!(streams.err, "cannot put the table into {}: {error}", path.shown())?;
        return Ok(exit::USAGE);
    }
    let selection = Selection::read(&args.paths);
    if selection.is_empty() {
        return nothing_found(streams);
    }
    if !selection.is_valid() {
        tell_invalid(&selection, args.message_format, streams)?;
        return Ok(exit::INVALID_SCENARIO);
    }
    let bugs = if args.only.is_empty() { Sabotage::ALL.to_vec() } else { args.only.clone() };
    let mut tasks: Vec<Task> = bugs.iter().map(|bug| Task::Bug(*bug)).collect();
    if !args.no_control {
        tasks.extend((1..=args.seeds).map(Task::Control));
    }
    let chase = Chase {
        simulate,
        interrupt,
        scenarios: &selection.scenarios,
        limits: Limits { seeds: args.seeds, cpu: args.budget },
    };
    let workers = pool::workers(args.jobs);
    let mut told = Told { format: args.message_format, control: Vec::new(), caught: Vec::new() };
    let _silence = Silence::keep();
    chase.run(&tasks, workers, |hunted, done| told.hear(hunted, (done, tasks.len()), streams))?;
    told.conclude(bugs.len(), args, streams)
}

fn list(format: MessageFormat, streams: &mut Streams<'_>) -> io::Result<u8> {
    for bug in Sabotage::ALL {
        match format {
            MessageFormat::Human => {
                let catchers = streams.out_style.faint(&format!("breaks {}", bug.caught_by().join(", ")));
                writeln!(streams.out, "{:<24} {}\n{:24} {catchers}", bug.name(), bug.describe(), "")?;
            }
            MessageFormat::Json => {
                let object = json!({ "bug": bug.name(), "sentence": bug.describe(), "caught_by": bug.caught_by() });
                writeln!(streams.out, "{object}")?;
            }
        }
    }
    Ok(exit::PASS)
}

/// Everything that the workers share.
struct Chase<'a, S> {
    simulate: &'a S,
    interrupt: &'a Interrupt,
    scenarios: &'a [Scenario],
    limits: Limits,
}

impl<S: Simulate> Chase<'_, S> {
    /// Does the tasks, `workers` at a time; `heard` hears of each when it is done, with how many are.
    fn run(
        &self,
        tasks: &[Task],
        workers: usize,
        mut heard: impl FnMut(Hunted, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..workers.min(tasks.len()) {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || {
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed))
                        && let Some(hunted) = self.work(*task)
                    {
                        // Nobody listens after an error on the terminal.
                        let _ = sender.send(hunted);
                    }
                });
            }
            drop(sender);
            for (done, hunted) in receiver.iter().enumerate() {
                heard(hunted, done + 1).inspect_err(|_| self.interrupt.ask())?;
            }
            Ok(())
        })
    }

    /// `None` after an interrupt.
    fn work(&self, task: Task) -> Option<Hunted> {
        let hunted = match task {
            Task::Bug(bug) => hunt::hunt(bug, self.limits, |seed| self.simulate(Some(bug), seed)),
            Task::Control(seed) => hunt::control(&self.simulate(None, seed)?),
        };
        (!self.interrupt.asked()).then_some(hunted)
    }

    fn simulate(&self, sabotage: Option<Sabotage>, seed: u64) -> Option<Run> {
        if self.interrupt.asked() {
            return None;
        }
        let scenario = &self.scenarios[(seed as usize - 1) % self.scenarios.len()];
        let request = Request { sabotage, ..Request::default() };
        let (record, cpu) = twice::simulate_with_bug(self.simulate, scenario, seed, &request, self.interrupt);
        Some(Run { record, cpu })
    }
}

/// What was found so far.
struct Told {
    format: MessageFormat,
    control: Vec<Hunted>,
    caught: Vec<Hunted>,
}

impl Told {
    fn hear(&mut self, hunted: Hunted, (done, all): (usize, usize), streams: &mut Streams<'_>) -> io::Result<()> {
        if streams.progress {
            write!(streams.err, "{CLEAR_LINE}")?;
        }
        if hunted.bug.is_some() {
            match self.format {
                MessageFormat::Human => writeln!(streams.out, "{}", row(&hunted, streams.out_style))?,
                MessageFormat::Json => writeln!(streams.out, "{}", json!(hunted))?,
            }
            streams.out.flush()?;
            self.caught.push(hunted);
        } else {
            self.control.push(hunted);
        }
        if streams.progress {
            write!(streams.err, "{done} of {all} done")?;
            streams.err.flush()?;
        }
        Ok(())
    }

    fn conclude(self, bugs: usize, args: &HuntArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
        if streams.progress {
            write!(streams.err, "{CLEAR_LINE}")?;
        }
        let missed: Vec<&str> =
            self.caught.iter().filter(|one| one.catch.is_none()).filter_map(|one| one.bug).collect();
        let alarms: Vec<_> = self.control.iter().filter_map(|one| one.catch.as_ref()).collect();
        let unfinished: Vec<&String> = self.control.iter().flat_map(|one| &one.unfinished).collect();
        let expected = if args.no_control { 0 } else { args.seeds };
        let complete = self.caught.len() == bugs && self.control.len() as u64 == expected;
        let toll = Toll::of(&self.control);
        let Toll { cpu_seconds: cpu, virtual_seconds: simulated, .. } = toll;
        if let Some(path) = &args.table {
            hunt_table::write(path, &hunt_table::table(&self.caught, &toll, args.seeds))?;
        }
        match self.format {
            MessageFormat::Json => {
                let control = json!({
                    "runs": self.control.len(), "alarms": alarms, "unfinished": unfinished,
                    "cpu_seconds": cpu, "virtual_seconds": simulated,
                });
                let control = (!args.no_control).then_some(control);
                writeln!(streams.out, "{}", json!({ "control": control, "missed": missed }))?;
            }
            MessageFormat::Human => {
                let style = streams.out_style;
                for alarm in &alarms {
                    writeln!(
                        streams.out,
                        "{}",
                        style.bad(&format!("false alarm: {}: {}", alarm.by.join(", "), alarm.why))
                    )?;
                    writeln!(streams.out, "  {}", alarm.replay)?;
                }
                for run in &unfinished {
                    writeln!(streams.out, "{}", style.doubtful(&format!("tested too little: {run}")))?;
                }
                let (median, worst) = hunt_table::costs(&self.caught);
                writeln!(
                    streams.out,
                    "\n{} of {bugs} caught; {median:.1} s of processor time each in the median, {worst:.1} s at worst",
                    self.caught.len() - missed.len(),
                )?;
                let runs = self.control.len();
                if args.no_control {
                    writeln!(streams.out, "control: none was asked for (--no-control)")?;
                } else {
                    writeln!(
                        streams.out,
                        "control: {runs} runs with nothing planted, {} alarms; {cpu:.0} s of processor time, \
                         {simulated:.0} s simulated",
                        alarms.len()
                    )?;
                }
                if !missed.is_empty() {
                    let told = format!("not caught within {} seeds: {}", args.seeds, missed.join(", "));
                    writeln!(streams.out, "{}", style.bad(&told))?;
                    writeln!(streams.out, "  {}", meaning(args))?;
                }
            }
        }
        Ok(match (complete, alarms.is_empty(), missed.is_empty()) {
            (_, false, _) => Verdict::Violated.exit_code(),
            (false, ..) => exit::INCOMPLETE,
            (.., false) => Verdict::Vacuous.exit_code(),
            _ => exit::PASS,
        })
    }
}

/// What it means that a bug was not caught.
fn meaning(args: &HuntArgs) -> String {
    if args.seeds >= PATIENCE {
        let budget = args.budget;
        format!(
            "a hole in the checkers, the faults or the load, unless its {} s of processor time were too few",
            budget.as_secs()
        )
    } else {
        format!("more seeds may do (--seeds {PATIENCE}): it is a hole only if they do not")
    }
}

/// One line of the table.
fn row(hunted: &Hunted, style: Style) -> String {
    let name = hunted.bug.unwrap_or("(none)");
    let Hunted { seeds, cpu_seconds, virtual_seconds, .. } = hunted;
    let costs = format!("{seeds:>4} seeds {cpu_seconds:>7.1} s CPU {virtual_seconds:>7.0} s virtual");
    match &hunted.catch {
        Some(catch) => {
            let surprise = if hunted.is_surprising() { " (not one of those expected)" } else { "" };
            format!("{} {name:<24} {costs}  {}{surprise}", style.good("caught"), catch.by.join(", "))
        }
        None => format!("{} {name:<24} {costs}  -", style.bad("MISSED")),
    }
}
