//! Steps to the host, in order.

use std::{
    collections::HashMap,
    os::fd::{AsFd, BorrowedFd},
    thread,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use nix::errno::Errno;

use crate::{
    cni::{mac::Mac, result::Route},
    error::{Error, Result},
    kernel::Ready,
    nft::{
        Nft,
        ruleset::{Element, Flows},
    },
    plan::{self, Place, Setting, Step, source_routing::RouteChange},
    rtnl::{self, Link, Move, NewLink, RouteEntry, Rtnl, VethPair, values::MAIN_TABLE},
    sys::{netns::Sandbox, sysctl},
};

/// How long duplicate address detection may take; usually it is one to two seconds.
const DETECTION_LIMIT: Duration = Duration::from_secs(10);

/// The means with which steps are run.
pub struct Tools<'a> {
    /// A socket of the host's namespace.
    pub rtnl: &'a Rtnl,
    /// The container's namespace.
    pub sandbox: &'a Sandbox,
    /// A socket of the host's namespace; needed by element steps only.
    pub nft: Option<&'a mut Nft>,
    /// Links of the host that are known already.
    pub links: Links,
    /// Links of the sandbox that are known already.
    pub inside: Links,
}

/// Runs the steps of an ADD in order and stops at the first that fails. The kernel must have been made ready first.
///
/// The caller wrote the attachment's record before, so that whatever was done can be undone from it.
///
/// # Errors
/// The step's that failed.
pub fn apply_add(_ready: &Ready, steps: &[Step], tools: &mut Tools<'_>) -> Result<()> {
    for group in steps.chunk_by(|a, b| a.place() == b.place()) {
        match group.first().map(Step::place) {
            Some(Place::Host) => group.iter().try_for_each(|step| run_on_host(step, tools))?,
            Some(Place::Sandbox) => run_in_sandbox(group, tools.sandbox, &mut tools.inside)?,
            None => {}
        }
    }
    Ok(())
}

fn run_on_host(step: &Step, tools: &mut Tools<'_>) -> Result<()> {
    let (rtnl, links) = (tools.rtnl, &mut tools.links);
    match step {
        Step::CreateVeth { host, host_mac, bridge, place, peer, peer_mac, mtu } => {
            let master = bridge.as_ref().map(|bridge| links.named(rtnl, bridge)).transpose()?.map(|link| link.index);
            let pair = VethPair { host, host_mac: *host_mac, master, peer, peer_mac: *peer_mac, mtu: *mtu };
            match place {
                Place::Sandbox => {
                    let made = rtnl.create_veth(&pair, Some(tools.sandbox.as_fd()));
                    made.map_err(|error| full_bridge(bridge.as_deref(), error))?;
                }
                Place::Host => unless(rtnl.create_veth(&pair, None), Errno::EEXIST)?, // another ADD was faster
            }
        }
        Step::CreateLink { .. } => create_link(step, rtnl, links, Some(tools.sandbox.as_fd()))?,
        Step::MoveLink { link, name } => {
            let to = Move { name, alias: link, up: false };
            rtnl.move_link(links.named(rtnl, link)?, tools.sandbox.as_fd(), &to)?;
        }
        Step::AddElements(elements) => {
            if let Some(nft) = &mut tools.nft {
                nft.add(elements)?;
            }
        }
        Step::OpenGates { admin_chain } => {
            if let Some(nft) = &mut tools.nft {
                open_gates(admin_chain, nft)?;
            }
        }
        Step::EndFlows(ports) => {
            if let Some(nft) = &mut tools.nft {
                end_flows(ports, rtnl, nft)?;
            }
        }
        _ => run_anywhere(step, rtnl, links)?,
    }
    Ok(())
}

/// A gate whose owner does not let us is no reason not to attach: inside its network the container works.
fn open_gates(admin_chain: &str, nft: &mut Nft) -> Result<()> {
    let done = nft.open_gates(admin_chain)?;
    for gate in done.opened {
        tracing::info!(%gate, "lets containers through now");
    }
    for (gate, refusal) in done.refused {
        tracing::warn!(%gate, "cannot make it let containers through ({refusal}): allow their addresses there yourself");
    }
    Ok(())
}

/// Ends the flows that miss host ports of UDP.
fn end_flows(ports: &[Element], rtnl: &Rtnl, nft: &mut Nft) -> Result<()> {
    let own = rtnl.all_addresses()?;
    let stale: Vec<Flows> = ports.iter().flat_map(|port| plan::stale(port, &own)).collect();
    Ok(nft.end_udp_flows(&stale)?)
}

/// Runs consecutive steps of the sandbox in one visit; deleting the veth undoes them all.
fn run_in_sandbox(steps: &[Step], sandbox: &Sandbox, links: &mut Links) -> Result<()> {
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        steps.iter().try_for_each(|step| run_anywhere(step, &rtnl, links))
    })?
}

/// Runs a step that takes no more than a socket of the namespace that it is about.
pub(crate) fn run_anywhere(step: &Step, rtnl: &Rtnl, links: &mut Links) -> Result<()> {
    match step {
        Step::SetUp { link, .. } => rtnl.set_up(links.named(rtnl, link)?)?,
        Step::Sysctl { setting, value, optional, .. } => set(setting, value, *optional, rtnl, links)?,
        Step::AddAddress { link, address, flags, .. } => {
            // Another ADD was faster, or the link kept it on its way into a VRF.
            unless(rtnl.add_address(links.named(rtnl, link)?, *address, *flags), Errno::EEXIST)?;
        }
        Step::CreateLink { .. } => create_link(step, rtnl, links, None)?,
        Step::RenameLink { link, name, alias } => {
            rtnl.rename_link(links.named(rtnl, link)?, &Move { name, alias, up: false })?;
            links.rename(link, name);
        }
        Step::SetMaster { link, master } => {
            let master = links.named(rtnl, master)?.clone();
            rtnl.set_master(links.named(rtnl, link)?, Some(&master))?;
        }
        Step::AddRoute { link, route, src, .. } => {
            let entry = RouteEntry { src: *src, ..route_entry(route, links.named(rtnl, link)?.index) };
            unless(rtnl.add_route(&entry), Errno::EEXIST)?; // the kernel's own route of a subnet
        }
        Step::AddRule(rule) => rtnl.add_rule(rule)?,
        Step::ChangeRoute { change, link, route } => {
            let route = RouteEntry { oif: Some(links.named(rtnl, link)?.index), ..route.clone() };
            match change {
                RouteChange::Add => unless(rtnl.add_route(&route), Errno::EEXIST)?, // two say the same
                RouteChange::Replace => rtnl.replace_route(&route)?,
                RouteChange::Delete => rtnl.delete_route(&route)?,
            }
        }
        Step::ChangeLink { link, settings, .. } => {
            rtnl.change(links.named(rtnl, link)?, settings)?;
            links.readdress(link, settings.mac);
        }
        Step::AwaitDetection { link } => await_detection(rtnl, links.named(rtnl, link)?)?,
        _ => run_on_bridge_or_ifb(step, rtnl, links)?,
    }
    Ok(())
}

/// The same, of steps about what only the host has.
fn run_on_bridge_or_ifb(step: &Step, rtnl: &Rtnl, links: &mut Links) -> Result<()> {
    match step {
        Step::CreateBridge { name, mac, mtu, vlan_filtering } => {
            let made = rtnl.create_bridge(name, *mac, *mtu, *vlan_filtering);
            unless(made, Errno::EEXIST)?;
        }
        Step::FilterVlans { bridge } => rtnl.filter_vlans(links.named(rtnl, bridge)?)?,
        Step::SetPort { link, flags } => rtnl.set_port(link, *flags)?,
        Step::SetVlans { link, leave, trunk, native } => {
            let port = links.named(rtnl, link)?;
            leave.map_or(Ok(()), |vlan| rtnl.delete_port_vlan(port, vlan))?;
            rtnl.add_port_vlans(port, trunk, *native)?;
        }
        Step::DeleteAddress { link, address } => {
            let gone = rtnl.delete_address(links.named(rtnl, link)?, *address);
            unless(gone, Errno::EADDRNOTAVAIL)?;
        }
        Step::CreateIfb { name, mac, mtu } => rtnl.create_ifb(name, *mac, *mtu)?,
        Step::Shape { link, shaper } => rtnl.shape(links.named(rtnl, link)?, shaper)?,
        Step::Redirect { link, ifb } => {
            let to = links.named(rtnl, ifb)?.clone();
            rtnl.redirect(links.named(rtnl, link)?, &to)?;
        }
        // `run_on_host` runs these, which take more than a socket; the rest `run_anywhere` has run.
        Step::CreateVeth { .. }
        | Step::MoveLink { .. }
        | Step::AddElements(_)
        | Step::OpenGates { .. }
        | Step::EndFlows(_)
        | Step::SetUp { .. }
        | Step::Sysctl { .. }
        | Step::AddAddress { .. }
        | Step::CreateLink { .. }
        | Step::RenameLink { .. }
        | Step::SetMaster { .. }
        | Step::AddRoute { .. }
        | Step::AddRule(_)
        | Step::ChangeRoute { .. }
        | Step::ChangeLink { .. }
        | Step::AwaitDetection { .. } => {}
    }
    Ok(())
}

/// Gives a setting its value. Some are turned on by rtnetlink: see `rtnl::conf` for why.
fn set(setting: &Setting, value: &str, optional: bool, rtnl: &Rtnl, links: &mut Links) -> Result<()> {
    let Some((link, of_ipv4)) = setting.of_ipv4().filter(|_| value == "1") else {
        return match sysctl::write(&setting.0, value) {
            Err(error) if optional && error.source.raw_os_error() == Some(Errno::ENOENT as i32) => Ok(()),
            written => Ok(written?),
        };
    };
    match rtnl.turn_on(links.named(rtnl, link)?, of_ipv4) {
        // A link too small for IPv4.
        Err(error) if optional && error.errno() == Some(Errno::EAFNOSUPPORT) => Ok(()),
        done => Ok(done?),
    }
}

/// Makes a link whose parent is where `rtnl` is, in the sandbox, or there too.
fn create_link(step: &Step, rtnl: &Rtnl, links: &mut Links, sandbox: Option<BorrowedFd<'_>>) -> Result<()> {
    let Step::CreateLink { name, parent, kind, mac, mtu, .. } = step else { return Ok(()) };
    let parent = parent.as_ref().map(|parent| links.named(rtnl, parent)).transpose()?.map(|link| link.index);
    Ok(rtnl.create_link(&NewLink { name, kind: *kind, parent, mac: *mac, mtu: *mtu }, sandbox)?)
}

/// Waits until every address of a link, but the kernel's own, is known to be nobody else's.
fn await_detection(rtnl: &Rtnl, link: &Link) -> Result<()> {
    let start = Instant::now();
    loop {
        let mut unsettled = rtnl.unsettled_addresses(link)?;
        unsettled.retain(|one| !matches!(one.address, IpNet::V6(net) if net.addr().is_unicast_link_local()));
        let Some(first) = unsettled.iter().max_by_key(|one| one.duplicate) else { return Ok(()) };
        if first.duplicate || start.elapsed() > DETECTION_LIMIT {
            return Err(Error::NotUnique { address: first.address, duplicate: first.duplicate });
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A route of a result, over the link of that index.
pub(crate) fn route_entry(route: &Route, link: u32) -> RouteEntry {
    RouteEntry {
        gw: route.gw,
        oif: Some(link),
        priority: route.priority,
        table: route.table.unwrap_or(MAIN_TABLE),
        scope: route.scope,
        mtu: route.mtu,
        advmss: route.advmss,
        ..RouteEntry::to(route.dst)
    }
}

/// Says in words that a bridge takes no more ports, where that is why.
fn full_bridge(bridge: Option<&str>, error: rtnl::Error) -> Error {
    match bridge {
        Some(bridge) if error.errno() == Some(Errno::EXFULL) => Error::FullBridge { bridge: bridge.into() },
        _ => error.into(),
    }
}

/// One errno counts as success.
fn unless(done: Result<(), rtnl::Error>, fine: Errno) -> Result<(), rtnl::Error> {
    match done {
        Err(error) if error.errno() == Some(fine) => Ok(()),
        other => other,
    }
}

/// Links of one namespace, looked up once.
#[derive(Debug, Default)]
pub struct Links(HashMap<String, Link>);

impl FromIterator<Link> for Links {
    fn from_iter<I: IntoIterator<Item = Link>>(known: I) -> Self {
        Self(known.into_iter().map(|link| (link.name.clone(), link)).collect())
    }
}

impl Links {
    /// The link of that name.
    ///
    /// # Errors
    /// [`Error::NoLink`], or a refusal of rtnetlink.
    pub fn named(&mut self, rtnl: &Rtnl, name: &str) -> Result<&Link> {
        if !self.0.contains_key(name) {
            let link = rtnl.link(name)?.ok_or_else(|| Error::NoLink { name: name.into() })?;
            self.0.insert(name.into(), link);
        }
        Ok(&self.0[name])
    }

    /// It has another name now.
    fn rename(&mut self, from: &str, to: &str) {
        if let Some(link) = self.0.remove(from) {
            self.0.insert(to.into(), Link { name: to.into(), ..link });
        }
    }

    /// It has another hardware address now, if one is given.
    fn readdress(&mut self, name: &str, mac: Option<Mac>) {
        if let Some(link) = self.0.get_mut(name) {
            link.mac = mac.or(link.mac);
        }
    }

    /// The link of that name, if it was looked up.
    #[must_use]
    pub fn known(&self, name: &str) -> Option<&Link> {
        self.0.get(name)
    }
}
