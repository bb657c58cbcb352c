//! The hunt's result as a Markdown table, and its place in a file such as README.md.

use std::{fmt::Write as _, io, path::Path};

use warren::platform::Sabotage;

use super::{reading::read_text, writing::write_file};
use crate::search::hunt::{Hunted, Toll};

/// The table stands between these two lines.
const BEGIN: &str = "<!-- ferret hunt: begin -->";
const END: &str = "<!-- ferret hunt: end -->";

/// So many invariants are named for each bug; the rest are counted.
const NAMES_MAX: usize = 3;

/// One row for each bug, in the order of the list, and a paragraph on the whole.
pub(super) fn table(caught: &[Hunted], control: &Toll, seeds: u64) -> String {
    let mut text = String::from("| planted bug | caught by | seeds | CPU | virtual |\n|---|---|---|---|---|\n");
    for bug in Sabotage::ALL {
        for hunted in caught.iter().filter(|hunted| hunted.bug == Some(bug.name())) {
            let _ = writeln!(text, "{}", row(bug, hunted));
        }
    }
    let missed = caught.iter().filter(|hunted| hunted.catch.is_none()).count();
    let (median, worst) = costs(caught);
    let _ = write!(
        text,
        "\n{} of {} caught within {seeds} seeds; {median:.1} s of processor time each in the median, {worst:.1} s at \
         worst.",
        caught.len() - missed,
        caught.len()
    );
    if control.runs > 0 {
        let Toll { runs, alarms, cpu_seconds, virtual_seconds } = control;
        let _ = write!(
            text,
            " Control: {runs} runs with nothing planted, {} ({virtual_seconds:.0} s simulated in {cpu_seconds:.0} s of \
             processor time).",
            match alarms {
                0 => "no alarm".to_owned(),
                1 => "1 alarm".to_owned(),
                more => format!("{more} alarms"),
            }
        );
    }
    text.push('\n');
    text
}

fn row(bug: Sabotage, hunted: &Hunted) -> String {
    let by = match &hunted.catch {
        None => "**nothing**".to_owned(),
        Some(catch) => {
            // What the bug is known to break comes first.
            let (known, others): (Vec<&String>, Vec<&String>) =
                catch.by.iter().partition(|name| bug.caught_by().contains(&name.as_str()));
            let all: Vec<&String> = known.into_iter().chain(others).collect();
            let named: Vec<String> = all.iter().take(NAMES_MAX).map(|name| format!("`{name}`")).collect();
            let rest = all.len().saturating_sub(NAMES_MAX);
            if rest > 0 { format!("{} and {rest} more", named.join(", ")) } else { named.join(", ") }
        }
    };
    let Hunted { seeds, cpu_seconds, virtual_seconds, .. } = hunted;
    let sentence = bug.describe();
    format!("| `{}`: {sentence} | {by} | {seeds} | {cpu_seconds:.1} s | {virtual_seconds:.0} s |", bug.name())
}

/// Processor seconds for a bug: in the median, and at worst.
pub(super) fn costs(caught: &[Hunted]) -> (f64, f64) {
    let mut costs: Vec<f64> = caught.iter().map(|one| one.cpu_seconds).collect();
    costs.sort_by(f64::total_cmp);
    let median = costs.get(costs.len() / 2).copied().unwrap_or_default();
    (median, costs.last().copied().unwrap_or_default())
}

/// Whether `path` has a place for the table.
///
/// # Errors
/// If it cannot be read, or has none.
pub(super) fn find_place(path: &Path) -> io::Result<()> {
    let text = read_text(path)?;
    replaced(&text, "").map(drop).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("it has no line `{BEGIN}` with a line `{END}` after it"))
    })
}

/// Puts `table` into its place in `path`.
///
/// # Errors
/// If the file cannot be read or written; without a place, nothing is written.
pub(super) fn write(path: &Path, table: &str) -> io::Result<()> {
    let text = read_text(path)?;
    match replaced(&text, table) {
        Some(text) => write_file(path, text),
        None => find_place(path),
    }
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::hunt::Catch;

    fn hunted(bug: Sabotage, by: &[&str], cpu_seconds: f64) -> Hunted {
        let by: Vec<String> = by.iter().map(|&name| name.to_owned()).collect();
        let catch = (!by.is_empty()).then(|| Catch { by, why: String::new(), replay: String::new() });
        Hunted { bug: Some(bug.name()), catch, seeds: 2, cpu_seconds, virtual_seconds: 61.7, unfinished: Vec::new() }
    }

    #[test]
    fn the_table_is_in_the_order_of_the_list_and_names_first_what_the_bug_breaks() {
        let caught = [
            hunted(Sabotage::PublishTwice, &[], 9.0),
            hunted(Sabotage::ForgetVote, &["liveness", "monotonic", "prefetch", "durability"], 1.25),
        ];
        let control = Toll { runs: 4, alarms: 0, cpu_seconds: 5.2, virtual_seconds: 120.0 };
        let text = table(&caught, &control, 40);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[2],
            "| `forget-vote`: a restarted node forgets whom it voted for in its current term | `durability`, \
             `liveness`, `monotonic` and 1 more | 2 | 1.2 s | 62 s |"
        );
        assert!(lines[3].contains("**nothing**"), "{}", lines[3]);
        assert!(lines[5].starts_with("1 of 2 caught within 40 seeds; 9.0 s"), "{}", lines[5]);
        assert!(lines[5].contains("4 runs with nothing planted, no alarm"), "{}", lines[5]);
    }

    #[test]
    fn the_table_replaces_the_one_before_and_nothing_else() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(replaced(&text, "new\n"), Some(format!("before\n{BEGIN}\nnew\n{END}\nafter\n")));
        assert_eq!(replaced("no place", "new\n"), None);
        assert_eq!(replaced(&format!("{END} {BEGIN}"), "new\n"), None);
    }
}
