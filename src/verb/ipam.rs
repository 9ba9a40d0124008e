//! Addresses for another plugin, which makes the link: groundwork called as host-local or static.

use std::net::IpAddr;

use serde_json::Value;

use super::{
    addresses::{self, Given},
    attach::undone,
    detach, records,
};
use crate::{
    cni::{CniResult, Request},
    config::{Attachment, IpamConfig, NativeConfig, NetworkConfig, StaticConfig},
    error::{Error, Result},
    ipam::{self, reservations::Reservations},
    plan::Difference,
    rtnl::Rtnl,
    store::{self, Lock, Netns, Record, State, Store},
    sys::netns::NetnsId,
};

/// Answers ADD with addresses, routes and name servers, without interfaces.
pub(super) fn add(request: &Request, config: &NetworkConfig, native: &NativeConfig) -> Result<Value> {
    let given = match &native.ipam {
        Some(IpamConfig::Static(ipam)) => ipam.into(),
        _ => lease(request, config, native)?,
    };
    let result = CniResult { interfaces: Vec::new(), ips: given.ips, routes: given.routes, dns: given.dns };
    Ok(result.to_json(config.cni_version)?)
}

fn lease(request: &Request, config: &NetworkConfig, native: &NativeConfig) -> Result<Given> {
    let attachment = request.attachment();
    let store = records::open(config)?;
    let lock = make_room(request, &store, &attachment)?;
    let path = request.netns.clone().unwrap_or_default();
    let netns = Netns { id: NetnsId::at(&path).unwrap_or(NetnsId::UNKNOWN), path };
    let mut record = Record::intent(&config.name, &attachment, netns, store.boot().clone());
    addresses::announce(config, native, &mut record);
    if let Err(cause) = store.write(&lock, &record) {
        return Err(undone(cause.into(), store.remove(lock).map_err(Error::from)));
    }
    let obtained = Rtnl::open().map_err(Error::from).and_then(|rtnl| {
        let given = addresses::obtain(request, config, native, &store, &rtnl, &mut record)?;
        record.state = State::Added;
        store.write(&lock, &record)?;
        Ok(given)
    });
    obtained.map_err(|cause| undone(cause, detach::detach(&store, lock, &record, &request.path)))
}

/// Locks the attachment. What it holds by an ADD that passed is its until DEL; what is left of another goes.
fn make_room(request: &Request, store: &Store, attachment: &Attachment) -> Result<Lock> {
    loop {
        let lock = store.lock(attachment)?;
        match store.read(attachment) {
            Ok(None) => return Ok(lock),
            Ok(Some(earlier)) => {
                let addresses = earlier.leases.as_ref().map(|leases| leases.addresses.clone()).unwrap_or_default();
                if earlier.state == State::Added && addresses::lost(store, &earlier)?.is_empty() {
                    return Err(ipam::reservations::Error::Duplicate { owner: attachment.clone(), addresses }.into());
                }
                detach::detach_left(store, lock, &earlier, &request.path)?;
            }
            Err(store::Error::Garbled { .. }) => detach::detach_garbled(store, lock)?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Answers CHECK: what the chain's result names is still this attachment's.
pub(super) fn check(request: &Request, config: &NetworkConfig, native: &NativeConfig) -> Result<()> {
    let result = match &config.prev_result {
        Some(previous) => CniResult::from_json(previous, config.cni_version)?,
        None => CniResult::default(),
    };
    let differences = match &native.ipam {
        Some(IpamConfig::HostLocal(ipam)) => {
            let given = |address: &IpAddr| ipam.range_sets.iter().any(|set| set.contains(*address));
            let addresses: Vec<_> = result.ips.iter().map(|ip| ip.address.addr()).filter(given).collect();
            let data_dir = ipam.data_dir.as_deref();
            let reservations = Reservations::existing(records::existing(config)?.as_ref(), &config.name, data_dir)?;
            compare_leases(&request.attachment(), config, &addresses, reservations.as_ref())?
        }
        Some(IpamConfig::Static(ipam)) => compare_static(ipam, &result),
        _ => Vec::new(),
    };
    if differences.is_empty() { Ok(()) } else { Err(Error::Changed(differences)) }
}

fn compare_leases(
    owner: &Attachment,
    config: &NetworkConfig,
    addresses: &[IpAddr],
    reservations: Option<&Reservations>,
) -> Result<Vec<Difference>> {
    if addresses.is_empty() {
        let Attachment { container_id, ifname } = owner.clone();
        return Err(Error::NotAttached { network: config.name.clone(), container_id, ifname });
    }
    let mut differences = Vec::new();
    for address in addresses {
        let holder = reservations.map_or(Ok(None), |reservations| reservations.holder(*address))?;
        if !reservations.map_or(Ok(false), |reservations| reservations.is_held_by(owner, *address))? {
            let found = holder.map_or_else(|| "missing".to_owned(), |holder| format!("held by {holder}"));
            differences.push(difference(format!("lease of {address}"), "held by this attachment", found));
        }
    }
    Ok(differences)
}

fn compare_static(ipam: &StaticConfig, result: &CniResult) -> Vec<Difference> {
    let mut differences = Vec::new();
    for wanted in &ipam.addresses {
        let found = result.ips.iter().find(|ip| ip.address.addr() == wanted.address.addr());
        match (found, wanted.gateway) {
            (None, _) => differences.push(difference("address in prevResult", wanted.address, "missing")),
            (Some(ip), Some(gateway)) if ip.gateway != Some(gateway) => {
                let found = ip.gateway.map_or_else(|| "none".to_owned(), |gateway| gateway.to_string());
                differences.push(difference(format!("gateway of {} in prevResult", wanted.address), gateway, found));
            }
            _ => {}
        }
    }
    differences
}

fn difference(what: impl ToString, expected: impl ToString, found: impl ToString) -> Difference {
    Difference { what: what.to_string(), expected: expected.to_string(), found: found.to_string() }
}

/// Gives back what attachments hold that GC's list does not name, the reference plugin's too: the folder is the
/// network's.
pub(super) fn release_stale(config: &NetworkConfig, native: &NativeConfig) -> Result<()> {
    let (Some(valid), Some(IpamConfig::HostLocal(ipam))) = (&config.valid_attachments, &native.ipam) else {
        return Ok(());
    };
    let store = records::existing(config)?;
    let reservations = Reservations::existing(store.as_ref(), &config.name, ipam.data_dir.as_deref())?;
    let Some(reservations) = reservations else { return Ok(()) };
    for holder in reservations.holders()? {
        // Old versions wrote no interface; one with a record was looked at, and stays for its reason.
        let has_record = store.as_ref().is_some_and(|store| store.read(&holder).is_ok_and(|record| record.is_some()));
        if valid.contains(&holder) || holder.ifname.is_empty() || has_record {
            continue;
        }
        let released = reservations.release_unrecorded(&holder)?;
        tracing::info!(container = holder.container_id, ?released, "gave back addresses without a record");
    }
    Ok(())
}
