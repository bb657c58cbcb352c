//! `ferret judge`: is a recorded history, from anywhere, that of a queue, a register, a lock?

use std::{
    fs,
    io::{self, BufRead as _, BufReader, Read as _, Write},
    path::{Path, PathBuf},
};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ferret_reports::{
    HistoryOperation, HistoryRecord, InvariantVerdict, grouped, is_history_html, render_history_html,
};
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

use super::{
    Streams,
    artifacts::{Artifacts, PAGE_FILE},
    check::problem_messages,
    exit,
    interrupt::Interrupt,
    render_problem,
    shown::Shown,
    terminal,
    writing::write_file,
};
use crate::{
    judge::{self, BUDGET, Format, History, Judgement, ModelKind, Options, Verdict},
    scenario::Problem,
};

/// The first line of a run's events is shorter.
const FIRST_BYTES_MAX: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  ferret judge history.jsonl
  ferret judge store/latest/history.edn --model cas-register
  gunzip -c history.jsonl.gz | ferret judge -
  ferret judge jepsen.log --format porcupine --message-format json | jq -r .verdict

The line format (--format jsonl) is one JSON object per operation and line, in any order:
  {\"process\": 1, \"kind\": \"register\", \"operation\": \"write\", \"value\": 3,
   \"start\": 10, \"end\": 25, \"outcome\": \"ok\"}
  process    who did it: a number or a text, 1 and \"1\" are the same. It does one thing at a time,
             except with a queue, whose publishers do not wait; after an unknown outcome it goes on
  kind       what it was done to, one of the models below, the same in all lines; may be left out;
             with --model it is ignored
  key        which one it was done to, if there are several; each is judged apart. Then all lines
             have one, or null; 1 and \"1\" are the same
  operation  see the models
  value      what went in or, for what returns something, what came out;
             null is nothing, and only left out where there is neither; 1 and \"1\" differ. A number
             that 64 bits would round is refused: write it as text
  result     only for cas: false if it found another value and said so. What else was refused, a
             try for a lock, has the outcome fail
  start, end when it began and when its answer came: whole numbers, in any unit. One operation
             comes before another if it ends before the other starts; else they are concurrent
  outcome    ok: it took effect; fail: it had no effect; info or unknown: nobody knows, so that it
             may take effect at any time after its start, or never; its end is ignored
  note       anything; ignored

Models:
  queue           enqueue value; dequeue value (null: it was empty); drain [value, ...]: dequeues
                  these, one after the other, and then found it empty
  register        read value; write value
  cas-register    the same, and cas [from, to]
  key-value       per key: get, put, append, delete, cas [from, to]
  multi-register  txn [[\"r\", key, value], [\"w\", key, value], ...]
  mutex           acquire; release, by the process that holds it

Jepsen's histories (--format jepsen-edn) are maps with :type, :f, :value, :process, in a vector or
one after the other; what processes with a keyword for a number do (:nemesis) is skipped; if all
values are pairs [key value], as jepsen.independent writes them, each key is judged apart.

Porcupine's test data (--format porcupine) are lines such as `INFO jepsen.util - 0 :invoke :read
nil`, where a cas that fails has found another value (unless it timed out), or maps with a :key.
Other lines are skipped, unless they look like operations. How much was skipped is told with the
verdict.

A queue of distinct values is decided by a sweep, everything else by a search, which gives up when
its budget is spent: then the history is undecided, which is not a pass.

It leaves report.html below target/ferret/<time>/, or in --out, where it replaces its own only.

Exit codes:
    0  holds                           100  violated
    1  internal error                  102  undecided
    2  wrong usage                     104  vacuous: there was nothing to check
    3  malformed history                 5  incomplete (interrupted)";

/// Judge a recorded history: is it that of a queue, a register, a lock?
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret judge --help` for the formats and exit codes.")]
pub(super) struct JudgeArgs {
    /// The file to judge; - is standard input
    #[arg(value_name = "HISTORY")]
    history: PathBuf,

    /// What to compare it with; the default is what the history names, or the simplest that fits
    #[arg(long, value_name = "MODEL", value_parser = model_parser())]
    model: Option<ModelKind>,

    /// How the file is written; the default is to look at it
    #[arg(long, value_name = "FORMAT", value_parser = format_parser())]
    format: Option<Format>,

    /// What a register holds before the first write, as JSON; the default is null. Queues and locks
    /// have none
    #[arg(long, value_name = "VALUE", value_parser = json_value)]
    initial: Option<Value>,

    /// How many attempts to place an operation a search has per key, beyond 100 per operation
    #[arg(long, value_name = "STEPS", default_value_t = BUDGET)]
    budget: u64,

    /// What to write on standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = MessageFormat::Human)]
    message_format: MessageFormat,

    /// The folder to leave the report in, instead of a fresh one below target/ferret
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MessageFormat {
    /// For people
    Human,
    /// One JSON object
    Json,
}

impl JudgeArgs {
    pub(super) fn is_for_people(&self) -> bool {
        self.message_format == MessageFormat::Human
    }
}

fn model_parser() -> impl TypedValueParser<Value = ModelKind> {
    PossibleValuesParser::new(ModelKind::ALL.map(ModelKind::name))
        .map(|name| ModelKind::from_name(&name).expect("clap has checked the name"))
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::from_name(&name).expect("clap has checked the name"))
}

fn json_value(text: &str) -> Result<Value, String> {
    if judge::inexact(text).is_some() {
        return Err("this number would be rounded: write it as text, in the history too".to_owned());
    }
    serde_json::from_str(text).map_err(|_| "write JSON, such as 0, null or '\"text\"'".to_owned())
}

pub(super) fn judge(args: &JudgeArgs, interrupt: &Interrupt, streams: &mut Streams<'_>) -> io::Result<u8> {
    if let Some(foreign) = args.out.as_deref().and_then(foreign_report) {
        let foreign = foreign.shown();
        writeln!(
            streams.err,
            "ferret: {foreign} would be replaced, and is no report of a history: name another folder with --out"
        )?;
        return Ok(exit::USAGE);
    }
    let (path, bytes) = match args.history.to_string_lossy().into_owned() {
        path if path == "-" => {
            let mut bytes = Vec::new();
            ("standard input".to_owned(), io::stdin().read_to_end(&mut bytes).map(|_| bytes))
        }
        path => (path, fs::read(&args.history)),
    };
    let text = match bytes.map_err(|error| error.to_string()).and_then(|bytes| text_of(&path, bytes)) {
        Ok(text) => text,
        Err(why) => {
            writeln!(streams.err, "{}  {path}: {why}", streams.err_style.bad("unreadable"))?;
            if args.message_format == MessageFormat::Json {
                let told = json!({ "history": path, "verdict": "unreadable", "explanation": why });
                writeln!(streams.out, "{told}")?;
            }
            return Ok(exit::INVALID_SCENARIO);
        }
    };
    let format = args.format.unwrap_or_else(|| judge::detect(&text));
    let options = Options { model: args.model, initial: args.initial.clone(), budget: args.budget };
    let read = judge::read(&path, &text, format);
    if let (Ok(history), Some(_)) = (&read, &args.initial)
        && let model = history.model(args.model)
        && !model.has_initial()
    {
        writeln!(streams.err, "ferret: a {} has no initial value: leave --initial out", model.name())?;
        return Ok(exit::USAGE);
    }
    let judged = read.and_then(|history| {
        let judgement = judge::judge(&path, &text, &history, &options, interrupt.flag())?;
        Ok((history, judgement))
    });
    let (history, judgement) = match judged {
        Ok(judged) => judged,
        Err(problems) => {
            for problem in &problems {
                writeln!(streams.err, "{}", render_problem(problem, streams.err_style))?;
            }
            writeln!(streams.err, "{}  {path}, read as {}", streams.err_style.bad("malformed"), format.name())?;
            if args.message_format == MessageFormat::Json {
                writeln!(streams.out, "{}", malformed(&path, format, &problems))?;
            }
            return Ok(exit::INVALID_SCENARIO);
        }
    };
    let artifacts = Artifacts::create(args.out.as_deref())?;
    let report = artifacts.report();
    write_file(&report, render_history_html(&record(&path, &history, &judgement)))?;
    let report = report.shown();
    match args.message_format {
        MessageFormat::Human => tell(&path, &history, &judgement, &report, streams)?,
        MessageFormat::Json => writeln!(streams.out, "{}", message(&path, &history, &judgement, &report))?,
    }
    Ok(match judgement.verdict {
        Verdict::Holds => exit::PASS,
        Verdict::Vacuous => ferret_reports::Verdict::Vacuous.exit_code(),
        Verdict::Incomplete => exit::INCOMPLETE,
        Verdict::Undecided => ferret_reports::Verdict::Undecided.exit_code(),
        Verdict::Violated => ferret_reports::Verdict::Violated.exit_code(),
    })
}

/// What stands where the report is to be, unless `ferret judge` wrote it.
fn foreign_report(out: &Path) -> Option<PathBuf> {
    let place = out.join(PAGE_FILE);
    let is_file = fs::symlink_metadata(&place).ok()?.is_file();
    let ours = is_file && fs::read(&place).is_ok_and(|page| is_history_html(&page));
    (!ours).then_some(place)
}

/// The history as text, without the mark that some editors begin a file with; or why it is none.
fn text_of(path: &str, bytes: Vec<u8>) -> Result<String, String> {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    const MARK: char = '\u{feff}';
    let run =
        Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()).map_or("RUN".into(), Path::shown);
    let of_a_run = Err(format!(
        "this is what a run left, and no history of operations; write `ferret export {run} --format history | ferret \
         judge -`"
    ));
    if bytes.starts_with(&GZIP) {
        let mut first = Vec::new();
        // What is damaged is not ours to tell here.
        let _ = BufReader::new(MultiGzDecoder::new(&bytes[..]).take(FIRST_BYTES_MAX)).read_until(b'\n', &mut first);
        if is_of_a_run(&first) {
            return of_a_run;
        }
        let command = if path.ends_with(".gz") { format!("gunzip -c {path}") } else { "gunzip -c".to_owned() };
        return Err(format!("it is compressed; write `{command} | ferret judge -`"));
    }
    let mut text =
        String::from_utf8(bytes).map_err(|error| format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    let first = text.lines().next().unwrap_or_default();
    if is_of_a_run(first.as_bytes()) || (first.trim() == "{" && is_of_a_run(text.as_bytes())) {
        return of_a_run;
    }
    Ok(text)
}

/// Whether it is the first line of a run's events, or its record.
fn is_of_a_run(json: &[u8]) -> bool {
    serde_json::from_slice::<Value>(json).is_ok_and(|object| {
        ["clients", "queues", "nodes", "faults"].iter().all(|key| object[key].is_array())
            || (object["version"].is_u64() && object["trace_hash"].is_string())
    })
}

/// What is wrong with a history, for programs.
fn malformed(path: &str, format: Format, problems: &[Problem]) -> Value {
    json!({
        "history": path, "format": format.name(), "verdict": "malformed", "problems": problem_messages(problems)
    })
}

fn tell(
    path: &str,
    history: &History,
    judgement: &Judgement,
    report: &str,
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    let Streams { out, out_style: style, .. } = streams;
    let word = judgement.verdict.name();
    let word = match judgement.verdict {
        Verdict::Holds => style.good(word),
        Verdict::Violated => style.bad(word),
        Verdict::Vacuous | Verdict::Incomplete | Verdict::Undecided => style.doubtful(word),
    };
    writeln!(out, "{word}  {path}  {}", summary(history, judgement))?;
    if let Some(explanation) = &judgement.explanation {
        writeln!(out, "{}", terminal::wrapped("  because ", explanation, style.width))?;
    }
    for &index in &judgement.witness {
        let mark = if judgement.offending.contains(&index) { ">" } else { " " };
        let process = &history.processes[history.operations[index].process as usize];
        let (when, what, lines) = (history.when(index), history.describe(index), history.lines(index));
        let line = format!("  {mark} {when:<24}  process {process:<4}  {what}  ({lines})");
        writeln!(out, "{}", if mark == ">" { style.bad(&line) } else { style.faint(&line) })?;
    }
    for (keys, what) in [(&judgement.violated, "violated"), (&judgement.undecided, "undecided")] {
        if judgement.objects > 1 && !keys.is_empty() {
            writeln!(out, "{}", terminal::wrapped(&format!("  {what}: "), &listed(keys), style.width))?;
        }
    }
    writeln!(out, "report: {report}")
}

fn listed(keys: &[String]) -> String {
    const SHOWN_MAX: usize = 20;
    let shown = keys[..keys.len().min(SHOWN_MAX)].join(", ");
    if keys.len() > SHOWN_MAX { format!("{shown} and {} more", keys.len() - SHOWN_MAX) } else { shown }
}

fn summary(history: &History, judgement: &Judgement) -> String {
    let objects = match judgement.objects {
        1 => judgement.model.name().to_owned(),
        count => format!("{}, {count} keys", judgement.model.name()),
    };
    let checked = grouped(judgement.checked as u64);
    let unknown = grouped(judgement.unknown as u64);
    let skipped = match history.skipped {
        0 => String::new(),
        count => format!(", {} skipped as not a client's", grouped(count as u64)),
    };
    format!("{objects}: {checked} operations, {unknown} of unknown outcome{skipped} ({})", history.format.name())
}

fn message(path: &str, history: &History, judgement: &Judgement, report: &str) -> Value {
    let witness: Vec<Value> = judgement
        .witness
        .iter()
        .map(|&index| {
            let operation = &history.operations[index];
            json!({
                "process": history.processes[operation.process as usize],
                "operation": history.describe(index),
                "start": operation.start,
                "end": operation.end,
                "line": operation.lines.0,
                "offending": judgement.offending.contains(&index),
            })
        })
        .collect();
    json!({
        "history": path,
        "format": history.format.name(),
        "model": judgement.model.name(),
        "verdict": judgement.verdict.name(),
        "operations": judgement.checked,
        "unknown": judgement.unknown,
        "skipped": history.skipped,
        "objects": judgement.objects,
        "violated": judgement.violated,
        "undecided": judgement.undecided,
        "explanation": judgement.explanation,
        "witness": witness,
        "report": report,
    })
}

/// What the page shows: the witness and what was under way with it, or the beginning of the history.
fn record(path: &str, history: &History, judgement: &Judgement) -> HistoryRecord {
    const SHOWN_MAX: usize = 200;
    let mut shown: Vec<usize> = judgement.witness.clone();
    if shown.is_empty() {
        shown.extend(0..history.operations.len().min(SHOWN_MAX));
    } else {
        let starts = shown.iter().map(|&index| history.operations[index].start);
        let (from, key) = (starts.min().unwrap_or(0), history.operations[shown[0]].key);
        let ends = judgement.offending.iter().map(|&index| history.operations[index].end.unwrap_or(u64::MAX));
        let until = ends.max().unwrap_or(u64::MAX);
        let near = history.operations.iter().enumerate().filter(|(_, operation)| {
            operation.key == key && operation.start <= until && operation.end.is_none_or(|end| end >= from)
        });
        shown.extend(near.map(|(index, _)| index).take(SHOWN_MAX));
        shown.sort_by_key(|&index| (history.operations[index].start, index));
        shown.dedup();
    }
    let operations = shown.into_iter().map(|index| {
        let operation = &history.operations[index];
        HistoryOperation {
            process: history.processes[operation.process as usize].clone(),
            label: history.describe(index),
            place: history.lines(index),
            start: operation.start,
            end: operation.end,
            witness: judgement.witness.contains(&index),
            offending: judgement.offending.contains(&index),
        }
    });
    HistoryRecord {
        path: path.to_owned(),
        summary: summary(history, judgement),
        verdict: match judgement.verdict {
            Verdict::Holds => InvariantVerdict::Holds,
            Verdict::Vacuous => InvariantVerdict::Vacuous,
            Verdict::Incomplete | Verdict::Undecided => InvariantVerdict::Undecided,
            Verdict::Violated => InvariantVerdict::Violated,
        },
        explanation: judgement.explanation.clone(),
        total: history.operations.len() as u64,
        operations: operations.collect(),
    }
}
