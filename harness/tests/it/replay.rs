//! What `ferret replay` says of a reproducer, with a script in the place of the simulation: only a run that passes shows
//! that something is mended.

use ferret::cli::{Interrupt, exit};
use ferret_reports::Verdict;

use crate::{
    cli::{Script, named},
    workspace::{Said, Workspace},
};

/// A reproducer of `violates`, with seed 1, from an earlier build.
fn repro(violates: &str) -> String {
    named("small") + &format!("[repro]\nviolates = \"{violates}\"\ntrace = \"00000000deadbeef\"\nbuild = \"before\"\n")
}

fn replay(text: &str, options: &[&str], script: &Script) -> Said {
    let workspace = Workspace::new(&[("small.repro.toml", text)]);
    let args = ["replay", "@small.repro.toml"].into_iter().chain(options.iter().copied());
    workspace.ferret(&args.collect::<Vec<_>>(), script)
}

fn ends_with(verdict: Verdict) -> Script {
    Script { bad: Some((1, verdict)), ..Script::default() }
}

#[test]
fn in_another_build_only_a_run_that_passes_is_mended() {
    let mended = replay(&repro("no-confirmed-loss"), &[], &Script::default());
    assert_eq!(mended.code, exit::PASS, "{}", mended.out);
    assert!(mended.out.contains("no-confirmed-loss is not violated any more"), "{}", mended.out);
    for (violates, verdict, code, word) in [
        ("no-confirmed-loss", Verdict::Internal, 1, "internal error"),
        ("no-confirmed-loss", Verdict::Undecided, 102, "undecided"),
        ("no-confirmed-loss", Verdict::Vacuous, 104, "vacuous"),
        ("no-confirmed-loss", Verdict::Incomplete, 5, "incomplete"),
        ("durability", Verdict::Violated, 100, "violated"),
        ("panic", Verdict::Undecided, 102, "undecided"),
    ] {
        let said = replay(&repro(violates), &[], &ends_with(verdict));
        assert_eq!(said.code, code, "{verdict:?}: {}", said.out);
        let told = format!("{violates} is not shown, but the run is no pass: {word}");
        assert!(said.out.contains(&told) && !said.out.contains("any more"), "{}", said.out);
    }
}

#[test]
fn what_was_violated_has_a_name_that_is_known() {
    let said = replay(&repro("no-confirmed-los"), &[], &Script::default());
    assert_eq!((said.code, said.out.as_str()), (exit::INVALID_SCENARIO, ""));
    insta::assert_snapshot!(said.err);
    assert_eq!(replay(&repro("panic"), &[], &ends_with(Verdict::Internal)).code, 100, "an assertion of the broker's");
}
