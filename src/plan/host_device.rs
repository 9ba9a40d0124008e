//! A link of the host that becomes the container's.

use super::{
    add::{Attach, ObservedHost, PlanError},
    step::Step,
};

pub(super) fn steps(attach: &Attach<'_>, host: &ObservedHost) -> Result<Vec<Step>, PlanError> {
    match &host.source {
        Some(device) => Ok(vec![Step::MoveLink { link: device.name.clone(), name: attach.ifname.into() }]),
        None => Err(PlanError::NoDevice),
    }
}
