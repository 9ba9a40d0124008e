//! Neighbours, and the forwarding database of a vxlan device: permanent entries.

use std::net::IpAddr;

use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};
use nix::errno::Errno;

use super::{Error, Link, Rtnl};
use crate::cni::mac::Mac;

impl Rtnl {
    /// The permanent neighbours on a link, of one family.
    ///
    /// # Errors
    /// Any refusal.
    pub fn neighbours(&self, link: &Link, ipv6: bool) -> Result<Vec<(IpAddr, Mac)>, Error> {
        let family = if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        let mut request = self.handle.neighbours().get().set_address_family(family);
        request.message_mut().attributes.push(NeighbourAttribute::IfIndex(link.index));
        let messages = self.collect(request.execute(), || format!("ip neigh show dev {}", link.name))?;
        Ok(messages.iter().filter(|one| is_permanent(one, link)).filter_map(told).collect())
    }

    /// The permanent entries of a vxlan device's forwarding database: hardware addresses, and where they are.
    ///
    /// # Errors
    /// Any refusal.
    pub fn forwardings(&self, link: &Link) -> Result<Vec<(Mac, IpAddr)>, Error> {
        let mut request = self.handle.neighbours().get().set_address_family(AddressFamily::Bridge);
        request.message_mut().header.ifindex = link.index;
        let messages = self.collect(request.execute(), || format!("bridge fdb show dev {}", link.name))?;
        let own = messages.iter().filter(|one| is_permanent(one, link));
        Ok(own.filter_map(told).map(|(vtep, mac)| (mac, vtep)).collect())
    }

    /// Makes a permanent neighbour, or gives it this hardware address. `protocol`: who made it, as of a route.
    ///
    /// # Errors
    /// Any refusal.
    pub fn put_neighbour(&self, link: &Link, ip: IpAddr, mac: Mac, protocol: u8) -> Result<(), Error> {
        let mut request = self.handle.neighbours().add(link.index, ip).link_layer_address(&mac.0).replace();
        request.message_mut().attributes.push(NeighbourAttribute::Protocol(protocol.into()));
        self.run(request.execute(), || format!("ip neigh replace {ip} lladdr {mac} dev {} nud permanent", link.name))
    }

    /// Deletes a neighbour; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENOENT.
    pub fn delete_neighbour(&self, link: &Link, ip: IpAddr) -> Result<(), Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = if ip.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
        message.header.ifindex = link.index;
        message.attributes.push(NeighbourAttribute::Destination(destination(ip)));
        let request = self.handle.neighbours().del(message);
        gone(self.run(request.execute(), || format!("ip neigh del {ip} dev {}", link.name)))
    }

    /// Lets a vxlan device send what is for a hardware address to a VTEP.
    ///
    /// # Errors
    /// Any refusal.
    pub fn put_forwarding(&self, link: &Link, mac: Mac, vtep: IpAddr) -> Result<(), Error> {
        let request = self.handle.neighbours().add_bridge(link.index, &mac.0).destination(vtep);
        let request = request.flags(NeighbourFlags::Own).replace();
        self.run(request.execute(), || format!("bridge fdb replace {mac} dev {} dst {vtep} self permanent", link.name))
    }

    /// Deletes an entry of a vxlan device's forwarding database; gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENOENT.
    pub fn delete_forwarding(&self, link: &Link, mac: Mac) -> Result<(), Error> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = link.index;
        message.header.flags = NeighbourFlags::Own;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let request = self.handle.neighbours().del(message);
        gone(self.run(request.execute(), || format!("bridge fdb del {mac} dev {} self", link.name)))
    }
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
