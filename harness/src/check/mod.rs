//! The invariants, one file per family.
