//! `groundwork agent`: the agent is a binary of its own, so that what it needs does not weigh on the plugin.

use std::{
    env,
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::Output;

/// Its name, beside this binary.
const PROGRAM: &str = "groundwork-agent";

/// Becomes the agent; comes back only if that fails.
pub(super) fn start(args: &[OsString]) -> Output {
    let program = match env::current_exe() {
        Ok(own) => beside(&own),
        Err(error) => return Output::bad(format!("cannot tell where this binary is: {error}")),
    };
    let error = Command::new(&program).args(args).exec();
    let next = match error.kind() {
        io::ErrorKind::NotFound => ": build it with `make agent` (docs/etcd.md), and install it there",
        _ => "",
    };
    Output::bad(format!("cannot run {}: {error}{next}", program.display()))
}

fn beside(own: &Path) -> PathBuf {
    own.with_file_name(PROGRAM)
}
