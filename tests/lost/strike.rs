//! A process that is killed right before a system call that changes something, or whose call the kernel refuses.
#![allow(unsafe_code, reason = "the kernel tells of a system call in a union")]

use std::{
    collections::HashMap,
    fmt,
    fs::File,
    io::{Read, Seek, Write},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Host, LIMIT, Output, Sandbox};

/// What happens to a process at its change of a number, counted over all its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// Nothing, ever.
    Spare,
    /// It is killed right before it.
    Kill(usize),
    /// The kernel does not do it, and answers with this errno.
    Refuse(usize, Errno),
}

/// A system call that changes something outside its process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change(i64);

impl Change {
    /// To a file, a setting, or the caller.
    pub(crate) const WRITE: Self = Self(libc::SYS_write);
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CHANGES.iter().find(|(number, _)| *number == self.0).map_or("?", |(_, name)| name))
    }
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Struck {
    /// The changes that it came to, the one at which it was struck included.
    pub(crate) changes: Vec<Change>,
    /// How it ended, and what it said.
    pub(crate) output: Output,
}

impl Struck {
    /// Whether it was killed.
    pub(crate) fn killed(&self) -> bool {
        self.output.status.signal() == Some(libc::SIGKILL)
    }
}

/// A call of a program in a host.
pub(crate) struct Call<'a> {
    host: &'a Host,
    program: PathBuf,
    words: Vec<&'a str>,
    variables: Vec<(String, String)>,
    stdin: String,
}

impl<'a> Call<'a> {
    /// A verb about a container.
    pub(crate) fn verb(host: &'a Host, web: &Sandbox<'_>, verb: &str, config: &Value) -> Self {
        let (program, variables) = (host.plugin.clone(), web.variables(verb));
        Self { host, program, words: Vec::new(), variables, stdin: config.to_string() }
    }

    /// A command for people.
    pub(crate) fn command(host: &'a Host, words: &[&'a str]) -> Self {
        Self { host, program: host.plugin.clone(), words: words.into(), variables: Vec::new(), stdin: String::new() }
    }

    /// Makes it, and strikes.
    pub(crate) fn strike(&self, blow: Blow) -> Struck {
        let mut files = [(); 3].map(|()| tempfile::tempfile().unwrap());
        files[0].write_all(self.stdin.as_bytes()).unwrap();
        files[0].rewind().unwrap();
        let [stdin, stdout, stderr] = files.each_ref().map(|file| Stdio::from(file.try_clone().unwrap()));
        let mut command = Command::new("sh");
        command.args(["-c", "kill -STOP $$; exec \"$0\" \"$@\""]).arg(&self.program).args(&self.words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let start = Instant::now();
        let (changes, status) = self.host.starting(|| {
            let mut child = command.spawn().unwrap();
            let struck = Watch::of(Pid::from_raw(i32::try_from(child.id()).unwrap()), blow).follow();
            let _ = child.wait(); // it has been waited for
            struck
        });
        let [_, stdout, stderr] = files.map(text);
        Struck { changes, output: Output { status, stdout, stderr, elapsed: start.elapsed() } }
    }
}

fn text(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// Waits for children and tracees of this thread only: others wait for their own.
const OURS: WaitPidFlag = WaitPidFlag::__WALL.union(WaitPidFlag::__WNOTHREAD);

struct Watch {
    pid: Pid,
    blow: Blow,
    started: bool,
    changes: Vec<Change>,
    /// The errno that is the answer to each thread's system call, which is not made.
    refused: HashMap<Pid, Errno>,
}

impl Watch {
    /// Traces a process that stops itself and then becomes the program.
    fn of(pid: Pid, blow: Blow) -> Self {
        assert_eq!(waitpid(pid, Some(OURS | WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options).unwrap();
        kill(pid, Signal::SIGCONT).unwrap();
        Self { pid, blow, started: false, changes: Vec::new(), refused: HashMap::new() }
    }

    fn follow(mut self) -> (Vec<Change>, ExitStatus) {
        let start = Instant::now();
        while start.elapsed() < LIMIT + Duration::from_secs(30) {
            match waitpid(None, Some(OURS)).unwrap() {
                WaitStatus::PtraceSyscall(thread) => {
                    if self.started {
                        self.stopped(thread);
                    }
                    go_on(thread, None);
                }
                WaitStatus::PtraceEvent(thread, _, event) => {
                    self.started |= event == libc::PTRACE_EVENT_EXEC;
                    go_on(thread, None);
                }
                WaitStatus::Stopped(thread, signal) => {
                    go_on(thread, Some(signal).filter(|one| *one != Signal::SIGTRAP));
                }
                WaitStatus::Signaled(one, signal, _) if one == self.pid => {
                    return (self.changes, ExitStatus::from_raw(signal as i32));
                }
                WaitStatus::Exited(one, code) if one == self.pid => {
                    return (self.changes, ExitStatus::from_raw(code << 8));
                }
                _ => {}
            }
        }
        panic!("it goes on and on");
    }

    fn stopped(&mut self, thread: Pid) {
        match stop(thread) {
            Some(Stop::Before(change)) => {
                match self.blow {
                    Blow::Kill(at) if at == self.changes.len() => kill(self.pid, Signal::SIGKILL).unwrap(),
                    Blow::Refuse(at, errno) if at == self.changes.len() => {
                        skip(thread);
                        self.refused.insert(thread, errno);
                    }
                    _ => {}
                }
                self.changes.push(change);
            }
            Some(Stop::After { restarts }) => match self.refused.remove(&thread) {
                Some(errno) => answer(thread, errno),
                None if restarts => drop(self.changes.pop()),
                None => {}
            },
            None => {}
        }
    }
}

/// To the next system call; a thread that is killed meanwhile needs no push.
fn go_on(thread: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(thread, signal);
}

/// Makes the system call that a thread is about to make none.
fn skip(thread: Pid) {
    let mut registers = ptrace::getregs(thread).unwrap();
    registers.orig_rax = u64::MAX;
    ptrace::setregs(thread, registers).unwrap();
}

/// What the system call answers that a thread comes back from.
fn answer(thread: Pid, errno: Errno) {
    let mut registers = ptrace::getregs(thread).unwrap();
    registers.rax = (-i64::from(errno as i32)).cast_unsigned();
    ptrace::setregs(thread, registers).unwrap();
}

/// Where a thread stopped.
enum Stop {
    /// It is about to change something outside the process.
    Before(Change),
    /// It comes back from a system call. When that `restarts`, it did nothing and is made again: some settings do that
    /// while another holds the kernel's lock.
    After { restarts: bool },
}

fn stop(thread: Pid) -> Option<Stop> {
    let info = ptrace::syscall_info(thread).ok()?;
    if info.op == libc::PTRACE_SYSCALL_INFO_EXIT {
        // SAFETY: at a stop after a system call, which `op` says it is, the kernel fills the union's `exit`.
        let value = unsafe { info.u.exit.sval };
        // ERESTARTSYS, ERESTARTNOINTR, ... of the kernel's own errno.h. (Those restarted here are changes.)
        return Some(Stop::After { restarts: (-516..=-512).contains(&value) });
    }
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: at a stop before a system call, which `op` says it is, the kernel fills the union's `entry`.
    let entry = unsafe { info.u.entry };
    let number = i64::try_from(entry.nr).ok()?;
    let changes = match number {
        libc::SYS_openat => entry.args[2] & libc::O_CREAT as u64 != 0,
        libc::SYS_write => entry.args[2] != 8, // tokio wakes itself by eight bytes
        _ => CHANGES.iter().any(|(change, _)| *change == number),
    };
    changes.then_some(Stop::Before(Change(number)))
}

const CHANGES: &[(i64, &str)] = &[
    (libc::SYS_openat, "openat"),
    (libc::SYS_write, "write"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_pwrite64, "pwrite64"),
    (libc::SYS_ftruncate, "ftruncate"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_setns, "setns"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_unlink, "unlink"),
    (libc::SYS_rename, "rename"),
];
