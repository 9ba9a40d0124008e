//! Addresses of one attachment: from the embedded IPAMs, or from the plugin that `ipam.type` names.

use std::path::{Path, PathBuf};

use crate::{
    cni::{
        CniResult, Request, Verb,
        result::{Dns, IpConfig, Route},
    },
    config::{
        Attachment, DelegateConfig, HostLocalConfig, IpamConfig, LinkConfig, NativeConfig, NetworkConfig,
        StaticAddress, StaticConfig,
    },
    delegate::{self, Delegate, Subject, child},
    error::{Error, Result},
    ipam::{
        reservations::{Lease, REFERENCE_DATA_DIR, Reservations, Usage},
        resolv_conf,
    },
    rtnl::{Rtnl, values::LinkKind},
    store::{Leases, Plugin, Record, Store},
};

use super::{reclaim::Reclaim, records};

/// What an IPAM gave.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) ips: Vec<IpConfig>,
    pub(super) routes: Vec<Route>,
    pub(super) dns: Dns,
}

impl From<CniResult> for Given {
    fn from(result: CniResult) -> Self {
        Self { ips: result.ips, routes: result.routes, dns: result.dns }
    }
}

impl From<&StaticConfig> for Given {
    fn from(ipam: &StaticConfig) -> Self {
        let ip = |one: &StaticAddress| IpConfig { address: one.address, gateway: one.gateway, interface: None };
        Self { ips: ipam.addresses.iter().map(ip).collect(), routes: ipam.routes.clone(), dns: ipam.dns.clone() }
    }
}

impl Given {
    /// What the chain gave the link so far.
    pub(super) fn of_chain(previous: &CniResult, ifname: &str) -> Self {
        let inside = previous.interfaces.iter().position(|one| one.name == ifname && !one.sandbox.is_empty());
        let is_of_another = |index| Some(index) != inside && index < previous.interfaces.len();
        let ips = previous.ips.iter().filter(|ip| !ip.interface.is_some_and(is_of_another));
        Self { ips: ips.cloned().collect(), routes: previous.routes.clone(), dns: previous.dns.clone() }
    }
}

/// Finds the plugin that gives addresses, if it is one, before anything is touched.
pub(super) fn find_plugin(request: &Request, native: &NativeConfig) -> Result<()> {
    if let Some(IpamConfig::Exec { plugin_type }) = &native.ipam {
        Delegate::find(plugin_type, &request.path)?;
    }
    Ok(())
}

/// What the chain made before an ipvlan that has no `ipam` of its own: it takes the addresses.
fn earlier(config: &NetworkConfig, native: &NativeConfig) -> Result<Option<CniResult>> {
    let takes = matches!(&native.link, Some(LinkConfig::Single(link)) if matches!(link.kind, LinkKind::Ipvlan { .. }));
    match &config.prev_result {
        Some(previous) if takes => Ok(Some(CniResult::from_json(previous, config.cni_version)?)),
        _ => Ok(None),
    }
}

/// The one link that the chain made before an ipvlan, which stands on it unless `master` says otherwise.
pub(super) fn earlier_link(config: &NetworkConfig, native: &NativeConfig) -> Result<Option<String>> {
    let Some(previous) = earlier(config, native)? else { return Ok(None) };
    match &previous.interfaces[..] {
        [one] => Ok(Some(one.name.clone())),
        _ => Ok(None),
    }
}

/// What a record must say before addresses are taken, so that a killed ADD can be undone.
pub(super) fn announce(config: &NetworkConfig, native: &NativeConfig, record: &mut Record) {
    match &native.ipam {
        Some(IpamConfig::HostLocal(ipam)) => {
            record.leases = Some(Leases { data_dir: ipam.data_dir.clone(), addresses: Vec::new() });
        }
        Some(IpamConfig::Exec { plugin_type }) => {
            record.ipam = Some(Plugin { plugin_type: plugin_type.clone(), config: config.raw.clone() });
        }
        Some(IpamConfig::Static(_)) | None => {}
    }
}

/// Takes addresses and notes them in the record, which the caller writes.
pub(super) fn obtain(
    request: &Request,
    config: &NetworkConfig,
    native: &NativeConfig,
    store: &Store,
    rtnl: &Rtnl,
    record: &mut Record,
) -> Result<Given> {
    let given = match &native.ipam {
        None => earlier(config, native)?.map(Given::from).unwrap_or_default(),
        Some(IpamConfig::Static(ipam)) => ipam.into(),
        Some(IpamConfig::HostLocal(ipam)) => {
            let leases = lease(store, rtnl, ipam, &record.attachment())?;
            if let Some(noted) = &mut record.leases {
                noted.addresses = leases.iter().map(|lease| lease.address.addr()).collect();
            }
            let ip = |lease: Lease| IpConfig { address: lease.address, gateway: Some(lease.gateway), interface: None };
            let ips = leases.into_iter().map(ip).collect();
            Given { ips, routes: ipam.routes.clone(), dns: name_servers(ipam)? }
        }
        Some(IpamConfig::Exec { plugin_type }) => {
            let added = Delegate::find(plugin_type, &request.path)?.add(&config.raw);
            if added.as_ref().is_err_and(delegate::Error::nothing_done) {
                record.ipam = None; // it did nothing, and would refuse its DEL too
            }
            added?.result.into()
        }
    };
    record.addresses = given.ips.iter().map(|ip| ip.address).collect();
    Ok(given)
}

fn lease(store: &Store, rtnl: &Rtnl, ipam: &HostLocalConfig, owner: &Attachment) -> Result<Vec<Lease>> {
    let reservations = Reservations::open(store, ipam.data_dir.as_deref())?;
    let mut reclaim = Reclaim::new(store, rtnl);
    Ok(reservations.reserve(owner, &ipam.range_sets, &ipam.requested, &mut |holder| reclaim.lock(holder))?)
}

fn name_servers(ipam: &HostLocalConfig) -> Result<Dns> {
    let Some(path) = &ipam.resolv_conf else { return Ok(Dns::default()) };
    let text = std::fs::read_to_string(path).map_err(|source| Error::ResolvConf { path: path.clone(), source })?;
    Ok(resolv_conf::parse(&text))
}

/// Gives back what a record says was taken.
pub(super) fn release(store: &Store, record: &Record, path: &[PathBuf]) -> Result<()> {
    if let Some(leases) = &record.leases
        && let Some(reservations) = Reservations::existing(Some(store), &record.network, leases.data_dir.as_deref())?
    {
        reservations.release(&record.attachment(), &leases.addresses)?;
    }
    if let Some(plugin) = &record.ipam {
        let config = child::with_result(plugin.config.clone(), record.result.as_ref());
        let attachment = record.attachment();
        let netns = (!record.netns.is_gone()).then_some(record.netns.path.as_path());
        Delegate::find(&plugin.plugin_type, path)?.call(Verb::Del, Subject::Other(&attachment, netns), &config)?;
    }
    Ok(())
}

/// Gives back what an attachment holds beside the records when its record cannot be read.
pub(super) fn release_garbled(store: &Store, attachment: &Attachment) -> Result<()> {
    if let Some(reservations) = Reservations::existing(Some(store), store.network(), None)? {
        reservations.release(attachment, &[])?;
    }
    Ok(())
}

/// Gives back what an attachment without a record holds in a folder that outlives records: the reference plugin, or an
/// ADD of an older boot, took it. Beside the records there is no lease without a record.
pub(super) fn release_unrecorded(
    attachment: &Attachment,
    config: &NetworkConfig,
    native: &NativeConfig,
    store: Option<&Store>,
) -> Result<()> {
    let Some(IpamConfig::HostLocal(ipam)) = &native.ipam else { return Ok(()) };
    let data_dir = ipam.data_dir.as_deref().unwrap_or(Path::new(REFERENCE_DATA_DIR));
    if let Some(reservations) = Reservations::existing(store, &config.name, Some(data_dir))? {
        let released = reservations.release_unrecorded(attachment)?;
        if !released.is_empty() {
            tracing::info!(container = attachment.container_id, ?released, "gave back addresses without a record");
        }
    }
    Ok(())
}

/// Which of a record's leases are not held by its attachment any more, each with its holder.
pub(super) fn lost(store: &Store, record: &Record) -> Result<Vec<(std::net::IpAddr, String)>> {
    let Some(leases) = &record.leases else { return Ok(Vec::new()) };
    let reservations = Reservations::existing(Some(store), &record.network, leases.data_dir.as_deref())?;
    let mut lost = Vec::new();
    for address in &leases.addresses {
        let Some(reservations) = &reservations else {
            lost.push((*address, "missing".to_owned()));
            continue;
        };
        if !reservations.is_held_by(&record.attachment(), *address)? {
            let holder = reservations.holder(*address)?;
            lost.push((*address, holder.map_or_else(|| "missing".to_owned(), |holder| format!("held by {holder}"))));
        }
    }
    Ok(lost)
}

/// Why no address could be given now.
pub(super) fn unavailable(request: &Request, config: &NetworkConfig, native: &NativeConfig) -> Result<Vec<String>> {
    match &native.ipam {
        Some(IpamConfig::HostLocal(ipam)) => {
            let store = records::existing(config)?;
            let data_dir = ipam.data_dir.as_deref();
            let Some(reservations) = Reservations::existing(store.as_ref(), &config.name, data_dir)? else {
                return Ok(Vec::new());
            };
            let is_full = |usage: &Usage| usage.held >= usage.capacity;
            let mut usage = reservations.usage(&ipam.range_sets)?;
            if let (true, Some(store)) = (usage.iter().any(is_full), &store) {
                // An ADD would take these back, too.
                let rtnl = Rtnl::open()?;
                let mut reclaim = Reclaim::new(store, &rtnl);
                if reservations.reclaim(&ipam.range_sets, &mut |holder| reclaim.lock(holder))? > 0 {
                    usage = reservations.usage(&ipam.range_sets)?;
                }
            }
            let full = ipam.range_sets.iter().zip(usage).filter(|(_, usage)| is_full(usage));
            Ok(full
                .map(|(set, usage)| format!("no free address in {set}: {} of {} are held", usage.held, usage.capacity))
                .collect())
        }
        _ => forward(request, config, native).map(|()| Vec::new()),
    }
}

/// Hands the request on to the plugin that gives addresses; the embedded ones are their callers' to look at.
pub(super) fn forward(request: &Request, config: &NetworkConfig, native: &NativeConfig) -> Result<()> {
    match &native.ipam {
        Some(IpamConfig::Exec { plugin_type }) => {
            Delegate::find(plugin_type, &request.path)?.call(request.verb, Subject::Same, &config.raw)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Hands the request on to the plugin of `delegate`.
pub(super) fn hand_over(request: &Request, config: &NetworkConfig, inner: &DelegateConfig) -> Result<()> {
    let plugin = Delegate::find(&inner.plugin_type, &request.path)?;
    plugin.call(request.verb, Subject::Same, &child::config(config, &inner.config))?;
    Ok(())
}
