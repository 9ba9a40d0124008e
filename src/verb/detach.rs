//! Taking an attachment away, from its record alone: what DEL, GC and a failed ADD do.

use std::{
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    slice,
};

use super::{addresses, holders, inside, limits};
use crate::{
    cni::Request,
    config::{Attachment, NativeConfig, NetworkConfig, bandwidth, firewall, host_ports, ipam::PROGRAMS},
    error::{Error, Result},
    nft::{
        Nft,
        ruleset::{Element, Flows, Owner},
    },
    plan,
    rtnl::{Link, RouteEntry, Rtnl},
    store::{Lock, Record, State, Store},
    sys::netns::Sandbox,
};

/// Takes away all that a record names, then the record. Missing things are success; nothing stops half-way.
///
/// # Errors
/// Everything that could not be taken away; the record stays then, for the next try.
pub(super) fn detach(store: &Store, lock: Lock, record: &Record, path: &[PathBuf]) -> Result<()> {
    let mut errors = Vec::new();
    // Elements before leases: an address is never given again while it is masqueraded for its old owner.
    // The socket is closed last: closing waits for the kernel to destroy what was deleted. Where a deputy deletes the
    // link, it waits for that, too.
    let mut nft = delete_elements(record).map_err(|error| errors.push(error));
    if let Ok(Some(nft)) = &mut nft
        && let Err(error) = holders::hand_over(store, record, nft)
    {
        tracing::warn!("{error}: `groundwork repair` gives host ports to the container's other networks");
    }
    let tables = nft.as_ref().ok().and_then(Option::as_ref).map(AsFd::as_fd);
    errors.extend(delete_host_link(record, tables).err());
    errors.extend(limits::delete(record).err());
    restore_settings(record);
    restore_routing(record);
    errors.extend(inside::leave_vrf(record).err());
    errors.extend(inside::undo(record).err());
    if errors.is_empty() {
        errors.extend(addresses::release(store, record, path).err());
    }
    if errors.is_empty() {
        errors.extend(store.remove(lock).err().map(Error::from));
    }
    drop(nft);
    Error::all(errors)
}

/// As [`detach`], of what another call left. Of one that did not come to its end the last words may be lost, so what bears
/// the attachment's name goes, too.
pub(super) fn detach_left(store: &Store, lock: Lock, record: &Record, path: &[PathBuf]) -> Result<()> {
    if record.state == State::Adding {
        delete_by_name(store, lock.attachment())?;
    }
    detach(store, lock, record, path)
}

fn delete_elements(record: &Record) -> Result<Option<Nft>> {
    if record.elements.is_empty() {
        return Ok(None);
    }
    let Some(mut nft) = Nft::existing()? else { return Ok(None) };
    nft.delete(&record.owned())?;
    end_flows(&mut nft, record);
    Ok(Some(nft))
}

/// Ends the flows by host ports that are gone; where that cannot be, they end by themselves.
fn end_flows(nft: &mut Nft, record: &Record) {
    let ports = record.elements.iter().filter(|element| plan::is_udp(element));
    let flows: Vec<Flows> = ports.filter_map(plan::followers).collect();
    if flows.is_empty() {
        return;
    }
    if let Err(error) = nft.end_udp_flows(&flows) {
        tracing::warn!("{error}: flows to host ports of UDP may go on for some minutes");
    }
}

/// Deletes the veth, if the link of its name is still the one that was made: the hardware address tells.
fn delete_host_link(record: &Record, tables: Option<BorrowedFd<'_>>) -> Result<()> {
    let Some(made) = &record.host_link else { return Ok(()) };
    let rtnl = Rtnl::open()?;
    match rtnl.link(&made.name)? {
        Some(link) if link.mac == Some(made.mac) => Ok(rtnl.delete_link(&link, tables)?),
        _ => Ok(()),
    }
}

/// Gives the container's link the settings that it had, where there still is one: a link without them works too.
fn restore_settings(record: &Record) {
    let Some(tuned) = record.tuned.filter(|_| !record.netns.is_gone()) else { return };
    let restored = Sandbox::open(&record.netns.path).map_err(Error::from).and_then(|sandbox| {
        sandbox.run(|| {
            let rtnl = Rtnl::open()?;
            let Some(link) = rtnl.link(&record.ifname)? else { return Ok(()) };
            Ok(rtnl.change(&link, &tuned)?)
        })?
    });
    if let Err(error) = restored {
        tracing::warn!(container = record.container_id, ifname = record.ifname, "settings are not as before: {error}");
    }
}

/// Takes the rules away, and puts back what was moved to their tables, where the link stands: a sandbox that routes
/// otherwise is no reason to fail.
fn restore_routing(record: &Record) {
    let Some(done) = record.source_routing.as_ref().filter(|_| !record.netns.is_gone()) else { return };
    let restored = Sandbox::open(&record.netns.path).map_err(Error::from).and_then(|sandbox| {
        sandbox.run(|| {
            let rtnl = Rtnl::open()?;
            done.rules.iter().try_for_each(|rule| rtnl.delete_rule(rule))?;
            let Some(link) = rtnl.link(&record.ifname)? else { return Ok(()) };
            let by_link = |route: &RouteEntry| RouteEntry { oif: Some(link.index), ..route.clone() };
            // What is on the link first: next hops are found there.
            let (far, near): (Vec<_>, Vec<_>) = done.removed.iter().partition(|route| route.gw.is_some());
            for route in near.into_iter().chain(far) {
                match rtnl.add_route(&by_link(route)) {
                    Err(error) if error.errno().is_none() => return Err(error.into()),
                    _ => {} // another plugin may have put it back, or taken what it needs
                }
            }
            Ok(done.added.iter().rev().try_for_each(|route| rtnl.delete_route(&by_link(route)))?)
        })?
    });
    if let Err(error) = restored {
        tracing::warn!(container = record.container_id, ifname = record.ifname, "routes are not as before: {error}");
    }
}

/// What can be taken away without a record: there never was an ADD, it is undone already, or its record was lost.
pub(super) fn detach_unrecorded(
    request: &Request,
    config: &NetworkConfig,
    native: &NativeConfig,
    stores: &[Store],
) -> Result<()> {
    let mut errors = Vec::new();
    let attachment = request.attachment();
    if native.link.is_some() && stores.is_empty() {
        // Not one record of the network is left, so the state folder itself may have been lost.
        errors.extend(delete_link_by_name(&config.name, &attachment).err());
        errors.extend(delete_elements_by_name(&config.name, &attachment, |_| true).err());
    }
    if native.bandwidth.is_some() {
        errors.extend(limits::delete_unrecorded(&config.name, &attachment, stores).err());
    }
    errors.extend(addresses::release_unrecorded(&attachment, config, native, stores.first()).err());
    match addresses::forward(request, config, native) {
        // Without a record of it, and a plugin that can't have done anything: the ADD never passed.
        Err(Error::Delegate(error)) if error.nothing_done() => tracing::warn!("going on with DEL although {error}"),
        forwarded => errors.extend(forwarded.err()),
    }
    Error::all(errors)
}

/// Takes away what bears the attachment's name when its record cannot be read, then the record.
pub(super) fn detach_garbled(store: &Store, lock: Lock) -> Result<()> {
    let attachment = lock.attachment();
    if store.is_of_links() {
        delete_link_by_name(store.network(), attachment)?;
    }
    delete_by_name(store, attachment)?;
    if store.is_of_links() || PROGRAMS.contains(&store.plugin()) {
        addresses::release_garbled(store, attachment)?;
    }
    Ok(store.remove(lock)?)
}

/// Takes away elements and limits that bear the attachment's name. Of a later plugin of the chain, only what such a
/// plugin makes: the rest is not its own.
fn delete_by_name(store: &Store, attachment: &Attachment) -> Result<()> {
    let (network, plugin) = (store.network(), store.plugin());
    let may_be = |types: &[&str]| {
        let is_one = types.iter().any(|one| plugin.starts_with(one));
        store.is_of_links() || plugin.starts_with("groundwork") || is_one
    };
    if may_be(&[host_ports::PLUGIN, firewall::PLUGIN]) {
        delete_elements_by_name(network, attachment, |element| store.is_of_links() || !element.is_of_link())?;
    }
    if may_be(&[bandwidth::PLUGIN]) {
        limits::delete_unrecorded(network, attachment, slice::from_ref(store))?;
    }
    Ok(())
}

fn delete_link_by_name(network: &str, attachment: &Attachment) -> Result<()> {
    let rtnl = Rtnl::open()?;
    match link_by_name(&rtnl, network, attachment)? {
        Some(link) => Ok(rtnl.delete_link(&link, None)?),
        None => Ok(()),
    }
}

/// The host's end that bears the attachment's name.
pub(super) fn link_by_name(rtnl: &Rtnl, network: &str, attachment: &Attachment) -> Result<Option<Link>> {
    let link = rtnl.link(&plan::name::veth(network, attachment, 0))?;
    Ok(link.filter(|link| link.kind.as_deref() == Some("veth")))
}

fn delete_elements_by_name(network: &str, attachment: &Attachment, which: impl Fn(&Element) -> bool) -> Result<()> {
    if let Some(mut nft) = Nft::existing()? {
        let owner = Owner::attachment(network, &attachment.container_id, &attachment.ifname);
        let mut owned = nft.list()?;
        owned.retain(|found| found.owner == owner && which(&found.element));
        nft.delete(&owned)?;
    }
    Ok(())
}
