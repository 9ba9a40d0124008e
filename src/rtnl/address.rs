//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressFlags as Flags, AddressHeaderFlags, AddressMessage};

use super::{Error, Link, Rtnl, values::AddressFlags};

/// An IPv6 address that duplicate address detection has not cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsettled {
    /// The address.
    pub address: IpNet,
    /// It is another machine's; else it is still being asked about.
    pub duplicate: bool,
}

impl Rtnl {
    /// The addresses of a link, IPv6 link-local ones included.
    ///
    /// # Errors
    /// Any refusal.
    pub fn addresses(&self, link: &Link) -> Result<Vec<IpNet>, Error> {
        let mut request = self.handle.address().get();
        request.message_mut().header.index = link.index;
        let messages = self.collect(request.execute(), || format!("ip addr show dev {}", link.name))?;
        Ok(messages.iter().filter(|one| one.header.index == link.index).filter_map(address_of).collect())
    }

    /// The addresses of a link that cannot be used yet, or never will.
    ///
    /// # Errors
    /// Any refusal.
    pub fn unsettled_addresses(&self, link: &Link) -> Result<Vec<Unsettled>, Error> {
        let mut request = self.handle.address().get();
        request.message_mut().header.index = link.index;
        let messages = self.collect(request.execute(), || format!("ip addr show dev {} tentative", link.name))?;
        let unsettled = |message: &AddressMessage| {
            let flags = message.header.flags;
            let duplicate = flags.contains(AddressHeaderFlags::Dadfailed);
            let tentative = duplicate || flags.contains(AddressHeaderFlags::Tentative);
            address_of(message).filter(|_| tentative).map(|address| Unsettled { address, duplicate })
        };
        Ok(messages.iter().filter(|one| one.header.index == link.index).filter_map(unsettled).collect())
    }

    /// Every address of the namespace's links.
    ///
    /// # Errors
    /// Any refusal.
    pub fn all_addresses(&self) -> Result<Vec<IpAddr>, Error> {
        let messages = self.collect(self.handle.address().get().execute(), || "ip addr show".into())?;
        Ok(messages.iter().filter_map(address_of).map(|address| address.addr()).collect())
    }

    /// Index of the link that has an address of the namespace.
    ///
    /// # Errors
    /// Any refusal.
    pub fn link_of(&self, address: IpAddr) -> Result<Option<u32>, Error> {
        let messages = self.collect(self.handle.address().get().execute(), || "ip addr show".into())?;
        let has_it = |one: &&AddressMessage| address_of(one).is_some_and(|net| net.addr() == address);
        Ok(messages.iter().find(has_it).map(|one| one.header.index))
    }

    /// Adds an address.
    ///
    /// # Errors
    /// EEXIST when the link has it already; any other refusal.
    pub fn add_address(&self, link: &Link, address: IpNet, flags: AddressFlags) -> Result<(), Error> {
        let mut request = self.handle.address().add(link.index, address.addr(), address.prefix_len());
        let mut bits = Flags::empty();
        bits.set(Flags::Nodad, flags.nodad && matches!(address, IpNet::V6(_)));
        bits.set(Flags::Noprefixroute, flags.no_prefix_route);
        if !bits.is_empty() {
            request.message_mut().attributes.push(AddressAttribute::Flags(bits));
        }
        self.run(request.execute(), || format!("ip addr add {address} dev {}", link.name))
    }

    /// Removes an address.
    ///
    /// # Errors
    /// EADDRNOTAVAIL when the link does not have it; any other refusal.
    pub fn delete_address(&self, link: &Link, address: IpNet) -> Result<(), Error> {
        let mut message = AddressMessage::default();
        message.header.family = match address {
            IpNet::V4(_) => netlink_packet_route::AddressFamily::Inet,
            IpNet::V6(_) => netlink_packet_route::AddressFamily::Inet6,
        };
        message.header.index = link.index;
        message.header.prefix_len = address.prefix_len();
        message.attributes.push(AddressAttribute::Local(address.addr()));
        message.attributes.push(AddressAttribute::Address(address.addr()));
        self.run(self.handle.address().del(message).execute(), || format!("ip addr del {address} dev {}", link.name))
    }
}

fn address_of(message: &AddressMessage) -> Option<IpNet> {
    let mut found: Option<IpAddr> = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => found = Some(*address),
            AddressAttribute::Address(address) if found.is_none() => found = Some(*address),
            _ => {}
        }
    }
    IpNet::new(found?, message.header.prefix_len).ok()
}
