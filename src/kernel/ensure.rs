//! ensure.
