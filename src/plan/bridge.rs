//! The bridge of a network, and a container's port on it.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::{
    add::{Attach, ObservedHost, PlanError, sysctl},
    name,
    step::{Place, Setting, Step},
};
use crate::{
    cni::{mac::Mac, result::IpConfig},
    config::BridgeConfig,
    rtnl::values::{Link, PortFlags},
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
        gateway_steps(bridge, &gateways, host, &mut steps)?;
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
    let flags = PortFlags { hairpin: bridge.hairpin_mode, isolated: bridge.port_isolation };
    if flags != PortFlags::default() {
        steps.push(Step::SetPort { link: attach.host_link.into(), flags });
    }
    if let Some(native) = bridge.vlans.native() {
        steps.push(vlans(bridge, attach.host_link, &bridge.vlans.trunk, native, host));
    }
    Ok(steps)
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
            steps.push(sysctl(Place::Host, Setting::conf("ipv6", name, "accept_ra"), "0", true));
        }
        Some(link) => {
            if vlan_filtering && !link.vlan_filtering {
                steps.push(Step::FilterVlans { bridge: name.clone() });
            }
            if !link.up {
                steps.push(Step::SetUp { place: Place::Host, link: name.clone() });
            }
        }
    }
    if bridge.promisc_mode && !host.bridge.as_ref().is_some_and(|link| link.promisc) {
        steps.push(Step::SetPromisc { link: name.clone() });
    }
    Ok(steps)
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
    steps.push(sysctl(Place::Host, Setting::conf("ipv6", &gateway, "accept_ra"), "0", true));
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
            steps.push(Step::AddAddress { place: Place::Host, link: name.clone(), address: *wanted, nodad: true });
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
