//! This host's part of an overlay, as its engine says.

use std::{net::IpAddr, path::Path};

use ipnet::IpNet;

use super::{
    Carrier, Error, HostFile, find_underlay, peer_file,
    plan::{Course, Device, Foreign, Host, Refused, Review, Script, Todo, derived_mac, overhead, review},
    reconcile::{self, Reconciled},
};
use crate::{
    config::{Engine, IpamConfig, LinkConfig, NativeConfig, OverlayConfig, Underlay},
    nft::Nft,
    rtnl::{Link, Rtnl, values::LinkKind},
    store::{self, Store, lock::lock_file},
    sys::sysctl,
};

/// Who changes the kernel for an overlay holds this file of its network.
const LOCK: &str = "overlay.lock";

/// The MTU that is assumed of a network outside while there is none.
const ETHERNET: u32 = 1500;

/// What came of joining.
#[derive(Debug, Clone)]
pub struct Joined {
    /// This host's part.
    pub file: HostFile,
    /// The file says something that it did not say before.
    pub is_news: bool,
    /// Records that are left out.
    pub refused: Vec<Refused>,
    /// What was done in the kernel, where that is the engine's business.
    pub reconciled: Option<Reconciled>,
    /// Why the peers are not known; what the kernel holds of them stays as it is.
    pub unknown_peers: Option<String>,
}

/// What a host is to the others and who they are, as far as this host can tell without an agent.
#[derive(Debug, Clone)]
pub struct Census {
    /// What carries the overlay.
    pub carrier: Carrier,
    /// This host.
    pub own: Host,
    /// The others.
    pub review: Review,
    /// The device that follows.
    pub device: Device,
    /// The link of its name.
    pub link: Option<Link>,
}

/// This host's part of an overlay, found out and not made yet.
#[derive(Debug, Clone)]
pub struct Part {
    /// What an ADD must know of it.
    pub file: HostFile,
    /// Who is in it, where this host finds that out without an agent.
    census: Option<(Census, Option<String>)>,
}

impl Part {
    /// Finds it out, and changes nothing.
    ///
    /// # Errors
    /// [`Error`]: no container of the overlay can be attached.
    pub fn find(network: &str, state_dir: &Path, config: &OverlayConfig, rtnl: &Rtnl) -> Result<Self, Error> {
        match config.engine {
            Engine::Etcd => {
                let path = HostFile::path(state_dir, network);
                let file = HostFile::read(state_dir, network)?.ok_or_else(|| Error::NotReady { path: path.clone() })?;
                file.ensure_of(config, path)?;
                Ok(Self { file, census: None })
            }
            Engine::None => Ok(Self { file: alone(config, rtnl)?, census: None }),
            Engine::Static | Engine::Evpn => {
                let (census, unknown) = census(network, config, rtnl)?;
                if census.device.course(census.link.as_ref())? != Course::Keep
                    && let Some(rival) = census.device.rival(&rtnl.links()?)
                {
                    return Err(Foreign::of(rival).into());
                }
                let own = &census.own;
                let file = host_file(config, own.subnets.clone(), census.device.mtu, Some(own));
                Ok(Self { file, census: Some((census, unknown)) })
            }
        }
    }

    /// What would be done in the kernel, as commands.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    pub fn script(&self, network: &str, rtnl: &Rtnl) -> Result<String, Error> {
        let Some((Census { review, device, link, .. }, _)) = &self.census else { return Ok(String::new()) };
        if self.file.engine == Engine::Evpn {
            return Ok(if link.is_some() { String::new() } else { format!("{device}\n") });
        }
        let observed = Nft::existing()?.map(|mut nft| reconcile::observe(rtnl, &mut nft, device)).transpose()?;
        let todo = Todo::new(network, device, &review.accepted, &observed.unwrap_or_default())?;
        Ok(Script(device, &todo).to_string())
    }

    /// Makes it so: the file, the device, and what the kernel has to know of the peers. Of one host nothing is made for
    /// the others that may come, and nothing is lost when they do.
    ///
    /// # Errors
    /// A device that cannot be had; a refusal of netlink.
    pub fn establish(self, network: &str, state_dir: &Path, rtnl: &Rtnl) -> Result<Joined, Error> {
        let Self { file, census } = self;
        let mut joined = Joined { file, is_news: false, refused: Vec::new(), reconciled: None, unknown_peers: None };
        if let Some((Census { review, device, .. }, unknown)) = census {
            if joined.file.engine == Engine::Evpn {
                joined.reconciled = Some(reconcile::prepare(rtnl, &device)?);
            } else if unknown.is_none() {
                joined.reconciled = Some(settle_kernel(network, state_dir, rtnl, &device, &review.accepted)?);
            }
            (joined.refused, joined.unknown_peers) = (review.refused, unknown);
        }
        if joined.file.engine != Engine::Etcd {
            joined.is_news = joined.file.write(state_dir, network)?;
        }
        Ok(joined)
    }
}

/// Of one host so far.
fn alone(config: &OverlayConfig, rtnl: &Rtnl) -> Result<HostFile, Error> {
    let mtu = match find_underlay(rtnl, &config.underlay, &config.networks, None) {
        // A machine without a network is one host, too.
        Err(Error::NoDefaultRoute) if config.underlay == Underlay::DefaultRoute => {
            config.mtu.unwrap_or(ETHERNET - overhead(IpAddr::from([0; 4])))
        }
        found => found?.inner_mtu(config.mtu)?,
    };
    Ok(host_file(config, config.own_subnets().unwrap_or_default(), mtu, None))
}

/// Reads first, since mostly all is right; only who has something to do waits for others who do.
fn settle_kernel(
    network: &str,
    state_dir: &Path,
    rtnl: &Rtnl,
    device: &Device,
    peers: &[Host],
) -> Result<Reconciled, Error> {
    let mut nft = Nft::open()?;
    let observed = reconcile::observe(rtnl, &mut nft, device)?;
    let todo = Todo::new(network, device, peers, &observed)?;
    if let (true, Some(link)) = (todo.is_nothing(), observed.link) {
        return Ok(Reconciled { link, done: todo });
    }
    let _lock = lock_file(Store::open(state_dir, network)?.folder(), LOCK).map_err(store::Error::from)?;
    reconcile::reconcile(rtnl, &mut nft, network, device, peers)
}

/// Who this host is and who the others are, by the configuration and the peer file. Of a peer file that cannot be read
/// it says why, if this host is known without it.
///
/// # Errors
/// [`Error`]: this host itself is not known.
pub fn census(network: &str, config: &OverlayConfig, rtnl: &Rtnl) -> Result<(Census, Option<String>), Error> {
    let link = rtnl.link(&config.device())?;
    let present = match link.as_ref().and_then(|link| link.detail) {
        Some(LinkKind::Vxlan { local, .. }) => local,
        _ => None,
    };
    let carrier = find_underlay(rtnl, &config.underlay, &config.networks, present)?;
    if config.engine == Engine::Evpn && carrier.address.is_ipv6() && !matches!(config.underlay, Underlay::Address(_)) {
        return Err(Error::Ipv6Vtep(carrier.address));
    }
    let mut hosts = config.peers.clone();
    let (mut refused, mut unknown) = (Vec::new(), None);
    match config.peer_file.as_deref().map(peer_file::read).transpose() {
        Ok(file) => {
            let (more, bad) = file.unwrap_or_default();
            hosts.extend(more);
            refused = bad;
        }
        Err(error) if config.own_subnets().is_some() => unknown = Some(error.to_string()),
        Err(error) => return Err(error),
    }
    let (own, others) = own_host(config, carrier.address, hosts)?;
    let mut review = review(&own, &config.networks, others);
    refused.append(&mut review.refused);
    review.refused = refused;
    let device = Device::of(network, config, &own, carrier.inner_mtu(config.mtu)?);
    Ok((Census { carrier, own, review, device, link }, unknown))
}

/// This host, by a record of its name, else of its address, else by the configuration alone; and the other records.
fn own_host(config: &OverlayConfig, vtep: IpAddr, mut hosts: Vec<Host>) -> Result<(Host, Vec<Host>), Error> {
    let node = node_name(config);
    let by_name = hosts.iter().position(|host| host.node == node);
    let place = by_name.or_else(|| hosts.iter().position(|host| host.vtep == vtep));
    // Where the configuration says it itself, a record that says otherwise stays among the others, to be refused.
    let given = config.own_subnets();
    let agrees = |host: &Host| given.as_ref().is_none_or(|subnets| *subnets == host.subnets);
    let record = place.filter(|place| agrees(&hosts[*place])).map(|place| hosts.remove(place));
    let subnets = given.or_else(|| record.as_ref().map(|record| record.subnets.clone()));
    let subnets = subnets.ok_or_else(|| Error::NoSubnet { node: node.clone(), vtep })?;
    // One hardware address follows from another VTEP than this: the record is from before that changed.
    let mac = record.filter(|record| record.mac != derived_mac(record.vtep)).map(|record| record.mac);
    ensure_inside(config, &node, &subnets)?;
    let own = Host { node, subnets, vtep, mac: mac.unwrap_or_else(|| derived_mac(vtep)) };
    Ok((own, hosts))
}

fn ensure_inside(config: &OverlayConfig, node: &str, subnets: &[IpNet]) -> Result<(), Error> {
    let is_inside = |network: &IpNet| subnets.iter().filter(|subnet| network.contains(*subnet)).count() == 1;
    let has_room = |subnet: &IpNet| subnet.prefix_len() + 2 <= subnet.max_prefix_len() && *subnet == subnet.trunc();
    let right = config.networks.iter().all(is_inside) && subnets.len() == config.networks.len();
    if right && subnets.iter().all(has_room) {
        return Ok(());
    }
    Err(Error::BadSubnets { node: node.to_owned(), found: subnets.to_vec(), network: config.networks.clone() })
}

fn node_name(config: &OverlayConfig) -> String {
    let of_kernel = || sysctl::read("kernel/hostname").ok();
    config.node.clone().or_else(of_kernel).unwrap_or_default()
}

fn host_file(config: &OverlayConfig, subnets: Vec<IpNet>, mtu: u32, own: Option<&Host>) -> HostFile {
    HostFile {
        engine: config.engine,
        network: config.networks.clone(),
        subnets,
        mtu,
        vni: config.vni,
        port: config.port,
        device: config.device(),
        node: own.map_or_else(|| node_name(config), |own| own.node.clone()),
        vtep: own.map(|own| own.vtep),
        agent: None,
        peer_file: config.peer_file.clone(),
    }
}

/// Gives a network of the configuration what this host's part of the overlay says: addresses, MTU, routes.
///
/// # Errors
/// What was asked for does not fit.
pub fn settle(network: &mut NativeConfig, file: &HostFile) -> Result<(), Error> {
    let mut leads_everywhere = false;
    if let Some(LinkConfig::Bridge(bridge)) = &mut network.link {
        if let Some(mtu) = bridge.mtu.filter(|mtu| *mtu > file.mtu) {
            return Err(Error::MtuAboveOverlay { mtu, limit: file.mtu });
        }
        bridge.mtu = bridge.mtu.or(Some(file.mtu));
        leads_everywhere = bridge.is_default_gateway;
    }
    if let Some(IpamConfig::HostLocal(ipam)) = &mut network.ipam {
        ipam.settle(&file.subnets)?;
        if !leads_everywhere {
            ipam.routes.extend(file.network.iter().map(|network| crate::cni::result::Route::to(*network)));
        }
    }
    Ok(())
}
