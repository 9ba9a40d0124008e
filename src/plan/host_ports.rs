//! Ports of the host that lead to a container.

use std::{fmt, net::IpAddr};

use super::{
    add::sysctl,
    step::{Place, Setting, Step},
};
use crate::{
    cni::result::IpConfig,
    config::{Destinations, HostPortsConfig},
    nft::ruleset::{Element, Flows, Protocol},
};

/// What nf_tables has to know: the ports lead to the container's first address of each family, as the reference has it.
pub(super) fn elements(config: &HostPortsConfig, ips: &[IpConfig]) -> Vec<Element> {
    let mut elements: Vec<Element> = Vec::new();
    for (ipv4, conditions) in [(true, &config.conditions_v4), (false, &config.conditions_v6)] {
        let Some(ip) = ips.iter().find(|ip| ip.address.addr().is_ipv4() == ipv4) else { continue };
        let before = elements.len();
        for mapping in &config.mappings {
            let to = (ip.address.addr(), mapping.container_port).into();
            let port = Element::host_port(mapping.host_ip, mapping.protocol, mapping.host_port, to);
            for element in port.into_iter().flat_map(|port| on_condition(port, conditions)) {
                // Of two that a condition brings together, the first has it.
                if !elements.iter().any(|earlier| earlier.clashes(&element)) {
                    elements.push(element);
                }
            }
        }
        if config.snat && elements.len() > before {
            elements.extend(Element::host_port_sources(ip.address, config.masq_all));
        }
    }
    elements
}

/// The port where a condition lets it be. An address that it leaves out keeps the port by an element of its own, which
/// goes before that of every address and leads to where the packet goes anyway.
fn on_condition(port: Element, conditions: &Destinations) -> Vec<Element> {
    let Element::HostPort { host_ip, protocol, host_port, .. } = port else { return vec![port] };
    let at = |address: &IpAddr| match port {
        Element::HostPort { to, .. } => Element::HostPort { host_ip: Some(*address), protocol, host_port, to },
        other => other,
    };
    match (conditions, host_ip) {
        (Destinations::Only(addresses), None) => addresses.iter().map(at).collect(),
        (Destinations::Only(addresses), Some(ip)) if !addresses.contains(&ip) => Vec::new(),
        (Destinations::Except(address), Some(ip)) if *address == ip => Vec::new(),
        (Destinations::Except(address), None) => {
            let to = (*address, host_port).into();
            vec![Element::HostPort { host_ip: Some(*address), protocol, host_port, to }, port]
        }
        _ => vec![port],
    }
}

/// What else it takes, once the elements are there and the link by which the host reaches the container is: 127.0.0.1
/// is routed to it, and flows that began before go its way.
pub(super) fn steps(config: &HostPortsConfig, elements: &[Element], gateway_link: &str, steps: &mut Vec<Step>) {
    let is_v4 = |element: &Element| matches!(element, Element::HostPort { to, .. } if to.is_ipv4());
    if config.snat && !gateway_link.is_empty() && elements.iter().any(is_v4) {
        steps.push(sysctl(Place::Host, Setting::conf("ipv4", gateway_link, "route_localnet"), "1", false));
    }
    let udp: Vec<Element> = elements.iter().filter(|element| is_udp(element)).copied().collect();
    if !udp.is_empty() {
        steps.push(Step::EndFlows(udp));
    }
}

/// Whether it is a host port whose flows outlive what they lead to: nothing in UDP tells its end.
#[must_use]
pub fn is_udp(element: &Element) -> bool {
    matches!(element, Element::HostPort { protocol: Protocol::Udp, host_ip, to, .. } if *host_ip != Some(to.ip()))
}

/// Flows to the port that may have begun before it led to its container. `own` are the host's addresses.
#[must_use]
pub fn stale(element: &Element, own: &[IpAddr]) -> Vec<Flows> {
    let Element::HostPort { host_ip, host_port, to, .. } = element else { return Vec::new() };
    let asked = host_ip.as_ref().map_or(own, std::slice::from_ref);
    let of_family = asked.iter().filter(|ip| ip.is_ipv4() == to.is_ipv4());
    of_family.map(|ip| Flows::To((*ip, *host_port).into())).collect()
}

/// Flows that go to a container by the port.
#[must_use]
pub const fn followers(element: &Element) -> Option<Flows> {
    match element {
        Element::HostPort { host_port, to, .. } => Some(Flows::Through { port: *host_port, to: *to }),
        _ => None,
    }
}

/// The command that ends a port's flows.
pub(super) struct EndFlows<'a>(pub(super) &'a Element);

impl fmt::Display for EndFlows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Element::HostPort { host_ip, host_port, protocol, to } = self.0 else { return Ok(()) };
        let family = if to.is_ipv4() { "ipv4" } else { "ipv6" };
        write!(f, "conntrack -D -f {family} -p {protocol} --orig-port-dst {host_port}")?;
        host_ip.map_or(Ok(()), |ip| write!(f, " --orig-dst {ip}"))
    }
}
