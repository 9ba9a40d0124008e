//! What the verbs have to do with an overlay.

use super::records;
use crate::{
    config::{Engine, NativeConfig, NetworkConfig, OverlayConfig},
    error::Result,
    kernel,
    overlay::{self, HostFile, Joined, Part},
    plan::{self, Difference},
    rtnl::Rtnl,
    store::Store,
};

/// The network as it is on this host, when it is part of an overlay; None when it is in none.
pub(super) fn attachable(config: &NetworkConfig, native: &NativeConfig) -> Result<Option<NativeConfig>> {
    let Some(overlay) = &native.overlay else { return Ok(None) };
    let (rtnl, mut native) = (Rtnl::open()?, native.clone());
    let part = find(config, overlay, &rtnl)?;
    overlay::settle(&mut native, &part.file)?; // before anything is touched
    establish(config, part, &rtnl)?;
    Ok(Some(native))
}

fn find(config: &NetworkConfig, overlay: &OverlayConfig, rtnl: &Rtnl) -> Result<Part> {
    Ok(Part::find(&config.name, &config.state_dir, overlay, rtnl)?)
}

fn establish(config: &NetworkConfig, part: Part, rtnl: &Rtnl) -> Result<Joined> {
    let joined = part.establish(&config.name, &config.state_dir, rtnl)?;
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
    let part = Part::find(&config.name, &config.state_dir, overlay, &Rtnl::open()?);
    let settled = part.and_then(|part| overlay::settle(&mut native, &part.file));
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
    let Some(overlay) = &native.overlay else { return Ok(()) };
    if overlay.engine == Engine::Etcd || records::existing(config)?.is_none() {
        return Ok(());
    }
    let rtnl = Rtnl::open()?;
    establish(config, find(config, overlay, &rtnl)?, &rtnl).map(drop)
}

/// Does for an overlay what an ADD would: for `groundwork sync`.
///
/// # Errors
/// As of an ADD.
pub fn sync(config: &NetworkConfig, overlay: &OverlayConfig) -> Result<Joined> {
    kernel::ensure(&plan::needs(config), config.kernel.loaders.as_deref())?;
    let rtnl = Rtnl::open()?;
    Ok(find(config, overlay, &rtnl)?.establish(&config.name, &config.state_dir, &rtnl)?)
}

/// Puts back what an overlay lacks, by the configuration that one of its attachments was made with; what that was, in
/// words. An agent does that for its own.
pub(super) fn repair(store: &Store, native: &NativeConfig, rtnl: &Rtnl) -> Result<Option<String>> {
    let Some(overlay) = &native.overlay else { return Ok(None) };
    let (network, state_dir) = (store.network(), store.state_dir());
    let joined = Part::find(network, state_dir, overlay, rtnl)?.establish(network, state_dir, rtnl)?;
    let done = joined.reconciled.map(|reconciled| reconciled.done);
    Ok(done.filter(|done| !done.is_nothing()).map(|done| format!("the overlay ({done})")))
}
