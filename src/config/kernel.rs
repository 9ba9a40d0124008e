//! Keys `modules`, `loaders`, `logFile` and `logLevel`.

use std::path::PathBuf;

use super::keys::absolute_path;
use crate::{
    cni::json::{FieldError, Item, Object},
    kernel::feature::FeatureRef,
};

/// Keys `modules` and `loaders`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelConfig {
    /// `modules`: features or plain module names, on top of what the configuration needs. None when absent.
    pub modules: Option<Vec<FeatureRef>>,
    /// `loaders`: which means are tried, in this order; an empty list loads nothing. None when absent.
    pub loaders: Option<Vec<LoaderName>>,
}

/// A means of loading a module, by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoaderName {
    /// The netlink request that makes the kernel load by itself.
    Netlink,
    /// `ioctl(SIOCGIFINDEX)` with the module's name.
    Ioctl,
    /// The `modprobe` program.
    Modprobe,
    /// `finit_module(2)`: bypasses modprobe.d, so it is never a default.
    Finit,
}

impl LoaderName {
    /// As the configuration writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::Ioctl => "ioctl",
            Self::Modprobe => "modprobe",
            Self::Finit => "finit",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Netlink, Self::Ioctl, Self::Modprobe, Self::Finit].into_iter().find(|name| name.as_str() == text)
    }
}

/// Keys `logFile` and `logLevel`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `logFile`: an absolute path, appended to.
    pub file: Option<PathBuf>,
    /// `logLevel`: error, warn, info, debug or trace, in any letter case.
    pub level: Option<LogLevel>,
}

/// `logLevel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The level called `text`, in any letter case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "error" => Some(Self::Error),
            "warn" => Some(Self::Warn),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            "trace" => Some(Self::Trace),
            _ => None,
        }
    }
}

impl KernelConfig {
    pub(super) fn read(root: &Object<'_>) -> Result<Self, FieldError> {
        Ok(Self { modules: modules(root)?, loaders: loaders(root)? })
    }
}

fn modules(root: &Object<'_>) -> Result<Option<Vec<FeatureRef>>, FieldError> {
    if root.value("modules").is_none() {
        return Ok(None);
    }
    let read = |item: &Item<'_>| {
        FeatureRef::new(item.string()?)
            .map_err(|error| item.fault(format!("a kernel feature or a module's plain name, but {}", error.reason)))
    };
    root.list("modules")?.iter().map(read).collect::<Result<_, _>>().map(Some)
}

fn loaders(root: &Object<'_>) -> Result<Option<Vec<LoaderName>>, FieldError> {
    if root.value("loaders").is_none() {
        return Ok(None);
    }
    let mut loaders = Vec::new();
    for item in root.list("loaders")? {
        let loader = LoaderName::parse(item.string()?)
            .filter(|loader| !loaders.contains(loader))
            .ok_or_else(|| item.fault("netlink, ioctl, modprobe or finit, each once"))?;
        loaders.push(loader);
    }
    Ok(Some(loaders))
}

impl LogConfig {
    pub(super) fn read(root: &Object<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            file: absolute_path(root, "logFile")?,
            level: root.parsed("logLevel", "error, warn, info, debug or trace", LogLevel::parse)?,
        })
    }
}
