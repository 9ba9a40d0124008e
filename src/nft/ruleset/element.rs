//! What containers add to sets and maps.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Family, LinkName, Owner, Part, TABLE, Table, address, octets};
use crate::cni::mac::Mac;

/// A protocol that has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// `IPPROTO_*`.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// One element of a set or map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Element {
    /// What this address sends beyond the host is masqueraded. The prefix length is its network's.
    Masquerade(IpNet),
    /// Except to this address's own network.
    SameNetwork(IpNet),
    /// What comes to a port of the host goes to a container. See [`Element::host_port`].
    HostPort {
        /// The host's address, of the family of `to`; None is any of the family.
        host_ip: Option<IpAddr>,
        /// The protocol.
        protocol: Protocol,
        /// The host's port.
        host_port: u16,
        /// The container's address and port.
        to: SocketAddr,
    },
    /// Connections to host ports that come from a network and go to this address are masqueraded.
    HostPortSource {
        /// The container's address.
        to: IpAddr,
        /// The network, of the same family.
        from: IpNet,
    },
    /// Other programs' firewalls are to let through what this container sends, the answers to it, and what comes to it by
    /// a host port.
    Forwarded(IpAddr),
    /// They are to let through, too, what comes to this container by this link.
    ForwardedVia(LinkName, IpAddr),
    /// Nothing goes from other isolated bridges to this one, nor through this one to itself. Shared by its network.
    IsolatedBridge(LinkName),
    /// Except through this one to itself. Shared by its network.
    SameBridge(LinkName),
    /// What comes from this link must have a source address that is known. The link is a port of a bridge.
    CheckedLink(LinkName),
    /// The link's known address.
    LinkAddress(LinkName, Mac),
    /// What comes from this link must come from an IP address that is known. The link is a port of a bridge.
    CheckedSources(LinkName),
    /// One that the link is known to have.
    LinkSource(LinkName, IpAddr),
    /// A host of an overlay, whose frames are taken.
    Vtep {
        /// Its address.
        vtep: IpAddr,
        /// The UDP port.
        port: u16,
        /// The overlay's number on the wire.
        vni: u32,
    },
}

impl Element {
    /// The elements that masquerade a container's address, except inside its own network.
    #[must_use]
    pub const fn masquerade(address: IpNet) -> [Self; 2] {
        [Self::SameNetwork(address), Self::Masquerade(address)]
    }

    /// A port mapping; None if the host's address and the container's are of two families.
    #[must_use]
    pub fn host_port(host_ip: Option<IpAddr>, protocol: Protocol, host_port: u16, to: SocketAddr) -> Option<Self> {
        if host_ip.is_some_and(|ip| ip.is_ipv4() != to.is_ipv4()) {
            return None;
        }
        let host_ip = host_ip.filter(|ip| !ip.is_unspecified());
        Some(Self::HostPort { host_ip, protocol, host_port, to })
    }

    /// The elements that bring back to us the answers to host ports: of those who are in the container's network, and
    /// of the host's own 127.0.0.1; or, if `all`, of everybody.
    #[must_use]
    pub fn host_port_sources(address: IpNet, all: bool) -> Vec<Self> {
        let everybody = match address {
            IpNet::V4(_) => IpNet::V4(ipnet::Ipv4Net::default()),
            IpNet::V6(_) => IpNet::V6(ipnet::Ipv6Net::default()),
        };
        let loopback = IpNet::new(Ipv4Addr::LOCALHOST.into(), 8).ok().filter(|_| address.addr().is_ipv4());
        let from =
            if all { vec![everybody] } else { [Some(address.trunc()), loopback].into_iter().flatten().collect() };
        from.into_iter().map(|from| Self::HostPortSource { to: address.addr(), from: from.trunc() }).collect()
    }

    /// Whether all attachments of a network put it there together: it is added if it is not there, whoever's it is.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::IsolatedBridge(_) | Self::SameBridge(_))
    }

    /// Whether who has it keeps it: it is refused to others, while the address of a container has one owner by itself.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        matches!(self, Self::HostPort { .. })
    }

    /// Whether it comes with the container's link, and not from a later plugin of the chain.
    #[must_use]
    pub fn is_of_link(&self) -> bool {
        matches!(self, Self::Masquerade(_) | Self::SameNetwork(_)) || self.part().table() == Table::Bridge
    }

    /// Whether both cannot be there: they have one key.
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        self.set() == other.set() && self.key() == other.key()
    }

    /// The part of the rules that looks at it.
    #[must_use]
    pub fn part(&self) -> Part {
        match self {
            Self::Masquerade(net) | Self::SameNetwork(net) => {
                Part::Masquerade(Family::of(net.addr()), net.prefix_len())
            }
            Self::HostPort { to, .. } => Part::HostPorts(Family::of(to.ip())),
            Self::HostPortSource { to, from } => Part::HostPortSources(Family::of(*to), from.prefix_len()),
            Self::Forwarded(ip) => Part::Forwarding(Family::of(*ip)),
            Self::ForwardedVia(_, ip) => Part::ForwardingVia(Family::of(*ip)),
            Self::IsolatedBridge(_) | Self::SameBridge(_) => Part::Isolation,
            Self::CheckedLink(_) | Self::LinkAddress(..) => Part::Spoofing,
            Self::CheckedSources(_) | Self::LinkSource(..) => Part::Sources,
            Self::Vtep { vtep, port, vni } => Part::Vteps { family: Family::of(*vtep), port: *port, vni: *vni },
        }
    }

    /// Name of its set or map.
    #[must_use]
    pub fn set(&self) -> String {
        match self {
            Self::Masquerade(net) => format!("masq{}_{}", Family::of(net.addr()), net.prefix_len()),
            Self::SameNetwork(net) => format!("same{}_{}", Family::of(net.addr()), net.prefix_len()),
            Self::HostPort { host_ip: None, to, .. } => format!("hp{}", Family::of(to.ip())),
            Self::HostPort { host_ip: Some(_), to, .. } => format!("hp{}ip", Family::of(to.ip())),
            Self::HostPortSource { to, from } => format!("snat{}_{}", Family::of(*to), from.prefix_len()),
            Self::Forwarded(ip) => format!("fwd{}", Family::of(*ip)),
            Self::ForwardedVia(_, ip) => format!("fwdvia{}", Family::of(*ip)),
            Self::IsolatedBridge(_) => "isolated".into(),
            Self::SameBridge(_) => "same_bridge".into(),
            Self::CheckedLink(_) => "spoof".into(),
            Self::LinkAddress(..) => "spoof_ok".into(),
            Self::CheckedSources(_) => "spoof_ip".into(),
            Self::LinkSource(_, ip) => format!("spoof_ip{}_ok", Family::of(*ip)),
            Self::Vtep { vtep, port, vni } => format!("vtep{}_{port}_{vni}", Family::of(*vtep)),
        }
    }

    /// Its key, as the kernel holds it: each field from a multiple of four bytes.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        match self {
            Self::Masquerade(net) => octets(net.addr()),
            Self::SameNetwork(net) => [octets(net.addr()), octets(net.network())].concat(),
            Self::HostPort { host_ip, protocol, host_port, .. } => {
                let [high, low] = host_port.to_be_bytes();
                let service = vec![protocol.number(), 0, 0, 0, high, low, 0, 0];
                [host_ip.map(octets).unwrap_or_default(), service].concat()
            }
            Self::HostPortSource { to, from } => [octets(*to), octets(from.network())].concat(),
            Self::Forwarded(ip) | Self::Vtep { vtep: ip, .. } => octets(*ip),
            Self::IsolatedBridge(link) | Self::CheckedLink(link) | Self::CheckedSources(link) => link.0.into(),
            Self::SameBridge(link) => [link.0, link.0].concat(),
            Self::LinkAddress(link, mac) => [&link.0[..], &mac.0, &[0; 2]].concat(),
            Self::LinkSource(link, ip) | Self::ForwardedVia(link, ip) => [link.0.to_vec(), octets(*ip)].concat(),
        }
    }

    /// What a map holds under the key, as the kernel holds it; None in a set.
    #[must_use]
    pub fn value(&self) -> Option<Vec<u8>> {
        let Self::HostPort { to, .. } = self else { return None };
        let [high, low] = to.port().to_be_bytes();
        Some([octets(to.ip()), vec![high, low, 0, 0]].concat())
    }

    /// Reads an element of one of our sets and maps; None if it is none that we would write.
    #[must_use]
    pub fn decode(set: &str, key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let (name, len) = set.rsplit_once('_').unwrap_or((set, ""));
        let net = |bytes: &[u8]| IpNet::new(address(bytes)?, len.parse().ok()?).ok();
        let half = key.split_at_checked(key.len() / 2);
        let element = match (set, name) {
            ("hp4" | "hp4ip" | "hp6" | "hp6ip", _) => decode_host_port(key, value?)?,
            ("fwd4" | "fwd6", _) => Self::Forwarded(address(key)?),
            ("fwdvia4" | "fwdvia6", _) => {
                let (link, ip) = key.split_at_checked(16)?;
                Self::ForwardedVia(LinkName::read(link)?, address(ip)?)
            }
            ("isolated", _) => Self::IsolatedBridge(LinkName::read(key)?),
            ("same_bridge", _) => Self::SameBridge(LinkName::read(half?.0)?),
            ("spoof", _) => Self::CheckedLink(LinkName::read(key)?),
            ("spoof_ok", _) => {
                let (link, mac) = key.split_at_checked(16)?;
                Self::LinkAddress(LinkName::read(link)?, Mac(mac.get(..6)?.try_into().ok()?))
            }
            ("spoof_ip", _) => Self::CheckedSources(LinkName::read(key)?),
            ("spoof_ip4_ok" | "spoof_ip6_ok", _) => {
                let (link, ip) = key.split_at_checked(16)?;
                Self::LinkSource(LinkName::read(link)?, address(ip)?)
            }
            (_, "masq4" | "masq6") => Self::Masquerade(net(key)?),
            (_, "same4" | "same6") => Self::SameNetwork(net(half?.0)?),
            (_, "snat4" | "snat6") => Self::HostPortSource { to: address(half?.0)?, from: net(half?.1)? },
            (_, name) => {
                let port = name.strip_prefix("vtep4_").or_else(|| name.strip_prefix("vtep6_"))?;
                Self::Vtep { vtep: address(key)?, port: port.parse().ok()?, vni: len.parse().ok()? }
            }
        };
        (element.set() == set && element.key() == key && element.value().as_deref() == value).then_some(element)
    }
}

fn decode_host_port(key: &[u8], value: &[u8]) -> Option<Element> {
    let (host_ip, service) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let (ip, port) = value.split_at_checked(value.len().checked_sub(4)?)?;
    let protocol = Protocol::ALL.into_iter().find(|protocol| protocol.number() == service[0])?;
    let to = SocketAddr::new(address(ip)?, u16::from_be_bytes([port[0], port[1]]));
    let host_ip = if host_ip.is_empty() { None } else { Some(address(host_ip)?) };
    Some(Element::HostPort { host_ip, protocol, host_port: u16::from_be_bytes([service[4], service[5]]), to })
}

impl fmt::Display for Element {
    /// As nft writes it between the braces, without the value of a map.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Masquerade(net) => write!(f, "{}", net.addr()),
            Self::SameNetwork(net) => write!(f, "{} . {}", net.addr(), net.network()),
            Self::HostPort { host_ip, protocol, host_port, .. } => {
                host_ip.map_or(Ok(()), |ip| write!(f, "{ip} . "))?;
                write!(f, "{protocol} . {host_port}")
            }
            Self::HostPortSource { to, from } => write!(f, "{to} . {}", from.network()),
            Self::Forwarded(ip) | Self::Vtep { vtep: ip, .. } => write!(f, "{ip}"),
            Self::IsolatedBridge(link) | Self::CheckedLink(link) | Self::CheckedSources(link) => {
                write!(f, "\"{link}\"")
            }
            Self::SameBridge(link) => write!(f, "\"{link}\" . \"{link}\""),
            Self::LinkAddress(link, mac) => write!(f, "\"{link}\" . {mac}"),
            Self::LinkSource(link, ip) | Self::ForwardedVia(link, ip) => write!(f, "\"{link}\" . {ip}"),
        }
    }
}

/// A host port, as a person speaks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortName(pub Element);

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Element::HostPort { host_ip: Some(ip), protocol, host_port, .. } => {
                write!(f, "host port {}/{protocol}", SocketAddr::new(ip, host_port))
            }
            Element::HostPort { host_ip: None, protocol, host_port, to } => {
                let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
                write!(f, "host port {host_port}/{protocol} of {family}")
            }
            other => write!(f, "{other}"),
        }
    }
}

/// An element and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owned {
    /// What.
    pub element: Element,
    /// Whose.
    pub owner: Owner,
}

impl Owned {
    /// An attachment's element; one that its network shares is the network's.
    #[must_use]
    pub fn new(element: Element, attachment: &Owner) -> Self {
        let owner = if element.is_shared() { attachment.of_network() } else { attachment.clone() };
        Self { element, owner }
    }

    /// Whether what was found under the key serves as this: it is this, or the same container has the host port by
    /// another of its networks.
    #[must_use]
    pub fn is_served_by(&self, found: &Self) -> bool {
        self == found
            || (self.element.is_kept() && self.owner != found.owner && self.owner.shares_container_with(&found.owner))
    }
}

impl fmt::Display for Owned {
    /// What a person would type behind `nft`, in a shell.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { element, owner } = self;
        let table = element.part().table();
        write!(f, "add element {table} {TABLE} {} '{{ {element} comment \"{owner}\"", element.set())?;
        if let Element::HostPort { to, .. } = element {
            write!(f, " : {} . {}", to.ip(), to.port())?;
        }
        f.write_str(" }'")
    }
}

#[cfg(test)]
mod tests;
