//! What an ADD answers.

use super::addresses::Given;
use crate::{
    apply::Links,
    cni::{
        CniResult,
        mac::Mac,
        result::{Interface, IpConfig},
    },
    config::{LinkConfig, NativeConfig},
    error::Result,
    plan::Attach,
    rtnl::{Link, Rtnl},
    store::HostLink,
};

/// The links after an ADD, as far as they were looked up.
pub(super) struct Made {
    pub(super) host: Links,
    pub(super) inside: Links,
}

/// The result, in the reference plugin's order of interfaces.
pub(super) fn result(
    attach: &Attach<'_>,
    sandbox: &str,
    given: Given,
    rtnl: &Rtnl,
    mut made: Made,
) -> Result<CniResult> {
    let own = made.inside.known(attach.ifname);
    let mtu = own.map(|link| link.mtu);
    let mac = own.map_or(Some(attach.sandbox_mac), |link| link.mac);
    let container = Interface { sandbox: sandbox.into(), mtu, ..named(attach.ifname, mac) };
    let host_end = Interface { mtu, ..named(attach.host_link, Some(attach.host_mac)) };
    let (before, after) = match &attach.config.link {
        Some(LinkConfig::Bridge(bridge)) => {
            let mut link = existing(made.host.named(rtnl, &bridge.bridge)?);
            // A port with a smaller one may have changed it.
            link.mtu = link.mtu.filter(|own| mtu.is_some_and(|mtu| *own <= mtu));
            let has_gateway_link = bridge.is_gateway && bridge.vlans.untagged.is_some() && !given.ips.is_empty();
            let gateway = has_gateway_link.then(|| made.host.named(rtnl, &bridge.gateway_link()).map(existing));
            (vec![link, host_end], gateway.transpose()?)
        }
        Some(LinkConfig::Ptp(_)) => (vec![host_end], None),
        Some(LinkConfig::Single(_) | LinkConfig::HostDevice(_)) | None => (Vec::new(), None),
    };
    let interface = Some(before.len());
    Ok(CniResult {
        interfaces: before.into_iter().chain([container]).chain(after).collect(),
        ips: given.ips.into_iter().map(|ip| IpConfig { interface, ..ip }).collect(),
        routes: given.routes,
        dns: attach.config.dns.clone().unwrap_or(given.dns),
    })
}

/// Shows in a result what was changed on the container's link, and the ifb.
pub(super) fn amend(result: &mut CniResult, config: &NativeConfig, ifname: &str, ifb: Option<&HostLink>) {
    let tuned = config.tuning.as_ref().map(|tuning| tuning.link).unwrap_or_default();
    for own in result.interfaces.iter_mut().filter(|one| one.name == ifname && !one.sandbox.is_empty()) {
        if let Some(mac) = tuned.mac.filter(|_| !config.link.as_ref().is_some_and(LinkConfig::is_born_with_mac)) {
            own.mac = mac.to_string();
        }
        own.mtu = tuned.mtu.or(own.mtu);
    }
    result.interfaces.extend(ifb.map(|link| named(&link.name, Some(link.mac))));
}

fn existing(link: &Link) -> Interface {
    Interface { mtu: Some(link.mtu), ..named(&link.name, link.mac) }
}

fn named(name: &str, mac: Option<Mac>) -> Interface {
    Interface { name: name.into(), mac: mac.map(|mac| mac.to_string()).unwrap_or_default(), ..Interface::default() }
}
