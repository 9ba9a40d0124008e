//! Kernel objects as values, pure: what `observe` reads and `plan` reasons about.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::cni::mac::Mac;

/// Made by the kernel itself, with an address (`RTPROT_KERNEL`).
pub const KERNEL: u8 = 2;
/// Made by an administrator (`RTPROT_STATIC`).
pub const STATIC: u8 = 4;
/// Learned from a router's advertisement (`RTPROT_RA`).
pub const ADVERTISED: u8 = 9;

/// The main routing table (`RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;

/// A link as the kernel holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `bridge`, `veth`, ...; None for a link without kind (a NIC, lo).
    pub kind: Option<String>,
    /// Hardware address.
    pub mac: Option<Mac>,
    /// In bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The user asked for promiscuous mode.
    pub promisc: bool,
    /// The user asked for every multicast frame.
    pub all_multicast: bool,
    /// Length of the transmit queue, in packets.
    pub tx_queue_len: u32,
    /// Index of the bridge (or other controller) whose port it is.
    pub master: Option<u32>,
    /// Index of a veth's other end, or of the link on which it stands, in that one's namespace.
    pub peer: Option<u32>,
    /// Settings as a bridge's port.
    pub port: Option<PortFlags>,
    /// What a person wrote about it.
    pub alias: Option<String>,
    /// Its kind with all that is known of it, for those that [`LinkKind`] knows.
    pub detail: Option<LinkKind>,
    /// `vlan_filtering` of a bridge.
    pub vlan_filtering: bool,
    /// `vlan_default_pvid` of a bridge: the VLAN of a new port; 0 for none.
    pub default_vlan: u16,
    /// Its settings of IPv4.
    pub ipv4: Ipv4Settings,
}

/// Those of a link's settings under `net/ipv4/conf` that networks need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ipv4Settings {
    /// `arp_notify`
    pub arp_notify: bool,
    /// `route_localnet`
    pub route_localnet: bool,
}

/// One of [`Ipv4Settings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Setting {
    /// Tell the neighbours when the link goes up.
    ArpNotify,
    /// Let packets of 127.0.0.0/8 through.
    RouteLocalnet,
}

impl fmt::Display for Ipv4Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ArpNotify => "arp_notify",
            Self::RouteLocalnet => "route_localnet",
        })
    }
}

/// What a link without an end elsewhere is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A link that leads nowhere.
    Dummy,
    /// A link with a hardware address of its own on its parent.
    Macvlan {
        /// What it does with frames to others on its parent.
        mode: MacvlanMode,
        /// Length of its parent's queue of broadcasts; the kernel's when None.
        broadcast_queue: Option<u32>,
    },
    /// A link that shares its parent's hardware address.
    Ipvlan {
        /// Which layer it switches.
        mode: IpvlanMode,
    },
    /// A link whose frames are tagged on its parent.
    Vlan {
        /// The VLAN.
        id: u16,
    },
    /// A link whose ports have a routing table of their own.
    Vrf {
        /// The table.
        table: u32,
    },
    /// A link whose frames travel in UDP.
    Vxlan {
        /// Its number on the wire.
        vni: u32,
        /// The UDP port, here and elsewhere.
        port: u16,
        /// The address that frames are sent from; the kernel's choice when None.
        local: Option<IpAddr>,
        /// It learns from where frames come.
        learning: bool,
    },
}

/// Modes of macvlan links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MacvlanMode {
    #[default]
    Bridge,
    Private,
    Vepa,
    Passthru,
}

impl MacvlanMode {
    /// By the names that `ip` and the reference plugin give them.
    pub const ALL: [(&'static str, Self); 4] =
        [("bridge", Self::Bridge), ("private", Self::Private), ("vepa", Self::Vepa), ("passthru", Self::Passthru)];
}

/// Modes of ipvlan links.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum IpvlanMode {
    #[default]
    L2,
    L3,
    L3s,
}

impl IpvlanMode {
    /// By the names that `ip` and the reference plugin give them.
    pub const ALL: [(&'static str, Self); 3] = [("l2", Self::L2), ("l3", Self::L3), ("l3s", Self::L3s)];
}

impl LinkKind {
    /// The kind's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dummy => "dummy",
            Self::Macvlan { .. } => "macvlan",
            Self::Ipvlan { .. } => "ipvlan",
            Self::Vlan { .. } => "vlan",
            Self::Vrf { .. } => "vrf",
            Self::Vxlan { .. } => "vxlan",
        }
    }

    /// What tells it from others of its kind, in the words of `ip`.
    #[must_use]
    pub fn setting(&self) -> Option<String> {
        fn name_of<T: PartialEq>(all: &[(&'static str, T)], mode: &T) -> &'static str {
            all.iter().find(|(_, one)| one == mode).map_or("", |(name, _)| name)
        }
        match self {
            Self::Dummy => None,
            Self::Macvlan { mode, .. } => Some(format!("mode {}", name_of(&MacvlanMode::ALL, mode))),
            Self::Ipvlan { mode } => Some(format!("mode {}", name_of(&IpvlanMode::ALL, mode))),
            Self::Vlan { id } => Some(format!("id {id}")),
            Self::Vrf { table } => Some(format!("table {table}")),
            Self::Vxlan { vni, port, local, learning } => {
                let local = local.map(|local| format!(" local {local}")).unwrap_or_default();
                Some(format!("id {vni} dstport {port}{local}{}", if *learning { "" } else { " nolearning" }))
            }
        }
    }
}

impl fmt::Display for LinkKind {
    /// As `ip link add` takes it behind `type`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.setting().map_or(Ok(()), |setting| write!(f, " {setting}"))?;
        match self {
            Self::Macvlan { broadcast_queue: Some(length), .. } => write!(f, " bcqueuelen {length}"),
            _ => Ok(()),
        }
    }
}

/// How an address is added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressFlags {
    /// IPv6: usable at once, without duplicate address detection.
    pub nodad: bool,
    /// The kernel makes no route to the address's network.
    pub no_prefix_route: bool,
}

/// A VLAN of a bridge's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortVlan {
    /// Its number.
    pub id: u16,
    /// Untagged frames belong to it, and its own leave untagged.
    pub native: bool,
}

/// Settings of a link, those that are not None. As JSON, what the reference plugin `tuning` noted of a link can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkSettings {
    /// Hardware address.
    pub mac: Option<Mac>,
    /// In bytes.
    pub mtu: Option<u32>,
    /// Promiscuous mode.
    pub promisc: Option<bool>,
    /// Every multicast frame is received.
    #[serde(alias = "allmulti")]
    pub all_multicast: Option<bool>,
    /// Length of the transmit queue, in packets.
    #[serde(alias = "txQLen")]
    pub tx_queue_len: Option<u32>,
}

impl LinkSettings {
    /// Whether no setting is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a link has of the settings that are named.
    #[must_use]
    pub fn of(&self, link: &Link) -> Self {
        Self {
            mac: self.mac.and(link.mac),
            mtu: self.mtu.map(|_| link.mtu),
            promisc: self.promisc.map(|_| link.promisc),
            all_multicast: self.all_multicast.map(|_| link.all_multicast),
            tx_queue_len: self.tx_queue_len.map(|_| link.tx_queue_len),
        }
    }
}

impl fmt::Display for LinkSettings {
    /// As `ip link set dev NAME` takes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switch = |on: Option<bool>| on.map(|on| if on { "on" } else { "off" }.to_owned());
        let words = [
            ("address", self.mac.map(|mac| mac.to_string())),
            ("mtu", self.mtu.map(|mtu| mtu.to_string())),
            ("promisc", switch(self.promisc)),
            ("allmulticast", switch(self.all_multicast)),
            ("txqueuelen", self.tx_queue_len.map(|length| length.to_string())),
        ];
        let set = words.into_iter().filter_map(|(word, value)| Some(format!("{word} {}", value?)));
        f.write_str(&set.collect::<Vec<_>>().join(" "))
    }
}

/// A queueing discipline that somebody gave a link, at its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// `tbf`, `ingress`, ...
    pub kind: String,
    /// It is of what the link receives, else of what it sends.
    pub receives: bool,
}

/// A limit on what a link sends, as the queueing discipline `tbf` (token bucket filter) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shaper {
    /// In bytes a second.
    pub rate: u64,
    /// In bytes: how much may pass at once after a pause.
    pub burst: u32,
    /// In bytes: how much may wait; what is more is dropped.
    pub limit: u32,
}

impl fmt::Display for Shaper {
    /// As `tc qdisc add` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tbf rate {}bps burst {}b limit {}b", self.rate, self.burst, self.limit)
    }
}

/// Settings of a bridge's port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortFlags {
    /// Frames may leave by the port they came in.
    pub hairpin: bool,
    /// No frames to other isolated ports.
    pub isolated: bool,
}

impl fmt::Display for PortFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on| if on { "on" } else { "off" };
        write!(f, "hairpin {} isolated {}", word(self.hairpin), word(self.isolated))
    }
}

/// A rule: what is sent from this address goes by this table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRule {
    /// The address.
    pub source: IpAddr,
    /// The table.
    pub table: u32,
}

impl fmt::Display for SourceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} table {}", self.source, self.table)
    }
}

/// A route, as asked for or as the kernel holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// Destination.
    pub dst: IpNet,
    /// Next hop.
    pub gw: Option<IpAddr>,
    /// The address from which what takes it is sent, unless its sender says otherwise.
    pub src: Option<IpAddr>,
    /// Index of the outgoing link.
    pub oif: Option<u32>,
    /// Metric.
    pub priority: Option<u32>,
    /// Who made it, as rtnetlink's number: 4 an administrator, 9 a router's advertisement.
    pub protocol: u8,
    /// Table; 254 is main.
    pub table: u32,
    /// Scope as rtnetlink's number; None lets the kernel's rule decide (link without a next hop, else universe).
    pub scope: Option<u8>,
    /// In bytes.
    pub mtu: Option<u32>,
    /// In bytes.
    pub advmss: Option<u32>,
}

impl RouteEntry {
    /// An administrator's route of the main table; what else it may say is left to the kernel.
    #[must_use]
    pub const fn to(dst: IpNet) -> Self {
        Self {
            dst,
            gw: None,
            src: None,
            oif: None,
            priority: None,
            protocol: STATIC,
            table: MAIN_TABLE,
            scope: None,
            mtu: None,
            advmss: None,
        }
    }
}

#[cfg(test)]
mod tests;
