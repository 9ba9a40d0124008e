//! How an overlay stands on this host.

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    Error, HostFile,
    engine::{self, EngineState},
    join::census,
    plan::{Change, Command, Course, Device, Entries, Host, Key, Observed, Todo, Value, derived_mac, entries},
    reconcile,
};
use crate::{
    cni::mac::Mac,
    config::{Engine, OverlayConfig},
    nft::{Nft, ruleset::Element},
    rtnl::Rtnl,
};

/// How an overlay stands on this host.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The network's name.
    pub network: String,
    /// What the engine or its agent wrote for ADD; None while there is nothing.
    pub host: Option<HostFile>,
    /// How the engine fares; None where that was not asked.
    pub engine: Option<EngineState>,
    /// The peers, by the configuration where that is asked, else as the kernel's entries tell them.
    pub peers: Vec<Peer>,
    /// What the kernel holds that belongs to no peer, in words.
    pub stale: Vec<String>,
    /// Records that are left out, and why.
    pub refused: Vec<String>,
    /// What is wrong besides.
    pub problems: Vec<String>,
}

/// How a peer stands.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its name; None where only the kernel was asked.
    pub node: Option<String>,
    /// Its subnets.
    pub subnets: Vec<IpNet>,
    /// Its VTEP.
    pub vtep: IpAddr,
    /// Its device's hardware address.
    pub mac: Mac,
    /// Its entries: routes, neighbours, forwarding, and its admission.
    pub entries: usize,
    /// Those of them that the kernel lacks, as the commands that would make them.
    pub missing: Vec<String>,
}

impl Status {
    /// Whether all is as it has to be.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.host.is_some()
            && self.engine.as_ref().is_none_or(EngineState::is_right)
            && self.problems.is_empty()
            && self.stale.is_empty()
            && self.refused.is_empty()
            && self.peers.iter().all(|peer| peer.missing.is_empty())
    }

    /// What is not, in words.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let lacks = self.peers.iter().filter(|peer| !peer.missing.is_empty()).map(|peer| {
            let name = peer.node.clone().unwrap_or_else(|| peer.vtep.to_string());
            format!("the kernel lacks {} of {} entries of peer {name}", peer.missing.len(), peer.entries)
        });
        let stale = self.stale.iter().map(|entry| format!("the kernel holds what belongs to no peer: {entry}"));
        self.problems.iter().cloned().chain(lacks).chain(stale).chain(self.refused.iter().cloned()).collect()
    }

    /// Adds how the device and these peers stand.
    pub fn compare(&mut self, device: &Device, peers: &[Host], observed: &Observed) {
        let todo = match Todo::new(&self.network, device, peers, observed) {
            Ok(todo) => todo,
            Err(foreign) => return self.problems.push(foreign.to_string()),
        };
        self.problems.extend(device_problem(device, todo.course));
        if todo.course == Course::Keep && !todo.addresses.is_empty() {
            self.problems.push(format!("device {} lacks its address", device.name));
        }
        if todo.guard {
            let words = "frames from anybody are taken: the rule that drops them is missing";
            self.problems.push(format!("{words} (chain {} of nf_tables)", device.guard().chain_names().join(", ")));
        }
        let command = |change: &Change| Command(&device.name, change).to_string();
        self.stale.extend(todo.changes.iter().filter(|one| matches!(one, Change::Remove(..))).map(command));
        self.stale.extend(todo.expel.iter().map(|owned| format!("admission of {}", owned.element)));
        for peer in peers {
            let own = entries(std::slice::from_ref(peer));
            let is_its = |change: &&Change| matches!(change, Change::Put(key, _) if own.contains_key(key));
            let mut missing: Vec<_> = todo.changes.iter().filter(is_its).map(command).collect();
            let is_kept_out = |element: &Element| matches!(element, Element::Vtep { vtep, .. } if *vtep == peer.vtep);
            missing
                .extend(todo.admit.iter().filter(|owned| is_kept_out(&owned.element)).map(|own| format!("nft {own}")));
            if peer.subnets.is_empty() {
                missing.push("a route".into());
            }
            self.peers.push(Peer {
                node: Some(peer.node.clone()).filter(|node| !node.is_empty()),
                subnets: peer.subnets.clone(),
                vtep: peer.vtep,
                mac: peer.mac,
                entries: own.len() + 1,
                missing,
            });
        }
    }
}

fn device_problem(device: &Device, course: Course) -> Option<String> {
    let name = &device.name;
    match course {
        Course::Make => Some(format!("device {name} is missing")),
        Course::Remake => Some(format!("device {name} is of another VTEP, port or hardware address")),
        Course::Change(settings) if settings.mtu.is_some() => Some(format!("device {name} has another MTU")),
        Course::Change(_) => Some(match &device.bridge {
            Some(bridge) => format!("device {name} or its bridge {bridge} is down"),
            None => format!("device {name} is down"),
        }),
        Course::Keep => None,
    }
}

/// How a network's overlay stands; with its configuration also whether the peers are those that it names.
///
/// # Errors
/// The kernel cannot be asked, or the file not be read.
pub fn status(network: &str, state_dir: &Path, config: Option<&OverlayConfig>, rtnl: &Rtnl) -> Result<Status, Error> {
    compared(network, state_dir, config, None, rtnl)
}

/// As [`status`], and how the engine fares, for which an agent is asked: what it says of the peers counts then.
///
/// # Errors
/// As of [`status`].
pub fn full_status(
    network: &str,
    state_dir: &Path,
    config: Option<&OverlayConfig>,
    rtnl: &Rtnl,
) -> Result<Status, Error> {
    let host = HostFile::read(state_dir, network)?;
    let Some((engine, told)) = engine::ask(network, host.as_ref(), config, rtnl)? else {
        return status(network, state_dir, config, rtnl);
    };
    let mut status = compared(network, state_dir, config, told.peers, rtnl)?;
    status.engine = Some(engine);
    status.refused.extend(told.refused);
    status.problems.extend(told.problems);
    Ok(status)
}

/// `told`: the peers, where somebody has said who they are.
fn compared(
    network: &str,
    state_dir: &Path,
    config: Option<&OverlayConfig>,
    told: Option<Vec<Host>>,
    rtnl: &Rtnl,
) -> Result<Status, Error> {
    let mut status = Status { network: network.into(), ..Status::default() };
    status.host = HostFile::read(state_dir, network)?;
    let Some(file) = status.host.clone() else {
        let why = match config.map(|config| config.engine) {
            Some(Engine::Etcd) | None => "is the agent running?",
            Some(_) => "the first ADD writes it, or `groundwork sync`",
        };
        let path = HostFile::path(state_dir, network);
        status.problems.push(format!("this host has no subnet: {} is not there ({why})", path.display()));
        return Ok(status);
    };
    let census = match config.filter(|config| config.engine == Engine::Static) {
        Some(config) => match census(network, config, rtnl) {
            Ok((census, unknown)) => {
                status.refused = census.review.refused.iter().map(ToString::to_string).collect();
                status.problems.extend(unknown.clone());
                Some((census.device, unknown.is_none().then_some(census.review.accepted)))
            }
            Err(error) => {
                status.problems.push(error.to_string());
                None
            }
        },
        None => None,
    };
    let (device, peers) = match census {
        Some((device, peers)) => (device, peers),
        None => match as_left(network, &file, rtnl)? {
            Some(device) => (device, told),
            None => return Ok(status),
        },
    };
    if file.engine == Engine::Evpn {
        // Its peers are FRR's to tell.
        status.problems.extend(match reconcile::standing(rtnl, &device) {
            Ok((_, course)) => device_problem(&device, course),
            Err(Error::Foreign(foreign)) => Some(foreign.to_string()),
            Err(error) => return Err(error),
        });
        return Ok(status);
    }
    let Some(mut nft) = Nft::existing()? else {
        status.problems.push("the kernel has no nf_tables".into());
        return Ok(status);
    };
    let observed = reconcile::observe(rtnl, &mut nft, &device)?;
    let peers = peers.unwrap_or_else(|| peers_of(&observed.entries));
    status.compare(&device, &peers, &observed);
    Ok(status)
}

/// The device as the engine left it, by its file and by what the kernel has kept; None while there is one host.
pub(super) fn as_left(network: &str, file: &HostFile, rtnl: &Rtnl) -> Result<Option<Device>, Error> {
    let Some(vtep) = file.vtep else { return Ok(None) };
    let mac = rtnl.link(&file.device)?.and_then(|link| link.mac).unwrap_or_else(|| derived_mac(vtep));
    Ok(Some(device_of(network, file, vtep, mac)))
}

/// The device that a host file speaks of.
fn device_of(network: &str, file: &HostFile, local: IpAddr, mac: Mac) -> Device {
    let is_evpn = file.engine == Engine::Evpn;
    let subnets = file.subnets.iter().filter(|_| !is_evpn);
    Device {
        name: file.device.clone(),
        vni: file.vni,
        port: file.port,
        local,
        mac,
        mtu: file.mtu,
        addresses: subnets.map(|subnet| IpNet::from(subnet.network())).collect(),
        alias: super::plan::alias(network),
        bridge: is_evpn.then(|| OverlayConfig::bridge_of(file.vni)),
    }
}

/// Peers as entries tell them: a hardware address with its VTEP, and the routes to neighbours that have it.
fn peers_of(entries: &Entries) -> Vec<Host> {
    let mut hosts: BTreeMap<Mac, Host> = BTreeMap::new();
    for (key, value) in entries {
        if let (Key::Forwarding(mac), Value::Vtep(vtep)) = (key, value) {
            hosts.insert(*mac, Host { node: String::new(), subnets: Vec::new(), vtep: *vtep, mac: *mac });
        }
    }
    for (key, value) in entries {
        let (Key::Route(subnet), Value::Gateway(gateway)) = (key, value) else { continue };
        if let Some(Value::Mac(mac)) = entries.get(&Key::Neighbour(*gateway))
            && let Some(host) = hosts.get_mut(mac)
        {
            host.subnets.push(*subnet);
        }
    }
    hosts.into_values().collect()
}
