//! The native bridge network: the reference plugin's keys with its meanings.

use super::{ConfigError, Vlans};
use crate::cni::{
    json::{FieldError, Object, UnknownKey},
    name,
    result::Dns,
};

/// The bridge's name when `bridge` does not say otherwise.
pub const DEFAULT_BRIDGE: &str = "cni0";

/// Keys that only a native network has: one of them without `delegate` makes groundwork build it.
pub const OWN_KEYS: &[&str] = &[
    "link",
    "bridge",
    "ipam",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "ipMasq",
    "hairpinMode",
    "promiscMode",
    "enabledad",
    "vlan",
    "vlanTrunk",
    "macspoofchk",
    "ipspoofchk",
    "portIsolation",
    "disableContainerInterface",
    "overlay",
];

/// The smallest MTU that the kernel takes for IPv4, and the greatest for a bridge.
const MTU: std::ops::RangeInclusive<u64> = 68..=65535;

/// The smallest MTU of IPv6: below it the kernel takes IPv6 off an interface.
pub(super) const MTU_IPV6: u32 = 1280;

/// A native bridge network, checked.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::struct_excessive_bools)]
pub struct BridgeConfig {
    /// `bridge`, at most 15 bytes.
    pub bridge: String,
    /// `isGateway`, true also with `isDefaultGateway`.
    pub is_gateway: bool,
    /// `isDefaultGateway`.
    pub is_default_gateway: bool,
    /// `forceAddress`.
    pub force_address: bool,
    /// `ipMasq`.
    pub ip_masq: bool,
    /// `mtu` in bytes; the kernel's when none (0 counts as none).
    pub mtu: Option<u32>,
    /// `hairpinMode`; excludes `promiscMode`.
    pub hairpin_mode: bool,
    /// `promiscMode`.
    pub promisc_mode: bool,
    /// `enabledad`: IPv6 duplicate address detection in the container.
    pub enable_dad: bool,
    /// `vlan`, `vlanTrunk`, `preserveDefaultVlan`.
    pub vlans: Vlans,
    /// `macspoofchk`: the container sends from its own hardware address only.
    pub mac_spoof_check: bool,
    /// `ipspoofchk` (ours): the container sends from its own IP addresses only.
    pub ip_spoof_check: bool,
    /// `portIsolation`: no frames to other isolated ports of the bridge.
    pub port_isolation: bool,
    /// `disableContainerInterface`: the container's interface is left down; excludes `ipam`.
    pub disable_container_interface: bool,
}

impl BridgeConfig {
    pub(super) fn read(root: &Object<'_>) -> Result<Self, ConfigError> {
        let is_default_gateway = root.flag("isDefaultGateway")?;
        let config = Self {
            bridge: bridge_name(root)?,
            is_gateway: root.flag("isGateway")? || is_default_gateway,
            is_default_gateway,
            force_address: root.flag("forceAddress")?,
            ip_masq: root.flag("ipMasq")?,
            mtu: mtu(root)?,
            hairpin_mode: root.flag("hairpinMode")?,
            promisc_mode: root.flag("promiscMode")?,
            enable_dad: root.flag("enabledad")?,
            vlans: Vlans::read(root)?,
            mac_spoof_check: root.flag("macspoofchk")?,
            ip_spoof_check: root.flag("ipspoofchk")?,
            port_isolation: root.flag("portIsolation")?,
            disable_container_interface: root.flag("disableContainerInterface")?,
        };
        if config.hairpin_mode && config.promisc_mode {
            let why = "in promiscuous mode the bridge itself sends a port's frames back";
            return Err(ConfigError::Conflict { first: "hairpinMode", second: "promiscMode", why });
        }
        if config.is_gateway && !name::is_interface(&config.gateway_link()) {
            let expected = format!("a shorter name, as with `vlan` the gateway is the link {}", config.gateway_link());
            return Err(root.fault("bridge", expected).into());
        }
        Ok(config)
    }

    /// The link of the host that has the gateways' addresses: the bridge, or with `vlan` one of its own in that VLAN.
    #[must_use]
    pub fn gateway_link(&self) -> String {
        match self.vlans.untagged {
            Some(vlan) => format!("{}.{vlan}", self.bridge),
            None => self.bridge.clone(),
        }
    }
}

fn bridge_name(root: &Object<'_>) -> Result<String, FieldError> {
    let bridge = root.parsed("bridge", name::INTERFACE, |text| name::is_interface(text).then(|| text.to_owned()))?;
    Ok(bridge.unwrap_or_else(|| DEFAULT_BRIDGE.to_owned()))
}

pub(super) fn mtu(root: &Object<'_>) -> Result<Option<u32>, FieldError> {
    if root.u32("mtu")? == Some(0) {
        return Ok(None);
    }
    let mtu = root.number("mtu", MTU, "0 (the kernel's choice) or 68 to 65535 bytes")?;
    Ok(mtu.and_then(|mtu| u32::try_from(mtu).ok()))
}

/// `dns` of `parent`; None when no field of it is set.
pub(super) fn read_dns(parent: &Object<'_>, unknown: &mut Vec<UnknownKey>) -> Result<Option<Dns>, FieldError> {
    let Some(object) = parent.object("dns")? else { return Ok(None) };
    let dns = Dns::read_fields(&object)?;
    for item in object.list("nameservers")? {
        // A link-local server has a zone behind its address, as in resolv.conf.
        let address = item.string()?.split('%').next().unwrap_or_default();
        if address.parse::<std::net::IpAddr>().is_err() {
            return Err(item.fault("the IP address of a name server"));
        }
    }
    unknown.extend(object.unread(&[]));
    let has_list = ["nameservers", "search", "options"].iter().any(|key| object.value(key).is_some());
    Ok(Some(dns).filter(|dns| has_list || !dns.is_empty()))
}
