//! What CHECK compares: the attachment as it was left with the attachment as it is.

use std::fmt;

use ipnet::IpNet;

use super::bridge::gateway_address;
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{BridgeConfig, LinkConfig, NativeConfig},
    nft::ruleset::Owned,
    rtnl::values::{Link, MAIN_TABLE, RouteEntry},
};

/// What an attachment should look like: as ADD left it, with what later plugins of the chain changed.
#[derive(Debug, Clone)]
pub struct Expected<'a> {
    /// The network's keys.
    pub config: &'a NativeConfig,
    /// Name of the veth's host end.
    pub host_link: &'a str,
    /// Name of the container's end.
    pub ifname: &'a str,
    /// The container's hardware address.
    pub sandbox_mac: Option<Mac>,
    /// Its addresses.
    pub ips: &'a [IpConfig],
    /// Its routes, next hops filled in.
    pub routes: &'a [Route],
    /// Elements of nf_tables.
    pub elements: &'a [Owned],
}

/// What the kernel and the store hold of an attachment.
#[derive(Debug, Clone, Default)]
pub struct ObservedAttachment {
    /// The link of the bridge's name.
    pub bridge: Option<Link>,
    /// Its addresses.
    pub bridge_addresses: Vec<IpNet>,
    /// IPv4 forwarding is on.
    pub forwarding_v4: bool,
    /// IPv6 forwarding is on.
    pub forwarding_v6: bool,
    /// The veth's host end.
    pub host_link: Option<Link>,
    /// The container's end.
    pub sandbox_link: Option<Link>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// The container's routes, of both families.
    pub routes: Vec<RouteEntry>,
    /// Those of the expected elements that are not there.
    pub missing_elements: Vec<Owned>,
    /// What is wrong with the rules that the elements serve; None when they stand.
    pub broken_rules: Option<&'static str>,
    /// Leases that are gone or another's, each with what was found.
    pub lost_leases: Vec<(std::net::IpAddr, String)>,
}

/// One thing that is not as it was left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The thing.
    pub what: String,
    /// As it was left.
    pub expected: String,
    /// As it is.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.what, self.expected, self.found)
    }
}

/// Compares, and names everything that differs.
#[must_use]
pub fn compare(expected: &Expected<'_>, observed: &ObservedAttachment) -> Vec<Difference> {
    let mut found = Differences::default();
    if let Some(LinkConfig::Bridge(bridge)) = &expected.config.link {
        compare_bridge(bridge, expected, observed, &mut found);
        compare_port(bridge, expected, observed, &mut found);
    }
    compare_sandbox(expected, observed, &mut found);
    for Owned { element, .. } in &observed.missing_elements {
        found.add(
            format!("element {element} of nf_tables set inet groundwork {}", element.set()),
            "present",
            "missing",
        );
    }
    if let Some(problem) = observed.broken_rules {
        found.add("nf_tables rules of table inet groundwork", "as installed", problem);
    }
    for (address, holder) in &observed.lost_leases {
        found.add(format!("lease of {address}"), "held by this attachment", holder);
    }
    found.0
}

#[derive(Default)]
struct Differences(Vec<Difference>);

impl Differences {
    fn add(&mut self, what: impl ToString, expected: impl ToString, found: impl ToString) {
        self.0.push(Difference { what: what.to_string(), expected: expected.to_string(), found: found.to_string() });
    }
}

fn compare_bridge(
    config: &BridgeConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    let name = &config.bridge;
    let Some(bridge) = &observed.bridge else {
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
    if !config.is_gateway {
        return;
    }
    for gateway in expected.ips.iter().filter_map(gateway_address) {
        if !observed.bridge_addresses.contains(&gateway) {
            let ipv4 = gateway.addr().is_ipv4();
            let present = observed.bridge_addresses.iter().filter(|one| one.addr().is_ipv4() == ipv4);
            found.add(format!("address of bridge {name}"), gateway, list(present));
        }
        let (family, on) = match gateway {
            IpNet::V4(_) => ("IPv4", observed.forwarding_v4),
            IpNet::V6(_) => ("IPv6", observed.forwarding_v6),
        };
        if !on {
            found.add(format!("{family} forwarding of the host"), "on", "off");
        }
    }
}

fn compare_port(
    config: &BridgeConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    let name = expected.host_link;
    let Some(link) = &observed.host_link else {
        return found.add(format!("host link {name}"), "present", "missing");
    };
    if !link.up {
        found.add(format!("host link {name}"), "up", "down");
    }
    if let Some(bridge) = &observed.bridge
        && link.master != Some(bridge.index)
    {
        let master = link.master.map_or("none".into(), |index| format!("link {index}"));
        found.add(format!("bridge of host link {name}"), &bridge.name, master);
    }
    if config.hairpin_mode && link.port.is_some_and(|port| !port.hairpin) {
        found.add(format!("hairpin mode of host link {name}"), "on", "off");
    }
}

fn compare_sandbox(expected: &Expected<'_>, observed: &ObservedAttachment, found: &mut Differences) {
    let name = expected.ifname;
    let Some(link) = &observed.sandbox_link else {
        return found.add(format!("link {name} in the container"), "present", "missing");
    };
    if !link.up {
        found.add(format!("link {name} in the container"), "up", "down");
    }
    if let Some(host) = &observed.host_link
        && (link.kind.as_deref() != Some("veth") || link.peer != Some(host.index) || host.peer != Some(link.index))
    {
        found.add(format!("link {name} in the container"), format!("peer of {}", host.name), "another's peer");
    }
    if let (Some(wanted), Some(mac)) = (expected.sandbox_mac, link.mac)
        && wanted != mac
    {
        found.add(format!("hardware address of {name}"), wanted, mac);
    }
    for ip in expected.ips {
        if !observed.addresses.contains(&ip.address) {
            let others = observed.addresses.iter().filter(|one| !is_the_kernels(one));
            found.add(format!("address of {name} in the container"), ip.address, list(others));
        } else if !connected(&ip.address, link.index, &observed.routes) {
            found.add(format!("route to {} in the container", ip.address.trunc()), format!("dev {name}"), "missing");
        }
    }
    for route in expected.routes {
        if !observed.routes.iter().any(|entry| matches(route, entry)) {
            let via = route.gw.map_or("present".into(), |gw| format!("via {gw}"));
            let others = observed.routes.iter().filter(|entry| entry.dst == route.dst);
            let others = list(others.filter_map(|entry| entry.gw.map(|gw| format!("via {gw}"))));
            found.add(format!("route {} in the container", route.dst), via, others);
        }
    }
}

/// An address that every link with IPv6 has.
fn is_the_kernels(address: &IpNet) -> bool {
    matches!(address, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

/// A single address (/32, /128) has no route of its own.
fn connected(address: &IpNet, link: u32, routes: &[RouteEntry]) -> bool {
    address.prefix_len() == address.max_prefix_len()
        || routes.iter().any(|entry| entry.dst == address.trunc() && entry.gw.is_none() && entry.oif == Some(link))
}

fn matches(route: &Route, entry: &RouteEntry) -> bool {
    entry.dst == route.dst.trunc()
        && entry.table == route.table.unwrap_or(MAIN_TABLE)
        && (route.gw.is_none() || entry.gw == route.gw)
        && route.priority.is_none_or(|metric| entry.priority == Some(metric))
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}
