//! groundwork on real modular kernels, in virtual machines.
//!
//! Each trial asks about one step of a boot; the boot runs once, when the first trial asks for its report.

mod containers;
mod doctor;
mod feature;
mod harness;
mod hosts;
mod initrd;
mod kernels;
mod links;
mod loader;
mod machine;
mod matrix;
mod questions;
mod report;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::OnceLock,
};

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each trial may be a virtual machine: no more than two at once.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(2).min(2));
    // The trials that boot come first, so that the machines run beside each other.
    let mut trials = harness::trials();
    trials.extend(matrix::trials());
    trials.extend(questions::trials());
    trials.extend(containers::trials());
    trials.extend(links::trials());
    trials.sort_by_key(|trial| !trial.name().ends_with("::boots"));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Where fetched kernels stay between runs.
fn cache() -> PathBuf {
    match env::var_os("XDG_CACHE_HOME").filter(|home| !home.is_empty()) {
        Some(home) => PathBuf::from(home).join("groundwork"),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/.cache").into(),
    }
}

/// The binary under test: static, since it runs beside no library.
fn groundwork() -> Result<&'static Path, String> {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BINARY.get_or_init(release_binary).as_deref().map_err(Clone::clone)
}

/// `GROUNDWORK_BIN`, or the release build, made now if it is not up to date.
fn release_binary() -> Result<PathBuf, String> {
    if let Some(binary) = env::var_os("GROUNDWORK_BIN") {
        return Ok(binary.into());
    }
    let built = Path::new(env!("CARGO_BIN_EXE_groundwork"));
    let folder = built.ancestors().nth(2).ok_or("cargo's folders are not as usual")?;
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--bin", "groundwork"])
        .current_dir(env!("CARGO_MANIFEST_DIR")))?;
    Ok(folder.join("release/groundwork"))
}

/// What a program prints.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e} (see tests/vm/packages)"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{name}: {}: {}", output.status, stderr.trim()))
    }
}
