//! Which kind of link connects a container: see the head of the room.

use super::{BridgeConfig, ConfigError, HostDeviceConfig, PtpConfig, SingleConfig, bridge::OWN_KEYS};
use crate::cni::json::{FieldError, Object, is_blank};

/// How a container is connected, by the reference plugin that does the same.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkConfig {
    /// A veth pair whose host's end is a port of a bridge.
    Bridge(BridgeConfig),
    /// A veth pair without a bridge.
    Ptp(PtpConfig),
    /// A link without an end on the host: macvlan, ipvlan, vlan, dummy.
    Single(SingleConfig),
    /// A link of the host, which becomes the container's.
    HostDevice(HostDeviceConfig),
}

/// A kind of link: the reference plugin's type, and a value of the key `link`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bridge,
    Ptp,
    Macvlan,
    Ipvlan,
    Vlan,
    Dummy,
    HostDevice,
    Loopback,
}

/// Keys that a bridge does not have, and that do not tell which kind is meant.
const OTHERS_KEYS: &[&str] = &["master", "vlanId", "device", "hwaddr", "kernelpath", "pciBusID"];

impl Kind {
    const ALL: [(&'static str, Self); 8] = [
        ("bridge", Self::Bridge),
        ("ptp", Self::Ptp),
        ("macvlan", Self::Macvlan),
        ("ipvlan", Self::Ipvlan),
        ("vlan", Self::Vlan),
        ("dummy", Self::Dummy),
        ("host-device", Self::HostDevice),
        ("loopback", Self::Loopback),
    ];

    /// The names of all kinds.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().map(|(name, _)| name)
    }

    fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == text).map(|(_, kind)| kind)
    }

    /// None when the configuration asks for no link.
    pub(super) fn read(root: &Object<'_>) -> Result<Option<Self>, FieldError> {
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        let asked = root.parsed("link", names(), Self::named)?;
        match root.string("type")?.and_then(Self::named) {
            Some(kind) if asked.is_some_and(|asked| asked != kind) => {
                Err(root.fault("link", "what `type` says already, or no such key"))
            }
            Some(kind) => Ok(Some(kind)),
            None if asked.is_some() => Ok(asked),
            None if OTHERS_KEYS.iter().any(|key| root.value(key).is_some_and(|value| !is_blank(value))) => {
                Err(root.missing("link", "the kind of link to which the other keys belong"))
            }
            None => Ok(has_bridge_key(root)?.then_some(Self::Bridge)),
        }
    }
}

fn has_bridge_key(root: &Object<'_>) -> Result<bool, FieldError> {
    let has_ipam = root.object("ipam")?.is_some_and(|ipam| !ipam.is_blank());
    Ok(has_ipam || OWN_KEYS.iter().filter(|key| !["ipam", "link"].contains(key)).any(|key| root.value(key).is_some()))
}

impl LinkConfig {
    /// None when no link is to be made.
    pub(super) fn read(
        root: &Object<'_>,
        kind: Option<Kind>,
        runtime: Option<&Object<'_>>,
    ) -> Result<Option<Self>, ConfigError> {
        Ok(Some(match kind {
            Some(Kind::Bridge) => Self::Bridge(BridgeConfig::read(root)?),
            Some(Kind::Ptp) => Self::Ptp(PtpConfig::read(root)?),
            Some(Kind::Macvlan) => Self::Single(SingleConfig::macvlan(root)?),
            Some(Kind::Ipvlan) => Self::Single(SingleConfig::ipvlan(root)?),
            Some(Kind::Vlan) => Self::Single(SingleConfig::vlan(root)?),
            Some(Kind::Dummy) => Self::Single(SingleConfig::dummy(root)?),
            Some(Kind::HostDevice) => Self::HostDevice(HostDeviceConfig::read(root, runtime)?),
            Some(Kind::Loopback) | None => return Ok(None),
        }))
    }

    /// In bytes; the kernel's when None.
    #[must_use]
    pub const fn mtu(&self) -> Option<u32> {
        match self {
            Self::Bridge(bridge) => bridge.mtu,
            Self::Ptp(ptp) => ptp.mtu,
            Self::Single(single) => single.mtu,
            Self::HostDevice(_) => None,
        }
    }

    /// Whether what the container sends beyond its network is masqueraded.
    #[must_use]
    pub const fn ip_masq(&self) -> bool {
        match self {
            Self::Bridge(bridge) => bridge.ip_masq,
            Self::Ptp(ptp) => ptp.ip_masq,
            Self::Single(_) | Self::HostDevice(_) => false,
        }
    }

    /// Whether the host is the gateway, and forwards.
    #[must_use]
    pub const fn is_gateway(&self) -> bool {
        match self {
            Self::Bridge(bridge) => bridge.is_gateway,
            Self::Ptp(_) => true,
            Self::Single(_) | Self::HostDevice(_) => false,
        }
    }

    /// Whether it is a veth pair, whose one end stays on the host.
    #[must_use]
    pub const fn has_host_end(&self) -> bool {
        matches!(self, Self::Bridge(_) | Self::Ptp(_))
    }

    /// Whether it can be given its hardware address when it is made.
    #[must_use]
    pub const fn is_born_with_mac(&self) -> bool {
        match self {
            Self::Bridge(_) | Self::Ptp(_) => true,
            Self::Single(single) => single.takes_mac(),
            Self::HostDevice(_) => false,
        }
    }

    /// Whether the container's interface is left down.
    #[must_use]
    pub const fn stays_down(&self) -> bool {
        matches!(self, Self::Bridge(bridge) if bridge.disable_container_interface)
    }
}
