//! A folder held open. What is done below it goes by its descriptor, so nothing that is renamed or linked above it
//! meanwhile can redirect us.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{AtFlags, OFlag, open, openat},
    sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat},
    unistd::{UnlinkatFlags, linkat, unlinkat},
};

/// What a file operation met: what was tried, on what, and the kernel's answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {source}{}", next_step(.source))]
pub struct IoError {
    /// What was tried, as "create".
    pub doing: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The kernel's answer.
    pub source: io::Error,
}

/// What a person does about the usual answers.
fn next_step(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => "; free some space or inodes there",
        Some(Errno::EROFS) => "; mount it writable, or name another folder (stateDir, ipam.dataDir)",
        Some(Errno::EACCES | Errno::EPERM) => {
            "; groundwork must be allowed to write there (root, and no LSM in the way)"
        }
        _ => "",
    }
}

/// Opened for its names only: no permission to list is needed, and opening costs least.
const NAMES: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const FILE: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_CLOEXEC);

/// A folder held open.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

impl Folder {
    /// Opens a folder; None when there is nothing.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, IoError> {
        Self::open_with(path, NAMES.difference(OFlag::O_NOFOLLOW))
    }

    /// As [`Folder::open`], but a symbolic link is refused (ENOTDIR) and not followed.
    pub(crate) fn open_unlinked(path: &Path) -> Result<Option<Self>, IoError> {
        Self::open_with(path, NAMES)
    }

    fn open_with(path: &Path, flags: OFlag) -> Result<Option<Self>, IoError> {
        let fd = found(open(path, flags, Mode::empty())).map_err(|errno| failed("open the folder", path, errno))?;
        Ok(fd.map(|fd| Self { fd, path: path.into() }))
    }

    /// Opens the folder of a name in this one; None when there is nothing.
    pub(crate) fn subfolder(&self, name: &str) -> Result<Option<Self>, IoError> {
        let fd = found(openat(self, name, NAMES, Mode::empty()))
            .map_err(|errno| self.failed("open the folder", name, errno))?;
        Ok(fd.map(|fd| Self { fd, path: self.path.join(name) }))
    }

    /// Opens the folder of a name in this one, made when it is not there.
    pub(crate) fn ensure_subfolder(&self, name: &str, mode: Mode) -> Result<Self, IoError> {
        if let Some(folder) = self.subfolder(name)? {
            return Ok(folder);
        }
        match mkdirat(self, name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(self.failed("create the folder", name, errno)),
        }
        self.subfolder(name)?.ok_or_else(|| self.failed("open the folder", name, Errno::ENOENT))
    }

    /// Its path, as it was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its own attributes.
    pub(crate) fn stat_self(&self) -> Result<FileStat, IoError> {
        fstat(self).map_err(|errno| failed("look at", &self.path, errno))
    }

    /// A file's attributes, links not followed; None when it is not there.
    pub(crate) fn stat(&self, name: &str) -> Result<Option<FileStat>, IoError> {
        found(fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW)).map_err(|errno| self.failed("look at", name, errno))
    }

    /// A file's content; None when it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, IoError> {
        let Some(mut file) = self.open_existing(name, OFlag::O_RDONLY)? else { return Ok(None) };
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(|source| self.failed("read", name, source))?;
        Ok(Some(content))
    }

    /// Opens a file; None when it is not there.
    pub(crate) fn open_existing(&self, name: &str, how: OFlag) -> Result<Option<File>, IoError> {
        let fd = found(openat(self, name, how | FILE, Mode::empty()));
        Ok(fd.map_err(|errno| self.failed("open", name, errno))?.map(File::from))
    }

    /// Opens a file, created empty (mode 0600) when it is not there.
    pub(crate) fn open_file(&self, name: &str, how: OFlag) -> Result<File, IoError> {
        let flags = how | OFlag::O_CREAT | FILE;
        openat(self, name, flags, owner_only()).map(File::from).map_err(|errno| self.failed("open", name, errno))
    }

    /// Creates a file (mode 0600) with its content; false, and nothing done, when the name is taken.
    pub(crate) fn create(&self, name: &str, content: &[u8]) -> Result<bool, IoError> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | FILE;
        let mut file = match openat(self, name, flags, owner_only()) {
            Ok(fd) => File::from(fd),
            Err(Errno::EEXIST) => return Ok(false),
            Err(errno) => return Err(self.failed("create", name, errno)),
        };
        file.write_all(content).map_err(|source| {
            let _ = unlinkat(self, name, UnlinkatFlags::NoRemoveDir);
            self.failed("write", name, source)
        })?;
        Ok(true)
    }

    /// Gives a file of another folder a name in this one; false, and nothing done, when the name is taken.
    pub(crate) fn link(&self, from: &Self, from_name: &str, name: &str) -> Result<bool, IoError> {
        match linkat(from, from_name, self, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => Ok(false),
            Err(errno) => Err(self.failed("create the link", name, errno)),
        }
    }

    /// Removes a file; false when it was not there.
    pub(crate) fn unlink(&self, name: &str) -> Result<bool, IoError> {
        let gone = found(unlinkat(self, name, UnlinkatFlags::NoRemoveDir));
        Ok(gone.map_err(|errno| self.failed("remove", name, errno))?.is_some())
    }

    /// Removes an empty folder; a missing one is success.
    pub(crate) fn remove_subfolder(&self, name: &str) -> Result<(), IoError> {
        found(unlinkat(self, name, UnlinkatFlags::RemoveDir)).map_err(|errno| self.failed("remove", name, errno))?;
        Ok(())
    }

    /// The names in it, `.` and `..` left out, and those that are not UTF-8 (which no file of ours is).
    pub(crate) fn names(&self) -> Result<Vec<String>, IoError> {
        let listing = |errno| failed("list", &self.path, errno);
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut dir = Dir::openat(self, ".", flags, Mode::empty()).map_err(listing)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            if let Ok(name) = entry.map_err(listing)?.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    pub(crate) fn failed(&self, doing: &'static str, name: &str, source: impl Into<io::Error>) -> IoError {
        failed(doing, &self.path.join(name), source)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) fn failed(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> IoError {
    IoError { doing, path: path.into(), source: source.into() }
}

fn found<T>(outcome: nix::Result<T>) -> nix::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

const fn owner_only() -> Mode {
    Mode::S_IRUSR.union(Mode::S_IWUSR)
}
