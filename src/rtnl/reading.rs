//! Links as the kernel tells them, read for what is asked of them: a link has some sixty attributes.

use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NlaBuffer, NlasIterator};

use super::{
    Link, PortFlags, conf,
    values::{IpvlanMode, LinkKind, MacvlanMode},
};
use crate::cni::mac::Mac;

/// `struct ifinfomsg`, linux/rtnetlink.h.
pub(super) const HEADER: usize = 16;

// Attributes of linux/if_link.h.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_AF_SPEC: u16 = 26;
const AF_INET: u16 = 2;
const IFLA_INET_CONF: u16 = 1;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BR_VLAN_FILTERING: u16 = 7;
const IFLA_BR_VLAN_DEFAULT_PVID: u16 = 39;
pub(super) const IFLA_BRPORT_MODE: u16 = 4;
pub(super) const IFLA_BRPORT_ISOLATED: u16 = 33;
const IFLA_MACVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_VLAN_ID: u16 = 1;
const IFLA_VRF_TABLE: u16 = 1;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
const IFLA_VXLAN_LOCAL6: u16 = 17;

const IFF_UP: u32 = 0x1;
const IFF_PROMISC: u32 = 0x100;
const IFF_ALLMULTI: u32 = 0x200;

/// Reads what follows the netlink header of an RTM_NEWLINK.
pub(super) fn link(payload: &[u8]) -> Result<Link, DecodeError> {
    let (Some(index), Some(flags)) = (number(payload.get(4..8)), number(payload.get(8..12))) else {
        return Err(DecodeError::from("a link without a whole header"));
    };
    let is_set = |flag| flags & flag != 0;
    let (up, promisc, all_multicast) = (is_set(IFF_UP), is_set(IFF_PROMISC), is_set(IFF_ALLMULTI));
    let mut link = Link { index, up, promisc, all_multicast, ..Link::default() };
    for attribute in NlasIterator::new(payload.get(HEADER..).unwrap_or_default()) {
        let attribute = attribute?;
        let value = attribute.value();
        match attribute.kind() {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok().map(Mac),
            IFLA_MTU => link.mtu = number(Some(value)).unwrap_or_default(),
            IFLA_TXQLEN => link.tx_queue_len = number(Some(value)).unwrap_or_default(),
            IFLA_MASTER => link.master = number(Some(value)),
            IFLA_LINK => link.peer = number(Some(value)),
            IFLA_IFALIAS => link.alias = Some(text(value)).filter(|alias| !alias.is_empty()),
            IFLA_LINKINFO => describe(&mut link, value),
            IFLA_AF_SPEC => {
                let array = find(value, AF_INET).and_then(|parts| find(parts, IFLA_INET_CONF));
                link.ipv4 = array.map(conf::ipv4_settings).unwrap_or_default();
            }
            _ => {}
        }
    }
    Ok(link)
}

fn describe(link: &mut Link, parts: &[u8]) {
    let part = |kind| find(parts, kind);
    link.kind = part(IFLA_INFO_KIND).map(text);
    if let (Some(kind), Some(settings)) = (link.kind.as_deref(), part(IFLA_INFO_DATA)) {
        if kind == "bridge" {
            link.vlan_filtering = is_on(find(settings, IFLA_BR_VLAN_FILTERING));
            link.default_vlan = short(find(settings, IFLA_BR_VLAN_DEFAULT_PVID)).unwrap_or_default();
        }
        link.detail = detail(kind, settings);
    }
    if let (Some("bridge"), Some(settings)) =
        (part(IFLA_INFO_SLAVE_KIND).map(text).as_deref(), part(IFLA_INFO_SLAVE_DATA))
    {
        let is_on = |kind| is_on(find(settings, kind));
        link.port = Some(PortFlags { hairpin: is_on(IFLA_BRPORT_MODE), isolated: is_on(IFLA_BRPORT_ISOLATED) });
    }
}

fn detail(kind: &str, settings: &[u8]) -> Option<LinkKind> {
    Some(match kind {
        "macvlan" => {
            // `enum macvlan_mode`
            let mode = match number(find(settings, IFLA_MACVLAN_MODE))? {
                1 => MacvlanMode::Private,
                2 => MacvlanMode::Vepa,
                4 => MacvlanMode::Bridge,
                8 => MacvlanMode::Passthru,
                _ => return None,
            };
            LinkKind::Macvlan { mode, broadcast_queue: None }
        }
        "ipvlan" => {
            // `enum ipvlan_mode`
            let mode = match short(find(settings, IFLA_IPVLAN_MODE))? {
                0 => IpvlanMode::L2,
                1 => IpvlanMode::L3,
                2 => IpvlanMode::L3s,
                _ => return None,
            };
            LinkKind::Ipvlan { mode }
        }
        "vlan" => LinkKind::Vlan { id: short(find(settings, IFLA_VLAN_ID))? },
        "vrf" => LinkKind::Vrf { table: number(find(settings, IFLA_VRF_TABLE))? },
        "vxlan" => {
            let local4 = || <[u8; 4]>::try_from(find(settings, IFLA_VXLAN_LOCAL)?).ok().map(IpAddr::from);
            let local6 = || <[u8; 16]>::try_from(find(settings, IFLA_VXLAN_LOCAL6)?).ok().map(IpAddr::from);
            LinkKind::Vxlan {
                vni: number(find(settings, IFLA_VXLAN_ID))?,
                port: u16::from_be(short(find(settings, IFLA_VXLAN_PORT))?),
                local: local4().or_else(local6),
                learning: is_on(find(settings, IFLA_VXLAN_LEARNING)),
            }
        }
        _ => return None,
    })
}

/// The value of the first attribute of a kind.
pub(super) fn find(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let found = NlasIterator::new(attributes).map_while(Result::ok).find(|attribute| attribute.kind() == kind)?;
    value(found)
}

/// The value of an attribute for as long as the bytes from which it was read.
fn value(attribute: NlaBuffer<&[u8]>) -> Option<&[u8]> {
    let length = usize::from(attribute.length());
    attribute.into_inner().get(4..length)
}

/// Up to the first zero.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn number(bytes: Option<&[u8]>) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes?.try_into().ok()?))
}

fn short(bytes: Option<&[u8]>) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes?.try_into().ok()?))
}

fn is_on(bytes: Option<&[u8]>) -> bool {
    bytes.and_then(|bytes| bytes.first()).is_some_and(|byte| *byte != 0)
}
