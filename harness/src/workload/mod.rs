//! Clients under load: publishers, consumers, getters.

pub mod lapin;
