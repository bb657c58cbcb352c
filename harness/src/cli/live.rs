//! What is shown while runs are under way.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    time::{Duration, Instant},
};

use ferret_reports::{RunRecord, Verdict};

use super::{
    Streams,
    beat::{Beat, now},
    pool::{Job, Pool, Running},
    run,
    shown::{CLEAR_LINE, Shown},
    simulate::Simulate,
    terminal,
};
use crate::scenario::Sometimes;

/// A sweep of more runs has no line for each that passes.
const LINES_MAX: usize = 50;
/// Where there is no terminal to write a line over and over on, a long silence is broken this often: some CI systems
/// end a job that says nothing.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(60);

/// Runs the jobs and prints one line per run, then each scenario's invariants; progress on the other stream. Of an
/// `open` sweep, nobody knows how many it will be.
pub(super) fn for_people<S: Simulate>(
    pool: &Pool<'_, S>,
    jobs: &[Job<'_>],
    open: bool,
    streams: &mut Streams<'_>,
) -> io::Result<Vec<RunRecord>> {
    let Streams { out, err, out_style, err_style, progress } = streams;
    let (out_style, width) = (*out_style, err_style.width);
    let name_width = jobs.iter().map(|job| job.scenario.name.len()).max().unwrap_or(0);
    let quiet = jobs.len() > LINES_MAX;
    // Where the seeds of several scenarios take turns, it must be said whose invariants follow.
    let mixed = jobs.windows(2).any(|pair| pair[0].group != pair[1].group && !pair[0].last);
    // Both closures write.
    let screen = RefCell::new(Screen {
        err: &mut **err,
        shown: false,
        heart: Beat::every(HEARTBEAT),
        told: Tally::new((!open).then_some(jobs.len())),
        width,
    });
    let records = pool.run(
        jobs,
        |records| {
            let mut screen = screen.borrow_mut();
            screen.clear()?;
            let index = records.len() - 1;
            let record = &records[index];
            screen.told.add(record);
            if !quiet || record.verdict != Verdict::Pass {
                writeln!(out, "{}", terminal::run_line(record, name_width, out_style))?;
                write!(out, "{}", terminal::failure(record, out_style))?;
                if jobs[index].has_drawn() && record.verdict != Verdict::Pass {
                    writeln!(out, "  drawn:  {}", jobs[index].drawn().shown())?;
                }
            }
            if jobs[index].last {
                write!(out, "{}", scenario_block(jobs, records, jobs[index].group, mixed || quiet, out_style))?;
            }
            out.flush()
        },
        |done, running| {
            let mut screen = screen.borrow_mut();
            if *progress {
                screen.show(done, jobs, running);
            } else {
                screen.beat(done);
            }
        },
    )?;
    screen.borrow_mut().clear()?;
    // The sweep may have ended between two seeds of a scenario.
    let begun: BTreeSet<usize> = jobs.iter().take(records.len()).map(|job| job.group).collect();
    let whole: BTreeSet<usize> = jobs.iter().take(records.len()).filter(|job| job.last).map(|job| job.group).collect();
    for group in begun.difference(&whole) {
        write!(out, "{}", scenario_block(jobs, &records, *group, mixed || quiet, out_style))?;
    }
    Ok(records)
}

/// The invariants of a scenario, over all its seeds so far.
fn scenario_block(
    jobs: &[Job<'_>],
    records: &[RunRecord],
    group: usize,
    named: bool,
    style: terminal::Style,
) -> String {
    let all = jobs.iter().zip(records);
    let records: Vec<&RunRecord> = all.filter(|(job, _)| job.group == group).map(|(_, record)| record).collect();
    let mut text = String::new();
    if named && let Some(first) = records.first() {
        let passed = records.iter().filter(|record| record.verdict == Verdict::Pass).count();
        let _ = writeln!(text, "{}: {} of {} seeds pass", first.scenario.name, passed, records.len());
    }
    text + &terminal::invariants(&records, style)
}

struct Screen<'a> {
    err: &'a mut dyn Write,
    shown: bool,
    heart: Beat,
    told: Tally,
    width: usize,
}

impl Screen<'_> {
    fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.shown) {
            write!(self.err, "{CLEAR_LINE}")?;
            self.err.flush()?;
        }
        Ok(())
    }

    fn show(&mut self, done: usize, jobs: &[Job<'_>], running: &[Running]) {
        let mut line = self.told.line(done, wall(self.told.began));
        for one in running {
            let job = &jobs[one.job];
            let virtual_time = one.progress.virtual_time().as_secs_f64();
            let phase = one.progress.phase().name();
            let _ = write!(line, " | {} seed {}: {phase}, {virtual_time:.1} s", job.scenario.name, job.seed);
        }
        let line: String = line.chars().take(self.width.saturating_sub(1)).collect();
        // A terminal that does not take the progress line does not stop the runs.
        let _ = write!(self.err, "{CLEAR_LINE}{line}");
        let _ = self.err.flush();
        self.shown = true;
    }

    fn beat(&mut self, done: usize) {
        if self.heart.due() {
            let _ = writeln!(self.err, "{}", self.told.line(done, wall(self.told.began)));
        }
    }
}

/// What is known so far.
struct Tally {
    /// How many runs there will be, if anybody knows.
    planned: Option<usize>,
    began: Instant,
    failed: usize,
    virtual_seconds: f64,
    /// What has happened at least once, of all that may.
    reached: BTreeSet<String>,
    /// What some scenario requires.
    required: BTreeSet<String>,
}

impl Tally {
    fn new(planned: Option<usize>) -> Self {
        let began = now();
        Self { planned, began, failed: 0, virtual_seconds: 0.0, reached: BTreeSet::new(), required: BTreeSet::new() }
    }

    fn add(&mut self, record: &RunRecord) {
        self.failed += usize::from(record.verdict != Verdict::Pass);
        self.virtual_seconds += record.virtual_seconds;
        for result in &record.sometimes {
            if result.count > 0 && !self.reached.contains(&result.name) {
                self.reached.insert(result.name.clone());
            }
            if result.required && !self.required.contains(&result.name) {
                self.required.insert(result.name.clone());
            }
        }
    }

    /// `37/600 | 1.9 runs/s | 41.2x | sometimes 7/9, missing nacked | 1 failed`.
    fn line(&self, done: usize, wall: Duration) -> String {
        let of = self.planned.map_or(" runs".to_owned(), |planned| format!("/{planned}"));
        let seconds = wall.as_secs_f64().max(0.001);
        let (rate, ratio) = (done as f64 / seconds, self.virtual_seconds / seconds);
        let missing: Vec<&str> = self.required.difference(&self.reached).map(String::as_str).collect();
        let missing = if missing.is_empty() { String::new() } else { format!(", missing {}", missing.join(", ")) };
        let (reached, all) = (self.reached.len(), Sometimes::ALL.len());
        let failed = self.failed;
        format!("{done}{of} | {rate:.1} runs/s | {ratio:.1}x | sometimes {reached}/{all}{missing} | {failed} failed")
    }
}

fn wall(since: Instant) -> Duration {
    now().saturating_duration_since(since)
}

/// Runs the jobs and prints one JSON object per run.
pub(super) fn for_programs<S: Simulate>(
    pool: &Pool<'_, S>,
    jobs: &[Job<'_>],
    streams: &mut Streams<'_>,
) -> io::Result<Vec<RunRecord>> {
    let out = &mut streams.out;
    pool.run(
        jobs,
        |records| {
            let index = records.len() - 1;
            let report = jobs[index].folder.join("report.html");
            writeln!(out, "{}", run::message(&records[index], &report.to_string_lossy()))?;
            out.flush()
        },
        |_, _| (),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_tells_rate_ratio_what_was_reached_and_failures() {
        let mut tally = Tally::new(Some(8));
        let all = Sometimes::ALL.len();
        let line = tally.line(0, Duration::from_secs(1));
        assert_eq!(line, format!("0/8 | 0.0 runs/s | 0.0x | sometimes 0/{all} | 0 failed"));
        tally.failed = 1;
        tally.virtual_seconds = 100.0;
        tally.reached = ["redelivered".to_owned()].into();
        tally.required = ["nacked".to_owned(), "redelivered".to_owned()].into();
        assert_eq!(
            tally.line(5, Duration::from_secs(2)),
            format!("5/8 | 2.5 runs/s | 50.0x | sometimes 1/{all}, missing nacked | 1 failed")
        );
        let line = Tally::new(None).line(5, Duration::from_secs(2));
        assert!(line.starts_with("5 runs | 2.5 runs/s"), "seeds without an end are not counted down: {line}");
    }
}
