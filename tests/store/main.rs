//! Records and leases under what happens to processes and disks: many at once, killed anywhere, refused by the kernel,
//! a full disk, and the reference plugin in the same folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::print_stderr, reason = "tests")]

mod crowd;
mod full;
mod killed;
mod reference;
mod worker;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(worker::FLAG) {
        return worker::run(words);
    }
    let trials = [crowd::trials(), killed::trials(), full::trials(), reference::trials()];
    libtest_mimic::run(&Arguments::from_args(), trials.into_iter().flatten().collect()).exit_code()
}

/// A trial that fails by panicking.
fn trial(name: &str, body: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        body();
        Ok(())
    })
}

/// The same trial with the leases beside the records, and in a folder that the reference plugin shares.
fn trials_in_both(name: &str, body: fn(worker::Place)) -> [Trial; 2] {
    [("own", false), ("shared", true)]
        .map(|(kind, shared)| trial(&format!("{name}::{kind}"), move || body(worker::Place::new(shared))))
}
