//! Debian's kernels, fetched and unpacked by `kernel.sh`, kept in the cache.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::{cache, run};

/// A kernel that the suite boots.
pub(crate) struct Kernel {
    /// What trials call it.
    pub(crate) name: &'static str,
    suite: &'static str,
    unpacked: OnceLock<Result<Unpacked, String>>,
}

/// A kernel on disk.
pub(crate) struct Unpacked {
    /// `uname -r`.
    pub(crate) release: String,
    /// Holds `vmlinuz` and `lib/modules/RELEASE`.
    pub(crate) folder: PathBuf,
}

/// Debian 12's own, the one it backports (6.12: modules in .xz), and a 7.x.
pub(crate) static KERNELS: [Kernel; 3] =
    [Kernel::of("6.1", "bookworm"), Kernel::of("6.12", "bookworm-backports"), Kernel::of("7", "trixie-backports")];

impl Kernel {
    const fn of(name: &'static str, suite: &'static str) -> Self {
        Self { name, suite, unpacked: OnceLock::new() }
    }

    /// The kernel on disk, fetched when the cache has none.
    ///
    /// # Errors
    /// What `kernel.sh` says; the same again at each call.
    pub(crate) fn unpacked(&self) -> Result<&Unpacked, String> {
        self.unpacked.get_or_init(|| Unpacked::fetch(self.suite)).as_ref().map_err(Clone::clone)
    }
}

impl Unpacked {
    fn fetch(suite: &str) -> Result<Self, String> {
        let folder = cache().join("kernels").join(suite);
        if !folder.join("release").exists() {
            run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/kernel.sh")).arg(suite).arg(&folder))?;
        }
        let release = fs::read_to_string(folder.join("release")).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Self { release: release.trim().into(), folder })
    }

    /// The files that `modprobe NAME` would load, those it needs first; empty when the module is built in.
    ///
    /// # Errors
    /// When this kernel has no such module.
    pub(crate) fn files_of(&self, module: &str) -> Result<Vec<PathBuf>, String> {
        let listing = run(Command::new("modprobe").arg("-d").arg(&self.folder).args([
            "-C",
            "/dev/null",
            "-S",
            &self.release,
            "--show-depends",
            module,
        ]))?;
        let files = listing.lines().filter_map(|line| line.strip_prefix("insmod ")).map(|path| path.trim().into());
        Ok(files.collect())
    }

    /// `lib/modules/RELEASE`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.folder.join("lib/modules").join(&self.release)
    }

    /// The boot image.
    pub(crate) fn image(&self) -> PathBuf {
        Path::new(&self.folder).join("vmlinuz")
    }
}
