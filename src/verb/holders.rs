//! Who has a host port, which only one attachment can have.

use std::path::PathBuf;

use super::{attach, detach};
use crate::{
    config::NetworkConfig,
    error::Result,
    nft::{
        Nft,
        ruleset::{Element, Owner},
    },
    rtnl::Rtnl,
    store::{self, Record, State, Store},
};

/// Undoes the attachment of an owner if it is dead for sure; whether anything was undone.
pub(super) fn free(config: &NetworkConfig, rtnl: &Rtnl, owner: &Owner, path: &[PathBuf]) -> Result<bool> {
    let mut freed = false;
    for store in store::all(&config.state_dir)? {
        if owner.is_of(store.network()) {
            freed |= free_in(&store, rtnl, owner, path)?;
        }
    }
    Ok(freed)
}

fn free_in(store: &Store, rtnl: &Rtnl, owner: &Owner, path: &[PathBuf]) -> Result<bool> {
    let mut freed = false;
    for attachment in store.list()? {
        if Owner::attachment(store.network(), &attachment.container_id, &attachment.ifname) != *owner {
            continue;
        }
        let lives = |link: &store::HostLink| attach::stands(rtnl, link).unwrap_or(true);
        if let Some(lock) = store.lock_if_dead(&attachment, lives)?
            && let Some(record) = store.read(&attachment)?
        {
            tracing::warn!(%owner, "undoing a dead attachment, whose host port is asked for");
            detach::detach_left(store, lock, &record, path)?;
            freed = true;
        }
    }
    Ok(freed)
}

/// Gives the host ports that a record leaves to the container's other networks that were given the same ones: a runtime
/// sends each network of a container all of its ports.
pub(super) fn hand_over(store: &Store, left: &Record, nft: &mut Nft) -> Result<()> {
    if !left.elements.iter().any(Element::is_kept) {
        return Ok(());
    }
    for heirs in store::all(store.state_dir())? {
        for attachment in heirs.list_of(&left.container_id)? {
            if heirs.network() == left.network && attachment.ifname == left.ifname {
                continue;
            }
            let Some(heir) = heirs.read(&attachment)?.filter(|heir| heir.state == State::Added) else { continue };
            let mut ports = heir.owned();
            ports.retain(|owned| {
                owned.element.is_kept() && left.elements.iter().any(|port| port.clashes(&owned.element))
            });
            nft.add(&ports)?;
        }
    }
    Ok(())
}
