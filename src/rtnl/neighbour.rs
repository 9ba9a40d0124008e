//! Neighbours, and the forwarding database of a vxlan device: permanent entries.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, Parseable};
use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};
use nix::{
    errno::Errno,
    libc::{RTM_DELNEIGH, RTM_GETNEIGH, RTM_NEWNEIGH},
};

use super::{Error, Link, Rtnl, family};
use crate::cni::mac::Mac;

/// To make what is not there yet, and to change what is.
const PUT: u16 = NLM_F_CREATE | NLM_F_REPLACE;

impl Rtnl {
    /// The permanent neighbours on a link, of one family.
    ///
    /// # Errors
    /// Any refusal.
    pub fn neighbours(&self, link: &Link, ipv6: bool) -> Result<Vec<(IpAddr, Mac)>, Error> {
        let mut asked = NeighbourMessage::default();
        asked.header.family = family(ipv6);
        asked.attributes.push(NeighbourAttribute::IfIndex(link.index));
        let doing = || format!("ip neigh show dev {}", link.name);
        let messages = self.list((RTM_GETNEIGH, asked), NeighbourMessage::parse, doing)?;
        Ok(messages.iter().filter(|one| is_permanent(one, link)).filter_map(told).collect())
    }

    /// The permanent entries of a vxlan device's forwarding database: hardware addresses, and where they are.
    ///
    /// # Errors
    /// Any refusal.
    pub fn forwardings(&self, link: &Link) -> Result<Vec<(Mac, IpAddr)>, Error> {
        let doing = || format!("bridge fdb show dev {}", link.name);
        let asked = about(link, AddressFamily::Bridge, Vec::new());
        let messages = self.list((RTM_GETNEIGH, asked), NeighbourMessage::parse, doing)?;
        let own = messages.iter().filter(|one| is_permanent(one, link));
        Ok(own.filter_map(told).map(|(vtep, mac)| (mac, vtep)).collect())
    }

    /// Makes a permanent neighbour, or gives it this hardware address. `protocol`: who made it, as of a route.
    ///
    /// # Errors
    /// Any refusal.
    pub fn put_neighbour(&self, link: &Link, ip: IpAddr, mac: Mac, protocol: u8) -> Result<(), Error> {
        let attributes = vec![
            NeighbourAttribute::Destination(destination(ip)),
            NeighbourAttribute::LinkLayerAddress(mac.0.into()),
            NeighbourAttribute::Protocol(protocol.into()),
        ];
        let mut message = about(link, family(ip.is_ipv6()), attributes);
        message.header.state = NeighbourState::Permanent;
        self.run((RTM_NEWNEIGH, message), PUT, || {
            format!("ip neigh replace {ip} lladdr {mac} dev {} nud permanent", link.name)
        })
    }

    /// Deletes a neighbour; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENOENT.
    pub fn delete_neighbour(&self, link: &Link, ip: IpAddr) -> Result<(), Error> {
        let message = about(link, family(ip.is_ipv6()), vec![NeighbourAttribute::Destination(destination(ip))]);
        gone(self.run((RTM_DELNEIGH, message), 0, || format!("ip neigh del {ip} dev {}", link.name)))
    }

    /// Lets a vxlan device send what is for a hardware address to a VTEP.
    ///
    /// # Errors
    /// Any refusal.
    pub fn put_forwarding(&self, link: &Link, mac: Mac, vtep: IpAddr) -> Result<(), Error> {
        let attributes = vec![
            NeighbourAttribute::LinkLayerAddress(mac.0.into()),
            NeighbourAttribute::Destination(destination(vtep)),
        ];
        let mut message = about(link, AddressFamily::Bridge, attributes);
        message.header.state = NeighbourState::Permanent;
        message.header.flags = NeighbourFlags::Own;
        self.run((RTM_NEWNEIGH, message), PUT, || {
            format!("bridge fdb replace {mac} dev {} dst {vtep} self permanent", link.name)
        })
    }

    /// Deletes an entry of a vxlan device's forwarding database; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENOENT.
    pub fn delete_forwarding(&self, link: &Link, mac: Mac) -> Result<(), Error> {
        let address = NeighbourAttribute::LinkLayerAddress(mac.0.into());
        let mut message = about(link, AddressFamily::Bridge, vec![address]);
        message.header.flags = NeighbourFlags::Own;
        gone(self.run((RTM_DELNEIGH, message), 0, || format!("bridge fdb del {mac} dev {} self", link.name)))
    }
}

fn about(link: &Link, family: AddressFamily, attributes: Vec<NeighbourAttribute>) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family;
    message.header.ifindex = link.index;
    message.attributes = attributes;
    message
}

fn destination(ip: IpAddr) -> NeighbourAddress {
    match ip {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    }
}

fn is_permanent(message: &NeighbourMessage, link: &Link) -> bool {
    // A set of bits: what `bridge fdb` makes is NOARP, too.
    let permanent = u16::from(message.header.state) & u16::from(NeighbourState::Permanent) != 0;
    message.header.ifindex == link.index && permanent
}

fn told(message: &NeighbourMessage) -> Option<(IpAddr, Mac)> {
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => ip = Some(IpAddr::V4(*address)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => ip = Some(IpAddr::V6(*address)),
            // Told in the bridge's family, where no address family says what it is.
            NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => ip = address(bytes),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac),
            _ => {}
        }
    }
    Some((ip?, mac?))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

fn gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(()),
        other => other,
    }
}
