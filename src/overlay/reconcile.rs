//! The kernel as it has to be for a device and its peers.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::errno::Errno;

use super::{
    Error,
    plan::{Change, Course, Device, Entries, Foreign, Host, Key, Observed, Todo, Value, difference, entries},
};
use crate::{
    nft::{Nft, socket::Base},
    rtnl::{self, AddressFlags, Link, LinkSettings, NewLink, RouteEntry, Rtnl},
    sys::sysctl,
};

/// Who made our routes and neighbours, as rtnetlink's number (`proto 103`). No routing daemon has it.
pub const PROTOCOL: u8 = 103;

/// What came of it.
#[derive(Debug, Clone)]
pub struct Reconciled {
    /// The device, as it was found or made.
    pub link: Link,
    /// What was done.
    pub done: Todo,
}

/// Reads what the kernel holds of an overlay.
///
/// # Errors
/// A refusal of netlink.
pub fn observe(rtnl: &Rtnl, nft: &mut Nft, device: &Device) -> Result<Observed, Error> {
    let link = rtnl.link(&device.name)?;
    let (mut addresses, mut found) = (Vec::new(), Entries::new());
    if let Some(link) = link.as_ref().filter(|link| link.kind.as_deref() == Some("vxlan")) {
        addresses = rtnl.addresses(link)?;
        addresses.retain(|address| !matches!(address, IpNet::V6(net) if net.addr().is_unicast_link_local()));
        found = observe_entries(rtnl, link)?;
    }
    let mut admitted = Vec::new();
    for set in device.guard().sets() {
        admitted.extend(nft.elements_of(device.guard().table(), &set.name)?);
    }
    let is_guarded = nft.base_of(&[device.guard()])? == Base::Current;
    Ok(Observed { link, addresses, entries: found, admitted, is_guarded })
}

/// The entries of a device, of ours and of whoever made permanent ones on it.
///
/// # Errors
/// A refusal of rtnetlink.
pub fn observe_entries(rtnl: &Rtnl, link: &Link) -> Result<Entries, Error> {
    let mut found = Entries::new();
    for ipv6 in [false, true] {
        let neighbours = rtnl.neighbours(link, ipv6)?;
        found.extend(neighbours.into_iter().map(|(ip, mac)| (Key::Neighbour(ip), Value::Mac(mac))));
        let routes = rtnl.routes_by(link, PROTOCOL, ipv6)?;
        found.extend(routes.into_iter().map(|route| (Key::Route(route.dst), Value::gateway(route.gw))));
    }
    let forwardings = rtnl.forwardings(link)?;
    found.extend(forwardings.into_iter().map(|(mac, vtep)| (Key::Forwarding(mac), Value::Vtep(vtep))));
    Ok(found)
}

/// Makes the kernel hold the device, the entries of these peers and no others, and take frames from them only. Where all
/// is right it only reads. `network`: whose it is. `peers` have been reviewed.
///
/// One process at a time may do this for a device.
///
/// # Errors
/// A device that is another's; a refusal of netlink.
pub fn reconcile(
    rtnl: &Rtnl,
    nft: &mut Nft,
    network: &str,
    device: &Device,
    peers: &[Host],
) -> Result<Reconciled, Error> {
    let observed = observe(rtnl, nft, device)?;
    let mut todo = Todo::new(network, device, peers, &observed)?;
    // Before anything can come in.
    if todo.guard || !todo.admit.is_empty() {
        nft.add_with(&[device.guard()], &todo.admit)?;
    }
    let link = ensure_device(rtnl, device, &todo, observed.link)?;
    if matches!(todo.course, Course::Change(_)) {
        // A link that was down has lost its routes and neighbours.
        todo.changes = difference(&entries(peers), &observe_entries(rtnl, &link)?);
    }
    apply(rtnl, &link, &todo.changes)?;
    if !todo.expel.is_empty() {
        nft.delete(&todo.expel)?;
    }
    Ok(Reconciled { link, done: todo })
}

/// Makes the device alone: who its peers are is somebody else's business.
///
/// # Errors
/// A device that is another's; a refusal of rtnetlink.
pub fn prepare(rtnl: &Rtnl, device: &Device) -> Result<Reconciled, Error> {
    let (found, course) = standing(rtnl, device)?;
    Ok(Reconciled { link: shape(rtnl, device, course, found)?, done: Todo::of_device(course) })
}

/// The device as it is found, and what has to be done about it and its bridge.
///
/// # Errors
/// A device that is another's; a refusal of rtnetlink.
pub(super) fn standing(rtnl: &Rtnl, device: &Device) -> Result<(Option<Link>, Course), Error> {
    let found = rtnl.link(&device.name)?;
    let mut course = device.course(found.as_ref())?;
    if let (Course::Keep, Some(name), Some(port)) = (course, &device.bridge, &found) {
        let bridge = rtnl.link(name)?.filter(|bridge| bridge.up && port.master == Some(bridge.index));
        if bridge.is_none_or(|bridge| as_device(device).of(&bridge) != as_device(device)) {
            course = Course::Change(LinkSettings::default());
        }
    }
    Ok((found, course))
}

/// Makes changes to a device's entries, in order.
///
/// # Errors
/// The refusal of the first that failed.
pub fn apply(rtnl: &Rtnl, link: &Link, changes: &[Change]) -> Result<(), Error> {
    for change in changes {
        match *change {
            Change::Put(Key::Neighbour(ip), Value::Mac(mac)) => rtnl.put_neighbour(link, ip, mac, PROTOCOL)?,
            Change::Put(Key::Forwarding(mac), Value::Vtep(vtep)) => rtnl.put_forwarding(link, mac, vtep)?,
            Change::Put(Key::Route(dst), Value::Gateway(gw)) => {
                rtnl.replace_onlink_route(&route(link, dst, Some(gw)))?;
            }
            Change::Remove(Key::Neighbour(ip), _) => rtnl.delete_neighbour(link, ip)?,
            Change::Remove(Key::Forwarding(mac), _) => rtnl.delete_forwarding(link, mac)?,
            Change::Remove(Key::Route(dst), _) => rtnl.delete_route(&route(link, dst, None))?,
            Change::Put(..) => {} // no key has another kind of value
        }
    }
    Ok(())
}

/// Takes frames from these VTEPs, too, and from no stranger.
///
/// # Errors
/// A refusal of nf_tables.
pub fn admit(nft: &mut Nft, network: &str, device: &Device, vteps: &[IpAddr]) -> Result<(), Error> {
    Ok(nft.add_with(&[device.guard()], &device.elements(network, vteps))?)
}

/// Takes no frames from these VTEPs any more.
///
/// # Errors
/// A refusal of nf_tables.
pub fn expel(nft: &mut Nft, network: &str, device: &Device, vteps: &[IpAddr]) -> Result<(), Error> {
    Ok(nft.delete(&device.elements(network, vteps))?)
}

fn route(link: &Link, dst: IpNet, gw: Option<IpAddr>) -> RouteEntry {
    RouteEntry { gw, oif: Some(link.index), protocol: PROTOCOL, scope: Some(0), ..RouteEntry::to(dst) }
}

fn ensure_device(rtnl: &Rtnl, device: &Device, todo: &Todo, found: Option<Link>) -> Result<Link, Error> {
    let link = shape(rtnl, device, todo.course, found)?;
    let flags = AddressFlags { nodad: true, ..AddressFlags::default() };
    for address in &todo.addresses {
        unless(rtnl.add_address(&link, *address, flags), Errno::EEXIST)?;
    }
    for address in todo.stale_addresses.iter().filter(|_| todo.course != Course::Remake) {
        unless(rtnl.delete_address(&link, *address), Errno::EADDRNOTAVAIL)?;
    }
    Ok(link)
}

/// Makes the device, or what differs of it, and sets it up.
fn shape(rtnl: &Rtnl, device: &Device, course: Course, found: Option<Link>) -> Result<Link, Error> {
    let link = match (course, found) {
        (Course::Keep, Some(link)) => return Ok(link),
        (Course::Change(settings), Some(link)) => {
            if !settings.is_empty() {
                rtnl.change(&link, &settings)?;
            }
            link
        }
        (Course::Remake, Some(link)) => {
            rtnl.delete_link(&link, None)?;
            make(rtnl, device)?
        }
        _ => make(rtnl, device)?,
    };
    if link.alias.as_ref() != Some(&device.alias) {
        rtnl.set_alias(&link, &device.alias)?;
    }
    for (name, value) in [("addr_gen_mode", "1"), ("accept_ra", "0")] {
        // A kernel without IPv6 has no such settings.
        let _ = sysctl::write(&format!("net/ipv6/conf/{}/{name}", device.name), value);
    }
    if let Some(bridge) = &device.bridge {
        ensure_bridge(rtnl, bridge, device, &link)?;
    }
    match rtnl.set_up(&link) {
        Err(error) if error.errno() == Some(Errno::EADDRINUSE) => {
            Err(Error::PortTaken { device: device.name.clone(), port: device.port })
        }
        done => done.map(|()| link).map_err(Error::from),
    }
}

fn make(rtnl: &Rtnl, device: &Device) -> Result<Link, Error> {
    let Device { name, mac, mtu, .. } = device;
    let new = NewLink { name, kind: device.kind(), parent: None, mac: Some(*mac), mtu: Some(*mtu) };
    match rtnl.create_link(&new, None) {
        Err(error) if error.errno() == Some(Errno::EEXIST) => {
            let links = rtnl.links()?;
            return Err(device.rival(&links).map_or(Error::Rtnl(error), |rival| Foreign::of(rival).into()));
        }
        made => made?,
    }
    rtnl.link(name)?.ok_or_else(|| Error::Vanished(name.clone()))
}

/// The bridge whose only port the device is, with the device's hardware address: as FRR wants it for an L3 VNI.
fn ensure_bridge(rtnl: &Rtnl, name: &str, device: &Device, port: &Link) -> Result<(), Error> {
    unless(rtnl.create_bridge(name, device.mac, Some(device.mtu), false), Errno::EEXIST)?;
    let bridge = rtnl.link(name)?.ok_or_else(|| Error::Vanished(name.to_owned()))?;
    if bridge.kind.as_deref() != Some("bridge") {
        return Err(Foreign::of(&bridge).into());
    }
    let settings = as_device(device);
    if settings.of(&bridge) != settings {
        rtnl.change(&bridge, &settings)?;
    }
    rtnl.set_master(port, Some(&bridge))?;
    Ok(rtnl.set_up(&bridge)?)
}

/// What the bridge has from the device.
fn as_device(device: &Device) -> LinkSettings {
    LinkSettings { mac: Some(device.mac), mtu: Some(device.mtu), ..LinkSettings::default() }
}

/// One errno counts as success.
fn unless(done: Result<(), rtnl::Error>, fine: Errno) -> Result<(), rtnl::Error> {
    match done {
        Err(error) if error.errno() == Some(fine) => Ok(()),
        other => other,
    }
}
