//! nf_tables over netlink: no `nft` and no `iptables` program.

pub mod ruleset;
pub mod socket;
pub mod wire;
