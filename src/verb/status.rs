//! STATUS: could an ADD succeed now? Loads nothing.

use super::{addresses, overlay, records};
use crate::{
    cni::Request,
    config::{LinkConfig, Mode, NativeConfig, NetworkConfig},
    error::{Error, Result},
    kernel::{FeatureRef, Provision, provision},
    observe, plan,
    rtnl::Rtnl,
};

/// Answers STATUS.
///
/// What stands in the way of an ADD and carries the containers of the network, too (the kernel, the bridge), limits
/// those that there are; an exhausted pool does not.
pub(super) fn status(request: &Request, config: &NetworkConfig) -> Result<()> {
    let mut reasons = kernel_reasons(config);
    if let Mode::Native(native) = &config.mode {
        reasons.extend(bridge_reason(native)?);
        reasons.extend(parent_reason(native)?);
    }
    let degraded = match &config.mode {
        Mode::Native(native) => overlay::degraded(config, native)?,
        _ => Vec::new(),
    };
    let limited = !degraded.is_empty() || (!reasons.is_empty() && has_attachments(config)?);
    reasons.extend(degraded);
    match &config.mode {
        Mode::Chained | Mode::Loopback => {}
        Mode::Delegate(inner) => addresses::hand_over(request, config, inner)?,
        Mode::Native(native) => {
            let (native, unready) = overlay::foreseen(config, native)?;
            reasons.extend(unready);
            reasons.extend(addresses::unavailable(request, config, &native)?);
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Error::NotAvailable { reasons, limited }) }
}

/// What the kernel lacks and nothing here can bring.
fn kernel_reasons(config: &NetworkConfig) -> Vec<String> {
    let needs = plan::declared_needs(config);
    let features: Vec<FeatureRef> = needs.iter().map(|need| need.feature.clone()).collect();
    let lacking = provision(&features, config.kernel.loaders.as_deref()).into_iter().zip(needs);
    lacking
        .filter_map(|((feature, provision), need)| match provision {
            Provision::Missing(causes) => {
                let cause = causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
                Some(format!("the kernel lacks {feature}, needed for {}{cause}", need.why))
            }
            _ => None,
        })
        .collect()
}

/// The bridge's name belongs to something else. A missing bridge is no trouble: an ADD makes it.
fn bridge_reason(native: &NativeConfig) -> Result<Option<String>> {
    let Some(LinkConfig::Bridge(bridge)) = &native.link else { return Ok(None) };
    let link = Rtnl::open()?.link(&bridge.bridge)?;
    Ok(link.and_then(|link| plan::refuse_link(&link)).map(|error| error.to_string()))
}

/// The link that `master` names is not there.
fn parent_reason(native: &NativeConfig) -> Result<Option<String>> {
    let Some(LinkConfig::Single(single)) = &native.link else { return Ok(None) };
    if single.parent.as_ref().is_none_or(|parent| parent.in_sandbox || parent.name.is_none()) {
        return Ok(None);
    }
    let source = observe::observe_source(&Rtnl::open()?, None, native, None)?;
    Ok(plan::refuse_parent(single, source.as_ref()).map(|error| error.to_string()))
}

fn has_attachments(config: &NetworkConfig) -> Result<bool> {
    for store in records::all(config)? {
        if !store.list()?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
