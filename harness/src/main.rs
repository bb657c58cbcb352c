//! Ferret, on the command line.

fn main() {}
