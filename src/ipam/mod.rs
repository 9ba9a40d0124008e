//! Addresses: which are free (pure, `ranges`), who holds them (`reservations`).

pub mod ranges;
pub mod reservations;
