//! The container's own link: settings, addresses, routes.

use super::{
    add::{Attach, PlanError, sysctl},
    ptp,
    step::{Place, Setting, Step},
    vrf::{self, ObservedVrf},
};
use crate::{
    cni::result::{IpConfig, Route},
    config::LinkConfig,
    rtnl::values::{AddressFlags, LinkKind},
};

pub(super) fn steps(
    attach: &Attach<'_>,
    config: &LinkConfig,
    ips: &[IpConfig],
    routes: &[Route],
    observed: &ObservedVrf,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let mut table = None;
    if let Some(vrf) = &attach.config.vrf {
        let own = vrf::table(vrf, observed)?;
        steps.extend(vrf::enslave(attach, vrf, observed, own)?);
        table = Some(own);
    }
    if config.stays_down() {
        return Ok(());
    }
    let link = attach.ifname;
    let inside = |family, name, value| sysctl(Place::Sandbox, Setting::conf(family, link, name), value, true);
    let dad = matches!(config, LinkConfig::Bridge(bridge) if bridge.enable_dad);
    let ipv6 = ips.iter().any(|ip| ip.address.addr().is_ipv6());
    if ipv6 {
        steps.push(inside("ipv6", "disable_ipv6", "0"));
        steps.push(inside("ipv6", "keep_addr_on_down", "1"));
    }
    if dad {
        steps.push(inside("ipv6", "enhanced_dad", "1"));
    }
    match config {
        // Nobody there but us advertises or detects anything.
        LinkConfig::Bridge(_) | LinkConfig::Ptp(_) => {
            steps.push(inside("ipv6", "accept_dad", if dad { "1" } else { "0" }));
            steps.push(inside("ipv6", "accept_ra", "0"));
            steps.push(inside("ipv4", "arp_notify", "1"));
        }
        // What is out there may know the address by another's hardware address.
        LinkConfig::Single(single) if matches!(single.kind, LinkKind::Macvlan { .. } | LinkKind::Ipvlan { .. }) => {
            steps.push(inside("ipv4", "arp_notify", "1"));
            steps.push(inside("ipv6", "ndisc_notify", "1"));
        }
        LinkConfig::Single(_) | LinkConfig::HostDevice(_) => {}
    }
    steps.push(Step::SetUp { place: Place::Sandbox, link: link.into() });
    let flags = AddressFlags { nodad: !dad, no_prefix_route: matches!(config, LinkConfig::Ptp(_)) };
    for ip in ips {
        steps.push(Step::AddAddress { place: Place::Sandbox, link: link.into(), address: ip.address, flags });
    }
    let add = |route: Route, src| {
        let route = Route { table: route.table.or(table), ..route };
        Step::AddRoute { place: Place::Sandbox, link: link.into(), route, src }
    };
    if matches!(config, LinkConfig::Ptp(_)) {
        steps.extend(ips.iter().flat_map(|ip| {
            ptp::routes(ip).into_iter().map(|route| add(route, Some(ip.address.addr()))).collect::<Vec<_>>()
        }));
    }
    steps.extend(routes.iter().map(|route| add(route.clone(), None)));
    if dad && ipv6 {
        steps.push(Step::AwaitDetection { link: link.into() });
    }
    Ok(())
}
