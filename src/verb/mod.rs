//! verb.
