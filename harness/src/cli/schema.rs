//! `ferret schema`: the JSON schemas of what people write and of what runs leave.

use std::io;

use clap::{Args, ValueEnum};

use super::{Streams, exit};

const EXAMPLES: &str = "\
Examples:
  ferret schema > scenarios/scenario.schema.json
  ferret schema gate > scenarios/gate.schema.json
  ferret schema run > run.schema.json

Editors with a TOML language server complete and check scenarios whose first line is
  #:schema ./scenario.schema.json";

/// Print the JSON schema of a file format
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArgs {
    /// Of what
    #[arg(value_name = "WHAT", value_enum, default_value_t = What::Scenario)]
    what: What,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Scenario files
    Scenario,
    /// Policy files, which `ferret gate` reads
    Gate,
    /// run.json: one scenario, one seed
    Run,
    /// sweep.json: many runs as one
    Sweep,
    /// gate.json: what a policy says of them
    Verdict,
}

pub(super) fn schema(args: &SchemaArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let text = match args.what {
        What::Scenario => serde_json::to_string_pretty(&crate::scenario::schema()),
        What::Gate => serde_json::to_string_pretty(&crate::gate::schema()),
        What::Run => serde_json::to_string_pretty(&ferret_reports::record_schema()),
        What::Sweep => serde_json::to_string_pretty(&ferret_reports::sweep_schema()),
        What::Verdict => serde_json::to_string_pretty(&ferret_reports::gate_schema()),
    };
    let text = text.map_err(io::Error::other)?;
    writeln!(streams.out, "{text}")?;
    Ok(exit::PASS)
}
