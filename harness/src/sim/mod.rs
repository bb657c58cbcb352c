//! The simulated world. Only this folder names turmoil.
