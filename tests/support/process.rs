//! Processes with an end: each one is bounded in time and says what it said when it fails.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// What came of a process.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
    /// From its start to its end.
    pub elapsed: Duration,
}

impl Output {
    /// Its stdout; panics with all it said if it failed. `what` says what was tried.
    #[track_caller]
    pub fn success(self, what: &str) -> String {
        assert!(self.status.success(), "{what}: {}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr);
        self.stdout
    }

    /// The one JSON document on its stdout; panics if it failed.
    #[track_caller]
    pub fn json(self, what: &str) -> Value {
        let stdout = self.success(what);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{what}: {error} in {stdout:?}"))
    }

    /// The protocol's error document: panics unless it failed with one, and nothing else on stdout.
    #[track_caller]
    pub fn error(&self) -> Value {
        assert!(!self.status.success(), "it succeeded: {}", self.stdout);
        let document: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}; stderr: {}", self.stdout, self.stderr));
        assert!(document["code"].is_u64() && document["msg"].is_string(), "not a CNI error: {document}");
        document
    }
}

/// Runs a command with this on stdin. One that runs longer than [`LIMIT`] is ended, and is a panic.
#[track_caller]
pub fn run(command: &mut Command, stdin: impl AsRef<[u8]>) -> Output {
    run_within(LIMIT, command, stdin)
}

/// [`run`] with a limit of its own.
#[track_caller]
pub fn run_within(limit: Duration, command: &mut Command, stdin: impl AsRef<[u8]>) -> Output {
    let start = Instant::now();
    let mut child = command
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut input = child.stdin.take().unwrap();
    let bytes = stdin.as_ref().to_vec();
    thread::spawn(move || input.write_all(&bytes)); // a child that does not read is no failure
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(limit) else {
        let _ = killpg(group, Signal::SIGKILL);
        panic!("{command:?} was still running after {limit:?}");
    };
    let output = output.unwrap();
    Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        elapsed: start.elapsed(),
    }
}

/// Runs a shell script where this thread is and returns its stdout; panics with all it said if it fails.
#[track_caller]
pub fn sh(script: &str) -> String {
    try_sh(script).success(script)
}

/// Runs a shell script where this thread is, whatever comes of it.
#[track_caller]
pub fn try_sh(script: &str) -> Output {
    run(Command::new("sh").args(["-c", script]), "")
}
