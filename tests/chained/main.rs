//! What works on a link that is there: tuning, limits on bandwidth, source routing; and addresses for other plugins.
//! Each in one configuration with the network, and as a plugin of its own in a chain with the reference plugins.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "part of two suites")]
#[path = "../netns/network.rs"]
mod network;

mod bandwidth;
mod chain;
mod ipam;
mod names;
mod repair;
mod sbr;
mod several;
mod switch;
mod tuning;
