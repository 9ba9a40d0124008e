//! Host ports, the firewall and repair, from a configuration to packets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "the suite of nft has a network of its own in it")]
#[path = "../nft/net.rs"]
mod net;

mod chained;
mod clash;
mod firewall;
mod flows;
mod host_ports;
mod node;
mod repair;
mod sctp;
