//! DEL: without netns, without prevResult, twice, after half an ADD: whatever is there goes.

use super::{addresses, detach};
use crate::{
    cni::Request,
    config::{BridgeConfig, Mode, NetworkConfig},
    error::Result,
    store::{self, Store},
};

/// Answers DEL.
pub(super) fn del(request: &Request, config: &NetworkConfig) -> Result<()> {
    for flaw in &config.flaws {
        tracing::warn!(network = config.name, "going on with DEL although {flaw}");
    }
    match &config.mode {
        Mode::Delegate(inner) => addresses::hand_over(request, config, inner),
        Mode::Bridge(bridge) => del_attachment(request, config, Some(bridge)),
        // With a flawed configuration the record is all there is to go by.
        Mode::Chained if !config.flaws.is_empty() => del_attachment(request, config, None),
        Mode::Chained => Ok(()),
    }
}

fn del_attachment(request: &Request, config: &NetworkConfig, bridge: Option<&BridgeConfig>) -> Result<()> {
    let unrecorded = |store| match bridge {
        Some(bridge) => detach::detach_unrecorded(request, config, bridge, store),
        None => Ok(()),
    };
    let Some(store) = Store::existing(&config.state_dir, &config.name)? else { return unrecorded(None) };
    let attachment = request.attachment();
    let lock = store.lock(&attachment)?;
    match store.read(&attachment) {
        Ok(Some(record)) => detach::detach(&store, lock, &record, &request.path),
        Ok(None) => {
            store.remove(lock)?;
            unrecorded(Some(&store))
        }
        Err(error @ store::Error::Garbled { .. }) => {
            tracing::warn!("{error}: going by the attachment's name");
            detach::detach_by_name(&config.name, &attachment)?;
            addresses::release_lost(&store, &config.name, &attachment)?;
            store.remove(lock)?;
            unrecorded(Some(&store))
        }
        Err(error) => Err(error.into()),
    }
}
