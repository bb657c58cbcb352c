//! The record of a Ferret run and its renderings.
