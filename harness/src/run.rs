//! One scenario with one seed: build the world, load it, break it, drain it, judge it.
