//! What the kernel's own lists say of a module, without asking it to do anything.

use std::{
    cell::OnceCell,
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use nix::sys::utsname::uname;

use crate::kernel::feature::listed_name;

/// How a module stands, as far as lists can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleState {
    /// Loaded and running.
    Live,
    /// Part of the kernel itself.
    BuiltIn,
    /// Neither loaded nor built in.
    Absent,
    /// The lists that would tell are not there.
    Unknown,
}

/// The lists, each read when first needed. [`Modules::forget`] before looking again after a load.
#[derive(Debug)]
pub struct Modules {
    root: PathBuf,
    release: String,
    live: OnceCell<Option<HashSet<String>>>,
    built_in: OnceCell<Option<HashSet<String>>>,
    files: OnceCell<Option<HashSet<String>>>,
    can_autoload: OnceCell<bool>,
}

impl Default for Modules {
    fn default() -> Self {
        let release = uname().map(|uname| uname.release().to_string_lossy().into_owned()).unwrap_or_default();
        Self::under(PathBuf::from("/"), release)
    }
}

impl Modules {
    /// The lists of a kernel `release` under `root`: `proc`, `sys` and `lib/modules`.
    #[must_use]
    pub fn under(root: PathBuf, release: String) -> Self {
        Self {
            root,
            release,
            live: OnceCell::new(),
            built_in: OnceCell::new(),
            files: OnceCell::new(),
            can_autoload: OnceCell::new(),
        }
    }

    /// The running kernel's release, as `uname -r` says.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }

    /// `/lib/modules/RELEASE`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    /// Whether this kernel can load modules at all: it then has `/proc/modules`. True as well when /proc is not there.
    #[must_use]
    pub fn supported(&self) -> bool {
        self.root.join("proc/modules").exists() || !self.root.join("proc/self").exists()
    }

    /// Whether a request of ours could make the kernel load something: false only when that is certain.
    #[must_use]
    pub fn can_autoload(&self) -> bool {
        *self.can_autoload.get_or_init(|| {
            self.supported() && !self.disabled() && self.helper().is_none_or(|helper| !helper.as_os_str().is_empty())
        })
    }

    /// Whether `kernel.modules_disabled` is 1: nothing can be loaded until the next boot.
    #[must_use]
    pub fn disabled(&self) -> bool {
        self.sysctl("kernel/modules_disabled").is_some_and(|value| value == "1")
    }

    /// `kernel.modprobe`: the program that the kernel runs to load a module; empty when it must not.
    #[must_use]
    pub fn helper(&self) -> Option<PathBuf> {
        self.sysctl("kernel/modprobe").map(PathBuf::from)
    }

    fn sysctl(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join("proc/sys").join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// How `module` stands.
    #[must_use]
    pub fn state(&self, module: &str) -> ModuleState {
        let module = listed_name(module);
        let folder = self.root.join("sys/module").join(&module);
        match fs::read_to_string(folder.join("initstate")) {
            Ok(state) if state.trim() == "live" => return ModuleState::Live,
            Ok(_) => return ModuleState::Absent, // still coming, or going
            Err(_) if folder.is_dir() => return ModuleState::BuiltIn, // only what is built in lacks the file
            Err(_) => {}
        }
        if self.live().is_some_and(|live| live.contains(&module)) {
            return ModuleState::Live;
        }
        match self.built_in() {
            Some(built_in) if built_in.contains(&module) => ModuleState::BuiltIn,
            Some(_) if self.live().is_some() => ModuleState::Absent,
            _ => ModuleState::Unknown,
        }
    }

    /// The modules that came with the running kernel as files, by modules.dep; None when that cannot be read.
    #[must_use]
    pub fn files(&self) -> Option<&HashSet<String>> {
        let first = |line: &str| file_name(line.split(':').next()?);
        self.files.get_or_init(|| read_names(&self.folder().join("modules.dep"), first)).as_ref()
    }

    /// Looks again at what changes when a module is loaded.
    pub fn forget(&mut self) {
        self.live = OnceCell::new();
    }

    fn live(&self) -> Option<&HashSet<String>> {
        self.live.get_or_init(|| read_names(&self.root.join("proc/modules"), live_name)).as_ref()
    }

    fn built_in(&self) -> Option<&HashSet<String>> {
        self.built_in.get_or_init(|| read_names(&self.folder().join("modules.builtin"), file_name)).as_ref()
    }
}

fn read_names(path: &Path, name: fn(&str) -> Option<String>) -> Option<HashSet<String>> {
    let lines = BufReader::new(fs::File::open(path).ok()?).lines();
    Some(lines.map_while(Result::ok).filter_map(|line| name(&line)).collect())
}

/// The name in a line of /proc/modules, `name size users dependents state address`, when its state is Live.
fn live_name(line: &str) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?;
    (words.nth(3)? == "Live").then(|| name.to_owned())
}

/// The module in a path such as `kernel/net/8021q/8021q.ko.xz`, as the kernel lists it.
#[must_use]
pub fn file_name(path: &str) -> Option<String> {
    let (name, _) = path.trim().rsplit('/').next()?.split_once(".ko")?;
    Some(listed_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Modules) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let modules = Modules::under(root.path().to_owned(), "6.1.0".to_owned());
        (root, modules)
    }

    const BUILT_IN: (&str, &str) = ("lib/modules/6.1.0/modules.builtin", "kernel/net/ipv6/ipv6.ko\nkernel/x/a-b.ko\n");
    const LIVE: (&str, &str) =
        ("proc/modules", "vxlan 1 0 - Live 0x0\nveth 1 0 - Loading 0x0\nudp_tunnel 1 1 vxlan, Live 0x0 (E)\n");

    #[test]
    fn lists_tell_live_from_built_in_from_absent() {
        let (_root, modules) =
            host(&[BUILT_IN, LIVE, ("sys/module/dummy/initstate", "coming\n"), ("sys/module/ifb/x", "")]);
        for (name, state) in [
            ("vxlan", ModuleState::Live),
            ("udp-tunnel", ModuleState::Live),
            ("veth", ModuleState::Absent),
            ("dummy", ModuleState::Absent),
            ("ifb", ModuleState::BuiltIn),
            ("ipv6", ModuleState::BuiltIn),
            ("a_b", ModuleState::BuiltIn),
            ("bridge", ModuleState::Absent),
        ] {
            assert_eq!(modules.state(name), state, "{name}");
        }
    }

    #[test]
    fn without_one_of_the_lists_absence_is_not_claimed() {
        let (_root, modules) = host(&[LIVE]);
        assert_eq!(modules.state("vxlan"), ModuleState::Live);
        assert_eq!(modules.state("bridge"), ModuleState::Unknown);
        let (_root, modules) = host(&[BUILT_IN]);
        assert_eq!(modules.state("ipv6"), ModuleState::BuiltIn);
        assert_eq!(modules.state("bridge"), ModuleState::Unknown);
    }

    #[test]
    fn a_kernel_that_cannot_load_is_known_by_its_sysctls_and_by_what_it_lacks() {
        let helper = ("proc/sys/kernel/modprobe", "/sbin/modprobe\n");
        assert!(host(&[LIVE, helper]).1.can_autoload());
        assert!(host(&[LIVE]).1.can_autoload(), "a hidden sysctl proves nothing");
        assert!(!host(&[LIVE, ("proc/sys/kernel/modprobe", "\n")]).1.can_autoload());
        assert!(!host(&[LIVE, helper, ("proc/sys/kernel/modules_disabled", "1\n")]).1.can_autoload());
        assert!(!host(&[("proc/self/status", "")]).1.can_autoload(), "no /proc/modules: no module support");
        assert!(host(&[]).1.can_autoload(), "no /proc: nobody knows");
    }
}
