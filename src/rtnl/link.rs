//! Links: what the kernel holds, and making, changing and deleting them.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::link::{
    InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use nix::libc::{RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK};

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
        let mut attributes = vec![self::name(name), address(mac), kind(InfoKind::Bridge, filtering)];
        attributes.extend(mtu.map(LinkAttribute::Mtu));
        self.run((RTM_NEWLINK, about(0, attributes)), NEW, || format!("ip link add {name} type bridge"))
    }

    /// Makes a veth pair in one request, the host's end up.
    ///
    /// # Errors
    /// EEXIST when either name is taken; any other refusal.
    pub fn create_veth(&self, pair: &VethPair<'_>, sandbox: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let mut peer = vec![name(pair.peer), address(pair.peer_mac)];
        peer.extend(sandbox.map(|sandbox| LinkAttribute::NetNsFd(sandbox.as_raw_fd())));
        peer.extend(pair.mtu.map(LinkAttribute::Mtu));
        let mut host = vec![name(pair.host), address(pair.host_mac)];
        host.extend(pair.mtu.map(LinkAttribute::Mtu));
        host.extend(pair.master.map(LinkAttribute::Controller));
        host.push(kind(InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(about(0, peer))))));
        self.run((RTM_NEWLINK, flag(about(0, host), LinkFlags::Up, true)), NEW, || {
            let netns = if sandbox.is_some() { " netns SANDBOX" } else { "" };
            format!("ip link add {} type veth peer name {}{netns}", pair.host, pair.peer)
        })
    }

    /// Sets a link up.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_up(&self, link: &Link) -> Result<(), Error> {
        self.switch(link, LinkFlags::Up, true, "up")
    }

    /// Sets a link down.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_down(&self, link: &Link) -> Result<(), Error> {
        self.switch(link, LinkFlags::Up, false, "down")
    }

    fn switch(&self, link: &Link, what: LinkFlags, on: bool, words: &str) -> Result<(), Error> {
        let message = flag(about(link.index, Vec::new()), what, on);
        self.run((RTM_SETLINK, message), 0, || format!("ip link set {} {words}", link.name))
    }

    /// Changes settings of a link, all or none of them.
    ///
    /// # Errors
    /// Any refusal.
    pub fn change(&self, link: &Link, settings: &LinkSettings) -> Result<(), Error> {
        let mut attributes: Vec<_> = settings.mac.map(address).into_iter().collect();
        attributes.extend(settings.mtu.map(LinkAttribute::Mtu));
        attributes.extend(settings.tx_queue_len.map(LinkAttribute::TxQueueLen));
        let mut message = about(link.index, attributes);
        for (what, on) in [(LinkFlags::Promisc, settings.promisc), (LinkFlags::Allmulti, settings.all_multicast)] {
            message = on.map_or(message.clone(), |on| flag(message, what, on));
        }
        self.run((RTM_SETLINK, message), 0, || format!("ip link set {} {settings}", link.name))
    }

    /// Makes an ifb, up: it sends what is redirected to it back to where it was, later.
    ///
    /// # Errors
    /// EEXIST when the name is taken; any other refusal.
    pub fn create_ifb(&self, name: &str, mac: Mac, mtu: u32) -> Result<(), Error> {
        let attributes = vec![self::name(name), address(mac), LinkAttribute::Mtu(mtu), kind(InfoKind::Ifb, None)];
        let message = flag(about(0, attributes), LinkFlags::Up, true);
        self.run((RTM_NEWLINK, message), NEW, || format!("ip link add {name} type ifb"))
    }

    /// Changes the settings of a bridge's port, named.
    ///
    /// # Errors
    /// ENODEV when it is gone; any other refusal.
    pub fn set_port(&self, name: &str, flags: PortFlags) -> Result<(), Error> {
        let settings = vec![InfoBridgePort::HairpinMode(flags.hairpin), InfoBridgePort::Isolated(flags.isolated)];
        let port =
            vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(InfoPortData::BridgePort(settings))];
        let message = about(0, vec![self::name(name), LinkAttribute::LinkInfo(port)]);
        // RTM_SETLINK ignores a port's settings; RTM_NEWLINK without NLM_F_CREATE changes them.
        self.run((RTM_NEWLINK, message), 0, || format!("ip link set {name} type bridge_slave {flags}"))
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

/// Has a flag set, or cleared.
pub(super) fn flag(mut message: LinkMessage, flag: LinkFlags, on: bool) -> LinkMessage {
    message.header.flags.set(flag, on);
    message.header.change_mask |= flag;
    message
}

/// What kind of link it is, with its settings.
pub(super) fn kind(kind: InfoKind, settings: Option<InfoData>) -> LinkAttribute {
    LinkAttribute::LinkInfo([LinkInfo::Kind(kind)].into_iter().chain(settings.map(LinkInfo::Data)).collect())
}

pub(super) fn name(name: &str) -> LinkAttribute {
    LinkAttribute::IfName(name.into())
}

pub(super) fn address(mac: Mac) -> LinkAttribute {
    LinkAttribute::Address(mac.0.into())
}

/// Statistics are not asked for: they are most of a link.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}
