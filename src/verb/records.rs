//! Where a plugin's records lie.

use crate::{
    config::NetworkConfig,
    error::Result,
    store::{ATTACHMENTS, Store},
};

/// The store of this configuration's records, made when it is not there.
pub(super) fn open(config: &NetworkConfig) -> Result<Store> {
    Ok(Store::open_of(&config.state_dir, &config.name, folder(config))?)
}

/// The store of this configuration's records, if there is one.
pub(super) fn existing(config: &NetworkConfig) -> Result<Option<Store>> {
    Ok(Store::existing_of(&config.state_dir, &config.name, folder(config))?)
}

fn folder(config: &NetworkConfig) -> &str {
    config.chained_type().unwrap_or(ATTACHMENTS)
}
