//! Container runtimes as they are, with groundwork as their network: containerd by `ctr` and by the CRI, and podman
//! with the CNI backend.
//!
//! Each trial has a [`machine::Machine`] of its own, with its daemons. What the runtime asked, and what groundwork
//! answered, is written down by this same binary, which stands in the plugin folder ([`calls`]).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod containerd;
mod cri;
mod image;
mod machine;
mod podman;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    if let Some(status) = calls::stand_in() {
        return status;
    }
    let trials = [podman::trials(), containerd::trials(), cri::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}

/// A trial that fails by panicking.
fn trial(name: &str, body: fn()) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}
