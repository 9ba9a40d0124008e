//! Who has what only one attachment can have.

use std::path::PathBuf;

use super::{attach, detach};
use crate::{
    config::NetworkConfig,
    error::Result,
    nft::ruleset::Owner,
    rtnl::Rtnl,
    store::{self, Store},
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
            detach::detach(store, lock, &record, path)?;
            freed = true;
        }
    }
    Ok(freed)
}
