//! `ferret faults`: every fault that a timeline can hold, and every way in which a step begins, with one example each.

use std::io;

use clap::Args;

use super::{Streams, exit};
use crate::faults::{BEGINNINGS, CATALOGUE};

const EXAMPLES: &str = "\
Each example is a step of a scenario's timeline. A target is `leader:Q`, `followers:Q`, `one-follower:Q`,
`one-learner:Q`, `majority`, `minority`, `all`, `any`, `spare`, a node such as `n1`, or a list of them; times
may be ranges such as \"2s..5s\", drawn from the seed. A step begins in one way: `at`, `after` or `when`;
`every` goes alone or with `at`. A step that turns out to have done nothing fails the run, and so does one whose
trigger never comes, unless it says `may-miss = true`. A swarm (`ferret run --swarm`, or a section `[swarm]`)
draws any of them from the seed, but `heal` and `restart`.";

/// List every fault, and every way in which a step begins, with an example
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FaultsArgs {}

pub(super) fn faults(streams: &mut Streams<'_>) -> io::Result<u8> {
    let mut part = "";
    for listed in CATALOGUE.iter().chain(BEGINNINGS) {
        if listed.part != part {
            let gap = if part.is_empty() { "" } else { "\n" };
            part = listed.part;
            writeln!(streams.out, "{gap}{part}")?;
        }
        writeln!(streams.out, "  {:<16} {}\n      {}", listed.kind, listed.what, listed.example)?;
    }
    Ok(exit::PASS)
}
