//! The link on which a container's link stands, or that becomes it.

use std::{fs, path::Path};

use crate::{
    config::{HostDeviceConfig, LinkConfig, NativeConfig, ParentConfig},
    error::{Error, Result},
    rtnl::{Link, Rtnl, values::MAIN_TABLE},
    sys::netns::Sandbox,
};

/// Finds the link. `earlier` is the one that the chain has made so far, which ipvlan takes when none is named. Without a
/// sandbox, what would be in it is taken to be as the configuration says.
///
/// # Errors
/// A refusal of rtnetlink; a sandbox that cannot be entered.
pub fn observe_source(
    rtnl: &Rtnl,
    sandbox: Option<&Sandbox>,
    config: &NativeConfig,
    earlier: Option<&str>,
) -> Result<Option<Link>> {
    match &config.link {
        Some(LinkConfig::Single(single)) => match (&single.parent, sandbox) {
            (None, _) => Ok(None),
            (Some(parent), Some(sandbox)) if parent.in_sandbox => {
                sandbox.run(|| find_parent(&Rtnl::open()?, parent, earlier))?
            }
            (Some(parent), None) if parent.in_sandbox => {
                let name = parent.name.clone().unwrap_or_else(|| "MASTER".into());
                Ok(Some(Link { name, mtu: u32::MAX, ..Link::default() }))
            }
            (Some(parent), _) => find_parent(rtnl, parent, earlier),
        },
        Some(LinkConfig::HostDevice(device)) => find_device(rtnl, device),
        _ => Ok(None),
    }
}

fn find_parent(rtnl: &Rtnl, config: &ParentConfig, earlier: Option<&str>) -> Result<Option<Link>> {
    match config.name.as_deref().or(earlier) {
        Some(name) => Ok(rtnl.link(name)?),
        None => of_default_route(rtnl),
    }
}

/// That of the main table's best default route, IPv4 first.
fn of_default_route(rtnl: &Rtnl) -> Result<Option<Link>> {
    for ipv6 in [false, true] {
        let mut routes = rtnl.routes(ipv6)?;
        routes.retain(|route| route.dst.prefix_len() == 0 && route.table == MAIN_TABLE && route.oif.is_some());
        if let Some(best) = routes.into_iter().min_by_key(|route| route.priority.unwrap_or(0)) {
            return Ok(rtnl.links()?.into_iter().find(|link| Some(link.index) == best.oif));
        }
    }
    Ok(None)
}

fn find_device(rtnl: &Rtnl, config: &HostDeviceConfig) -> Result<Option<Link>> {
    match config {
        HostDeviceConfig::Name(name) => Ok(rtnl.link(name)?),
        HostDeviceConfig::Mac(mac) => Ok(rtnl.links()?.into_iter().find(|link| link.mac == Some(*mac))),
        HostDeviceConfig::Folder(folders) => {
            for folder in folders {
                if let Some(name) = link_in(folder)? {
                    return Ok(rtnl.link(&name)?);
                }
            }
            Ok(None)
        }
    }
}

/// The first link of a device: in its own folder, or in that of its virtio device.
fn link_in(device: &Path) -> Result<Option<String>> {
    let net = device.join("net");
    if let Some(name) = names(&net)?.into_iter().next() {
        return Ok(Some(name));
    }
    for virtio in names(device)?.iter().filter(|name| name.starts_with("virtio")) {
        if let Some(name) = names(&device.join(virtio).join("net"))?.into_iter().next() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What is in a folder, in order; nothing in one that is not there.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| Error::Sysfs { path: folder.into(), source })?,
    };
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    Ok(names)
}
