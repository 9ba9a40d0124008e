//! A veth pair without a bridge: every container has a link of its own to the host, which is its gateway.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    add::{Attach, ObservedHost},
    bridge::{forwarding_steps, gateway_address, quiet},
    check::{Differences, Expected, ObservedAttachment, list},
    step::{Place, Step},
};
use crate::{
    cni::result::{IpConfig, Route},
    config::PtpConfig,
    rtnl::values::AddressFlags,
};

/// `RT_SCOPE_HOST`, as the reference plugin makes the host's routes to containers.
const HOST_SCOPE: u8 = 254;
/// `RT_SCOPE_LINK`.
const LINK_SCOPE: u8 = 253;

/// The pair, and the host's end of it: the gateway's addresses, and the routes to the container.
pub(super) fn steps(attach: &Attach<'_>, ptp: &PtpConfig, ips: &[IpConfig], host: &ObservedHost) -> Vec<Step> {
    let mut steps = Vec::new();
    let gateways: Vec<IpNet> = ips.iter().filter_map(gateway_address).collect();
    forwarding_steps(&gateways, host, &mut steps);
    let link = attach.host_link.to_owned();
    steps.push(Step::CreateVeth {
        host: link.clone(),
        host_mac: attach.host_mac,
        bridge: None,
        place: Place::Sandbox,
        peer: attach.ifname.into(),
        peer_mac: attach.sandbox_mac,
        mtu: ptp.mtu,
    });
    let has_ipv6 = gateways.iter().any(|gateway| gateway.addr().is_ipv6());
    steps.extend(quiet(&link).into_iter().take(if has_ipv6 { 2 } else { 1 }));
    for (gateway, route) in ips.iter().filter_map(host_side) {
        let flags = AddressFlags { nodad: true, ..AddressFlags::default() };
        steps.push(Step::AddAddress { place: Place::Host, link: link.clone(), address: gateway, flags });
        steps.push(Step::AddRoute { place: Place::Host, link: link.clone(), route, src: None });
    }
    steps
}

/// What the host's end has of an address: the gateway's address, and the route to the container.
pub(super) fn host_side(ip: &IpConfig) -> Option<(IpNet, Route)> {
    Some((single(ip.gateway?), Route { scope: Some(HOST_SCOPE), ..Route::to(single(ip.address.addr())) }))
}

/// The container's routes: nobody of its network is on the link but the gateway, which leads to the others.
pub(super) fn routes(ip: &IpConfig) -> Vec<Route> {
    let Some(gateway) = ip.gateway else { return Vec::new() };
    let mut routes = vec![Route { scope: Some(LINK_SCOPE), ..Route::to(single(gateway)) }];
    if ip.address.prefix_len() < ip.address.max_prefix_len() {
        routes.push(Route { gw: Some(gateway), ..Route::to(ip.address.trunc()) });
    }
    routes
}

/// Compares the host's end.
pub(super) fn compare(expected: &Expected<'_>, observed: &ObservedAttachment, found: &mut Differences) {
    let Some(link) = &observed.host_link else { return };
    for (gateway, route) in expected.ips.iter().filter_map(host_side) {
        if !observed.host_addresses.contains(&gateway) {
            let present = observed.host_addresses.iter().filter(|one| one.addr().is_ipv4() == gateway.addr().is_ipv4());
            found.add(format!("address of host link {}", link.name), gateway, list(present));
        }
        let mut routes = observed.host_routes.iter().filter(|entry| entry.dst == route.dst);
        if !routes.any(|entry| entry.oif == Some(link.index)) {
            found.add(format!("route to {} on the host", route.dst), format!("dev {}", link.name), "missing");
        }
    }
}

fn single(address: IpAddr) -> IpNet {
    address.into()
}
