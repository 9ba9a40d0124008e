//! The bridge of a network, and a container's port on it.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{
    add::{Attach, ObservedHost, PlanError, sysctl},
    check::{Differences, Expected, ObservedAttachment, list},
    name,
    step::{Place, Setting, Step},
};
use crate::{
    cni::{mac::Mac, result::IpConfig},
    config::{BridgeConfig, IngressPolicy, Vlans},
    rtnl::values::{AddressFlags, Link, LinkSettings, PortFlags, PortVlan},
};

/// The bridge, its addresses if it is the gateway, and the veth pair.
pub(super) fn steps(
    attach: &Attach<'_>,
    bridge: &BridgeConfig,
    ips: &[IpConfig],
    host: &ObservedHost,
) -> Result<Vec<Step>, PlanError> {
    let mut steps = bridge_steps(attach, bridge, host)?;
    let gateways: Vec<IpNet> = ips.iter().filter(|_| bridge.is_gateway).filter_map(gateway_address).collect();
    if !gateways.is_empty() {
        if let Some(vlan) = bridge.vlans.untagged {
            steps.extend(vlan_gateway_steps(attach, bridge, vlan, host));
        }
        let before = steps.len();
        gateway_steps(bridge, &gateways, host, &mut steps)?;
        let is_new = |step: &Step| matches!(step, Step::AddAddress { .. });
        if steps[before..].iter().any(is_new) && bridge.vlans.untagged.is_none() {
            steps.extend(host.bridge.as_ref().map(|link| pin(link, attach.bridge_mac)));
        }
    }
    steps.push(Step::CreateVeth {
        host: attach.host_link.into(),
        host_mac: attach.host_mac,
        bridge: Some(bridge.bridge.clone()),
        place: Place::Sandbox,
        peer: attach.ifname.into(),
        peer_mac: attach.sandbox_mac,
        mtu: bridge.mtu,
    });
    let flags = port_flags(attach, bridge, host);
    if flags != PortFlags::default() {
        steps.push(Step::SetPort { link: attach.host_link.into(), flags });
    }
    if let Some(native) = bridge.vlans.native() {
        steps.push(vlans(bridge, attach.host_link, &bridge.vlans.trunk, native, host));
    }
    Ok(steps)
}

/// Keeps a bridge that somebody else made from taking the hardware address of a port, and another one's later: the
/// containers know their gateway by it. Without ports it may have none.
fn pin(bridge: &Link, spare: Mac) -> Step {
    let mac = bridge.mac.filter(|mac| *mac != Mac([0; 6])).unwrap_or(spare);
    let settings = LinkSettings { mac: Some(mac), ..LinkSettings::default() };
    Step::ChangeLink { place: Place::Host, link: bridge.name.clone(), settings }
}

/// How the container's port of the bridge is set.
fn port_flags(attach: &Attach<'_>, bridge: &BridgeConfig, host: &ObservedHost) -> PortFlags {
    let has_ports = attach.config.host_ports.as_ref().is_some_and(|ports| !ports.mappings.is_empty());
    let isolated = attach.config.firewall.as_ref().is_some_and(|firewall| firewall.ingress == IngressPolicy::Isolated);
    PortFlags {
        // With bridge netfilter, what a container sends to its own host port is bridged back to it.
        hairpin: bridge.hairpin_mode || (has_ports && host.bridge_nf && !bridge.promisc_mode),
        isolated: bridge.port_isolation || isolated,
    }
}

/// Why the link of a bridge's name cannot serve as the bridge.
#[must_use]
pub fn refuse_link(link: &Link) -> Option<PlanError> {
    let is_bridge = link.kind.as_deref() == Some("bridge");
    (!is_bridge).then(|| PlanError::NotBridge { name: link.name.clone(), kind: link.kind.clone() })
}

fn bridge_steps(attach: &Attach<'_>, bridge: &BridgeConfig, host: &ObservedHost) -> Result<Vec<Step>, PlanError> {
    let name = &bridge.bridge;
    let vlan_filtering = bridge.vlans.are_used();
    let mut steps = Vec::new();
    if let Some(error) = host.bridge.as_ref().and_then(refuse_link) {
        return Err(error);
    }
    match &host.bridge {
        None => {
            steps.push(Step::CreateBridge {
                name: name.clone(),
                mac: attach.bridge_mac,
                mtu: bridge.mtu,
                vlan_filtering,
            });
        }
        Some(link) if vlan_filtering && !link.vlan_filtering => {
            steps.push(Step::FilterVlans { bridge: name.clone() });
        }
        Some(_) => {}
    }
    // That it is up says that it takes no router's advertisement from a container.
    if !host.bridge.as_ref().is_some_and(|link| link.up) {
        steps.extend(quiet(name));
        steps.push(Step::SetUp { place: Place::Host, link: name.clone() });
    }
    if bridge.promisc_mode && !host.bridge.as_ref().is_some_and(|link| link.promisc) {
        let settings = LinkSettings { promisc: Some(true), ..LinkSettings::default() };
        steps.push(Step::ChangeLink { place: Place::Host, link: name.clone(), settings });
    }
    Ok(steps)
}

/// A link to containers takes no router's advertisement from them, and its own link-local address, without which IPv6
/// is not forwarded to them, is usable at once.
pub(super) fn quiet(link: &str) -> [Step; 2] {
    ["accept_ra", "accept_dad"].map(|setting| sysctl(Place::Host, Setting::conf("ipv6", link, setting), "0", true))
}

/// Puts a port into VLANs, and out of the one in which the bridge put it.
fn vlans(bridge: &BridgeConfig, port: &str, trunk: &[RangeInclusive<u16>], native: u16, host: &ObservedHost) -> Step {
    let default = host.bridge.as_ref().map_or(1, |link| link.default_vlan);
    let leaves = default != 0 && default != native && !bridge.vlans.preserve_default;
    Step::SetVlans { link: port.into(), leave: leaves.then_some(default), trunk: trunk.into(), native }
}

/// The gateway's own port in its VLAN. That its far end is up says that all of this was done.
fn vlan_gateway_steps(attach: &Attach<'_>, bridge: &BridgeConfig, vlan: u16, host: &ObservedHost) -> Vec<Step> {
    let gateway = bridge.gateway_link();
    let port = name::gateway_port(&gateway);
    if host.gateway.as_ref().is_some_and(|link| link.up) {
        return Vec::new();
    }
    let mut steps = Vec::new();
    if host.gateway.is_none() {
        steps.push(Step::CreateVeth {
            host: port.clone(),
            host_mac: sibling(attach.bridge_mac, 1),
            bridge: Some(bridge.bridge.clone()),
            place: Place::Host,
            peer: gateway.clone(),
            peer_mac: sibling(attach.bridge_mac, 2),
            mtu: bridge.mtu,
        });
    }
    steps.extend(quiet(&gateway));
    steps.push(vlans(bridge, &port, &[], vlan, host));
    steps.push(Step::SetUp { place: Place::Host, link: gateway });
    steps
}

/// Another address of the same draw.
fn sibling(Mac([a, b, c, d, e, last]): Mac, number: u8) -> Mac {
    Mac([a, b, c, d, e, last ^ number])
}

/// The gateways' addresses, and forwarding.
fn gateway_steps(
    bridge: &BridgeConfig,
    gateways: &[IpNet],
    host: &ObservedHost,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let name = bridge.gateway_link();
    for wanted in gateways {
        for present in host.gateway_addresses.iter().filter(|present| contradicts(present, wanted)) {
            if gateways.contains(present) {
                continue;
            }
            if !bridge.force_address {
                return Err(PlanError::OtherAddress { name, present: *present, wanted: *wanted });
            }
            steps.push(Step::DeleteAddress { link: name.clone(), address: *present });
        }
        if !host.gateway_addresses.contains(wanted) {
            let flags = AddressFlags { nodad: true, ..AddressFlags::default() };
            steps.push(Step::AddAddress { place: Place::Host, link: name.clone(), address: *wanted, flags });
        }
    }
    forwarding_steps(gateways, host, steps);
    Ok(())
}

/// Lets the host forward what comes from these gateways' networks.
pub(super) fn forwarding_steps(gateways: &[IpNet], host: &ObservedHost, steps: &mut Vec<Step>) {
    if gateways.iter().any(|gateway| gateway.addr().is_ipv4()) && !host.forwarding_v4 {
        steps.push(sysctl(Place::Host, Setting("net/ipv4/ip_forward".into()), "1", false));
    }
    if gateways.iter().any(|gateway| gateway.addr().is_ipv6()) && !host.forwarding_v6 {
        // A forwarding host drops the default route that it learned from a router, unless accept_ra is 2.
        for link in &host.advertised {
            steps.push(sysctl(Place::Host, Setting::conf("ipv6", link, "accept_ra"), "2", true));
        }
        steps.push(sysctl(Place::Host, Setting::conf("ipv6", "all", "forwarding"), "1", false));
    }
}

/// The address that makes the bridge an address's gateway.
#[must_use]
pub(super) fn gateway_address(ip: &IpConfig) -> Option<IpNet> {
    IpNet::new(ip.gateway?, ip.address.prefix_len()).ok()
}

/// A bridge has one IPv4 network; IPv6 ones may stand side by side unless they overlap.
fn contradicts(present: &IpNet, wanted: &IpNet) -> bool {
    match (present, wanted) {
        (IpNet::V4(_), IpNet::V4(_)) => present != wanted,
        (IpNet::V6(_), IpNet::V6(_)) => {
            present != wanted && (present.contains(&wanted.addr()) || wanted.contains(&present.addr()))
        }
        _ => false,
    }
}

/// Compares the bridge, and the container's port on it.
pub(super) fn compare(
    config: &BridgeConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    compare_bridge(config, expected, &observed.host, found);
    if let Some(link) = &observed.host_link {
        compare_port(config, link, observed, found);
    }
}

fn compare_bridge(config: &BridgeConfig, expected: &Expected<'_>, host: &ObservedHost, found: &mut Differences) {
    let name = &config.bridge;
    let Some(bridge) = &host.bridge else {
        return found.add(format!("bridge {name}"), "present", "missing");
    };
    let kind = bridge.kind.as_deref().unwrap_or("no virtual link");
    if kind != "bridge" {
        return found.add(format!("link {name}"), "a bridge", kind);
    }
    if !bridge.up {
        found.add(format!("bridge {name}"), "up", "down");
    }
    if config.promisc_mode && !bridge.promisc {
        found.add(format!("promiscuous mode of bridge {name}"), "on", "off");
    }
    if config.vlans.are_used() && !bridge.vlan_filtering {
        found.add(format!("VLAN filtering of bridge {name}"), "on", "off");
    }
    if !config.is_gateway {
        return;
    }
    if let (Some(_), Some(link)) = (config.vlans.untagged, &host.gateway)
        && !link.up
    {
        found.add(format!("link {}", link.name), "up", "down");
    }
    for gateway in expected.ips.iter().filter_map(gateway_address) {
        if !host.gateway_addresses.contains(&gateway) {
            let ipv4 = gateway.addr().is_ipv4();
            let present = host.gateway_addresses.iter().filter(|one| one.addr().is_ipv4() == ipv4);
            let what = if config.vlans.untagged.is_some() { "link" } else { "bridge" };
            found.add(format!("address of {what} {}", config.gateway_link()), gateway, list(present));
        }
    }
}

fn compare_port(config: &BridgeConfig, link: &Link, observed: &ObservedAttachment, found: &mut Differences) {
    let name = &link.name;
    if let Some(bridge) = &observed.host.bridge
        && link.master != Some(bridge.index)
    {
        let master = link.master.map_or("none".into(), |index| format!("link {index}"));
        found.add(format!("bridge of host link {name}"), &bridge.name, master);
    }
    if config.hairpin_mode && link.port.is_some_and(|port| !port.hairpin) {
        found.add(format!("hairpin mode of host link {name}"), "on", "off");
    }
    if config.port_isolation && !link.port.is_some_and(|port| port.isolated) {
        found.add(format!("isolation of host link {name}"), "on", "off");
    }
    compare_vlans(&config.vlans, name, &observed.host, &observed.port_vlans, found);
}

/// One VLAN too many is as wrong as one that is missing.
fn compare_vlans(config: &Vlans, port: &str, host: &ObservedHost, present: &[PortVlan], found: &mut Differences) {
    let Some(native) = config.native() else { return };
    let tagged = config.trunk.iter().cloned().flatten().filter(|id| *id != native);
    let mut wanted: Vec<_> = tagged.map(|id| PortVlan { id, native: false }).collect();
    wanted.push(PortVlan { id: native, native: true });
    wanted.sort_unstable();
    let kept = host.bridge.as_ref().filter(|_| config.preserve_default).map(|bridge| bridge.default_vlan);
    let present: Vec<_> =
        present.iter().copied().filter(|vlan| wanted.contains(vlan) || Some(vlan.id) != kept).collect();
    if present != wanted {
        found.add(format!("VLANs of host link {port}"), vlan_words(&wanted), vlan_words(&present));
    }
}

/// Such as `1 untagged, 100-102, 200`.
fn vlan_words(vlans: &[PortVlan]) -> String {
    let runs = vlans.chunk_by(|a, b| !a.native && !b.native && a.id + 1 == b.id);
    list(runs.filter_map(|run| match run {
        [one] if one.native => Some(format!("{} untagged", one.id)),
        [one] => Some(one.id.to_string()),
        [first, .., last] => Some(format!("{}-{}", first.id, last.id)),
        [] => None,
    }))
}
