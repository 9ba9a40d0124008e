//! A link of the host that becomes the container's: the keys of the reference plugin `host-device`.

use std::path::{Component, Path, PathBuf};

use super::{ConfigError, runtime::MAC};
use crate::cni::{
    json::{FieldError, Object},
    mac::Mac,
    name,
};

/// How the link is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostDeviceConfig {
    /// `device`: its name.
    Name(String),
    /// `hwaddr`: its hardware address.
    Mac(Mac),
    /// `kernelpath`, `pciBusID` or `runtimeConfig.deviceID`: any of these folders of sysfs is its device's.
    Folder(Vec<PathBuf>),
}

impl HostDeviceConfig {
    /// The first that is given, in the reference plugin's order.
    pub(super) fn read(root: &Object<'_>, runtime: Option<&Object<'_>>) -> Result<Self, ConfigError> {
        let named = |text: &str| name::is_interface(text).then(|| text.to_owned());
        if let Some(name) = root.parsed("device", name::INTERFACE, named)? {
            return Ok(Self::Name(name));
        }
        if let Some(mac) = root.parsed("hwaddr", MAC, |text| text.parse().ok())? {
            return Ok(Self::Mac(mac));
        }
        if let Some(path) = root.parsed("kernelpath", "a folder below /sys/devices/", kernel_path)? {
            return Ok(Self::Folder(vec![path]));
        }
        let id = runtime.map_or(Ok(None), |runtime| bus_id(runtime, "deviceID"))?;
        if let Some(id) = id {
            return Ok(Self::Folder(["pci", "auxiliary"].map(|bus| on_bus(bus, &id)).into()));
        }
        match bus_id(root, "pciBusID")? {
            Some(id) => Ok(Self::Folder(vec![on_bus("pci", &id)])),
            None => Err(root.missing("device", "the link's name, or `hwaddr`, `kernelpath` or `pciBusID`").into()),
        }
    }
}

fn kernel_path(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    (plain && path.starts_with("/sys/devices")).then(|| path.to_owned())
}

fn bus_id(object: &Object<'_>, key: &'static str) -> Result<Option<String>, FieldError> {
    object.parsed(key, "a device's name on its bus, such as 0000:00:1f.6", |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.-_".contains(&byte));
        (plain && !text.starts_with('.')).then(|| text.to_owned())
    })
}

fn on_bus(bus: &str, id: &str) -> PathBuf {
    PathBuf::from(format!("/sys/bus/{bus}/devices/{id}"))
}
