//! The native network of one attachment: from a sandbox to a result.

use std::hash::{BuildHasher, RandomState};

use serde_json::Value;

use super::{
    addresses::{self, Given},
    answer::{self, Made},
    detach, holders, inside, records,
    stages::{Stage, Stages},
};
use crate::{
    apply::{self, Links, Tools},
    cni::{CniResult, Request, Version, mac::Mac, result::pass_on},
    config::{Attachment, LinkConfig, NativeConfig, NetworkConfig},
    delegate::child,
    error::{Error, Result},
    kernel::Ready,
    nft::{self, Nft, ruleset::Owner},
    observe,
    plan::{self, Attach, ObservedHost, Step, source_routing::SourceRouting},
    rtnl::{Link, Rtnl},
    store::{self, HostLink, Lock, Netns, Record, Shaped, State, Store},
    sys::netns::{NetnsId, Sandbox},
};

/// Builds the network of one container, or what a later plugin of the chain adds to it; when anything fails, all of
/// it is undone.
pub(super) fn attach(
    request: &Request,
    config: &NetworkConfig,
    native: &NativeConfig,
    ready: &Ready,
    stages: &Stages,
) -> Result<Value> {
    for key in native.host_ports.iter().flat_map(|ports| &ports.idle_keys) {
        tracing::warn!(network = config.name, "`{key}` has no effect: what it is for in iptables is not needed here");
    }
    let sandbox = open_sandbox(request)?;
    addresses::find_plugin(request, native)?;
    native.tuning.as_ref().map_or(Ok(()), observe::ensure_allowed)?;
    let attachment = request.attachment();
    let store = records::open_beside(config, &attachment)?;
    let rtnl = Rtnl::open()?;
    let lock = make_room(request, &store, &attachment, &rtnl)?;
    let netns = Netns { path: sandbox.path().into(), id: sandbox.id() };
    let mut record = Record::intent(&config.name, &attachment, netns, store.boot().clone());
    let mut site =
        Site { request, config, native, ready, stages, store: &store, lock: &lock, sandbox: &sandbox, rtnl: &rtnl };
    if let Err(cause) = site.begin(&mut record) {
        return Err(undone(cause, store.remove(lock).map_err(Error::from)));
    }
    site.build(&mut record).map_err(|cause| undone(cause, detach::detach(&store, lock, &record, &request.path)))
}

/// Why an ADD failed, once it was undone, or was not.
pub(super) fn undone(cause: Error, undone: Result<()>) -> Error {
    match undone {
        Ok(()) => cause,
        Err(left) => Error::NotUndone { cause: Box::new(cause), left: Box::new(left) },
    }
}

/// Where an attachment is being built, and for whom.
struct Site<'a> {
    request: &'a Request,
    config: &'a NetworkConfig,
    native: &'a NativeConfig,
    ready: &'a Ready,
    stages: &'a Stages,
    store: &'a Store,
    lock: &'a Lock,
    sandbox: &'a Sandbox,
    rtnl: &'a Rtnl,
}

impl Site<'_> {
    /// Writes the record before anything is touched.
    fn begin(&self, record: &mut Record) -> Result<()> {
        if let Some(link) = &self.native.link {
            if link.has_host_end() {
                record.host_link = Some(host_link(self.rtnl, self.config, &record.attachment())?);
            }
            addresses::announce(self.config, self.native, record);
        }
        Ok(self.store.write(self.lock, record)?)
    }

    /// Addresses, plan, deeds. The record names everything before it is there.
    fn build(&mut self, record: &mut Record) -> Result<Value> {
        let Self { request, config, native, stages, store, rtnl, .. } = *self;
        let chained = chained(request, config)?;
        let mut given = match &chained {
            Some(previous) => Given::of_chain(previous, &request.ifname),
            None => {
                stages.time(Stage::Addresses, || addresses::obtain(request, config, native, store, rtnl, record))?
            }
        };
        plan::resolve(native, &mut given.ips, &mut given.routes)?;
        let (inside, end) = if chained.is_some() { self.made_before()? } else { (None, None) };
        let host_link = end.as_ref().and_then(HostLink::of).or_else(|| record.host_link.clone());
        let qdiscs = match end.as_ref().filter(|_| native.bandwidth.is_some()) {
            Some(link) => rtnl.chosen_qdiscs(link)?,
            None => Vec::new(),
        };
        let gateway_link = self.gateway_link(host_link.as_ref())?;
        let ifb = self.ifb()?;
        let requested_mac = config.mac().or_else(|| native.configured_mac());
        let attach = Attach {
            config: native,
            ifname: &request.ifname,
            host_link: host_link.as_ref().map_or("", |link| &link.name),
            host_mac: host_link.as_ref().map_or_else(random_mac, |link| link.mac),
            sandbox_mac: requested_mac.unwrap_or_else(random_mac),
            requested_mac,
            host_mtu: end.as_ref().map(|link| link.mtu),
            qdiscs: &qdiscs,
            bridge_mac: random_mac(),
            gateway_link: &gateway_link,
            inside: inside.as_ref(),
            ifb: ifb.as_ref().map_or("", |link| &link.name),
            ifb_mac: ifb.as_ref().map_or_else(random_mac, |link| link.mac),
            owner: record.owner(),
        };
        let ipv6 = given.ips.iter().any(|ip| ip.address.addr().is_ipv6());
        let mut observed = stages.time(Stage::Observe, || self.observe(ipv6, host_link.as_ref()))?;
        if native.source_routing.is_some() {
            observed.routing = observe::routing(self.sandbox, inside.as_ref())?;
        }
        let steps = plan::plan_add(&attach, &given.ips, &given.routes, &observed)?;
        announce(record, &attach, &observed, &steps, host_link.as_ref());
        record.ifb.clone_from(&ifb);
        record.config = Some(child::with_result(config.raw.clone(), None));
        store.write(self.lock, record)?;
        let known = observed.bridge.into_iter().chain(observed.gateway).collect();
        let made = stages.time(Stage::Apply, || self.run(&steps, known))?;
        let mut result = match &chained {
            Some(previous) => previous.clone(),
            None => answer::result(&attach, &self.sandbox.path().display().to_string(), given, rtnl, made)?,
        };
        answer::amend(&mut result, native, &request.ifname, ifb.as_ref());
        record.state = State::Added;
        record.result = Some(result.to_json(Version::NEWEST)?);
        store.write(self.lock, record)?;
        match &config.prev_result {
            Some(previous) if chained.as_ref() == Some(&result) => Ok(pass_on(previous, config.cni_version)?),
            _ => Ok(result.to_json(config.cni_version)?),
        }
    }

    /// The container's link as an earlier plugin of the chain made it, and the host's end if that is a veth's.
    fn made_before(&self) -> Result<(Option<Link>, Option<Link>)> {
        let Some(inside) = observe::inside(self.sandbox, &self.request.ifname)? else { return Ok((None, None)) };
        let end = observe::host_end(self.rtnl, &inside)?;
        Ok((Some(inside), end))
    }

    /// Names and numbers the ifb, if one is needed.
    fn ifb(&self) -> Result<Option<HostLink>> {
        if self.native.bandwidth.is_none_or(|limits| limits.egress.is_none()) {
            return Ok(None);
        }
        let attachment = self.request.attachment();
        let names = plan::bandwidth::ifb_names(&self.config.name, &attachment);
        let name = observe::free_name(self.rtnl, names)?.ok_or(Error::NoFreeName)?;
        Ok(Some(HostLink { name, mac: random_mac() }))
    }

    fn observe(&self, ipv6: bool, host_link: Option<&HostLink>) -> Result<ObservedHost> {
        let Self { request, config, native, sandbox, rtnl, .. } = *self;
        let mut observed = observe::observe_host(rtnl, native, ipv6)?;
        match (&native.link, host_link) {
            (None, Some(end)) if native.firewall.is_some() => {
                observed.port = rtnl.link(&end.name)?.and_then(|link| link.port);
            }
            (Some(link), None) if !link.has_host_end() => {
                let earlier = addresses::earlier_link(config, native)?;
                observed.source = observe::observe_source(rtnl, Some(sandbox), native, earlier.as_deref())?;
                observed.taken = sandbox.run(|| Rtnl::open()?.link(&request.ifname))??.is_some();
            }
            _ => {}
        }
        if let (None, Some(end), Some(_)) = (&native.link, host_link, native.configured_mac()) {
            let owner = Owner::attachment(&config.name, &request.container_id, &request.ifname);
            observed.spoof_check = observe::spoof_check(&end.name, &owner)?;
        }
        if native.vrf.is_some() {
            observed.vrf = observe::observe_vrf(sandbox, &request.ifname)?;
        }
        Ok(observed)
    }

    /// The link of the host by which it reaches the container; empty when there is none.
    fn gateway_link(&self, host_link: Option<&HostLink>) -> Result<String> {
        match (&self.native.link, host_link) {
            (Some(LinkConfig::Bridge(bridge)), _) => Ok(bridge.gateway_link()),
            (Some(LinkConfig::Ptp(_)), Some(end)) => Ok(end.name.clone()),
            (None, Some(end)) => observe::gateway_link(self.rtnl, &end.name),
            (Some(LinkConfig::Single(_) | LinkConfig::HostDevice(_)), _) | (_, None) => Ok(String::new()),
        }
    }

    /// Runs the steps, a second time if all that stands in the way is a dead attachment.
    fn run(&self, steps: &[Step], links: Links) -> Result<Made> {
        match self.run_once(steps, links) {
            // Elements come first, so nothing else has been done yet.
            Err(Error::Nft(nft::Error::Taken { owner, .. }))
                if holders::free(self.config, self.rtnl, &owner, &self.request.path)? =>
            {
                self.run_once(steps, Links::default())
            }
            done => done,
        }
    }

    fn run_once(&self, steps: &[Step], links: Links) -> Result<Made> {
        let mut nft = if steps.iter().any(|step| !step.elements().is_empty()) { Some(Nft::open()?) } else { None };
        let mut tools =
            Tools { rtnl: self.rtnl, sandbox: self.sandbox, nft: nft.as_mut(), links, inside: Links::default() };
        apply::apply_add(self.ready, steps, &mut tools)?;
        Ok(Made { host: tools.links, inside: tools.inside })
    }
}

/// What a record must say before the steps are run, so that they can be undone.
fn announce(
    record: &mut Record,
    attach: &Attach<'_>,
    observed: &ObservedHost,
    steps: &[Step],
    host_link: Option<&HostLink>,
) {
    let native = attach.config;
    record.sandbox_mac = native.link.as_ref().filter(|link| link.has_host_end()).map(|_| attach.sandbox_mac);
    record.sandbox_link = inside::announced(native, attach, observed.source.as_ref());
    record.vrf = native.vrf.as_ref().map(|vrf| vrf.name.clone());
    let device = observed.source.as_ref().filter(|_| matches!(native.link, Some(LinkConfig::HostDevice(_))));
    let changed = attach.inside.or(device).zip(native.tuning.as_ref());
    record.tuned = changed.map(|(link, tuning)| tuning.link.of(link));
    record.source_routing = SourceRouting::of(steps);
    record.shaped = host_link
        .filter(|_| native.link.is_none())
        .cloned()
        .zip(native.bandwidth)
        .map(|(link, limits)| Shaped { link, sends: limits.ingress.is_some(), receives: limits.egress.is_some() });
    record.elements = steps.iter().flat_map(Step::elements).map(|owned| owned.element).collect();
    record.admin_chain = native.firewall.as_ref().map(|firewall| firewall.admin_chain.clone());
    record.settings = steps.iter().filter_map(Step::setting).collect();
}

/// What the chain did before, when it made the link.
fn chained(request: &Request, config: &NetworkConfig) -> Result<Option<CniResult>> {
    let Some(plugin) = config.chained_type() else { return Ok(None) };
    match &config.prev_result {
        Some(previous) => Ok(Some(CniResult::from_json(previous, config.cni_version)?)),
        None => Err(Error::NoPreviousResult { plugin: plugin.into(), ifname: request.ifname.clone() }),
    }
}

/// Opens the sandbox; the host's own namespace is none, unless the runtime insists.
pub(super) fn open_sandbox(request: &Request) -> Result<Sandbox> {
    let path = request.netns.clone().unwrap_or_default();
    let sandbox = Sandbox::open(&path)?;
    if !request.netns_override && NetnsId::own().is_ok_and(|own| own == sandbox.id()) {
        return Err(Error::HostNetns { path });
    }
    Ok(sandbox)
}

/// Locks the attachment, once what an earlier ADD of it left is undone, when that was killed or its sandbox is gone.
fn make_room(request: &Request, store: &Store, attachment: &Attachment, rtnl: &Rtnl) -> Result<Lock> {
    loop {
        let lock = store.lock(attachment)?;
        match store.read(attachment) {
            Ok(None) => return Ok(lock),
            Ok(Some(earlier)) if is_complete(&earlier, rtnl)? => {
                return Err(Error::AlreadyAttached {
                    network: earlier.network,
                    container_id: earlier.container_id,
                    ifname: earlier.ifname,
                });
            }
            Ok(Some(earlier)) => {
                tracing::warn!(container = request.container_id, "undoing what an earlier ADD of this container left");
                detach::detach_left(store, lock, &earlier, &request.path)?;
            }
            Err(store::Error::Garbled { path, .. }) => {
                tracing::warn!(path = %path.display(), "dropping a damaged record");
                detach::detach_garbled(store, lock)?;
            }
            Err(error) => return Err(error.into()),
        }
        // The lock went with the record: another ADD may have it by now, and may have passed.
    }
}

/// Whether an ADD passed, and what it made stands. What a later plugin of the chain did can be done anew; a link cannot.
/// That of a sandbox that is gone may stand for a moment.
fn is_complete(earlier: &Record, rtnl: &Rtnl) -> Result<bool> {
    if earlier.state != State::Added || earlier.netns.is_gone() {
        return Ok(false);
    }
    match &earlier.host_link {
        Some(link) => stands(rtnl, link),
        None => inside::stands(earlier),
    }
}

/// Whether the link of that name is still the one that was made. A veth goes with its sandbox.
pub(super) fn stands(rtnl: &Rtnl, made: &HostLink) -> Result<bool> {
    Ok(rtnl.link(&made.name)?.is_some_and(|link| link.mac == Some(made.mac)))
}

/// Names and numbers the host's end. The name follows from the attachment, so that a person finds it again.
fn host_link(rtnl: &Rtnl, config: &NetworkConfig, attachment: &Attachment) -> Result<HostLink> {
    let names = (0..8).map(|salt| plan::name::veth(&config.name, attachment, salt));
    let name = observe::free_name(rtnl, names)?.ok_or(Error::NoFreeName)?;
    Ok(HostLink { name, mac: random_mac() })
}

fn random_mac() -> Mac {
    Mac::local(RandomState::new().hash_one(0))
}
