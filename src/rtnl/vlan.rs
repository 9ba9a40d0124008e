//! VLANs of a bridge's ports.

use std::ops::RangeInclusive;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_route::{
    AddressFamily,
    link::{
        AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags as Flags, InfoBridge, InfoData, InfoKind, LinkAttribute,
        LinkExtentMask, LinkMessage,
    },
};
use rtnetlink::{LinkBridge, LinkMessageBuilder};

use super::{Error, Link, Rtnl, values::PortVlan};

impl Rtnl {
    /// Makes a bridge tell VLANs apart.
    ///
    /// # Errors
    /// EOPNOTSUPP when the kernel was built without; any other refusal.
    pub fn filter_vlans(&self, bridge: &Link) -> Result<(), Error> {
        let message = LinkMessageBuilder::<LinkBridge>::new_with_info_kind(InfoKind::Bridge)
            .index(bridge.index)
            .set_info_data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]))
            .build();
        let request = self.handle.link().add(message).set_flags(NLM_F_REQUEST | NLM_F_ACK);
        self.run(request.execute(), || format!("ip link set {} type bridge vlan_filtering 1", bridge.name))
    }

    /// Puts a port into VLANs: frames of `trunk` are tagged, those of `native` are not. Idempotent.
    ///
    /// # Errors
    /// Any refusal.
    pub fn add_port_vlans(&self, port: &Link, trunk: &[RangeInclusive<u16>], native: u16) -> Result<(), Error> {
        let mut vlans: Vec<_> = trunk.iter().flat_map(range).collect();
        // Last, should the trunk have it too.
        vlans.push(BridgeVlanInfo { flags: Flags::Pvid | Flags::Untagged, vid: native });
        let request = self.handle.link().set(message(port, vlans));
        self.run(request.execute(), || format!("bridge vlan add dev {} vid {native} pvid untagged", port.name))
    }

    /// Takes a port out of a VLAN. Out of it already is success.
    ///
    /// # Errors
    /// Any refusal.
    pub fn delete_port_vlan(&self, port: &Link, vlan: u16) -> Result<(), Error> {
        let mut request = self.handle.link().del(port.index);
        *request.message_mut() = message(port, vec![BridgeVlanInfo { flags: Flags::empty(), vid: vlan }]);
        self.run(request.execute(), || format!("bridge vlan del dev {} vid {vlan}", port.name))
    }

    /// The VLANs of a port, in rising order.
    ///
    /// # Errors
    /// Any refusal.
    pub fn port_vlans(&self, port: &Link) -> Result<Vec<PortVlan>, Error> {
        let mut request = self.handle.link().get();
        let asked = request.message_mut();
        asked.header.interface_family = AddressFamily::Bridge;
        asked.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
        let messages = self.collect(request.execute(), || format!("bridge vlan show dev {}", port.name))?;
        let of_port = messages.into_iter().filter(|message| message.header.index == port.index);
        let mut vlans: Vec<_> = of_port.flat_map(|message| message.attributes).flat_map(told).collect();
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
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = port.index;
    message.attributes.push(LinkAttribute::AfSpecBridge(vlans.into_iter().map(AfSpecBridge::VlanInfo).collect()));
    message
}

fn told(attribute: LinkAttribute) -> Vec<PortVlan> {
    let LinkAttribute::AfSpecBridge(specs) = attribute else { return Vec::new() };
    let vlan = |spec| match spec {
        AfSpecBridge::VlanInfo(vlan) => Some(PortVlan { id: vlan.vid, native: vlan.flags.contains(Flags::Pvid) }),
        _ => None,
    };
    specs.into_iter().filter_map(vlan).collect()
}
