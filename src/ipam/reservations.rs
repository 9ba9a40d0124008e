//! reservations.
