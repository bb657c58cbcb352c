//! Ferret, on the command line.

use std::{
    io::{IsTerminal, stderr, stdout},
    process::ExitCode,
};

use ferret::cli::{self, Interrupt, Printable, Simulation, Streams, Style, UntilClosed, exit};

fn main() -> ExitCode {
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            eprintln!("ferret: cannot listen for Ctrl-C: {error}");
            return exit::INTERNAL.into();
        }
    };
    let (mut out, mut err) = (UntilClosed::new(stdout()), stderr());
    let (mut out_terminal, mut err_terminal) = (Printable::new(UntilClosed::new(stdout())), Printable::new(stderr()));
    let mut streams = Streams {
        out: if stdout().is_terminal() { &mut out_terminal } else { &mut out },
        err: if stderr().is_terminal() { &mut err_terminal } else { &mut err },
        out_style: Style::of_stdout(),
        err_style: Style::of_stderr(),
        progress: stderr().is_terminal(),
    };
    cli::main(std::env::args_os(), &Simulation, &interrupt, &mut streams).into()
}
