//! GC: what is stale and only ours, of this network.

use std::collections::HashSet;

use super::{addresses, attach, detach, ipam, overlay, records};
use crate::{
    cni::Request,
    config::{Attachment, Mode, NativeConfig, NetworkConfig},
    error::{Error, Result},
    nft::{Nft, ruleset::Element},
    rtnl::Rtnl,
    store::{self, Record, Store},
};

/// Answers GC: goes on after an error and reports all of them.
pub(super) fn gc(request: &Request, config: &NetworkConfig) -> Result<()> {
    match &config.mode {
        // Of a later plugin, which may have done something for a runtime that asked for it in that one ADD.
        Mode::Chained if config.chained_type().is_some() => Error::all(collect_all(request, config, None)?),
        Mode::Chained => Ok(()),
        Mode::Loopback => Ok(()),
        Mode::Delegate(inner) => addresses::hand_over(request, config, inner),
        Mode::Native(native) => {
            let mut errors = collect_all(request, config, Some(native))?;
            errors.extend(match config.as_ipam {
                Some(_) => ipam::release_stale(config, native).err(),
                None => sweep(config).err(),
            });
            errors.extend(addresses::forward(request, config, native).err());
            errors.extend(overlay::tend(config, native).err());
            Error::all(errors)
        }
    }
}

fn collect_all(request: &Request, config: &NetworkConfig, native: Option<&NativeConfig>) -> Result<Vec<Error>> {
    let mut errors = Vec::new();
    for store in records::all(config)? {
        errors.extend(collect(request, config, native, &store)?);
    }
    Ok(errors)
}

fn collect(
    request: &Request,
    config: &NetworkConfig,
    native: Option<&NativeConfig>,
    store: &Store,
) -> Result<Vec<Error>> {
    let valid: Option<HashSet<&Attachment>> = config.valid_attachments.as_ref().map(|list| list.iter().collect());
    let rtnl = Rtnl::open()?;
    let mut errors = Vec::new();
    for attachment in store.list()? {
        if valid.as_ref().is_some_and(|valid| valid.contains(&attachment)) {
            continue;
        }
        // Somebody is at work on it: it is not stale.
        let Some(lock) = store.try_lock(&attachment)? else { continue };
        let collected = match store.read(&attachment) {
            // Without a list only what is provably dead goes.
            Ok(Some(record)) if valid.is_none() && lives(&rtnl, &record) => continue,
            Ok(Some(record)) => detach::detach_left(store, lock, &record, &request.path),
            Ok(None) | Err(store::Error::Garbled { .. })
                if valid.is_none() && detach::link_by_name(&rtnl, store.network(), &attachment)?.is_some() =>
            {
                continue;
            }
            // The first: begun and killed before anything was touched, or what it said was lost.
            damaged @ (Ok(None) | Err(store::Error::Garbled { .. })) => {
                damaged.err().iter().for_each(|error| tracing::warn!("{error}: going by the attachment's name"));
                detach::detach_garbled(store, lock).and_then(|()| match native {
                    Some(native) => addresses::release_unrecorded(&attachment, config, native, Some(store)),
                    None => Ok(()),
                })
            }
            Err(error) => Err(error.into()),
        };
        match collected {
            Ok(()) => tracing::info!(container = attachment.container_id, ifname = attachment.ifname, "collected"),
            Err(error) => errors.push(error),
        }
    }
    Ok(errors)
}

/// Takes away what attachments of the network shared and no one that is left does, and what those of all networks did.
fn sweep(config: &NetworkConfig) -> Result<()> {
    let Some(mut nft) = Nft::existing()? else { return Ok(()) };
    let mut shared = nft.list()?;
    shared.retain(|owned| owned.element.is_shared() && owned.owner.is_of(&config.name));
    if !shared.is_empty() {
        nft.delete_shared(|| match used(config) {
            Ok(used) => shared.iter().filter(|owned| !used.contains(&owned.element)).cloned().collect(),
            Err(_) => Vec::new(), // when it cannot be told, it is used
        })?;
    }
    Ok(nft.close_gates()?)
}

/// The elements that the network's records name.
fn used(config: &NetworkConfig) -> Result<HashSet<Element>> {
    let mut used = HashSet::new();
    for store in store::all(&config.state_dir)?.iter().filter(|store| store.network() == config.name) {
        for attachment in store.list()? {
            used.extend(store.read(&attachment)?.into_iter().flat_map(|record| record.elements));
        }
    }
    Ok(used)
}

/// When it cannot be told, it lives.
pub(super) fn lives(rtnl: &Rtnl, record: &Record) -> bool {
    match &record.host_link {
        Some(link) => attach::stands(rtnl, link).unwrap_or(true),
        None => !record.is_gone(),
    }
}
