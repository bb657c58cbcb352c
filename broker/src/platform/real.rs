//! The real world: tokio sockets, files, the system clock.
