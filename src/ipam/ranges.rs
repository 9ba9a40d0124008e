//! ranges.
