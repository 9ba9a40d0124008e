//! What is tuned in the container: kernel settings of its namespace, settings of its link.

use std::borrow::Cow;

use super::{
    add::{Attach, PlanError},
    check::{Differences, Expected, ObservedAttachment},
    step::{Place, Setting, Step},
};
use crate::{
    config::{LinkConfig, TuningConfig},
    rtnl::values::LinkSettings,
};

/// Settings of the namespace, then of the link. Most links that are made here have their hardware address already.
pub(super) fn steps(attach: &Attach<'_>, config: &TuningConfig, steps: &mut Vec<Step>) -> Result<(), PlanError> {
    let has_mac = attach.config.link.as_ref().is_some_and(LinkConfig::is_born_with_mac);
    let settings = LinkSettings { mac: config.link.mac.filter(|_| !has_mac), ..config.link };
    if attach.config.link.is_none() && attach.inside.is_none() && !settings.is_empty() {
        return Err(PlanError::NoLink { ifname: attach.ifname.into() });
    }
    for sysctl in &config.sysctls {
        let setting = Setting(sysctl.path(attach.ifname));
        let value = Cow::Owned(sysctl.value.clone());
        steps.push(Step::Sysctl { place: Place::Sandbox, setting, value, optional: false });
    }
    if !settings.is_empty() {
        steps.push(Step::ChangeLink { place: Place::Sandbox, link: attach.ifname.into(), settings });
    }
    Ok(())
}

/// Compares with what the configuration says; the hardware address is compared with the chain's result.
pub(super) fn compare(
    config: &TuningConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    for (sysctl, value) in config.sysctls.iter().zip(&observed.sysctls) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let name = Setting(sysctl.path(expected.ifname));
        match value {
            None => found.add(format!("setting {name} in the container"), &sysctl.value, "missing"),
            Some(value) if words(value) != words(&sysctl.value) => {
                found.add(format!("setting {name} in the container"), &sysctl.value, value);
            }
            Some(_) => {}
        }
    }
    let Some(link) = &observed.sandbox_link else { return };
    let name = expected.ifname;
    let wanted = config.link;
    let word = |on| if on { "on" } else { "off" };
    if let Some(mtu) = wanted.mtu.filter(|mtu| *mtu != link.mtu) {
        found.add(format!("MTU of {name} in the container"), mtu, link.mtu);
    }
    if let Some(on) = wanted.promisc.filter(|on| *on != link.promisc) {
        found.add(format!("promiscuous mode of {name} in the container"), word(on), word(link.promisc));
    }
    if let Some(on) = wanted.all_multicast.filter(|on| *on != link.all_multicast) {
        found.add(format!("all-multicast mode of {name} in the container"), word(on), word(link.all_multicast));
    }
    if let Some(length) = wanted.tx_queue_len.filter(|length| *length != link.tx_queue_len) {
        found.add(format!("transmit queue length of {name} in the container"), length, link.tx_queue_len);
    }
}
