//! `ferret schema`: the JSON schema of scenario files, for editors.

use std::io;

use clap::Args;

use super::{Streams, exit};

const EXAMPLES: &str = "\
Examples:
  ferret schema > scenarios/scenario.schema.json

Editors with a TOML language server complete and check scenarios whose first line is
  #:schema ./scenario.schema.json";

/// Print the JSON schema of scenario files
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SchemaArgs {}

pub(super) fn schema(streams: &mut Streams<'_>) -> io::Result<u8> {
    let text = serde_json::to_string_pretty(&crate::scenario::schema()).map_err(io::Error::other)?;
    writeln!(streams.out, "{text}")?;
    Ok(exit::PASS)
}
