//! The record of a Ferret run and its renderings: HTML, JUnit, Markdown, JSON.
//!
//! This crate knows nothing of brokers or simulations: it takes a [`RunRecord`] and makes it readable.

mod record;

pub use record::*;
