//! One lock per attachment, held by a verb for as long as it works on it. The kernel lets go of it when its holder
//! ends, however it ends.

use std::{fs::File, os::fd::AsFd};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::stat::fstat,
};

use super::folder::{Folder, IoError};
use crate::config::Attachment;

/// The right to work on one attachment of one network.
#[derive(Debug)]
#[must_use = "dropping it lets others in"]
pub struct Lock {
    pub(super) attachment: Attachment,
    _file: Flock<File>,
}

impl Lock {
    /// Whose it is.
    #[must_use]
    pub const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    pub(super) const fn new(attachment: Attachment, file: Flock<File>) -> Self {
        Self { attachment, _file: file }
    }
}

/// Locks the file of a name, once nobody else holds it.
pub(crate) fn lock_file(folder: &Folder, name: &str) -> Result<Flock<File>, IoError> {
    acquire(folder, name, FlockArg::LockExclusive)?.ok_or_else(|| folder.failed("lock", name, Errno::EWOULDBLOCK))
}

/// As [`lock_file`]; None at once when somebody else holds it.
pub(super) fn try_lock_file(folder: &Folder, name: &str) -> Result<Option<Flock<File>>, IoError> {
    acquire(folder, name, FlockArg::LockExclusiveNonblock)
}

/// Lock files are removed by whoever holds them. So the file that we got may have lost its name while we waited for
/// it, and another may bear that name: only a lock on a file that still has a name counts.
fn acquire(folder: &Folder, name: &str, how: FlockArg) -> Result<Option<Flock<File>>, IoError> {
    loop {
        let locked = match Flock::lock(folder.open_file(name)?, how) {
            Ok(locked) => locked,
            Err((_, Errno::EINTR)) => continue,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(folder.failed("lock", name, errno)),
        };
        let stat = fstat(locked.as_fd()).map_err(|errno| folder.failed("look at", name, errno))?;
        if stat.st_nlink > 0 {
            return Ok(Some(locked));
        }
    }
}
