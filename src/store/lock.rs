//! One lock per attachment, held by a verb for as long as it works on it. The kernel lets go of it when its holder
//! ends, however it ends.

use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
};

use nix::sys::stat::fstat;

use super::folder::{Folder, IoError};
use crate::config::Attachment;

/// The right to work on one attachment of one network.
#[derive(Debug)]
#[must_use = "dropping it lets others in"]
pub struct Lock {
    pub(super) attachment: Attachment,
    _file: File,
}

impl Lock {
    /// Whose it is.
    #[must_use]
    pub const fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    pub(super) const fn new(attachment: Attachment, file: File) -> Self {
        Self { attachment, _file: file }
    }
}

/// Locks the file of a name, made when it is not there, once nobody else holds it.
pub(crate) fn lock_file(folder: &Folder, name: &str) -> Result<File, IoError> {
    loop {
        if let Some(locked) = acquire(folder.open_file(name)?, folder, name, Wait::Yes)? {
            return Ok(locked);
        }
    }
}

/// As [`lock_file`]; None when there is no such file.
pub(super) fn lock_existing_file(folder: &Folder, name: &str) -> Result<Option<File>, IoError> {
    while let Some(file) = folder.open_existing(name)? {
        if let Some(locked) = acquire(file, folder, name, Wait::Yes)? {
            return Ok(Some(locked));
        }
    }
    Ok(None)
}

/// As [`lock_file`]; None at once when somebody else holds it.
pub(super) fn try_lock_file(folder: &Folder, name: &str) -> Result<Option<File>, IoError> {
    acquire(folder.open_file(name)?, folder, name, Wait::No)
}

#[derive(Clone, Copy)]
enum Wait {
    Yes,
    No,
}

/// None when somebody else holds it, or when it has lost its name.
///
/// Lock files are removed by whoever holds them. So the file that we got may have lost its name while we waited for
/// it, and another may bear that name: only a lock on a file that still has a name counts.
fn acquire(file: File, folder: &Folder, name: &str, wait: Wait) -> Result<Option<File>, IoError> {
    loop {
        let outcome = match wait {
            Wait::Yes => file.lock(),
            Wait::No => match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
                Ok(()) => Ok(()),
            },
        };
        match outcome {
            Ok(()) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(folder.failed("lock", name, error)),
        }
    }
    let stat = fstat(&file).map_err(|errno| folder.failed("look at", name, errno))?;
    Ok((stat.st_nlink > 0).then_some(file))
}
