//! What a virtual machine boots into: one folder, packed by cpio.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{kernels::Unpacked, run};

/// The root folder of a guest, being filled.
pub(crate) struct Initrd {
    root: TempDir,
}

/// How module files are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    /// As Debian ships them for this kernel: plain on 6.1, .xz later.
    Shipped,
    /// `.ko`
    Plain,
    /// `.ko.xz`, in the form that kernels can read by themselves
    Xz,
    /// `.ko.zst`
    Zst,
}

const FOLDERS: [&str; 14] = [
    "bin",
    "sbin",
    "dev",
    "proc",
    "sys",
    "tmp",
    "run",
    "etc/modprobe.d",
    "lib/modules",
    "log",
    "empty",
    "opt/bin",
    "container",
    "usr/bin",
];

/// Busybox's names that the guest has from elsewhere.
const OTHERS: [&str; 3] = ["busybox", "modprobe", "setpriv"];

/// The guest's scripts.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/guest");

impl Initrd {
    /// Busybox, kmod behind a wrapper that logs its arguments, and the guest's scripts.
    ///
    /// # Errors
    /// When a program is not installed or a file cannot be written.
    pub(crate) fn new() -> Result<Self, String> {
        let root = TempDir::new().map_err(|e| format!("temporary folder: {e}"))?;
        let initrd = Self { root };
        for folder in FOLDERS {
            initrd.folder(folder)?;
        }
        initrd.program("busybox", "/bin/busybox")?;
        for name in run(Command::new("busybox").arg("--list"))?.lines().filter(|name| !OTHERS.contains(name)) {
            initrd.link("/bin/busybox", &format!("/bin/{name}"))?;
        }
        initrd.program("kmod", "/usr/bin/kmod")?;
        initrd.link("/usr/bin/kmod", "/opt/modprobe")?;
        initrd.program("setpriv", "/usr/bin/setpriv")?;
        for script in ["init", "lib.sh", "cases.sh", "containers.sh", "hosts.sh", "links.sh"] {
            initrd.copy(&Path::new(SCRIPTS).join(script), script)?;
        }
        initrd.copy(&Path::new(SCRIPTS).join("modprobe"), "/sbin/modprobe")?;
        Ok(initrd)
    }

    fn path(&self, place: &str) -> PathBuf {
        self.root.path().join(place.trim_start_matches('/'))
    }

    fn room_for(&self, place: &str) -> Result<PathBuf, String> {
        let path = self.path(place);
        let folder = path.parent().unwrap_or(self.root.path());
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(path)
    }

    /// An empty folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn folder(&self, place: &str) -> Result<(), String> {
        fs::create_dir_all(self.path(place)).map_err(|e| format!("{place}: {e}"))
    }

    /// A file of the host's, with its mode, at an absolute place of the guest's.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub(crate) fn copy(&self, from: &Path, place: &str) -> Result<(), String> {
        fs::copy(from, self.room_for(place)?).map(drop).map_err(|e| format!("{}: {e}", from.display()))
    }

    /// A symbolic link at `place`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn link(&self, target: &str, place: &str) -> Result<(), String> {
        symlink(target, self.room_for(place)?).map_err(|e| format!("{place}: {e}"))
    }

    /// A file with this text, executable.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn text(&self, place: &str, text: &str) -> Result<(), String> {
        let path = self.room_for(place)?;
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)))
            .map_err(|e| format!("{place}: {e}"))
    }

    /// A program of the host's, found in PATH when its name has no slash, with the shared libraries it needs.
    ///
    /// # Errors
    /// When it is not installed.
    pub(crate) fn program(&self, name: &str, place: &str) -> Result<(), String> {
        let from = run(Command::new("sh").args(["-c", "command -v -- \"$0\"", name]))
            .map_err(|_| format!("{name}: not installed (see tests/vm/packages)"))?;
        self.copy(Path::new(from.trim()), place)?;
        // Fails on a static program, which needs nothing.
        let libraries = run(Command::new("ldd").arg(from.trim())).unwrap_or_default();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            if !self.path(library).exists() {
                self.copy(Path::new(library), library)?;
            }
        }
        Ok(())
    }

    /// A `lib/modules` under `base` with these modules, those they need, and depmod's indexes.
    ///
    /// # Errors
    /// When the kernel lacks one.
    pub(crate) fn modules(
        &self,
        kernel: &Unpacked,
        base: &str,
        names: &[&str],
        storage: Storage,
    ) -> Result<(), String> {
        let tree = format!("{base}/lib/modules/{}", kernel.release);
        for index in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
            self.copy(&kernel.modules().join(index), &format!("{tree}/{index}"))?;
        }
        for name in names {
            for file in kernel.files_of(name)? {
                let inside = file.strip_prefix(kernel.modules()).map_err(|e| e.to_string())?;
                self.module(&file, &format!("{tree}/{}", inside.display()), storage)?;
            }
        }
        run(Command::new("depmod").arg("-b").arg(self.path(base)).arg(&kernel.release)).map(drop)
    }

    fn module(&self, from: &Path, place: &str, storage: Storage) -> Result<(), String> {
        let shipped_packed = place.strip_suffix(".xz");
        let plain = shipped_packed.unwrap_or(place);
        let (place, pack): (String, &[&str]) = match storage {
            Storage::Shipped => (place.into(), &[]),
            Storage::Plain => (plain.into(), &[]),
            // What the kernel's own reader understands.
            Storage::Xz => (format!("{plain}.xz"), &["xz", "--check=crc32", "--lzma2=dict=1MiB"]),
            Storage::Zst => (format!("{plain}.zst"), &["zstd", "-q", "--rm"]),
        };
        let path = self.path(&place);
        if path.exists() {
            return Ok(());
        }
        if storage == Storage::Shipped {
            return self.copy(from, &place);
        }
        self.copy(from, if shipped_packed.is_some() { format!("{plain}.xz") } else { plain.into() }.as_str())?;
        if shipped_packed.is_some() {
            run(Command::new("xz").arg("-d").arg(self.path(&format!("{plain}.xz"))))?;
        }
        match pack {
            [] => Ok(()),
            [program, options @ ..] => run(Command::new(program).args(options).arg(self.path(plain))).map(drop),
        }
    }

    /// Everything as one archive.
    ///
    /// # Errors
    /// When cpio is missing or fails.
    pub(crate) fn pack(&self, archive: &Path) -> Result<(), String> {
        let fail = |e: io::Error| format!("{}: {e}", archive.display());
        run(Command::new("sh")
            .args(["-c", "find . | cpio --quiet -o -H newc -R 0:0"])
            .current_dir(self.root.path())
            .stdin(Stdio::null())
            .stdout(fs::File::create(archive).map_err(fail)?))
        .map(drop)
    }
}
