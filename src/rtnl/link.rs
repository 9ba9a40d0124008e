//! Links: what the kernel holds, and making, changing and deleting them.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{Error, Link, LinkSettings, PortFlags, Rtnl, absent, single};
use crate::cni::mac::Mac;

/// A veth pair to make: one end here, the other here too or born in a sandbox.
#[derive(Debug, Clone)]
pub struct VethPair<'a> {
    /// Name of the host's end.
    pub host: &'a str,
    /// Its hardware address.
    pub host_mac: Mac,
    /// Index of the bridge; None leaves it without.
    pub master: Option<u32>,
    /// Name of the other end.
    pub peer: &'a str,
    /// Its hardware address.
    pub peer_mac: Mac,
    /// Of both ends, in bytes; the kernel's when None.
    pub mtu: Option<u32>,
}

impl Rtnl {
    /// The link of that name, if there is one.
    ///
    /// # Errors
    /// Any refusal but ENODEV.
    pub fn link(&self, name: &str) -> Result<Option<Link>, Error> {
        let mut request = self.handle.link().get().match_name(name);
        request.message_mut().attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let answers = absent(self.collect(request.execute(), || format!("ip link show {name}")))?;
        Ok(answers.and_then(|links| links.into_iter().next()).map(Link::from))
    }

    /// The link of that index, if there is one.
    ///
    /// # Errors
    /// Any refusal but ENODEV.
    pub fn link_at(&self, index: u32) -> Result<Option<Link>, Error> {
        let mut request = self.handle.link().get().match_index(index);
        request.message_mut().attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let answers = absent(self.collect(request.execute(), || format!("ip link show (link {index})")))?;
        Ok(answers.and_then(|links| links.into_iter().next()).map(Link::from))
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// Any refusal.
    pub fn links(&self) -> Result<Vec<Link>, Error> {
        let mut request = self.handle.link().get();
        request.message_mut().attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        let links = self.collect(request.execute(), || "ip link show".into())?;
        Ok(links.into_iter().map(Link::from).collect())
    }

    /// Makes a bridge, its hardware address pinned so that no port changes it.
    ///
    /// # Errors
    /// EEXIST when the name is taken; any other refusal.
    pub fn create_bridge(&self, name: &str, mac: Mac, mtu: Option<u32>, vlan_filtering: bool) -> Result<(), Error> {
        let mut bridge = LinkBridge::new(name).down().address(mac.0.to_vec());
        if let Some(mtu) = mtu {
            bridge = bridge.mtu(mtu);
        }
        if vlan_filtering {
            bridge = bridge.set_info_data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]));
        }
        self.run(self.handle.link().add(bridge.build()).execute(), || format!("ip link add {name} type bridge"))
    }

    /// Makes a veth pair in one request, the host's end up.
    ///
    /// # Errors
    /// EEXIST when either name is taken; any other refusal.
    pub fn create_veth(&self, pair: &VethPair<'_>, sandbox: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new().name(pair.peer).address(pair.peer_mac.0.to_vec());
        if let Some(sandbox) = sandbox {
            peer = peer.setns_by_fd(sandbox.as_raw_fd());
        }
        let mut host = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(pair.host)
            .address(pair.host_mac.0.to_vec())
            .up();
        if let Some(mtu) = pair.mtu {
            peer = peer.mtu(mtu);
            host = host.mtu(mtu);
        }
        if let Some(master) = pair.master {
            host = host.controller(master);
        }
        let host = host.set_info_data(InfoData::Veth(InfoVeth::Peer(peer.build())));
        self.run(self.handle.link().add(host.build()).execute(), || {
            let netns = if sandbox.is_some() { " netns SANDBOX" } else { "" };
            format!("ip link add {} type veth peer name {}{netns}", pair.host, pair.peer)
        })
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_up(&self, link: &Link) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).up().build();
        self.run(self.handle.link().set(message).execute(), || format!("ip link set {} up", link.name))
    }

    /// Sets a link down.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_down(&self, link: &Link) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).down().build();
        self.run(self.handle.link().set(message).execute(), || format!("ip link set {} down", link.name))
    }

    /// Turns promiscuous mode on or off.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_promisc(&self, link: &Link, on: bool) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).promiscuous(on).build();
        let word = if on { "on" } else { "off" };
        self.run(self.handle.link().set(message).execute(), || format!("ip link set {} promisc {word}", link.name))
    }

    /// Changes settings of a link, all or none of them.
    ///
    /// # Errors
    /// Any refusal.
    pub fn change(&self, link: &Link, settings: &LinkSettings) -> Result<(), Error> {
        let mut message = LinkUnspec::new_with_index(link.index);
        if let Some(mac) = settings.mac {
            message = message.address(mac.0.to_vec());
        }
        if let Some(mtu) = settings.mtu {
            message = message.mtu(mtu);
        }
        if let Some(on) = settings.promisc {
            message = message.promiscuous(on);
        }
        if let Some(on) = settings.all_multicast {
            message = message.allmulticast(on);
        }
        if let Some(length) = settings.tx_queue_len {
            message = message.txqueuelen(length);
        }
        self.run(self.handle.link().set(message.build()).execute(), || format!("ip link set {} {settings}", link.name))
    }

    /// Makes an ifb, up: it sends what is redirected to it back to where it was, later.
    ///
    /// # Errors
    /// EEXIST when the name is taken; any other refusal.
    pub fn create_ifb(&self, name: &str, mac: Mac, mtu: u32) -> Result<(), Error> {
        let ifb = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Ifb)
            .name(name)
            .address(mac.0.to_vec())
            .mtu(mtu)
            .up();
        self.run(self.handle.link().add(ifb.build()).execute(), || format!("ip link add {name} type ifb"))
    }

    /// Changes the settings of a bridge's port, named.
    ///
    /// # Errors
    /// ENODEV when it is gone; any other refusal.
    pub fn set_port(&self, name: &str, flags: PortFlags) -> Result<(), Error> {
        let message = LinkBridgePort::new(0)
            .name(name)
            .append_info_data(InfoBridgePort::HairpinMode(flags.hairpin))
            .append_info_data(InfoBridgePort::Isolated(flags.isolated))
            .build();
        // RTM_SETLINK ignores a port's settings; RTM_NEWLINK without NLM_F_CREATE changes them.
        let request = self.handle.link().add(message).set_flags(NLM_F_REQUEST | NLM_F_ACK);
        self.run(request.execute(), || format!("ip link set {name} type bridge_slave {flags}"))
    }

    /// Deletes a link; for a veth, both ends. Gone already is success.
    ///
    /// # Errors
    /// Any refusal but ENODEV.
    pub fn delete_link(&self, link: &Link) -> Result<(), Error> {
        let request = self.handle.link().del(link.index);
        absent(self.run(request.execute(), || format!("ip link del {}", link.name))).map(drop)
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let mut link = Self {
            index: message.header.index,
            up: message.header.flags.contains(LinkFlags::Up),
            promisc: message.header.flags.contains(LinkFlags::Promisc),
            all_multicast: message.header.flags.contains(LinkFlags::Allmulti),
            ..Self::default()
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(Mac),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::TxQueueLen(length) => link.tx_queue_len = length,
                LinkAttribute::Controller(index) => link.master = Some(index),
                LinkAttribute::Link(index) => link.peer = Some(index),
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias).filter(|alias| !alias.is_empty()),
                LinkAttribute::LinkInfo(parts) => describe(&mut link, parts),
                _ => {}
            }
        }
        link
    }
}

fn describe(link: &mut Link, parts: Vec<LinkInfo>) {
    for part in parts {
        match part {
            LinkInfo::Kind(kind) => link.kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Bridge(settings)) => {
                for setting in settings {
                    match setting {
                        InfoBridge::VlanFiltering(on) => link.vlan_filtering = on,
                        InfoBridge::VlanDefaultPvid(vlan) => link.default_vlan = vlan,
                        _ => {}
                    }
                }
            }
            LinkInfo::Data(data) => link.detail = single::detail(&data),
            LinkInfo::PortData(InfoPortData::BridgePort(settings)) => {
                link.port = Some(PortFlags {
                    hairpin: settings.iter().any(|one| matches!(one, InfoBridgePort::HairpinMode(true))),
                    isolated: settings.iter().any(|one| matches!(one, InfoBridgePort::Isolated(true))),
                });
            }
            _ => {}
        }
    }
}
