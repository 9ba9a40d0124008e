//! The plan of an ADD on a bridge.

use std::net::IpAddr;

use ipnet::IpNet;

use super::step::{Place, Setting, Step};
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::BridgeConfig,
    nft::ruleset::{Element, Owned, Owner},
    rtnl::values::Link,
};

/// Everything an ADD must know that is not in the configuration.
#[derive(Debug, Clone)]
pub struct Attach<'a> {
    /// The network's keys.
    pub config: &'a BridgeConfig,
    /// `CNI_IFNAME`.
    pub ifname: &'a str,
    /// Name of the veth's host end.
    pub host_link: &'a str,
    /// Its hardware address.
    pub host_mac: Mac,
    /// The container's hardware address.
    pub sandbox_mac: Mac,
    /// The bridge's hardware address, if it has to be made.
    pub bridge_mac: Mac,
    /// Who owns the elements, as nft's comments show it.
    pub owner: Owner,
}

/// What the host holds before an ADD.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedHost {
    /// The link of the bridge's name.
    pub bridge: Option<Link>,
    /// Its addresses.
    pub bridge_addresses: Vec<IpNet>,
    /// `net.ipv4.ip_forward` is on.
    pub forwarding_v4: bool,
    /// `net.ipv6.conf.all.forwarding` is on.
    pub forwarding_v6: bool,
    /// Links with routes from routers' advertisements that they take only while the host does not forward.
    pub advertised: Vec<String>,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum PlanError {
    /// The bridge's name belongs to something else.
    #[error(
        "link {name} exists and is {}, not a bridge: choose another \"bridge\" or remove the link",
        kind.as_deref().map_or("no virtual link".into(), |kind| format!("a {kind}"))
    )]
    NotBridge { name: String, kind: Option<String> },
    /// The bridge has an address that contradicts the gateway's.
    #[error(
        "bridge {name} has address {present}, the network's gateway is {wanted}: \
         set \"forceAddress\" to replace it, or remove it with `ip addr del {present} dev {name}`"
    )]
    OtherAddress { name: String, present: IpNet, wanted: IpNet },
    /// A default route was asked for, and an address has no gateway.
    #[error("\"isDefaultGateway\" needs a gateway, and address {address} has none")]
    NoGateway { address: IpNet },
}

/// Fills in what the IPAM left open: gateways when the bridge is one, next hops, default routes. Idempotent.
///
/// # Errors
/// [`PlanError::NoGateway`].
pub fn resolve(config: &BridgeConfig, ips: &mut [IpConfig], routes: &mut Vec<Route>) -> Result<(), PlanError> {
    if config.is_gateway {
        for ip in ips.iter_mut() {
            ip.gateway = ip.gateway.or_else(|| first_host(&ip.address));
        }
    }
    let gateway_of = |ipv4: bool| ips.iter().filter(|ip| ip.address.addr().is_ipv4() == ipv4).find_map(|ip| ip.gateway);
    if config.is_default_gateway {
        for ip in ips.iter() {
            let default = default_route(ip.address.addr().is_ipv4());
            if !routes.iter().any(|route| route.dst == default) {
                let gw = ip.gateway.ok_or(PlanError::NoGateway { address: ip.address })?;
                routes.push(Route { gw: Some(gw), ..Route::to(default) });
            }
        }
    }
    for route in routes.iter_mut().filter(|route| route.gw.is_none() && route.scope.is_none_or(|scope| scope == 0)) {
        route.gw = gateway_of(route.dst.addr().is_ipv4());
    }
    let mut seen = Vec::new();
    routes.retain(|route| {
        let key = (route.dst, route.table, route.priority);
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    Ok(())
}

/// Plans an ADD; `ips` and `routes` are resolved.
///
/// # Errors
/// [`PlanError`]: nothing was touched.
pub fn plan_add(
    attach: &Attach<'_>,
    ips: &[IpConfig],
    routes: &[Route],
    host: &ObservedHost,
) -> Result<Vec<Step>, PlanError> {
    let mut steps = bridge_steps(attach, host)?;
    if attach.config.is_gateway {
        gateway_steps(attach, ips, host, &mut steps)?;
    }
    steps.push(Step::CreateVeth {
        host: attach.host_link.into(),
        host_mac: attach.host_mac,
        bridge: attach.config.bridge.clone(),
        sandbox: attach.ifname.into(),
        sandbox_mac: attach.sandbox_mac,
        mtu: attach.config.mtu,
    });
    if attach.config.hairpin_mode {
        steps.push(Step::SetHairpin { link: attach.host_link.into() });
    }
    sandbox_steps(attach, ips, routes, &mut steps);
    if attach.config.ip_masq && !ips.is_empty() {
        let elements = ips.iter().flat_map(|ip| Element::masquerade(ip.address));
        steps.push(Step::AddElements(elements.map(|element| Owned { element, owner: attach.owner.clone() }).collect()));
    }
    Ok(steps)
}

fn bridge_steps(attach: &Attach<'_>, host: &ObservedHost) -> Result<Vec<Step>, PlanError> {
    let name = &attach.config.bridge;
    let mut steps = Vec::new();
    match &host.bridge {
        None => {
            steps.push(Step::CreateBridge { name: name.clone(), mac: attach.bridge_mac, mtu: attach.config.mtu });
            steps.push(sysctl(Place::Host, Setting::conf("ipv6", name, "accept_ra"), "0", true));
        }
        Some(link) if link.kind.as_deref() != Some("bridge") => {
            return Err(PlanError::NotBridge { name: name.clone(), kind: link.kind.clone() });
        }
        Some(link) if !link.up => steps.push(Step::SetUp { place: Place::Host, link: name.clone() }),
        Some(_) => {}
    }
    if attach.config.promisc_mode && !host.bridge.as_ref().is_some_and(|link| link.promisc) {
        steps.push(Step::SetPromisc { link: name.clone() });
    }
    Ok(steps)
}

/// The bridge's addresses, and forwarding.
fn gateway_steps(
    attach: &Attach<'_>,
    ips: &[IpConfig],
    host: &ObservedHost,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    let name = &attach.config.bridge;
    let gateways: Vec<IpNet> = ips.iter().filter_map(gateway_address).collect();
    for wanted in &gateways {
        for present in host.bridge_addresses.iter().filter(|present| contradicts(present, wanted)) {
            if gateways.contains(present) {
                continue;
            }
            if !attach.config.force_address {
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

fn sandbox_steps(attach: &Attach<'_>, ips: &[IpConfig], routes: &[Route], steps: &mut Vec<Step>) {
    let link = attach.ifname;
    let inside = |family, name, value| sysctl(Place::Sandbox, Setting::conf(family, link, name), value, true);
    let dad = attach.config.enable_dad;
    if ips.iter().any(|ip| ip.address.addr().is_ipv6()) {
        steps.push(inside("ipv6", "disable_ipv6", "0"));
        steps.push(inside("ipv6", "keep_addr_on_down", "1"));
    }
    if dad {
        steps.push(inside("ipv6", "enhanced_dad", "1"));
    }
    steps.push(inside("ipv6", "accept_dad", if dad { "1" } else { "0" }));
    steps.push(inside("ipv6", "accept_ra", "0"));
    steps.push(inside("ipv4", "arp_notify", "1"));
    steps.push(Step::SetUp { place: Place::Sandbox, link: link.into() });
    for ip in ips {
        steps.push(Step::AddAddress { place: Place::Sandbox, link: link.into(), address: ip.address, nodad: !dad });
    }
    steps.extend(routes.iter().map(|route| Step::AddRoute { link: link.into(), route: route.clone() }));
}

const fn sysctl(place: Place, setting: Setting, value: &'static str, optional: bool) -> Step {
    Step::Sysctl { place, setting, value, optional }
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

fn first_host(address: &IpNet) -> Option<IpAddr> {
    match address {
        IpNet::V4(net) => u32::from(net.network()).checked_add(1).map(|bits| IpAddr::V4(bits.into())),
        IpNet::V6(net) => u128::from(net.network()).checked_add(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

fn default_route(ipv4: bool) -> IpNet {
    if ipv4 { IpNet::V4(ipnet::Ipv4Net::default()) } else { IpNet::V6(ipnet::Ipv6Net::default()) }
}
