//! Addresses of links.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::address::{AddressAttribute, AddressFlags as Flags, AddressHeaderFlags, AddressMessage};
use nix::libc::{RTM_DELADDR, RTM_GETADDR, RTM_NEWADDR};

use super::{Error, Link, NEW, Rtnl, family, values::AddressFlags};

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
        let messages = self.address_messages(link.index, || format!("ip addr show dev {}", link.name))?;
        Ok(messages.iter().filter(|one| one.header.index == link.index).filter_map(address_of).collect())
    }

    /// The addresses of a link that cannot be used yet, or never will.
    ///
    /// # Errors
    /// Any refusal.
    pub fn unsettled_addresses(&self, link: &Link) -> Result<Vec<Unsettled>, Error> {
        let messages = self.address_messages(link.index, || format!("ip addr show dev {} tentative", link.name))?;
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
        let messages = self.address_messages(0, || "ip addr show".into())?;
        Ok(messages.iter().filter_map(address_of).map(|address| address.addr()).collect())
    }

    /// Index of the link that has an address of the namespace.
    ///
    /// # Errors
    /// Any refusal.
    pub fn link_of(&self, address: IpAddr) -> Result<Option<u32>, Error> {
        let messages = self.address_messages(0, || "ip addr show".into())?;
        let has_it = |one: &&AddressMessage| address_of(one).is_some_and(|net| net.addr() == address);
        Ok(messages.iter().find(has_it).map(|one| one.header.index))
    }

    /// Adds an address.
    ///
    /// # Errors
    /// EEXIST when the link has it already; any other refusal.
    pub fn add_address(&self, link: &Link, address: IpNet, flags: AddressFlags) -> Result<(), Error> {
        let mut message = message(link, address);
        if let IpNet::V4(net) = address
            && net.prefix_len() < 31
        {
            message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
        }
        let mut bits = Flags::empty();
        bits.set(Flags::Nodad, flags.nodad && matches!(address, IpNet::V6(_)));
        bits.set(Flags::Noprefixroute, flags.no_prefix_route);
        if !bits.is_empty() {
            message.attributes.push(AddressAttribute::Flags(bits));
        }
        self.run((RTM_NEWADDR, message), NEW, || format!("ip addr add {address} dev {}", link.name))
    }

    /// Removes an address.
    ///
    /// # Errors
    /// EADDRNOTAVAIL when the link does not have it; any other refusal.
    pub fn delete_address(&self, link: &Link, address: IpNet) -> Result<(), Error> {
        self.run((RTM_DELADDR, message(link, address)), 0, || format!("ip addr del {address} dev {}", link.name))
    }

    /// Those of one link, or of all (0).
    fn address_messages(&self, index: u32, doing: impl Fn() -> String) -> Result<Vec<AddressMessage>, Error> {
        let mut asked = AddressMessage::default();
        asked.header.index = index;
        self.list((RTM_GETADDR, asked), AddressMessage::parse, doing)
    }
}

fn message(link: &Link, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.addr().is_ipv6());
    message.header.index = link.index;
    message.header.prefix_len = address.prefix_len();
    message.attributes = vec![AddressAttribute::Address(address.addr()), AddressAttribute::Local(address.addr())];
    message
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
