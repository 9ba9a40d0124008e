//! The table.

mod bridge;
mod checks;
mod host_local;
mod later;
mod links;
mod ports;
mod protocol;
mod static_;

use crate::scenario::Scenario;

/// Every scenario there is.
pub(crate) fn all() -> Vec<Scenario> {
    [
        bridge::scenarios(),
        checks::scenarios(),
        host_local::scenarios(),
        static_::scenarios(),
        ports::scenarios(),
        later::scenarios(),
        links::scenarios(),
        protocol::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
