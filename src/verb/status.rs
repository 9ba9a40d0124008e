//! STATUS: could an ADD succeed now? Loads nothing.

use super::addresses;
use crate::{
    cni::Request,
    config::{Mode, NetworkConfig},
    error::{Error, Result},
    kernel::{FeatureRef, Provision, provision},
    plan,
};

/// Answers STATUS.
pub(super) fn status(request: &Request, config: &NetworkConfig) -> Result<()> {
    let mut reasons = kernel_reasons(config);
    match &config.mode {
        Mode::Chained => {}
        Mode::Delegate(inner) => addresses::hand_over(request, config, inner)?,
        Mode::Native(native) => reasons.extend(addresses::unavailable(request, config, native)?),
    }
    if reasons.is_empty() { Ok(()) } else { Err(Error::NotAvailable(reasons)) }
}

/// What the kernel lacks and nothing here can bring.
fn kernel_reasons(config: &NetworkConfig) -> Vec<String> {
    let needs = plan::needs(config);
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
