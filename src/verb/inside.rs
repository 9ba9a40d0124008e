//! Links of a sandbox without an end on the host, as records know them.

use std::{fs::File, os::fd::AsFd};

use crate::{
    config::{LinkConfig, NativeConfig},
    error::{Error, Result},
    plan::{self, Attach},
    rtnl::{Link, Move, Rtnl},
    store::{Record, SandboxLink},
    sys::netns::{self, Sandbox},
};

/// What a record must say of the link before it is made or moved.
pub(super) fn announced(config: &NativeConfig, attach: &Attach<'_>, source: Option<&Link>) -> Option<SandboxLink> {
    match (&config.link, source) {
        (Some(LinkConfig::Single(_)), _) => Some(SandboxLink::Made { temporary: plan::name::temporary(&attach.owner) }),
        (Some(LinkConfig::HostDevice(_)), Some(device)) => Some(SandboxLink::Moved {
            name: device.name.clone(),
            mac: device.mac,
            alias: device.alias.clone(),
            up: device.up,
        }),
        _ => None,
    }
}

/// Whether the link is where the record says. Whoever has renamed it or given it another address has not taken it away.
pub(super) fn stands(record: &Record) -> Result<bool> {
    match (&record.sandbox_link, sandbox(record)?) {
        (Some(link), Some(sandbox)) => Ok(sandbox.run(|| find(&Rtnl::open()?, link, record))??.is_some()),
        _ => Ok(false),
    }
}

/// Takes the link away, or gives it back to the host. With the sandbox, what was made for it went; what was the host's
/// came back by itself, with another name.
pub(super) fn undo(record: &Record) -> Result<()> {
    let Some(link) = &record.sandbox_link else { return Ok(()) };
    match (link, sandbox(record)?) {
        (SandboxLink::Made { .. }, Some(sandbox)) => sandbox.run(|| {
            let rtnl = Rtnl::open()?;
            find(&rtnl, link, record)?.map_or(Ok(()), |link| Ok(rtnl.delete_link(&link, None)?))
        })?,
        (SandboxLink::Made { .. }, None) => Ok(()),
        (SandboxLink::Moved { name, .. }, Some(sandbox)) => {
            let host = netns::own()?;
            let taken = Rtnl::open()?.link(name)?.is_some();
            sandbox.run(|| give_back(&Rtnl::open()?, &host, taken, link, record))?
        }
        (SandboxLink::Moved { .. }, None) => rename(&Rtnl::open()?, link),
    }
}

/// Takes the link out of its VRF, and the VRF away when no other link is in it.
pub(super) fn leave_vrf(record: &Record) -> Result<()> {
    let Some(name) = &record.vrf else { return Ok(()) };
    let Some(sandbox) = sandbox(record)? else { return Ok(()) };
    sandbox.run(|| {
        let rtnl = Rtnl::open()?;
        let links = rtnl.links()?;
        let Some(vrf) = links.iter().find(|link| link.name == *name && link.kind.as_deref() == Some("vrf")) else {
            return Ok(());
        };
        let (own, others): (Vec<&Link>, Vec<&Link>) =
            links.iter().filter(|link| link.master == Some(vrf.index)).partition(|link| link.name == record.ifname);
        own.iter().try_for_each(|link| rtnl.set_master(link, None))?;
        if others.is_empty() {
            rtnl.delete_link(vrf, None)?;
        }
        Ok(())
    })?
}

/// The record's sandbox, if it is still there.
fn sandbox(record: &Record) -> Result<Option<Sandbox>> {
    match Sandbox::open(&record.netns.path) {
        Ok(sandbox) if sandbox.id() == record.netns.id => Ok(Some(sandbox)),
        Ok(_) | Err(netns::Error::NotNamespace { .. }) => Ok(None),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn find(rtnl: &Rtnl, wanted: &SandboxLink, record: &Record) -> Result<Option<Link>> {
    let mut links = rtnl.links()?;
    let alias = match wanted {
        SandboxLink::Made { .. } => record.owner().to_string(),
        SandboxLink::Moved { name, .. } => name.clone(),
    };
    if let Some(index) = links.iter().position(|link| link.alias.as_deref() == Some(&alias)) {
        return Ok(Some(links.swap_remove(index)));
    }
    // Between two steps of an ADD that was killed or failed.
    Ok(links.into_iter().find(|link| match wanted {
        SandboxLink::Made { temporary } => link.name == *temporary,
        SandboxLink::Moved { name, mac, .. } => link.mac == *mac && [name, &record.ifname].contains(&&link.name),
    }))
}

/// Gives a link back to the host that is nowhere recorded, and has its alias from the reference plugin `host-device`: its
/// name there.
pub(super) fn give_back_unrecorded(sandbox: &Sandbox, ifname: &str) -> Result<()> {
    let (host, on_host) = (netns::own()?, Rtnl::open()?);
    let found = sandbox.run(|| Rtnl::open()?.link(ifname))??;
    let Some((link, name)) = found.and_then(|link| link.alias.clone().map(|alias| (link, alias))) else {
        return Ok(());
    };
    if on_host.link(&name)?.is_some() {
        return Err(Error::HostNameTaken { link: link.name, name });
    }
    let to = Move { name: &name, alias: "", up: link.up };
    Ok(sandbox.run(|| Rtnl::open()?.move_link(&link, host.as_fd(), &to))??)
}

/// The kernel moves first and renames then: where the name is taken, the link would be left on the host under the
/// container's name for it.
fn give_back(rtnl: &Rtnl, host: &File, taken: bool, wanted: &SandboxLink, record: &Record) -> Result<()> {
    let SandboxLink::Moved { name, alias, up, .. } = wanted else { return Ok(()) };
    let Some(link) = find(rtnl, wanted, record)? else { return Ok(()) };
    if taken {
        return Err(Error::HostNameTaken { link: link.name, name: name.clone() });
    }
    let to = Move { name, alias: alias.as_deref().unwrap_or_default(), up: *up };
    Ok(rtnl.move_link(&link, host.as_fd(), &to)?)
}

/// Gives a link that the kernel brought back its name. Where that is another's, it stays as it is.
fn rename(rtnl: &Rtnl, wanted: &SandboxLink) -> Result<()> {
    let SandboxLink::Moved { name, mac, alias, up } = wanted else { return Ok(()) };
    let came_back = |link: &&Link| link.kind.is_none() && link.mac == *mac && link.alias.as_deref() == Some(name);
    let links = rtnl.links()?;
    let Some(link) = links.iter().find(came_back) else { return Ok(()) };
    Ok(rtnl.rename_link(link, &Move { name, alias: alias.as_deref().unwrap_or_default(), up: *up })?)
}
