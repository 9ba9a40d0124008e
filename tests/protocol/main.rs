//! The binary as a runtime calls it: environment and stdin in, one document and an exit status out.
//!
//! As root each test is in a host of its own, and sees that nothing was touched; as anybody else there is nothing
//! that the binary could touch.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod caller;
mod environment;
mod fuzz;
mod keys;
mod people;
mod stdin;
mod values;
mod version;
