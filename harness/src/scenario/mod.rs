//! The scenario file: parse, check, schema, draw from ranges.
