//! Every kind of link: built, checked and taken away, and compared with what the reference plugins do.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod bridge;
mod loopback;
mod ptp;
mod reference;
