//! Links without an end on the host: macvlan, ipvlan, vlan, dummy.

use super::{
    add::{Attach, ObservedHost, PlanError},
    check::{Differences, Expected, ObservedAttachment},
    name,
    step::{Place, Step},
};
use crate::{config::SingleConfig, rtnl::values::Link};

/// Why the configuration's link cannot stand on its parent.
#[must_use]
pub fn refuse_parent(config: &SingleConfig, source: Option<&Link>) -> Option<PlanError> {
    let wanted = config.parent.as_ref()?;
    let Some(parent) = source else {
        return Some(PlanError::NoParent { name: wanted.name.clone(), in_sandbox: wanted.in_sandbox });
    };
    let mtu = config.mtu.filter(|mtu| *mtu > parent.mtu)?;
    Some(PlanError::MtuAboveParent { mtu, parent: parent.name.clone(), limit: parent.mtu })
}

/// The link, made under a name that is nobody's: the kernel refuses one that a link of the host has.
pub(super) fn steps(attach: &Attach<'_>, config: &SingleConfig, host: &ObservedHost) -> Result<Vec<Step>, PlanError> {
    if let Some(error) = refuse_parent(config, host.source.as_ref()) {
        return Err(error);
    }
    let on_host = config.parent.as_ref().is_some_and(|parent| !parent.in_sandbox);
    let temporary = name::temporary(&attach.owner);
    let drawn = config.draws_mac().then_some(attach.sandbox_mac);
    Ok(vec![
        Step::CreateLink {
            place: if on_host { Place::Host } else { Place::Sandbox },
            name: temporary.clone(),
            parent: host.source.as_ref().map(|parent| parent.name.clone()),
            kind: config.kind,
            mac: attach.requested_mac.filter(|_| config.takes_mac()).or(drawn),
            mtu: config.mtu,
        },
        Step::RenameLink { link: temporary, name: attach.ifname.into(), alias: attach.owner.to_string() },
    ])
}

/// Compares what the container's link is, and on what it stands.
pub(super) fn compare(
    config: &SingleConfig,
    expected: &Expected<'_>,
    observed: &ObservedAttachment,
    found: &mut Differences,
) {
    let Some(link) = &observed.sandbox_link else { return };
    let what = format!("link {} in the container", expected.ifname);
    let kind = link.kind.as_deref().unwrap_or("no virtual link");
    if kind != config.kind.name() {
        return found.add(what, config.kind.name(), kind);
    }
    let setting = link.detail.and_then(|kind| kind.setting());
    if setting != config.kind.setting() {
        let words = |setting: Option<String>| setting.unwrap_or_else(|| "nothing".into());
        found.add(&what, words(config.kind.setting()), words(setting));
    }
    let named = config.parent.as_ref().and_then(|parent| parent.name.as_ref());
    let what = format!("link on which {} stands", expected.ifname);
    match (named, &observed.host.source) {
        (Some(name), None) => found.add(what, name, "missing"),
        (Some(name), Some(source)) if link.peer != Some(source.index) => found.add(what, name, "another"),
        _ => {}
    }
}
