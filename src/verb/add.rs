//! ADD: the kernel first, then the network.

use serde_json::Value;

use crate::{
    cni::{CniResult, Request, result::pass_on},
    config::{IpamConfig, Mode, NetworkConfig},
    delegate::{Delegate, child},
    error::Result,
    kernel, plan,
    sys::capabilities,
};

use super::{
    attach, ipam, loopback, overlay,
    stages::{Stage, Stages},
};

/// Answers ADD with the result document.
pub(super) fn add(request: &Request, config: &NetworkConfig, stages: &Stages) -> Result<Value> {
    let loaders = config.kernel.loaders.as_deref();
    let ready = stages.time(Stage::Kernel, || kernel::ensure(&plan::needs(config), loaders));
    stages.note(ready.as_ref().map_or_else(|error| &*error.provided, |ready| ready.provided()));
    let ready = ready?;
    match &config.mode {
        Mode::Chained => pass_through(config),
        Mode::Delegate(inner) => {
            let plugin = Delegate::find(&inner.plugin_type, &request.path)?;
            let added = stages.time(Stage::Delegate, || plugin.add(&child::config(config, &inner.config)))?;
            Ok(pass_on(&added.document, config.cni_version)?)
        }
        Mode::Native(native) if config.as_ipam.is_some() => ipam::add(request, config, native),
        Mode::Native(native) => {
            if !matches!(native.ipam, Some(IpamConfig::Exec { .. })) {
                capabilities::keep_what_networks_need();
            }
            let on_this_host = overlay::attachable(config, native)?;
            attach::attach(request, config, on_this_host.as_ref().unwrap_or(native), &ready, stages)
        }
        Mode::Loopback => loopback::add(request, config),
    }
}

/// The chain's result so far, unchanged; an empty one at its head.
fn pass_through(config: &NetworkConfig) -> Result<Value> {
    match &config.prev_result {
        Some(previous) => Ok(pass_on(previous, config.cni_version)?),
        None => Ok(CniResult::default().to_json(config.cni_version)?),
    }
}
