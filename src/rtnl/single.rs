//! Links without an end elsewhere: making them, and where a link is and what it is called.

use std::{
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoVlan, InfoVrf, InfoVxlan, IpVlanMode, MacVlanMode,
};
use nix::libc::{RTM_NEWLINK, RTM_SETLINK};
use rtnetlink::LinkUnspec;

use super::{
    Error, Link, NEW, Rtnl,
    link::{Builder, given},
    values::{IpvlanMode, LinkKind, MacvlanMode},
};
use crate::cni::mac::Mac;

/// A link to make.
#[derive(Debug, Clone)]
pub struct NewLink<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is.
    pub kind: LinkKind,
    /// Index of the link on which it stands.
    pub parent: Option<u32>,
    /// Its hardware address; the kernel's choice when None.
    pub mac: Option<Mac>,
    /// In bytes; the kernel's choice when None.
    pub mtu: Option<u32>,
}

/// Where a link goes, and as what.
#[derive(Debug, Clone)]
pub struct Move<'a> {
    /// Its new name.
    pub name: &'a str,
    /// What is written about it; nothing takes away what is there.
    pub alias: &'a str,
    /// It is set up there.
    pub up: bool,
}

impl Rtnl {
    /// Makes a link, down, here or in a sandbox.
    ///
    /// # Errors
    /// EEXIST when the name is taken here; any other refusal.
    pub fn create_link(&self, link: &NewLink<'_>, sandbox: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let (kind, settings) = info(link.kind);
        let message = given(Builder::new_with_info_kind(kind).name(link.name), settings, Builder::set_info_data);
        let message = given(message, link.parent, Builder::link);
        let message = given(message, link.mac.map(|mac| mac.0.into()), Builder::address);
        let message = given(message, link.mtu, Builder::mtu);
        let message = given(message, sandbox.map(|sandbox| sandbox.as_raw_fd()), Builder::setns_by_fd);
        let doing = || format!("ip link add {} type {}", link.name, link.kind);
        self.run((RTM_NEWLINK, message.build()), NEW, doing)
    }

    /// Renames a link and writes about it, in one request.
    ///
    /// # Errors
    /// EEXIST when the name is taken; EBUSY when the kernel renames only links that are down, and this is up.
    pub fn rename_link(&self, link: &Link, to: &Move<'_>) -> Result<(), Error> {
        self.rename(link, to, None)
    }

    /// Moves a link to another namespace, where it is renamed; it loses its addresses.
    ///
    /// # Errors
    /// EEXIST when the name is taken there; EINVAL for a link that cannot leave its namespace.
    pub fn move_link(&self, link: &Link, netns: BorrowedFd<'_>, to: &Move<'_>) -> Result<(), Error> {
        self.rename(link, to, Some(netns))
    }

    fn rename(&self, link: &Link, to: &Move<'_>, netns: Option<BorrowedFd<'_>>) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).name(to.name).alias(to.alias);
        let message = given(message, netns.map(|netns| netns.as_raw_fd()), Builder::setns_by_fd);
        let message = if to.up { message.up() } else { message };
        self.run((RTM_SETLINK, message.build()), 0, || {
            let netns = if netns.is_some() { " netns NETNS" } else { "" };
            format!("ip link set {}{netns} name {}", link.name, to.name)
        })
    }

    /// Writes about a link.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_alias(&self, link: &Link, alias: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).alias(alias).build();
        self.run((RTM_SETLINK, message), 0, || format!("ip link set {} alias '{alias}'", link.name))
    }

    /// Makes a link the port of another, or of none.
    ///
    /// # Errors
    /// Any refusal.
    pub fn set_master(&self, link: &Link, master: Option<&Link>) -> Result<(), Error> {
        let message = LinkUnspec::new_with_index(link.index).controller(master.map_or(0, |master| master.index));
        self.run((RTM_SETLINK, message.build()), 0, || match master {
            Some(master) => format!("ip link set {} master {}", link.name, master.name),
            None => format!("ip link set {} nomaster", link.name),
        })
    }
}

fn info(kind: LinkKind) -> (InfoKind, Option<InfoData>) {
    match kind {
        LinkKind::Dummy => (InfoKind::Dummy, None),
        LinkKind::Macvlan { mode, broadcast_queue } => {
            let mode = match mode {
                MacvlanMode::Bridge => MacVlanMode::Bridge,
                MacvlanMode::Private => MacVlanMode::Private,
                MacvlanMode::Vepa => MacVlanMode::Vepa,
                MacvlanMode::Passthru => MacVlanMode::Passthrough,
            };
            let queue = broadcast_queue.map(InfoMacVlan::BcQueueLen);
            let settings = [InfoMacVlan::Mode(mode)].into_iter().chain(queue).collect();
            (InfoKind::MacVlan, Some(InfoData::MacVlan(settings)))
        }
        LinkKind::Ipvlan { mode } => {
            let mode = match mode {
                IpvlanMode::L2 => IpVlanMode::L2,
                IpvlanMode::L3 => IpVlanMode::L3,
                IpvlanMode::L3s => IpVlanMode::L3S,
            };
            (InfoKind::IpVlan, Some(InfoData::IpVlan(vec![InfoIpVlan::Mode(mode)])))
        }
        LinkKind::Vlan { id } => (InfoKind::Vlan, Some(InfoData::Vlan(vec![InfoVlan::Id(id)]))),
        LinkKind::Vrf { table } => (InfoKind::Vrf, Some(InfoData::Vrf(vec![InfoVrf::TableId(table)]))),
        LinkKind::Vxlan { vni, port, local, learning } => {
            let local = local.map(|local| match local {
                IpAddr::V4(local) => InfoVxlan::Local(local),
                IpAddr::V6(local) => InfoVxlan::Local6(local),
            });
            let fixed = [InfoVxlan::Id(vni), InfoVxlan::Port(port), InfoVxlan::Learning(learning)];
            (InfoKind::Vxlan, Some(InfoData::Vxlan(fixed.into_iter().chain(local).collect())))
        }
    }
}
