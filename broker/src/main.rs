//! `warren serve`: a broker node on real sockets and files.

fn main() {}
