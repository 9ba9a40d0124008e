//! flock(2) on files that may lose their names. The kernel lets go of a lock when its holder ends, however it ends.

use std::{
    fs::{File, TryLockError},
    io::ErrorKind,
};

use nix::{fcntl::OFlag, sys::stat::fstat};

use super::folder::{Folder, IoError};

/// How the files that are locked are opened: records are appended to.
const HOW: OFlag = OFlag::O_RDWR.union(OFlag::O_APPEND);

/// Locks the file of a name, made when it is not there, once nobody else holds it.
pub(crate) fn lock_file(folder: &Folder, name: &str) -> Result<File, IoError> {
    loop {
        if let Some(locked) = acquire(folder.open_file(name, HOW)?, folder, name, Wait::Yes)? {
            return Ok(locked);
        }
    }
}

/// As [`lock_file`]; None when there is no such file.
pub(super) fn lock_existing_file(folder: &Folder, name: &str) -> Result<Option<File>, IoError> {
    while let Some(file) = folder.open_existing(name, HOW)? {
        if let Some(locked) = acquire(file, folder, name, Wait::Yes)? {
            return Ok(Some(locked));
        }
    }
    Ok(None)
}

/// As [`lock_existing_file`]; None at once also when somebody else holds it.
pub(super) fn try_lock_existing_file(folder: &Folder, name: &str) -> Result<Option<File>, IoError> {
    let Some(file) = folder.open_existing(name, HOW)? else { return Ok(None) };
    acquire(file, folder, name, Wait::No)
}

#[derive(Clone, Copy)]
enum Wait {
    Yes,
    No,
}

/// None when somebody else holds it, or when it has lost its name.
///
/// A locked file is removed by whoever holds it. So the file that we got may have lost its name while we waited for
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
