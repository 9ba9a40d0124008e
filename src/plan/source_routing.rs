//! Routing by source address: a rule for each of the container's addresses, and a table to which the routes of its link
//! are moved, so that two interfaces of a container can have a default route each.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use ipnet::IpNet;

use super::{
    add::{Attach, PlanError},
    check::{Differences, Expected, ObservedAttachment},
    step::{Place, Step},
};
use crate::{
    cni::result::IpConfig,
    config::SourceRoutingConfig,
    rtnl::values::{MAIN_TABLE, RouteEntry, SourceRule},
};

/// The first table that is taken, as in the reference plugin.
const FIRST_TABLE: u32 = 100;

/// `RT_SCOPE_LINK`.
const LINK_SCOPE: u8 = 253;
/// Made by the kernel (`RTPROT_KERNEL`).
const KERNEL: u8 = 2;
/// Metric of the kernel's own IPv6 routes.
const KERNEL_METRIC: u32 = 256;

/// What the sandbox holds before an ADD.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedRouting {
    /// Tables that rules or routes name.
    pub tables: BTreeSet<u32>,
    /// Routes of the main table by the container's link, when that is there.
    pub routes: Vec<RouteEntry>,
    /// The VRF in which that is.
    pub vrf: Option<String>,
}

/// What was done, so that it can be undone and compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SourceRouting {
    /// Rules that were added.
    pub rules: Vec<SourceRule>,
    /// Routes that were added to their tables.
    pub added: Vec<RouteEntry>,
    /// Routes that were taken from the main table.
    pub removed: Vec<RouteEntry>,
}

impl SourceRouting {
    /// What steps do of it; None when they do nothing.
    #[must_use]
    pub fn of(steps: &[Step]) -> Option<Self> {
        let mut done = Self::default();
        for step in steps {
            match step {
                Step::AddRule(rule) => done.rules.push(*rule),
                Step::ChangeRoute { change: RouteChange::Add, route, .. } => done.added.push(route.clone()),
                Step::ChangeRoute { change: RouteChange::Delete, route, .. } => done.removed.push(route.clone()),
                _ => {}
            }
        }
        Some(done).filter(|done| *done != Self::default())
    }
}

/// What is done to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RouteChange {
    Add,
    Replace,
    Delete,
}

impl fmt::Display for RouteChange {
    /// As `ip route` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Replace => "replace",
            Self::Delete => "del",
        })
    }
}

/// A route by a link, as `ip route` takes it.
pub(super) struct Entry<'a>(pub(super) &'a str, pub(super) &'a RouteEntry);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(link, route) = self;
        let via = route.gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
        let src = route.src.map(|src| format!(" src {src}")).unwrap_or_default();
        write!(f, "{}{via} dev {link}{src} table {}", route.dst, route.table)
    }
}

pub(super) fn steps(
    attach: &Attach<'_>,
    config: &SourceRoutingConfig,
    ips: &[IpConfig],
    observed: &ObservedRouting,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    if attach.config.link.is_none() && attach.inside.is_none() {
        return Err(PlanError::NoLink { ifname: attach.ifname.into() });
    }
    if let Some(vrf) = &observed.vrf {
        return Err(PlanError::InVrf { ifname: attach.ifname.into(), vrf: vrf.clone() });
    }
    if ips.is_empty() {
        return Err(PlanError::NoSource { ifname: attach.ifname.into() });
    }
    if let Some(table) = config.table {
        steps.extend(ips.iter().map(|ip| Step::AddRule(SourceRule { source: ip.address.addr(), table })));
        return Ok(());
    }
    let mut routes = observed.routes.clone();
    routes.extend(planned_routes(steps));
    let change = |change, route| Step::ChangeRoute { change, link: attach.ifname.into(), route };
    let mut tables = observed.tables.clone();
    for ip in ips {
        let table = (FIRST_TABLE..).find(|table| tables.insert(*table)).unwrap_or(FIRST_TABLE);
        steps.push(Step::AddRule(SourceRule { source: ip.address.addr(), table }));
        steps.extend(table_of(config, ip, &routes, table).into_iter().map(|route| change(RouteChange::Add, route)));
    }
    for route in routes.iter().filter(|route| !is_link_local(&route.dst)) {
        if config.add_source_hints && route.gw.is_none() {
            let hint = ips.iter().map(|ip| ip.address).find(|address| address.trunc() == route.dst);
            if let Some(address) = hint.filter(|_| route.src.is_none()) {
                let route = RouteEntry { src: Some(address.addr()), ..route.clone() };
                steps.push(change(RouteChange::Replace, route));
            }
        } else {
            steps.push(change(RouteChange::Delete, route.clone()));
        }
    }
    Ok(())
}

/// The routes of one address: what is on the link first, since next hops are found there.
fn table_of(config: &SourceRoutingConfig, ip: &IpConfig, routes: &[RouteEntry], table: u32) -> Vec<RouteEntry> {
    let ipv4 = ip.address.addr().is_ipv4();
    let of_family = |address: &&IpAddr| address.is_ipv4() == ipv4;
    let fixed = config.gateways.iter().find(of_family).copied();
    let belongs = |route: &&RouteEntry| {
        route.dst.addr().is_ipv4() == ipv4
            && [route.src, route.gw].iter().flatten().any(|address| ip.address.contains(address))
            || (route.dst.addr().is_ipv4() == ipv4 && route.src.is_none() && route.gw.is_none())
    };
    let is_default = |route: &RouteEntry| route.dst.prefix_len() == 0;
    let mut own: Vec<RouteEntry> =
        routes.iter().filter(belongs).filter(|route| fixed.is_none() || !is_default(route)).cloned().collect();
    if let Some(gw) = fixed.or(ip.gateway)
        && !own.iter().any(is_default)
    {
        own.push(RouteEntry { gw: Some(gw), ..RouteEntry::to(unspecified(ipv4)) });
    }
    own.sort_by_key(|route| route.gw.is_some());
    own.into_iter().map(|route| RouteEntry { table, oif: None, ..route }).collect()
}

/// The routes of the main table that steps make in the sandbox, the kernel's own for an address among them.
fn planned_routes(steps: &[Step]) -> Vec<RouteEntry> {
    let mut routes = Vec::new();
    for step in steps {
        match step {
            Step::AddAddress { place: Place::Sandbox, address, flags, .. } if !flags.no_prefix_route => {
                let own = RouteEntry::to(address.trunc());
                routes.push(match address {
                    IpNet::V4(net) => {
                        RouteEntry { src: Some(net.addr().into()), scope: Some(LINK_SCOPE), protocol: KERNEL, ..own }
                    }
                    IpNet::V6(_) => RouteEntry { priority: Some(KERNEL_METRIC), protocol: KERNEL, ..own },
                });
            }
            Step::AddRoute { place: Place::Sandbox, route, src, .. }
                if route.table.is_none_or(|table| table == MAIN_TABLE) =>
            {
                routes.push(RouteEntry {
                    gw: route.gw,
                    src: *src,
                    priority: route.priority,
                    scope: route.scope,
                    mtu: route.mtu,
                    advmss: route.advmss,
                    ..RouteEntry::to(route.dst)
                });
            }
            _ => {}
        }
    }
    routes.retain(|route| {
        route.dst.prefix_len() < route.dst.max_prefix_len() || route.gw.is_some() || route.protocol != KERNEL
    });
    routes
}

fn unspecified(ipv4: bool) -> IpNet {
    if ipv4 { IpNet::V4(ipnet::Ipv4Net::default()) } else { IpNet::V6(ipnet::Ipv6Net::default()) }
}

/// It is no more than the link's, and IPv6 needs it there.
fn is_link_local(dst: &IpNet) -> bool {
    matches!(dst, IpNet::V6(net) if net.addr().is_unicast_link_local())
}

/// Compares the rules and the tables.
pub(super) fn compare(
    done: &SourceRouting,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    for rule in &done.rules {
        if !observed.rules.contains(&(Some(rule.source), rule.table)) {
            found.add(format!("rule {rule} in the container"), "present", "missing");
        }
    }
    for route in &done.added {
        let is_it = |entry: &&RouteEntry| entry.dst == route.dst && entry.table == route.table && entry.gw == route.gw;
        if !observed.routes.iter().any(|entry| is_it(&entry)) {
            let via = route.gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
            let what =
                format!("route {}{via} dev {} of table {} in the container", route.dst, expected.ifname, route.table);
            found.add(what, "present", "missing");
        }
    }
}
