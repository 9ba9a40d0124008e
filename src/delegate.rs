//! delegate.
