//! `finit_module(2)`: the module's file handed to the kernel by ourselves. It needs no `modprobe` and no
//! `kernel.modprobe`, and it knows nothing of modprobe.d: blacklists and options do not count. So it is used only when
//! the configuration asks for it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};

use super::{Loader, Outcome};
use crate::{
    config::LoaderName,
    kernel::{
        feature::{ModuleName, listed_name},
        modules::{Modules, file_name},
    },
};

/// `MODULE_INIT_COMPRESSED_FILE` (linux/module.h), since Linux 5.17. The flags 1 and 2, which would force a module into a
/// kernel that it was not built for, are never set.
const COMPRESSED: u32 = 4;

/// Loads by `finit_module(2)`, dependencies first, in the order of modules.dep.
#[derive(Debug)]
pub struct Finit {
    folder: PathBuf,
}

impl Default for Finit {
    fn default() -> Self {
        Self { folder: Modules::default().folder() }
    }
}

impl Loader for Finit {
    fn name(&self) -> LoaderName {
        LoaderName::Finit
    }

    fn load(&mut self, module: &ModuleName) -> Outcome {
        let path = self.folder.join("modules.dep");
        let list = match fs::read_to_string(&path) {
            Ok(list) => list,
            Err(error) => return unreadable(&path, &error),
        };
        let Some(files) = load_order(&list, module.as_str()) else {
            return Outcome::Skipped("modules.dep of the running kernel does not list it");
        };
        for file in files {
            let path = self.folder.join(file);
            if let Err(outcome) = insert(&path) {
                return outcome;
            }
        }
        Outcome::Done
    }
}

/// The files to load for `module`, dependencies first: a line of modules.dep is `file: dependency...`, the last
/// dependency being the one that depends on nothing.
fn load_order<'a>(list: &'a str, module: &str) -> Option<Vec<&'a str>> {
    let wanted = listed_name(module);
    let (file, dependencies) = list
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(file, _)| file_name(file).as_deref() == Some(wanted.as_str()))?;
    let mut files: Vec<&str> = dependencies.split_ascii_whitespace().rev().collect();
    files.push(file);
    Some(files)
}

fn insert(path: &Path) -> Result<(), Outcome> {
    let flags = match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => ModuleInitFlags::empty(),
        Some(format) if decompresses(format) => ModuleInitFlags::from_bits_retain(COMPRESSED),
        _ => return Err(Outcome::Skipped("its file is compressed in a way that this kernel does not undo by itself")),
    };
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    match finit_module(&file, c"", flags) {
        Ok(()) | Err(Errno::EEXIST) => Ok(()),
        Err(errno) => Err(Outcome::Refused(errno.into())),
    }
}

/// Whether the running kernel takes files compressed as `extension` says.
fn decompresses(extension: &str) -> bool {
    let format = match extension {
        "gz" => "gzip",
        "zst" => "zstd",
        other => other,
    };
    fs::read_to_string("/sys/module/compression").is_ok_and(|known| known.trim() == format)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Outcome {
    Outcome::Unreadable { path: path.to_owned(), errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
kernel/net/llc/llc.ko:
kernel/net/802/stp.ko.xz: kernel/net/llc/llc.ko
kernel/net/bridge/bridge.ko.xz: kernel/net/802/stp.ko.xz kernel/net/llc/llc.ko
kernel/net/x/nf-odd.ko.zst:
";

    #[test]
    fn dependencies_come_first() {
        let order = load_order(LIST, "bridge").unwrap();
        assert_eq!(order, ["kernel/net/llc/llc.ko", "kernel/net/802/stp.ko.xz", "kernel/net/bridge/bridge.ko.xz"]);
        assert_eq!(load_order(LIST, "nf_odd").unwrap(), ["kernel/net/x/nf-odd.ko.zst"]);
        assert_eq!(load_order(LIST, "brid"), None);
    }

    #[test]
    fn what_cannot_be_read_or_is_not_listed_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let mut finit = Finit { folder: folder.path().to_owned() };
        let bridge = ModuleName::new("bridge").unwrap();
        let list = folder.path().join("modules.dep");
        assert_eq!(finit.load(&bridge), Outcome::Unreadable { path: list.clone(), errno: Errno::ENOENT });
        fs::write(&list, "x/veth.ko:\nx/bridge.ko: x/llc.ko.weird\n").unwrap();
        let llc = folder.path().join("x/llc.ko.weird");
        let Outcome::Skipped(reason) = finit.load(&bridge) else { panic!() };
        assert!(reason.contains("compressed"), "{reason} for {}", llc.display());
        let veth = folder.path().join("x/veth.ko");
        assert_eq!(
            finit.load(&ModuleName::new("veth").unwrap()),
            Outcome::Unreadable { path: veth, errno: Errno::ENOENT }
        );
        assert!(matches!(finit.load(&ModuleName::new("ifb").unwrap()), Outcome::Skipped(_)));
    }
}
