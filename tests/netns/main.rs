//! The native network, chains and delegates on a real kernel, each test in a host of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod add;
mod bridge;
mod chained;
mod check;
mod del;
mod delegate;
mod deputy;
mod errors;
mod gc;
mod ipam;
mod log;
mod many;
mod network;
mod plan;
mod requests;
mod sandbox;
mod settings;
mod status;
mod traffic;
