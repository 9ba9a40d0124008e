//! Which kernel features a configuration needs, and why.

use crate::{
    config::{BridgeConfig, Capabilities, LinkConfig, Mode, NativeConfig, NetworkConfig, SingleConfig},
    kernel::feature::{self, Need},
    nft::ruleset::Protocol,
    rtnl::values::LinkKind,
};

/// The features without which an ADD of this configuration cannot work, in the order in which they are ensured.
///
/// `modules` adds to what the configuration itself needs. A chain's head cannot see what follows it, so without
/// `modules` it ensures what the usual chain (bridge, portmap) needs: bridges and veth pairs.
#[must_use]
pub fn needs(config: &NetworkConfig) -> Vec<Need> {
    let mut needs = match &config.mode {
        Mode::Native(native) => native_needs(native),
        Mode::Delegate(delegate) => feature::for_plugin(&delegate.plugin_type)
            .iter()
            .map(|feature| Need::new(*feature, format!("delegate \"{}\"", delegate.plugin_type)))
            .collect(),
        Mode::Chained if config.chained_type().is_some() => Vec::new(),
        Mode::Chained if config.kernel.modules.is_none() => [&feature::BRIDGE, &feature::VETH]
            .map(|feature| Need::new(feature, "the chain that follows (\"modules\" is not set)"))
            .into(),
        Mode::Chained | Mode::Loopback => Vec::new(),
    };
    let asked = config.kernel.modules.iter().flatten().cloned();
    for feature in asked {
        if !needs.iter().any(|need| need.feature == feature) {
            needs.push(Need::new(feature, "\"modules\" of the configuration"));
        }
    }
    needs
}

/// The same with what a runtime may ask for in an ADD: what the configuration declares, a node is to have.
#[must_use]
pub fn declared_needs(config: &NetworkConfig) -> Vec<Need> {
    let mut needs = needs(config);
    if matches!(config.mode, Mode::Delegate(_)) {
        return needs; // the delegate's own
    }
    let Capabilities { port_mappings, bandwidth } = config.capabilities;
    let mut declared = Vec::new();
    if port_mappings {
        let snat =
            matches!(&config.mode, Mode::Native(native) if native.host_ports.as_ref().is_some_and(|ports| ports.snat));
        declared.extend(host_port_needs(snat, true));
    }
    if bandwidth {
        declared.extend(bandwidth_needs(true));
    }
    for need in declared {
        if !needs.iter().any(|earlier| earlier.feature == need.feature) {
            needs.push(Need { why: format!("{}, which \"capabilities\" declares", need.why), ..need });
        }
    }
    needs
}

fn native_needs(config: &NativeConfig) -> Vec<Need> {
    let mut needs = match &config.link {
        Some(LinkConfig::Bridge(bridge)) => bridge_needs(bridge),
        Some(LinkConfig::Ptp(_)) => vec![Need::new(&feature::VETH, "the container's link to the host")],
        Some(LinkConfig::Single(single)) => single_needs(single),
        Some(LinkConfig::HostDevice(_)) | None => Vec::new(),
    };
    if config.overlay.is_some() {
        let why = "the overlay (\"overlay\")";
        needs.extend([&feature::VXLAN, &feature::NF_TABLES].map(|feature| Need::new(feature, why)));
    }
    if config.ip_masq() {
        let why = "masquerade (\"ipMasq\")";
        needs.extend(
            [&feature::NF_TABLES, &feature::NFT_CHAIN_NAT, &feature::NFT_MASQ].map(|feature| Need::new(feature, why)),
        );
    }
    if let Some(ports) = config.host_ports.as_ref().filter(|ports| !ports.mappings.is_empty()) {
        let udp = ports.mappings.iter().any(|mapping| mapping.protocol == Protocol::Udp);
        needs.extend(host_port_needs(ports.snat, udp));
    }
    if let Some(limits) = &config.bandwidth {
        needs.extend(bandwidth_needs(limits.egress.is_some()));
    }
    if let Some(vrf) = &config.vrf {
        needs.push(Need::new(&feature::VRF, format!("the routing table of VRF {}", vrf.name)));
    }
    if config.firewall.is_some() {
        let why = "the firewall (\"ingressPolicy\")";
        needs.extend([&feature::NF_TABLES, &feature::NFT_CT].map(|feature| Need::new(feature, why)));
    }
    needs
}

fn host_port_needs(snat: bool, udp: bool) -> Vec<Need> {
    let why = "host ports (\"portMappings\")";
    let redirection = [&feature::NF_TABLES, &feature::NFT_CHAIN_NAT, &feature::NFT_NAT, &feature::NFT_FIB];
    let mut needs: Vec<Need> = redirection.map(|feature| Need::new(feature, why)).into();
    if snat {
        let why = "answers of host ports (\"snat\")";
        needs.extend([&feature::NFT_CT, &feature::NFT_MASQ].map(|feature| Need::new(feature, why)));
    }
    if udp {
        needs.push(Need::new(&feature::CONNTRACK, "host ports of UDP (flows to who had them before)"));
    }
    needs
}

fn bandwidth_needs(egress: bool) -> Vec<Need> {
    let mut needs = vec![Need::new(&feature::TBF, "limits on bandwidth")];
    if egress {
        let why = "the limit on what the container sends (\"egressRate\")";
        needs.extend(
            [&feature::IFB, &feature::INGRESS, &feature::MIRRED, &feature::U32].map(|feature| Need::new(feature, why)),
        );
    }
    needs
}

fn single_needs(config: &SingleConfig) -> Vec<Need> {
    let feature = match config.kind {
        LinkKind::Dummy => &feature::DUMMY,
        LinkKind::Macvlan { .. } => &feature::MACVLAN,
        LinkKind::Ipvlan { .. } => &feature::IPVLAN,
        LinkKind::Vlan { .. } => &feature::VLAN,
        LinkKind::Vrf { .. } => &feature::VRF,
        LinkKind::Vxlan { .. } => &feature::VXLAN,
    };
    let parent = config.parent.as_ref().and_then(|parent| parent.name.as_deref());
    let on = parent.map(|parent| format!(" on {parent}")).unwrap_or_default();
    vec![Need::new(feature, format!("the container's link{on}"))]
}

fn bridge_needs(config: &BridgeConfig) -> Vec<Need> {
    let mut needs = vec![
        Need::new(&feature::BRIDGE, format!("bridge {}", config.bridge)),
        Need::new(&feature::VETH, format!("the container's link to bridge {}", config.bridge)),
    ];
    if config.vlans.are_used() {
        needs.push(Need::new(&feature::VLAN_FILTERING, "VLANs inside the bridge (\"vlan\", \"vlanTrunk\")"));
    }
    let macs = config.mac_spoof_check.then_some("the check of hardware addresses (\"macspoofchk\")");
    let ips = config.ip_spoof_check.then_some("the check of IP addresses (\"ipspoofchk\")");
    for why in [macs, ips].into_iter().flatten() {
        needs.extend(
            [&feature::NF_TABLES, &feature::NFT_BRIDGE, &feature::NFT_META_BRIDGE]
                .map(|feature| Need::new(feature, why)),
        );
    }
    needs
}
