//! What the verbs have to do with an overlay.

use std::path::Path;

use super::records;
use crate::{
    config::{Engine, NativeConfig, NetworkConfig, OverlayConfig},
    error::Result,
    overlay::{self, HostFile, Joined},
    plan::Difference,
    rtnl::Rtnl,
};

/// The network as it is on this host, when it is part of an overlay; None when it is in none.
pub(super) fn attachable(config: &NetworkConfig, native: &NativeConfig) -> Result<Option<NativeConfig>> {
    let Some(overlay) = &native.overlay else { return Ok(None) };
    let joined = join(config, overlay)?;
    let mut native = native.clone();
    overlay::settle(&mut native, &joined.file)?;
    Ok(Some(native))
}

fn join(config: &NetworkConfig, overlay: &OverlayConfig) -> Result<Joined> {
    let joined = overlay::join(&config.name, &config.state_dir, overlay, &Rtnl::open()?)?;
    for refused in &joined.refused {
        tracing::warn!(network = config.name, "{refused}");
    }
    if let Some(why) = &joined.unknown_peers {
        tracing::warn!(network = config.name, "the peers stay as they are: {why}");
    }
    if let Some(reconciled) = joined.reconciled.as_ref().filter(|reconciled| !reconciled.done.is_nothing()) {
        tracing::info!(network = config.name, "overlay: {}", reconciled.done);
    }
    Ok(joined)
}

/// The network as it would be on this host, as far as that can be told without changing anything; else why no ADD could
/// be served.
pub(super) fn foreseen(config: &NetworkConfig, native: &NativeConfig) -> Result<(NativeConfig, Vec<String>)> {
    let Some(overlay) = &native.overlay else { return Ok((native.clone(), Vec::new())) };
    let mut native = native.clone();
    let settled = overlay::foresee(&config.name, &config.state_dir, overlay, &Rtnl::open()?)
        .and_then(|file| overlay::settle(&mut native, &file));
    Ok((native, settled.err().map(|error| error.to_string()).into_iter().collect()))
}

/// What cuts off containers and is not repaired by the next ADD: what an agent has to see to.
pub(super) fn degraded(config: &NetworkConfig, native: &NativeConfig) -> Result<Vec<String>> {
    match &native.overlay {
        Some(overlay) if overlay.engine == Engine::Etcd && has_file(config) => {
            let status = overlay::status(&config.name, &config.state_dir, None, &Rtnl::open()?)?;
            Ok(status.problems)
        }
        _ => Ok(Vec::new()),
    }
}

fn has_file(config: &NetworkConfig) -> bool {
    HostFile::path(&config.state_dir, &config.name).exists()
}

/// What is not as the engine says.
pub(super) fn compare(config: &NetworkConfig, native: &NativeConfig) -> Result<Vec<Difference>> {
    let Some(overlay) = &native.overlay else { return Ok(Vec::new()) };
    let mut status = overlay::status(&config.name, &config.state_dir, Some(overlay), &Rtnl::open()?)?;
    status.refused.clear(); // of hosts that are no peers
    let difference =
        |found: String| Difference { what: "overlay".into(), expected: "as its engine says".into(), found };
    Ok(status.faults().into_iter().map(difference).collect())
}

/// GC comes again and again, also where no container does.
pub(super) fn tend(config: &NetworkConfig, native: &NativeConfig) -> Result<()> {
    match &native.overlay {
        Some(overlay) if overlay.engine != Engine::Etcd && records::existing(config)?.is_some() => {
            join(config, overlay).map(drop)
        }
        _ => Ok(()),
    }
}

/// Does for an overlay what an ADD would: for `groundwork sync`.
///
/// # Errors
/// As of an ADD.
pub fn sync(config: &NetworkConfig, native: &OverlayConfig) -> Result<Joined> {
    let loaders = config.kernel.loaders.as_deref();
    crate::kernel::ensure(&crate::plan::needs(config), loaders)?;
    Ok(overlay::join(&config.name, &config.state_dir, native, &Rtnl::open()?)?)
}

/// Puts back what guards the overlays of networks: what was put back, and what could not be, by network.
///
/// # Errors
/// When the state folder cannot be read, or the kernel not be asked.
pub fn repair_overlays(state_dir: &Path, network: Option<&str>) -> Result<Vec<(String, overlay::Mended)>> {
    let rtnl = Rtnl::open()?;
    let mut all = Vec::new();
    for name in crate::store::networks(state_dir)? {
        if network.is_none_or(|network| network == name) {
            let mended = overlay::mend(&name, state_dir, &rtnl)?;
            all.extend((!mended.is_nothing()).then_some((name, mended)));
        }
    }
    Ok(all)
}
