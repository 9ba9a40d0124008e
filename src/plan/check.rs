//! What CHECK compares: the attachment as it was left with the attachment as it is.

use std::fmt;

use ipnet::IpNet;

use super::{
    add::ObservedHost,
    bandwidth,
    bridge::{self, gateway_address},
    ptp, single,
    source_routing::{self, SourceRouting},
    step::Setting,
    tuning, vrf,
};
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{LinkConfig, NativeConfig},
    nft::ruleset::{Gate, Owned},
    rtnl::values::{Link, LinkKind, MAIN_TABLE, PortVlan, RouteEntry, Shaper},
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
    /// Settings of the host, by their paths below /proc/sys, and their values.
    pub settings: &'a [(String, String)],
    /// What routing by source did.
    pub source_routing: Option<&'a SourceRouting>,
    /// Name of the ifb, where what the container sends is limited.
    pub ifb: &'a str,
}

/// What the kernel and the store hold of an attachment.
#[derive(Debug, Clone, Default)]
pub struct ObservedAttachment {
    /// What its network stands on.
    pub host: ObservedHost,
    /// The veth's host end.
    pub host_link: Option<Link>,
    /// The VLANs of that, as a bridge's port, in rising order.
    pub port_vlans: Vec<PortVlan>,
    /// Its addresses, when it is the container's gateway.
    pub host_addresses: Vec<IpNet>,
    /// The host's routes, when it has one to the container.
    pub host_routes: Vec<RouteEntry>,
    /// The container's end.
    pub sandbox_link: Option<Link>,
    /// The link whose port that is.
    pub master: Option<Link>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// The container's routes, of both families.
    pub routes: Vec<RouteEntry>,
    /// Those of the expected elements that are not there.
    pub missing_elements: Vec<Owned>,
    /// Settings of the host that have another value: path, as it was left, as it is.
    pub changed_settings: Vec<(String, String, String)>,
    /// Other programs' chains that do not let the container through.
    pub closed_gates: Vec<Gate>,
    /// What is wrong with the rules that the elements serve; None when they stand.
    pub broken_rules: Option<&'static str>,
    /// Values of the settings that are tuned, in the configuration's order; None for one that the kernel lacks.
    pub sysctls: Vec<Option<String>>,
    /// Rules of routing, each with its source and its table.
    pub rules: Vec<(Option<std::net::IpAddr>, u32)>,
    /// What limits what the host's end sends.
    pub shaper: Option<Shaper>,
    /// What limits what the ifb sends.
    pub ifb_shaper: Option<Shaper>,
    /// What the host's end receives goes to the ifb.
    pub redirected: bool,
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
    let link = expected.config.link.as_ref();
    if link.is_some_and(LinkConfig::has_host_end) {
        compare_host_link(expected, observed, &mut found);
    }
    match link {
        Some(LinkConfig::Bridge(bridge)) => bridge::compare(bridge, expected, observed, &mut found),
        Some(LinkConfig::Ptp(_)) => ptp::compare(expected, observed, &mut found),
        Some(LinkConfig::Single(single)) => single::compare(single, expected, observed, &mut found),
        Some(LinkConfig::HostDevice(_)) | None => {}
    }
    if link.is_some_and(LinkConfig::is_gateway) {
        compare_forwarding(expected, &observed.host, &mut found);
    }
    compare_sandbox(expected, observed, &mut found);
    if let Some(config) = &expected.config.vrf {
        vrf::compare(config, expected, observed, &mut found);
    }
    if let Some(config) = &expected.config.tuning {
        tuning::compare(config, expected, observed, &mut found);
    }
    if let Some(done) = expected.source_routing {
        source_routing::compare(done, expected, observed, &mut found);
    }
    if let Some(config) = &expected.config.bandwidth {
        bandwidth::compare(config, expected, observed, &mut found);
    }
    for Owned { element, .. } in &observed.missing_elements {
        found.add(
            format!("element {element} of nf_tables set {} groundwork {}", element.part().table(), element.set()),
            "present",
            "missing",
        );
    }
    // Forwarding is the bridge's to compare.
    let of_links = |setting: &str| !setting.ends_with("forward") && !setting.ends_with("/forwarding");
    for (setting, wanted, value) in observed.changed_settings.iter().filter(|(setting, ..)| of_links(setting)) {
        found.add(format!("setting {}", Setting(setting.clone())), wanted, value);
    }
    for gate in &observed.closed_gates {
        found.add(format!("rule of nf_tables chain {gate} that lets containers through"), "present", "missing");
    }
    if let Some(problem) = observed.broken_rules {
        let mut tables: Vec<_> = expected.elements.iter().map(|owned| owned.element.part().table()).collect();
        tables.sort_unstable();
        tables.dedup();
        let tables = list(tables.iter().map(|table| format!("{table} groundwork")));
        found.add(format!("nf_tables rules of table {tables}"), "as installed", problem);
    }
    for (address, holder) in &observed.lost_leases {
        found.add(format!("lease of {address}"), "held by this attachment", holder);
    }
    found.0
}

#[derive(Default)]
pub(super) struct Differences(Vec<Difference>);

impl Differences {
    pub(super) fn add(&mut self, what: impl ToString, expected: impl ToString, found: impl ToString) {
        self.0.push(Difference { what: what.to_string(), expected: expected.to_string(), found: found.to_string() });
    }
}

fn compare_host_link(expected: &Expected<'_>, observed: &ObservedAttachment, found: &mut Differences) {
    let name = expected.host_link;
    match &observed.host_link {
        None => found.add(format!("host link {name}"), "present", "missing"),
        Some(link) if !link.up => found.add(format!("host link {name}"), "up", "down"),
        Some(_) => {}
    }
}

fn compare_forwarding(expected: &Expected<'_>, host: &ObservedHost, found: &mut Differences) {
    for (family, ipv4, on) in [("IPv4", true, host.forwarding_v4), ("IPv6", false, host.forwarding_v6)] {
        let mut gateways = expected.ips.iter().filter_map(gateway_address);
        if !on && gateways.any(|gateway| gateway.addr().is_ipv4() == ipv4) {
            found.add(format!("{family} forwarding of the host"), "on", "off");
        }
    }
}

fn compare_sandbox(expected: &Expected<'_>, observed: &ObservedAttachment, found: &mut Differences) {
    let name = expected.ifname;
    let Some(link) = &observed.sandbox_link else {
        return found.add(format!("link {name} in the container"), "present", "missing");
    };
    if !link.up && expected.config.link.as_ref().is_some_and(|config| !config.stays_down()) {
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
    if expected.config.link.is_none() {
        return; // the rest is for who made the link
    }
    let is_ptp = matches!(expected.config.link, Some(LinkConfig::Ptp(_)));
    for ip in expected.ips {
        if !observed.addresses.contains(&ip.address) {
            let others = observed.addresses.iter().filter(|one| !is_the_kernels(one));
            found.add(format!("address of {name} in the container"), ip.address, list(others));
        } else if !is_ptp && !connected(&ip.address, link.index, &observed.routes) {
            found.add(format!("route to {} in the container", ip.address.trunc()), format!("dev {name}"), "missing");
        }
    }
    let main = main_table(observed.master.as_ref());
    let own: Vec<Route> = expected.ips.iter().filter(|_| is_ptp).flat_map(ptp::routes).collect();
    let moved = expected.source_routing.is_some();
    for route in own.iter().chain(expected.routes) {
        let is_there = |entry: &RouteEntry| is_route(route, entry, main) || (moved && is_moved(route, entry));
        if !observed.routes.iter().any(is_there) {
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

/// Whether a route of the kernel is this one of a result, in another table.
fn is_moved(route: &Route, entry: &RouteEntry) -> bool {
    is_route(&Route { table: Some(entry.table), ..route.clone() }, entry, entry.table)
}

/// The table in which a link's routes are that name none: its VRF's, or the main one.
#[must_use]
pub fn main_table(master: Option<&Link>) -> u32 {
    match master.and_then(|link| link.detail) {
        Some(LinkKind::Vrf { table }) => table,
        _ => MAIN_TABLE,
    }
}

/// Whether a route of the kernel is this one of a result; `main` is the table where it is if it names none.
#[must_use]
pub fn is_route(route: &Route, entry: &RouteEntry, main: u32) -> bool {
    entry.dst == route.dst.trunc()
        && entry.table == route.table.unwrap_or(main)
        && (route.gw.is_none() || entry.gw == route.gw)
        && route.priority.is_none_or(|metric| entry.priority == Some(metric))
}

pub(super) fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<_> = items.map(|item| item.to_string()).collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}
