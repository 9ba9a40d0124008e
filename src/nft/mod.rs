//! nf_tables over netlink, and connection tracking: no `nft`, `iptables` or `conntrack` program.
//!
//! Rules are constant; what changes with containers are elements of hash sets and maps, so that a container more
//! costs a packet nothing and a transaction a few microseconds. The rules come in parts ([`ruleset::Part`]), each
//! brought by the first element that needs it, so that a network needs no more of the kernel than it uses.

pub mod error;
pub mod ruleset;
pub mod socket;
pub mod wire;

pub use error::{Error, Result};
pub use socket::Nft;
