//! Ferret, on the command line.

use std::{
    io::{IsTerminal, stderr, stdout},
    process::ExitCode,
};

use ferret::cli::{self, Interrupt, Simulation, Streams, Style, UntilClosed, exit};

fn main() -> ExitCode {
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            eprintln!("ferret: cannot listen for Ctrl-C: {error}");
            return exit::INTERNAL.into();
        }
    };
    let mut streams = Streams {
        out: &mut UntilClosed::new(stdout()),
        err: &mut stderr(),
        out_style: Style::of_stdout(),
        err_style: Style::of_stderr(),
        progress: stderr().is_terminal(),
    };
    cli::main(std::env::args_os(), &Simulation, &interrupt, &mut streams).into()
}
