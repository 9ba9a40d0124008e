//! CHECK: the attachment as it was left against the attachment as it is.

use super::{addresses, attach, ipam, loopback, overlay, records};
use crate::{
    cni::{
        CniResult, Request, Version,
        mac::Mac,
        result::{IpConfig, Route},
    },
    config::{Mode, NativeConfig, NetworkConfig},
    error::{Error, Result},
    observe,
    plan::{self, Expected},
    store::{HostLink, Record},
};

/// Answers CHECK.
pub(super) fn check(request: &Request, config: &NetworkConfig) -> Result<()> {
    match &config.mode {
        Mode::Chained => Ok(()),
        Mode::Loopback => loopback::check(request),
        Mode::Delegate(inner) => addresses::hand_over(request, config, inner),
        Mode::Native(native) if config.as_ipam.is_some() => ipam::check(request, config, native),
        Mode::Native(native) => check_native(request, config, native),
    }
}

fn check_native(request: &Request, config: &NetworkConfig, native: &NativeConfig) -> Result<()> {
    let sandbox = attach::open_sandbox(request)?;
    let attachment = request.attachment();
    let not_attached = || Error::NotAttached {
        network: config.name.clone(),
        container_id: request.container_id.clone(),
        ifname: request.ifname.clone(),
    };
    let store = records::existing(config)?.ok_or_else(not_attached)?;
    let _lock = store.lock_existing(&attachment)?.ok_or_else(not_attached)?;
    let record = store.read(&attachment)?.ok_or_else(not_attached)?;
    addresses::forward(request, config, native)?;
    let (ips, routes, mac) = left_by_the_chain(config, &record, request)?;
    let expected = Expected {
        config: native,
        host_link: named(record.host_link.as_ref().or(record.shaped.as_ref().map(|shaped| &shaped.link))),
        ifname: &request.ifname,
        sandbox_mac: mac,
        ips: &ips,
        routes: &routes,
        elements: &record.owned(),
        settings: &record.settings,
        ifb: named(record.ifb.as_ref()),
        source_routing: record.source_routing.as_ref(),
    };
    let mut observed = observe::observe_attachment(&expected, &sandbox)?;
    observed.lost_leases = addresses::lost(&store, &record)?;
    let mut differences = plan::compare(&expected, &observed);
    differences.extend(overlay::compare(config, native)?);
    if differences.is_empty() { Ok(()) } else { Err(Error::Changed(differences)) }
}

fn named(link: Option<&HostLink>) -> &str {
    link.map_or("", |link| &link.name)
}

/// Addresses, routes and hardware address as the whole chain left them: from prevResult where the runtime gives it,
/// since later plugins may have changed them, else from the record.
fn left_by_the_chain(
    config: &NetworkConfig,
    record: &Record,
    request: &Request,
) -> Result<(Vec<IpConfig>, Vec<Route>, Option<Mac>)> {
    let result = match (&config.prev_result, &record.result) {
        (Some(previous), _) => CniResult::from_json(previous, config.cni_version)?,
        (None, Some(own)) => CniResult::from_json(own, Version::NEWEST)?,
        (None, None) => CniResult::default(),
    };
    let inside = result
        .interfaces
        .iter()
        .position(|interface| interface.name == request.ifname && !interface.sandbox.is_empty());
    let mac = inside.and_then(|index| result.interfaces[index].mac.parse().ok()).or(record.sandbox_mac);
    let of_this_link = |ip: &IpConfig| ip.interface.is_none() || ip.interface == inside;
    Ok((result.ips.into_iter().filter(of_this_link).collect(), result.routes, mac))
}
