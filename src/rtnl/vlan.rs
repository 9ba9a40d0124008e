//! VLANs of a bridge's ports.

use std::ops::RangeInclusive;

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_route::{
    AddressFamily,
    link::{
        AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags as Flags, InfoBridge, InfoData, InfoKind, LinkAttribute,
        LinkExtentMask, LinkMessage,
    },
};
use nix::libc::{RTM_DELLINK, RTM_GETLINK, RTM_NEWLINK, RTM_SETLINK};

use super::{
    Error, Link, Rtnl,
    link::{Builder, about},
    reading::{HEADER, find},
    values::PortVlan,
};

impl Rtnl {
    /// Makes a bridge tell VLANs apart.
    ///
    /// # Errors
    /// EOPNOTSUPP when the kernel was built without; any other refusal.
    pub fn filter_vlans(&self, bridge: &Link) -> Result<(), Error> {
        let filtering = InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]);
        let message =
            Builder::new_with_info_kind(InfoKind::Bridge).index(bridge.index).set_info_data(filtering).build();
        self.run((RTM_NEWLINK, message), 0, || format!("ip link set {} type bridge vlan_filtering 1", bridge.name))
    }

    /// Puts a port into VLANs: frames of `trunk` are tagged, those of `native` are not. Idempotent.
    ///
    /// # Errors
    /// Any refusal.
    pub fn add_port_vlans(&self, port: &Link, trunk: &[RangeInclusive<u16>], native: u16) -> Result<(), Error> {
        let mut vlans: Vec<_> = trunk.iter().flat_map(range).collect();
        // Last, should the trunk have it too.
        vlans.push(BridgeVlanInfo { flags: Flags::Pvid | Flags::Untagged, vid: native });
        self.run((RTM_SETLINK, message(port, vlans)), 0, || {
            format!("bridge vlan add dev {} vid {native} pvid untagged", port.name)
        })
    }

    /// Takes a port out of a VLAN. Out of it already is success.
    ///
    /// # Errors
    /// Any refusal.
    pub fn delete_port_vlan(&self, port: &Link, vlan: u16) -> Result<(), Error> {
        let message = message(port, vec![BridgeVlanInfo { flags: Flags::empty(), vid: vlan }]);
        self.run((RTM_DELLINK, message), 0, || format!("bridge vlan del dev {} vid {vlan}", port.name))
    }

    /// The VLANs of a port, in rising order.
    ///
    /// # Errors
    /// Any refusal.
    pub fn port_vlans(&self, port: &Link) -> Result<Vec<PortVlan>, Error> {
        let mut asked = about(0, vec![LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan])]);
        asked.header.interface_family = AddressFamily::Bridge;
        let told = self.list((RTM_GETLINK, asked), told, || format!("bridge vlan show dev {}", port.name))?;
        let of_port = told.into_iter().filter(|(index, _)| *index == port.index);
        let mut vlans: Vec<_> = of_port.flat_map(|(_, vlans)| vlans).collect();
        vlans.sort_unstable();
        Ok(vlans)
    }
}

fn range(range: &RangeInclusive<u16>) -> Vec<BridgeVlanInfo> {
    let (start, end) = (*range.start(), *range.end());
    if start == end {
        return vec![BridgeVlanInfo { flags: Flags::empty(), vid: start }];
    }
    vec![BridgeVlanInfo { flags: Flags::RangeBegin, vid: start }, BridgeVlanInfo { flags: Flags::RangeEnd, vid: end }]
}

fn message(port: &Link, vlans: Vec<BridgeVlanInfo>) -> LinkMessage {
    let vlans = vlans.into_iter().map(AfSpecBridge::VlanInfo).collect();
    let mut message = about(port.index, vec![LinkAttribute::AfSpecBridge(vlans)]);
    message.header.interface_family = AddressFamily::Bridge;
    message
}

/// The index of a port, and its VLANs.
fn told(payload: &[u8]) -> Result<(u32, Vec<PortVlan>), DecodeError> {
    const IFLA_AF_SPEC: u16 = 26;
    const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
    let Some((header, attributes)) = payload.split_first_chunk::<HEADER>() else {
        return Err(DecodeError::from("a port without a whole header"));
    };
    let index = u32::from_ne_bytes([header[4], header[5], header[6], header[7]]);
    let mut vlans = Vec::new();
    for attribute in NlasIterator::new(find(attributes, IFLA_AF_SPEC).unwrap_or_default()) {
        let attribute = attribute?;
        // `struct bridge_vlan_info` of linux/if_bridge.h: flags, number.
        if let (IFLA_BRIDGE_VLAN_INFO, [f0, f1, v0, v1]) = (attribute.kind(), attribute.value()) {
            let flags = Flags::from_bits_retain(u16::from_ne_bytes([*f0, *f1]));
            vlans.push(PortVlan { id: u16::from_ne_bytes([*v0, *v1]), native: flags.contains(Flags::Pvid) });
        }
    }
    Ok((index, vlans))
}
