//! Network namespaces: naming one, and doing something inside it.

#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns};

mod raw {
    // NS_GET_NSTYPE of linux/nsfs.h.
    nix::ioctl_none_bad!(ns_get_nstype, 0xb703);
}

/// Why a sandbox could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path cannot be opened.
    #[error("cannot open the network namespace {path}: {source}")]
    Open {
        /// As the runtime named it.
        path: PathBuf,
        /// Of `open(2)`.
        source: io::Error,
    },
    /// The path is something else.
    #[error("{path} is not a network namespace")]
    NotNamespace {
        /// As the runtime named it.
        path: PathBuf,
    },
    /// `setns(2)` refused.
    #[error("cannot enter the network namespace {path}: {source}{}", enter_hint(.source))]
    Enter {
        /// As the runtime named it.
        path: PathBuf,
        /// Of `setns(2)` or of starting a thread.
        source: io::Error,
    },
}

fn enter_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(nix::libc::EPERM) => {
            "; that takes CAP_SYS_ADMIN here and in the user namespace of the sandbox: run groundwork as root, with it"
        }
        _ => "",
    }
}

impl Error {
    /// Whether nothing lies at the path: the namespace, or the process that named it, is gone.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let gone = [nix::libc::ENOENT, nix::libc::ENOTDIR, nix::libc::ESRCH];
        matches!(self, Self::Open { source, .. } if source.raw_os_error().is_some_and(|errno| gone.contains(&errno)))
    }
}

/// The namespace of the calling thread, to move links to.
///
/// # Errors
/// [`Error::Open`], when /proc is not mounted.
pub fn own() -> Result<File, Error> {
    let path = Path::new("/proc/thread-self/ns/net");
    File::open(path).map_err(|source| Error::Open { path: path.into(), source })
}

/// What tells one namespace from another for as long as it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NetnsId {
    /// Device of the nsfs.
    pub dev: u64,
    /// Inode of the namespace; reused after it ends.
    pub ino: u64,
}

impl NetnsId {
    /// Of nothing that could be looked at.
    pub const UNKNOWN: Self = Self { dev: 0, ino: 0 };

    /// The identity of what lies at a path, without opening it; None when nothing does.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let meta = path.metadata().ok()?;
        Some(Self { dev: meta.dev(), ino: meta.ino() })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn own() -> io::Result<Self> {
        let meta = Path::new("/proc/thread-self/ns/net").metadata()?;
        Ok(Self { dev: meta.dev(), ino: meta.ino() })
    }
}

/// A container's network namespace, held open.
#[derive(Debug)]
pub struct Sandbox {
    file: File,
    path: PathBuf,
    id: NetnsId,
}

impl Sandbox {
    /// Opens the namespace at a path and makes sure that it is one.
    ///
    /// # Errors
    /// [`Error::Open`] or [`Error::NotNamespace`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = |source| Error::Open { path: path.into(), source };
        let file = File::open(path).map_err(open)?;
        // SAFETY: the descriptor is open, and a request without an argument writes to no memory of ours.
        let kind = unsafe { raw::ns_get_nstype(file.as_raw_fd()) };
        if kind != Ok(CloneFlags::CLONE_NEWNET.bits()) {
            return Err(Error::NotNamespace { path: path.into() });
        }
        let meta = file.metadata().map_err(open)?;
        Ok(Self { file, path: path.into(), id: NetnsId { dev: meta.dev(), ino: meta.ino() } })
    }

    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> NetnsId {
        self.id
    }

    /// Its path, as the runtime named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs something inside. This thread goes there and comes back: a thread for it would take as long as what is done
    /// inside. Where it might not be let back (a user namespace in the network of another), a thread is thrown away.
    ///
    /// In there `/proc/sys/net` shows the sandbox, `/proc/net` still shows the process.
    ///
    /// # Errors
    /// [`Error::Enter`] when the thread or `setns(2)` fails; nothing was run then.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let home = own().ok().filter(|home| setns(home, CloneFlags::CLONE_NEWNET).is_ok());
        let Some(home) = home else { return self.run_on_a_thread(inside) };
        self.enter()?;
        let _way_back = WayBack(home);
        Ok(inside())
    }

    fn run_on_a_thread<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, || {
                self.enter()?;
                Ok(inside())
            });
            let thread = thread.map_err(|source| Error::Enter { path: self.path.clone(), source })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn enter(&self) -> Result<(), Error> {
        let enter = |errno: nix::errno::Errno| Error::Enter { path: self.path.clone(), source: errno.into() };
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(enter)
    }
}

/// How often the way back is tried.
const TRIES: usize = 100;

/// Brings this thread home when it is dropped, also by a panic.
struct WayBack(File);

impl Drop for WayBack {
    fn drop(&mut self) {
        // It was let go here before, so what may fail is short of memory for a moment.
        if (0..TRIES).all(|_| setns(&self.0, CloneFlags::CLONE_NEWNET).is_err()) {
            // It may not do the host's work from in there. What is done until now is on record, for the next DEL.
            std::process::abort();
        }
    }
}

impl AsFd for Sandbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_namespace_and_a_missing_path_keeps_its_errno() {
        for other in ["/etc/passwd", "/proc/self/ns/mnt", "/dev/null"] {
            assert!(matches!(Sandbox::open(Path::new(other)), Err(Error::NotNamespace { .. })), "{other}");
        }
        let Err(Error::Open { source, .. }) = Sandbox::open(Path::new("/nowhere/net")) else { panic!("opened") };
        assert_eq!(source.raw_os_error(), Some(2));
    }

    #[test]
    fn own_namespace_is_recognised() {
        let sandbox = Sandbox::open(Path::new("/proc/self/ns/net")).unwrap();
        assert_eq!(sandbox.id(), NetnsId::own().unwrap());
    }
}
