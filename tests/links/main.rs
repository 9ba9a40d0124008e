//! Every kind of link: built, checked and taken away, and compared with what the reference plugins do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod bridge;
mod host_device;
mod loopback;
mod network;
mod ptp;
mod reference;
mod single;
mod switch;
