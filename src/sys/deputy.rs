//! A process of ours that stays in a system call in our place.
//!
//! The kernel goes on for some 20 ms with a link that nobody sees any more, and makes whoever deleted it wait for that.
//! The deputy is who waits. It holds no pipe, no lock and no namespace of the caller's, touches nothing of the disk, and
//! ends with its system call; killed before that, it has done nothing, killed during it, the kernel finishes first.

#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::{
    errno::Errno,
    libc,
    sys::wait::{WaitPidFlag, WaitStatus, waitpid},
    unistd::Pid,
};

/// The process. It is not waited for: when this one ends it is init's.
#[derive(Debug)]
pub(super) struct Deputy(Pid);

impl Deputy {
    /// Starts a process that sends a request on a socket and ends. `held` is open there until then.
    ///
    /// # Errors
    /// Of `clone(2)`.
    pub(super) fn send(socket: BorrowedFd<'_>, request: &[u8], held: Option<BorrowedFd<'_>>) -> nix::Result<Self> {
        reap_earlier();
        let socket = socket.as_raw_fd();
        let held = held.map_or(socket, |held| held.as_raw_fd());
        // SAFETY: without flags and stack, clone(2) is fork(2) whose child sends no signal when it ends. The child has
        // this thread only, and a lock may be taken by another, so it makes system calls and nothing else, and _exits.
        match Errno::result(unsafe { libc::syscall(libc::SYS_clone, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize) })? {
            0 => run(socket, request, held),
            pid => Ok(Self(Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::EOVERFLOW)?))),
        }
    }

    /// Whether it has ended, or was killed.
    pub(super) fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
        !matches!(waitpid(self.0, Some(flags)), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
    }
}

/// Buries the deputies that are through. Children that send a signal are not ours to wait for.
fn reap_earlier() {
    let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WCLONE;
    while matches!(waitpid(None, Some(flags)), Ok(status) if status != WaitStatus::StillAlive) {}
}

/// What the deputy does. System calls only.
fn run(socket: RawFd, request: &[u8], held: RawFd) -> ! {
    let (first, second) = (socket.min(held), socket.max(held));
    if close(0, first - 1) && close(first + 1, second - 1) && close(second + 1, RawFd::MAX) {
        // SAFETY: pointer and length are of one slice, which this process has its own copy of; the call only reads it.
        unsafe { libc::send(socket, request.as_ptr().cast(), request.len(), 0) };
    }
    // SAFETY: ends this process and runs nothing of it.
    unsafe { libc::_exit(0) }
}

/// Closes the descriptors from `first` to `last`; whoever asked for this one's end waits for none of them.
fn close(first: RawFd, last: RawFd) -> bool {
    // SAFETY: nothing in this process owns a descriptor any more.
    first > last || unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0
}
