//! DEL: without netns, without prevResult, twice, after half an ADD: whatever is there goes.

use super::{addresses, detach, foreign, limits, loopback, records};
use crate::{
    cni::Request,
    config::{Mode, NetworkConfig, bandwidth::PLUGIN as BANDWIDTH},
    error::{Error, Result},
    store::{self, Store},
};

/// Answers DEL.
///
/// The record decides what goes, whatever the configuration says by now; without one, the configuration is asked.
pub(super) fn del(request: &Request, config: &NetworkConfig) -> Result<()> {
    for flaw in &config.flaws {
        tracing::warn!(network = config.name, "going on with DEL although {flaw}");
    }
    if config.mode == Mode::Loopback {
        return loopback::del(request);
    }
    let stores = records::of(config, &request.attachment())?;
    let mut had_record = false;
    for store in &stores {
        had_record |= del_recorded(store, request, config)?;
    }
    match &config.mode {
        Mode::Delegate(inner) => addresses::hand_over(request, config, inner),
        _ if had_record => Ok(()),
        Mode::Native(native) => Error::all(
            [detach::detach_unrecorded(request, config, native, &stores), foreign::undo(request, config)]
                .into_iter()
                .filter_map(Result::err)
                .collect(),
        ),
        Mode::Chained if config.chained_type() == Some(BANDWIDTH) => {
            limits::delete_unrecorded(&config.name, &request.attachment(), &stores)
        }
        Mode::Chained => foreign::undo(request, config),
        Mode::Loopback => Ok(()),
    }
}

/// Takes away what the record names; false when there is none that can be read.
fn del_recorded(store: &Store, request: &Request, config: &NetworkConfig) -> Result<bool> {
    let attachment = request.attachment();
    let Some(lock) = store.lock_existing(&attachment)? else { return Ok(false) };
    match store.read(&attachment) {
        Ok(Some(record)) => {
            // Or the reference plugin gave back what we gave, and gave something else since.
            let is_all = config.as_ipam.is_none() || addresses::lost(store, &record)?.is_empty();
            detach::detach_left(store, lock, &record, &request.path).map(|()| is_all)
        }
        // Begun and killed before anything was touched, or what it said was lost.
        Ok(None) => detach::detach_garbled(store, lock).map(|()| false),
        Err(error @ store::Error::Garbled { .. }) => {
            tracing::warn!("{error}: going by the attachment's name");
            detach::detach_garbled(store, lock).map(|()| false)
        }
        Err(error) => Err(error.into()),
    }
}
