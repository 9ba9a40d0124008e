//! What may reach a container, and that nobody else's firewall keeps it from being reached.

use super::{
    add::{Attach, ObservedHost, PlanError},
    step::Step,
};
use crate::{
    cni::result::IpConfig,
    config::{FirewallConfig, IngressPolicy},
    nft::ruleset::{Element, LinkName},
    rtnl::values::PortFlags,
};

/// What nf_tables has to know.
pub(super) fn elements(
    config: &FirewallConfig,
    attach: &Attach<'_>,
    ips: &[IpConfig],
) -> Result<Vec<Element>, PlanError> {
    let mut elements: Vec<_> = ips.iter().map(|ip| Element::Forwarded(ip.address.addr())).collect();
    if let Some(overlay) = &attach.config.overlay {
        // From the other hosts' containers: by the device, which takes frames from those hosts only.
        let device = LinkName::new(&overlay.device_in())?;
        elements.extend(ips.iter().map(|ip| Element::ForwardedVia(device, ip.address.addr())));
    }
    if config.ingress == IngressPolicy::Open {
        return Ok(elements);
    }
    if attach.gateway_link.is_empty() {
        return Err(PlanError::NoHostEnd { ifname: attach.ifname.into() });
    }
    let link = LinkName::new(attach.gateway_link)?;
    elements.push(Element::IsolatedBridge(link));
    if config.ingress == IngressPolicy::SameBridge {
        elements.push(Element::SameBridge(link));
    }
    Ok(elements)
}

/// What else it takes, once the elements are there: other programs' chains let the container through, and where
/// containers of a bridge are kept apart, the bridge does it for frames that no rule sees.
pub(super) fn steps(config: &FirewallConfig, attach: &Attach<'_>, host: &ObservedHost, steps: &mut Vec<Step>) {
    if let (IngressPolicy::Isolated, None, Some(flags)) = (config.ingress, &attach.config.link, host.port) {
        let flags = PortFlags { isolated: true, ..flags };
        steps.push(Step::SetPort { link: attach.host_link.into(), flags });
    }
    if steps.iter().flat_map(Step::elements).any(|owned| matches!(owned.element, Element::Forwarded(_))) {
        steps.push(Step::OpenGates { admin_chain: config.admin_chain.clone() });
    }
}
