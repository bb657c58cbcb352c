//! Whether a bug that the command line planted was noticed: a call in which nothing tells of it has tested nothing.

use std::io;

use ferret_reports::{InvariantVerdict, RunRecord, Verdict};
use warren::platform::Sabotage;

use super::artifacts::{self, Artifacts};

/// `--sabotage matching`: each scenario's own bug.
pub(super) const MATCHING: &str = "matching";

/// Which runs must tell of a planted bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MustTell {
    /// Whoever planted it, if anybody, judges that.
    #[default]
    Nobody,
    /// One of all runs: a bug that was named may need a seed that gives it a chance.
    One(Sabotage),
    /// Every run: each scenario names a bug that it shows.
    Each,
}

impl MustTell {
    /// What the options that a sweep was made with ask for.
    pub(super) fn of_request(request: &str) -> Self {
        match request.split_once("--sabotage ").and_then(|(_, rest)| rest.split(' ').next()) {
            Some(MATCHING) => Self::Each,
            Some(name) => Sabotage::from_name(name).map_or(Self::Nobody, Self::One),
            None => Self::Nobody,
        }
    }

    /// Turns a run vacuous that should have told of its bug by itself and did not.
    pub(super) fn judge_run(self, record: &mut RunRecord) {
        if self == Self::Each && !tells(record) && record.verdict != Verdict::Incomplete {
            let bug = record.sabotage.as_deref().unwrap_or("that the scenario names");
            record.reasons.push(format!("nothing told of the planted bug {bug}"));
            record.verdict = record.verdict.max(Verdict::Vacuous);
        }
    }

    /// Turns the last of all runs vacuous if none of them tells of the bug that one should tell of. Returns whether it
    /// did.
    pub(super) fn judge_all(self, records: &mut [RunRecord]) -> bool {
        let Self::One(bug) = self else { return false };
        let cut_short = |record: &RunRecord| record.verdict == Verdict::Incomplete;
        if records.iter().any(|record| tells(record) || cut_short(record)) {
            return false;
        }
        let runs = if records.len() == 1 { "1 run".to_owned() } else { format!("{} runs", records.len()) };
        let Some(last) = records.last_mut() else { return false };
        let mend = "try other seeds, or a scenario that gives it a chance (`ferret hunt`)";
        last.reasons
            .push(format!("the planted bug {} was not noticed: nothing is violated in {runs}; {mend}", bug.name()));
        last.verdict = last.verdict.max(Verdict::Vacuous);
        true
    }

    /// The same, with the files of the last run, which is in the folder `last`.
    pub(super) fn judge_whole(self, records: &mut [RunRecord], last: &str, artifacts: &Artifacts) -> io::Result<()> {
        if self.judge_all(records)
            && let Some(record) = records.last()
        {
            artifacts::write_record(&artifacts.run_folder(last, record.seed), record)?;
        }
        Ok(())
    }

    /// The verdict of all runs, of which `worst` is the worst. With a bug in every run, a violation is what should be:
    /// one that tells of nothing is worse.
    pub(super) fn verdict(self, worst: Verdict, records: &[RunRecord]) -> Verdict {
        let missed = || records.iter().any(|record| !tells(record));
        match worst {
            Verdict::Violated if self == Self::Each && missed() => Verdict::Vacuous,
            worst => worst,
        }
    }
}

/// Whether a run with a planted bug shows something of it. What asserts or wavers has noticed it, too.
pub(super) fn tells(record: &RunRecord) -> bool {
    record.invariants.iter().any(|result| result.verdict == InvariantVerdict::Violated)
        || matches!(record.verdict, Verdict::Internal | Verdict::NotDeterministic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_tell_is_read_back_from_the_options_of_a_sweep() {
        let bug = Sabotage::ALL[0];
        let named = format!("--sabotage {} --client lapin", bug.name());
        for (request, must) in [
            ("", MustTell::Nobody),
            ("--swarm", MustTell::Nobody),
            ("--sabotage matching --swarm", MustTell::Each),
            (named.as_str(), MustTell::One(bug)),
        ] {
            assert_eq!(MustTell::of_request(request), must, "{request}");
        }
    }
}
