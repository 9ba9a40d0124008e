//! A network that groundwork builds itself: the container's link, its addresses, and what is done with them.

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::{
    BandwidthConfig, ConfigError, FirewallConfig, HostPortsConfig, IpamConfig, LinkConfig, OverlayConfig,
    SourceRoutingConfig, TuningConfig, VrfConfig, bandwidth,
    bridge::{MTU_IPV6, read_dns},
    firewall, host_ports,
    ipam::{PROGRAMS, Requests},
    link::Kind,
    source_routing, tuning, vrf,
};
use crate::cni::{
    json::{Object, UnknownKey},
    mac::Mac,
    result::Dns,
};

/// A native network, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct NativeConfig {
    /// The container's link; None when an earlier plugin of the chain made it.
    pub link: Option<LinkConfig>,
    /// `ipam`; none is a network without addresses (L2 only).
    pub ipam: Option<IpamConfig>,
    /// `dns`, which replaces the IPAM's when any field is set, be it to an empty list.
    pub dns: Option<Dns>,
    /// Ports of the host that lead to the container, when such are asked for.
    pub host_ports: Option<HostPortsConfig>,
    /// What may reach the container, when that is asked for.
    pub firewall: Option<FirewallConfig>,
    /// What is tuned in the container, when that is asked for.
    pub tuning: Option<TuningConfig>,
    /// Routing by source address, when that is asked for.
    pub source_routing: Option<SourceRoutingConfig>,
    /// Limits on bandwidth, when such are asked for.
    pub bandwidth: Option<BandwidthConfig>,
    /// A routing table of the container's own, when that is asked for.
    pub vrf: Option<VrfConfig>,
    /// The network reaches over several hosts, when that is asked for.
    pub overlay: Option<OverlayConfig>,
}

impl NativeConfig {
    /// Addresses for another plugin, and nothing else.
    pub(super) fn of_ipam(
        plugin: &str,
        root: &Object<'_>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            link: None,
            ipam: Some(IpamConfig::read_for_another(plugin, root, requests, unknown)?),
            dns: None,
            host_ports: None,
            firewall: None,
            tuning: None,
            source_routing: None,
            bandwidth: None,
            vrf: None,
            overlay: None,
        })
    }

    /// None when the configuration asks for nothing that is built here.
    pub(super) fn read(
        root: &Object<'_>,
        kind: Option<Kind>,
        requests: &Requests<'_>,
        unknown: &mut Vec<UnknownKey>,
    ) -> Result<Option<Self>, ConfigError> {
        let host_ports = HostPortsConfig::read(root, requests.keys, unknown)?;
        let firewall = FirewallConfig::read(root)?;
        let plugin_type = root.string("type")?.unwrap_or_default();
        let is_for = |plugin| plugin_type == plugin || !is_later_plugin(plugin_type);
        let mut link = LinkConfig::read(root, kind, requests.keys.runtime.as_ref())?;
        let makes_link = link.is_some();
        let tuning = if is_for(tuning::PLUGIN) { TuningConfig::read(root, requests, makes_link)? } else { None };
        let source_routing = if is_for(source_routing::PLUGIN) { SourceRoutingConfig::read(root)? } else { None };
        let bandwidth =
            if is_for(bandwidth::PLUGIN) { BandwidthConfig::read(root, requests.keys, unknown)? } else { None };
        let vrf = if is_for(vrf::PLUGIN) { VrfConfig::read(root)? } else { None };
        refuse_two_tables(vrf.as_ref(), source_routing.as_ref())?;
        let overlay = OverlayConfig::read(root, unknown)?.filter(|_| makes_link);
        if let (Some(_), Some(link)) = (&overlay, &mut link) {
            let LinkConfig::Bridge(bridge) = link else {
                let why = "an overlay's containers are ports of a bridge";
                return Err(ConfigError::Conflict { first: "overlay", second: "link", why });
            };
            bridge.is_gateway = true; // the way to the other hosts leads over this one
        }
        let Some(link) = link else {
            let (ipam, dns, overlay) = (None, None, None);
            let later = Self { link, ipam, dns, host_ports, firewall, tuning, source_routing, bandwidth, vrf, overlay };
            return Ok(later.has_work().then_some(later));
        };
        let config = Self {
            link: Some(link),
            ipam: IpamConfig::read(root, requests, unknown)?,
            dns: read_dns(root, unknown)?,
            host_ports,
            firewall,
            tuning,
            source_routing,
            bandwidth,
            vrf,
            overlay,
        };
        let mtu = config.link.as_ref().and_then(LinkConfig::mtu);
        if mtu.is_some_and(|mtu| mtu < MTU_IPV6) && config.ipam.as_ref().is_some_and(IpamConfig::has_ipv6) {
            return Err(root.fault("mtu", "at least 1280, which IPv6 needs").into());
        }
        if config.ipam.is_some() && config.link.as_ref().is_some_and(LinkConfig::stays_down) {
            let why = "an interface that is left down cannot use addresses";
            return Err(ConfigError::Conflict { first: "disableContainerInterface", second: "ipam", why });
        }
        if config.ipam.is_none() && matches!(&config.link, Some(LinkConfig::Bridge(bridge)) if bridge.ip_spoof_check) {
            let expected = "false, or `ipam` beside it: a container that has no address of ours could send nothing";
            return Err(root.fault("ipspoofchk", expected).into());
        }
        Ok(Some(config))
    }
}

fn refuse_two_tables(vrf: Option<&VrfConfig>, source_routing: Option<&SourceRoutingConfig>) -> Result<(), ConfigError> {
    if vrf.is_none() || source_routing.is_none() {
        return Ok(());
    }
    let why = "a VRF has a routing table of its own, which is asked before rules by source are";
    Err(ConfigError::Conflict { first: "vrfname", second: "sbr", why })
}

/// The plugins that work on a link that an earlier one of the chain made.
const LATER: [&str; 6] =
    [host_ports::PLUGIN, firewall::PLUGIN, tuning::PLUGIN, bandwidth::PLUGIN, source_routing::PLUGIN, vrf::PLUGIN];

/// Where `type` tells nothing, the name under which the plugin was called does: a runtime finds it by that.
pub(super) fn name(document: &mut Map<String, Value>, program: &str) {
    let declared = Object::root(document).string("type");
    let is_open =
        declared.is_ok_and(|name| name.is_none_or(|name| !name.starts_with("groundwork") && !is_served(name)));
    if is_open && is_served(program) {
        document.insert("type".to_owned(), program.into());
    }
}

/// Whether groundwork does what a reference plugin of that name does, but to give addresses.
fn is_served(plugin_type: &str) -> bool {
    is_later_plugin(plugin_type) || Kind::names().any(|name| name == plugin_type)
}

/// Refuses to be a plugin that it is not: the next in the chain would find nothing done.
pub(super) fn refuse_unserved(root: &Object<'_>) -> Result<(), ConfigError> {
    let plugin_type = root.string("type")?.unwrap_or_default();
    if plugin_type.is_empty() || plugin_type.starts_with("groundwork") || is_served(plugin_type) {
        return Ok(());
    }
    let served: Vec<_> = Kind::names().chain(LATER).chain(PROGRAMS).collect();
    Err(ConfigError::NotServed { plugin_type: plugin_type.to_owned(), served: served.join(", ") })
}

/// Whether the configuration of such a plugin is for what works on a link that an earlier one of the chain made.
pub(super) fn is_later_plugin(plugin_type: &str) -> bool {
    LATER.contains(&plugin_type)
}

impl NativeConfig {
    /// The container's hardware address that the configuration itself asks for (`mac`).
    #[must_use]
    pub fn configured_mac(&self) -> Option<Mac> {
        self.tuning.as_ref()?.link.mac
    }

    /// Whether there is anything to do on a link that an earlier plugin of the chain made.
    const fn has_work(&self) -> bool {
        self.host_ports.is_some()
            || self.firewall.is_some()
            || self.tuning.is_some()
            || self.source_routing.is_some()
            || self.bandwidth.is_some()
            || self.vrf.is_some()
    }

    /// An address with the network inside which it is known as it is: the whole overlay, or its own network.
    #[must_use]
    pub fn reach(&self, address: IpNet) -> IpNet {
        let networks = self.overlay.iter().flat_map(|overlay| &overlay.networks);
        let around = networks
            .filter(|network| network.contains(&address))
            .find_map(|network| IpNet::new(address.addr(), network.prefix_len()).ok());
        around.unwrap_or(address)
    }

    /// Whether what the container sends beyond its network is masqueraded.
    #[must_use]
    pub fn ip_masq(&self) -> bool {
        self.link.as_ref().is_some_and(LinkConfig::ip_masq)
    }
}
