//! What the kernel holds now: reads, never writes.

mod source;

use std::net::IpAddr;

pub use source::observe_source;

use crate::{
    config::{BridgeConfig, LinkConfig, NativeConfig, TuningConfig, allow_list},
    error::{Error, Result},
    nft::{
        Nft,
        ruleset::{Element, LinkName, Owned, Owner},
        socket::Base,
    },
    plan::{Expected, ObservedAttachment, ObservedHost, ObservedVrf, PlanError, source_routing::ObservedRouting},
    rtnl::{
        Link, RouteEntry, Rtnl,
        values::{ADVERTISED, KERNEL, MAIN_TABLE, SourceRule},
    },
    sys::{netns::Sandbox, sysctl},
};

/// Reads what the plan of an ADD depends on. `ipv6`: an address of that family will be given.
///
/// # Errors
/// A refusal of rtnetlink; an unreadable setting.
pub fn observe_host(rtnl: &Rtnl, config: &NativeConfig, ipv6: bool) -> Result<ObservedHost> {
    let mut host = ObservedHost::default();
    if config.host_ports.as_ref().is_some_and(|ports| !ports.mappings.is_empty()) {
        host.bridge_nf = sysctl::read("net/bridge/bridge-nf-call-iptables").is_ok_and(|value| value == "1");
    }
    if let Some(LinkConfig::Bridge(bridge)) = &config.link {
        observe_bridge(rtnl, bridge, &mut host)?;
    }
    if config.link.as_ref().is_some_and(LinkConfig::is_gateway) {
        host.forwarding_v4 = rtnl.is_forwarding(false)?;
        host.forwarding_v6 = !ipv6 || rtnl.is_forwarding(true)?;
        if !host.forwarding_v6 {
            host.advertised = advertised(rtnl)?;
        }
    }
    Ok(host)
}

fn observe_bridge(rtnl: &Rtnl, config: &BridgeConfig, host: &mut ObservedHost) -> Result<()> {
    host.bridge = rtnl.link(&config.bridge)?;
    if !config.is_gateway {
        return Ok(());
    }
    if config.vlans.untagged.is_some() {
        host.gateway = rtnl.link(&config.gateway_link())?;
    }
    let gateway = if config.vlans.untagged.is_some() { &host.gateway } else { &host.bridge };
    if let Some(link) = gateway {
        host.gateway_addresses = addresses_of(rtnl, link)?;
    }
    Ok(())
}

/// The addresses that somebody gave a link: those that the kernel makes by itself are left out.
///
/// # Errors
/// A refusal of rtnetlink.
pub fn addresses_of(rtnl: &Rtnl, link: &Link) -> Result<Vec<ipnet::IpNet>> {
    let mut addresses = rtnl.addresses(link)?;
    addresses.retain(|address| match address {
        ipnet::IpNet::V4(_) => true,
        ipnet::IpNet::V6(net) => !net.addr().is_unicast_link_local(),
    });
    Ok(addresses)
}

/// Makes sure that the administrator lets a configuration tune what it names.
///
/// # Errors
/// A setting that is not allowed; a list that cannot be read or understood.
pub fn ensure_allowed(tuning: &TuningConfig) -> Result<()> {
    if tuning.sysctls.is_empty() {
        return Ok(());
    }
    match std::fs::read_to_string(allow_list::PATH) {
        Ok(text) => Ok(allow_list::check(&text, tuning)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::AllowListFile { source }),
    }
}

/// What routing by source address depends on: tables that are taken, and the routes by the container's link.
///
/// # Errors
/// A refusal of rtnetlink; a sandbox that cannot be entered.
pub fn routing(sandbox: &Sandbox, link: Option<&Link>) -> Result<ObservedRouting> {
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        let mut routing = ObservedRouting::default();
        for ipv6 in [false, true] {
            routing.tables.extend(rtnl.rules(ipv6)?.into_iter().map(|(_, table)| table));
            let routes = rtnl.routes(ipv6)?;
            routing.tables.extend(routes.iter().map(|route| route.table));
            let by_link = |route: &RouteEntry| {
                route.table == MAIN_TABLE && link.is_some_and(|link| route.oif == Some(link.index))
            };
            routing.routes.extend(routes.into_iter().filter(by_link));
        }
        let master = link.map(|link| master_of(&rtnl, link)).transpose()?.flatten();
        routing.vrf = master.filter(|master| master.kind.as_deref() == Some("vrf")).map(|master| master.name);
        Ok(routing)
    })?
}

/// The container's link; None when it has none of that name.
///
/// # Errors
/// A refusal of rtnetlink; a sandbox that cannot be entered.
pub fn inside(sandbox: &Sandbox, ifname: &str) -> Result<Option<Link>> {
    Ok(sandbox.run(|| Rtnl::open()?.link(ifname))??)
}

/// The host's end of the container's veth; None when the container's link is of another kind.
///
/// # Errors
/// A refusal of rtnetlink.
pub fn host_end(rtnl: &Rtnl, inside: &Link) -> Result<Option<Link>> {
    let is_veth = |link: &Link| link.kind.as_deref() == Some("veth");
    let Some(peer) = inside.peer.filter(|_| is_veth(inside)) else { return Ok(None) };
    Ok(rtnl.link_at(peer)?.filter(|link| is_veth(link) && link.peer == Some(inside.index)))
}

/// Whether a bridge's port of the host lets only known hardware addresses through, by an attachment's wish.
///
/// # Errors
/// When nf_tables cannot be asked; a name that no link can have.
pub fn spoof_check(port: &str, owner: &Owner) -> Result<bool> {
    let element = Element::CheckedLink(LinkName::new(port).map_err(PlanError::from)?);
    let asked = Nft::existing()?.map(|mut nft| nft.contains(&Owned::new(element, owner)));
    Ok(asked.transpose()?.unwrap_or(false))
}

/// The link of the host by which it reaches what is behind a link: the bridge whose port that is, or the link itself.
///
/// # Errors
/// A refusal of rtnetlink.
pub fn gateway_link(rtnl: &Rtnl, name: &str) -> Result<String> {
    let Some(master) = rtnl.link(name)?.and_then(|link| link.master) else { return Ok(name.into()) };
    let bridge = rtnl.links()?.into_iter().find(|link| link.index == master);
    Ok(bridge.map_or_else(|| name.into(), |link| link.name))
}

/// The first name of `names` that no link has.
///
/// # Errors
/// A refusal of rtnetlink.
pub fn free_name(rtnl: &Rtnl, names: impl IntoIterator<Item = String>) -> Result<Option<String>> {
    for name in names {
        if rtnl.link(&name)?.is_none() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Links over which a router's advertisement gave a route, and that would drop it once the host forwards.
fn advertised(rtnl: &Rtnl) -> Result<Vec<String>> {
    let routes = rtnl.routes(true)?;
    let indexes: Vec<u32> =
        routes.iter().filter(|route| route.protocol == ADVERTISED).filter_map(|route| route.oif).collect();
    if indexes.is_empty() {
        return Ok(Vec::new());
    }
    let links = rtnl.links()?.into_iter().filter(|link| indexes.contains(&link.index)).map(|link| link.name);
    let only_while_no_router =
        |name: &String| sysctl::read(&format!("net/ipv6/conf/{name}/accept_ra")).is_ok_and(|value| value == "1");
    Ok(links.filter(only_while_no_router).collect())
}

/// Reads everything that CHECK compares; leases are the store's to tell.
///
/// # Errors
/// A refusal of netlink; a sandbox that cannot be entered.
pub fn observe_attachment(expected: &Expected<'_>, sandbox: &Sandbox) -> Result<ObservedAttachment> {
    let rtnl = Rtnl::open()?;
    let ipv6 = expected.ips.iter().any(|ip| ip.address.addr().is_ipv6());
    let mut observed = ObservedAttachment {
        host: observe_host(&rtnl, expected.config, ipv6)?,
        host_link: named(&rtnl, expected.host_link)?,
        ..ObservedAttachment::default()
    };
    match (&expected.config.link, &observed.host_link) {
        (Some(LinkConfig::Bridge(bridge)), Some(port)) if bridge.vlans.are_used() => {
            observed.port_vlans = rtnl.port_vlans(port)?;
        }
        (Some(LinkConfig::Ptp(_)), Some(link)) => {
            observed.host_addresses = rtnl.addresses(link)?;
            observed.host_routes = routes(&rtnl, ipv6)?;
        }
        _ => {}
    }
    if matches!(expected.config.link, Some(LinkConfig::Single(_))) {
        observed.host.source = observe_source(&rtnl, Some(sandbox), expected.config, None)?;
    }
    sandbox.run(|| observe_sandbox(expected, ipv6, &mut observed))??;
    if let (Some(_), Some(link)) = (&expected.config.bandwidth, &observed.host_link) {
        observed.shaper = rtnl.shaper(link)?;
        if let Some(ifb) = named(&rtnl, expected.ifb)? {
            observed.ifb_shaper = rtnl.shaper(&ifb)?;
            observed.redirected = rtnl.redirects(link, &ifb)?;
        }
    }
    for (setting, wanted) in expected.settings {
        let found = sysctl::read(setting)?;
        if found != *wanted {
            observed.changed_settings.push((setting.clone(), wanted.clone(), found));
        }
    }
    if !expected.elements.is_empty() {
        let mut nft = Nft::open()?;
        // As in the plan: without addresses nothing of the container is forwarded.
        if let Some(firewall) = expected.config.firewall.as_ref().filter(|_| !expected.ips.is_empty()) {
            observed.closed_gates = nft.closed_gates(&firewall.admin_chain)?;
        }
        for owned in expected.elements {
            if !nft.contains(owned)? {
                observed.missing_elements.push(owned.clone());
            }
        }
        observed.broken_rules = match nft.base(expected.elements.iter().map(|owned| &owned.element))? {
            Base::Current => None,
            Base::Absent => Some("missing"),
            Base::Outdated => Some("changed by another program or version"),
        };
    }
    Ok(observed)
}

/// The link of that name, if it has one and is there.
fn named(rtnl: &Rtnl, name: &str) -> Result<Option<Link>> {
    if name.is_empty() { Ok(None) } else { Ok(rtnl.link(name)?) }
}

fn observe_sandbox(expected: &Expected<'_>, ipv6: bool, observed: &mut ObservedAttachment) -> Result<()> {
    let rtnl = Rtnl::open()?;
    for sysctl in expected.config.tuning.iter().flat_map(|tuning| &tuning.sysctls) {
        observed.sysctls.push(match sysctl::read(&sysctl.path(expected.ifname)) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => None,
            value => Some(value?),
        });
    }
    let Some(link) = rtnl.link(expected.ifname)? else { return Ok(()) };
    if expected.source_routing.is_some() {
        observed.rules = [rtnl.rules(false)?, rtnl.rules(true)?].concat();
    }
    observed.addresses = rtnl.addresses(&link)?;
    observed.routes = routes(&rtnl, ipv6)?;
    observed.master = master_of(&rtnl, &link)?;
    observed.sandbox_link = Some(link);
    Ok(())
}

/// The link whose port a link is.
///
/// # Errors
/// A refusal of rtnetlink.
pub fn master_of(rtnl: &Rtnl, link: &Link) -> Result<Option<Link>> {
    Ok(link.master.map(|index| rtnl.link_at(index)).transpose()?.flatten())
}

/// Reads what a VRF has to do with, in the sandbox.
///
/// # Errors
/// A refusal of rtnetlink; a sandbox that cannot be entered.
pub fn observe_vrf(sandbox: &Sandbox, ifname: &str) -> Result<ObservedVrf> {
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        let mut observed = ObservedVrf { links: rtnl.links()?, ..ObservedVrf::default() };
        let Some(link) = observed.links.iter().find(|link| link.name == ifname) else { return Ok(observed) };
        observed.addresses = addresses_of(&rtnl, link)?;
        observed.routes = routes(&rtnl, true)?;
        let rules = [rtnl.rules(false)?, rtnl.rules(true)?].concat();
        let is_own = |source: &IpAddr| observed.addresses.iter().any(|address| address.addr() == *source);
        observed.rule =
            rules.into_iter().find_map(|(source, table)| Some(SourceRule { source: source.filter(is_own)?, table }));
        let is_made = |route: &RouteEntry| ![KERNEL, ADVERTISED].contains(&route.protocol);
        observed.routes.retain(|route| route.oif == Some(link.index) && route.table == MAIN_TABLE && is_made(route));
        Ok(observed)
    })?
}

fn routes(rtnl: &Rtnl, ipv6: bool) -> Result<Vec<RouteEntry>> {
    let mut routes = rtnl.routes(false)?;
    if ipv6 {
        routes.extend(rtnl.routes(true)?);
    }
    Ok(routes)
}
