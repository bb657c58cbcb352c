//! Raft groups of a node: their driver, their logs, their transport.
