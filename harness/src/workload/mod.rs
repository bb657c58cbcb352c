//! Clients under load: publishers, consumers, getters.
