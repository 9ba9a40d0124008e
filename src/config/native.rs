//! A network that groundwork builds itself: the container's link, its addresses, and what is done with them.

use super::{
    ConfigError, FirewallConfig, HostPortsConfig, IpamConfig, LinkConfig,
    bridge::{MTU_IPV6, read_dns},
    firewall, host_ports,
    ipam::Requests,
    link::Kind,
};
use crate::cni::{
    json::{Object, UnknownKey},
    result::Dns,
};

/// A native network, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NativeConfig {
    /// The container's link; None when an earlier plugin of the chain made it.
    pub link: Option<LinkConfig>,
    /// `ipam`; none is a network without addresses (L2 only).
    pub ipam: Option<IpamConfig>,
    /// `dns`, which replaces the IPAM's when any field is set.
    pub dns: Dns,
    /// Ports of the host that lead to the container, when such are asked for.
    pub host_ports: Option<HostPortsConfig>,
    /// What may reach the container, when that is asked for.
    pub firewall: Option<FirewallConfig>,
}

impl NativeConfig {
    /// None when the configuration asks for nothing that is built here.
    pub(super) fn read(
        root: &Object<'_>,
        kind: Option<Kind>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Option<Self>, ConfigError> {
        let host_ports = HostPortsConfig::read(root, requests.keys, unknown)?;
        let firewall = FirewallConfig::read(root)?;
        let Some(link) = LinkConfig::read(root, kind)? else {
            let later = Self { link: None, ipam: None, dns: Dns::default(), host_ports, firewall };
            return Ok(later.has_work().then_some(later));
        };
        let config = Self {
            link: Some(link),
            ipam: IpamConfig::read(root, requests, unknown)?,
            dns: read_dns(root, unknown)?,
            host_ports,
            firewall,
        };
        let mtu = config.link.as_ref().and_then(LinkConfig::mtu);
        if mtu.is_some_and(|mtu| mtu < MTU_IPV6) && config.ipam.as_ref().is_some_and(IpamConfig::has_ipv6) {
            return Err(root.fault("mtu", "at least 1280, which IPv6 needs").into());
        }
        if config.ipam.is_some() && config.link.as_ref().is_some_and(LinkConfig::stays_down) {
            let why = "an interface that is left down cannot use addresses";
            return Err(ConfigError::Conflict { first: "disableContainerInterface", second: "ipam", why });
        }
        Ok(Some(config))
    }
}

/// Whether the configuration of such a plugin is for what works on a link that an earlier one of the chain made.
pub(super) fn is_later_plugin(plugin_type: &str) -> bool {
    [host_ports::PLUGIN, firewall::PLUGIN].contains(&plugin_type)
}

impl NativeConfig {
    /// Whether there is anything to do on a link that an earlier plugin of the chain made.
    const fn has_work(&self) -> bool {
        self.host_ports.is_some() || self.firewall.is_some()
    }

    /// Whether what the container sends beyond its network is masqueraded.
    #[must_use]
    pub fn ip_masq(&self) -> bool {
        self.link.as_ref().is_some_and(LinkConfig::ip_masq)
    }
}
