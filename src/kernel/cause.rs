//! Why a feature could not be had, in plain words, and what to do about it.

mod surroundings;

use std::{fmt, path::PathBuf};

use super::{
    feature::{Feature, FeatureRef},
    loader,
};
use crate::config::LoaderName;
pub use surroundings::Surroundings;

/// Why loading did not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// This process may not even ask: it lacks CAP_NET_ADMIN.
    NoNetAdmin,
    /// The kernel was built without support for modules, and without this feature.
    NoModuleSupport,
    /// `kernel.modules_disabled` is 1.
    Disabled,
    /// /lib/modules has folders for other kernels only.
    Upgraded {
        /// The running kernel.
        running: String,
        /// The kernels whose modules are there.
        found: Vec<String>,
    },
    /// /lib/modules has nothing for any kernel, as in most containers.
    NoFiles {
        /// The running kernel.
        running: String,
    },
    /// The modules of the running kernel are there, but not this one.
    NotShipped {
        /// The running kernel.
        running: String,
        /// The module.
        module: String,
        /// The kernel's distribution, `ID` of os-release; empty when unknown.
        distribution: String,
    },
    /// A line of modprobe.d puts something else in place of loading the module.
    Replaced {
        /// The file.
        file: PathBuf,
        /// The line.
        line: String,
    },
    /// A line of modprobe.d, or the kernel's command line, says not to load the module.
    Blacklisted {
        /// The file.
        file: PathBuf,
        /// The line or the parameter.
        line: String,
    },
    /// This process lacks CAP_SYS_MODULE.
    NoSysModule,
    /// This process is in a user namespace, where nobody may load modules.
    UserNamespace,
    /// `kernel.modprobe` is empty: the kernel itself must not load anything.
    NoHelper,
    /// The program of `kernel.modprobe` is not there.
    HelperMissing(PathBuf),
    /// Neither is there a `modprobe` where we run.
    NoProgram,
    /// The file of the module does not fit the running kernel, or its signature is not accepted.
    Rejected(String),
    /// The configuration leaves out loaders that may bring it.
    NotTried(Vec<LoaderName>),
    /// Nothing that we looked at tells.
    Unclear,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetAdmin => f.write_str("this process has no CAP_NET_ADMIN, so the kernel does not answer it"),
            Self::NoModuleSupport => {
                f.write_str("this kernel has no support for modules, and the feature is not built in")
            }
            Self::Disabled => f.write_str("kernel.modules_disabled is 1: nothing can be loaded until the next boot"),
            Self::Upgraded { running, found } => write!(
                f,
                "/lib/modules/{running} is gone: the kernel was upgraded to {} without a reboot",
                found.join(", ")
            ),
            Self::NoFiles { running } => {
                write!(f, "there is no /lib/modules/{running} here, so there are no modules to load")
            }
            Self::NotShipped { running, module, .. } => {
                write!(f, "the kernel {running} came without the module {module}")
            }
            Self::Replaced { file, line } => write!(f, "{} says `{line}`", file.display()),
            Self::Blacklisted { file, line } => write!(f, "it is blacklisted: {} says `{line}`", file.display()),
            Self::NoSysModule => f.write_str("this process has no CAP_SYS_MODULE"),
            Self::UserNamespace => {
                f.write_str("this process is in a user namespace, where modules cannot be loaded by name")
            }
            Self::NoHelper => f.write_str("kernel.modprobe is empty, so the kernel loads nothing by itself"),
            Self::HelperMissing(path) => {
                write!(f, "the program that the kernel runs to load modules, {}, is not here", path.display())
            }
            Self::NoProgram => f.write_str("there is no modprobe program here"),
            Self::Rejected(words) => write!(f, "the module does not fit the running kernel: {words}"),
            Self::NotTried(loaders) => write!(f, "the loaders of the configuration leave out {}", names(loaders)),
            Self::Unclear => f.write_str("no loader brought it, and nothing here tells why"),
        }
    }
}

impl Cause {
    /// What a person can do about it.
    #[must_use]
    pub fn next_step(&self, feature: &FeatureRef) -> String {
        let module = feature.telling_module();
        match self {
            Self::NoNetAdmin => "run it as root, or give it CAP_NET_ADMIN".to_owned(),
            Self::NoModuleSupport => format!("boot a kernel with {}", option(feature)),
            Self::Disabled => format!(
                "reboot, and load it before modules are locked: echo {module} > /etc/modules-load.d/groundwork.conf"
            ),
            Self::Upgraded { .. } => "reboot into the new kernel".to_owned(),
            Self::NoFiles { running } => format!(
                "on the host, run: modprobe {module}; if that fails there too, install the modules of {running}"
            ),
            Self::NotShipped { running, distribution, .. } => package(distribution, running, feature),
            Self::Replaced { file, .. } => {
                format!("take the line out of {} if it is not meant, then: modprobe {module}", file.display())
            }
            Self::Blacklisted { .. } => format!("load it by name if that is fine on this host: modprobe {module}"),
            Self::NoSysModule | Self::UserNamespace | Self::NoHelper | Self::HelperMissing(_) | Self::NoProgram => {
                format!("on the host, as root, run: modprobe {module}")
            }
            Self::Rejected(_) => "reboot if the kernel was upgraded; else see the last lines of dmesg".to_owned(),
            Self::NotTried(loaders) => format!("add to the loaders of the configuration: {}", names(loaders)),
            Self::Unclear => {
                format!("on the host, as root, run: modprobe -v {module}; then see the last lines of dmesg")
            }
        }
    }
}

fn names(loaders: &[LoaderName]) -> String {
    loaders.iter().map(|loader| loader::name(*loader)).collect::<Vec<_>>().join(", ")
}

fn option(feature: &FeatureRef) -> String {
    match feature {
        FeatureRef::Known(Feature { kconfig, .. }) => format!("CONFIG_{kconfig}"),
        FeatureRef::Module(module) => format!("the module {module}"),
    }
}

/// What brings a module that the running kernel's package lacks.
fn package(distribution: &str, running: &str, feature: &FeatureRef) -> String {
    let option = option(feature);
    match distribution {
        "ubuntu" => format!("apt install linux-modules-extra-{running}"),
        "debian" if running.contains("cloud") => {
            format!("install a kernel that is not cut down for clouds (apt install linux-image-{}) and reboot", arch())
        }
        "debian" => format!("apt install --reinstall linux-image-{running}; else boot a kernel with {option}"),
        "fedora" | "rhel" | "centos" | "rocky" | "almalinux" => format!("dnf install kernel-modules-extra-{running}"),
        _ => format!("install the package with the rest of the modules of {running}, or boot a kernel with {option}"),
    }
}

/// The architecture as Debian names it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
