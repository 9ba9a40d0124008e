//! JSON to results, every version.

use serde_json::Value;

use super::{CniResult, Dns, Interface, IpConfig, ResultError, Route};
use crate::cni::{
    Version,
    json::{FieldError, Object, shortened},
};

impl CniResult {
    /// Reads a result: a `prevResult`, or what a delegate or an IPAM plugin answered. One without `cniVersion` is of
    /// `version`, that of the configuration it belongs to.
    pub fn from_json(value: &Value, version: Version) -> Result<Self, ResultError> {
        let map = value.as_object().ok_or_else(|| ResultError::NotAnObject(shortened(value)))?;
        Self::read(&Object::root(map), version)
    }

    /// Reads what a plugin wrote on its stdout; see [`CniResult::from_json`].
    pub fn from_output(stdout: &[u8], version: Version) -> Result<Self, ResultError> {
        let value = serde_json::from_slice(stdout).map_err(|error| ResultError::NotAnObject(error.to_string()))?;
        Self::from_json(&value, version)
    }

    /// Reads a result in a place of its own; see [`CniResult::from_json`].
    pub(crate) fn read(object: &Object<'_>, version: Version) -> Result<Self, ResultError> {
        let version = object.string("cniVersion")?.map_or(Ok(version), str::parse)?;
        Ok(if version < Version::V0_3_0 { Self::read_old(object)? } else { Self::read_new(object)? })
    }

    fn read_new(root: &Object<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            interfaces: root.objects("interfaces")?.iter().map(Interface::read).collect::<Result<_, _>>()?,
            ips: root.objects("ips")?.iter().map(IpConfig::read).collect::<Result<_, _>>()?,
            routes: Route::read_list(root)?,
            dns: Dns::read(root)?,
        })
    }

    /// 0.1.0 and 0.2.0: one address per family, each with its routes.
    fn read_old(root: &Object<'_>) -> Result<Self, FieldError> {
        let mut result = Self { dns: Dns::read(root)?, ..Self::default() };
        for key in ["ip4", "ip6"] {
            let Some(family) = root.object(key)? else { continue };
            let address = family.cidr("ip")?;
            let address = family.require("ip", address, "an address with its prefix length")?;
            result.ips.push(IpConfig { address, gateway: family.ip("gateway")?, interface: None });
            result.routes.extend(Route::read_list(&family)?);
        }
        Ok(result)
    }
}

impl Interface {
    fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let text = |key| object.string(key).map(|text| text.unwrap_or_default().to_owned());
        Ok(Self {
            name: text("name")?,
            mac: text("mac")?,
            mtu: object.u32("mtu")?.filter(|mtu| *mtu != 0),
            sandbox: text("sandbox")?,
            socket_path: text("socketPath")?,
            pci_id: text("pciID")?,
        })
    }
}

impl IpConfig {
    fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let address = object.cidr("address")?;
        let interface = object.u32("interface")?.and_then(|index| usize::try_from(index).ok());
        Ok(Self {
            address: object.require("address", address, "an address with its prefix length")?,
            gateway: object.ip("gateway")?,
            interface,
        })
    }
}

impl Route {
    /// The list `routes` of `parent`.
    pub(crate) fn read_list(parent: &Object<'_>) -> Result<Vec<Self>, FieldError> {
        parent.objects("routes")?.iter().map(Self::read).collect()
    }

    /// One route.
    pub(crate) fn read(object: &Object<'_>) -> Result<Self, FieldError> {
        let dst = object.cidr("dst")?;
        // As in the reference, 0 is the same as absent, except where 0 has a meaning of its own.
        let positive = |key| object.u32(key).map(|number| number.filter(|number| *number != 0));
        let scope = object.number("scope", 0..=255, "a number from 0 to 255")?;
        Ok(Self {
            dst: object.require("dst", dst, "a destination with its prefix length, such as 0.0.0.0/0")?,
            gw: object.ip("gw")?,
            mtu: positive("mtu")?,
            advmss: positive("advmss")?,
            priority: positive("priority")?,
            table: object.u32("table")?,
            scope: scope.and_then(|scope| u8::try_from(scope).ok()),
        })
    }
}

impl Dns {
    /// The object `dns` of `parent`, empty when absent.
    pub(crate) fn read(parent: &Object<'_>) -> Result<Self, FieldError> {
        parent.object("dns")?.map_or_else(|| Ok(Self::default()), |object| Self::read_fields(&object))
    }

    /// Its fields.
    pub(crate) fn read_fields(object: &Object<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            nameservers: object.strings("nameservers")?,
            domain: object.string("domain")?.unwrap_or_default().to_owned(),
            search: object.strings("search")?,
            options: object.strings("options")?,
        })
    }
}
