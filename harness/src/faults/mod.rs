//! What can go wrong, where, when, and what it did.
