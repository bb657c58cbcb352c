//! `ferret completions`: what a shell needs to complete Ferret's verbs and options.

use std::io;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot;

use super::{Cli, Streams, exit};

const EXAMPLES: &str = "\
Examples:
  ferret completions bash > ~/.local/share/bash-completion/completions/ferret
  ferret completions zsh > ~/.zfunc/_ferret          with ~/.zfunc in fpath
  ferret completions fish > ~/.config/fish/completions/ferret.fish
      Where each shell looks for it. Open a new shell, and type: ferret run --sab<TAB>";

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES, after_help = "See `ferret completions --help` for where to put them.")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(super) fn completions(args: &CompletionsArgs, streams: &mut Streams<'_>) -> io::Result<u8> {
    let shell = match args.shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
    };
    let mut command = Cli::command();
    let mut script = Vec::new();
    aot::generate(shell, &mut command, "ferret", &mut script);
    streams.out.write_all(&script)?;
    Ok(exit::PASS)
}
