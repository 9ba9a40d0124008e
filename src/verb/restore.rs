//! What an ADD would do for an attachment that is there, and of it what others have undone: found out by planning anew,
//! from the record alone.

use std::{ffi::OsString, io::ErrorKind, net::IpAddr};

use ipnet::IpNet;
use serde_json::Value;

use super::{overlay, repair::Repaired};
use crate::{
    apply::{self, Links},
    cni::{CniResult, Request, Version, mac::Mac},
    config::{LinkConfig, Mode, NativeConfig, NetworkConfig},
    error::{Error, Result},
    observe,
    plan::{self, Attach, ObservedHost, Place, Step, source_routing::RouteChange},
    rtnl::{
        Link, RouteEntry, Rtnl,
        values::{LinkKind, MAIN_TABLE, PortVlan},
    },
    store::{self, HostLink, Record, Store},
    sys::{netns::Sandbox, sysctl},
};

/// Of what is not there.
const NO_MAC: Mac = Mac([0; 6]);

/// Puts back what is missing of an attachment's links, addresses, routes, rules, limits and settings.
pub(super) fn restore(store: &Store, record: &Record, rtnl: &Rtnl, repaired: &mut Repaired) -> Result<()> {
    let Some(native) = configuration(record)? else { return Ok(()) };
    match overlay::repair(store, &native, rtnl) {
        Ok(done) => repaired.put_back.extend(done),
        Err(error) => repaired.failed.push(error.to_string()),
    }
    let sandbox = if record.netns.is_gone() { None } else { Some(Sandbox::open(&record.netns.path)?) };
    let inside = sandbox.as_ref().map(|sandbox| observe::inside(sandbox, &record.ifname)).transpose()?.flatten();
    if inside.is_none() && !native.link.as_ref().is_some_and(LinkConfig::has_host_end) {
        return Ok(());
    }
    let steps = steps(record, &native, rtnl, sandbox.as_ref(), inside.as_ref())?;
    let (outside, mut within): (Vec<_>, Vec<_>) = steps.into_iter().partition(|step| step.place() == Place::Host);
    put_all_back(&outside, rtnl, repaired);
    let (Some(sandbox), Some(inside)) = (sandbox, inside) else { return Ok(()) };
    let moved = moved_routes(store, record)?;
    within.retain(|step| !matches!(step, Step::AddRoute { route, .. } if moved.contains(&(route.dst, route.gw))));
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        // Of its VRF, if a later plugin has put it into one.
        let main = plan::main_table(observe::master_of(&rtnl, &inside)?.as_ref());
        for step in &mut within {
            if let Step::AddRoute { route, .. } = step {
                route.table = route.table.or(Some(main)).filter(|table| *table != MAIN_TABLE);
            }
        }
        put_all_back(&within, &rtnl, repaired);
        Ok(())
    })?
}

/// The configuration as the ADD had it. Older versions did not write it down.
fn configuration(record: &Record) -> Result<Option<NativeConfig>> {
    let Some(config) = &record.config else { return Ok(None) };
    let variable = |name: &str| {
        Some(OsString::from(match name {
            "CNI_COMMAND" => "ADD",
            "CNI_CONTAINERID" => &record.container_id,
            "CNI_IFNAME" => &record.ifname,
            "CNI_NETNS" => record.netns.path.to_str()?,
            "CNI_PATH" => "/", // no plugin is looked for
            _ => return None,
        }))
    };
    let parsed =
        NetworkConfig::parse(Value::Object(config.clone()).to_string().as_bytes(), &Request::parse(&variable)?)?;
    Ok(match parsed.mode {
        Mode::Native(native) => Some(*native),
        Mode::Chained | Mode::Delegate(_) | Mode::Loopback => None,
    })
}

/// All that an ADD does, were nothing there, with the names and numbers that the record has.
fn steps(
    record: &Record,
    native: &NativeConfig,
    rtnl: &Rtnl,
    sandbox: Option<&Sandbox>,
    inside: Option<&Link>,
) -> Result<Vec<Step>> {
    let result = record.result.as_ref().map(|result| CniResult::from_json(result, Version::NEWEST)).transpose()?;
    let CniResult { ips, routes, interfaces, .. } = result.unwrap_or_default();
    // Containers know a bridge that has to be made anew by this.
    let bridge_mac = interfaces.first().and_then(|bridge| bridge.mac.parse().ok()).unwrap_or(NO_MAC);
    let made_before = || Ok::<_, Error>(inside.map(|link| observe::host_end(rtnl, link)).transpose()?.flatten());
    let end = match (&record.host_link, &native.link) {
        (Some(made), _) => rtnl.link(&made.name)?,
        (None, None) => made_before()?,
        (None, Some(_)) => None,
    };
    let host_link = end.as_ref().map_or("", |link| &link.name);
    let gateway_link = match &native.link {
        Some(LinkConfig::Bridge(bridge)) => bridge.gateway_link(),
        None if !host_link.is_empty() => observe::gateway_link(rtnl, host_link)?,
        _ => host_link.to_owned(),
    };
    let mac = |link: Option<&HostLink>| link.map_or(NO_MAC, |link| link.mac);
    // Neither draws addresses nor moves routes: that was done.
    let native = NativeConfig { source_routing: None, ..native.clone() };
    let attach = Attach {
        config: &native,
        ifname: &record.ifname,
        host_link,
        host_mac: mac(record.host_link.as_ref()),
        host_mtu: end.as_ref().map(|link| link.mtu),
        qdiscs: &[],
        sandbox_mac: record.sandbox_mac.unwrap_or(NO_MAC),
        requested_mac: None,
        bridge_mac,
        gateway_link: &gateway_link,
        inside,
        ifb: record.ifb.as_ref().map_or("", |link| &link.name),
        ifb_mac: mac(record.ifb.as_ref()),
        owner: record.owner(),
    };
    let ipv6 = ips.iter().any(|ip| ip.address.addr().is_ipv6());
    let ObservedHost { bridge_nf, advertised, .. } = observe::observe_host(rtnl, &native, ipv6)?;
    let vrf = match sandbox.filter(|_| native.vrf.is_some()) {
        Some(sandbox) => observe::observe_vrf(sandbox, &record.ifname)?,
        None => plan::ObservedVrf::default(),
    };
    let port = end.as_ref().and_then(|link| link.port);
    let source = inside.cloned(); // what it stands on, or was, is not asked for
    let host = ObservedHost { bridge_nf, advertised, vrf, port, source, ..ObservedHost::default() };
    let mut steps = plan::plan_add(&attach, &ips, &routes, &host)?;
    if let Some(done) = &record.source_routing {
        let link = || record.ifname.clone();
        let add =
            |route: &RouteEntry| Step::ChangeRoute { change: RouteChange::Add, link: link(), route: route.clone() };
        steps.extend(done.rules.iter().copied().map(Step::AddRule));
        steps.extend(done.added.iter().map(add));
    }
    Ok(steps)
}

/// Routes of the attachment that routing by source has taken from the main table, be it a later plugin's.
fn moved_routes(store: &Store, record: &Record) -> Result<Vec<(IpNet, Option<IpAddr>)>> {
    let mut moved = Vec::new();
    for store in store::all(store.state_dir())?.iter().filter(|one| one.network() == store.network()) {
        if let Some(done) = store.read(&record.attachment())?.and_then(|record| record.source_routing) {
            moved.extend(done.removed.iter().map(|route| (route.dst, route.gw)));
        }
    }
    Ok(moved)
}

fn put_all_back(steps: &[Step], rtnl: &Rtnl, repaired: &mut Repaired) {
    for step in steps {
        match put_back(step, rtnl) {
            Ok(false) => {}
            Ok(true) => repaired.put_back.push(format!("`{step}`")),
            Err(error) => repaired.failed.push(format!("`{step}`: {error}")),
        }
    }
}

/// Does what a step does if that is not so already; whether anything was done.
fn put_back(step: &Step, rtnl: &Rtnl) -> Result<bool> {
    if !is_undone(step, rtnl)? {
        return Ok(false);
    }
    match step {
        Step::CreateVeth { host, bridge: Some(bridge), .. } => {
            rtnl.set_master(&named(rtnl, host)?, Some(&named(rtnl, bridge)?))?;
        }
        _ => {
            if let Step::Redirect { link, .. } = step {
                rtnl.unredirect(&named(rtnl, link)?)?; // half of it may be there
            }
            apply::run_anywhere(step, rtnl, &mut Links::default())?;
        }
    }
    Ok(true)
}

fn named(rtnl: &Rtnl, name: &str) -> Result<Link> {
    rtnl.link(name)?.ok_or_else(|| Error::NoLink { name: name.into() })
}

/// Whether what a step did is not so any more. What cannot be put back one by one is taken to stand.
fn is_undone(step: &Step, rtnl: &Rtnl) -> Result<bool> {
    let link_of = |name| named(rtnl, name);
    Ok(match step {
        Step::CreateBridge { name, .. }
        | Step::CreateIfb { name, .. }
        | Step::CreateLink { name, kind: LinkKind::Vrf { .. }, .. } => rtnl.link(name)?.is_none(),
        Step::CreateVeth { host, bridge: Some(bridge), .. } | Step::SetMaster { link: host, master: bridge } => {
            link_of(host)?.master != Some(link_of(bridge)?.index)
        }
        Step::SetUp { link, .. } => !link_of(link)?.up,
        Step::SetPort { link, flags } => link_of(link)?.port != Some(*flags),
        Step::SetVlans { link, trunk, native, .. } => {
            let present = rtnl.port_vlans(&link_of(link)?)?;
            let tagged = trunk.iter().cloned().flatten().filter(|id| id != native);
            let mut wanted = tagged.map(|id| PortVlan { id, native: false });
            !present.contains(&PortVlan { id: *native, native: true }) || wanted.any(|vlan| !present.contains(&vlan))
        }
        Step::ChangeLink { link, settings, .. } => settings.of(&link_of(link)?) != *settings,
        Step::AddAddress { link, address, .. } => !rtnl.addresses(&link_of(link)?)?.contains(address),
        Step::AddRoute { link, route, .. } => {
            let index = link_of(link)?.index;
            let is_it = |entry: &RouteEntry| entry.oif == Some(index) && plan::is_route(route, entry, MAIN_TABLE);
            !rtnl.routes(route.dst.addr().is_ipv6())?.iter().any(is_it)
        }
        Step::ChangeRoute { change: RouteChange::Add, route, .. } => {
            let is_it = |entry: &RouteEntry| (entry.dst, entry.table, entry.gw) == (route.dst, route.table, route.gw);
            !rtnl.routes(route.dst.addr().is_ipv6())?.iter().any(is_it)
        }
        Step::AddRule(rule) => !rtnl.rules(rule.source.is_ipv6())?.contains(&(Some(rule.source), rule.table)),
        Step::Shape { link, .. } => rtnl.shaper(&link_of(link)?)?.is_none(),
        Step::Redirect { link, ifb } => !rtnl.redirects(&link_of(link)?, &link_of(ifb)?)?,
        // What is optional in the container is the container's to change.
        Step::Sysctl { place, setting, value, optional } if !optional || *place == Place::Host => {
            match sysctl::read(&setting.0) {
                Err(error) if *optional && error.source.kind() == ErrorKind::NotFound => false,
                held => !held?.split_whitespace().eq(value.split_whitespace()),
            }
        }
        _ => false,
    })
}
