//! The plan of an ADD on a bridge.

use std::{borrow::Cow, net::IpAddr};

use ipnet::IpNet;

use super::{
    bandwidth, bridge, firewall, host_device, host_ports, ptp, sandbox, single,
    source_routing::{self, ObservedRouting},
    step::{Place, Setting, Step},
    tuning,
    vrf::{self, ObservedVrf},
};
use crate::{
    cni::{
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{LinkConfig, NativeConfig},
    nft::ruleset::{Element, LinkName, NoLinkName, Owned, Owner},
    rtnl::values::{Link, PortFlags, Qdisc, SourceRule},
};

/// Everything an ADD must know that is not in the configuration.
#[derive(Debug, Clone)]
pub struct Attach<'a> {
    /// The network's keys.
    pub config: &'a NativeConfig,
    /// `CNI_IFNAME`.
    pub ifname: &'a str,
    /// Name of the veth's host end.
    pub host_link: &'a str,
    /// Its hardware address.
    pub host_mac: Mac,
    /// Its MTU in bytes, when it is there already.
    pub host_mtu: Option<u32>,
    /// The queueing disciplines that somebody gave it.
    pub qdiscs: &'a [Qdisc],
    /// The container's hardware address.
    pub sandbox_mac: Mac,
    /// The same, when it was asked for.
    pub requested_mac: Option<Mac>,
    /// The bridge's hardware address, if it has to be made.
    pub bridge_mac: Mac,
    /// The link of the host by which it reaches the container; empty when it is not known.
    pub gateway_link: &'a str,
    /// The container's link, when an earlier plugin of the chain made it.
    pub inside: Option<&'a Link>,
    /// Name of the ifb, if one has to be made.
    pub ifb: &'a str,
    /// Its hardware address.
    pub ifb_mac: Mac,
    /// Who owns the elements, as nft's comments show it.
    pub owner: Owner,
}

/// What the host holds before an ADD.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedHost {
    /// The link of the bridge's name.
    pub bridge: Option<Link>,
    /// The link that has the gateways' addresses, if that is not the bridge itself.
    pub gateway: Option<Link>,
    /// Addresses of the link that has the gateways'.
    pub gateway_addresses: Vec<IpNet>,
    /// Settings of the host's end as a bridge's port, when an earlier plugin of the chain made it one.
    pub port: Option<PortFlags>,
    /// Only from its known addresses may be sent by the port that an earlier plugin of the chain made.
    pub spoof_check: bool,
    /// What bridges forward passes the rules of nf_tables, which changes what a port must do for host ports.
    pub bridge_nf: bool,
    /// `net.ipv4.ip_forward` is on.
    pub forwarding_v4: bool,
    /// `net.ipv6.conf.all.forwarding` is on.
    pub forwarding_v6: bool,
    /// What the sandbox holds, where it is routed by source.
    pub routing: ObservedRouting,
    /// Links with routes from routers' advertisements that they take only while the host does not forward.
    pub advertised: Vec<String>,
    /// The link on which the container's stands, or that becomes it.
    pub source: Option<Link>,
    /// The sandbox has a link of the interface's name.
    pub taken: bool,
    /// What the sandbox holds, when the container's link goes into a VRF.
    pub vrf: ObservedVrf,
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
        "link {name} has address {present}, the network's gateway is {wanted}: \
         set \"forceAddress\" to replace it, or remove it with `ip addr del {present} dev {name}`"
    )]
    OtherAddress { name: String, present: IpNet, wanted: IpNet },
    /// An earlier plugin of the chain made no link of that name.
    #[error("the container has no link {ifname}, which an earlier plugin of the chain should have made")]
    NoLink { ifname: String },
    /// There is no address to route by.
    #[error("routing by source needs an address, and the container's link {ifname} has none")]
    NoSource { ifname: String },
    /// The link's routes are in a VRF's table.
    #[error(
        "{ifname} in the container is in VRF {vrf}, whose table is asked before rules by source are: leave out one of \
         \"vrf\" and \"sbr\""
    )]
    InVrf { ifname: String, vrf: String },
    /// The link's routes are in the table of a rule, where a VRF would not find them.
    #[error(
        "{ifname} in the container is routed by source (rule \"{rule}\"), and would have no routes in a VRF: leave out \
         one of \"sbr\" and \"vrf\""
    )]
    Ruled { ifname: String, rule: SourceRule },
    /// There is no link of the host whose traffic could be limited.
    #[error(
        "bandwidth cannot be limited: the container's link {ifname} is no end of a veth pair whose other end is on the host"
    )]
    NoHostLink { ifname: String },
    /// Somebody else arranges the traffic of the host's link.
    #[error(
        "bandwidth cannot be limited: link {link} has the queueing discipline {kind} already, see `tc qdisc show dev {link}`"
    )]
    Arranged { link: String, kind: String },
    /// A default route was asked for, and an address has no gateway.
    #[error("\"isDefaultGateway\" needs a gateway, and address {address} has none")]
    NoGateway { address: IpNet },
    /// The host's end of the container's link is not to be found.
    #[error(
        "\"ingressPolicy\" needs the host's end of {ifname}, and {ifname} is no veth: use it after a plugin such as \
         bridge or ptp, or leave it out"
    )]
    NoHostEnd { ifname: String },
    /// The parent of the container's link is not there.
    #[error("{}", no_parent(name.as_deref(), *in_sandbox))]
    NoParent { name: Option<String>, in_sandbox: bool },
    /// A link cannot carry more than its parent.
    #[error("\"mtu\" is {mtu}, and link {parent} has {limit}: expected 0 (the same) or at most that")]
    MtuAboveParent { mtu: u32, parent: String, limit: u32 },
    /// The device to be given away is not there.
    #[error("the host has no such link: neither a container has it already, nor can `ip link` show it")]
    NoDevice,
    /// The VRF's name belongs to something else.
    #[error("link {name} in the container is no VRF: choose another \"vrfname\"")]
    NotVrf { name: String },
    /// The VRF has another table.
    #[error("VRF {name} in the container has table {table}, not {wanted}: set \"table\" to that, or leave it out")]
    OtherTable { name: String, table: u32, wanted: u32 },
    /// The container's link is another's port.
    #[error("{ifname} in the container is a port of {master} already")]
    OtherMaster { ifname: String, master: String },
    /// The container has such an interface.
    #[error("the container has a link {ifname} already: choose another interface name, or remove it")]
    Taken { ifname: String },
    /// A name that no link can have.
    #[error(transparent)]
    Name(#[from] NoLinkName),
}

fn no_parent(name: Option<&str>, in_sandbox: bool) -> String {
    let place = if in_sandbox { "in the container" } else { "on the host" };
    match name {
        Some(name) => format!("there is no link {name} {place}, which \"master\" names"),
        None => format!("\"master\" is not set, and {place} no default route tells which link is meant"),
    }
}

/// Fills in what the IPAM left open: gateways when the host is one, next hops, default routes. Idempotent.
///
/// # Errors
/// [`PlanError::NoGateway`].
pub fn resolve(config: &NativeConfig, ips: &mut [IpConfig], routes: &mut Vec<Route>) -> Result<(), PlanError> {
    let (is_gateway, is_default_gateway) = match &config.link {
        Some(LinkConfig::Bridge(bridge)) => (bridge.is_gateway, bridge.is_default_gateway),
        Some(link) => (link.is_gateway(), false),
        None => return Ok(()),
    };
    if is_gateway {
        for ip in ips.iter_mut() {
            ip.gateway = ip.gateway.or_else(|| first_host(&ip.address));
        }
    }
    let gateway_of = |ipv4: bool| ips.iter().filter(|ip| ip.address.addr().is_ipv4() == ipv4).find_map(|ip| ip.gateway);
    if is_default_gateway {
        for ip in ips.iter() {
            let default = default_route(ip.address.addr().is_ipv4());
            if !routes.iter().any(|route| route.dst == default) {
                ip.gateway.ok_or(PlanError::NoGateway { address: ip.address })?;
                routes.push(Route::to(default)); // by that gateway, as below
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
    if host.taken {
        return Err(PlanError::Taken { ifname: attach.ifname.into() });
    }
    let mut steps = Vec::new();
    // First: a host port that is another's is refused before anything is made, and nothing can be sent yet.
    let elements = elements(attach, ips, host)?;
    if !elements.is_empty() {
        steps.push(Step::AddElements(elements.iter().map(|element| Owned::new(*element, &attach.owner)).collect()));
    }
    if let Some(link) = &attach.config.link {
        steps.extend(match link {
            LinkConfig::Bridge(bridge) => bridge::steps(attach, bridge, ips, host)?,
            LinkConfig::Ptp(ptp) => ptp::steps(attach, ptp, ips, host),
            LinkConfig::Single(single) => single::steps(attach, single, host)?,
            LinkConfig::HostDevice(_) => host_device::steps(attach, host)?,
        });
    }
    if let Some(config) = &attach.config.bandwidth {
        bandwidth::steps(attach, config, &mut steps)?;
    }
    if let Some(link) = &attach.config.link {
        sandbox::steps(attach, link, ips, routes, &host.vrf, &mut steps)?;
    } else if let Some(vrf) = &attach.config.vrf {
        steps.extend(vrf::steps(attach, vrf, &host.vrf)?);
    }
    if let Some(config) = &attach.config.host_ports {
        host_ports::steps(config, &elements, attach.gateway_link, &mut steps);
    }
    if let Some(config) = &attach.config.source_routing {
        source_routing::steps(attach, config, ips, &host.routing, &mut steps)?;
    }
    if let Some(config) = &attach.config.tuning {
        tuning::steps(attach, config, &mut steps)?;
    }
    if let Some(config) = &attach.config.firewall {
        firewall::steps(config, attach, host, &mut steps);
    }
    Ok(steps)
}

/// What nf_tables has to know of the attachment.
fn elements(attach: &Attach<'_>, ips: &[IpConfig], host: &ObservedHost) -> Result<Vec<Element>, PlanError> {
    let mut elements = Vec::new();
    if let Some(LinkConfig::Bridge(bridge)) = &attach.config.link {
        let port = LinkName::new(attach.host_link)?;
        if bridge.mac_spoof_check {
            elements.extend([Element::CheckedLink(port), Element::LinkAddress(port, attach.sandbox_mac)]);
        }
        if bridge.ip_spoof_check {
            elements.push(Element::CheckedSources(port));
            elements.extend(ips.iter().map(|ip| Element::LinkSource(port, ip.address.addr())));
        }
    }
    if let (true, Some(mac)) = (host.spoof_check, attach.config.configured_mac()) {
        elements.push(Element::LinkAddress(LinkName::new(attach.host_link)?, mac));
    }
    if attach.config.ip_masq() {
        elements.extend(ips.iter().flat_map(|ip| Element::masquerade(attach.config.reach(ip.address))));
    }
    if let Some(config) = &attach.config.host_ports {
        elements.extend(host_ports::elements(config, ips));
    }
    if let Some(config) = &attach.config.firewall {
        elements.extend(firewall::elements(config, attach, ips)?);
    }
    Ok(elements)
}

pub(super) const fn sysctl(place: Place, setting: Setting, value: &'static str, optional: bool) -> Step {
    Step::Sysctl { place, setting, value: Cow::Borrowed(value), optional }
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
