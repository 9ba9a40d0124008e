//! The vxlan device of this host.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::Host;
use crate::{
    cni::mac::Mac,
    config::{Engine, OverlayConfig},
    rtnl::values::{Link, LinkKind, LinkSettings},
};

/// A vxlan device as it has to be: routed, without learning, and bound to no NIC (which would take it along).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its network's number on the wire.
    pub vni: u32,
    /// The UDP port, here and at the peers.
    pub port: u16,
    /// This host's address in the underlay.
    pub local: IpAddr,
    /// Its hardware address.
    pub mac: Mac,
    /// In bytes.
    pub mtu: u32,
    /// The first address of each subnet, alone: what the host itself sends to containers elsewhere comes from it.
    pub addresses: Vec<IpNet>,
    /// What says whose it is.
    pub alias: String,
    /// The bridge whose only port it is, when FRR distributes it.
    pub bridge: Option<String>,
}

/// What has to be done about the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It is not there.
    Make,
    /// It stands for another address or has other fixed settings: it is deleted and made again.
    Remake,
    /// Some settings differ.
    Change(LinkSettings),
    /// It is right.
    Keep,
}

/// A link of the device's name, or of its number and port, that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "link {name} exists and is not the overlay's ({what}): choose another \"vni\" or \"port\", or remove it with `ip link del {name}`"
)]
pub struct Foreign {
    /// Its name.
    pub name: String,
    /// What is known of it.
    pub what: String,
}

/// How many bytes encapsulation adds to what a container sends: IP, UDP, VXLAN and Ethernet headers.
#[must_use]
pub const fn overhead(vtep: IpAddr) -> u32 {
    match vtep {
        IpAddr::V4(_) => 50,
        IpAddr::V6(_) => 70,
    }
}

impl Device {
    /// The device of a network on this host; `mtu` in bytes.
    #[must_use]
    pub fn of(network: &str, config: &OverlayConfig, own: &Host, mtu: u32) -> Self {
        let is_evpn = config.engine == Engine::Evpn;
        // Its base addresses are FRR's business there: they would be announced.
        let subnets = own.subnets.iter().filter(|_| !is_evpn);
        Self {
            name: config.device(),
            vni: config.vni,
            port: config.port,
            local: own.vtep,
            mac: own.mac,
            mtu,
            addresses: subnets.map(|subnet| IpNet::from(subnet.network())).collect(),
            alias: alias(network),
            bridge: is_evpn.then(|| config.device_bridge()),
        }
    }

    /// Its kind, with what is fixed when it is made.
    #[must_use]
    pub const fn kind(&self) -> LinkKind {
        LinkKind::Vxlan { vni: self.vni, port: self.port, local: Some(self.local), learning: false }
    }

    /// What has to be done, given the link of its name.
    ///
    /// # Errors
    /// The link is not ours.
    pub fn course(&self, found: Option<&Link>) -> Result<Course, Foreign> {
        let Some(link) = found else { return Ok(Course::Make) };
        // Without alias: made as it has to be, by one who was killed before he could sign it.
        let is_as_made = link.alias.is_none() && link.detail == Some(self.kind()) && link.mac == Some(self.mac);
        if link.kind.as_deref() != Some("vxlan") || !(link.alias.as_ref() == Some(&self.alias) || is_as_made) {
            return Err(Foreign::of(link));
        }
        if link.detail != Some(self.kind()) || link.mac != Some(self.mac) {
            return Ok(Course::Remake);
        }
        let mtu = (link.mtu != self.mtu).then_some(self.mtu);
        let is_right = mtu.is_none() && link.up && link.alias.is_some();
        Ok(if is_right { Course::Keep } else { Course::Change(LinkSettings { mtu, ..LinkSettings::default() }) })
    }

    /// The other link whose number and port stand in the way of making it.
    #[must_use]
    pub fn rival<'a>(&self, links: &'a [Link]) -> Option<&'a Link> {
        links.iter().find(|link| {
            matches!(link.detail, Some(LinkKind::Vxlan { vni, port, .. }) if vni == self.vni && port == self.port)
                && link.name != self.name
        })
    }
}

/// What is written about a network's device.
#[must_use]
pub fn alias(network: &str) -> String {
    format!("groundwork overlay {network}")
}

impl Foreign {
    /// Such a link.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        let kind = link.detail.map(|kind| kind.to_string()).or_else(|| link.kind.clone());
        let alias = link.alias.as_ref().map(|alias| format!(", alias {alias:?}")).unwrap_or_default();
        let what = format!("{}{alias}", kind.unwrap_or_else(|| "no virtual link".into()));
        Self { name: link.name.clone(), what }
    }
}

impl fmt::Display for Device {
    /// The commands that a person would type, one a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, mac, mtu, alias, .. } = self;
        writeln!(f, "ip link add {name} address {mac} mtu {mtu} type {}", self.kind())?;
        writeln!(f, "ip link set {name} alias '{alias}'")?;
        if let Some(bridge) = &self.bridge {
            writeln!(f, "ip link add {bridge} address {mac} mtu {mtu} type bridge")?;
            writeln!(f, "ip link set {name} master {bridge}")?;
            writeln!(f, "ip link set {bridge} up")?;
        }
        for address in &self.addresses {
            writeln!(f, "ip addr add {address} dev {name}")?;
        }
        write!(f, "ip link set {name} up")
    }
}
