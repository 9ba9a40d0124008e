//! One process: what to start, and what it took.

use std::io::Write;
use std::iter::Sum;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// A program to start, and what it reads.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) stdin: String,
}

/// What processes took that ran one after the other.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    /// Of the processes and those that they waited for; whoever goes on in the background is not in it.
    pub(crate) cpu: Duration,
}

impl Sum for Sample {
    fn sum<I: Iterator<Item = Self>>(samples: I) -> Self {
        samples.fold(Self::default(), |sum, one| Self { wall: sum.wall + one.wall, cpu: sum.cpu + one.cpu })
    }
}

impl Program {
    /// Runs it where this thread is, behind the words of `wrapper`; its stdout, or all it said if it failed.
    ///
    /// The caller bounds the whole run.
    pub(crate) fn run(&self, wrapper: &[String]) -> (Sample, Result<String, String>) {
        let path = self.path.display().to_string();
        let words: Vec<&String> = wrapper.iter().chain([&path]).chain(&self.arguments).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (start, cpu) = (Instant::now(), cpu_of_children());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let _ = child.stdin.take().unwrap().write_all(self.stdin.as_bytes()); // some read nothing
        let output = child.wait_with_output().unwrap();
        let sample = Sample { wall: start.elapsed(), cpu: cpu_of_children().saturating_sub(cpu) };
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return (sample, Ok(stdout));
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        (sample, Err(format!("{words:?}: {}\n{stdout}{stderr}", output.status)))
    }
}

/// The CPU time of all processes that this one has waited for, and of theirs.
pub(crate) fn cpu_of_children() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = |time: TimeVal| u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap();
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}
