//! The key `overlay`: a network that reaches over several hosts.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::{ConfigError, keys::absolute_path};
use crate::{
    cni::{
        json::{FieldError, Item, Object, UnknownKey, parse_cidr, parse_ip},
        name,
    },
    overlay::plan::{Host, derived_mac, first_subnet},
};

/// `vni` when it is not given.
pub const DEFAULT_VNI: u32 = 1;
/// `port` when it is not given: VXLAN's own, by IANA.
pub const DEFAULT_PORT: u16 = 4789;
/// `subnetLen` when it is not given.
const SUBNET_LEN: (u8, u8) = (24, 64);

/// An overlay, checked: networks of different families, each with room for a host's subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayConfig {
    /// `vni`: 1 to 16777215.
    pub vni: u32,
    /// `port` of UDP.
    pub port: u16,
    /// `mtu` of what containers send, in bytes; the underlay's without what encapsulation takes when None.
    pub mtu: Option<u32>,
    /// `underlay`.
    pub underlay: Underlay,
    /// `network`: the whole overlay, one network of each family.
    pub networks: Vec<IpNet>,
    /// `subnetLen`: the prefix length of a host's subnet, in the order of `networks`.
    pub subnet_len: Vec<u8>,
    /// `subnet`: this host's, when it is given here.
    pub subnets: Option<Vec<IpNet>>,
    /// `node`: this host's name; the kernel's when None.
    pub node: Option<String>,
    /// `engine`.
    pub engine: Engine,
    /// `peers`, of engine static.
    pub peers: Vec<Host>,
    /// `peerFile`, of engine static: a file with a list of the same records, read when it is needed.
    pub peer_file: Option<PathBuf>,
}

/// Which link and address carry encapsulated frames.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Underlay {
    /// The link of the default route.
    #[default]
    DefaultRoute,
    /// The link of that name.
    Interface(String),
    /// The link that has this address, and that address.
    Address(IpAddr),
}

/// Who tells the hosts of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Nobody: it is one host, so far.
    #[default]
    None,
    /// The configuration, or a file.
    Static,
    /// etcd, by an agent on each host.
    Etcd,
    /// BGP, by FRR on each host.
    Evpn,
}

impl Engine {
    const ALL: [(&'static str, Self); 4] =
        [("none", Self::None), ("static", Self::Static), ("etcd", Self::Etcd), ("evpn", Self::Evpn)];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Static => "static",
            Self::Etcd => "etcd",
            Self::Evpn => "evpn",
        }
    }
}

impl OverlayConfig {
    /// The overlay that an object describes by the keys that are below `overlay` elsewhere.
    ///
    /// # Errors
    /// As of a whole configuration.
    pub fn of(overlay: &Map<String, Value>) -> Result<Self, ConfigError> {
        let whole = Map::from_iter([("overlay".to_owned(), Value::Object(overlay.clone()))]);
        let root = Object::root(&whole);
        let config = Self::read(&root, &mut Vec::new())?;
        config.ok_or_else(|| root.missing("overlay", "the overlay's settings").into())
    }

    /// None without the key.
    pub(super) fn read(root: &Object<'_>, unknown: &mut Vec<UnknownKey>) -> Result<Option<Self>, ConfigError> {
        let Some(object) = root.object("overlay")? else { return Ok(None) };
        let engines = Engine::ALL.map(|(name, _)| name).join(", ");
        let engine =
            object.parsed("engine", engines, |text| Engine::ALL.into_iter().find(|(name, _)| *name == text))?;
        let networks = networks(&object)?;
        let subnet_len = subnet_len(&object, &networks)?;
        let vni = object.number("vni", 1..=0xff_ffff, "1 to 16777215")?;
        let port = object.number("port", 1..=0xffff, "1 to 65535")?;
        let config = Self {
            vni: vni.and_then(|vni| u32::try_from(vni).ok()).unwrap_or(DEFAULT_VNI),
            port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(DEFAULT_PORT),
            mtu: super::bridge::mtu(&object)?,
            underlay: underlay(&object)?,
            subnets: subnets(&object, &networks, &subnet_len)?,
            networks,
            subnet_len,
            node: object.parsed("node", "a name of at most 253 bytes", host_name)?,
            engine: engine.map(|(_, engine)| engine).unwrap_or_default(),
            peers: peers(&object, unknown)?,
            peer_file: absolute_path(&object, "peerFile")?,
        };
        for key in ["peers", "peerFile"] {
            if config.engine != Engine::Static && object.value(key).is_some() {
                return Err(object.fault(key, "engine \"static\" beside it, which alone reads it").into());
            }
        }
        if config.engine == Engine::Etcd && object.value("subnet").is_some() {
            return Err(object.fault("subnet", "no such key with engine \"etcd\": the agent claims the subnet").into());
        }
        unknown.extend(object.unread(&[]));
        Ok(Some(config))
    }

    /// The name of the vxlan device.
    #[must_use]
    pub fn device(&self) -> String {
        format!("vxlan.{}", self.vni)
    }

    /// The name of the bridge whose only port that is, when FRR distributes it.
    #[must_use]
    pub fn device_bridge(&self) -> String {
        Self::bridge_of(self.vni)
    }

    /// As [`OverlayConfig::device_bridge`], of an overlay of this number.
    #[must_use]
    pub fn bridge_of(vni: u32) -> String {
        format!("vxbr.{vni}")
    }

    /// The name of the link by which packets of other hosts' containers come.
    #[must_use]
    pub fn device_in(&self) -> String {
        if self.engine == Engine::Evpn { self.device_bridge() } else { self.device() }
    }

    /// This host's subnets as far as the configuration itself tells them: those that it names, or the network's first
    /// ones where there is one host so far.
    #[must_use]
    pub fn own_subnets(&self) -> Option<Vec<IpNet>> {
        let firsts = || {
            let each = self.networks.iter().zip(&self.subnet_len);
            each.filter_map(|(network, len)| first_subnet(network, *len)).collect()
        };
        self.subnets.clone().or_else(|| (self.engine == Engine::None).then(firsts))
    }
}

/// As long as the name of a host can be.
fn host_name(text: &str) -> Option<String> {
    (text.len() <= 253).then(|| text.to_owned())
}

/// One value, or a list of them.
fn one_or_more<'a>(object: &Object<'a>, key: &'static str) -> Result<Vec<Item<'a>>, FieldError> {
    match object.value(key) {
        Some(value) if !value.is_array() => Ok(vec![object.item(key, value)]),
        _ => object.list(key),
    }
}

fn cidrs<'a>(object: &Object<'a>, key: &'static str) -> Result<Vec<(Item<'a>, IpNet)>, FieldError> {
    let mut all: Vec<(Item<'a>, IpNet)> = Vec::new();
    for item in one_or_more(object, key)? {
        let net = parse_cidr(item.string()?).filter(|net| net.addr() == net.network());
        let net = net.ok_or_else(|| item.fault("a network without host bits, such as 10.244.0.0/16"))?;
        if all.iter().any(|(_, other)| other.addr().is_ipv4() == net.addr().is_ipv4()) {
            return Err(item.fault("one network of each family"));
        }
        all.push((item, net));
    }
    Ok(all)
}

fn networks(object: &Object<'_>) -> Result<Vec<IpNet>, FieldError> {
    let networks: Vec<_> = cidrs(object, "network")?.into_iter().map(|(_, net)| net).collect();
    if networks.is_empty() {
        return Err(object.missing("network", "the whole overlay's network, such as 10.244.0.0/16"));
    }
    Ok(networks)
}

/// One for each network: a subnet must have room for a gateway and a container.
fn subnet_len(object: &Object<'_>, networks: &[IpNet]) -> Result<Vec<u8>, FieldError> {
    let given = one_or_more(object, "subnetLen")?;
    if !given.is_empty() && given.len() != networks.len() {
        return Err(object.fault("subnetLen", "as many lengths as `network` has networks"));
    }
    let mut lengths = Vec::new();
    for (index, network) in networks.iter().enumerate() {
        let (default, longest) = if network.addr().is_ipv4() { (SUBNET_LEN.0, 30) } else { (SUBNET_LEN.1, 126) };
        let length = match given.get(index) {
            Some(item) => item.value.as_u64().and_then(|length| u8::try_from(length).ok()).unwrap_or(u8::MAX),
            None => default.max(network.prefix_len()).min(longest),
        };
        if !(network.prefix_len()..=longest).contains(&length) {
            let expected = format!("{} to {longest}, a part of {network}", network.prefix_len());
            return Err(given.get(index).map_or_else(
                || object.fault("network", format!("at most a /{longest}, with room for addresses")),
                |item| item.fault(expected),
            ));
        }
        lengths.push(length);
    }
    Ok(lengths)
}

fn subnets(object: &Object<'_>, networks: &[IpNet], lengths: &[u8]) -> Result<Option<Vec<IpNet>>, FieldError> {
    let given = cidrs(object, "subnet")?;
    if given.is_empty() {
        return Ok(None);
    }
    for (item, subnet) in &given {
        let mut parts = networks.iter().zip(lengths);
        let inside = parts.any(|(network, length)| network.contains(subnet) && *length == subnet.prefix_len());
        if !inside {
            return Err(item.fault("a part of `network` that is `subnetLen` long"));
        }
    }
    if given.len() != networks.len() {
        return Err(object.fault("subnet", "one for each family of `network`"));
    }
    Ok(Some(given.into_iter().map(|(_, subnet)| subnet).collect()))
}

fn underlay(object: &Object<'_>) -> Result<Underlay, FieldError> {
    let expected = "an interface's name, or an address of this host";
    let given = object.parsed("underlay", expected, |text| {
        let address = parse_ip(text).map(Underlay::Address);
        address.or_else(|| name::is_interface(text).then(|| Underlay::Interface(text.to_owned())))
    })?;
    Ok(given.unwrap_or_default())
}

fn peers(object: &Object<'_>, unknown: &mut Vec<UnknownKey>) -> Result<Vec<Host>, FieldError> {
    let mut peers = Vec::new();
    for object in object.objects("peers")? {
        let vtep = object.require("vtep", object.ip("vtep")?, "the peer's address in the underlay")?;
        let node = object.require("node", object.string("node")?, "the peer's name")?.to_owned();
        let mac = object.parsed("mac", "a hardware address, such as 02:67:c0:00:02:01", |text| text.parse().ok())?;
        let mut subnets = Vec::new();
        for item in one_or_more(&object, "subnets")? {
            let subnet = parse_cidr(item.string()?);
            subnets.push(subnet.ok_or_else(|| item.fault("a network, such as 10.244.1.0/24"))?);
        }
        unknown.extend(object.unread(&[]));
        peers.push(Host { node, subnets, vtep, mac: mac.unwrap_or_else(|| derived_mac(vtep)) });
    }
    Ok(peers)
}
