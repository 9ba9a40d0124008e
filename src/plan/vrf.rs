//! A routing table of the container's own.

use ipnet::IpNet;

use super::{
    add::{Attach, PlanError},
    check::{Differences, Expected, ObservedAttachment},
    step::{Place, Step},
};
use crate::{
    cni::result::Route,
    config::VrfConfig,
    rtnl::values::{AddressFlags, Link, LinkKind, RouteEntry, SourceRule},
};

/// What a sandbox holds that a VRF has to do with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObservedVrf {
    /// All links.
    pub links: Vec<Link>,
    /// Addresses of the container's link, when it is there already.
    pub addresses: Vec<IpNet>,
    /// Its routes in the main table that somebody made.
    pub routes: Vec<RouteEntry>,
    /// A rule that routes by one of its addresses.
    pub rule: Option<SourceRule>,
}

/// The table: of the VRF that is there, as configured, or the first that none has.
pub(super) fn table(config: &VrfConfig, observed: &ObservedVrf) -> Result<u32, PlanError> {
    let of = |link: &Link| match link.detail {
        Some(LinkKind::Vrf { table }) => Some(table),
        _ => None,
    };
    match observed.links.iter().find(|link| link.name == config.name) {
        Some(link) => {
            let table = of(link).ok_or_else(|| PlanError::NotVrf { name: config.name.clone() })?;
            match config.table.filter(|wanted| *wanted != table) {
                Some(wanted) => Err(PlanError::OtherTable { name: config.name.clone(), table, wanted }),
                None => Ok(table),
            }
        }
        None => {
            let mut free = (1..).filter(|table| observed.links.iter().all(|link| of(link) != Some(*table)));
            Ok(config.table.or_else(|| free.next()).unwrap_or(1))
        }
    }
}

/// The VRF, and the container's link in it.
pub(super) fn enslave(
    attach: &Attach<'_>,
    config: &VrfConfig,
    observed: &ObservedVrf,
    table: u32,
) -> Result<Vec<Step>, PlanError> {
    let named = |name: &str| observed.links.iter().find(|link| link.name == name);
    let (name, vrf) = (&config.name, named(&config.name));
    let master = named(attach.ifname).and_then(|link| link.master);
    match (master, vrf) {
        (Some(index), Some(vrf)) if vrf.index == index => return Ok(Vec::new()),
        (Some(index), _) => {
            let other = observed.links.iter().find(|link| link.index == index);
            let master = other.map_or_else(|| format!("link {index}"), |link| link.name.clone());
            return Err(PlanError::OtherMaster { ifname: attach.ifname.into(), master });
        }
        (None, _) => {}
    }
    let mut steps = Vec::new();
    if vrf.is_none() {
        steps.push(Step::CreateLink {
            place: Place::Sandbox,
            name: name.clone(),
            parent: None,
            kind: LinkKind::Vrf { table },
            mac: None,
            mtu: None,
        });
    }
    if !vrf.is_some_and(|link| link.up) {
        steps.push(Step::SetUp { place: Place::Sandbox, link: name.clone() });
    }
    steps.push(Step::SetMaster { link: attach.ifname.into(), master: name.clone() });
    Ok(steps)
}

/// The same for a link that an earlier plugin of the chain made, which loses IPv6 addresses and routes on the way.
pub(super) fn steps(attach: &Attach<'_>, config: &VrfConfig, observed: &ObservedVrf) -> Result<Vec<Step>, PlanError> {
    if attach.inside.is_none() {
        return Err(PlanError::NoLink { ifname: attach.ifname.into() });
    }
    if let Some(rule) = observed.rule {
        return Err(PlanError::Ruled { ifname: attach.ifname.into(), rule });
    }
    let table = table(config, observed)?;
    let mut steps = enslave(attach, config, observed, table)?;
    if steps.is_empty() {
        return Ok(steps);
    }
    let (place, link) = (Place::Sandbox, attach.ifname);
    let flags = AddressFlags { nodad: true, ..AddressFlags::default() };
    let lost = observed.addresses.iter().filter(|address| matches!(address, IpNet::V6(_)));
    steps.extend(lost.map(|address| Step::AddAddress { place, link: link.into(), address: *address, flags }));
    // Those without a next hop first: others' next hops are reached by them.
    for direct in [true, false] {
        for entry in observed.routes.iter().filter(|entry| entry.gw.is_none() == direct) {
            let route = Route {
                dst: entry.dst,
                gw: entry.gw,
                mtu: entry.mtu,
                advmss: entry.advmss,
                priority: entry.priority,
                table: Some(table),
                scope: entry.scope,
            };
            steps.push(Step::AddRoute { place, link: link.into(), route, src: entry.src });
        }
    }
    Ok(steps)
}

/// Compares in which VRF the container's link is.
pub(super) fn compare(
    config: &VrfConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    let what = format!("VRF of {} in the container", expected.ifname);
    match &observed.master {
        None => found.add(what, &config.name, "none"),
        Some(master) if master.name != config.name => found.add(what, &config.name, &master.name),
        Some(master) => {
            let setting = master.detail.and_then(|kind| kind.setting()).unwrap_or_else(|| "no table".into());
            let wanted = config.table.map(|table| format!("table {table}"));
            if let Some(wanted) = wanted.filter(|wanted| *wanted != setting) {
                found.add(format!("VRF {} in the container", config.name), wanted, setting);
            }
        }
    }
}
