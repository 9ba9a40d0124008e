//! Links: what the kernel holds, and making, changing and deleting them.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::DefaultNla;
use netlink_packet_route::{
    AddressFamily,
    link::{InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkMessage, LinkProtoInfoBridge},
};
use nix::{
    libc::{RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK},
    net::if_::if_nametoindex,
};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::{Error, Link, LinkSettings, NEW, PortFlags, Rtnl, absent, reading};
use crate::{
    cni::mac::Mac,
    sys::netlink::{Routed, delete_early},
};

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
        self.find_link(about(0, vec![self::name(name)]), || format!("ip link show {name}"))
    }

    /// The link of that index, if there is one.
    ///
    /// # Errors
    /// Any refusal but ENODEV.
    pub fn link_at(&self, index: u32) -> Result<Option<Link>, Error> {
        self.find_link(about(index, Vec::new()), || format!("ip link show (link {index})"))
    }

    fn find_link(&self, mut asked: LinkMessage, doing: impl Fn() -> String) -> Result<Option<Link>, Error> {
        asked.attributes.push(without_statistics());
        absent(self.find((RTM_GETLINK, asked), reading::link, doing))
    }

    /// Every link of the namespace.
    ///
    /// # Errors
    /// Any refusal.
    pub fn links(&self) -> Result<Vec<Link>, Error> {
        let asked = about(0, vec![without_statistics()]);
        self.list((RTM_GETLINK, asked), reading::link, || "ip link show".into())
    }

    /// Makes a bridge, its hardware address pinned so that no port changes it.
    ///
    /// # Errors
    /// EEXIST when the name is taken; any other refusal.
    pub fn create_bridge(&self, name: &str, mac: Mac, mtu: Option<u32>, vlan_filtering: bool) -> Result<(), Error> {
        let filtering = vlan_filtering.then(|| InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]));
        let bridge = Builder::new_with_info_kind(InfoKind::Bridge).name(name).address(mac.0.into());
        let bridge = given(given(bridge, mtu, Builder::mtu), filtering, Builder::set_info_data);
        self.run((RTM_NEWLINK, bridge.build()), NEW, || format!("ip link add {name} type bridge"))
    }

    /// Makes a veth pair in one request, the host's end up.
    ///
    /// # Errors
    /// EEXIST when either name is taken; any other refusal.
    pub fn create_veth(&self, pair: &VethPair<'_>, sandbox: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let end = |name: &str, mac: Mac, kind| given(kind, pair.mtu, Builder::mtu).name(name).address(mac.0.into());
        let peer = end(pair.peer, pair.peer_mac, Builder::default());
        let peer = given(peer, sandbox.map(|sandbox| sandbox.as_raw_fd()), Builder::setns_by_fd).build();
        let host = end(pair.host, pair.host_mac, Builder::new_with_info_kind(InfoKind::Veth)).up();
        let host = given(host, pair.master, Builder::controller).set_info_data(InfoData::Veth(InfoVeth::Peer(peer)));
        self.run((RTM_NEWLINK, host.build()), NEW, || {
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
        self.run((RTM_SETLINK, message), 0, || format!("ip link set {} up", link.name))
    }

    /// Sets a link down.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_down(&self, link: &Link) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).down().build();
        self.run((RTM_SETLINK, message), 0, || format!("ip link set {} down", link.name))
    }

    /// Changes settings of a link, all or none of them.
    ///
    /// # Errors
    /// Any refusal.
    pub fn change(&self, link: &Link, settings: &LinkSettings) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index);
        let message = given(message, settings.mac.map(|mac| mac.0.into()), Builder::address);
        let message = given(message, settings.mtu, Builder::mtu);
        let message = given(message, settings.tx_queue_len, Builder::txqueuelen);
        let message = given(message, settings.promisc, Builder::promiscuous);
        let message = given(message, settings.all_multicast, Builder::allmulticast);
        self.run((RTM_SETLINK, message.build()), 0, || format!("ip link set {} {settings}", link.name))
    }

    /// Makes an ifb, up: it sends what is redirected to it back to where it was, later.
    ///
    /// # Errors
    /// EEXIST when the name is taken; any other refusal.
    pub fn create_ifb(&self, name: &str, mac: Mac, mtu: u32) -> Result<(), Error> {
        let ifb = Builder::new_with_info_kind(InfoKind::Ifb).name(name).address(mac.0.into()).mtu(mtu).up();
        self.run((RTM_NEWLINK, ifb.build()), NEW, || format!("ip link add {name} type ifb"))
    }

    /// Changes the settings of a bridge's port, named.
    ///
    /// # Errors
    /// ENODEV when it is gone; any other refusal.
    pub fn set_port(&self, name: &str, flags: PortFlags) -> Result<(), Error> {
        let doing = || format!("ip link set {name} type bridge_slave {flags}");
        let index = if_nametoindex(name).map_err(|errno| Error::Refused { doing: doing(), refusal: errno.into() })?;
        let setting = |kind, on| LinkProtoInfoBridge::Other(DefaultNla::new(kind, vec![u8::from(on)]));
        let settings = vec![
            setting(reading::IFLA_BRPORT_MODE, flags.hairpin),
            setting(reading::IFLA_BRPORT_ISOLATED, flags.isolated),
        ];
        let mut message = about(index, vec![LinkAttribute::ProtoInfoBridge(settings)]);
        // As `bridge link set` asks. As `ip link set` does the kernel tells it to all who follow links: IPv6 goes through
        // every route then.
        message.header.interface_family = AddressFamily::Bridge;
        self.run((RTM_SETLINK, message), 0, doing)
    }

    /// Deletes a link of the calling thread's namespace; for a veth, both ends. Gone already is success.
    ///
    /// Returns when nobody can see it any more; a deputy waits for the rest, which takes the kernel ten times as long.
    /// `held` is a socket for nf_tables by which something was deleted: the deputy waits for the end of that, too.
    ///
    /// # Errors
    /// Any refusal but ENODEV.
    pub fn delete_link(&self, link: &Link, held: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let doing = || format!("ip link del {}", link.name);
        let message = about(link.index, Vec::new());
        absent(match delete_early(Routed(RTM_DELLINK, message.clone()), link.index, held) {
            Some(done) => done.map_err(|refusal| Error::Refused { doing: doing(), refusal }),
            None => self.run((RTM_DELLINK, message), 0, doing),
        })
        .map(drop)
    }
}

/// A message about the link of an index; 0 is for one that its name tells.
pub(super) fn about(index: u32, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = attributes;
    message
}

/// What a link is to be like.
pub(super) type Builder = LinkMessageBuilder<LinkUnspec>;

/// Sets what there is to be set.
pub(super) fn given<T>(message: Builder, value: Option<T>, set: impl Fn(Builder, T) -> Builder) -> Builder {
    match value {
        Some(value) => set(message, value),
        None => message,
    }
}

fn name(name: &str) -> LinkAttribute {
    LinkAttribute::IfName(name.into())
}

/// Statistics are not asked for: they are most of a link.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}
