//! `ferret man`: a manual page for Ferret and one for each verb, from the same texts as `--help`.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{
    Cli, Streams, exit,
    shown::Shown,
    writing::{make_folder, write_file},
};

const EXAMPLES: &str = "\
Examples:
  ferret man ~/.local/share/man/man1 && man ferret-run
      Writes ferret.1, ferret-run.1 and so on to where `man` looks for them.
  ferret man pages && man -l pages/ferret.1
      To any other folder, which is made if it is not there.";

/// Write manual pages, one for each verb
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret man --help` for where to put them.")]
pub(super) struct ManArgs {
    /// The folder for the pages
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn man(args: &ManArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    make_folder(&args.folder)?;
    let written = write_pages(&command, "ferret", &args.folder)?;
    writeln!(streams.out, "{written} pages written to {}", args.folder.shown())?;
    Ok(exit::PASS)
}

/// Writes the page of `command`, which is typed as `name` (with spaces), and those of its verbs.
fn write_pages(command: &Command, name: &str, folder: &Path) -> io::Result<usize> {
    let file = name.replace(' ', "-");
    write_file(&folder.join(format!("{file}.1")), page(command, name)?)?;
    let mut written = 1;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        written += write_pages(verb, &format!("{name} {}", verb.get_name()), folder)?;
    }
    Ok(written)
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let file = name.replace(' ', "-");
    // The examples are set as they stand, further down: here they would be filled like prose.
    let mut plain = command.clone().after_help("").after_long_help("").bin_name(name).display_name(file.clone());
    let usage = plain.render_usage().to_string();
    let man = Man::new(plain);
    // Without a date, so that equal programs write equal pages; the title that clap_mangen would give needs one.
    let mut page = format!(
        ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n.TH \"{}\" \"1\" \"\" \"Ferret {}\" \"Ferret Manual\"\n",
        file.to_uppercase(),
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes();
    man.render_name_section(&mut page)?;
    page.extend(synopsis(&usage, name).into_bytes());
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().next().is_some() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_long_help().or(command.get_after_help()) {
        page.extend(as_it_stands(&text.to_string()).into_bytes());
    }
    Ok(page)
}

/// The usage as `--help` has it: clap_mangen's leaves out what options take, and that there may be several paths.
fn synopsis(usage: &str, name: &str) -> String {
    let usage = usage.trim().trim_start_matches("Usage:").trim_start();
    let rest = usage.strip_prefix(name).unwrap_or(usage).replace('-', "\\-");
    let rest: Vec<&str> = rest.split_whitespace().collect();
    format!(".SH SYNOPSIS\n\\fB{}\\fR {}\n", name.replace('-', "\\-"), rest.join(" "))
}

/// A section of `text` that keeps its lines.
fn as_it_stands(text: &str) -> String {
    let text = text.strip_prefix("Examples:\n").unwrap_or(text);
    let mut roff = String::from(".SH EXAMPLES\n.nf\n");
    for line in text.lines() {
        let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq").replace('`', "\\(ga");
        // A line that begins with a dot would be a request.
        roff += if line.starts_with('.') { "\\&" } else { "" };
        roff += &line;
        roff.push('\n');
    }
    roff + ".fi\n"
}
