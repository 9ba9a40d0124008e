//! The `modprobe` program.

use std::{
    env,
    io::{self, PipeReader, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{Loader, Outcome};
use crate::{config::LoaderName, kernel::feature::ModuleName};

/// Where it is on nearly every system. PATH comes after: it may be anything, or nothing.
const USUAL: &[&str] = &["/sbin/modprobe", "/usr/sbin/modprobe", "/bin/modprobe", "/usr/bin/modprobe"];

/// What `install` lines in modprobe.d find: the kernel's own choice for the modprobe that it runs.
const PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// How long one module may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a killed program may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// How much of its output is kept, in bytes.
const OUTPUT_MAX: usize = 1024;

/// Loads by `modprobe -va NAME`.
#[derive(Debug)]
pub struct Modprobe {
    programs: Vec<PathBuf>,
    patience: Duration,
}

impl Default for Modprobe {
    fn default() -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let in_path =
            env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join("modprobe"));
        Self::of(USUAL.iter().map(PathBuf::from).chain(in_path))
    }
}

impl Modprobe {
    /// A loader that takes the first of `programs` that can be started.
    pub fn of(programs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { programs: programs.into_iter().collect(), patience: PATIENCE }
    }

    /// The paths that are tried, in order.
    pub fn programs(&self) -> impl Iterator<Item = &Path> {
        self.programs.iter().map(PathBuf::as_path)
    }
}

impl Loader for Modprobe {
    fn name(&self) -> LoaderName {
        LoaderName::Modprobe
    }

    fn load(&mut self, module: &ModuleName) -> Outcome {
        let mut outcome = Outcome::NoProgram;
        for program in &self.programs {
            match run(program, module, self.patience) {
                Ok(outcome) => return outcome,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
                    outcome = Outcome::NotStarted { program: program.clone(), errno };
                }
            }
        }
        outcome
    }
}

fn run(program: &PathBuf, module: &ModuleName, patience: Duration) -> io::Result<Outcome> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(["-va", module.as_str()]).env_clear().env("PATH", PATH).current_dir("/");
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command); // and with it our ends of the pipe for writing: the output then ends with the program
    let deadline = Instant::now() + patience;
    let output = read_until(reader, deadline);
    Ok(match wait_until(&mut child, deadline)? {
        None => Outcome::TimedOut { program: program.clone(), seconds: patience.as_secs() },
        Some(status) if status.success() => Outcome::Done,
        Some(status) => Outcome::Failed { program: program.clone(), status: status.code(), output: output? },
    })
}

/// What comes out of the pipe until its end or the deadline, the first [`OUTPUT_MAX`] bytes, on one line.
fn read_until(mut reader: PipeReader, deadline: Instant) -> io::Result<String> {
    let mut output = Vec::new();
    let mut chunk = [0; 512];
    while is_readable(&reader, deadline)? {
        let read = reader.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        output.extend(chunk.iter().take(read.min(OUTPUT_MAX - output.len())));
    }
    let text = String::from_utf8_lossy(&output);
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; "))
}

fn is_readable(reader: &PipeReader, deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

/// The status once the program has ended; None when it had to be killed.
fn wait_until(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    let status = ended_by(child, deadline)?;
    if status.is_none() {
        child.kill()?;
        ended_by(child, Instant::now() + GRACE)?; // a process in the middle of a module's start may not end
    }
    Ok(status)
}

fn ended_by(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait()?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    /// A program of these lines of shell, in a folder that goes away with the guard.
    fn program(lines: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("modprobe");
        // Written by another process: a file that a fork of ours holds open for writing cannot be run.
        let written = "printf '#!/bin/sh\\n%s\\n' \"$0\" > \"$1\" && chmod 755 \"$1\"";
        assert!(Command::new("sh").args(["-c", written, lines]).arg(&path).status().unwrap().success());
        (folder, path)
    }

    fn load(programs: &[&Path], patience: Duration) -> Outcome {
        let programs = programs.iter().map(|path| path.to_path_buf()).collect();
        Modprobe { programs, patience }.load(&ModuleName::new("vxlan").unwrap())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn its_words_on_both_streams_and_its_status_are_kept_and_its_surroundings_are_plain() {
        let (_folder, path) = program("echo \"$@\"; pwd; env | grep -v ^_= | sort >&2; exit 7");
        let Outcome::Failed { program, status, output } = load(&[&path], LONG) else { panic!() };
        assert_eq!((program, status), (path, Some(7)));
        assert_eq!(output, format!("-va vxlan; /; PATH={PATH}; PWD=/"));
    }

    #[test]
    fn the_first_program_that_is_there_is_taken() {
        let (_good, good) = program("exit 0");
        let (_bad, bad) = program("exit 1");
        let nowhere = Path::new("/nonexistent/modprobe");
        assert_eq!(load(&[nowhere, &good, &bad], LONG), Outcome::Done);
        assert!(matches!(load(&[nowhere, &bad, &good], LONG), Outcome::Failed { .. }));
        assert_eq!(load(&[nowhere], LONG), Outcome::NoProgram);
        fs::set_permissions(&bad, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load(&[&bad], LONG), Outcome::NotStarted { program: bad.clone(), errno: Errno::EACCES });
        assert_eq!(load(&[&bad, &good], LONG), Outcome::Done);
    }

    #[test]
    fn a_program_that_hangs_or_babbles_does_not_hold_us() {
        let (_folder, path) = program("exec sleep 600");
        let patience = Duration::from_millis(50);
        assert_eq!(load(&[&path], patience), Outcome::TimedOut { program: path, seconds: 0 });
        let (_folder, path) = program("yes y | head -c 1000000; exit 3");
        let Outcome::Failed { output, .. } = load(&[&path], LONG) else { panic!() };
        assert!(output.len() <= 2 * OUTPUT_MAX, "{}", output.len());
        let (_folder, path) = program("sleep 1 >&2 & exit 0");
        assert_eq!(load(&[&path], patience), Outcome::Done, "a child of it keeps the stream open");
    }

    #[test]
    fn the_usual_places_come_before_path() {
        let programs: Vec<_> = Modprobe::default().programs().map(Path::to_path_buf).collect();
        assert!(programs.iter().zip(USUAL).all(|(program, usual)| program == Path::new(usual)), "{programs:?}");
        assert!(programs.iter().all(|program| program.is_absolute()), "{programs:?}");
    }
}
