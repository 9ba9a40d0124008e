//! Other programs: one document in on stdin, one out on stdout.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

/// More than this on stdout is no answer, in bytes.
pub const OUTPUT_MAX: u64 = 4 << 20;

/// Why a program did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot start {program}: {source}{}", start_hint(.source))]
    Start {
        /// Its path.
        program: PathBuf,
        /// Of `execve(2)`, or of what comes before it.
        source: io::Error,
    },
    /// Its stdin or stdout failed.
    #[error("cannot talk to {program}: {source}")]
    Talk {
        /// Its path.
        program: PathBuf,
        /// Of `read(2)`, `write(2)` or `wait(2)`.
        source: io::Error,
    },
    /// It said too much, and was killed.
    #[error("{program} wrote more than {OUTPUT_MAX} bytes to stdout and was killed")]
    TooLong {
        /// Its path.
        program: PathBuf,
    },
}

fn start_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        // The file is there, or we would not have come here.
        Some(Errno::ENOENT) => "; its interpreter or dynamic loader is missing",
        Some(Errno::ENOEXEC) => "; it is built for another machine, or is a script without #!",
        Some(Errno::ETXTBSY) => "; it is being written, try again",
        _ => "",
    }
}

/// Why a file that bears the right name is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A folder, a device, ...
    #[error("no regular file")]
    NotRegular,
    /// No execute permission for anyone.
    #[error("not executable, chmod +x")]
    NotExecutable,
}

/// The first executable regular file of a name in these folders. Otherwise the files of that name that are not.
///
/// # Errors
/// The files that bear the name and cannot be run; none of them when there are none.
pub fn find(name: &str, folders: &[PathBuf]) -> Result<PathBuf, Vec<(PathBuf, Unusable)>> {
    let mut unusable = Vec::new();
    for path in folders.iter().map(|folder| folder.join(name)) {
        match path.metadata() {
            Err(_) => {}
            Ok(meta) if !meta.is_file() => unusable.push((path, Unusable::NotRegular)),
            Ok(meta) if meta.permissions().mode() & 0o111 == 0 => unusable.push((path, Unusable::NotExecutable)),
            Ok(_) => return Ok(path),
        }
    }
    Err(unusable)
}

/// What a program left.
#[derive(Debug)]
pub struct Output {
    /// Its exit code or the signal that ended it.
    pub status: ExitStatus,
    /// All that it wrote to stdout.
    pub stdout: Vec<u8>,
}

/// Runs a program in our environment, with `changes` to it, in the calling thread's namespaces. Its stderr is ours; it
/// inherits no other descriptor. It may read its input or not, in whatever order it writes.
///
/// # Errors
/// See [`Error`]. How it ended, and whether its answer makes sense, is for the caller to judge.
pub fn run(program: &Path, changes: &[(&str, &OsStr)], input: &[u8]) -> Result<Output, Error> {
    let talk = |source| Error::Talk { program: program.into(), source };
    keep_descriptors_from_children();
    let mut command = Command::new(program);
    command.envs(changes.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = start(&mut command).map_err(|source| Error::Start { program: program.into(), source })?;
    let conversed = converse(&mut child, input);
    let stdout = match conversed {
        Ok(stdout) if stdout.len() as u64 <= OUTPUT_MAX => stdout,
        ended => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(ended.map_or_else(talk, |_| Error::TooLong { program: program.into() }));
        }
    };
    let status = child.wait().map_err(talk)?;
    Ok(Output { status, stdout })
}

/// A file that is still open for writing somewhere (it is being installed) cannot be run: that passes.
fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 0..20 {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(Errno::ETXTBSY as i32) => {
                thread::sleep(Duration::from_millis(50));
            }
            outcome => return outcome,
        }
    }
    command.spawn()
}

/// How long a program is silent until we look whether it is still there, in milliseconds.
const LOOK_AFTER: u8 = 50;

/// Writes and reads as the program lets us, so that neither side waits for the other with full pipes, until both pipes
/// are done with or the program has ended: what it left running may hold its stdout for ever.
fn converse(child: &mut Child, input: &[u8]) -> io::Result<Vec<u8>> {
    let (mut stdin, mut stdout) = (child.stdin.take(), child.stdout.take());
    let ends = [stdin.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd)];
    for end in ends.into_iter().flatten() {
        fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    let (mut left, mut output, mut ended) = (input, Vec::new(), false);
    while (stdin.is_some() || stdout.is_some()) && !ended {
        let ends = [stdin.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd)];
        let mut wanted: Vec<_> = ends
            .iter()
            .zip([PollFlags::POLLOUT, PollFlags::POLLIN])
            .filter_map(|(fd, on)| Some(PollFd::new((*fd)?, on)))
            .collect();
        match poll(&mut wanted, PollTimeout::from(LOOK_AFTER)) {
            Ok(0) => ended = child.try_wait()?.is_some(),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if write_some(&mut stdin, &mut left)? {
            stdin = None;
        }
        if read_some(&mut stdout, &mut output)? {
            stdout = None;
        }
        if output.len() as u64 > OUTPUT_MAX {
            break;
        }
    }
    Ok(output)
}

/// Writes what fits; true when no more is to be written.
fn write_some(stdin: &mut Option<ChildStdin>, left: &mut &[u8]) -> io::Result<bool> {
    let Some(stdin) = stdin else { return Ok(true) };
    while !left.is_empty() {
        match stdin.write(left) {
            Ok(written) => *left = left.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            // It needs no input, or has ended: its status says more.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads what is there, hardly more than [`OUTPUT_MAX`]; true at its end.
fn read_some(stdout: &mut Option<ChildStdout>, output: &mut Vec<u8>) -> io::Result<bool> {
    let Some(stdout) = stdout else { return Ok(true) };
    let room = (OUTPUT_MAX + 1).saturating_sub(output.len() as u64);
    match stdout.take(room).read_to_end(output) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// What we open is closed on exec. What was open when we were started may not be.
#[allow(unsafe_code)]
fn keep_descriptors_from_children() {
    // SAFETY: the call takes numbers only, and sets a flag on descriptors; it closes none, so no owner of one is harmed.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Before Linux 5.11.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return };
    for fd in open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).filter(|fd| *fd > 2) {
        // SAFETY: F_SETFD takes a number and sets a flag; a descriptor that was closed meanwhile gives EBADF.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}
