//! Keys `runtimeConfig` and `args.cni`: what a runtime asks for one attachment.

use crate::cni::{
    json::{FieldError, Object},
    mac::Mac,
};

/// What a hardware address must be.
pub(super) const MAC: &str = "the hardware address of one interface, such as 02:42:ac:11:00:02";

/// `runtimeConfig`. (`ipRanges` is read with the ranges of `ipam`.)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// `mac`.
    pub mac: Option<Mac>,
    /// `ips`.
    pub ips: Vec<String>,
}

/// `args.cni`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArgsConfig {
    /// `mac`.
    pub mac: Option<Mac>,
    /// `ips`.
    pub ips: Vec<String>,
}

/// `capabilities`: what a runtime may ask for, which it does in an ADD only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `portMappings`.
    pub port_mappings: bool,
    /// `bandwidth`.
    pub bandwidth: bool,
}

impl Capabilities {
    pub(super) fn read(root: &Object<'_>) -> Result<Self, FieldError> {
        let Some(object) = root.object("capabilities")? else { return Ok(Self::default()) };
        Ok(Self { port_mappings: object.flag("portMappings")?, bandwidth: object.flag("bandwidth")? })
    }
}

/// The objects that hold what a runtime asks for; absent ones are none.
pub(super) struct RuntimeKeys<'a> {
    pub(super) runtime: Option<Object<'a>>,
    pub(super) args: Option<Object<'a>>,
}

impl<'a> RuntimeKeys<'a> {
    pub(super) fn open(root: &Object<'a>) -> Result<Self, FieldError> {
        let args = root.object("args")?.map(|args| args.object("cni")).transpose()?.flatten();
        Ok(Self { runtime: root.object("runtimeConfig")?, args })
    }
}

impl RuntimeConfig {
    pub(super) fn read(keys: &RuntimeKeys<'_>) -> Result<Self, FieldError> {
        let (mac, ips) = read(keys.runtime.as_ref())?;
        Ok(Self { mac, ips })
    }
}

impl ArgsConfig {
    pub(super) fn read(keys: &RuntimeKeys<'_>) -> Result<Self, FieldError> {
        let (mac, ips) = read(keys.args.as_ref())?;
        Ok(Self { mac, ips })
    }
}

fn read(object: Option<&Object<'_>>) -> Result<(Option<Mac>, Vec<String>), FieldError> {
    let Some(object) = object else { return Ok((None, Vec::new())) };
    Ok((object.parsed("mac", MAC, |text| text.parse().ok())?, object.strings("ips")?))
}
