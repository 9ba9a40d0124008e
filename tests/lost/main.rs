//! Nothing is lost: killed anywhere, refused anything, after a power cut, many at once.
//!
//! x86-64 alone: a system call is refused by changing registers.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "part of several suites")]
#[path = "../netns/network.rs"]
mod network;

mod crowd;
mod everything;
mod failing;
mod input;
mod killed;
mod ledger;
mod plans;
mod power;
mod random;
mod strike;
