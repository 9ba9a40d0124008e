//! What surrounds a load that failed: files, capabilities, settings.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::Cause;
use crate::{
    config::LoaderName,
    kernel::{
        feature::{FeatureRef, listed_name},
        loader::{self, Attempt, Ioctl, Modprobe, Outcome},
        modules::Modules,
        probe::Answer,
    },
};

const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_MODULE: u32 = 16;

/// Where modprobe reads its configuration, in the order of kmod(8).
const CONFIGURATION: &[&str] =
    &["etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d", "usr/lib/modprobe.d", "lib/modprobe.d"];

/// A line that keeps a module from being loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    module: String,
    file: PathBuf,
    line: String,
    replaces: bool,
}

/// What was found around us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    release: String,
    supported: bool,
    disabled: bool,
    /// `kernel.modprobe`, and whether that program is here. None when the setting cannot be read.
    helper: Option<(PathBuf, bool)>,
    /// Folders of /lib/modules.
    kernels: Vec<String>,
    /// What modules.dep of the running kernel lists. None when it cannot be read.
    files: Option<HashSet<String>>,
    blocks: Vec<Block>,
    /// Effective capabilities, a bit each. None when they cannot be read.
    capabilities: Option<u64>,
    user_namespace: bool,
    /// Whether there is a `modprobe` program here.
    program: bool,
    distribution: String,
}

impl Surroundings {
    /// Looks around.
    #[must_use]
    pub fn look() -> Self {
        Self::under(Path::new("/"), &Modules::default())
    }

    fn under(root: &Path, modules: &Modules) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).ok();
        let helper = modules.helper().map(|helper| {
            let here = !helper.as_os_str().is_empty() && helper.exists();
            (helper, here)
        });
        Self {
            release: modules.release().to_owned(),
            supported: modules.supported(),
            disabled: modules.disabled(),
            helper,
            kernels: folders(&root.join("lib/modules")),
            files: modules.files().cloned(),
            blocks: blocks(root),
            capabilities: text("proc/self/status").and_then(|status| effective(&status)),
            user_namespace: text("proc/self/uid_map").is_some_and(|map| !is_initial(&map)),
            program: Modprobe::default().programs().any(Path::is_file),
            distribution: text("etc/os-release").and_then(|text| id(&text)).unwrap_or_default(),
        }
    }

    /// Why `feature` could not be had, the likeliest cause first. Never empty.
    #[must_use]
    pub fn causes(&self, feature: &FeatureRef, answer: &Answer, attempts: &[Attempt]) -> Vec<Cause> {
        let refusals = attempts.iter().filter_map(|attempt| match &attempt.outcome {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        });
        let mut refusals = answer.refusal().into_iter().chain(refusals);
        if self.lacks(CAP_NET_ADMIN) && refusals.any(|refusal| matches!(refusal.errno, Errno::EPERM | Errno::EACCES)) {
            return vec![Cause::NoNetAdmin];
        }
        if !self.supported {
            return vec![Cause::NoModuleSupport];
        }
        if self.disabled {
            return vec![Cause::Disabled];
        }
        let mut causes = self.files_causes(feature.telling_module());
        causes.extend(attempts.iter().find_map(rejected));
        causes.extend(self.means_causes(attempts));
        let tried = |loader: &LoaderName| attempts.iter().any(|attempt| attempt.loader == *loader);
        let untried: Vec<LoaderName> =
            self.means(feature, loader::DEFAULT).into_iter().filter(|loader| !tried(loader)).collect();
        if !attempts.is_empty() && !untried.is_empty() {
            causes.push(Cause::NotTried(untried));
        }
        if causes.is_empty() {
            causes.push(Cause::Unclear);
        }
        causes
    }

    /// Those of `loaders` that may bring `feature`, which is not there, as far as can be seen from here.
    #[must_use]
    pub fn means(&self, feature: &FeatureRef, loaders: &[LoaderName]) -> Vec<LoaderName> {
        loaders.iter().copied().filter(|loader| self.may_bring(*loader, feature)).collect()
    }

    fn may_bring(&self, loader: LoaderName, feature: &FeatureRef) -> bool {
        let module = feature.telling_module();
        let obstacles = self.files_causes(module);
        let any = |is: fn(&Cause) -> bool| obstacles.iter().any(is);
        if !self.supported
            || self.disabled
            || any(|cause| matches!(cause, Cause::Upgraded { .. } | Cause::NotShipped { .. }))
        {
            return false;
        }
        // Files that are not here may be where the kernel's own modprobe looks.
        let files = !any(|cause| matches!(cause, Cause::NoFiles { .. }));
        let replaced = any(|cause| matches!(cause, Cause::Replaced { .. }));
        let helper = self.helper.as_ref().is_none_or(|(path, _)| !path.as_os_str().is_empty());
        let may_load = !self.user_namespace && !self.lacks(CAP_SYS_MODULE);
        match loader {
            LoaderName::Netlink => {
                let blacklisted = any(|cause| matches!(cause, Cause::Blacklisted { .. }));
                helper && !replaced && !blacklisted && feature.autoloads() && !self.lacks(CAP_NET_ADMIN)
            }
            // Loading by name does not heed a blacklist.
            LoaderName::Ioctl => helper && !replaced && may_load && Ioctl::fits(module),
            LoaderName::Modprobe => !replaced && may_load && files && self.program,
            LoaderName::Finit => may_load && files,
        }
    }

    /// What is wrong with the module's file, or with what modprobe is told about it.
    fn files_causes(&self, module: &str) -> Vec<Cause> {
        let module = listed_name(module);
        let running = self.release.clone();
        if !self.kernels.contains(&running) {
            let found = self.kernels.clone();
            return vec![if found.is_empty() {
                Cause::NoFiles { running }
            } else {
                Cause::Upgraded { running, found }
            }];
        }
        if self.files.as_ref().is_some_and(|files| !files.contains(&module)) {
            return vec![Cause::NotShipped { running, module, distribution: self.distribution.clone() }];
        }
        let blocks = self.blocks.iter().filter(|block| block.module == module).cloned();
        blocks
            .map(
                |Block { file, line, replaces, .. }| {
                    if replaces { Cause::Replaced { file, line } } else { Cause::Blacklisted { file, line } }
                },
            )
            .collect()
    }

    /// What is wrong with our means of loading.
    fn means_causes(&self, attempts: &[Attempt]) -> Vec<Cause> {
        let mut causes = Vec::new();
        if self.user_namespace {
            causes.push(Cause::UserNamespace);
        } else if self.lacks(CAP_SYS_MODULE) {
            causes.push(Cause::NoSysModule);
        }
        match &self.helper {
            Some((path, _)) if path.as_os_str().is_empty() => causes.push(Cause::NoHelper),
            Some((path, false)) => causes.push(Cause::HelperMissing(path.clone())),
            _ => {}
        }
        if attempts.iter().any(|attempt| attempt.outcome == Outcome::NoProgram) {
            causes.push(Cause::NoProgram);
        }
        causes
    }

    fn lacks(&self, capability: u32) -> bool {
        self.capabilities.is_some_and(|held| held & (1 << capability) == 0)
    }
}

/// A loader's words that speak of the file itself.
fn rejected(attempt: &Attempt) -> Option<Cause> {
    match &attempt.outcome {
        Outcome::Refused(refusal) if matches!(refusal.errno, Errno::ENOEXEC | Errno::EKEYREJECTED) => {
            Some(Cause::Rejected(refusal.to_string()))
        }
        Outcome::Failed { output, .. }
            if ["Exec format error", "Invalid module format", "Key was rejected", "Unknown symbol"]
                .iter()
                .any(|words| output.contains(words)) =>
        {
            Some(Cause::Rejected(output.clone()))
        }
        _ => None,
    }
}

fn folders(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn blocks(root: &Path) -> Vec<Block> {
    let folders = CONFIGURATION.iter().map(|folder| root.join(folder));
    let files = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok));
    let mut found: Vec<Block> = files
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .flat_map(|path| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.lines().filter_map(|line| block(&path, line)).collect::<Vec<_>>()
        })
        .collect();
    let cmdline = root.join("proc/cmdline");
    let text = fs::read_to_string(&cmdline).unwrap_or_default();
    found.extend(text.split_ascii_whitespace().flat_map(|parameter| parameter_blocks(&cmdline, parameter)));
    found
}

/// `blacklist NAME` or `install NAME COMMAND...`.
fn block(file: &Path, line: &str) -> Option<Block> {
    let mut words = line.split_ascii_whitespace();
    let replaces = match words.next()? {
        "blacklist" => false,
        "install" => true,
        _ => return None,
    };
    let module = listed_name(words.next()?);
    Some(Block { module, file: file.to_owned(), line: line.trim().to_owned(), replaces })
}

/// `module_blacklist=A,B` (the kernel's own) or `modprobe.blacklist=A,B`.
fn parameter_blocks(file: &Path, parameter: &str) -> Vec<Block> {
    let Some((name, modules)) = parameter.split_once('=') else { return Vec::new() };
    if !matches!(name, "module_blacklist" | "modprobe.blacklist") {
        return Vec::new();
    }
    let block = |module: &str| Block {
        module: listed_name(module),
        file: file.to_owned(),
        line: parameter.to_owned(),
        replaces: name == "module_blacklist",
    };
    modules.split(',').map(block).collect()
}

/// `CapEff` of /proc/self/status, hexadecimal.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether a uid_map is that of the first user namespace: everything, unchanged.
fn is_initial(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// `ID` of os-release.
fn id(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("ID="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests;
