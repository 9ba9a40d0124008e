//! Addresses: which are free (pure, `ranges`), who holds them (`reservations`), name servers (pure, `resolv_conf`).

mod claim;
mod error;
mod hint;
mod lease_folder;
pub mod ranges;
pub mod reservations;
pub mod resolv_conf;
