//! CHECK: the attachment as it was left against the attachment as it is.

use super::{addresses, attach, ipam, loopback, overlay, records};
use crate::{
    cni::{
        CniResult, Request, Version,
        mac::Mac,
        result::{Interface, IpConfig, Route},
    },
    config::{Mode, NativeConfig, NetworkConfig},
    error::{Error, Result},
    observe,
    plan::{self, Expected, bandwidth::ifb_names},
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
    let mut found = None;
    for store in records::of(config, &attachment)? {
        let Some(lock) = store.lock_existing(&attachment)? else { continue };
        if let Some(record) = store.read(&attachment)? {
            found = Some((store, lock, record));
            break;
        }
    }
    let record = found.as_ref().map(|(.., record)| record);
    if record.is_none() {
        // The reference plugin made it, before the node was switched; or nobody did.
        observe::inside(&sandbox, &request.ifname)?.ok_or_else(not_attached)?;
        tracing::warn!(container = request.container_id, "nothing is recorded of it: CHECK goes by prevResult alone");
    }
    addresses::forward(request, config, native)?;
    let left = left_by_the_chain(config, record, request)?;
    let (host_link, ifb) = match record {
        Some(record) => {
            let link = record.host_link.as_ref().or(record.shaped.as_ref().map(|shaped| &shaped.link));
            (named(link), named(record.ifb.as_ref()))
        }
        None => (left.host_link.clone(), ifb_names(&config.name, &attachment).next().unwrap_or_default()),
    };
    let expected = Expected {
        config: native,
        host_link: &host_link,
        ifname: &request.ifname,
        sandbox_mac: left.mac,
        ips: &left.ips,
        routes: &left.routes,
        elements: &record.map(Record::owned).unwrap_or_default(),
        settings: record.map_or(&[], |record| &record.settings),
        ifb: &ifb,
        source_routing: record.and_then(|record| record.source_routing.as_ref()),
    };
    let mut observed = observe::observe_attachment(&expected, &sandbox)?;
    if let Some((store, _, record)) = &found {
        observed.lost_leases = addresses::lost(store, record)?;
    }
    let mut differences = plan::compare(&expected, &observed);
    differences.extend(overlay::compare(config, native)?);
    if differences.is_empty() { Ok(()) } else { Err(Error::Changed(differences)) }
}

fn named(link: Option<&HostLink>) -> String {
    link.map(|link| link.name.clone()).unwrap_or_default()
}

/// An attachment as the whole chain left it.
struct Left {
    ips: Vec<IpConfig>,
    routes: Vec<Route>,
    mac: Option<Mac>,
    /// The host's end of its veth; empty when there is none.
    host_link: String,
}

/// Addresses, routes and hardware address as the whole chain left them: from prevResult where the runtime gives it,
/// since later plugins may have changed them, else from the record.
fn left_by_the_chain(config: &NetworkConfig, record: Option<&Record>, request: &Request) -> Result<Left> {
    let result = match (&config.prev_result, record.and_then(|record| record.result.as_ref())) {
        (Some(previous), _) => CniResult::from_json(previous, config.cni_version)?,
        (None, Some(own)) => CniResult::from_json(own, Version::NEWEST)?,
        (None, None) => CniResult::default(),
    };
    let inside = result
        .interfaces
        .iter()
        .position(|interface| interface.name == request.ifname && !interface.sandbox.is_empty());
    let mac = inside
        .and_then(|index| result.interfaces[index].mac.parse().ok())
        .or(record.and_then(|record| record.sandbox_mac));
    let of_this_link = |ip: &IpConfig| ip.interface.is_none() || ip.interface == inside;
    let is_host_end = |one: &&Interface| one.sandbox.is_empty() && one.name.starts_with("veth");
    let host_link = result.interfaces.iter().find(is_host_end).map(|end| end.name.clone()).unwrap_or_default();
    Ok(Left { ips: result.ips.into_iter().filter(of_this_link).collect(), routes: result.routes, mac, host_link })
}
