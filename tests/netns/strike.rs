//! A process that is killed right before a system call that changes something.
#![allow(unsafe_code, reason = "the kernel tells of a system call in a union")]

use std::{
    io::{Seek, Write},
    process::{Command, Stdio},
    time::Instant,
};

use nix::{
    libc,
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde_json::Value;

use crate::support::{Host, LIMIT, Sandbox};

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Struck {
    /// The changes that it came to, the one that it did not live to make included: numbers of system calls.
    pub(crate) changes: Vec<i64>,
    /// Whether it was killed.
    pub(crate) killed: bool,
}

/// Calls the plugin for a container, and kills it right before its change number `at`, counted over all its threads.
pub(crate) fn strike(host: &Host, web: &Sandbox<'_>, verb: &str, config: &Value, at: usize) -> Struck {
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(config.to_string().as_bytes()).unwrap();
    stdin.rewind().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "kill -STOP $$; exec \"$0\""]).arg(&host.plugin).envs(web.variables(verb));
    command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::null());
    host.starting(|| {
        let mut child = command.spawn().unwrap();
        let struck = watch(Pid::from_raw(i32::try_from(child.id()).unwrap()), at);
        let _ = child.wait(); // it has been waited for
        struck
    })
}

/// Waits for children and tracees of this thread only: others wait for their own.
const OURS: WaitPidFlag = WaitPidFlag::__WALL.union(WaitPidFlag::__WNOTHREAD);

/// Traces a process that stops itself and then becomes the plugin.
fn watch(pid: Pid, at: usize) -> Struck {
    assert_eq!(waitpid(pid, Some(OURS | WaitPidFlag::WUNTRACED)), Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)));
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::seize(pid, options).unwrap();
    kill(pid, Signal::SIGCONT).unwrap();
    let (mut started, mut changes) = (false, Vec::new());
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        match waitpid(None, Some(OURS)).unwrap() {
            WaitStatus::PtraceSyscall(thread) => {
                match stop(thread).filter(|_| started) {
                    Some(Stop::Change(number)) => {
                        if changes.len() == at {
                            kill(pid, Signal::SIGKILL).unwrap();
                        }
                        changes.push(number);
                    }
                    Some(Stop::Restart) => drop(changes.pop()),
                    None => {}
                }
                go_on(thread, None);
            }
            WaitStatus::PtraceEvent(thread, _, event) => {
                started |= event == libc::PTRACE_EVENT_EXEC;
                go_on(thread, None);
            }
            WaitStatus::Stopped(thread, signal) => go_on(thread, Some(signal).filter(|one| *one != Signal::SIGTRAP)),
            WaitStatus::Signaled(one, Signal::SIGKILL, _) if one == pid => return Struck { changes, killed: true },
            WaitStatus::Exited(one, _) if one == pid => return Struck { changes, killed: false },
            _ => {}
        }
    }
    panic!("it goes on and on");
}

/// To the next system call; a thread that is killed meanwhile needs no push.
fn go_on(thread: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(thread, signal);
}

/// What a thread stopped at.
enum Stop {
    /// It is about to make this system call, which changes something outside the process.
    Change(i64),
    /// Its system call did nothing and is made again: some settings do that while another holds the kernel's lock.
    Restart,
}

fn stop(thread: Pid) -> Option<Stop> {
    let info = ptrace::syscall_info(thread).ok()?;
    if info.op == libc::PTRACE_SYSCALL_INFO_EXIT {
        // SAFETY: at a stop after a system call, which `op` says it is, the kernel fills the union's `exit`.
        let value = unsafe { info.u.exit.sval };
        // ERESTARTSYS, ERESTARTNOINTR, ... of the kernel's own errno.h. (Those restarted here are changes.)
        return (-516..=-512).contains(&value).then_some(Stop::Restart);
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
        _ => CHANGES.contains(&number),
    };
    changes.then_some(Stop::Change(number))
}

const CHANGES: &[i64] = &[
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_unlinkat,
    libc::SYS_renameat2,
    libc::SYS_setns,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
];
