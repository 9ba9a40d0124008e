//! Filesystem types.

#![allow(unsafe_code)]

use std::{
    ffi::CStr,
    os::fd::{FromRawFd, OwnedFd},
};

use nix::{errno::Errno, libc};

/// `fsopen(2)`: a context in which a filesystem of type `kind` could be configured; nothing is mounted by it.
///
/// The kernel loads the module `fs-KIND` for it when it can.
///
/// # Errors
/// `ENODEV` when the kernel has no such type, `EPERM` without CAP_SYS_ADMIN in the mount namespace's user namespace,
/// `ENOSYS` before Linux 5.2.
pub fn open(kind: &CStr) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: libc::c_uint = 1;
    // SAFETY: fsopen takes a NUL-terminated string, which `kind` is, and flags; it keeps no pointer.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    // SAFETY: the call succeeded, so it returned a new descriptor (which fits an int) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
