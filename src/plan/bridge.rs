//! The bridge of a network, and a container's port on it.

use ipnet::IpNet;

use super::{
    add::{Attach, ObservedHost, PlanError, sysctl},
    step::{Place, Setting, Step},
};
use crate::{cni::result::IpConfig, config::BridgeConfig, rtnl::values::Link};

/// The bridge, its addresses if it is the gateway, and the veth pair.
pub(super) fn steps(
    attach: &Attach<'_>,
    bridge: &BridgeConfig,
    ips: &[IpConfig],
    host: &ObservedHost,
) -> Result<Vec<Step>, PlanError> {
    let mut steps = bridge_steps(attach, bridge, host)?;
    if bridge.is_gateway {
        gateway_steps(bridge, ips, host, &mut steps)?;
    }
    steps.push(Step::CreateVeth {
        host: attach.host_link.into(),
        host_mac: attach.host_mac,
        bridge: bridge.bridge.clone(),
        sandbox: attach.ifname.into(),
        sandbox_mac: attach.sandbox_mac,
        mtu: bridge.mtu,
    });
    if bridge.hairpin_mode {
        steps.push(Step::SetHairpin { link: attach.host_link.into() });
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
    let mut steps = Vec::new();
    if let Some(error) = host.bridge.as_ref().and_then(refuse_link) {
        return Err(error);
    }
    match &host.bridge {
        None => {
            steps.push(Step::CreateBridge { name: name.clone(), mac: attach.bridge_mac, mtu: bridge.mtu });
            steps.push(sysctl(Place::Host, Setting::conf("ipv6", name, "accept_ra"), "0", true));
        }
        Some(link) if !link.up => steps.push(Step::SetUp { place: Place::Host, link: name.clone() }),
        Some(_) => {}
    }
    if bridge.promisc_mode && !host.bridge.as_ref().is_some_and(|link| link.promisc) {
        steps.push(Step::SetPromisc { link: name.clone() });
    }
    Ok(steps)
}

/// The bridge's addresses, and forwarding.
fn gateway_steps(
    bridge: &BridgeConfig,
    ips: &[IpConfig],
    host: &ObservedHost,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let name = &bridge.bridge;
    let gateways: Vec<IpNet> = ips.iter().filter_map(gateway_address).collect();
    for wanted in &gateways {
        for present in host.bridge_addresses.iter().filter(|present| contradicts(present, wanted)) {
            if gateways.contains(present) {
                continue;
            }
            if !bridge.force_address {
                return Err(PlanError::OtherAddress { name: name.clone(), present: *present, wanted: *wanted });
            }
            steps.push(Step::DeleteAddress { link: name.clone(), address: *present });
        }
        if !host.bridge_addresses.contains(wanted) {
            steps.push(Step::AddAddress { place: Place::Host, link: name.clone(), address: *wanted, nodad: true });
        }
    }
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
    Ok(())
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
